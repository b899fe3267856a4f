"""Loops over a domain, with what is computed at each point and what is reduced on the way."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .... import ops
from ....ops import Category, Operation
from ...instructions import Instruction, Var
from ..lowering.entries import FIRST_EQUAL
from ..refusals import uncompiled
from . import sharing
from .body import Body, Index
from .buffers import Address, Buffer, Place, scratch
from .plan import Group, Kernel, Storage
from .points import NOWHERE, indices, write_point
from .scalars import accumulator, c_type, expression, literal

LANES = 16
"""The number of partial sums that run beside each other where a row is summed: a fixed number, so that the
order of the additions is the same on every machine."""
STACK = 2**14
"""The most bytes that the rows of one function may take on the stack: a thread may have little of it."""
_OPENMP = {
    ops.elementwise.add: "+", ops.elementwise.mul: "*", ops.comparison.bitwise_or: "|",
    ops.comparison.bitwise_and: "&", ops.comparison.bitwise_xor: "^", ops.comparison.maximum: "max",
    ops.comparison.minimum: "min",
}  # fmt: skip
"""The pragma's name for the operation that a reduction folds."""
_WINS = {ops.comparison.maximum: ">", ops.comparison.minimum: "<"}
"""For operations that choose one of two numbers, the comparison of the chosen one with the other."""


class Loops:
    """The loops of one group."""

    def __init__(
        self,
        storage: Storage,
        group: Group,
        width: int,
        row: int = 0,
        copies: dict[tuple[Buffer, Place], str] | None = None,
    ) -> None:
        """Generate the loops. width: bytes of a vector register. row: the number of steps of the innermost
        loop, where that is more than its size; copies: the names of the rows on the stack that are read
        instead of a buffer."""
        self.storage, self.group, self.width, self.row = storage, group, width, row
        self.body = Body(storage, copies)
        self.sizes = group.loops
        self.before: list[str] = []
        self.opened: dict[int, list[str]] = {}
        self.closed: dict[int, list[str]] = {}
        self.clauses: list[str] = []
        self.vector = True
        # Whether the innermost loop runs by blocks of LANES, each with a sum of its own.
        self.laned = False
        self.targets: list[tuple[Buffer, Place]] = []  # where reductions are written to
        self.started: list[str] = []  # at the beginning of a part of the outermost loop
        self.after: list[str] = []
        self.parts: list[Buffer] = []  # for what these parts reduce
        large = math.prod(self.sizes) * group.work >= sharing.WORK
        self.shared = large and all(kernel.kind == "store" or _reduces(kernel) for kernel in group.kernels)
        self.chunked = self.shared and self._in_parts()
        self.lines = self._generate()

    def padded(self) -> Loops:
        """Return loops whose innermost one runs to the end of a whole vector, so that no rest of a row is
        computed element by element; or these loops, where it may not run so far.

        Beyond its row the loop computes with arbitrary numbers. What it may do there is decided here and
        nowhere else: arithmetic, which does no harm, but no checks, no division of integers, no place that
        depends on what was read, and no memory but a buffer's own room. A short vector of the caller's is
        copied to a row on the stack.
        """
        if not self.sizes or self.body.traps or any(kernel.alone for kernel in self.group.kernels):
            return self
        read = [(buffer, place) for buffer, places in self.body.loads.items() for place in sorted(places)]
        written = [*self.body.stored, *self.targets]
        n, last = self.sizes[-1], f"i{len(self.sizes) - 1}"
        lanes = self.width // min(max(4, buffer.dtype.itemsize) for buffer, _ in (*read, *written))
        row = -(-n // lanes) * lanes
        if n <= lanes or row == n:
            return self
        counters = {"chunk", *(f"i{level}" for level in range(len(self.sizes)))}
        copies: dict[tuple[Buffer, Place], str] = {}
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
            copies[buffer, place] = f"{buffer.name}_row"
        if sum(row * buffer.dtype.itemsize for buffer, _ in copies) > STACK:
            return self
        return Loops(self.storage, self.group, self.width, row, copies)

    def _generate(self) -> list[str]:
        """Return the lines of the function."""
        for number, kernel in enumerate(self.group.kernels):
            if kernel.kind == "check":
                self._check(kernel)
            elif isinstance(kernel.kind, Operation) and kernel.kind.category is Category.REDUCTION:
                self._reduce(kernel, kernel.kind, f"r{number}")
            else:
                text = write_point(self.storage, kernel, self.body)
                if kernel.kind != "store":
                    self._write_apart(kernel, text)
        out = list(self.before)
        deep = len(self.sizes)
        sizes = [*self.sizes[:-1], self.row or self.sizes[-1]] if deep else []
        for (buffer, _), name in self.body.copies.items():
            kind = c_type(buffer.dtype)
            out.append(f"  {kind} {name}[{self.row}] = {{0}};")
            out.append(f"  memcpy({name}, {buffer.name}, {self.sizes[-1]} * sizeof({kind}));")
        out += self._divided(sizes)
        margin = "  " * self.chunked
        for level in range(deep + 1):
            indent = margin + "  " * (level + 1)
            out += [indent + line for line in self.opened.get(level, ())]
            if level == deep:
                break
            inner = level == deep - 1
            begin, end = ("begin", "end") if self.chunked and level == 0 else ("0", sizes[level])
            if inner and self.laned:
                out.append(f"{indent}for (int from = {begin}; from < {end}; from += {LANES})")
            if inner and self.vector:
                out.append("#pragma omp simd" + "".join(f" {clause}" for clause in self.clauses))
            if inner and self.laned:
                out.append(f"{indent}for (int lane = 0; lane < {LANES}; lane++) {{")
                out.append(f"{indent}  const int i{level} = from + lane;")
            else:
                out.append(f"{indent}for (int i{level} = {begin}; i{level} < {end}; i{level}++) {{")
        out += [margin + "  " * (deep + 1) + line for line in self.body.lines]
        for level in range(deep, -1, -1):
            indent = margin + "  " * (level + 1)
            if level < deep:
                out.append(indent + "}")
            out += [indent + line for line in self.closed.get(level, ())]
        return [*out, *(["  }"] if self.chunked else []), *self.after]

    def _in_parts(self) -> bool:
        """Return whether threads share parts of the outermost loop, not its single steps: where it is summed
        over, or is the only one, which runs over whole vectors."""
        summed = any(map(_reduces_first, self.group.kernels))
        return len(self.sizes) == 1 or (summed and self.sizes[0] >= sharing.SUMMED)

    def _divided(self, sizes: list[int]) -> list[str]:
        """Return what stands before the outermost loop. Threads share it if each of its steps, or of its
        parts, writes elements of its own."""
        places = [place for _, place in (*self.body.stored, *self.targets)]
        own = all({"chunk", "i0"}.intersection(index for index, _ in place.terms) for place in places)
        lines = [sharing.LOOP] if self.shared and own else []
        if not self.chunked:
            return lines
        step = -(-sizes[0] // sharing.CHUNKS)
        step += -step % LANES if len(sizes) == 1 else 0
        return [
            *lines,
            f"  for (int chunk = 0; chunk < {sharing.CHUNKS}; chunk++) {{",
            f"    const int begin = chunk * {step};",
            f"    const int end = begin + {step} < {sizes[0]} ? begin + {step} : {sizes[0]};",
            *(f"  {line}" for line in self.started),
        ]

    def _check(self, kernel: Kernel) -> None:
        """Add a check of a variable: the function answers whether any element is wrong."""
        text = write_point(self.storage, kernel, self.body)
        low, high = kernel.bounds
        wrong = f"({text} < {low}) | ({text} >= {high})" if low < high else f"{text} == {low}"
        self.opened.setdefault(0, []).append("int wrong = 0;")
        self.clauses.append("reduction(|:wrong)")
        self.body.lines.append(f"wrong |= {wrong};")
        self.after.append("  return wrong;")

    def _reduce(self, kernel: Kernel, operation: Operation, name: str) -> None:
        """Add the loop of a reduction."""
        assert kernel.instruction is not None
        assert kernel.target is not None
        fold = operation.folds
        if fold not in _OPENMP or fold is None:
            raise uncompiled(kernel.instruction)
        _, keep = kernel.instruction.parameters
        domain, var, axes = kernel.domain, kernel.var, _axes(kernel)
        at = indices(domain)
        level_of = {counter: int(counter[1:]) for counter in at if counter != "0"}
        out = tuple("0" if i in axes else counter for i, counter in enumerate(at) if keep or i not in axes)
        staying = [level_of[counter] for i, counter in enumerate(at) if counter != "0" and i not in axes]
        gone = [level_of[counter] for i, counter in enumerate(at) if counter != "0" and i in axes]
        level = max(staying, default=-1) + 1
        text = write_point(self.storage, kernel, self.body)
        dtype = np.dtype(np.int32) if operation is FIRST_EQUAL else var.dtype
        target, where = kernel.target, out
        if self.chunked and 0 in gone:
            target, where = self._part(kernel.target, dtype), ("chunk", *out)
            self._fold_parts(kernel, operation, (kernel.target, out), (target, where), staying)
        place = f"{target.buffer.name}[{self.body.at(target, where)}]"
        self.targets.append((target.buffer, self.body.at(target, where)))
        last = len(self.sizes) - 1
        if self.row and last in gone:
            nothing = _nothing(operation, dtype)
            text = self.body.name(f"(i{last} < {self.sizes[-1]} ? {text} : {nothing})", dtype)
        outer = any(axis_level < level for axis_level in gone)
        if outer:
            nothing = _nothing(operation, kernel.var.dtype)
            lines = self.started if target is not kernel.target else self.before
            lines += self._over(staying, [f"{place} = {nothing};"])
        if level == len(self.sizes) and not any(axis_level >= level for axis_level in gone):
            if fold is ops.elementwise.add and not outer:  # the sum of -0 alone is 0
                text = expression(fold, [_nothing(operation, var.dtype), text], var.dtype)
            self.body.lines += self._combine(fold, place, text, var) if outer else [f"{place} = {text};"]
            return
        by_lanes = dtype.kind == "f" and self.vector and (self.row or self.sizes[-1]) % LANES == 0
        if fold is ops.elementwise.add and by_lanes:
            self.laned = True
            self.opened.setdefault(level, []).append(f"{c_type(dtype)} {name}[{LANES}] = {{0}};")
            self.body.lines.append(f"{name}[lane] += {text};")
            total = f"sum_lanes_{'d' if dtype.itemsize == 8 else 'f'}({name})"
            self.closed.setdefault(level, []).append(f"{place} {'+=' if outer else '='} {total};")
            return
        wins = _WINS.get(fold, "")
        holder = c_type(dtype) if wins else accumulator(dtype)
        self.opened.setdefault(level, []).append(f"{holder} {name} = {_nothing(operation, dtype)};")
        floating = wins and var.dtype.kind == "f"
        if floating:
            self.opened[level].append(f"int {name}_nan = 0;")
            self.clauses.append(f"reduction(|:{name}_nan)")
            self.body.lines.append(f"{name}_nan |= {text} != {text};")
        self.clauses.append(f"reduction({_OPENMP[fold]}:{name})")
        if wins:
            self.body.lines.append(f"{name} = {text} {wins} {name} ? {text} : {name};")
        else:
            self.body.lines.append(f"{name} {_OPENMP[fold]}= {text};")
        result = f"({name}_nan ? NAN : {name})" if floating else name
        self.closed.setdefault(level, []).extend(
            self._combine(fold, place, result, var) if outer else [f"{place} = {result};"]
        )

    def _combine(self, fold: Operation, place: str, text: str, var: Var) -> list[str]:
        """Return the lines that fold a value into the one in memory."""
        if fold not in _WINS:
            return [f"{place} = {expression(fold, [place, text], var.dtype)};"]
        nan = f" || {text} != {text}" if var.dtype.kind == "f" else ""
        return [f"{place} = {text} {_WINS[fold]} {place}{nan} ? {text} : {place};"]

    def _over(self, levels: list[int], lines: list[str]) -> list[str]:
        """Return loops over these levels, with lines inside."""
        heads = [f"  for (int i{level} = 0; i{level} < {self.sizes[level]}; i{level}++)" for level in levels]
        return [*heads, *(f"    {line}" for line in lines)]

    def _part(self, target: Address, dtype: np.dtype[Any]) -> Address:
        """Return memory for what each part of the outermost loop reduces to the target."""
        shape = (sharing.CHUNKS, *target.shape)
        name = f"{target.buffer.name}_parts{len(self.parts)}"
        buffer = scratch(name, dtype, shape, self.width // dtype.itemsize, pad=bool(target.shape))
        self.parts.append(buffer)
        return Address(buffer, 0, shape, buffer.strides)

    def _fold_parts(
        self,
        kernel: Kernel,
        operation: Operation,
        target: tuple[Address, Index],
        part: tuple[Address, Index],
        staying: list[int],
    ) -> None:
        """Add what follows the loops: what the parts have reduced is folded, one after the other."""
        fold = operation.folds
        assert fold is not None
        place, partial = (
            f"{address.buffer.name}[{self.body.at(address, at)}]" for address, at in (target, part)
        )
        self.before += self._over(staying, [f"{place} = {_nothing(operation, kernel.var.dtype)};"])
        lines = self._over(staying, self._combine(fold, place, partial, kernel.var))
        self.after += [f"  for (int chunk = 0; chunk < {sharing.CHUNKS}; chunk++)", *lines]

    def _write_apart(self, kernel: Kernel, text: str) -> None:
        """Write the value of a point to where its operation says. Raise UnsupportedError, which names the
        operation, where there are no loops for it."""
        instruction, target = kernel.instruction, kernel.target
        assert instruction is not None
        assert target is not None
        if instruction.operation not in _APART:
            raise uncompiled(instruction)
        self.vector = False
        _APART[instruction.operation](self, instruction, target, indices(kernel.domain), text)

    def _scan(self, instruction: Instruction, target: Address, index: Index, text: str) -> None:
        (axis,), fold = instruction.parameters, instruction.operation.folds
        assert fold is not None
        here = f"{target.buffer.name}[{self.body.at(target, index)}]"
        if index[axis] == "0":
            self.body.lines.append(f"{here} = {text};")
            return
        before = f"{here[:-1]} - {target.strides[axis]}]"
        total = expression(fold, [before, text], instruction.output.dtype)
        self.body.lines.append(f"{here} = {index[axis]} ? {total} : {text};")

    def _scatter(self, instruction: Instruction, target: Address, index: Index, text: str) -> None:
        shape, key = instruction.parameters
        place = self.body.place(key, shape, index)
        read = any(isinstance(item, Var) for item in key)
        last = f"i{len(self.sizes) - 1}"
        self.vector = bool(self.sizes) and read and index[-1] == last and place[-1] == last
        self._onto_zeros(instruction, target, place, text, once=not read)

    def _scatter_along(self, instruction: Instruction, target: Address, index: Index, text: str) -> None:
        _, axis, where = instruction.parameters
        there = self.body.wrapped(where, index, instruction.output.shape[axis])
        place = tuple(there if i == axis else counter for i, counter in enumerate(index))
        self._onto_zeros(instruction, target, place, text, once=False)

    def _diagonal(self, instruction: Instruction, target: Address, index: Index, text: str) -> None:
        (i,), (offset,) = index, instruction.parameters
        place = f"({i} + {max(0, -offset)})", f"({i} + {max(0, offset)})"
        self._onto_zeros(instruction, target, place, text, once=True)

    def _put(self, instruction: Instruction, target: Address, index: Index, text: str) -> None:
        place = self.body.place(instruction.parameters[0], instruction.output.shape, index)
        self.body.lines.append(f"{target.buffer.name}[{self.body.at(target, place)}] = {text};")

    def _onto_zeros(
        self, instruction: Instruction, target: Address, place: Index, text: str, once: bool
    ) -> None:
        """Add the value to a place in memory that was zeros before. once: no place is written twice."""
        name = target.buffer.name
        self.before.append(f"  memset({name}, 0, {target.buffer.elements} * sizeof *{name});")
        here = f"{name}[{self.body.at(target, place)}]"
        if not once:  # 0 + -0 is 0
            text = expression(ops.elementwise.add, [here, text], instruction.output.dtype)
        self.body.lines.append(f"{here} = {text};")


_APART: dict[Operation, Callable[[Loops, Instruction, Address, Index, str], None]] = {
    ops.reduction.cumsum: Loops._scan,
    ops.indexing.scatter: Loops._scatter,
    ops.indexing.scatter_along: Loops._scatter_along,
    ops.indexing.put: Loops._put,
    ops.shape.diag_embed: Loops._diagonal,
}
"""The loops of operations that choose themselves where to write."""


def _reduces(kernel: Kernel) -> bool:
    """Return whether a kernel reduces its domain."""
    return isinstance(kernel.kind, Operation) and kernel.kind.category is Category.REDUCTION


def _axes(kernel: Kernel) -> set[int]:
    """Return the dimensions of its domain that a kernel reduces."""
    assert kernel.instruction is not None
    axis = kernel.instruction.parameters[0]
    return set(range(len(kernel.domain))) if axis is None else {axis} if isinstance(axis, int) else set(axis)


def _reduces_first(kernel: Kernel) -> bool:
    """Return whether a kernel reduces what the outermost loop runs over."""
    first = next((i for i, n in enumerate(kernel.domain) if n != 1), None)
    return _reduces(kernel) and first in _axes(kernel)


def _nothing(operation: Operation, dtype: np.dtype[Any]) -> str:
    """Return the number that a reduction begins with: the neutral element of what it folds, or where the
    dtype has no infinity, its limit."""
    if operation is FIRST_EQUAL:
        return str(NOWHERE)
    neutral = operation.folds.neutral if operation.folds is not None else None
    assert neutral is not None, f"{operation.name} folds from a number on"
    if operation.predicate or dtype.kind == "b":
        return literal(neutral not in (0, -math.inf), np.dtype(bool))
    if dtype.kind == "f" or math.isfinite(neutral):
        return literal(neutral, dtype)
    limits = np.iinfo(dtype)
    return f"({c_type(dtype)}){limits.min if neutral < 0 else limits.max}"
