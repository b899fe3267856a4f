"""The program as C: a function for each group of loops, and one that calls them in order."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...ops import TABLE
from ..instructions import Instruction, Var
from .body import Body
from .loops import Loops, indices, write_point
from .plan import ALONE, REDUCTIONS, Address, Buffer, Group, Kernel, Storage, contiguous, loops
from .products import Product, tile_source, vector_types
from .scalars import c_type

PRELUDE = Path(__file__).with_name("prelude.h")
ENTRY = "ninja_step"


@dataclass
class Emitted:
    """C source; the bytes of scratch memory it wants; what each non-zero answer of the function complains
    of."""

    source: str
    scratch: int
    complaints: list[tuple[type[Exception], str]]
    summary: list[str] = field(default_factory=list)


class Emitter:
    """Makes C of primitive instructions.

    outputs: (address, variable) to be written when nothing can fail any more, or sooner where they are
    nobody's yet; cells: those that replace what the step has read, written last.
    """

    def __init__(
        self,
        storage: Storage,
        instructions: list[Instruction],
        outputs: list[tuple[Address, Var]],
        cells: list[tuple[Address, Var]],
        width: int,
    ) -> None:
        self.storage, self.instructions, self.width = storage, instructions, width
        self.groups: list[Group] = []
        self.complaints: list[tuple[type[Exception], str]] = []
        self._ready: dict[Buffer, int] = {}  # the group from which on a buffer can be read
        self._checked: set[tuple[Buffer, int, int]] = set()
        self._functions: list[str] = []
        self._alike: dict[str, str] = {}
        self._products: dict[str, Product] = {}
        self._barrier = 0
        for each in instructions:
            self._check(each)
            if each.output in storage.kept and each.output not in storage.inputs:
                self._add_kernels(each)
        self._write_out(outputs, cells)

    # -- kernels and the groups they join --------------------------------------------------------------------

    def _check(self, made: Instruction) -> None:
        """Kernels that look at indices, and at divisors that are integers, before they are used."""
        name = made.operation.name
        if name in ("index", "scatter", "put"):
            shape = made.inputs[0].shape if name == "index" else made.output.shape  # type: ignore[union-attr]
            key = made.parameters[-1]
            for item, n in zip(key, shape, strict=False):
                if isinstance(item, Var):
                    self._check_bounds(made, item, n)
        elif name in ("gather", "scatter_along"):
            axis, where = made.parameters[-2:]
            shape = made.inputs[0].shape if name == "gather" else made.output.shape  # type: ignore[union-attr]
            self._check_bounds(made, where, shape[axis])
        elif checks_divisor(made) and isinstance(made.inputs[1], Var):
            self._add_check(
                made, made.inputs[1], 0, RuntimeError, "integer division by zero (ZeroDivisionError)"
            )

    def _check_bounds(self, made: Instruction, where: Var, n: int) -> None:
        low, high = self.storage.ranges.get(where, (-math.inf, math.inf))
        if low >= -n and high <= n:
            return
        what = f"an index is out of bounds for a dimension of size {n}"
        self._add_check(made, where, n, IndexError, what)

    def _add_check(self, made: Instruction, var: Var, n: int, error: type[Exception], what: str) -> None:
        address = self.storage.address(var)
        assert address is not None, f"{var} is to be checked and was not kept"
        if (address.buffer, address.offset, n) in self._checked or not math.prod(var.shape):
            return
        self._checked.add((address.buffer, address.offset, n))
        self.complaints.append(
            (error, f"{made.source + ': ' if made.source else ''}{made.operation.name}: {what}")
        )
        kernel = Kernel("check", var, var.shape, instruction=made, bound=n)
        kernel.code = len(self.complaints)
        self._ready[address.buffer] = self._alone(kernel) + 1

    def _add_kernels(self, made: Instruction) -> None:
        name, var = made.operation.name, made.output
        address = self.storage.kept[var]
        if name in REDUCTIONS:
            x = made.inputs[0]
            domain = x.shape if isinstance(x, Var) else ()
            self._join(Kernel(name, var, domain, address, made))
        elif name in ("cat", "stack"):
            self._pieces(made, address)
        elif name in ALONE and not self.storage.is_onehot(made):
            source = made.output if name in ("matmul", "cumsum", "put") else made.inputs[0]
            domain = source.shape  # type: ignore[union-attr]
            if name == "put":
                self._join(Kernel("store", made.inputs[0], var.shape, address), fresh=True)  # type: ignore[arg-type]
                domain = np.empty(var.shape, np.int8)[_shown(made.parameters[0])].shape
            position = self._alone(Kernel(name, var, domain, address, made))
            self._ready[address.buffer] = position + 1
        else:
            self._join(Kernel("store", var, var.shape, address, made))

    def _pieces(self, made: Instruction, address: Address) -> None:
        """Each part of a `cat` or `stack` is stored to its place."""
        axis, start, _position = made.parameters[0], 0, 0
        for x in made.inputs:
            assert isinstance(x, Var)
            cut: Any = (slice(None),) * axis
            cut += (slice(start, start + x.shape[axis]),) if made.operation.name == "cat" else (start,)
            start += x.shape[axis] if made.operation.name == "cat" else 1
            shown = address.viewed(Instruction(TABLE["slice"], (made.output,), ((*cut, ...),), made.output))
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

    def _probe(self, address: Address, var: Var) -> str:
        return Body(self.storage).at(address, indices(var.shape))

    def _loads(self, kernel: Kernel) -> dict[Buffer, set[str]]:
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
        own = self._probe(kernel.target, kernel.var) if kernel.kind == "store" else ""
        position = len(self.groups)
        if math.prod(kernel.domain) and not fresh:
            for at in range(max(self._barrier, first - 1), len(self.groups)):
                group = self.groups[at]
                if (
                    group.kernels[0].kind not in ALONE | {"check"}
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

    def _flows(self, group: Group, loads: dict[Buffer, set[str]], at: int) -> bool:
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

    # -- the text --------------------------------------------------------------------------------------------

    def emit(self) -> Emitted:
        """The whole file."""
        calls: list[str] = []
        width = self.width
        for number, group in enumerate(self.groups):
            group.name = (
                f"step{number}_" + "_".join(dict.fromkeys(_label(each) for each in group.kernels))[:40]
            )
            calls.append(self._function(group))
        scratch = self._place_scratch()
        main = [f"int {ENTRY}(void *const *p) {{", "  char *scratch = p[0];"]
        for each in self._all_buffers():
            const = "" if each.written or each.slot is None else "const "
            place = f"p[{each.slot}]" if each.slot is not None else f"(scratch + {each.offset})"
            main.append(
                f"  {const}{c_type(each.dtype)} *{each.name} = ({const}{c_type(each.dtype)} *){place};"
            )
        tiles = sorted({tile for each in self._products.values() for tile in each.needed_tiles()})
        parts = [
            PRELUDE.read_text(encoding="utf-8"),
            vector_types(width),
            *(
                tile_source(kind, rows, wide, width // (4 if kind == "float" else 8))
                for kind, rows, wide in tiles
            ),
            *(each.source() for each in self._products.values()),
            *self._functions,
            "\n".join([*main, *calls, "  return 0;", "}"]),
        ]
        return Emitted(
            "\n\n".join(parts) + "\n", scratch, self.complaints, [each.name for each in self.groups]
        )

    def _all_buffers(self) -> list[Buffer]:
        used = dict.fromkeys(buffer for group in self.groups for buffer in group.buffers)
        return list(used)

    def _place_scratch(self) -> int:
        """Give each buffer its place in the scratch memory, which it leaves to others after its last use."""
        last: dict[Buffer, int] = {}
        for number, group in enumerate(self.groups):
            last.update((buffer, number) for buffer in group.buffers if buffer.slot is None)
        live: list[tuple[int, int, int]] = []  # (offset, end, last use)
        total = 0
        placed: set[Buffer] = set()
        for number, group in enumerate(self.groups):
            live = [each for each in live if each[2] >= number]
            for buffer in group.buffers:
                if buffer.slot is not None or buffer in placed:
                    continue
                size = -(-max(1, buffer.elements) * buffer.dtype.itemsize // 64) * 64 + 64
                at = 0
                for start, end, _ in sorted(live):
                    if at + size <= start:
                        break
                    at = max(at, end)
                buffer.offset = at
                placed.add(buffer)
                live.append((at, at + size, last[buffer]))
                total = max(total, at + size)
        return total

    def _function(self, group: Group) -> str:
        """Write the function of a group; returns the line that calls it."""
        body = Body(self.storage)
        first = group.kernels[0]
        if first.kind == "matmul":
            lines = self._product(first, body)
        else:
            lines = Loops(self.storage, group, body, self.width).lines()
        written = dict.fromkeys(each.target.buffer for each in group.kernels if each.target is not None)
        for each in written:
            each.written = True
        group.buffers = list(dict.fromkeys([*written, *body.loads]))
        parameters = [
            f"{'' if each in written else 'const '}{c_type(each.dtype)} *restrict {each.name}"
            for each in group.buffers
        ]
        kind = "int" if first.kind == "check" else "void"
        arguments = f"({', '.join(each.name for each in group.buffers)})"
        alike = _without_names(lines, parameters, [each.name for each in group.buffers])
        if alike in self._alike:  # as in each layer of a deep network: compiled once
            group.name = self._alike[alike]
        else:
            self._alike[alike] = group.name
            notes = [f"/* {note} */" for note in dict.fromkeys(_comment(each) for each in group.kernels)]
            head = f"static __attribute__((noinline)) {kind} {group.name}({', '.join(parameters)}) {{"
            self._functions.append("\n".join([*notes, head, *lines, "}"]))
        call = group.name + arguments
        return f"  if ({call}) return {first.code};" if first.kind == "check" else f"  {call};"

    def _product(self, kernel: Kernel, body: Body) -> list[str]:
        """Calls of a product function, one for each matrix of the batch."""
        made, target = kernel.instruction, kernel.target
        assert made is not None
        assert target is not None
        left, right = (self.storage.address(each) for each in made.inputs)  # type: ignore[arg-type]
        assert left is not None
        assert right is not None
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

        b, b_step = start(right), right.strides[-2]
        if right.strides[-1] != 1 or not self._padded(right, n, lanes):
            b, b_step = "packed", padded
            lines.append(
                f"    static _Thread_local {kind} packed[{max(1, k * padded)}] __attribute__((aligned(64)));"
            )
            source = start(right)
            order = ("r", k, "q", n) if right.strides[-1] == 1 else ("q", n, "r", k)
            lines.append(f"    for (int {order[0]} = 0; {order[0]} < {order[1]}; {order[0]}++)")
            lines.append(f"      for (int {order[2]} = 0; {order[2]} < {order[3]}; {order[2]}++)")
            lines.append(
                f"        packed[r * {padded} + q] = "
                f"({source})[r * {right.strides[-2]} + q * {right.strides[-1]}];"
            )
        c, c_step = start(target), target.strides[-2]
        loose = not self._padded(target, n, lanes) or target.strides[-1] != 1
        if loose:
            lines.append(
                f"    static _Thread_local {kind} result[{max(1, m * padded)}] __attribute__((aligned(64)));"
            )
            c, c_step = "result", padded
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
            lines.append(f"    for (int r = 0; r < {m}; r++)")
            lines.append(f"      for (int q = 0; q < {n}; q++)")
            lines.append(
                f"        ({start(target)})[r * {target.strides[-2]} + q * {target.strides[-1]}] = "
                f"result[r * {padded} + q];"
            )
        return [*lines, "  }"]

    def _padded(self, address: Address, n: int, lanes: int) -> bool:
        """Whether whole vectors may be read and written at the end of each row."""
        if n % lanes == 0:
            return True
        return (
            address.buffer.slot is None
            and address.strides[-2] >= -(-n // lanes) * lanes
            and address.offset == 0
        )


def _shown(key: tuple[Any, ...]) -> tuple[Any, ...]:
    """A key with which NumPy tells the shape of what it selects."""
    return tuple(np.zeros(each.shape, int) if isinstance(each, Var) else each for each in key)


def _without_names(lines: list[str], parameters: list[str], names: list[str]) -> str:
    """The text of a function with numbers for the names of its buffers, and without comments."""
    text = re.sub(r"  /\*.*?\*/", "", "\n".join([*parameters, *lines]))
    places = {name: f"#{i}" for i, name in enumerate(names)}
    return re.sub(r"\b[A-Za-z_]\w*", lambda found: places.get(found[0].removesuffix("_row"), found[0]), text)


def _label(kernel: Kernel) -> str:
    return kernel.var.name if kernel.kind == "store" and kernel.var.name else kernel.kind


def _comment(kernel: Kernel) -> str:
    made = kernel.instruction
    name = made.operation.name if made is not None and kernel.kind != "check" else kernel.kind
    shown = kernel.var.name or (kernel.target.buffer.name if kernel.target is not None else "")
    where = f", {made.source}" if made is not None and made.source else ""
    return f"{shown}: {name} {list(kernel.domain)}{where}"


def checks_divisor(made: Instruction) -> bool:
    """Whether the instruction divides integers, by others of which none may be 0."""
    return made.operation.name in ("remainder", "floor_divide") and made.output.dtype.kind in "iu"
