"""A recorded step that can be run: its memory, what it checks before, and what it leaves behind."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ...generator import Generator
from ...ops import Category, linalg
from ...tensors import Tensor
from ..instructions import Array, Instruction, Program, Var
from .blas import loaded
from .build import build, vector_bytes
from .caller import caller
from .capture import Captured, Draw
from .checks import Check, divisor_checks
from .emit_c import ENTRY, Emitted, Emitter
from .entries import FIRST_EQUAL, WORDS_BELOW
from .fuse import Fusion
from .lower import forget_values, parts_for_c, primitives
from .memory import OURS, Table, aligned, names_for
from .plan import Address, Storage
from .results import mapped
from .straight import Straight
from .tape import Cell, UnsupportedError, refuse


class Step:
    """One recording, compiled. `program` is what was recorded, `source` its C, or "" where NumPy runs it."""

    draws_integers = True
    reserved = OURS

    def __init__(
        self, captured: Captured, arguments: dict[int, Tensor], bare: set[int], backend: str
    ) -> None:
        """arguments: the Tensors among the function's arguments, by their place; bare: those that are given
        as arrays."""
        self.captured = captured
        self.bare = bare
        self.table = self._memory()
        self.source = ""
        self.fused: list[str] = []
        self.guards: list[Callable[[], None]] = []
        self._gather(captured, arguments)
        self.leaves = {i: each.edge for i, each in arguments.items() if each.edge is not None}
        self.program = Program(captured.instructions, self._wanted()).needed()
        self.run = self._runner(backend)
        forget_values(captured.instructions)
        self.call = caller(self)

    def _wanted(self) -> list[Var]:
        return [var for _, var in (*self.outputs, *self.stores)] + self._looked_at()

    def _looked_at(self) -> list[Var]:
        """What may raise, whether or not it is of use for anything else."""
        divided = [each.output for each in self.captured.instructions if divisor_checks(each)]
        return [each.var for each in self.captured.checks] + divided

    def _runner(self, backend: str) -> Callable[[], None]:
        """The function that does the step."""
        return self._compiled() if backend == "c" else self._interpreted()

    def fill(self, made: list[Tensor]) -> Any:
        """The result with these Tensors in it."""
        left = iter(made)
        return mapped(self.result, lambda x: next(left) if x is _Slot else x)

    # -- memory ----------------------------------------------------------------------------------------------

    def _memory(self) -> Table:
        table = Table()
        table.add(aligned((0,), np.uint8), "scratch")
        return table

    def _home(self, var: Var) -> Array:
        """Memory for a result."""
        return aligned(var.shape, var.dtype)

    def _gather(self, captured: Captured, arguments: dict[int, Tensor]) -> None:
        """Find the memory of everything that is read and written."""
        names = names_for(captured, self.reserved)
        outputs: list[Var] = []
        self.result = _collect(captured.result, outputs)
        results = len(outputs)
        outputs += [var for _, var in captured.gradients if var is not None]
        cells = [cell for cell in captured.cells if cell.var is not cell.before]
        wanted = [*outputs, *(cell.var for cell in cells), *self._looked_at()]
        needed = Program(captured.instructions, wanted).needed()
        found = [var for each in needed.instructions for var in each.reads()]
        read = dict.fromkeys([*found, *wanted])  # a set would have no order
        made = {each.output for each in needed.instructions}
        self.inputs: dict[Var, Address] = {}
        self.fixed: set[Var] = set()
        self.ranges: dict[Var, tuple[float, float]] = {}
        self.owners: list[
            tuple[Tensor, Array, int, int]
        ] = []  # a Tensor, its array, slot, and which argument
        self.shared: list[
            tuple[int, Tensor, int]
        ] = []  # the number of an owner, and who holds the same array
        for number, cell in enumerate(captured.cells):
            if cell.before not in read and cell not in cells:
                continue
            if cell.owner is None:
                if cell in cells:
                    continue  # made and changed within the step; what is read of it is constant
                self._constant(cell.before, cell.before.value)
                continue
            name = names.get(cell.before, f"x{number}")
            if cell in cells and not self.table.may_write(cell.array):
                raise UnsupportedError("a Tensor is changed in place whose memory is read-only")
            self.inputs[cell.before] = address = self.table.add(cell.array, name)
            first, *more = _holders(cell, arguments, captured.elsewhere)
            self.shared += [(len(self.owners), *each) for each in more]
            self.owners.append((first[0], cell.array, address.buffer.slot or 0, first[1]))
            cell.address = address
        for cell in captured.cells:
            if cell.owner is None and cell in cells and cell.before in read:
                self._constant(cell.before, cell.before.value)
        self._refuse_shared([cell for cell in captured.cells if cell.owner is not None], cells)
        self.numbers = []
        for number, each in enumerate(captured.numbers):
            if each.var in read:
                holder = aligned((), each.var.dtype)
                self.inputs[each.var] = self.table.add(holder, f"number{number}")
                self.numbers.append((holder, each.read))
        self._draw_inputs(captured, read, names)
        drawn = {each.var for each in captured.draws}
        for var in read:
            if not (var.constant or var in made or var in self.inputs or var in drawn):
                self._constant(var, np.asarray(var.value))
        self.outputs: list[tuple[Address, Var]] = []
        for var in outputs:
            name = f"out{len(self.outputs)}" + (f"_{names[var]}" if var in names else "")
            self.outputs.append((self.table.add(self._home(var), name), var))
        slots = [address.buffer.slot or 0 for address, _ in self.outputs]
        self.result_slots, grads = slots[:results], iter(slots[results:])
        self.gradient_slots = [
            (node, None if var is None else next(grads)) for node, var in captured.gradients
        ]
        self.plain_result = self.result is _Slot
        self.stores = [(cell.address, cell.var) for cell in cells if cell.owner is not None]
        for var, name in names.items():
            var.name = name

    def _constant(self, var: Var, array: Array) -> None:
        array = np.array(array, order="C")  # of its own: the caller's may be changed, and was looked at once
        self.inputs[var] = self.table.add(array, f"constant{len(self.fixed)}")
        self.fixed.add(var)
        var.value = array
        if array.dtype.kind in "iu" and array.size:
            self.ranges[var] = (int(array.min()), int(array.max()) + 1)

    def _refuse_shared(self, found: list[Cell], written: list[Cell]) -> None:
        for cell in written:
            for other in found:
                if other is not cell and self.table.share(cell.array, other.array):
                    refuse("a Tensor is changed in place that shares its memory with another one")

    def _draw_inputs(self, captured: Captured, read: dict[Var, None], names: dict[Var, str]) -> None:
        """Integers are made of words in the compiled code; other numbers are drawn before it runs."""
        self.draws: list[tuple[Draw, Array]] = []
        self.words: list[tuple[Generator, int]] = []  # a generator, and how many words of its stream
        self.word_slots: list[int] = []
        by: dict[Generator, list[Draw]] = {}
        for each in captured.draws:
            by.setdefault(each.generator, []).append(each)
        made: list[Instruction] = []
        for generator, draws in by.items():
            spans = [_bounds(each) for each in draws]
            if self.draws_integers and all(span is not None for span in spans):
                total, start = sum(each.var.value.size for each in draws), 0
                var = Var(np.zeros(total, np.uint64))
                address = self.table.add(np.zeros(total, np.uint64), f"words{len(self.words)}")
                self.inputs[var] = address
                self.words.append((generator, total))
                self.word_slots.append(address.buffer.slot or 0)
                for each, span in zip(draws, spans, strict=True):
                    assert span is not None
                    low, high = span
                    size = each.var.value.size
                    part = Var(np.zeros(size, np.uint64))
                    self.inputs[part] = Address(address.buffer, start, (size,), (1,))
                    start += size
                    made.append(Instruction(WORDS_BELOW, (part,), (low, high - low), each.var, source=""))
                    self.ranges[each.var] = (low, high)
                continue
            for each in draws:
                holder = aligned(each.var.shape, each.var.dtype)
                self.inputs[each.var] = self.table.add(holder, f"drawn{len(self.draws)}")
                self.draws.append((each, holder))
        captured.instructions[:0] = made

    # -- running ---------------------------------------------------------------------------------------------

    def _compiled(self) -> Callable[[], None]:
        emitted = self.emit()
        self.source, self.fused = emitted.source, emitted.summary
        library = build(emitted.source)
        if (blas := loaded()) is not None:
            blas.connect(library)
        function = getattr(library, ENTRY)
        function.restype = ctypes.c_int
        self.table.arrays[0] = aligned((emitted.scratch,), np.uint8, 64)
        self.table.finish()
        place = ctypes.c_void_p(
            ctypes.addressof(self.table.slots)
        )  # once: to convert it takes as long as the call
        complaints = emitted.complaints

        def run() -> None:
            answer = function(place)
            if answer:
                error, message = complaints[answer - 1]
                raise error(message)

        return run

    def _simplified(self) -> Simplified:
        """The program in primitive operations."""
        instructions, instead = primitives(self.program.instructions, self._wanted(), parts_for_c)
        for old, new in instead.items():
            new.name = new.name or old.name
        return Simplified(
            instructions,
            [replace(each, var=instead.get(each.var, each.var)) for each in self.captured.checks],
            [(address, instead.get(var, var)) for address, var in self.outputs],
            [(address, instead.get(var, var)) for address, var in self.stores],
        )

    def emit(self) -> Emitted:
        """The C of the step."""
        width = vector_bytes()
        instructions, checks, outputs, stores = self._simplified()
        for each in instructions:
            if each.operation is FIRST_EQUAL:
                self.ranges[each.output] = (0, reduced_size(each))
            if each.operation is linalg.matmul:  # it reads memory, also where that is one number throughout
                for x in each.reads():
                    if x.constant and x not in self.inputs:
                        self._constant(x, x.value)
        for check in checks:
            self.ranges.setdefault(check.var, (check.low, check.high))
        homes: dict[Var, Address] = {}
        made = {each.output: each for each in instructions}
        for address, var in outputs:
            if var in made and made[var].operation.category is not Category.MOVEMENT:
                lanes = width // var.dtype.itemsize
                multiplied = made[var].operation is linalg.matmul
                if var.shape and var.shape[-1] % lanes and (multiplied or var.shape[-1] > lanes):
                    continue  # whole vectors are written, which takes room that only scratch memory has
                homes.setdefault(var, address)
        checked = {each.var for each in checks}
        storage = Storage(instructions, self.inputs, self.fixed, homes, self.ranges, checked, width)
        return Emitter(Fusion(storage, instructions, checks, outputs, stores), width, loaded()).emit()

    def _interpreted(self) -> Callable[[], None]:
        """The program as straight-line NumPy."""
        self.table.finish()
        instructions, checks, outputs, stores = self._simplified()
        return Straight(instructions, checks, self.inputs, [*outputs, *stores], self.table).function()


class Simplified(NamedTuple):
    """Primitive instructions, what is looked for, and what is written where."""

    instructions: list[Instruction]
    checks: list[Check]
    outputs: list[tuple[Address, Var]]
    stores: list[tuple[Address, Var]]


def reduced_size(made: Instruction) -> int:
    """How many elements a search along an axis looks at."""
    x, axis = made.inputs[0], made.parameters[0]
    assert isinstance(x, Var)
    return x.value.size if axis is None else x.shape[axis]


def _bounds(draw: Draw) -> tuple[int, int] | None:
    """(low, high) of a draw of integers that takes one word for each."""
    if draw.method != "integers" or draw.options or draw.arguments[1] - draw.arguments[0] >= 2**28:
        return None
    return draw.arguments[:2]


def _holders(cell: Cell, arguments: dict[int, Tensor], elsewhere: set[Tensor]) -> list[tuple[Tensor, int]]:
    """The Tensors that hold a memory, each with its places among the arguments, and -1 where the function
    comes to it by another way."""
    found = []
    for each in (cell.owner, *cell.others):
        assert each is not None
        places = [i for i, x in arguments.items() if x is each]
        found += [(each, i) for i in (*places, *([-1] if not places or each in elsewhere else []))]
    return found


class _Slot:
    """Where a Tensor stands in a result."""


def _collect(result: Any, outputs: list[Var]) -> Any:
    """The result, a slot in the place of each variable; these are appended to `outputs`."""

    def convert(x: Any) -> Any:
        if not isinstance(x, Var):
            return x
        outputs.append(x)
        return _Slot

    return mapped(result, convert)
