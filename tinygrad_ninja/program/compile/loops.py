"""Loops over a domain, with what is computed at each point and what is summed up on the way."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..instructions import Var
from .body import Body
from .plan import ALONE, ANYWHERE, REDUCTIONS, Address, Buffer, Group, Kernel, Place, Storage, contiguous
from .scalars import accumulator, arithmetic, c_type, converted, expression, literal

LANES = 16
"""So many sums run beside each other where a row is summed: the order of the additions is the same
everywhere."""
STACK = 2**14
"""Bytes that the rows of one function may take on the stack: a thread may have little of it."""
_NOTHING = {"sum": 0, "prod": 1, "any": False, "all": True}
_OPERATORS = {"sum": "+", "prod": "*", "any": "|", "all": "&"}


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
        """width: bytes of a vector register. row: what the innermost loop runs to, where that is more than
        its size; copies: the names of rows on the stack, for what is read there."""
        self.storage, self.group, self.width, self.row = storage, group, width, row
        self.body = Body(storage, copies)
        self.sizes = group.loops
        self.before: list[str] = []
        self.opened: dict[int, list[str]] = {}
        self.closed: dict[int, list[str]] = {}
        self.clauses: list[str] = []
        self.vector = True
        self.laned = (
            False  # whether the innermost loop runs by blocks of LANES, each of which has sums of its own
        )
        self.targets: list[tuple[Buffer, Place]] = []  # where reductions are written to
        self.after: list[str] = []
        self.lines = self._generate()

    def padded(self) -> Loops:
        """Return these loops with an innermost one that runs to the end of a whole vector, which spares the
        rest at the end of each row that would be computed one by one; or these, where it may not run so far.

        Beyond its row the loop computes with anything. What it may do there is decided here and nowhere else:
        arithmetic, which harms nobody, but no look for errors, no division of integers, no place chosen by
        what was read, and no memory but where it says that it has room. A short vector of the caller's is
        copied to a row on the stack.
        """
        if not self.sizes or self.body.traps or any(k.kind in ALONE | {"check"} for k in self.group.kernels):
            return self
        read = [(buffer, place) for buffer, places in self.body.loads.items() for place in sorted(places)]
        written = [*self.body.stored, *self.targets]
        n, last = self.sizes[-1], f"i{len(self.sizes) - 1}"
        lanes = self.width // min(max(4, buffer.dtype.itemsize) for buffer, _ in (*read, *written))
        row = -(-n // lanes) * lanes
        if n <= lanes or row == n:
            return self
        counters = {f"i{level}" for level in range(len(self.sizes))}
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
        for number, kernel in enumerate(self.group.kernels):
            if kernel.kind == "check":
                self._check(kernel)
            elif kernel.kind in REDUCTIONS:
                self._reduce(kernel, f"r{number}")
            else:
                text = write_point(self.storage, kernel, self.body)
                if kernel.kind != "store":
                    self._move(kernel, text)
        out = list(self.before)
        deep = len(self.sizes)
        sizes = [*self.sizes[:-1], self.row or self.sizes[-1]] if deep else []
        for (buffer, _), name in self.body.copies.items():
            kind = c_type(buffer.dtype)
            out.append(f"  {kind} {name}[{self.row}] = {{0}};")
            out.append(f"  memcpy({name}, {buffer.name}, {self.sizes[-1]} * sizeof({kind}));")
        for level in range(deep + 1):
            out += ["  " * (level + 1) + line for line in self.opened.get(level, ())]
            if level == deep:
                break
            indent = "  " * (level + 1)
            inner = level == deep - 1
            if inner and self.laned:
                out.append(f"{indent}for (int from = 0; from < {sizes[level]}; from += {LANES})")
            if inner and self.vector:
                out.append("#pragma omp simd" + "".join(f" {each}" for each in self.clauses))
            if inner and self.laned:
                out.append(f"{indent}for (int lane = 0; lane < {LANES}; lane++) {{")
                out.append(f"{indent}  const int i{level} = from + lane;")
            else:
                out.append(f"{indent}for (int i{level} = 0; i{level} < {sizes[level]}; i{level}++) {{")
        out += ["  " * (deep + 1) + line for line in self.body.lines]
        for level in range(deep, -1, -1):
            if level < deep:
                out.append("  " * (level + 1) + "}")
            out += ["  " * (level + 1) + line for line in self.closed.get(level, ())]
        return out + self.after

    def _check(self, kernel: Kernel) -> None:
        text = write_point(self.storage, kernel, self.body)
        low, high = kernel.bounds
        wrong = f"({text} < {low}) | ({text} >= {high})" if low < high else f"{text} == {low}"
        self.opened.setdefault(0, []).append("int wrong = 0;")
        self.clauses.append("reduction(|:wrong)")
        self.body.lines.append(f"wrong |= {wrong};")
        self.after.append("  return wrong;")

    def _reduce(self, kernel: Kernel, name: str) -> None:
        assert kernel.instruction is not None
        assert kernel.target is not None
        axis, keep = kernel.instruction.parameters
        domain, var = kernel.domain, kernel.var
        axes = set(range(len(domain))) if axis is None else {axis} if isinstance(axis, int) else set(axis)
        at = indices(domain)
        level_of = {each: int(each[1:]) for each in at if each != "0"}
        out = tuple("0" if i in axes else each for i, each in enumerate(at) if keep or i not in axes)
        staying = [level_of[each] for i, each in enumerate(at) if each != "0" and i not in axes]
        gone = [level_of[each] for i, each in enumerate(at) if each != "0" and i in axes]
        level = max(staying, default=-1) + 1
        text = write_point(self.storage, kernel, self.body)
        place = f"{kernel.target.buffer.name}[{self.body.at(kernel.target, out)}]"
        kind = kernel.kind
        self.targets.append((kernel.target.buffer, self.body.at(kernel.target, out)))
        last = len(self.sizes) - 1
        if self.row and last in gone:
            nothing = self._nothing(kind, np.dtype(np.int32) if kind == "first_equal" else var.dtype)
            text = self.body.name(
                f"(i{last} < {self.sizes[-1]} ? {text} : {nothing})",
                np.dtype(np.int32) if kind == "first_equal" else var.dtype,
            )
        outer = any(each < level for each in gone)
        if outer:
            self._initialise(kernel, out, staying)
        if level == len(self.sizes) and not any(each >= level for each in gone):
            if kind == "sum" and not outer:  # of -0 it is 0
                text = expression("add", [self._nothing(kind, var.dtype), text], var.dtype, ())
            self.body.lines += self._combine(kind, place, text, var) if outer else [f"{place} = {text};"]
            return
        dtype = np.dtype(np.int32) if kind == "first_equal" else var.dtype
        if kind == "sum" and dtype.kind == "f" and self.vector and (self.row or self.sizes[-1]) % LANES == 0:
            self.laned = True
            self.opened.setdefault(level, []).append(f"{c_type(dtype)} {name}[{LANES}] = {{0}};")
            self.body.lines.append(f"{name}[lane] += {text};")
            total = f"sum_lanes_{'d' if dtype.itemsize == 8 else 'f'}({name})"
            self.closed.setdefault(level, []).append(f"{place} {'+=' if outer else '='} {total};")
            return
        holder = accumulator(dtype) if kind in ("sum", "prod") else c_type(dtype)
        self.opened.setdefault(level, []).append(f"{holder} {name} = {self._nothing(kind, dtype)};")
        floating = kind in ("amax", "amin") and var.dtype.kind == "f"
        if floating:
            self.opened[level].append(f"int {name}_nan = 0;")
            self.clauses.append(f"reduction(|:{name}_nan)")
            self.body.lines.append(f"{name}_nan |= {text} != {text};")
        operator = {"amax": "max", "amin": "min", "first_equal": "min"}.get(kind) or _OPERATORS[kind]
        self.clauses.append(f"reduction({operator}:{name})")
        if kind in _OPERATORS:
            self.body.lines.append(f"{name} {_OPERATORS[kind]}= {text};")
        else:
            sign = ">" if kind == "amax" else "<"
            self.body.lines.append(f"{name} = {text} {sign} {name} ? {text} : {name};")
        result = f"({name}_nan ? NAN : {name})" if floating else name
        self.closed.setdefault(level, []).extend(
            self._combine(kind, place, result, var) if outer else [f"{place} = {result};"]
        )

    def _combine(self, kind: str, place: str, text: str, var: Var) -> list[str]:
        if kind in _OPERATORS:
            return [f"{place} = {arithmetic(place, _OPERATORS[kind], text, var.dtype)};"]
        sign = ">" if kind == "amax" else "<"
        nan = f" || {text} != {text}" if var.dtype.kind == "f" else ""
        return [f"{place} = {text} {sign} {place}{nan} ? {text} : {place};"]

    def _nothing(self, kind: str, dtype: np.dtype[Any]) -> str:
        if kind in _NOTHING:
            return literal(_NOTHING[kind], dtype)
        if kind == "first_equal":
            return str(2**31 - 1)
        if dtype.kind == "f":
            return "-INFINITY" if kind == "amax" else "INFINITY"
        if dtype.kind == "b":
            return "0" if kind == "amax" else "1"
        limits = np.iinfo(dtype)
        return f"({c_type(dtype)}){limits.min}" if kind == "amax" else f"({c_type(dtype)}){limits.max}"

    def _initialise(self, kernel: Kernel, out: tuple[str, ...], staying: list[int]) -> None:
        assert kernel.target is not None
        place = f"{kernel.target.buffer.name}[{self.body.at(kernel.target, out)}]"
        for level in staying:
            self.before.append(f"  for (int i{level} = 0; i{level} < {self.sizes[level]}; i{level}++)")
        self.before.append(f"    {place} = {self._nothing(kernel.kind, kernel.var.dtype)};")

    def _move(self, kernel: Kernel, text: str) -> None:
        """Kernels that write to a place of their own choice."""
        made, target = kernel.instruction, kernel.target
        assert made is not None
        assert target is not None
        index, name = indices(kernel.domain), kernel.kind
        self.vector = once = False
        if name == "cumsum":
            axis = made.parameters[0]
            here = f"{target.buffer.name}[{self.body.at(target, index)}]"
            if index[axis] == "0":
                self.body.lines.append(f"{here} = {text};")
                return
            step = target.strides[axis]
            total = arithmetic(f"{here[:-1]} - {step}]", "+", text, kernel.var.dtype)
            self.body.lines.append(f"{here} = {index[axis]} ? {total} : {text};")
            return
        if name == "scatter":
            shape, key = made.parameters
            place = self.body.place(key, shape, index)
            fixed = [each for each in key if isinstance(each, Var)]
            at = self.body.at(target, place)
            last = f"i{len(self.sizes) - 1}"
            once = not fixed
            self.vector = bool(self.sizes) and bool(fixed) and index[-1] == last and place[-1] == last
        elif name == "scatter_along":
            _, axis, where = made.parameters
            there = self.body.wrapped(where, index, made.output.shape[axis])
            at = self.body.at(target, tuple(there if i == axis else each for i, each in enumerate(index)))
        elif name == "put":
            at = self.body.at(target, self.body.place(made.parameters[0], made.output.shape, index))
            self.body.lines.append(f"{target.buffer.name}[{at}] = {text};")
            return
        else:  # diag_embed
            offset = made.parameters[0]
            (i,), once = index, True
            at = self.body.at(target, (f"({i} + {max(0, -offset)})", f"({i} + {max(0, offset)})"))
        size = target.buffer.elements
        self.before.append(f"  memset({target.buffer.name}, 0, {size} * sizeof *{target.buffer.name});")
        here = f"{target.buffer.name}[{at}]"
        total = text if once else expression("add", [here, text], kernel.var.dtype, ())  # 0 + -0 is 0
        self.body.lines.append(f"{here} = {total};")


def write_point(storage: Storage, kernel: Kernel, body: Body) -> str:
    """Write what is computed at each point of the domain, for a store all of it; returns the value."""
    index = indices(kernel.domain)
    if kernel.kind == "store":
        assert kernel.target is not None
        x: Any = kernel.var
        made = storage.by.get(x)
        if made is not None and storage.kept.get(x) is kernel.target:
            text = body.named(x, body.computed(made, index))
        else:
            text = body.named(x, body.element(x, index))
        body.store(kernel.target, index, text)
        return text
    if kernel.kind == "check":
        return body.name(body.value(kernel.var, index, np.dtype(np.int64)), np.dtype(np.int64))
    assert kernel.instruction is not None
    x, name = kernel.instruction.inputs[0], kernel.kind
    if name == "matmul":
        for each in kernel.instruction.inputs:
            address = storage.address(each)  # type: ignore[arg-type]
            assert address is not None
            body.loads.setdefault(address.buffer, set()).add(ANYWHERE)
        return ""
    if name == "first_equal":
        best, (axis, _) = kernel.instruction.inputs[1], kernel.instruction.parameters
        assert isinstance(x, Var)
        v = body.name(body.element(x, index), x.dtype)
        at = tuple("0" if axis is None or i == axis else each for i, each in enumerate(index))
        m = body.value(best, at, x.dtype)
        place = (
            index[axis]
            if axis is not None
            else body.at(Address(_NOBODY, 0, x.shape, contiguous(x.shape)), index)
        )
        return body.name(f"({v} == {m} || {v} != {v} ? {place} : {2**31 - 1})", np.dtype(np.int32))
    dtype = (
        kernel.var.dtype
        if name in ("sum", "prod", "cumsum", "scatter", "scatter_along", "diag_embed")
        else None
    )
    if name == "put":
        return body.broadcast(kernel.instruction.inputs[1], index, kernel.var.dtype)
    source = x.dtype if isinstance(x, Var) else kernel.var.dtype
    text = body.broadcast(x, index, source)
    if name in ("any", "all"):
        return body.name(f"({text} != 0)", np.dtype(bool))
    return body.name(converted(text, source, dtype or source), dtype or source)


_NOBODY = Buffer("", np.dtype(np.int8), (), ())


def indices(shape: tuple[int, ...]) -> tuple[str, ...]:
    """The loop variable of each dimension; 0 for those of one."""
    names = iter(range(len(shape)))
    return tuple("0" if n == 1 else f"i{next(names)}" for n in shape)
