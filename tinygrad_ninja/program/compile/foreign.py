"""Random numbers of Python's and NumPy's own, which a recording does not see drawn."""

from __future__ import annotations

import gc
import random
import types
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple, Self

import numpy as np

from ...tensors import Tensor
from .tape import PACKAGE


class _Stream(NamedTuple):
    """A generator: what it is called, what reads and what writes its state, and the state that it had."""

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], Any]
    before: Any


class ForeignStreams:
    """A context: the generators of Python's and NumPy's that a function can reach are put back afterwards to
    where they were. `moved` then names those that were drawn from."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        self._fn = fn
        self._streams: list[_Stream] = []
        self.moved: list[str] = []

    def __enter__(self) -> Self:
        self._note("Python's module random", random.getstate, random.setstate)
        self._note("numpy.random", partial(np.random.get_state, legacy=False), np.random.set_state)
        for x in _reachable(self._fn):
            name = f"a {type(x).__name__} of {type(x).__module__.split('.')[0]}'s"
            if isinstance(x, random.Random):
                if not isinstance(x, random.SystemRandom):  # which has no state
                    self._note(name, x.getstate, x.setstate)
            elif isinstance(x, np.random.RandomState):
                self._note(name, partial(x.get_state, legacy=False), x.set_state)
            elif isinstance(x, np.random.BitGenerator):  # that of a Generator is reached through it
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
    """A generator's state, with bytes for its arrays."""
    if isinstance(state, dict):
        return {key: _comparable(each) for key, each in state.items()}
    return state.tobytes() if isinstance(state, np.ndarray) else state


_ATOMS = {bool, int, float, complex, str, bytes, type(None), types.CodeType}
_MOST = 30_000
_HEAP_TYPE = 1 << 9  # of `type.__flags__`: a class that Python code made


def _reachable(fn: Any) -> Iterator[Any]:
    """The objects that a function can come to by its closure, its defaults, the globals that it names, the
    functions that it calls, and their attributes and elements; of very many the nearest."""
    root = getattr(fn, "__func__", fn)
    seen: dict[int, Any] = {}  # with the objects, so that their ids stay their own
    waiting = [fn]
    for x in waiting:  # which grows
        if len(seen) == _MOST:
            return
        if type(x) in _ATOMS or isinstance(x, Tensor | np.ndarray) or id(x) in seen:
            continue
        seen[id(x)] = x
        if isinstance(x, types.FunctionType):
            if x is root or not x.__code__.co_filename.startswith(PACKAGE):
                waiting += [x.__closure__, x.__defaults__, x.__kwdefaults__, x.__dict__]
                waiting += _named(x.__globals__, _names(x.__code__))
        elif isinstance(x, type):
            if x.__flags__ & _HEAP_TYPE:
                waiting += [*vars(x).values(), *x.__bases__]
        elif not isinstance(x, types.ModuleType):
            yield x
            waiting += gc.get_referents(x)


def _names(code: types.CodeType) -> set[str]:
    """The globals and attributes that code names, and the functions within it."""
    inner = [_names(each) for each in code.co_consts if isinstance(each, types.CodeType)]
    return {*code.co_names}.union(*inner)


def _named(namespace: dict[str, Any], names: set[str]) -> list[Any]:
    """What has one of these names, in the namespace or in the modules that are named there."""
    found: list[Any] = []
    spaces = [namespace]
    for space in spaces:  # which grows
        values = [space[name] for name in names & space.keys()]
        modules = [vars(each) for each in values if isinstance(each, types.ModuleType)]
        spaces += [each for each in modules if all(each is not other for other in spaces)]
        found += values
    return found
