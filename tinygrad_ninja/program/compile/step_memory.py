"""The memory of a recorded step: of everything that it reads and writes, each with its place in the table of
pointers."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...engine.tensor import Tensor
from ...rng.generator import Generator
from ..entries import WORDS_BELOW
from ..instructions import Array, Instruction, Var, needed
from .c.buffers import Address
from .memory import OURS, Table, aligned, names_for
from .recording.captured import Captured, Draw
from .recording.checks import divisor_checks
from .recording.outputs import Returned
from .recording.recorded import Memory
from .refusals import UnsupportedError
from .results import leaves

Targets = list[tuple[Address, Var]]
"""Variables, each with the address to which it is written."""


class StepMemory:
    """The memory of a step, and what is to be done with it around a run.

    table: the pointers. inputs: the addresses of what is read; fixed: of these, what is the same at every
    call; ranges: those in which integers are known to be. outputs, stores: what is written, to new memory and
    to that of Tensors; wanted: the variables of both, and those that are checked.
    """

    draws_integers = True  # from random words, in the compiled code
    reserved = OURS

    def __init__(self, captured: Captured, arguments: dict[int, Tensor], bare: set[int]) -> None:
        """Collect it. arguments: the Tensors among the function's arguments, by their position; bare: the
        positions of those that are given as arrays."""
        self.captured, self.bare = captured, bare
        self.table = self._new_table()
        self._gather(arguments)
        begun = {self.given[tensor]: node for tensor, node in captured.begun.items()}
        # Where the nodes of arguments are found, by the node.
        self.places = {node: i for i, node in (captured.leaves | begun).items()}

    def _new_table(self) -> Table:
        """Return an empty table of the step's memory, with its first slot for scratch memory."""
        table = Table()
        table.add(aligned((0,), np.uint8), "scratch")
        return table

    def _home(self, var: Var) -> Array:
        """Return new memory for a result."""
        return aligned(var.shape, var.dtype)

    def _names(self) -> dict[Var, str]:
        """Return the names of variables in the code."""
        return names_for(self.captured, self.reserved)

    def _gather(self, arguments: dict[int, Tensor]) -> None:
        """Collect the memory of everything that is read and written."""
        captured, names = self.captured, self._names()
        self.returned = _returned(captured.result)
        self.given = {tensor: i for i, tensor in arguments.items()}
        outputs: list[Var] = [x.var for x in self.returned if x.var is not None]
        outputs += [var for _, var in captured.gradients if var is not None]
        outputs += [var for _, var in captured.rebound if var is not None]
        outputs += captured.kept
        changed = [cell for cell in captured.cells if cell.is_changed]
        divided = [step.output for step in captured.instructions if divisor_checks(step)]
        looked_at = [*(check.var for check in captured.checks), *divided]  # whether or not they are read
        self.wanted = [*outputs, *(cell.var for cell in changed), *looked_at]
        instructions = needed(captured.instructions, self.wanted)
        reads = [var for instruction in instructions for var in instruction.reads()]
        read = dict.fromkeys([*reads, *self.wanted])  # a set would have no order
        self.inputs: dict[Var, Address] = {}
        self.fixed: set[Var] = set()
        self.ranges: dict[Var, tuple[float, float]] = {}
        self._add_cells(arguments, names)
        self.found = {self._found(var, names): var for var in captured.found}
        self._add_numbers(read)
        self._add_draws()
        computed = {instruction.output for instruction in instructions}
        drawn = {draw.var for draw in captured.draws}
        for var in read:
            if not (var.constant or var in computed or var in self.inputs or var in drawn):
                self.add_constant(var, np.asarray(var.value))
        self._add_outputs(outputs, names)
        self.stores = [(cell.address, cell.var) for cell in changed]
        for var, name in names.items():
            var.name = name

    def _add_cells(self, arguments: dict[int, Tensor], names: dict[Var, str]) -> None:
        """Add the memory of the Tensors that were there before."""
        cells, reached = self.captured.cells, self.captured.reached
        # A Tensor, its array, slot, and position among the arguments.
        self.owners: list[tuple[Tensor, Array, int, int]] = []
        # The number of an owner, and another Tensor that holds the same array, with its position.
        self.shared: list[tuple[int, Tensor, int]] = []
        for number, cell in enumerate(cells):
            assert cell.before is not None
            assert cell.owner is not None  # it was there before
            if cell.is_changed and not self.table.may_write(cell.array):
                raise UnsupportedError("a Tensor is changed in place whose memory is read-only")
            if cell.is_changed and self.table.overlaps_itself(cell.array):
                raise UnsupportedError("a Tensor is changed in place whose elements share their memory")
            address = self.table.add(cell.array, names.get(cell.before, f"x{number}"))
            self.inputs[cell.before] = cell.address = address
            first, *more = _holders(cell, arguments, reached)
            self.shared += [(len(self.owners), *holder) for holder in more]
            self.owners.append((first[0], cell.array, address.slot, first[1]))
        self._refuse_shared(cells)

    def _found(self, var: Var, names: dict[Var, str]) -> int:
        """Add a variable that lies in an arena, and return its slot."""
        self.inputs[var] = self.table.add(self._home(var), names.get(var, f"x{len(self.inputs)}"))
        return self.inputs[var].slot

    def _add_numbers(self, read: dict[Var, None]) -> None:
        """Add memory for the numbers that are read anew at each call."""
        self.numbers = []
        for i, number in enumerate(self.captured.numbers):
            if number.var in read:
                holder = aligned((), number.var.dtype)
                self.inputs[number.var] = self.table.add(holder, f"number{i}")
                self.numbers.append((holder, number.read))

    def _add_outputs(self, outputs: list[Var], names: dict[Var, str]) -> None:
        """Add memory for the results, for the gradients, and for the Tensors that get other memory."""
        captured, layouts = self.captured, self.captured.layouts
        self.outputs: Targets = []
        for var in outputs:
            name = f"out{len(self.outputs)}" + (f"_{names[var]}" if var in names else "")
            self.outputs.append((self.table.add(self._home(var), name), var))
        slots = iter([address.slot for address, _ in self.outputs])
        self.result_slots = [next(slots) for _ in self.returned]
        self.gradient_slots = [
            (node, None if var is None else next(slots)) for node, var in captured.gradients
        ]
        self.rebound_slots = [(tensor, next(slots)) for tensor, _ in captured.rebound]
        self.kept = {next(slots): var for var in captured.kept}
        self.layouts = {address.slot: layouts[var] for address, var in self.outputs if var in layouts}
        self.inference = {address.slot for address, var in self.outputs if var in captured.inference}

    def add_constant(self, var: Var, array: Array) -> None:
        """Add an array that is the same at every call, as the value of a variable."""
        array = np.array(array, order="C")  # a copy: the caller's array may be changed later
        self.inputs[var] = self.table.add(array, f"constant{len(self.fixed)}")
        self.fixed.add(var)
        var.value = array
        if array.dtype.kind in "iu" and array.size:
            self.ranges[var] = (int(array.min()), int(array.max()) + 1)

    def _refuse_shared(self, cells: list[Memory]) -> None:
        """Raise UnsupportedError where memory that is changed overlaps with other memory of the step."""
        end = end_changed = 0  # the last address so far, of all memory and of what is changed
        for start, stop, is_changed in sorted((*self.table.span(x.array), x.is_changed) for x in cells):
            if start < stop and (start < end_changed or (is_changed and start < end)):
                raise UnsupportedError("a Tensor is changed in place that shares its memory with another one")
            end, end_changed = max(end, stop), max(end_changed, stop if is_changed else 0)

    def _add_draws(self) -> None:
        """Add the inputs for random numbers: the compiled code itself makes integers of random words, other
        numbers are drawn before it runs."""
        self.draws: list[tuple[Draw, Array]] = []
        self.draws_on_device = False  # while the step runs
        # A generator, how many words of its stream, and their slot.
        self.words: list[tuple[Generator, int, int]] = []
        by: dict[Generator, list[Draw]] = {}
        for draw in self.captured.draws:
            by.setdefault(draw.generator, []).append(draw)
        made: list[Instruction] = []
        for generator, draws in by.items():
            spans = [_bounds(draw) for draw in draws]
            if self.draws_integers and None not in spans:
                total = sum(draw.var.value.size for draw in draws)
                address = self.table.add(np.zeros(total, np.uint64), f"words{len(self.words)}")
                self.words.append((generator, total, address.slot))
                start = 0
                for draw, (low, high) in zip(draws, filter(None, spans), strict=True):
                    size = draw.var.value.size
                    part = Var(np.zeros(size, np.uint64))
                    self.inputs[part] = Address(address.buffer, start, (size,), (1,))
                    start += size
                    made.append(Instruction(WORDS_BELOW, (part,), (low, high - low), draw.var))
                    self.ranges[draw.var] = (low, high)
                continue
            for draw in draws:
                holder = aligned(draw.var.shape, draw.var.dtype)
                self.inputs[draw.var] = self.table.add(holder, f"drawn{len(self.draws)}")
                self.draws.append((draw, holder))
        self.captured.instructions[:0] = made


def _bounds(draw: Draw) -> tuple[int, int] | None:
    """Return (low, high) of a draw of integers that takes one random word for each; else None."""
    if draw.method != "integers" or draw.options or draw.arguments[1] - draw.arguments[0] >= 2**28:
        return None
    return draw.arguments[:2]


def _holders(cell: Memory, arguments: dict[int, Tensor], reached: set[Tensor]) -> list[tuple[Tensor, int]]:
    """Return the Tensors that hold a memory, each with its positions among the arguments, and -1 where the
    function reaches it in another way."""
    holders = []
    for tensor in (cell.owner, *cell.others):
        assert tensor is not None
        places = [i for i, x in arguments.items() if x is tensor]
        holders += [(tensor, i) for i in (*places, *([-1] if not places or tensor in reached else []))]
    return holders


def _returned(result: Any) -> list[Returned]:
    """Return the Tensors in a result that the step has computed, each once, but gradients that it leaves."""
    parts = (x for x in leaves(result) if isinstance(x, Returned))
    return [*dict.fromkeys(x for x in parts if x.var is not None and x.node is None)]
