"""Memory in C: buffers, where the elements of a variable lie in them, and where those of its views do."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .... import ops
from ....ops import Operation
from ...entries import RESHAPES
from ...instructions import Instruction, Var
from .c_code import ZERO, Affine, Index, combined, counter

ALIGNED = 64
"""To a multiple of how many bytes each buffer begins: a line of the cache, and the longest vector."""


@dataclass(eq=False)
class Buffer:
    """Memory in C.

    slot: its place in the table of pointers; None for scratch memory, which begins at `offset`. That consists
    of rows of `room` elements, of which the first `width` hold the values, and the others are free: they
    may be read, as numbers of any kind, and written. Memory of the caller's has no such room (0). spare: how
    many elements behind the last one are free.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    slot: int | None = None
    width: int = 0
    room: int = 0
    offset: int = 0
    spare: int = 0

    @property
    def elements(self) -> int:
        """Return the number of elements that the buffer spans."""
        if 0 in self.shape:
            return 0
        if self.room:
            return math.prod(self.shape) // self.width * self.room
        return 1 + sum((n - 1) * step for n, step in zip(self.shape, self.strides, strict=True))

    def has_room(self, row: int, n: int, starts: Iterable[int], write: bool) -> bool:
        """Return whether `row` elements may be read or written where `n` are meant, at each sum of multiples
        of `starts`: all of them lie in one row, and what is written beyond the n belongs to nothing else."""
        inside = self.room >= row and not any(start % self.room for start in starts)
        return inside and (n == self.width or not write)


def scratch(name: str, dtype: np.dtype[Any], shape: tuple[int, ...], lanes: int, pad: bool) -> Buffer:
    """Return a buffer in scratch memory, in which each row has room for whole vectors of `lanes` elements,
    if `pad`, or if there is a single row."""
    strides = contiguous(shape, lanes if pad else 1)
    width = shape[-1] if pad else math.prod(shape)
    if not pad and len(loops(shape)) > 1:
        return Buffer(name, dtype, shape, strides)
    return Buffer(name, dtype, shape, strides, width=width, room=-(-width // lanes) * lanes)


@dataclass(eq=False)
class Address:
    """Where the elements of a variable lie: buffer[offset + Σ index · stride]."""

    buffer: Buffer
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def at(self, index: Index) -> Affine:
        """Return the place of an element in the buffer."""
        parts = zip(index, self.shape, self.strides, strict=True)
        return combined(self.offset, ((i, step) for i, n, step in parts if n != 1))

    def is_whole(self) -> bool:
        """Return whether these are all elements of the buffer, one after the other."""
        buffer = self.buffer
        return self.offset == 0 and buffer.shape == self.shape and self.strides == contiguous(self.shape)

    @property
    def slot(self) -> int:
        """Return the place of its buffer, which is the caller's, in the table of pointers."""
        assert self.buffer.slot is not None, "scratch memory has no place in the table"
        return self.buffer.slot

    def viewed(self, operation: Operation, parameters: tuple[Any, ...]) -> Address | None:
        """Return the address of a view of this; None where strides can't express it."""
        # An array of bytes, which is never read: NumPy does the arithmetic of views on it.
        dummy = np.lib.stride_tricks.as_strided(_ORIGIN, self.shape, self.strides)
        seen = _VIEWS[operation](dummy, *parameters) if operation in _VIEWS else None
        if seen is None:
            return None
        shift = seen.__array_interface__["data"][0] - dummy.__array_interface__["data"][0] if seen.size else 0
        return Address(self.buffer, self.offset + shift, seen.shape, seen.strides)


@dataclass
class Layout:
    """What computes each variable, and where those lie that are kept in memory. positive: the variables whose
    elements are known to be no negative numbers."""

    by: dict[Var, Instruction]
    kept: dict[Var, Address]
    positive: set[Var]

    def address(self, var: Var) -> Address | None:
        """Return the address of a variable; None for one that is computed where it is used."""
        return self.kept.get(var)


_ORIGIN = np.zeros(1, np.int8)


def _reshaped(x: np.ndarray[Any, Any], shape: tuple[int, ...]) -> np.ndarray[Any, Any] | None:
    """Return the array in another shape as a view; None where strides can't express it."""
    try:
        return x.reshape(shape, copy=False)
    except ValueError:
        return None


def _flipped(x: np.ndarray[Any, Any], axes: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Return a view of the array with these axes reversed."""
    return _part(x, tuple(slice(None, None, -1 if i in axes else 1) for i in range(x.ndim)))


def _part(x: np.ndarray[Any, Any], key: tuple[Any, ...]) -> np.ndarray[Any, Any]:
    """Return x[key] as a view. With an ellipsis even an element is an array that shows where it lies, and not
    a copy."""
    part: np.ndarray[Any, Any] = x[key if any(item is Ellipsis for item in key) else (*key, ...)]
    return part


_VIEWS: dict[Operation, Callable[..., np.ndarray[Any, Any] | None]] = {
    **dict.fromkeys(RESHAPES, _reshaped),
    ops.shape.expand: np.broadcast_to,
    ops.shape.permute: np.transpose,
    ops.shape.flip: _flipped,
    ops.shape.diagonal: np.diagonal,
    ops.indexing.slice: _part,
    ops.indexing.select: _part,
}
"""For an operation, a function of an array and the parameters that returns the same elements as a view; None
where strides can't express it."""


def contiguous(shape: tuple[int, ...], pad: int = 1) -> tuple[int, ...]:
    """Return the strides of rows that lie one after the other, each padded to a multiple of `pad`."""
    steps = []
    step = 1
    for n in reversed(shape):
        steps.append(step)
        step *= -(-n // pad) * pad if len(steps) == 1 else n
    return tuple(reversed(steps))


def splits(shape: tuple[int, ...], seen: tuple[int, ...]) -> list[slice] | None:
    """Return for each dimension of a shape those of another one into which it is split; None where a reshape
    does not only that."""
    parts, at = [], 0
    for n in shape:
        start, product = at, 1
        while product != n and at < len(seen):
            product *= seen[at]
            at += 1
        if product != n:
            return None
        parts.append(slice(start, at))
    return None if loops(seen[at:]) else parts


def loops(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the sizes of the loops over a shape: the dimensions that are not 1."""
    return tuple(n for n in shape if n != 1)


def levels(shape: tuple[int, ...]) -> list[int | None]:
    """Return for each dimension the level of its loop, from outside; None for those of size 1."""
    numbers = iter(range(len(shape)))
    return [None if n == 1 else next(numbers) for n in shape]


def indices(shape: tuple[int, ...]) -> Index:
    """Return the loop variable of each dimension; 0 for those of size 1."""
    return tuple(ZERO if level is None else counter(f"i{level}") for level in levels(shape))
