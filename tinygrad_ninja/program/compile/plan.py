"""Which variables are kept in memory, where, and which loops run together.

A variable is kept if it must lie in memory (an operand of a product, an index, the result of a reduction, an
output) or if it costs more to compute again than to read. All others are computed inside the loops that use
them: this fuses elementwise chains with each other, with their reductions and with the update of the
parameters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np

from ... import ops
from ...ops import Category, Operation
from ..instructions import Instruction, Var, flatten
from ..trace import plain
from .checks import divides
from .entries import RESHAPES
from .lower import reads
from .scalars import cost
from .tape import UnsupportedError

_ALONE = (Category.PRODUCT, Category.SCATTER, Category.SCAN, Category.JOIN)
CHEAP = 6
"""The most instructions that a variable may cost to be computed again at each of several uses."""


def is_alone(operation: Operation) -> bool:
    """Return whether the operation has loops of its own, in which nothing else is computed."""
    return operation.category in _ALONE


def uncompiled(instruction: Instruction) -> UnsupportedError:
    """Return the error of an operation for which there is neither a C expression nor a loop."""
    return UnsupportedError(
        f"{instruction.source or 'the step'}: the operation {instruction.operation.name} is not compiled: "
        "its entry says no C, and its forward function calls nothing simpler"
    )


@dataclass(eq=False)
class Buffer:
    """Memory in C.

    slot: its place in the table of pointers; None for scratch memory, which begins at `offset`. That consists
    of rows of `room` elements, of which the first `width` hold the values, and the others are free: they
    may be read, as numbers of any kind, and written. Memory of the caller's has no such room (0).
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    slot: int | None = None
    width: int = 0
    room: int = 0
    offset: int = 0
    written: bool = False

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

    def dummy(self) -> np.ndarray[Any, Any]:
        """Return an array of bytes with these strides, which is never read: NumPy does the arithmetic of
        views on it."""
        return np.lib.stride_tricks.as_strided(_ORIGIN, self.shape, self.strides)

    def viewed(self, instruction: Instruction) -> Address | None:
        """Return the address of a view of this; None where strides can't express it."""
        if instruction.operation not in _VIEWS:
            raise uncompiled(instruction)
        dummy = self.dummy()
        seen = _VIEWS[instruction.operation](dummy, *instruction.parameters)
        if seen is None:
            return None
        shift = seen.__array_interface__["data"][0] - dummy.__array_interface__["data"][0] if seen.size else 0
        return Address(self.buffer, self.offset + shift, seen.shape, seen.strides)


_ORIGIN = np.zeros(1, np.int8)


def _reshaped(x: np.ndarray[Any, Any], shape: tuple[int, ...]) -> np.ndarray[Any, Any] | None:
    """Return the array in another shape as a view; None where strides can't express it."""
    try:
        return x.reshape(shape, copy=False)
    except ValueError:
        return None


def _flipped(x: np.ndarray[Any, Any], axes: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Return a view of the array with these axes reversed."""
    key = tuple(slice(None, None, -1 if i in axes else 1) for i in range(x.ndim))
    return _part(x, (*key, ...))


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


class Place(NamedTuple):
    """The number of an element in its buffer: offset + Σ index · step, over (index, step) in `terms`."""

    offset: int
    terms: tuple[tuple[str, int], ...]

    def __str__(self) -> str:
        texts = [str(self.offset)] if self.offset or not self.terms else []
        texts += [index if step == 1 else f"{index} * {step}" for index, step in self.terms]
        return " + ".join(texts)


ANYWHERE = Place(0, (("*", 1),))
"""The place that a kernel with loops of its own reads: any element."""


@dataclass(eq=False)
class Kernel:
    """One variable, or one store to an address, computed by loops over `domain`.

    kind: the operation whose loops these are, or what they do with the value computed at each point.
    """

    kind: Operation | Literal["store", "check"]
    var: Var
    domain: tuple[int, ...]
    target: Address | None = None
    instruction: Instruction | None = None
    bounds: tuple[int, int] = (0, 0)  # a check's [low, high); where these are equal, all but low is allowed
    code: int = 0  # the answer of a check that fails
    own: Place | None = None  # the place to which a store writes its value

    @property
    def alone(self) -> bool:
        """Return whether nothing else may be computed in this kernel's loops."""
        return self.kind == "check" or (isinstance(self.kind, Operation) and is_alone(self.kind))

    @property
    def label(self) -> str:
        """Return what the kernel does, in a word."""
        return self.kind.name if isinstance(self.kind, Operation) else self.kind


@dataclass(eq=False)
class Group:
    """Kernels whose loops run together: over the domain without its dimensions of size 1."""

    kernels: list[Kernel]
    name: str = ""
    buffers: list[Buffer] = field(default_factory=list)

    @property
    def loops(self) -> tuple[int, ...]:
        """Return the sizes of the loops."""
        return loops(self.kernels[0].domain)


def loops(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the sizes of the loops over a shape: the dimensions that are not 1."""
    return tuple(n for n in shape if n != 1)


class Storage:
    """Decides which variables are kept, and gives each its buffer."""

    def __init__(
        self,
        instructions: list[Instruction],
        inputs: dict[Var, Address],
        fixed: set[Var],
        homes: dict[Var, Address],
        ranges: dict[Var, tuple[float, float]],
        checked: set[Var],
        width: int,
    ) -> None:
        """Plan the memory. inputs: the addresses of the variables that no instruction makes; fixed: those
        among them that never change. homes: the addresses where variables are wanted; checked: the variables
        that are checked; ranges: (low, high) of integers that are known to be in [low, high); width: bytes of
        a vector register."""
        self.by = {instruction.output: instruction for instruction in instructions}
        self.kept: dict[Var, Address] = dict(inputs)
        self.inputs, self.fixed, self.ranges = inputs, fixed, ranges
        self.positive = {var for var, (low, _) in ranges.items() if low >= 0}
        self.buffers: list[Buffer] = []
        self._homes, self._checked, self._width = homes, checked, width
        self._addresses: dict[Var, Address | None] = {}
        self._costs: dict[Var, int] = {}
        self._users: dict[Var, list[Instruction]] = {}
        for instruction in instructions:
            for var in dict.fromkeys(reads(instruction)):
                self._users.setdefault(var, []).append(instruction)
        self._right = {
            instruction.inputs[1]
            for instruction in instructions
            if instruction.operation is ops.linalg.matmul
        }
        for instruction in instructions:
            if self._is_kept(instruction):
                self.keep(instruction.output)

    def keep(self, var: Var) -> Address:
        """Give the variable memory, and return its address."""
        if var not in self.kept:
            home = self._homes.get(var)
            if home is None:
                lanes = self._width // var.dtype.itemsize
                rows = len(var.shape) >= 2 and (self._multiplied(var) or var.shape[-1] > lanes)
                name = var.name or f"t{len(self.buffers) + 1}"
                buffer = scratch(name, var.dtype, var.shape, lanes, rows and not self._reshaped(var))
                self.buffers.append(buffer)
                home = Address(buffer, 0, buffer.shape, buffer.strides)
            self.kept[var] = home
            self._addresses.clear()
        return self.kept[var]

    def _multiplied(self, var: Var) -> bool:
        """Return whether the variable is the right factor of a product, or a product."""
        return var in self._right or (var in self.by and self.by[var].operation is ops.linalg.matmul)

    def _reshaped(self, var: Var) -> bool:
        """Return whether the variable is viewed in a way for which its rows must not be padded."""
        for _, user in self._uses(var):
            if user.operation.category is Category.MOVEMENT and not maps_index(user):
                if user.operation in RESHAPES and _splits_rows(user):
                    continue
                return True
        return False

    def address(self, var: Var) -> Address | None:
        """Return the address of a variable, or of what it is a view of; None for one that is computed where
        it is used."""
        if var in self.kept:
            return self.kept[var]
        if var not in self._addresses:
            instruction, address = self.by.get(var), None
            moved = instruction is not None and instruction.operation.category is Category.MOVEMENT
            if instruction is not None and moved and isinstance(instruction.inputs[0], Var):
                base = self.address(instruction.inputs[0])
                address = base.viewed(instruction) if base is not None else None
            self._addresses[var] = address
        return self._addresses[var]

    def cost(self, var: Any) -> int:
        """Return how many instructions it takes to compute an element again."""
        if not isinstance(var, Var) or var.constant or self.address(var) is not None:
            return 0
        if var not in self._costs:
            instruction = self.by[var]
            own = cost(instruction.operation, instruction.inputs)
            self._costs[var] = own + sum(self.cost(operand) for operand in reads(instruction))
        return self._costs[var]

    def _uses(self, var: Var) -> Iterator[tuple[Var, Instruction]]:
        """Yield (variable, instruction that reads it) for the variable and for views of it."""
        for user in self._users.get(var, ()):
            yield var, user
            if user.operation.category is Category.MOVEMENT:
                yield from self._uses(user.output)

    def _is_kept(self, instruction: Instruction) -> bool:
        """Return whether an instruction's output is kept in memory."""
        var, category = instruction.output, instruction.operation.category
        if category is Category.MOVEMENT:
            return self.address(var) is None and (var in self._checked or not maps_index(instruction))
        if (
            category is Category.REDUCTION
            or (is_alone(instruction.operation) and not self.is_onehot(instruction))
            or (var in self._homes or var in self._checked)
        ):
            return True
        size, price = math.prod(var.shape), self.cost(var)
        count = 0
        for seen, user in self._uses(var):
            kind = user.operation.category
            if kind is Category.MOVEMENT:
                if not maps_index(user):
                    return True
                continue
            count += 1
            if kind is Category.PRODUCT or seen in reads_of(user.parameters) or _divides(user, seen):
                return True
            domain = (
                user.inputs[0].shape
                if kind is Category.REDUCTION and isinstance(user.inputs[0], Var)
                else user.output.shape
            )
            if price > 2 and math.prod(domain) > size:
                return True
        return count > 1 and price > CHEAP

    def is_onehot(self, instruction: Instruction) -> bool:
        """Return whether an instruction scatters at most one value to each cell, as `is_onehot` says."""
        return is_onehot(instruction, self.fixed)


def is_onehot(instruction: Instruction, fixed: set[Var]) -> bool:
    """Return whether an instruction adds at most one value to each cell, so that a comparison of indices can
    stand for it: the gradient of x[range(n), y], and of what one index took along an axis."""
    if instruction.operation is ops.indexing.scatter_along:
        _, axis, index = instruction.parameters
        return bool(
            isinstance(index, Var)
            and index.shape[axis] == 1
            and index.shape == _cut(instruction.output.shape, axis)
        )
    if instruction.operation is not ops.indexing.scatter:
        return False
    shape, key = instruction.parameters
    if (
        len(key) != 2
        or len(shape) != 2
        or not all(isinstance(index, Var) and len(index.shape) == 1 for index in key)
    ):
        return False
    return is_range(key[0], shape[0], fixed) and key[1].shape == key[0].shape


def is_range(var: Var, n: int, fixed: set[Var]) -> bool:
    """Return whether a variable is the constant 0, 1, …, n - 1."""
    return var in fixed and var.shape == (n,) and bool((plain(var.value) == np.arange(n)).all())


def _splits_rows(view: Instruction) -> bool:
    """Return whether a reshape leaves all dimensions but the last as they are."""
    before, after = view.inputs[0].shape, view.output.shape  # type: ignore[union-attr]
    return after[: len(before) - 1] == before[:-1]


def reads_of(parameters: Any) -> set[Var]:
    """Return the variables among the parameters."""
    return {x for x in flatten(parameters) if isinstance(x, Var)}


def _divides(user: Instruction, var: Var) -> bool:
    """Return whether the variable is the divisor of an instruction that divides integers."""
    return user.inputs[-1] is var and divides(user.operation, var.dtype)


def maps_index(view: Instruction) -> bool:
    """Return whether the index of an element of a view gives that of the element that it shows, without a
    division."""
    if view.operation in RESHAPES:
        return loops(view.inputs[0].shape) == loops(view.output.shape)  # type: ignore[union-attr]
    return view.operation in (ops.shape.permute, ops.shape.expand, ops.shape.flip)


def _cut(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    """Return the shape with size 1 along the axis."""
    return (*shape[:axis], 1, *shape[axis + 1 :])
