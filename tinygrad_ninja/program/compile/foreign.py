"""Python's and NumPy's own random numbers, whose drawing a recording does not see."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, Self

import numpy as np

from ...rng.generator import Generator


class _Stream(NamedTuple):
    """A generator: its name, the functions that read and write its state, and the state that it had."""

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], Any]
    before: Any


class ForeignStreams:
    """A context that restores the state of Python's and NumPy's generators that a function can reach. `moved`
    then names those that were drawn from."""

    def __init__(self, within_reach: Sequence[Any]) -> None:
        self._within_reach = within_reach
        self._streams: list[_Stream] = []
        self.moved: list[str] = []

    def __enter__(self) -> Self:
        self._note("Python's module random", random.getstate, random.setstate)
        self._note("numpy.random", partial(np.random.get_state, legacy=False), np.random.set_state)
        # A recording draws from a copy of a Generator of ours; another thread may draw from it meanwhile.
        ours = {id(getattr(x, "_twister", None)) for x in self._within_reach if isinstance(x, Generator)}
        for x in self._within_reach:
            name = f"a {type(x).__name__} of {type(x).__module__.split('.')[0]}'s"
            if isinstance(x, random.Random):
                if not isinstance(x, random.SystemRandom):  # which has no state
                    self._note(name, x.getstate, x.setstate)
            elif isinstance(x, np.random.RandomState):
                self._note(name, partial(x.get_state, legacy=False), x.set_state)
            elif isinstance(x, np.random.BitGenerator) and id(x) not in ours:  # also a numpy Generator's
                self._note(name, partial(getattr, x, "state"), partial(setattr, x, "state"))
        return self

    def _note(self, name: str, read: Callable[[], Any], write: Callable[[Any], Any]) -> None:
        self._streams.append(_Stream(name, read, write, read()))

    def __exit__(self, *exc: object) -> None:
        for stream in self._streams:
            if _comparable(stream.read()) != _comparable(stream.before):
                self.moved.append(stream.name)
                stream.write(stream.before)


def _comparable(state: Any) -> Any:
    """Return a generator's state, with bytes in place of its arrays."""
    if isinstance(state, dict):
        return {key: _comparable(value) for key, value in state.items()}
    return state.tobytes() if isinstance(state, np.ndarray) else state
