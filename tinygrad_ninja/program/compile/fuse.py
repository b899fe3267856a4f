"""Which loops run together: each kernel joins the first group with loops like its own that it may join."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ... import ops
from ...ops import Category
from ..instructions import Instruction, Var
from .body import Body
from .checks import Check, divisor_checks, index_checks
from .loops import indices, write_point
from .plan import (
    Address,
    Buffer,
    Group,
    Kernel,
    Place,
    Storage,
    contiguous,
    is_alone,
    loops,
    uncompiled,
)


class Fusion:
    """The kernels of primitive instructions, in groups that run one after the other.

    checks: what is looked for before anything changes. outputs: (address, variable) to be written when
    nothing can fail any more, or sooner where they are nobody's yet; cells: those that replace what the step
    has read, written last. groups: what comes of it; complaints: what each check that fails says, by the
    number that it answers, less one.
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
        self.groups: list[Group] = []
        self.complaints: list[tuple[type[Exception], str]] = []
        self._ready: dict[Buffer, int] = {}  # the group from which on a buffer can be read
        self._checked: set[tuple[Buffer, int, int, int]] = set()
        self._barrier = 0
        wanted: dict[Var, list[Check]] = {}
        for check in checks:
            wanted.setdefault(check.var, []).append(check)
        for var in list(wanted):
            if var in storage.inputs:
                self._look(wanted.pop(var))
        for each in instructions:
            self._check(each)
            if each.output in storage.kept and each.output not in storage.inputs:
                self._add_kernels(each)
            self._look(wanted.get(each.output, ()))
        self._write_out(outputs, cells)

    def _look(self, checks: Iterable[Check]) -> None:
        for each in checks:
            self._add_check(each.var, each.low, each.high, each.error, each.message)

    def _check(self, made: Instruction) -> None:
        """Kernels that look at indices, and at divisors that are integers, before they are used."""
        for each in index_checks(made):
            low, high = self.storage.ranges.get(each.var, (-math.inf, math.inf))
            if low < each.low or high > each.high:
                self._look([each])
        self._look(divisor_checks(made))

    def _add_check(self, var: Var, low: int, high: int, error: type[Exception], what: str) -> None:
        """A kernel that looks whether all are in [low, high), or where these are equal, whether one is."""
        address = self.storage.address(var)
        assert address is not None, f"{var} is to be checked and was not kept"
        if (address.buffer, address.offset, low, high) in self._checked or not math.prod(var.shape):
            return
        self._checked.add((address.buffer, address.offset, low, high))
        self.complaints.append((error, what))
        kernel = Kernel("check", var, var.shape, bounds=(low, high))
        kernel.code = len(self.complaints)
        self._ready[address.buffer] = self._alone(kernel) + 1

    def _add_kernels(self, made: Instruction) -> None:
        operation, var = made.operation, made.output
        address = self.storage.kept[var]
        if operation.category is Category.REDUCTION:
            x = made.inputs[0]
            domain = x.shape if isinstance(x, Var) else ()
            self._join(Kernel(operation, var, domain, address, made))
        elif operation.category is Category.JOIN:
            self._pieces(made, address)
        elif is_alone(operation) and not self.storage.is_onehot(made):
            domain = var.shape
            if operation is ops.indexing.put:
                self._join(Kernel("store", made.inputs[0], var.shape, address), fresh=True)  # type: ignore[arg-type]
                domain = np.empty(var.shape, np.int8)[_shown(made.parameters[0])].shape
            elif operation.category is Category.SCATTER:
                domain = made.inputs[0].shape  # type: ignore[union-attr]
            position = self._alone(Kernel(operation, var, domain, address, made))
            self._ready[address.buffer] = position + 1
        else:
            self._join(Kernel("store", var, var.shape, address, made))

    def _pieces(self, made: Instruction, address: Address) -> None:
        """Store each part of what lies beside each other to its place."""
        if made.operation not in (ops.shape.cat, ops.shape.stack):
            raise uncompiled(made)
        axis, start = made.parameters[0], 0
        for x in made.inputs:
            assert isinstance(x, Var)
            size = x.shape[axis] if made.operation is ops.shape.cat else 1
            place = slice(start, start + size) if made.operation is ops.shape.cat else start
            start += size
            key = (*(slice(None),) * axis, place, ...)
            shown = address.viewed(Instruction(ops.indexing.slice, (made.output,), (key,), made.output))
            assert shown is not None
            self._join(Kernel("store", x, x.shape, shown), fresh=True)
        self._ready[address.buffer] = len(self.groups)

    def _write_out(self, outputs: list[tuple[Address, Var]], cells: list[tuple[Address, Var]]) -> None:
        """What the caller gets, and last of all the memory that was read: no kernel may read another's new
        value."""
        written = {address.buffer for address, _ in cells}
        last = []
        for address, var in cells:
            own = self._probe(address, var)
            loads = self._loads(Kernel("store", var, var.shape, address))
            if any(
                each in written and (each is not address.buffer or at != {own}) for each, at in loads.items()
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

    def _probe(self, address: Address, var: Var) -> Place:
        return Body(self.storage).at(address, indices(var.shape))

    def _loads(self, kernel: Kernel) -> dict[Buffer, set[Place]]:
        body = Body(self.storage)
        write_point(self.storage, kernel, body)
        return body.loads

    def _join(self, kernel: Kernel, fresh: bool = False) -> int:
        """Put the kernel into the first group with loops like its own that what it reads allows."""
        loads = self._loads(kernel)
        assert kernel.target is not None
        needed = [self._ready.get(buffer, 0) for buffer in loads]
        first = max([self._barrier, *needed])
        target = kernel.target.buffer
        own = self._probe(kernel.target, kernel.var) if kernel.kind == "store" else None
        position = len(self.groups)
        if math.prod(kernel.domain) and not fresh:
            for at in range(max(self._barrier, first - 1), len(self.groups)):
                group = self.groups[at]
                if (
                    not group.kernels[0].alone
                    and group.loops == loops(kernel.domain)
                    and (at >= first or self._flows(group, loads, at))
                ):
                    position = at
                    break
        if position == len(self.groups):
            self.groups.append(Group([]))
        self.groups[position].kernels.append(kernel)
        kernel.own = own
        self._ready[target] = max(self._ready.get(target, 0), position + 1)
        return position

    def _flows(self, group: Group, loads: dict[Buffer, set[Place]], at: int) -> bool:
        """Whether what the group itself makes is read only where it was just stored."""
        for buffer, places in loads.items():
            if self._ready.get(buffer, 0) > at:
                makers = [
                    each for each in group.kernels if each.target is not None and each.target.buffer is buffer
                ]
                if len(makers) != 1 or makers[0].kind != "store" or places != {makers[0].own}:
                    return False
                if self._ready[buffer] > at + 1:
                    return False
        return True

    def _alone(self, kernel: Kernel) -> int:
        self.groups.append(Group([kernel]))
        return len(self.groups) - 1


def _shown(key: tuple[Any, ...]) -> tuple[Any, ...]:
    """A key with which NumPy tells the shape of what it selects."""
    return tuple(np.zeros(each.shape, int) if isinstance(each, Var) else each for each in key)
