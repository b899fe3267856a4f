"""The program as C: a function for each group of loops, and one that calls them in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Any

from ....ops import linalg, order
from ...comments import c_comment
from ...instructions import Instruction
from ..recording.checks import Check
from . import sharing
from .blas import Blas
from .buffers import Address, Buffer
from .build import PRELUDE
from .c_code import Effects, Statement
from .c_source import CFunction, CSource
from .fuse import Fusion
from .loops import Loops
from .multiply import Multiply
from .ordering import in_rows
from .placing import place
from .plan import Group, Kernel
from .products import FUSED, SEPARATE, Product, vector_types
from .scalars import c_type
from .writer import Function

ENTRY = "ninja_step"
UNOPTIMIZED = '__attribute__((optimize("O0")))'
"""Before the function that only calls others: there is nothing to gain in it, and gcc takes long over
hundreds of calls. Clang ignores it."""
PARAMETERS = 127
"""So many parameters of a function every C compiler takes."""


@dataclass
class Emitted:
    """The C, and whether threads share anything in it; the bytes of scratch memory that it needs; the errors
    that the function's non-zero answers stand for; what its functions compute, in words."""

    source: CSource
    threads: bool
    scratch: int
    complaints: list[tuple[type[Exception], str]]
    summary: list[str]


class Emitter:
    """Writes C for the groups of loops that a step was fused into. blas: the library that large products may
    call."""

    def __init__(self, fusion: Fusion, blas: Blas | None = None) -> None:
        self.storage, self.body, self.groups = fusion.storage, fusion.body, fusion.groups
        self._complaints: list[tuple[type[Exception], str]] = []
        self._functions: list[CFunction] = []
        self._first: dict[str, tuple[str, ...]] = {}  # the numbers in the first function of each pattern
        # The names of functions, by their pattern and the numbers in them, or None where these are given.
        self._named: dict[tuple[str, tuple[str, ...] | None], str] = {}
        self._summary: list[str] = []
        self._products: dict[str, Product] = {}
        self._blas = blas
        self._written: set[Buffer] = set()
        self._called: set[str] = set()  # the types of elements that BLAS multiplies
        self._ordered: set[str] = set()  # and of those that are sorted

    def emit(self) -> Emitted:
        """Return the whole C file."""
        calls: list[str] = []
        used: list[list[Buffer]] = []
        for number, group in enumerate(self.groups):
            labels = "_".join(dict.fromkeys(map(_label, group.kernels)))
            call, buffers = self._call(f"step{number}_{labels[:40]}", group)
            calls.append(call)
            used.append(buffers)
        scratch = place(used)
        products = self._products.values()
        functions = [*(product.function() for product in products), *self._functions]
        threads = any(function.threads for function in functions)
        shared = [
            PRELUDE.read_text(encoding="utf-8"),
            *(f"ORDER({kind})" for kind in sorted(self._ordered)),
            vector_types(self.storage.width),
            *([sharing.DECLARATION] if threads else []),
            *([self._blas.declarations(sorted(self._called))] if self._blas and self._called else []),
            FUSED,
            *(tile.source() for tile in sorted({tile for product in products for tile in product.tiles()})),
            SEPARATE,
        ]
        main = f"{sharing.DEFINITION}\n" * threads + entry(dict.fromkeys(chain(*used)), self._written, calls)
        source = CSource("\n\n".join(shared), functions, main)
        return Emitted(source, threads, scratch, self._complaints, self._summary)

    def _call(self, name: str, group: Group) -> tuple[str, list[Buffer]]:
        """Write the function of a group, of this name where there is no other that does; return the line that
        calls it, and the buffers that it takes."""
        kind, target = group.kernels[0].kind, group.kernels[0].target
        calls = _CALLS.get(kind.operation) if isinstance(kind, Instruction) else None
        if calls is not None:
            statements, scratches = calls(self, kind, target)
            effects, copies = Effects(statements), {}
        else:
            loops = Loops(self.body, group, self.storage.width).padded()
            statements, scratches = loops.statements, loops.parts
            effects, copies = loops.effects, loops.copies
        stored = (kernel for kernel in group.kernels if kernel.read and not isinstance(kernel.kind, Check))
        written = [*(kernel.target.buffer for kernel in stored), *scratches]
        self._written.update(written)
        buffers = list(dict.fromkeys([*written, *effects.loads]))
        name, numbers = self._defined(name, group, Function(statements, buffers, {*written}, copies))
        self._summary.append(self._summary_line(name, group, effects))
        call = f"{name}({', '.join([*(buffer.name for buffer in buffers), *numbers])})"
        if not isinstance(kind, Check):
            return f"  {call};", buffers
        self._complaints.append((kind.error, kind.message))
        return f"  if ({call}) return {len(self._complaints)};", buffers

    def _defined(self, name: str, group: Group, function: Function) -> tuple[str, tuple[str, ...]]:
        """Add the function of a group, unless there is one that differs only in the names of its buffers,
        such as that of another layer of a deep network. Return the name of the function to be called.

        A second function that differs in numbers, too, such as that of another iteration of a loop, takes
        these as parameters, and stands for all that follow. Return these arguments as well.
        """
        pattern, numbers = function.pattern()
        texts = tuple(number.text for number in numbers)
        generic = texts != self._first.setdefault(pattern, texts)
        generic &= len(numbers) <= PARAMETERS - len(function.buffers)
        known = self._named.setdefault((pattern, None if generic else texts), name)
        if known == name:
            kind = "int" if isinstance(group.kernels[0].kind, Check) else "void"
            notes = tuple(c_comment(note) for note in dict.fromkeys(map(_comment, group.kernels)))
            self._functions.append(
                function.written(f"{kind} {name}", notes, numbers=numbers if generic else ())
            )
        return known, texts if generic else ()

    def _summary_line(self, name: str, group: Group, effects: Effects) -> str:
        """Return a group in a line: its domain, and what its loops compute, in that order."""
        parts = []
        kernels = {kernel.var: kernel for kernel in reversed(group.kernels)}
        computed = [value.var for value in effects.named if value.var is not None]
        for var in dict.fromkeys([*computed, *(kernel.var for kernel in group.kernels)]):
            kernel, instruction = kernels.get(var), self.storage.by.get(var)
            if kernel is not None and (instruction is None or isinstance(kernel.kind, Check)):
                parts.append(f"{kernel.label} {_shown(kernel)}".rstrip())
            elif instruction is not None:
                parts.append(f"{var.name} = {instruction.operation.name}".removeprefix(" = "))
        return f"{name}, {list(group.kernels[0].domain)}: {', '.join(parts)}"

    def _product(self, product: Instruction, target: Address) -> tuple[list[Statement], list[Buffer]]:
        """Return calls of a product function, one for each matrix of the batch, and the scratch memory for
        operands that do not lie in whole vectors."""
        multiply = Multiply(self.storage, product, target)
        if self._blas is not None and (statements := multiply.by_blas(self._blas)):
            self._called.add(multiply.kind)
            return statements, []
        tiled, statements = multiply.by_tiles()
        self._products[tiled.name] = tiled
        return statements, multiply.scratches

    def _ordered_rows(self, argsort: Instruction, target: Address) -> tuple[list[Statement], list[Buffer]]:
        """Return calls of a function that sorts, one for each row, and the scratch memory for it."""
        x = self.storage.stored(argsort.inputs[0])
        self._ordered.add(c_type(x.buffer.dtype))
        return in_rows(x, argsort.parameters[0], target)


_CALLS: dict[Any, Callable[[Emitter, Any, Address], tuple[list[Statement], list[Buffer]]]] = {
    linalg.matmul: Emitter._product,
    order.argsort: Emitter._ordered_rows,
}
"""What calls a function in the place of loops."""


def entry(buffers: Iterable[Buffer], written: set[Buffer], calls: Iterable[str]) -> str:
    """Return the function that calls the others, whose arguments are these buffers, of which some are
    written."""
    lines = [f"{UNOPTIMIZED} int {ENTRY}(void *const *p) {{", "  char *scratch = p[0];"]
    for buffer in buffers:
        kind = f"{'' if buffer in written or buffer.slot is None else 'const '}{c_type(buffer.dtype)} *"
        memory = f"p[{buffer.slot}]" if buffer.slot is not None else f"(scratch + {buffer.offset})"
        lines.append(f"  {kind}{buffer.name} = ({kind}){memory};")
    return "\n".join([*lines, *calls, "  return 0;", "}"])


def _label(kernel: Kernel) -> str:
    """Return the name of what a kernel computes, for the name of a function."""
    return kernel.var.name if kernel.kind == "store" and kernel.var.name else kernel.label


def _comment(kernel: Kernel) -> str:
    """Return a comment that says what a kernel computes, and for which line of the reader's code."""
    instruction = kernel.kind if isinstance(kernel.kind, Instruction) else kernel.instruction
    name = instruction.operation.name if instruction is not None else kernel.label
    where = f", {instruction.source}" if instruction is not None and instruction.source else ""
    return f"{_shown(kernel)}: {name} {list(kernel.domain)}{where}"


def _shown(kernel: Kernel) -> str:
    """Return what to call what a kernel computes, or checks."""
    return kernel.var.name or ("" if isinstance(kernel.kind, Check) else kernel.target.buffer.name)
