"""The program as C: a function for each group of loops, and one that calls them in order."""

from __future__ import annotations

import re
import sys
from bisect import bisect_left
from dataclasses import dataclass, field
from pathlib import Path

from ....ops import linalg
from ...comments import c_comment
from . import sharing
from .blas import Blas
from .body import Body
from .buffers import Address, Buffer, scratch
from .c_source import CFunction, CSource
from .fuse import Fusion
from .loops import Loops
from .plan import Group, Kernel
from .products import FUSED, SEPARATE, Product, tile_source, vector_types
from .scalars import c_type

PRELUDE = Path(__file__).with_name("prelude.h")
ENTRY = "ninja_step"
PARAMETERS = 127
"""So many parameters of a function every C compiler takes."""
_NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+(?:e[-+]?\d+)?|e[-+]?\d+)f?")
"""A number with a fraction or an exponent, as `literal` writes it."""


@dataclass
class Emitted:
    """The C; the bytes of scratch memory that it needs; the errors that the function's non-zero answers
    stand for."""

    source: CSource
    scratch: int
    complaints: list[tuple[type[Exception], str]]
    summary: list[str] = field(default_factory=list)


class Emitter:
    """Writes C for the groups of loops that a step was fused into. width: bytes of a vector register; blas:
    the library that large products may call."""

    def __init__(self, fusion: Fusion, width: int, blas: Blas | None = None) -> None:
        self.storage, self.groups, self.width = fusion.storage, fusion.groups, width
        self.complaints = fusion.complaints
        self._functions: list[CFunction] = []
        self._alike: dict[str, str] = {}  # the names of functions, by their text without names
        # By that text without numbers: the name of the function that takes these, None before there is one.
        self._patterns: dict[str, str | None] = {}
        self._summary: list[str] = []
        self._products: dict[str, Product] = {}
        self._blas = blas
        self._called: set[str] = set()  # the types of elements that BLAS multiplies

    def emit(self) -> Emitted:
        """Return the whole C file."""
        calls: list[str] = []
        width = self.width
        for number, group in enumerate(self.groups):
            group.name = (
                f"step{number}_" + "_".join(dict.fromkeys(_label(kernel) for kernel in group.kernels))[:40]
            )
            calls.append(self._function(group))
        scratch = self._place_scratch()
        main = [f"int {ENTRY}(void *const *p) {{", "  char *scratch = p[0];"]
        for buffer in self._all_buffers():
            const = "" if buffer.written or buffer.slot is None else "const "
            place = f"p[{buffer.slot}]" if buffer.slot is not None else f"(scratch + {buffer.offset})"
            main.append(
                f"  {const}{c_type(buffer.dtype)} *{buffer.name} = ({const}{c_type(buffer.dtype)} *){place};"
            )
        tiles = sorted({tile for product in self._products.values() for tile in product.needed_tiles()})
        functions = [*(product.function() for product in self._products.values()), *self._functions]
        threads = any(sharing.is_shared(line) for function in functions for line in function.lines)
        shared = [
            PRELUDE.read_text(encoding="utf-8"),
            vector_types(width),
            *([sharing.DECLARATION] if threads else []),
            *([self._blas.declarations(sorted(self._called))] if self._blas and self._called else []),
            FUSED,
            *(
                tile_source(kind, rows, wide, width // (4 if kind == "float" else 8))
                for kind, rows, wide in tiles
            ),
            SEPARATE,
        ]
        main = [*([sharing.DEFINITION] if threads else []), *main, *calls, "  return 0;", "}"]
        source = CSource("\n\n".join(shared), functions, "\n".join(main))
        return Emitted(source, scratch, self.complaints, self._summary)

    def _all_buffers(self) -> list[Buffer]:
        """Return the buffers that the functions use, in the order of their first use."""
        used = dict.fromkeys(buffer for group in self.groups for buffer in group.buffers)
        return list(used)

    def _place_scratch(self) -> int:
        """Give each buffer the first place in the scratch memory that is free from its first use to its last,
        and return how many bytes all of them take."""
        last: dict[Buffer, int] = {}
        for number, group in enumerate(self.groups):
            last.update((buffer, number) for buffer in group.buffers if buffer.slot is None)
        ending: dict[int, list[tuple[int, int]]] = {}  # the places, by the group that uses them last
        free: list[tuple[int, int]] = [(0, sys.maxsize)]
        total = 0
        placed: set[Buffer] = set()
        for number, group in enumerate(self.groups):
            for place in ending.pop(number - 1, ()):
                _give_back(free, *place)
            for buffer in group.buffers:
                if buffer.slot is not None or buffer in placed:
                    continue
                size = -(-max(1, buffer.elements) * buffer.dtype.itemsize // 64) * 64
                at = next(i for i, (start, end) in enumerate(free) if size <= end - start)
                start, end = free[at]
                free[at : at + 1] = [(start + size, end)] if start + size < end else []
                buffer.offset = start
                placed.add(buffer)
                ending.setdefault(last[buffer], []).append((start, start + size))
                total = max(total, start + size)
        return total

    def _function(self, group: Group) -> str:
        """Write the function of a group, and return the line that calls it."""
        first = group.kernels[0]
        copies: list[Buffer] = []
        if first.kind is linalg.matmul:
            body = Body(self.storage)
            lines, copies = self._product(first, body)
        else:
            loops = Loops(self.storage, group, self.width).padded()
            body, lines, copies = loops.body, loops.lines, loops.parts
        targets = [kernel.target.buffer for kernel in group.kernels if kernel.target is not None]
        written = dict.fromkeys((*targets, *copies))
        for buffer in written:
            buffer.written = True
        group.buffers = list(dict.fromkeys([*written, *body.loads]))
        parameters = [
            f"{'' if buffer in written else 'const '}{c_type(buffer.dtype)} *restrict {buffer.name}"
            for buffer in group.buffers
        ]
        arguments = [buffer.name for buffer in group.buffers]
        arguments += self._defined(group, parameters, lines)
        self._summary.append(self._summary_line(group, body))
        call = f"{group.name}({', '.join(arguments)})"
        return f"  if ({call}) return {first.code};" if first.kind == "check" else f"  {call};"

    def _defined(self, group: Group, parameters: list[str], lines: list[str]) -> list[str]:
        """Add the function of a group, unless there is one that differs only in the names of its buffers,
        such as that of another layer of a deep network; then the group takes its name.

        A second function that differs in numbers, too, such as that of another iteration of a loop, takes
        these as parameters, and stands for all that follow. Return these arguments.
        """
        alike = _without_names(lines, parameters, [buffer.name for buffer in group.buffers])
        if alike in self._alike:
            group.name = self._alike[alike]
            return []
        pattern = _NUMBER.sub(lambda number: "@f" if number[0].endswith("f") else "@", alike)
        numbers = _NUMBER.findall(alike)
        if pattern in self._patterns and 0 < len(numbers) <= PARAMETERS - len(parameters):
            if (known := self._patterns[pattern]) is not None:
                group.name = known
                return numbers
            self._patterns[pattern] = group.name
            counter = iter(range(len(numbers)))
            lines = [_NUMBER.sub(lambda _: f"number{next(counter)}", _uncommented(line)) for line in lines]
            kinds = ["float" if number.endswith("f") else "double" for number in numbers]
            parameters = [*parameters, *(f"{kind} number{i}" for i, kind in enumerate(kinds))]
        else:
            numbers = []
            self._patterns[pattern] = None
            self._alike[alike] = group.name
        kind = "int" if group.kernels[0].kind == "check" else "void"
        notes = [c_comment(note) for note in dict.fromkeys(map(_comment, group.kernels))]
        head = f"{kind} {group.name}({', '.join(parameters)})"
        self._functions.append(CFunction(head, lines, tuple(notes)))
        return numbers

    def _summary_line(self, group: Group, body: Body) -> str:
        """Return a group in a line: its domain, and what its loops compute, in that order."""
        parts = []
        for var in dict.fromkeys([*body.variables(), *(kernel.var for kernel in group.kernels)]):
            kernel = next((candidate for candidate in group.kernels if candidate.var is var), None)
            instruction = self.storage.by.get(var)
            if kernel is not None and (instruction is None or kernel.kind == "check"):
                place = kernel.target.buffer.name if kernel.target is not None else ""
                parts.append(f"{kernel.label} {var.name or place}".rstrip())
            elif instruction is not None:
                parts.append(
                    f"{var.name} = {instruction.operation.name}" if var.name else instruction.operation.name
                )
        return f"{group.name}, {list(group.kernels[0].domain)}: {', '.join(parts)}"

    def _product(self, kernel: Kernel, body: Body) -> tuple[list[str], list[Buffer]]:
        """Return calls of a product function, one for each matrix of the batch, and the scratch memory for
        operands that do not lie in whole vectors."""
        instruction, target = kernel.instruction, kernel.target
        assert instruction is not None
        assert target is not None
        left, right = map(self.storage.stored, instruction.inputs)
        body.loads.update({left.buffer: set(), right.buffer: set()})
        (m, k), n = left.shape[-2:], right.shape[-1]
        kind = c_type(kernel.var.dtype)
        lanes = self.width // kernel.var.dtype.itemsize
        padded = -(-n // lanes) * lanes
        batch = target.shape[:-2]
        index = tuple(f"n{i}" if size != 1 else "0" for i, size in enumerate(batch))
        lines = [
            f"  for (int n{i} = 0; n{i} < {size}; n{i}++)" for i, size in enumerate(batch) if size != 1
        ] + ["  {"]

        def start(address: Address) -> str:
            extra = len(batch) - (len(address.shape) - 2)
            return f"{address.buffer.name} + {body.at(address, (*index[extra:], '0', '0'))}"

        if self._blas is not None and self._blas.pays(m, n, k, kernel.var.dtype.itemsize, self.width):
            places = [(start(address), address.strides) for address in (left, right, target)]
            call = self._blas.call(kind, m, n, k, *places)
            if call:
                self._called.add(kind)
                return [*lines, f"    {call}", "  }"], []
        copies = []

        def copy(name: str, rows: int) -> str:
            copied = f"{target.buffer.name}_{name}"
            copies.append(scratch(copied, kernel.var.dtype, (rows, n), lanes, pad=True))
            return copied

        b, b_step = start(right), right.strides[-2]
        if right.strides[-1] != 1 or not _takes_vectors(right, padded, write=False):
            b, b_step = copy("packed", k), padded
            row, column = right.strides[-2:]
            shared = k * n >= sharing.ELEMENTS
            lines += [sharing.LOOP] if shared else []
            if column == 1:
                lines.append(f"    for (int r = 0; r < {k}; r++)")
                lines.append(f"      for (int q = 0; q < {n}; q++)")
                lines.append(f"        {b}[r * {padded} + q] = ({start(right)})[r * {row} + q];")
            else:
                strides = f"{padded}, {row}, {column}"
                to, source, rows = b, start(right), str(k)
                if shared:
                    lines.append(f"    for (int r = 0; r < {k}; r += {lanes})")
                    to, source = f"{to} + r * {padded}", f"{source} + r * {row}"
                    rows = f"{k} - r < {lanes} ? {k} - r : {lanes}"
                lines.append(f"    copy_transposed_{kind}({to}, {source}, {rows}, {n}, {strides});")
        c, c_step = start(target), target.strides[-2]
        loose = target.strides[-1] != 1 or not _takes_vectors(target, padded, write=True)
        if loose:
            c, c_step = copy("result", m), padded
        product = Product(
            m,
            n,
            k,
            (left.strides[-2], left.strides[-1]),
            b_step,
            c_step,
            kind,
            lanes,
            32 if self.width == 64 else 16,
        )
        if m and n:
            self._products[product.name] = product
            lines.append(f"    {product.name}({start(left)}, {b}, {c});")
        if loose:
            lines += [sharing.LOOP] if m * n >= sharing.ELEMENTS else []
            lines.append(f"    for (int r = 0; r < {m}; r++)")
            lines.append(f"      for (int q = 0; q < {n}; q++)")
            lines.append(
                f"        ({start(target)})[r * {target.strides[-2]} + q * {target.strides[-1]}] = "
                f"{c}[r * {padded} + q];"
            )
        return [*lines, "  }"], copies


def _give_back(free: list[tuple[int, int]], start: int, end: int) -> None:
    """Add a place to the free ones, which are in order, and join it to those beside it."""
    at = bisect_left(free, (start, end))
    if at < len(free) and free[at][0] == end:
        end = free.pop(at)[1]
    if at and free[at - 1][1] == start:
        at -= 1
        start = free.pop(at)[0]
    free.insert(at, (start, end))


def _takes_vectors(address: Address, row: int, write: bool) -> bool:
    """Return whether each row of a matrix, or of several, may be read or written as `row` elements."""
    n = address.shape[-1]
    starts = [
        address.offset,
        *(step for size, step in zip(address.shape, address.strides[:-1], strict=False) if size != 1),
    ]
    return row == n or address.buffer.has_room(row, n, starts, write)


def _without_names(lines: list[str], parameters: list[str], names: list[str]) -> str:
    """Return the text of a function with numbers in place of the names of its buffers, and without
    comments."""
    text = "\n".join([*parameters, *map(_uncommented, lines)])
    places = {name: f"#{i}" for i, name in enumerate(names)}
    return re.sub(r"\b[A-Za-z_]\w*", lambda match: places.get(match[0].removesuffix("_row"), match[0]), text)


def _uncommented(line: str) -> str:
    """Return a line of a function without its comment."""
    return re.sub(r"  /\*.*?\*/", "", line)


def _label(kernel: Kernel) -> str:
    """Return the name of what a kernel computes, for the name of a function."""
    return kernel.var.name if kernel.kind == "store" and kernel.var.name else kernel.label


def _comment(kernel: Kernel) -> str:
    """Return a comment that says what a kernel computes, and for which line of the reader's code."""
    instruction = kernel.instruction
    name = instruction.operation.name if instruction is not None and kernel.kind != "check" else kernel.label
    shown = kernel.var.name or (kernel.target.buffer.name if kernel.target is not None else "")
    where = f", {instruction.source}" if instruction is not None and instruction.source else ""
    return f"{shown}: {name} {list(kernel.domain)}{where}"
