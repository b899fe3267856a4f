"""Which loops run together: each kernel joins the first group with loops like its own that it may join."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable

import numpy as np

from .... import ops
from ....ops import Category
from ...instructions import Instruction, Var
from ..lowering.lower import known
from ..recording.checks import Check, divisor_checks, index_checks
from ..refusals import uncompiled, unviewed
from .body import Body
from .buffers import Address, Buffer, contiguous, loops
from .c_code import Effects
from .plan import Group, Kernel, Storage, is_alone
from .points import indices, point

ROOM = 1000
"""The most lines that the body of one loop has: compilers take more than twice as long for twice as many."""


class Fusion:
    """The kernels of primitive instructions, in groups that run one after the other.

    checks: the checks that run before anything changes. outputs: (address, variable) to be written when
    nothing can fail any more, or sooner where the memory is not yet anybody's; cells: those that replace what
    the step has read, written last. groups: the result; complaints: the error of each check, at the index of
    its number less one.
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
        self.complaints: list[tuple[type[Exception], str]] = []
        self._ready: dict[Buffer, int] = {}  # the group from which on a buffer can be read
        self._checked: set[tuple[Buffer, int, int, int]] = set()
        self._barrier = 0
        self._open: dict[tuple[int, ...], list[int]] = {}  # by their loops, the groups that may be joined
        wanted: dict[Var, list[Check]] = {}
        for check in checks:
            wanted.setdefault(check.var, []).append(check)
        for var in list(wanted):
            if var in storage.inputs:
                self._look(wanted.pop(var))
        for instruction in instructions:
            self._check(instruction)
            if instruction.output in storage.kept and instruction.output not in storage.inputs:
                self._add_kernels(instruction)
            self._look(wanted.get(instruction.output, ()))
        self._write_out(outputs, cells)

    def _look(self, checks: Iterable[Check]) -> None:
        """Add the kernels of the checks."""
        for check in checks:
            self._add_check(check.var, check.low, check.high, check.error, check.message)

    def _check(self, instruction: Instruction) -> None:
        """Add kernels that check indices, and divisors that are integers, before they are used."""
        unknown = [x for x in index_checks(instruction) if not x.is_known(self.storage.ranges)]
        self._look([*unknown, *divisor_checks(instruction)])

    def _add_check(self, var: Var, low: int, high: int, error: type[Exception], what: str) -> None:
        """Add a kernel that checks whether all elements are in [low, high), or where these are equal, whether
        any is."""
        if var.constant:
            return  # the same at every call: it was checked while the step was recorded
        address = self.storage.stored(var)
        if (address.buffer, address.offset, low, high) in self._checked or not math.prod(var.shape):
            return
        self._checked.add((address.buffer, address.offset, low, high))
        self.complaints.append((error, what))
        kernel = Kernel("check", var, var.shape, bounds=(low, high))
        kernel.code = len(self.complaints)
        self._ready[address.buffer] = self._alone(kernel) + 1

    def _add_kernels(self, instruction: Instruction) -> None:
        """Add the kernels that compute an instruction's output into its memory."""
        operation, var = instruction.operation, instruction.output
        address = self.storage.kept[var]
        if operation.category is Category.REDUCTION:
            x = instruction.inputs[0]
            domain = x.shape if isinstance(x, Var) else ()
            self._join(Kernel(operation, var, domain, address, instruction))
        elif operation.category is Category.JOIN:
            self._pieces(instruction, address)
        elif operation is ops.indexing.put_view:
            self._overwrite(instruction, address)
        elif is_alone(operation) and not self.storage.is_onehot(instruction):
            domain = var.shape
            if operation is ops.indexing.put:
                self._join(Kernel("store", instruction.inputs[0], var.shape, address), fresh=True)  # type: ignore[arg-type]
                domain = np.empty(var.shape, np.int8)[known(instruction.parameters[0])].shape
            elif operation.category is Category.SCATTER:
                domain = instruction.inputs[0].shape  # type: ignore[union-attr]
            position = self._alone(Kernel(operation, var, domain, address, instruction))
            self._ready[address.buffer] = position + 1
        else:
            self._join(Kernel("store", var, var.shape, address, instruction))

    def _pieces(self, instruction: Instruction, address: Address) -> None:
        """Add kernels that store each input of a concatenation to its place."""
        if instruction.operation not in (ops.shape.cat, ops.shape.stack):
            raise uncompiled(instruction)
        axis, start = instruction.parameters[0], 0
        for x in instruction.inputs:
            assert isinstance(x, Var)
            size = x.shape[axis] if instruction.operation is ops.shape.cat else 1
            place = slice(start, start + size) if instruction.operation is ops.shape.cat else start
            start += size
            key = (*(slice(None),) * axis, place, ...)
            shown = address.viewed(
                Instruction(ops.indexing.slice, (instruction.output,), (key,), instruction.output)
            )
            assert shown is not None
            self._join(Kernel("store", x, x.shape, shown), fresh=True)
        self._ready[address.buffer] = len(self.groups)

    def _overwrite(self, instruction: Instruction, address: Address) -> None:
        """Add the kernels that store an array, and then a value of the right shape and dtype where a chain of
        views shows it."""
        (x, value), (chain,) = instruction.inputs, instruction.parameters
        shown: Address | None = address
        for entry, parameters in chain:
            view = Instruction(entry, (instruction.output,), parameters, instruction.output)
            shown = shown.viewed(view) if shown is not None else None
        if shown is None:
            raise unviewed(instruction)
        for part, place in ((x, address), (value, shown)):
            self._join(Kernel("store", part, place.shape, place), fresh=True)  # type: ignore[arg-type]

    def _write_out(self, outputs: list[tuple[Address, Var]], cells: list[tuple[Address, Var]]) -> None:
        """Add the kernels that write the caller's outputs, and last of all the memory that was read: no
        kernel may read another's new value."""
        written = {address.buffer for address, _ in cells}
        last = []
        for address, var in cells:
            kernel = Kernel("store", var, var.shape, address)
            self._compute(kernel)
            if any(
                buffer in written and (buffer is not address.buffer or {*at} != {kernel.own})
                for buffer, at in kernel.effects.loads.items()
            ):
                copy = Buffer(f"new_{address.buffer.name}", var.dtype, var.shape, contiguous(var.shape))
                held = Var(var.value)
                self.storage.kept[held] = Address(copy, 0, copy.shape, copy.strides)
                self._join(Kernel("store", var, var.shape, self.storage.kept[held]))
                var = held
            last.append((address, var))
        for address, var in outputs:
            if self.storage.kept.get(var) is not address:
                self._join(Kernel("store", var, var.shape, address))
        self._barrier = len(self.groups)
        for address, var in last:
            self._join(Kernel("store", var, var.shape, address))

    def _compute(self, kernel: Kernel) -> None:
        """Give a kernel what it computes at each point."""
        kernel.value = point(self.body, kernel)
        kernel.effects = Effects([kernel.value])
        if kernel.kind == "store":
            assert kernel.target is not None
            kernel.own = kernel.target.at(indices(kernel.domain))

    def _join(self, kernel: Kernel, fresh: bool = False) -> int:
        """Put the kernel into the first group with equal loops that its reads allow, and return that group's
        position."""
        self._compute(kernel)
        assert kernel.target is not None
        target, loads = kernel.target.buffer, kernel.effects.loads
        first = max([self._barrier, *(self._ready.get(buffer, 0) for buffer in loads)])
        position = None
        if math.prod(kernel.domain) and not fresh:
            position = self._joined(kernel, first)
        if position is None:
            position = len(self.groups)
            self.groups.append(Group([]))
            self._open.setdefault(loops(kernel.domain), []).append(position)
        self.groups[position].add(kernel)
        self._ready[target] = max(self._ready.get(target, 0), position + 1)
        return position

    def _joined(self, kernel: Kernel, first: int) -> int | None:
        """Return the position of the first group that the kernel may join, where there is one. first: from
        which group on all that it reads is there, so that the group before is one that it may flow from.

        A group that has no room for a kernel is closed: a search among the groups takes no longer, the more
        of them there are."""
        positions = self._open.get(loops(kernel.domain), [])
        at = bisect_left(positions, max(self._barrier, first - 1))
        while at < len(positions):
            group = self.groups[positions[at]]
            if positions[at] < first and not self._flows(group, kernel, positions[at]):
                at += 1
            elif group.lines + kernel.lines > ROOM:
                del positions[at]
            else:
                return positions[at]
        return None

    def _flows(self, group: Group, kernel: Kernel, at: int) -> bool:
        """Return whether what the group itself computes is read only where it was just stored."""
        for buffer, places in kernel.effects.loads.items():
            if self._ready.get(buffer, 0) > at:
                makers = [x for x in group.kernels if x.target is not None and x.target.buffer is buffer]
                if len(makers) != 1 or makers[0].kind != "store" or {*places} != {makers[0].own}:
                    return False
                if self._ready[buffer] > at + 1:
                    return False
        return True

    def _alone(self, kernel: Kernel) -> int:
        """Put the kernel into a group of its own, and return its position."""
        if kernel.kind is not ops.linalg.matmul:
            self._compute(kernel)
        self.groups.append(Group([]))
        self.groups[-1].add(kernel)
        return len(self.groups) - 1
