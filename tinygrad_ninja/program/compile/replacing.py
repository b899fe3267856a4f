"""The engine's own functions and slots, replaced while something is recorded."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import RLock, get_ident
from typing import Any, Self

recording_threads: set[int] = set()
"""The thread that records now, if one does; as `record.paused`, without a lock."""
_ONE_AT_A_TIME = RLock()


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Another thread waits to enter: what one recording replaces, another must not take for the engine's own.

    Python's garbage collector rests, so that what is made inside stays in its youngest generation, which is
    collected without a walk over all else that there is.
    """
    with _ONE_AT_A_TIME:
        running = gc.isenabled()
        gc.disable()
        try:
            yield
        finally:
            if running:
                gc.enable()


class Replacing:
    """A context, inside `one_at_a_time`, in which other things stand in the place of the engine's, for this
    thread to see."""

    def __init__(self) -> None:
        self.thread = get_ident()
        self._undo = ExitStack()

    def __enter__(self) -> Self:
        recording_threads.add(self.thread)
        return self

    def __exit__(self, *exc: object) -> None:
        try:
            self.put_back()
        finally:
            recording_threads.discard(self.thread)

    def mine(self) -> bool:
        """Whether this is the thread that records."""
        return get_ident() == self.thread

    def replace(self, owner: Any, name: str, value: Any) -> None:
        """Let `value` be the attribute of `owner` until the end."""
        if name in owner.__dict__:
            self._undo.callback(setattr, owner, name, owner.__dict__[name])
        else:
            self._undo.callback(delattr, owner, name)
        setattr(owner, name, value)

    def put_back(self) -> None:
        """Make all as it was."""
        self._undo.close()
