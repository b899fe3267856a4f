"""Which variables are kept in memory, and which loops run together.

A variable is kept if it must lie in memory (an operand of a product, an index, the result of a reduction, an
output) or if it costs more to compute again than to read. All others are computed inside the loops that use
them: this fuses elementwise chains with each other, with their reductions and with the update of the
parameters.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Literal, NamedTuple

import numpy as np

from .... import ops
from ....ops import Category, Operation
from ...entries import RESHAPES
from ...instructions import Instruction, Var, axes_of, flatten
from ...trace import plain
from ..recording.checks import Check, divides
from ..refusals import UnsupportedError
from .buffers import Address, Layout, loops, scratch, splits
from .c_code import Affine, Effects, Expression
from .products import in_order
from .scalars import cost

_ALONE = (Category.PRODUCT, Category.ORDER, Category.SCATTER, Category.SCAN, Category.JOIN)
_READING_MEMORY = (Category.PRODUCT, Category.ORDER)
"""The categories of operations with loops of their own, in which nothing else is computed."""
CHEAP = 6
"""The most instructions that a variable may cost to be computed again at each of several uses."""
FEW = 2
"""The most elements that are read for that: a sum to which each layer adds does not grow with the layers."""
DEEP, LONG = 40, 200
"""Of so many operations on top of each other, or in all, the last one's result is kept in memory: no
expression grows with the program, and reading a number back costs little beside them."""


def reads_memory(operation: Operation) -> bool:
    """Return whether the operation is the call of a function that finds its operands in memory."""
    return operation.category in _READING_MEMORY


class Inline(NamedTuple):
    """What it takes to compute an element where it is used: about how many simple instructions, how many
    operations, how many of those on top of each other, and the variables of which an element is read from
    memory for each."""

    cost: int
    size: int
    depth: int
    reads: frozenset[Var]


@dataclass(eq=False)
class Kernel:
    """One variable, or one store to an address, computed by loops over `domain`.

    kind: what is done with the value computed at each point: it is stored, checked, or goes where the
    instruction says whose loops these are. target: where that is; of a check, where the variable lies.
    """

    kind: Instruction | Check | Literal["store"]
    var: Var
    domain: tuple[int, ...]
    target: Address
    instruction: Instruction | None = None  # that which a store computes; None where it copies
    own: Affine | None = None  # the place to which a store writes its value
    value: Expression = ""  # what is computed at each point, once that is known
    effects: Effects = field(default_factory=lambda: Effects(()))  # what that reads and computes
    read: bool = True  # whether other loops read its target

    @property
    def alone(self) -> bool:
        """Return whether nothing else may be computed in this kernel's loops."""
        return self.kind != "store" and not self.reduces

    @property
    def reduces(self) -> bool:
        """Return whether it reduces its domain."""
        return isinstance(self.kind, Instruction) and self.kind.operation.category is Category.REDUCTION

    @property
    def reduced(self) -> set[int]:
        """Return the dimensions of its domain that it reduces."""
        axis = self.kind.parameters[0] if isinstance(self.kind, Instruction) and self.reduces else ()
        if axis is None:
            return {*range(len(self.domain))}
        return {axis} if isinstance(axis, int) else {*axis}

    @property
    def reduces_first(self) -> bool:
        """Return whether it reduces what the outermost loop runs over."""
        return next((i for i, n in enumerate(self.domain) if n != 1), None) in self.reduced

    @property
    def lines(self) -> int:
        """Return about how many lines of C compute it at a point."""
        return len(self.effects.named) + 1

    @property
    def work(self) -> int:
        """Return about how many simple instructions a point takes: what is computed, read and written."""
        return self.effects.work + len(self.effects.loads) + 1

    @property
    def label(self) -> str:
        """Return what the kernel does, in a word."""
        if isinstance(self.kind, Check):
            return "check"
        return self.kind.operation.name if isinstance(self.kind, Instruction) else self.kind


@dataclass(eq=False)
class Group:
    """Kernels whose loops run together: over the domain without its dimensions of size 1."""

    kernels: list[Kernel] = field(default_factory=list)
    lines: int = 0  # those of all kernels

    def add(self, kernel: Kernel) -> None:
        """Add a kernel that runs in the same loops."""
        self.kernels.append(kernel)
        self.lines += kernel.lines

    @property
    def loops(self) -> tuple[int, ...]:
        """Return the sizes of the loops."""
        return loops(self.kernels[0].domain)


@dataclass
class Uses:
    """How a variable, or a view of it, is read. unmapped: a view for whose elements an index does not say
    where they lie without a division: it needs rows that are not padded; stored: what reads it needs it in
    memory; count: the instructions that compute with it; largest: the most points at which one of them does;
    readers: the instructions that read the variable itself."""

    unmapped: bool = False
    stored: bool = False
    count: int = 0
    largest: int = 0
    readers: list[Instruction] = field(default_factory=list)

    def add(self, var: Var, user: Instruction, seen: Uses) -> None:
        """Add an instruction that reads the variable. seen: how that instruction's output is read."""
        kind = user.operation.category
        self.readers.append(user)
        if kind is Category.MOVEMENT:
            self.unmapped |= seen.unmapped or not maps_index(user)
            self.stored |= seen.stored
            self.count += seen.count
            self.largest = max(self.largest, seen.largest)
            return
        source = user.inputs[0] if kind is Category.REDUCTION else user.output
        self.stored |= reads_memory(user.operation)
        self.stored |= user.inputs[-1] is var and divides(user.operation, var.dtype)
        self.stored |= any(x is var for x in flatten(user.parameters))
        self.count += 1
        self.largest = max(self.largest, math.prod(source.shape) if isinstance(source, Var) else 1)


class Storage(Layout):
    """Decides which variables are kept, and gives each its buffer.

    Everything is decided in one walk over the instructions, of which each finds its operands decided. What is
    not kept is computed inside the loops that use it, by expressions of at most `DEEP` operations on each
    other and `LONG` in all.
    """

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
        positive = {var for var, (low, _) in ranges.items() if low >= 0}
        super().__init__({step.output: step for step in instructions}, dict(inputs), positive)
        self.inputs, self.fixed, self.ranges = inputs, fixed, ranges
        self._numbers = count(1)  # of what is kept in scratch memory
        self._checked, self.width = checked, width
        self._views: dict[Var, Address] = {}
        self._inline: dict[Var, Inline] = {}
        self._uses: dict[Var, Uses] = {}
        for instruction in reversed(instructions):
            seen = self._uses.setdefault(instruction.output, Uses())
            for var in dict.fromkeys(instruction.reads()):
                self._uses.setdefault(var, Uses()).add(var, instruction, seen)
        self._homes = {var: home for var, home in homes.items() if self._is_at_home(var)}
        self._right = {step.inputs[1] for step in instructions if step.operation is ops.linalg.matmul}
        for instruction in instructions:
            self._decide(instruction)

    def _is_at_home(self, var: Var) -> bool:
        """Return whether a variable may be computed where it is wanted: loops and products write whole
        vectors, for which memory outside has room behind its last row only."""
        if var not in self.by or self.by[var].operation.category is Category.MOVEMENT:
            return False
        lanes = self.width // var.dtype.itemsize
        if not var.shape or var.shape[-1] % lanes == 0:
            return True
        if not self._is_product(var):
            return var.shape[-1] < lanes
        categories = {user.operation.category for user in self._uses[var].readers}
        return in_order(self.by[var]) and categories <= {Category.ELEMENTWISE}

    def _decide(self, instruction: Instruction) -> None:
        """Keep an instruction's output, or note where it is seen, or what it takes to compute it again."""
        var, x = instruction.output, instruction.inputs[0] if instruction.inputs else None
        if instruction.operation.category is Category.MOVEMENT and isinstance(x, Var):
            base = self.address(x)
            seen = base.viewed(instruction.operation, instruction.parameters) if base is not None else None
            if seen is not None:
                self._views[var] = seen
                return
        operands = [self._inline[x] for x in dict.fromkeys(instruction.reads()) if x in self._inline]
        inline = Inline(
            cost(instruction.operation, instruction.inputs) + sum(operand.cost for operand in operands),
            1 + sum(operand.size for operand in operands),
            1 + max((operand.depth for operand in operands), default=0),
            frozenset(self._read(instruction)).union(*(operand.reads for operand in operands)),
        )
        if self._is_kept(instruction, inline):
            self._keep(var)
        else:
            self._inline[var] = inline

    def _read(self, instruction: Instruction) -> Iterator[Var]:
        """Yield the variables of which an instruction reads another element for each that it computes."""
        size, gathers = math.prod(instruction.output.shape), instruction.operation.category is Category.GATHER
        for x in instruction.reads():
            if (address := self.address(x)) is not None:
                moving = (n for n, step in zip(address.shape, address.strides, strict=True) if step)
                if (gathers and x is instruction.inputs[0]) or math.prod(moving) >= size:
                    yield x

    def _keep(self, var: Var) -> None:
        """Give the variable memory, unless it has some."""
        if var in self._homes:
            self.kept.setdefault(var, self._homes[var])
        if var in self.kept:
            return
        lanes, order = self.width // var.dtype.itemsize, self._order(var)
        shape = tuple(var.shape[i] for i in order)
        rows = len(shape) >= 2 and (var in self._right or self._is_product(var) or shape[-1] > lanes)
        number = next(self._numbers)
        buffer = scratch(
            var.name or f"t{number}", var.dtype, shape, lanes, rows and not self._is_contiguous(var)
        )
        strides = dict(zip(order, buffer.strides, strict=True))
        self.kept[var] = Address(buffer, 0, var.shape, tuple(strides[i] for i in sorted(order)))

    def _order(self, var: Var) -> tuple[int, ...]:
        """Return the order in which the dimensions of a variable lie in memory, from outside. Matrices of
        products lie as they are read, if only a permutation does that which leaves their rows as they are:
        what is in that order in another shape, such as attention's heads beside each other, is no copy
        then."""
        own, readers = tuple(range(len(var.shape))), self._uses[var].readers
        if not self._is_product(var) or [user.operation for user in readers] != [ops.shape.permute]:
            return own
        axes = axes_of(readers[0])
        return axes if axes[-1] == own[-1] else own

    def _is_contiguous(self, var: Var) -> bool:
        """Return whether a view of the variable, or one through which it was changed, needs rows that lie one
        after the other."""
        return self._uses[var].unmapped or self._is_by(ops.indexing.put_view, var)

    def _is_product(self, var: Var) -> bool:
        return self._is_by(ops.linalg.matmul, var)

    def _is_by(self, operation: Operation, var: Var) -> bool:
        """Return whether an operation computes the variable."""
        return var in self.by and self.by[var].operation is operation

    def address(self, var: Var) -> Address | None:
        """Return the address of a variable, or of what it is a view of; None for one that is computed where
        it is used."""
        return self.kept.get(var) or self._views.get(var)

    def stored(self, var: Any) -> Address:
        """Return the address of a variable that is read where it lies in memory."""
        address = self.address(var) if isinstance(var, Var) else None
        if address is None:
            reason = f"{var.name or 'a value' if isinstance(var, Var) else var} is not in memory"
            raise UnsupportedError(f"the step is not compiled: {reason} where it is to be read")
        return address

    def is_alone(self, instruction: Instruction) -> bool:
        """Return whether an instruction has loops of its own, in which nothing else is computed."""
        return instruction.operation.category in _ALONE and not is_onehot(instruction, self.fixed)

    def _is_kept(self, instruction: Instruction, inline: Inline) -> bool:
        """Return whether an instruction's output, which is no view of memory, is kept in memory."""
        var, category = instruction.output, instruction.operation.category
        uses = self._uses[var]
        if inline.depth >= DEEP or inline.size >= LONG or var in self._checked:
            return True
        if category is Category.MOVEMENT:
            return uses.stored or not maps_index(instruction)
        if (
            category is Category.REDUCTION
            or self.is_alone(instruction)
            or var in self._homes
            or uses.stored
            or uses.unmapped
        ):
            return True
        again = uses.largest > math.prod(var.shape) and inline.cost > 2
        return again or (uses.count > 1 and (inline.cost > CHEAP or len(inline.reads) > FEW))


def is_onehot(instruction: Instruction, fixed: set[Var]) -> bool:
    """Return whether an instruction adds at most one value to each cell, so that a comparison of indices can
    stand for it: the gradient of x[range(n), y], and of what one index took along an axis."""
    if instruction.operation is ops.indexing.scatter_along:
        _, axis, index = instruction.parameters
        return isinstance(index, Var) and index.shape == ops.reduction.kept(instruction.output.shape, (axis,))
    if instruction.operation is not ops.indexing.scatter:
        return False
    shape, key = instruction.parameters
    vectors = all(isinstance(index, Var) and len(index.shape) == 1 for index in key)
    matrix = len(key) == len(shape) == 2 and vectors
    return matrix and is_range(key[0], shape[0], fixed) and key[1].shape == key[0].shape


def is_range(var: Var, n: int, fixed: set[Var]) -> bool:
    """Return whether a variable is the constant 0, 1, …, n - 1."""
    return var in fixed and var.shape == (n,) and bool((plain(var.value) == np.arange(n)).all())


def maps_index(view: Instruction) -> bool:
    """Return whether the index of an element of a view gives that of the element that it shows, without a
    division."""
    if view.operation in RESHAPES:
        return splits(view.inputs[0].shape, view.output.shape) is not None
    return view.operation in (ops.shape.permute, ops.shape.expand, ops.shape.flip)
