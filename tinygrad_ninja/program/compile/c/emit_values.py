"""Operations on numbers as C: a function for each stretch of them, over one array of all numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ....ops import Operation, comparison
from ...comments import c_comment
from ...instructions import Array
from ..recording.values import COMPUTED, CONSTANT, INPUT, NONE, Scalars
from .c_code import Expression
from .c_source import CFunction, CSource
from .emit_c import ENTRY, PRELUDE
from .rolled import Stretch, stretches
from .scalars import cast, expression, literal
from .writer import Writer

_DOUBLE = np.dtype(np.float64)
LONGEST = 512
"""The most operations without repetition that go into one function: a C compiler takes more than twice as
long for twice as many."""


@dataclass
class EmittedValues:
    """The C of the function, which takes the array of numbers; the array's size, inputs first; the places
    of the outputs in it; the numbers that never change, by their places; a summary of the loops."""

    source: CSource
    size: int
    places: list[int]
    constants: dict[int, float]
    summary: list[str]


class ValueEmitter:
    """Writes C for operations on numbers. outputs: the codes of the results that are wanted."""

    def __init__(self, tape: Scalars, outputs: list[int]) -> None:
        self.constants = np.array(tape.constants, np.float64)
        self.operations, self.operands, outputs = _needed(tape, outputs)
        self.outputs = np.array(outputs, np.int64)
        self.size = tape.inputs
        self.slots = np.full(len(self.operations), -1, np.int64)  # where a number lies that is read elsewhere
        kinds = self.operands & 3
        labels = {operation: i for i, operation in enumerate(dict.fromkeys(self.operations))}
        keys = np.array([labels[operation] for operation in self.operations], np.int64) * 64 + kinds @ (
            16,
            4,
            1,
        )
        self.pieces = [part for stretch in stretches(keys) for part in _cut(stretch)]
        self._place()

    def _place(self) -> None:
        """Give memory to each number that is an output, or is read in another stretch or another turn."""
        read = np.zeros(len(self.operations), bool)
        read[self.outputs[self.outputs % 4 == COMPUTED] >> 2] = True
        for piece in self.pieces:
            codes = self._codes(piece)
            away = (codes & 3 == COMPUTED) & ~self._local(piece, codes)
            read[codes[away] >> 2] = True
        for piece in self.pieces:
            wanted = read[piece.start : piece.end].reshape(piece.times, piece.body)
            slots = self.slots[piece.start : piece.end].reshape(piece.times, piece.body)
            for column in np.flatnonzero(wanted.any(0)):
                slots[:, column] = self.size + np.arange(piece.times)
                self.size += piece.times

    def _codes(self, piece: Stretch) -> Array:
        """Return the operands' codes, of shape (times, body, 3)."""
        return self.operands[piece.start : piece.end].reshape(piece.times, piece.body, 3)

    def _local(self, piece: Stretch, codes: Array) -> Array:
        """Return whether an operand is in every turn what the same operation of that turn computed, of shape
        (1, body, 3)."""
        turns = piece.start + piece.body * np.arange(piece.times).reshape(-1, 1, 1)
        number = (codes >> 2) - turns
        same = (number == number[0]) & (number >= 0) & (number < piece.body) & (codes & 3 == COMPUTED)
        return same.all(0, keepdims=True)

    def emit(self) -> EmittedValues:
        """Return the whole C file."""
        functions = [self._function(i, piece) for i, piece in enumerate(self.pieces)]
        calls = [f"  values{i}(m);" for i in range(len(self.pieces))]
        main = [
            f"int {ENTRY}(void *const *p) {{",
            "  double *m = (double *)p[0];",
            *calls,
            "  return 0;",
            "}",
        ]
        places, constants = [], {}
        for code in self.outputs.tolist():
            kind, number = code & 3, code >> 2
            if kind == CONSTANT:
                constants[self.size] = float(self.constants[number])
                number, self.size = self.size, self.size + 1
            places.append(int(self.slots[number]) if kind == COMPUTED else number)
        source = CSource(PRELUDE.read_text(encoding="utf-8"), functions, "\n".join(main))
        return EmittedValues(source, self.size, places, constants, [_summary(piece) for piece in self.pieces])

    def _function(self, number: int, piece: Stretch) -> CFunction:
        """Return the C function of a stretch."""
        codes = self._codes(piece)
        local = self._local(piece, codes)[0]
        tables: list[str] = []
        lines = []
        for i in range(piece.body):
            operation = self.operations[piece.start + i]
            args = [
                f"v{(codes[0, i, j] >> 2) - piece.start}"
                if local[i, j]
                else self._operand(codes[:, i, j], tables)
                for j in range(3)
                if codes[0, i, j] & 3 != NONE
            ]
            lines.append(f"const double v{i} = {Writer({}).text(_computed(operation, args))};")
            slots = self.slots[piece.start + i : piece.end : piece.body]
            if slots[0] >= 0:
                lines.append(f"{self._element(slots, tables)} = v{i};")
        body = [f"  {line}" for line in (*tables, f"for (int k = 0; k < {piece.times}; k++) {{")]
        body += [*(f"    {line}" for line in lines), "  }"]
        return CFunction(f"void values{number}(double *restrict m)", body, (c_comment(_summary(piece)),))

    def _operand(self, codes: Array, tables: list[str]) -> Expression:
        """Return the C expression of an operand in every turn: a number, or what is read from memory."""
        kind, numbers = codes[0] & 3, codes >> 2
        if kind == CONSTANT:
            texts = [literal(value, _DOUBLE).text for value in self.constants[numbers].tolist()]
            if len(set(texts)) == 1:
                return f"({texts[0]})"  # in brackets, for it may begin with -
            tables.append(f"static const double c{len(tables)}[] = {{{', '.join(texts)}}};")
            return f"c{len(tables) - 1}[k]"
        return self._element(numbers if kind == INPUT else self.slots[numbers], tables)

    def _element(self, slots: Array, tables: list[str]) -> str:
        """Return the C expression of the array's element at a place that goes through `slots` from turn to
        turn."""
        start, step = int(slots[0]), int(slots[1] - slots[0]) if len(slots) > 1 else 0
        if (slots == start + step * np.arange(len(slots))).all():
            return f"m[{start} + {step} * k]" if step else f"m[{start}]"
        tables.append(f"static const int32_t c{len(tables)}[] = {{{', '.join(map(str, slots.tolist()))}}};")
        return f"m[c{len(tables) - 1}[k]]"


def _needed(tape: Scalars, outputs: list[int]) -> tuple[list[Operation], Array, list[int]]:
    """Return the operations that the outputs depend on, their operands, and the outputs, renumbered."""
    wanted = np.zeros(len(tape.operations), bool)
    for code in outputs:
        if code & 3 == COMPUTED:
            wanted[code >> 2] = True
    for i in range(len(tape.operations) - 1, -1, -1):
        if wanted[i]:
            for code in tape.operands[i]:
                if code & 3 == COMPUTED:
                    wanted[code >> 2] = True
    numbers = np.cumsum(wanted) - 1
    operands = np.array(tape.operands, np.int64).reshape(-1, 3)[wanted]
    computed = operands & 3 == COMPUTED
    operands[computed] = 4 * numbers[operands[computed] >> 2] + COMPUTED
    operations = [operation for operation, kept in zip(tape.operations, wanted, strict=True) if kept]
    renumbered = [4 * int(numbers[c >> 2]) + COMPUTED if c & 3 == COMPUTED else c for c in outputs]
    return operations, operands, renumbered


def _cut(piece: Stretch) -> list[Stretch]:
    """Return a stretch without repetition as several of at most LONGEST operations."""
    if piece.times > 1:
        return [piece]
    starts = range(piece.start, piece.end, LONGEST)
    return [Stretch(start, min(LONGEST, piece.end - start), 1) for start in starts]


def _computed(operation: Operation, args: list[Expression]) -> Expression:
    """Return an operation on C expressions."""
    if operation is comparison.where:
        condition, *args = args
        return expression(operation, args, _DOUBLE, {"condition": condition})
    result = expression(operation, args, _DOUBLE)
    return cast("double", result) if operation.predicate else result


def _summary(piece: Stretch) -> str:
    """Return what a stretch computes, in a few words."""
    return f"{piece.body} operations" + (f", {piece.times} times" if piece.times > 1 else "")
