"""Simplifications that change no value: NaN, infinities and the sign of zero are what they were.

They are those that a reader makes without a thought: a view of a view, -(-x), one operation on repeated
values, their sum. What else `derive(..., simplify=True)` knows is left out, since it holds for finite
numbers only. Where a probability underflows, the lines of the cross-entropy's backward pass divide 0 by 0 and
leave NaN where (softmax - onehot) / n has a number; where a gradient is infinite, batch norm's one line
leaves infinities where its lines leave NaN. benchmarks/README.md says what that would save.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from .. import ops
from ..ops import Category, Operation
from .entries import FIRST_EQUAL, RESHAPES
from .instructions import Array, Instruction, Var, axes_of, known_number

Maker = Callable[[Any], Instruction | None]
"""Returns the instruction that computes a variable; None for an input, or a number."""
Simpler = Var | list[Instruction] | None
"""An equal variable; or simpler instructions, the last of which computes the output; or None."""


def simpler(instruction: Instruction, maker: Maker) -> Simpler:
    """Return the simpler form of an instruction."""
    rule = _RULES.get(instruction.operation)
    simple = rule(instruction, maker) if rule is not None else None
    if simple is None and instruction.operation.category is Category.ELEMENTWISE:
        return _unrepeated(instruction, maker)
    return simple


def unknown(shape: Any, dtype: Any) -> Var:
    """Return a variable that has a shape and a dtype, and no recorded value."""
    return Var(_unread(shape, dtype))


@lru_cache
def _unread(shape: Any, dtype: Any) -> Array:
    """Return an array of a shape and a dtype that is never read, and can't be written to."""
    return np.broadcast_to(np.zeros((), dtype), shape)


def instruction_of(
    operation: Operation, inputs: tuple[Any, ...], parameters: tuple[Any, ...], shape: Any, dtype: Any
) -> Instruction:
    """Return an instruction whose output has this shape and dtype, and no recorded value."""
    return Instruction(operation, inputs, parameters, unknown(shape, dtype))


def _of(x: Any, maker: Maker, *operations: Operation) -> Var | None:
    """Return the input of the instruction that makes `x`, if it is one of these operations; else None."""
    before = maker(x)
    if before is None or before.operation not in operations or not isinstance(before.inputs[0], Var):
        return None
    return before.inputs[0]


# -- copies, views, casts ------------------------------------------------------------------------------------


def _whole(instruction: Instruction) -> Var | None:
    """Return the input of a view that shows all of it in its own shape; else None."""
    (x,) = instruction.inputs
    return x if isinstance(x, Var) and x.shape == instruction.output.shape else None


def _reshape(instruction: Instruction, maker: Maker) -> Simpler:
    base = _of(instruction.inputs[0], maker, *RESHAPES)
    if base is not None:
        parameters = (instruction.output.shape,)
        return [replace(instruction, operation=ops.shape.reshape, inputs=(base,), parameters=parameters)]
    return _whole(instruction)


def _expand(instruction: Instruction, maker: Maker) -> Simpler:
    base = _of(instruction.inputs[0], maker, ops.shape.expand)
    if base is not None:
        return [replace(instruction, inputs=(base,))]
    return _whole(instruction)


def _permute(instruction: Instruction, maker: Maker) -> Simpler:
    axes = axes_of(instruction)
    before, base = maker(instruction.inputs[0]), _of(instruction.inputs[0], maker, ops.shape.permute)
    if before is not None and base is not None:
        return [
            replace(instruction, inputs=(base,), parameters=(tuple(before.parameters[0][i] for i in axes),))
        ]
    return _whole(instruction) if axes == tuple(range(len(axes))) else None


def _slice(instruction: Instruction, maker: Maker) -> Simpler:
    backwards = any(isinstance(item, slice) and (item.step or 1) < 0 for item in instruction.parameters[0])
    return None if backwards else _whole(instruction)


def _gather(instruction: Instruction, maker: Maker) -> Simpler:
    """Replace max(dim), a gather by the index of the largest, by the largest value; between 0 and -0, which
    are equal, it may choose the other."""
    (x,), (axis, index) = instruction.inputs, instruction.parameters
    search = maker(index)
    if search is None or search.operation is not FIRST_EQUAL or search.inputs[0] is not x:
        return None
    return search.inputs[1] if search.parameters == (axis, True) else None


def _cast(instruction: Instruction, maker: Maker) -> Simpler:
    """Skip a first cast to a dtype that holds every value of the original."""
    x, to = instruction.inputs[0], instruction.output.dtype
    if x.dtype == to:
        return x
    first = _of(x, maker, ops.elementwise.cast)
    if first is None or not _holds(x.dtype, first.dtype) or (first.dtype.kind == "f" and to.kind != "f"):
        return None
    return [replace(instruction, inputs=(first,))]


def _holds(wide: np.dtype[Any], narrow: np.dtype[Any]) -> bool:
    """Return whether dtype `wide` has each value of `narrow`; of 64-bit integers in a double NumPy says so
    wrongly."""
    rounds = narrow.kind in "iu" and narrow.itemsize == 8 and wide.kind == "f"
    return np.can_cast(narrow, wide) and not rounds


# -- signs ---------------------------------------------------------------------------------------------------


def _minus(x: Any, maker: Maker, dtype: np.dtype[Any]) -> Var | None:
    """Return y, where x is -y in this dtype; else None."""
    return _of(x, maker, ops.elementwise.neg) if isinstance(x, Var) and x.dtype == dtype else None


def _add(instruction: Instruction, maker: Maker) -> Simpler:
    """Replace a + (-b) by a - b, which IEEE 754 defines as the same."""
    for a, b in (instruction.inputs, instruction.inputs[::-1]):
        minus = _minus(b, maker, instruction.output.dtype)
        if minus is not None:
            return [replace(instruction, operation=ops.elementwise.sub, inputs=(a, minus))]
    return None


def _sub(instruction: Instruction, maker: Maker) -> Simpler:
    a, b = instruction.inputs
    minus = _minus(b, maker, instruction.output.dtype)
    return None if minus is None else [replace(instruction, operation=ops.elementwise.add, inputs=(a, minus))]


def _mul(instruction: Instruction, maker: Maker) -> Simpler:
    """Replace x · -1 by -x, and cancel the signs of two factors, or of a numerator and its denominator."""
    out, operands = instruction.output, instruction.inputs
    for x, other in (operands, operands[::-1]) if instruction.operation is ops.elementwise.mul else ():
        same = isinstance(x, Var) and (x.shape, x.dtype) == (out.shape, out.dtype)
        if same and known_number(other) == -1:
            return [replace(instruction, operation=ops.elementwise.neg, inputs=(x,))]
    both = tuple(_minus(x, maker, out.dtype) for x in operands)
    return [replace(instruction, inputs=both)] if None not in both else None


# -- repeated values -----------------------------------------------------------------------------------------


def _unrepeated(instruction: Instruction, maker: Maker) -> Simpler:
    """Apply an operation to the values before they are repeated, and repeat the results."""
    bases = [_of(x, maker, ops.shape.expand) for x in instruction.inputs]
    if not any(bases) or len({x.dtype for x in instruction.inputs if isinstance(x, Var)}) > 1:
        return None  # a 0-dimensional operand may not take part in deciding the dtype
    inputs = tuple(x if base is None else base for x, base in zip(instruction.inputs, bases, strict=True))
    fewer = replace(instruction, inputs=inputs)
    shape = np.broadcast_shapes(*(x.shape for x in fewer.reads()))
    if shape == instruction.output.shape:
        return [fewer]
    fewer.output = unknown(shape, instruction.output.dtype)
    return [fewer, _expanded(instruction, fewer.output)]


def _expanded(instruction: Instruction, x: Var) -> Instruction:
    return replace(
        instruction, operation=ops.shape.expand, inputs=(x,), parameters=(instruction.output.shape,)
    )


def _of_repeated(instruction: Instruction, maker: Maker) -> Simpler:
    """Replace the largest of n equal values by one of them, and their sum by n times one. The product is
    rounded once: no order of a sum is promised, and every order comes closest to this."""
    (x,), (axis, keepdims) = instruction.inputs, instruction.parameters
    base = _of(x, maker, ops.shape.expand)
    if base is None or not isinstance(x, Var) or base.dtype != instruction.output.dtype:
        return None
    before = (1,) * (len(x.shape) - len(base.shape)) + base.shape
    axes = range(len(before)) if axis is None else axis
    n = math.prod(x.shape[i] for i in axes)
    if n == 0 or any(before[i] != 1 for i in axes):
        return None
    shape = tuple(m for i, m in enumerate(before) if keepdims or i not in axes)
    single = unknown(shape, x.dtype)
    parts = [
        replace(instruction, operation=ops.shape.reshape, inputs=(base,), parameters=(shape,), output=single)
    ]
    if instruction.operation is ops.reduction.sum:
        total = unknown(shape, x.dtype)
        product = replace(
            instruction, operation=ops.elementwise.mul, inputs=(single, n), parameters=(), output=total
        )
        parts.append(product)
    return [*parts, _expanded(instruction, parts[-1].output)]


_RULES: dict[Operation, Callable[[Instruction, Maker], Simpler]] = {
    **dict.fromkeys((ops.shape.clone, ops.shape.to_device), lambda step, maker: step.inputs[0]),
    **dict.fromkeys(RESHAPES, _reshape),
    ops.shape.expand: _expand,
    ops.shape.permute: _permute,
    ops.indexing.slice: _slice,
    ops.indexing.gather: _gather,
    ops.elementwise.cast: _cast,
    ops.elementwise.neg: lambda step, maker: _minus(step.inputs[0], maker, step.output.dtype),
    ops.elementwise.add: _add,
    ops.elementwise.sub: _sub,
    ops.elementwise.mul: _mul,
    ops.elementwise.div: _mul,
    ops.reduction.sum: _of_repeated,
    ops.reduction.amax: _of_repeated,
    ops.reduction.amin: _of_repeated,
}
