"""Which loops run together: each kernel joins the first group that it may join, of those with loops like its
own that read the same memory, or write what it reads.

What shares no memory gains nothing from a common loop: apart, the updates of parameters of one shape, and the
same lines of many layers, are calls of one function.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable

from .... import ops
from ....ops import Category
from ...instructions import Instruction, Var
from ..lowering.lower import selection
from ..recording.checks import Check, by_variable, divisor_checks, index_checks
from ..refusals import uncompiled, unviewed
from .body import Body
from .buffers import Address, Buffer, contiguous, indices, loops
from .c_code import Effects, Pointer
from .plan import Group, Kernel, Storage, reads_memory

ROOM = 1000
"""The most lines that the body of one loop has: compilers take more than twice as long for twice as many."""


class Fusion:
    """The kernels of primitive instructions, in groups that run one after the other.

    checks: the checks that run before anything changes. outputs: (address, variable) to be written when
    nothing can fail any more, or sooner where the memory is not yet anybody's; cells: those that replace what
    the step has read, written last. groups: the result.
    """

    def __init__(
        self,
        storage: Storage,
        instructions: list[Instruction],
        checks: list[Check],
        outputs: list[tuple[Address, Var]],
        cells: list[tuple[Address, Var]],
    ) -> None:
        self.storage = storage
        self.body = Body(storage)
        self.groups: list[Group] = []
        self._ready: dict[Buffer, int] = {}  # the group from which on a buffer can be read
        self._read: dict[Buffer, int] = {}  # the last group that reads it
        self._checked: set[tuple[Buffer, int, int, int]] = set()
        self._barrier = 0
        # By their loops and by each buffer in them, the groups that may be joined.
        self._open: defaultdict[tuple[tuple[int, ...], Buffer], list[int]] = defaultdict(list)
        self._add_checks(check for check in checks if check.var in storage.inputs)
        looked_at = by_variable(checks)
        for instruction in instructions:
            self._check_operands(instruction)
            if instruction.output in storage.kept and instruction.output not in storage.inputs:
                self._add_kernels(instruction)
            self._add_checks(looked_at[instruction.output])
        self._write_out(outputs, cells)
        self._leave_in_registers()

    def _leave_in_registers(self) -> None:
        """Mark the kernels whose results no other group reads from memory."""
        readers: defaultdict[Buffer, set[int]] = defaultdict(set)
        for number, group in enumerate(self.groups):
            for kernel in group.kernels:
                for buffer in kernel.effects.loads:
                    readers[buffer].add(number)
        for number, group in enumerate(self.groups):
            for kernel in group.kernels:
                if kernel.kind == "store" and kernel.target.buffer.slot is None:
                    kernel.read = bool(readers[kernel.target.buffer] - {number})

    def _add_checks(self, checks: Iterable[Check]) -> None:
        """Add kernels that make these checks. A constant was checked while the step was recorded."""
        for check in checks:
            var = check.var
            if not var.constant and 0 not in var.shape:
                address = self.storage.stored(var)
                key = address.buffer, address.offset, check.low, check.high
                if key not in self._checked:
                    self._checked.add(key)
                    self._append(Kernel(check, var, var.shape, address))

    def _check_operands(self, instruction: Instruction) -> None:
        """Add kernels that check indices, and divisors that are integers, before they are used."""
        unknown = [x for x in index_checks(instruction) if not x.is_known(self.storage.ranges)]
        self._add_checks([*unknown, *divisor_checks(instruction)])

    def _add_kernels(self, instruction: Instruction) -> None:
        """Add the kernels that compute an instruction's output into its memory."""
        operation, var = instruction.operation, instruction.output
        address = self.storage.kept[var]
        if operation.category is Category.REDUCTION:
            x = instruction.inputs[0]
            domain = x.shape if isinstance(x, Var) else ()
            self._join(Kernel(instruction, var, domain, address))
        elif operation.category is Category.JOIN:
            self._pieces(instruction, address)
        elif operation is ops.indexing.put_view:
            self._overwrite(instruction, address)
        elif self.storage.is_alone(instruction):
            domain = var.shape
            if operation is ops.indexing.put:
                self._join(Kernel("store", instruction.inputs[0], var.shape, address), fresh=True)
                domain = selection(var.shape, instruction.parameters[0])
            elif operation.category is Category.SCATTER:
                domain = instruction.inputs[0].shape
            self._append(Kernel(instruction, var, domain, address))
        else:
            self._join(Kernel("store", var, var.shape, address, instruction))

    def _pieces(self, instruction: Instruction, address: Address) -> None:
        """Add kernels that store each input of a concatenation to its place."""
        if instruction.operation not in (ops.shape.cat, ops.shape.stack):
            raise uncompiled(instruction)
        axis, start = instruction.parameters[0], 0
        for x in instruction.inputs:
            size = x.shape[axis] if instruction.operation is ops.shape.cat else 1
            place = slice(start, start + size) if instruction.operation is ops.shape.cat else start
            start += size
            shown = address.viewed(ops.indexing.slice, ((*(slice(None),) * axis, place, ...),))
            assert shown is not None
            self._join(Kernel("store", x, x.shape, shown), fresh=True)

    def _overwrite(self, instruction: Instruction, address: Address) -> None:
        """Add the kernels that store an array, and then a value of the right shape and dtype where a chain of
        views shows it."""
        (x, value), (chain,) = instruction.inputs, instruction.parameters
        shown: Address | None = address
        for entry, parameters in chain:
            shown = shown.viewed(entry, parameters) if shown is not None else None
        if shown is None:
            raise unviewed(instruction)
        for part, place in ((x, address), (value, shown)):
            self._join(Kernel("store", part, place.shape, place), fresh=True)

    def _write_out(self, outputs: list[tuple[Address, Var]], cells: list[tuple[Address, Var]]) -> None:
        """Add the kernels that write the caller's outputs, and last of all the memory that was read: no
        kernel may read another's new value."""
        last, circular = self._in_order(cells)
        for address, var in circular:
            copy = Buffer(f"new_{address.buffer.name}", var.dtype, var.shape, contiguous(var.shape))
            held = Var(var.value)
            self.storage.kept[held] = Address(copy, 0, copy.shape, copy.strides)
            self._join(Kernel("store", var, var.shape, self.storage.kept[held]))
            last.append(Kernel("store", held, held.shape, address))
        behind_checks = len(self.groups)
        for address, var in outputs:
            if self.storage.kept.get(var) is not address:
                self._join(Kernel("store", var, var.shape, address))
        self._barrier = behind_checks
        for kernel in last:
            self._join(kernel)

    def _in_order(self, cells: list[tuple[Address, Var]]) -> tuple[list[Kernel], list[tuple[Address, Var]]]:
        """Return the kernels that write these cells, each behind all that read what it replaces, and the
        cells for which there is no such order."""
        kernels = [Kernel("store", var, var.shape, address) for address, var in cells]
        readers: dict[Buffer, set[Kernel]] = {address.buffer: set() for address, _ in cells}
        writers: defaultdict[Buffer, list[Kernel]] = defaultdict(list)
        for kernel, (address, _) in zip(kernels, cells, strict=True):
            self._compute(kernel)
            writers[address.buffer].append(kernel)
            for buffer, places in kernel.effects.loads.items():
                if buffer in readers and (buffer is not address.buffer or {*places} != {kernel.own}):
                    readers[buffer].add(kernel)
        ordered: dict[Kernel, None] = {}
        free = [buffer for buffer, waiting in readers.items() if not waiting]
        for buffer in free:  # which grows
            for kernel in writers[buffer]:
                ordered[kernel] = None
                for other in kernel.effects.loads:
                    if kernel in readers.get(other, ()):
                        readers[other].remove(kernel)
                        if not readers[other]:
                            free.append(other)
        return [*ordered], [x for x, kernel in zip(cells, kernels, strict=True) if kernel not in ordered]

    def _compute(self, kernel: Kernel) -> None:
        """Give a kernel what it computes at each point."""
        kernel.value = self.body.point(kernel)
        kernel.effects = Effects([kernel.value])
        if kernel.kind == "store":
            kernel.own = kernel.target.at(indices(kernel.domain))

    def _join(self, kernel: Kernel, fresh: bool = False) -> None:
        """Put the kernel into the first group with equal loops and common memory that what it reads and
        writes allows; where there is none, or if `fresh`, into a new one."""
        if not kernel.value:
            self._compute(kernel)
        target, loads = kernel.target.buffer, kernel.effects.loads
        first = max([self._barrier, *(self._ready.get(buffer, 0) for buffer in loads)])
        position = None
        if math.prod(kernel.domain) and not fresh:
            position = self._joined(kernel, first)
        if position is None:
            position = len(self.groups)
            self.groups.append(Group())
        self.groups[position].add(kernel)
        for buffer in (*_common(kernel), target):
            positions = self._open[loops(kernel.domain), buffer]
            at = bisect_left(positions, position)
            if positions[at : at + 1] != [position]:
                positions.insert(at, position)
        for buffer in loads:
            self._read[buffer] = max(self._read.get(buffer, 0), position)
        self._ready[target] = max(self._ready.get(target, 0), position + 1)

    def _joined(self, kernel: Kernel, first: int) -> int | None:
        """Return the position of the first group that the kernel may join, where there is one. first: from
        which group on all that it reads is there, so that the group before is one that it may flow from.

        A group that has no room for a kernel is closed: a search among the groups takes no longer, the more
        of them there are."""
        read = self._read.get(kernel.target.buffer, -1)
        start = max(self._barrier, first - 1, read)
        opened = [self._open[loops(kernel.domain), buffer] for buffer in _common(kernel)]
        candidates = {at: None for positions in opened for at in positions[bisect_left(positions, start) :]}
        for at in sorted(candidates):
            group = self.groups[at]
            if group.lines + kernel.lines > ROOM:
                for positions in opened:
                    if at in positions:
                        positions.remove(at)
            elif (at >= first or self._flows(group, kernel, at)) and (at > read or _replaces(group, kernel)):
                return at
        return None

    def _flows(self, group: Group, kernel: Kernel, at: int) -> bool:
        """Return whether what the group itself computes is read only where it was just stored."""
        for buffer, places in kernel.effects.loads.items():
            if self._ready.get(buffer, 0) > at:
                makers = [x for x in group.kernels if x.target.buffer is buffer]
                if len(makers) != 1 or makers[0].kind != "store" or {*places} != {makers[0].own}:
                    return False
                if self._ready[buffer] > at + 1:
                    return False
        return True

    def _append(self, kernel: Kernel) -> None:
        """Put the kernel into a group of its own, behind which its target can be read."""
        if isinstance(kernel.kind, Instruction) and reads_memory(kernel.kind.operation):
            operands = map(self.storage.stored, kernel.kind.inputs)
            kernel.effects = Effects([Pointer(operand.buffer) for operand in operands])
        else:
            self._compute(kernel)
        self.groups.append(Group())
        self.groups[-1].add(kernel)
        self._ready[kernel.target.buffer] = len(self.groups)


def _common(kernel: Kernel) -> list[Buffer]:
    """Return the buffers of which a kernel reads another element at each point; where there is a single
    point, all that it reads."""
    single = not loops(kernel.domain)
    loads = kernel.effects.loads.items()
    return [buffer for buffer, places in loads if single or any(place.terms for place in places)]


def _replaces(group: Group, kernel: Kernel) -> bool:
    """Return whether a kernel writes only where, at the same point, a group has read before."""
    own, target = {kernel.own}, kernel.target.buffer
    return all({*other.effects.loads.get(target, own)} == own for other in group.kernels)
