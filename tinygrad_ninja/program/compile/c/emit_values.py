"""Operations on numbers as C: a function for each stretch of them, over one array of all numbers."""

from __future__ import annotations

from ....ops import indexing
from ...comments import c_comment
from .body import Body
from .buffers import indices
from .build import PRELUDE
from .c_code import Effects, Loop, Statement, Store
from .c_source import CSource
from .emit_c import entry
from .rolled import DOUBLE, Rolled, Turns
from .writer import Function


def emit(rolled: Rolled) -> CSource:
    """Return the whole C file."""
    functions, calls = [], []
    for number, turns in enumerate(rolled.turns):
        statements = _statements(turns)
        buffers = [*dict.fromkeys([*Effects(statements).loads, rolled.written])]
        function = Function(statements, buffers, {rolled.written}, ())
        functions.append(function.written(f"void values{number}", (c_comment(str(turns.stretch)),)))
        calls.append(f"  values{number}({', '.join(buffer.name for buffer in buffers)});")
    main = entry([rolled.read, rolled.written, rolled.places], {rolled.written}, calls)
    return CSource(PRELUDE.read_text(encoding="utf-8"), functions, main)


def _statements(turns: Turns) -> list[Statement]:
    """Return what a stretch computes and keeps."""
    body, index = Body(turns.layout), indices(turns.stretch.shape)
    inside: list[Statement] = []
    for step in turns.instructions:
        if step.operation is indexing.put:
            (_, value), (address,) = step.inputs, step.parameters
            inside.append(Store(address.buffer, address.at(index), body.value(value, index, DOUBLE)))
        else:
            inside.append(body.computed(step.output, index))
    return [Loop("i0", 0, turns.stretch.times, inside)] if turns.stretch.shape else inside
