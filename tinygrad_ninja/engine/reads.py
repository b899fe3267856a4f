"""The lines that read a Tensor out as a Python number, from which nothing is recorded."""

from __future__ import annotations

import sys
from collections import deque
from threading import get_ident
from typing import NamedTuple

from .callers import PACKAGE
from .node import clock


class Read(NamedTuple):
    """order: as a node's; thread: the one that read; file, line: where."""

    order: int
    thread: int
    file: str
    line: int


recent_reads: deque[Read] = deque(maxlen=1000)


def note_read() -> None:
    """Remember that a Tensor is read out by the innermost line that is not the engine's."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
    recent_reads.append(Read(next(clock), get_ident(), frame.f_code.co_filename, frame.f_lineno))
