"""Python's garbage collector during a recording, and what it leaves."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock

_lock = Lock()
_resting = 0
"""The number of recordings that the collector is paused for."""
_was_enabled = False


@contextmanager
def resting_collector() -> Iterator[None]:
    """Pause the collector, so that objects made inside stay in its youngest generation, which is collected
    without a walk over all other objects."""
    global _resting, _was_enabled
    with _lock:
        if not _resting:
            _was_enabled = gc.isenabled()
            gc.disable()
        _resting += 1
    try:
        yield
    finally:
        with _lock:
            _resting -= 1
            if not _resting and _was_enabled:
                gc.enable()


def still_held(any_left: Callable[[], bool]) -> bool:
    """Return whether anything is left after the collector has freed what nothing refers to: the young objects
    first, and then all, since another recording may have collected meanwhile and so made them old."""
    for generation in (0, 2):
        if not any_left():
            return False
        gc.collect(generation)
    return any_left()
