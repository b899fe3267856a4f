"""How many threads large compiled steps run on."""

from __future__ import annotations

import os
import warnings

import numpy as np

from .unreplayed import unreplayed


def processors() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _at_first() -> int:
    """Return what OMP_NUM_THREADS says, or the number of processors."""
    chosen = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(chosen) if chosen.isdecimal() and 0 < int(chosen) <= _MOST else processors()


_MOST = 2**31 - 1  # C's int
_count = _at_first()
_forked = False


@unreplayed
def get_num_threads() -> int:
    """Return the number of threads that large compiled steps run on: at first that of the processors that
    this process may use, or OMP_NUM_THREADS; in a forked process 1."""
    return _count


@unreplayed
def set_num_threads(count: int) -> None:
    """Let large compiled steps run on `count` threads, also those that were compiled before. Their results
    have the same bits with any.

    A forked process stays on one, and says so: the threads of the first are not there, and OpenMP would wait
    for them. Raise RuntimeError for what is no integer, or is not positive; ValueError beyond 32 bits.
    """
    global _count
    if isinstance(count, bool) or not isinstance(count, (int, np.integer)):
        raise RuntimeError(f"set_num_threads expects an int, but got {type(count).__name__}")
    if count < 1:
        raise RuntimeError("set_num_threads expects a positive integer")
    if count > _MOST:
        raise ValueError(f"set_num_threads: {count} does not fit 32 bits")
    if _forked and count > 1:
        warnings.warn("compiled steps stay on one thread in a process that was forked", stacklevel=2)
        return
    _count = int(count)


def _leave_one() -> None:
    global _count, _forked
    _count, _forked = 1, True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_one)
