"""What belongs to a thread, and what threads take turns at."""

from __future__ import annotations

import os
from threading import RLock, local
from typing import Any, TypeVar
from weakref import WeakSet

_T = TypeVar("_T")


class ByThread(dict[int, _T]):
    """What threads have set, by `get_ident()`. An entry ends with its thread, whose number the next one may
    get. A dict, since its lookups need no lock."""

    def __init__(self) -> None:
        super().__init__()
        self._own = local()

    def __setitem__(self, thread: int, value: _T) -> None:
        """Set the entry of the thread that runs."""
        if not hasattr(self._own, "end"):
            self._own.end = _End(self, thread)
        super().__setitem__(thread, value)


class _End:
    """Held by a thread alone: it takes the thread's entry along."""

    def __init__(self, entries: dict[int, Any], thread: int) -> None:
        self._entries, self._thread = entries, thread

    def __del__(self) -> None:
        self._entries.pop(self._thread, None)


_locks: WeakSet[Any] = WeakSet()


def new_lock() -> Any:
    """Return a lock that a thread may take again while it has it. In a forked process it is free: the thread
    that had it is not there."""
    lock = RLock()
    free_when_forked(lock)
    return lock


def free_when_forked(lock: Any) -> None:
    """Let a lock be free in a forked process, as those of `new_lock` are."""
    _locks.add(lock)


def _free_locks() -> None:
    for lock in _locks:
        lock._at_fork_reinit()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_free_locks)
