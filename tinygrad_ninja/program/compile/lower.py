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

from ...ops import TABLE, Operation
from ..instructions import Instruction, Var, flatten, substitute
from ..trace import lower
from .identities import simpler, unknown

MANY = 2**12
"""A sum in float32 of more terms is added up in float64: one after the other they would lose digits, where
NumPy and PyTorch add by halves."""
_COMMUTATIVE = {"add", "mul", "eq", "ne"}


def _words_below(words: Any, /, low: int, span: int) -> Any:
    """out = low + words modulo span: how a Generator makes integers of 32-bit words."""
    return (words % span).view(np.int64) + low


def _first_equal(xp: Any, x: Any, best: Any, /, axis: int | None, keepdims: bool) -> Any:
    """out = where along axis the first stands that equals `best`, or is NaN."""
    return xp.argmax((x == best) | (x != x), axis, keepdims)


_words_below.__name__, _first_equal.__name__ = "words_below", "first_equal"
WORDS_BELOW, FIRST_EQUAL = Operation(_words_below, {}), Operation(_first_equal, {})
"""Operations of the compiler's own, which no Tensor needs."""


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


def parts_for_c(instruction: Instruction) -> list[Instruction]:
    """An instruction as those that there are loops for in C."""
    if instruction.operation is WORDS_BELOW:
        return [instruction]
    return [part for made in lower(instruction) for part in _plainer(made)]


def _plainer(made: Instruction) -> list[Instruction]:
    """A search for the largest as the largest and a comparison; a product with a vector as a product of
    elements and a sum; a sum of many terms in the next precision."""
    name = made.operation.name
    if name == "sum" and made.output.dtype == np.float32:
        (x,), (axes, keepdims) = made.inputs, made.parameters
        assert isinstance(x, Var)
        if math.prod(x.shape[i] for i in (range(len(x.shape)) if axes is None else axes)) <= MANY:
            return [made]
        wide = _made("cast", (x,), (np.dtype(np.float64),), x.shape, np.float64)
        total = _made("sum", (wide.output,), (axes, keepdims), made.output.shape, np.float64)
        narrow = replace(
            made, operation=TABLE["cast"], inputs=(total.output,), parameters=(np.dtype(np.float32),)
        )
        return [wide, total, narrow]
    if name in ("argmax", "argmin"):
        x, (axis, keepdims) = made.inputs[0], made.parameters
        assert isinstance(x, Var)
        axes = None if axis is None else (axis,)
        shape = tuple(1 if axes is None or i in axes else n for i, n in enumerate(x.shape))
        best = _made("amax" if name == "argmax" else "amin", (x,), (axes, True), shape, x.dtype)
        return [
            best,
            Instruction(FIRST_EQUAL, (x, best.output), (axis, keepdims), made.output, source=made.source),
        ]
    if name == "matmul":
        a, b = made.inputs
        assert isinstance(a, Var)
        assert isinstance(b, Var)
        if len(a.shape) == 1 and len(b.shape) > 1:
            column = _made("reshape", (a,), ((*a.shape, 1),), (*a.shape, 1), a.dtype)
            product = _made("mul", (column.output, b), (), b.shape, made.output.dtype)
            axis = len(b.shape) - 2
        elif len(b.shape) == 1:
            column = None
            product = _made("mul", (a, b), (), a.shape, made.output.dtype)
            axis = len(a.shape) - 1
        else:
            return [made]
        total = Instruction(
            TABLE["sum"], (product.output,), ((axis,), False), made.output, source=made.source
        )
        return [*([column] if column else []), product, total]
    return [made]


def _made(
    name: str, inputs: tuple[Any, ...], parameters: tuple[Any, ...], shape: Any, dtype: Any
) -> Instruction:
    return Instruction(TABLE[name], inputs, parameters, unknown(shape, dtype))


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
        if each.operation.name in _COMMUTATIVE:
            operands = tuple(sorted(operands, key=repr))
        key = (each.operation.name, operands, _identity(parameters))
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
        return ("slice", x.start, x.stop, x.step)
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
