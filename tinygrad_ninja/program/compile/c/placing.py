"""Where in the scratch memory each buffer lies."""

from __future__ import annotations

import sys
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .buffers import ALIGNED, Buffer


@dataclass
class Region:
    """Memory that buffers of one dtype share, each from its first use to its last. free: the places, in
    order, that no buffer has at the moment."""

    free: list[tuple[int, int]] = field(default_factory=lambda: [(0, sys.maxsize)])
    size: int = 0

    def take(self, size: int) -> int:
        """Return the start of the first free place of this size, which is not free from then on."""
        at = next(i for i, (start, end) in enumerate(self.free) if size <= end - start)
        start, end = self.free[at]
        self.free[at : at + 1] = [(start + size, end)] if start + size < end else []
        self.size = max(self.size, start + size)
        return start

    def give_back(self, start: int, end: int) -> None:
        """Add a place to the free ones, joined to those beside it."""
        at = bisect_left(self.free, (start, end))
        if at < len(self.free) and self.free[at][0] == end:
            end = self.free.pop(at)[1]
        if at and self.free[at - 1][1] == start:
            at -= 1
            start = self.free.pop(at)[0]
        self.free.insert(at, (start, end))


def place(used: Iterable[Iterable[Buffer]]) -> int:
    """Give each buffer of the scratch memory its offset, and return how many bytes all of them take. used:
    the buffers of each function that runs, in order.

    Buffers of different dtypes never share memory. What lies between a row and the next is computed with, as
    part of a whole vector, and its results are ignored; but small integers, read as floating-point numbers,
    are denormal ones, with which some processors take a hundred times as long.
    """
    needed = [[buffer for buffer in buffers if buffer.slot is None] for buffers in used]
    last = {buffer: number for number, buffers in enumerate(needed) for buffer in buffers}
    placed: set[Buffer] = set()
    regions: defaultdict[np.dtype[Any], Region] = defaultdict(Region)
    for number, buffers in enumerate(needed):
        for buffer in buffers:
            if buffer not in placed:
                placed.add(buffer)
                buffer.offset = regions[buffer.dtype].take(_size(buffer))
        for buffer in dict.fromkeys(buffers):
            if last[buffer] == number:
                regions[buffer.dtype].give_back(buffer.offset, buffer.offset + _size(buffer))
    starts: dict[np.dtype[Any], int] = {}
    total = 0
    for dtype, region in regions.items():
        starts[dtype] = total
        total += region.size
    for buffer in placed:
        buffer.offset += starts[buffer.dtype]
    return total


def _size(buffer: Buffer) -> int:
    """Return the bytes of a buffer and of what fills it up to the next one."""
    return -(-max(1, buffer.elements) * buffer.dtype.itemsize // ALIGNED) * ALIGNED
