"""A step as a line of code has it: `counts_sum**-1`, `logprobs[range(32), Y]`, or without its operands."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_ninja.arrays.dispatch import move
from tinygrad_ninja.engine.value import Value as Scalar
from tinygrad_ninja.ops import TABLE, indexing, reduction
from tinygrad_ninja.program.derive import formula
from tinygrad_ninja.program.derive.record import is_range
from tinygrad_ninja.program.dialects import Bracket, Kind
from tinygrad_ninja.program.expressions import Code, call, named
from tinygrad_ninja.program.instructions import Instruction, Var, flatten, substitute
from tinygrad_ninja.program.languages import LANGUAGES
from tinygrad_ninja.program.pieces import Piece

from .graph import Graph, Step, Value
from .numbers import short

TORCH = LANGUAGES["torch"]
OPERAND = "\u16a0"
"""The name of an operand that is left out. It is a letter, as in Python's names, that no program has."""

LONGEST = 40
"""Code that is longer is not put into the code of what was computed from it."""


def instruction_of(step: Step, names: Sequence[str]) -> Instruction:
    """Return the step as an instruction of a program, with its arrays as variables, named as given: the
    output, each input, and each array among the parameters. A plain number is written as it is."""
    assert step.node.values is not None
    arrays = substitute(step.node.values, lambda x: move(x, "cpu") if hasattr(x, "__array__") else x)
    count = len(step.inputs) + 1
    used = [
        name if isinstance(value, Value) else ""
        for name, value in zip(names[:count], [step.output, *step.inputs], strict=True)
    ]
    instruction = formula.instruction(step.operation, arrays, used)
    read = [x for x in flatten(instruction.parameters) if isinstance(x, Var) and x.shape]
    for var, value, name in zip(read, step.reads, names[count:], strict=True):
        if value.name or not is_range(var):  # a range is written as such
            var.name = name
    return instruction


def written(step: Step, operands: Sequence[Code], read: Sequence[str]) -> Code:
    """Return the step as PyTorch's code. operands: the code of each input, not used for a plain number; read:
    that of each array among the parameters, not used for a range without a name."""
    instruction = instruction_of(step, ["", *[OPERAND] * len(operands), *read])
    inputs = [
        given if isinstance(x, Var) else _plain(step, x)
        for given, x in zip(operands, instruction.inputs, strict=True)
    ]
    if (entry := extreme(step)) is not None:
        kept: Code = TORCH.extreme(entry.standard, inputs[0], instruction.parameters[0])
        return kept
    parameters = substitute(instruction.parameters, _parameter)
    if (
        step.operation.in_torch or TABLE.get(step.operation.name) is step.operation
    ):  # else it is a program's own
        with contextlib.suppress(NotImplementedError):  # torch has no function for it
            blank = [named(OPERAND, x.shape) if isinstance(x, Var) else x for x in instruction.inputs]
            once = TORCH.expression(instruction, blank, parameters)
            if sum(map(_is_operand, once.walk())) <= len(operands):
                expression: Code = TORCH.expression(instruction, inputs, parameters)
                return expression
    options = {
        name: parameter
        for name, parameter in zip(step.operation.parameters, parameters, strict=True)
        if not (isinstance(parameter, Code) or parameter is None or parameter is False)
    }
    return call(step.operation.name, *inputs, **options)


def without_operands(step: Step) -> str:
    """Return what the step does, without what it does it to: "+", "** -1", "sum(1, keepdim=True)"."""
    if step.operation.drawn:
        given = ["" if isinstance(value, Value) else short(value) for value in step.inputs]
        return " ".join(filter(None, [*given[:1], step.operation.drawn, *given[1:]]))
    read = [value.name or f"{'×'.join(map(str, value.shape))} {value.dtype}" for value in step.reads]
    text = str(_without_operands(written(step, [named(OPERAND)] * len(step.inputs), read)) or "")
    return text.removesuffix(".values").strip().removesuffix("()")


def _is_operand(piece: Piece) -> bool:
    return piece.kind is Kind.NAME and piece.parts[0] == OPERAND


def _without_operands(piece: Code) -> Code | None:
    """Return code without its operands, and without the modules of functions; None where nothing is left."""
    text = piece.parts[0] if piece.parts else ""
    if piece.kind is Kind.NAME:
        return None if _is_operand(piece) else named(re.sub(r"\b(torch|nn|functional)\.", "", text))
    if piece.kind is Kind.NUMBER and re.search(r"\.\d{4}", text):
        return named(short(float(text)))
    if piece.kind is Kind.SIGN:
        return Code(Kind.SIGN, " ** ") if text == "**" else piece
    if piece.kind is Kind.FENCED:
        inside = _without_operands(piece.parts[1])
        return None if inside is None else inside.fenced(Bracket[text])
    if piece.kind not in (Kind.ROW, Kind.LIST):
        return piece
    parts = [_without_operands(part) for part in piece.parts]
    rest = [part for part in parts if part is not None]
    if piece.kind is Kind.ROW and parts[0] is None and rest:  # of a tuple its comma, of a method its dot
        first = str(rest[0]).lstrip(",.")
        rest[:1] = [named(first)] if first else []
    return Code(piece.kind, *rest) if rest or not parts else None


def codes(graph: Graph) -> dict[Value, str]:
    """Return the code of every result, in which a value without a name is what it was computed by, as far as
    that is short."""
    code_of: dict[Value, Code] = {}
    text_of: dict[Value, str] = {}

    def operand(value: Value | float) -> Code:
        """Return a value as it stands in the code of another."""
        if not isinstance(value, Value):
            return named(OPERAND)
        if value.name or len(text_of.get(value, "…" * LONGEST)) >= LONGEST:
            return named(value.name or "…", value.shape)
        return code_of[value]

    for step in graph.steps:
        read = [value.name or "…" for value in step.reads]
        expression = written(step, [operand(value) for value in step.inputs], read)
        code_of[step.output] = expression.shaped(step.output.shape)
        text_of[step.output] = str(code_of[step.output])
    return text_of


def _plain(step: Step, x: Any) -> Any:
    """Return a plain number as it was written: a Value keeps a whole one as a float, too."""
    return int(x) if isinstance(step.node, Scalar) and float(x).is_integer() else x


def _parameter(x: Any) -> Any:
    """Return a parameter as code."""
    if isinstance(x, Var) and not x.shape:
        return x.value.item()
    if isinstance(x, Var):
        return named(x.name or f"range({len(x.value)})", x.shape)
    if isinstance(x, np.dtype | type):
        return TORCH.dtype(x)
    return TORCH.number(x) if isinstance(x, float) else x


def extreme(step: Step) -> Any:
    """Return `amax` or `amin` where the step reads, by an index without a name, what is largest or smallest
    along a dimension: that is what PyTorch's max and min of a dimension are recorded as. Else None."""
    if step.operation is not indexing.gather or step.reads[0].name:
        return None
    assert step.node.values is not None
    axis: Any
    index: Any
    (axis, index), (x, *_) = step.node.values[2:], step.inputs
    if not isinstance(x, Value) or index.shape[axis] != 1 or x.shape[axis] < 2:
        return None
    array, places = (np.asarray(move(given, "cpu")) for given in (x.array, index))
    if np.array_equal(array.argmax(axis, keepdims=True), places):
        return reduction.amax
    return reduction.amin if np.array_equal(array.argmin(axis, keepdims=True), places) else None
