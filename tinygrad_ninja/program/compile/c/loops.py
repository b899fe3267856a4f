"""Loops over a domain, with what is computed at each point and what is reduced on the way."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np

from .... import ops
from ....ops import Operation
from ...entries import FIRST_EQUAL
from ...instructions import Instruction, Var
from ..recording.checks import Check
from ..refusals import uncompiled
from . import sharing
from .body import Body, named
from .buffers import Address, Buffer, indices, levels, scratch
from .c_code import (
    ZERO,
    Affine,
    Apply,
    Effects,
    Element,
    Expression,
    Index,
    Loop,
    Pointer,
    Statement,
    Store,
    counter,
)  # fmt: skip
from .flat import flat
from .folds import OPENMP, WINS, assigned, fold_into, neutral
from .plan import Group, Kernel
from .scalars import accumulator, c_type, expression, suffix

LANES = 16
"""The number of partial sums that run beside each other where a row is summed: a fixed number, so that the
order of the additions is the same on every machine."""
STACK = 2**14
"""The most bytes that the rows of one function may take on the stack: a thread may have little of it."""


class Loops:
    """The loops of one group, as statements. parts: the buffers for what the parts of the outermost loop
    reduce, where threads share them; copies: what is read from rows on the stack.

    Each kernel adds its own: `before` and `after` all loops, `started` where a part of the outermost one
    begins, `opened` and `closed` around the loop of a level, and `inside` the innermost one.
    """

    def __init__(
        self,
        body: Body,
        group: Group,
        width: int,
        row: int = 0,
        copies: dict[tuple[Buffer, Affine], None] | None = None,
    ) -> None:
        """Generate the loops. width: bytes of a vector register. row: the number of steps of the innermost
        loop, where that is more than its size."""
        self.body, self.group, self.width, self.row = body, group, width, row
        self.copies = copies or {}
        self.sizes = group.loops
        self.inside: list[Statement] = []
        self.before: list[Statement] = []
        self.opened: defaultdict[int, list[Statement]] = defaultdict(list)
        self.closed: defaultdict[int, list[Statement]] = defaultdict(list)
        self.clauses: list[str] = []
        self.vector = True
        # Whether the innermost loop runs by blocks of LANES, each with a sum of its own.
        self.laned = False
        self.targets: list[tuple[Buffer, Affine]] = []  # where reductions are written to
        self.started: list[Statement] = []
        self.after: list[Statement] = []
        self.parts: list[Buffer] = []
        large = math.prod(self.sizes) * sum(kernel.work for kernel in group.kernels) >= sharing.WORK
        self.shared = large and not any(kernel.alone for kernel in group.kernels)
        for number, kernel in enumerate(group.kernels):
            self._add(kernel, f"r{number}")
        if all(kernel.kind == "store" for kernel in group.kernels):
            self.sizes, self.inside = flat(self.sizes, self.inside)
        self.effects = Effects(self.inside)
        self.statements = self._statements()

    def padded(self) -> Loops:
        """Return loops whose innermost one runs to the end of a whole vector, so that no rest of a row is
        computed element by element; or these loops, where it may not run so far.

        Beyond its row the loop computes with arbitrary numbers. What it may do there is decided here and
        nowhere else: arithmetic, which does no harm, but no checks, no division of integers, no place that
        depends on what was read, and no memory but a buffer's own room. A short vector of the caller's is
        copied to a row on the stack.
        """
        if not self.sizes or self.effects.traps or any(kernel.alone for kernel in self.group.kernels):
            return self
        read = [(buffer, place) for buffer, places in self.effects.loads.items() for place in places]
        written = [*(place for place, read in self.effects.stored.items() if read), *self.targets]
        n, last = self.sizes[-1], f"i{len(self.sizes) - 1}"
        lanes = self.width // min(max(4, buffer.dtype.itemsize) for buffer, _ in (*read, *written))
        row = -(-n // lanes) * lanes
        if n <= lanes or row == n:
            return self
        counters = {"chunk", *(f"i{level}" for level in range(len(self.sizes)))}
        copies: dict[tuple[Buffer, Affine], None] = {}
        for buffer, place in dict.fromkeys((*written, *read)):
            if not counters.issuperset(index for index, _ in place.terms):
                return self
            steps = [step for index, step in place.terms if index == last]
            if not steps:
                continue
            starts = [place.offset, *(step for index, step in place.terms if index != last)]
            if steps == [1] and buffer.has_room(row, n, starts, (buffer, place) in written):
                continue
            if steps != [1] or any(starts) or any(buffer is target for target, _ in written):
                return self
            copies[buffer, place] = None
        if sum(row * buffer.dtype.itemsize for buffer, _ in copies) > STACK:
            return self
        return Loops(self.body, self.group, self.width, row, copies)

    def _add(self, kernel: Kernel, name: str) -> None:
        """Add a kernel to the loops; `name` is free for what it reduces to."""
        if isinstance(kernel.kind, Check):
            self._check(kernel.kind, kernel.value)
        elif kernel.own is not None:
            self.inside.append(Store(kernel.target.buffer, kernel.own, kernel.value, kernel.read))
        elif isinstance(kernel.kind, Instruction):
            if kernel.reduces:
                self._reduce(kernel, kernel.kind, kernel.value, name)
            else:
                self._write_apart(kernel.kind, kernel.target, indices(kernel.domain), kernel.value)

    def _statements(self) -> list[Statement]:
        """Return the statements of the function."""
        out = [*self.before]
        for buffer, _ in self.copies:
            parts = {"T": c_type(buffer.dtype), "buffer": Pointer(buffer)}
            out.append(Apply(f"{{T}} {{buffer}}_row[{self.row}] = {{{{0}}}};", parts))
            out.append(Apply(f"memcpy({{buffer}}_row, {{buffer}}, {self.sizes[-1]} * sizeof({{T}}));", parts))
        if not self.chunked:
            return [*out, *self._nested(0), *self.after]
        n = self._size(0)
        step = -(-n // sharing.CHUNKS)
        step += -step % LANES if len(self.sizes) == 1 else 0
        bounds = [
            f"const int begin = chunk * {step};",
            f"const int end = begin + {step} < {n} ? begin + {step} : {n};",
        ]
        inner = [*bounds, *self.started, *self._nested(0)]
        return [*out, Loop("chunk", 0, sharing.CHUNKS, inner, threads=self._sharing()), *self.after]

    def _size(self, level: int) -> int:
        """Return how many steps a loop has."""
        return self.row or self.sizes[-1] if level == len(self.sizes) - 1 else self.sizes[level]

    def _nested(self, level: int) -> list[Statement]:
        """Return the loops from a level on, and what stands before and behind them."""
        opened, closed = self.opened[level], self.closed[level]
        if level == len(self.sizes):
            return [*opened, *self.inside, *closed]
        inner = level == len(self.sizes) - 1
        begin, end = ("begin", "end") if self.chunked and level == 0 else (0, self._size(level))
        threads = level == 0 and not self.chunked and self._sharing()
        pragma = " ".join(["#pragma omp simd", *self.clauses]) if inner and self.vector else ""
        name = f"i{level}"
        if not (inner and self.laned):
            return [*opened, Loop(name, begin, end, self._nested(level + 1), 1, pragma, threads), *closed]
        here = [f"const int {name} = from + lane;", *self._nested(level + 1)]
        lanes = Loop("lane", 0, LANES, here, pragma=pragma)
        return [*opened, Loop("from", begin, end, [lanes], step=LANES), *closed]

    @property
    def chunked(self) -> bool:
        """Return whether threads share parts of the outermost loop, not its single steps: where it is summed
        over, or is the only one, which runs over whole vectors."""
        summed = any(kernel.reduces_first for kernel in self.group.kernels)
        return self.shared and (len(self.sizes) == 1 or (summed and self.sizes[0] >= sharing.SUMMED))

    def _sharing(self) -> bool:
        """Return whether threads share the outermost loop: each of its steps, or of its parts, must write
        elements of its own."""
        places = [place for _, place in (*self.effects.stored, *self.targets)]
        own = all({"chunk", "i0"}.intersection(name for name, _ in place.terms) for place in places)
        return self.shared and own

    def _check(self, check: Check, value: Expression) -> None:
        """Add a check of a variable: the function answers whether any element is wrong."""
        low, high = check.low, check.high
        outside = f"({{value}} < {low}) | ({{value}} >= {high})"
        self.opened[0].append("int wrong = 0;")
        self.clauses.append("reduction(|:wrong)")
        wrong = outside if low < high else f"{{value}} == {low}"
        self.inside.append(Apply(f"wrong |= {wrong};", {"value": value}))
        self.after.append("return wrong;")

    def _reduce(self, kernel: Kernel, instruction: Instruction, value: Expression, name: str) -> None:
        """Add the loop of a reduction."""
        operation, fold = instruction.operation, instruction.operation.folds
        if fold is None or fold not in OPENMP:
            raise uncompiled(instruction)
        _, keep = instruction.parameters
        domain, var, axes = kernel.domain, kernel.var, kernel.reduced
        out = tuple(
            ZERO if i in axes else along for i, along in enumerate(indices(domain)) if keep or i not in axes
        )
        of_dimension = [(i, level) for i, level in enumerate(levels(domain)) if level is not None]
        staying = [level for i, level in of_dimension if i not in axes]
        gone = [level for i, level in of_dimension if i in axes]
        level = max(staying, default=-1) + 1
        dtype = np.dtype(np.int32) if operation is FIRST_EQUAL else var.dtype
        nothing = neutral(operation, dtype)
        place, start = Element(kernel.target.buffer, kernel.target.at(out)), self.before
        if self.chunked and 0 in gone:  # what the parts have reduced is folded, one after the other
            whole, part = place, self._part(kernel.target, dtype)
            place = Element(part.buffer, part.at((counter("chunk"), *out)))
            self.before += self._over(staying, [assigned(whole, nothing)])
            folded = self._over(staying, [fold_into(fold, whole, place, var)])
            self.after.append(Loop("chunk", 0, sharing.CHUNKS, folded))
            start = self.started
        self.targets.append((place.buffer, place.place))
        last = len(self.sizes) - 1
        if self.row and last in gone:
            condition = f"(i{last} < {self.sizes[-1]} ? {{value}} : {{nothing}})"
            value = named(Apply(condition, {"value": value, "nothing": nothing}), dtype)
        outer = any(axis_level < level for axis_level in gone)
        if outer:
            start += self._over(staying, [assigned(place, nothing)])
        if level == len(self.sizes):
            if fold is ops.elementwise.add and not outer:  # the sum of -0 alone is 0
                value = expression(fold, [nothing, value], dtype)
            self.inside.append(fold_into(fold, place, value, var) if outer else assigned(place, value))
            return
        by_lanes = dtype.kind == "f" and self.vector and (self.row or self.sizes[-1]) % LANES == 0
        if fold is ops.elementwise.add and by_lanes:
            self._sum_by_lanes(level, name, dtype, value)
            total = f"sum_lanes_{suffix(dtype)}({name})"
            end: Statement = Apply(f"{{place}} {'+=' if outer else '='} {total};", {"place": place})
        else:
            result = self._accumulate(level, name, dtype, fold, value, nothing)
            end = fold_into(fold, place, result, var) if outer else assigned(place, result)
        self.closed[level].append(end)

    def _sum_by_lanes(self, level: int, name: str, dtype: np.dtype[Any], value: Expression) -> None:
        """Sum in as many variables as a vector has lanes, which are added at the end."""
        self.laned = True
        self.opened[level].append(f"{c_type(dtype)} {name}[{LANES}] = {{0}};")
        self.inside.append(Apply(f"{name}[lane] += {{value}};", {"value": value}))

    def _accumulate(
        self, level: int, name: str, dtype: np.dtype[Any], fold: Operation, value: Expression,
        nothing: Expression,
    ) -> Expression:  # fmt: skip
        """Fold into one variable, which begins with `nothing`, and return what it holds at the end: NaN where
        a search for the largest or smallest has met one."""
        wins, opened = WINS.get(fold, ""), self.opened[level]
        holder = c_type(dtype) if wins else accumulator(dtype)
        opened.append(Apply(f"{holder} {name} = {{nothing}};", {"nothing": nothing}))
        result: Expression = name
        if wins and dtype.kind == "f":
            opened.append(f"int {name}_nan = 0;")
            self.clauses.append(f"reduction(|:{name}_nan)")
            self.inside.append(Apply(f"{name}_nan |= {{value}} != {{value}};", {"value": value}))
            result = f"({name}_nan ? NAN : {name})"
        self.clauses.append(f"reduction({OPENMP[fold]}:{name})")
        line = f"{name} = {{value}} {wins} {name} ? {{value}} : {name};"
        self.inside.append(Apply(line if wins else f"{name} {OPENMP[fold]}= {{value}};", {"value": value}))
        return result

    def _over(self, over: list[int], inner: list[Statement]) -> list[Statement]:
        """Return loops over these levels, with statements inside."""
        for level in reversed(over):
            inner = [Loop(f"i{level}", 0, self.sizes[level], inner)]
        return inner

    def _part(self, target: Address, dtype: np.dtype[Any]) -> Address:
        """Return memory for what each part of the outermost loop reduces to the target."""
        shape = (sharing.CHUNKS, *target.shape)
        name = f"{target.buffer.name}_parts{len(self.parts)}"
        buffer = scratch(name, dtype, shape, self.width // dtype.itemsize, pad=bool(target.shape))
        self.parts.append(buffer)
        return Address(buffer, 0, shape, buffer.strides)

    def _write_apart(
        self, instruction: Instruction, target: Address, index: Index, value: Expression
    ) -> None:
        """Write the value of a point to where its operation says. Raise UnsupportedError, which names the
        operation, where there are no loops for it."""
        if instruction.operation not in _APART:
            raise uncompiled(instruction)
        self.vector = False
        _APART[instruction.operation](self, instruction, target, index, value)

    def _scan(self, instruction: Instruction, target: Address, index: Index, value: Expression) -> None:
        (axis,), fold = instruction.parameters, instruction.operation.folds
        assert fold is not None
        place = target.at(index)
        here, dtype = Element(target.buffer, place), instruction.output.dtype
        first = expression(fold, [neutral(instruction.operation, dtype), value], dtype)  # of -0 this is 0
        if not index[axis].terms:
            self.inside.append(assigned(here, first))
            return
        before = Element(target.buffer, place + Affine(-target.strides[axis]))
        total = expression(fold, [before, value], dtype)
        parts = {"here": here, "along": index[axis], "total": total, "first": first}
        self.inside.append(Apply("{here} = {along} ? {total} : {first};", parts))

    def _scatter(self, instruction: Instruction, target: Address, index: Index, value: Expression) -> None:
        shape, key = instruction.parameters
        place = self.body.place(key, shape, index)
        read = any(isinstance(item, Var) for item in key)
        last = counter(f"i{len(self.sizes) - 1}")
        self.vector = bool(self.sizes) and read and index[-1] == last and place[-1] == last
        self._onto_zeros(instruction, target, place, value, once=not read)

    def _scatter_along(
        self, instruction: Instruction, target: Address, index: Index, value: Expression
    ) -> None:
        _, axis, where = instruction.parameters
        there = self.body.wrapped(where, index, instruction.output.shape[axis])
        place = (*index[:axis], there, *index[axis + 1 :])
        self._onto_zeros(instruction, target, place, value, once=False)

    def _diagonal(self, instruction: Instruction, target: Address, index: Index, value: Expression) -> None:
        (i,), (offset,) = index, instruction.parameters
        place = i + Affine(max(0, -offset)), i + Affine(max(0, offset))
        self._onto_zeros(instruction, target, place, value, once=True)

    def _put(self, instruction: Instruction, target: Address, index: Index, value: Expression) -> None:
        place = self.body.place(instruction.parameters[0], instruction.output.shape, index)
        self.inside.append(assigned(Element(target.buffer, target.at(place)), value))

    def _onto_zeros(
        self, instruction: Instruction, target: Address, place: Index, value: Expression, once: bool
    ) -> None:
        """Add the value to a place in memory that was zeros before. once: no place is written twice."""
        here, start = Element(target.buffer, target.at(place)), Pointer(target.buffer)
        clear = f"memset({{start}}, 0, {target.buffer.elements} * sizeof *({{start}}));"
        self.before.append(Apply(clear, {"start": start}))
        if not once:  # 0 + -0 is 0
            value = expression(ops.elementwise.add, [here, value], instruction.output.dtype)
        self.inside.append(assigned(here, value))


_APART: dict[Operation, Callable[[Loops, Instruction, Address, Index, Expression], None]] = {
    ops.reduction.cumsum: Loops._scan,
    ops.indexing.scatter: Loops._scatter,
    ops.indexing.scatter_along: Loops._scatter_along,
    ops.indexing.put: Loops._put,
    ops.shape.diag_embed: Loops._diagonal,
}
"""The loops of operations that choose themselves where to write."""
