"""From what was recorded to primitive operations, without what is not needed.

Each operation becomes simpler ones by its own forward function, run on the traced kind of array, so that an
operation added to the table needs nothing here as long as it is composed of those that are.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from ... import ops
from ...ops import Operation
from ..instructions import Instruction, Var, flatten, substitute
from ..trace import Tape, lower
from .entries import FIRST_EQUAL
from .identities import simpler, unknown

MANY = 2**12
"""A sum in float32 of more terms is added up in float64: one after the other they would lose digits, where
NumPy and PyTorch add by halves."""


def primitives(
    instructions: list[Instruction],
    outputs: Iterable[Var],
    parts: Callable[[Instruction], list[Instruction]],
) -> tuple[list[Instruction], dict[Var, Var]]:
    """The instructions that `outputs` need, in primitive operations, which `parts` gives of each; and for
    each variable that was another's equal the one that took its place."""
    simple = [part for each in needed(instructions, outputs) for part in parts(each)]
    simple, instead = merge(simple)
    return needed(simple, [instead.get(var, var) for var in outputs]), instead


def lowered(instruction: Instruction, tape: Callable[[], Tape] = Tape) -> list[Instruction]:
    """Return an instruction as those that are composed of nothing simpler, or for which the entry says what
    is computed."""
    if instruction.operation.c is not None or instruction.operation.folds is not None:
        return [instruction]
    parts = lower(instruction, tape())
    if len(parts) == 1 and parts[0].operation is instruction.operation:
        return parts
    return [simple for part in parts for simple in lowered(part, tape)]


def parts_for_c(instruction: Instruction) -> list[Instruction]:
    """Return an instruction as those that there are loops for in C."""
    parts = []
    for part in lowered(instruction):
        plainer = _PLAINER.get(part.operation)
        parts += [part] if plainer is None else plainer(part)
    return parts


def _wide_sum(made: Instruction) -> list[Instruction]:
    """Return a sum of many terms in the next precision."""
    (x,), (axes, keepdims) = made.inputs, made.parameters
    assert isinstance(x, Var)
    terms = math.prod(x.shape[i] for i in (range(len(x.shape)) if axes is None else axes))
    if made.output.dtype != np.float32 or terms <= MANY:
        return [made]
    wide = _made(ops.elementwise.cast, (x,), (np.dtype(np.float64),), x.shape, np.float64)
    total = _made(ops.reduction.sum, (wide.output,), (axes, keepdims), made.output.shape, np.float64)
    narrow = replace(
        made, operation=ops.elementwise.cast, inputs=(total.output,), parameters=(np.dtype(np.float32),)
    )
    return [wide, total, narrow]


def _search(best: Operation) -> Callable[[Instruction], list[Instruction]]:
    """Return what makes of a search for the best, say the largest, the best and a comparison."""

    def plainer(made: Instruction) -> list[Instruction]:
        x, axis = made.inputs[0], made.parameters[0]
        assert isinstance(x, Var)
        axes = None if axis is None else (axis,)
        shape = tuple(1 if axes is None or i in axes else n for i, n in enumerate(x.shape))
        found = _made(best, (x,), (axes, True), shape, x.dtype)
        return [found, replace(made, operation=FIRST_EQUAL, inputs=(x, found.output))]

    return plainer


def _vector_product(made: Instruction) -> list[Instruction]:
    """Return a product with a vector as a product of elements and a sum."""
    a, b = made.inputs
    assert isinstance(a, Var)
    assert isinstance(b, Var)
    column: list[Instruction] = []
    if len(a.shape) == 1 and len(b.shape) > 1:
        column = [_made(ops.shape.reshape, (a,), ((*a.shape, 1),), (*a.shape, 1), a.dtype)]
        product = _made(ops.elementwise.mul, (column[0].output, b), (), b.shape, made.output.dtype)
        axis = len(b.shape) - 2
    elif len(b.shape) == 1:
        product = _made(ops.elementwise.mul, (a, b), (), a.shape, made.output.dtype)
        axis = len(a.shape) - 1
    else:
        return [made]
    total = replace(made, operation=ops.reduction.sum, inputs=(product.output,), parameters=((axis,), False))
    return [*column, product, total]


_PLAINER: dict[Operation, Callable[[Instruction], list[Instruction]]] = {
    ops.reduction.sum: _wide_sum,
    ops.reduction.argmax: _search(ops.reduction.amax),
    ops.reduction.argmin: _search(ops.reduction.amin),
    ops.linalg.matmul: _vector_product,
}


def _made(
    operation: Operation, inputs: tuple[Any, ...], parameters: tuple[Any, ...], shape: Any, dtype: Any
) -> Instruction:
    return Instruction(operation, inputs, parameters, unknown(shape, dtype))


def needed(instructions: list[Instruction], outputs: Iterable[Var]) -> list[Instruction]:
    """Without those that the outputs do not depend on: dead code."""
    wanted = set(outputs)
    kept = []
    for each in reversed(instructions):
        if each.output in wanted:
            wanted.update(each.reads())
            kept.append(each)
    return kept[::-1]


def merge(instructions: list[Instruction]) -> tuple[list[Instruction], dict[Var, Var]]:
    """Without what amounts to something simpler, and without what was computed before: common
    subexpressions."""
    instead: dict[Var, Var] = {}
    made: dict[Any, Var] = {}
    by: dict[Var, Instruction] = {}
    waiting = deque(instructions)

    def replaced(x: Any) -> Any:
        return instead.get(x, x) if isinstance(x, Var) else x

    while waiting:
        each = waiting.popleft()
        inputs, parameters = tuple(map(replaced, each.inputs)), substitute(each.parameters, replaced)
        each = Instruction(each.operation, inputs, parameters, each.output, source=each.source)
        found = simpler(each, by.get)
        if isinstance(found, Var):
            instead[each.output] = found
            continue
        if found is not None:
            waiting.extendleft(reversed(found))
            continue
        operands = tuple(map(_identity, inputs))
        if each.operation.commutative:
            operands = tuple(sorted(operands, key=repr))
        key = (each.operation, operands, _identity(parameters))
        if key in made:
            instead[each.output] = made[key]
            continue
        made[key] = each.output
        by[each.output] = each
    return list(by.values()), instead


def _identity(x: Any) -> Any:
    if isinstance(x, tuple):
        return tuple(map(_identity, x))
    if isinstance(x, slice):
        return (slice, x.start, x.stop, x.step)
    if isinstance(x, Var) and x.constant:
        return ("constant", repr(x.number), x.dtype.name, x.shape)
    return id(x) if isinstance(x, Var) else (type(x).__name__, repr(x))


def forget_values(instructions: list[Instruction]) -> None:
    """Keep the shapes and dtypes of the variables, and drop the arrays that were computed while recording."""
    for each in instructions:
        var = each.output
        var.value = unknown(var.shape, var.dtype).value


def reads(instruction: Instruction) -> list[Var]:
    """Each variable that an instruction reads."""
    return [each for each in flatten((*instruction.inputs, *instruction.parameters)) if isinstance(each, Var)]
