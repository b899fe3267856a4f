"""Simplifications that change no value: NaN, infinities and the sign of zero are what they were.

They are those that a reader makes without a thought: a view of a view, -(-x), what is done alike to repeated
values, their sum. What `derive(..., simplify=True)` knows beside is left out, since it holds for finite
numbers only. Where a probability underflows, the lines of the cross-entropy's backward pass divide 0 by 0 and
leave NaN where (softmax - onehot) / n has a number; where a gradient is infinite, batch norm's one line
leaves infinities where its lines leave NaN. benchmarks/README.md says what that would save.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ... import ops
from ...ops import Category, Operation
from ..instructions import Instruction, Var
from .entries import FIRST_EQUAL, RESHAPES

Maker = Callable[[Any], Instruction | None]
"""The instruction that makes a variable; None for an input, or a number."""
Simpler = Var | list[Instruction] | None
"""A variable that is the same; or simpler instructions, the last of which makes the output; or neither."""


def simpler(made: Instruction, maker: Maker) -> Simpler:
    """Return what an instruction amounts to."""
    rule = _RULES.get(made.operation)
    simple = rule(made, maker) if rule is not None else None
    if simple is None and made.operation.category is Category.ELEMENTWISE:
        return _unrepeated(made, maker)
    return simple


def unknown(shape: Any, dtype: Any) -> Var:
    """A variable of which no value was recorded."""
    return Var(np.broadcast_to(np.zeros((), dtype), shape))


def _of(x: Any, maker: Maker, *operations: Operation) -> Var | None:
    """Return what `x` was made of by one of these operations; None where it was not."""
    before = maker(x)
    if before is None or before.operation not in operations or not isinstance(before.inputs[0], Var):
        return None
    return before.inputs[0]


# -- copies, views, casts ------------------------------------------------------------------------------------


def _copy(made: Instruction, maker: Maker) -> Simpler:
    return made.inputs[0] if isinstance(made.inputs[0], Var) else None


def _whole(made: Instruction) -> Var | None:
    """What a view shows, if all of it in its own shape."""
    (x,) = made.inputs
    return x if isinstance(x, Var) and x.shape == made.output.shape else None


def _reshape(made: Instruction, maker: Maker) -> Simpler:
    base = _of(made.inputs[0], maker, *RESHAPES)
    if base is not None:
        parameters = (made.output.shape,)
        return [replace(made, operation=ops.shape.reshape, inputs=(base,), parameters=parameters)]
    return _whole(made)


def _expand(made: Instruction, maker: Maker) -> Simpler:
    base = _of(made.inputs[0], maker, ops.shape.expand)
    if base is not None:
        return [replace(made, inputs=(base,))]
    return _whole(made)


def _permute(made: Instruction, maker: Maker) -> Simpler:
    n = len(made.output.shape)
    axes = tuple(axis % n for axis in made.parameters[0])
    before, base = maker(made.inputs[0]), _of(made.inputs[0], maker, ops.shape.permute)
    if before is not None and base is not None:
        return [replace(made, inputs=(base,), parameters=(tuple(before.parameters[0][i] for i in axes),))]
    return _whole(made) if axes == tuple(range(n)) else None


def _slice(made: Instruction, maker: Maker) -> Simpler:
    backwards = any(isinstance(each, slice) and (each.step or 1) < 0 for each in made.parameters[0])
    return None if backwards else _whole(made)


def _gather(made: Instruction, maker: Maker) -> Simpler:
    """The largest along an axis, taken by its index as `max(dim)` does, is the largest; of 0 and -0, which
    are as large, it may be the other."""
    (x,), (axis, index) = made.inputs, made.parameters
    search = maker(index)
    if search is None or search.operation is not FIRST_EQUAL or search.inputs[0] is not x:
        return None
    return search.inputs[1] if search.parameters == (axis, True) else None  # type: ignore[return-value]


def _cast(made: Instruction, maker: Maker) -> Simpler:
    """By way of a dtype that holds every value of the first."""
    x, to = made.inputs[0], made.output.dtype
    assert isinstance(x, Var)
    if x.dtype == to:
        return x
    first = _of(x, maker, ops.elementwise.cast)
    if first is None or not _holds(x.dtype, first.dtype) or (first.dtype.kind == "f" and to.kind != "f"):
        return None
    return [replace(made, inputs=(first,))]


def _holds(wide: np.dtype[Any], narrow: np.dtype[Any]) -> bool:
    """Whether the one dtype has each value of the other; of integers of 64 bits NumPy says so of double."""
    rounds = narrow.kind in "iu" and narrow.itemsize == 8 and wide.kind == "f"
    return np.can_cast(narrow, wide) and not rounds


# -- signs ---------------------------------------------------------------------------------------------------


def _minus(x: Any, maker: Maker, dtype: np.dtype[Any]) -> Var | None:
    """y, where x is -y in this dtype."""
    return _of(x, maker, ops.elementwise.neg) if isinstance(x, Var) and x.dtype == dtype else None


def _neg(made: Instruction, maker: Maker) -> Simpler:
    return _minus(made.inputs[0], maker, made.output.dtype)


def _add(made: Instruction, maker: Maker) -> Simpler:
    """a + (-b) = a - b, by the standard's definition of the difference."""
    for a, b in (made.inputs, made.inputs[::-1]):
        minus = _minus(b, maker, made.output.dtype)
        if minus is not None:
            return [replace(made, operation=ops.elementwise.sub, inputs=(a, minus))]
    return None


def _sub(made: Instruction, maker: Maker) -> Simpler:
    minus = _minus(made.inputs[1], maker, made.output.dtype)
    if minus is None:
        return None
    return [replace(made, operation=ops.elementwise.add, inputs=(made.inputs[0], minus))]


def _mul(made: Instruction, maker: Maker) -> Simpler:
    """x · -1 = -x; the signs of two factors, or of a numerator and its denominator."""
    for x, other in (made.inputs, made.inputs[::-1]):
        number = other.number if isinstance(other, Var) and other.constant else other
        same = isinstance(x, Var) and (x.shape, x.dtype) == (made.output.shape, made.output.dtype)
        if same and not isinstance(number, Var) and number == -1 and made.operation is ops.elementwise.mul:
            return [replace(made, operation=ops.elementwise.neg, inputs=(x,))]
    both = tuple(_minus(x, maker, made.output.dtype) for x in made.inputs)
    return [replace(made, inputs=both)] if None not in both else None  # type: ignore[arg-type]


# -- repeated values -----------------------------------------------------------------------------------------


def _unrepeated(made: Instruction, maker: Maker) -> Simpler:
    """Do what is done alike to each of repeated values to the values, and repeat them after."""
    found = [_of(x, maker, ops.shape.expand) for x in made.inputs]
    if not any(found) or len({x.dtype for x in made.inputs if isinstance(x, Var)}) > 1:
        return None  # a value of no dimensions may count for less where dtypes meet
    inputs = tuple(x if base is None else base for x, base in zip(made.inputs, found, strict=True))
    fewer = replace(made, inputs=inputs)
    shape = np.broadcast_shapes(*(x.shape for x in fewer.reads()))
    if shape == made.output.shape:
        return [fewer]
    fewer.output = unknown(shape, made.output.dtype)
    return [fewer, _expanded(made, fewer.output)]


def _expanded(made: Instruction, x: Var) -> Instruction:
    return replace(made, operation=ops.shape.expand, inputs=(x,), parameters=(made.output.shape,))


def _of_repeated(made: Instruction, maker: Maker) -> Simpler:
    """Return one of n equal values for their largest, and n times one for their sum. A sum is rounded once:
    the order of a sum is nowhere promised, and every order comes closest to this."""
    base, (axis, keepdims), x = _of(made.inputs[0], maker, ops.shape.expand), made.parameters, made.inputs[0]
    if base is None or not isinstance(x, Var) or base.dtype != made.output.dtype:
        return None
    before = (1,) * (len(x.shape) - len(base.shape)) + base.shape
    axes = range(len(before)) if axis is None else axis
    n = math.prod(x.shape[i] for i in axes)
    if n == 0 or any(before[i] != 1 for i in axes):
        return None
    shape = tuple(m for i, m in enumerate(before) if keepdims or i not in axes)
    one = unknown(shape, x.dtype)
    parts = [replace(made, operation=ops.shape.reshape, inputs=(base,), parameters=(shape,), output=one)]
    if made.operation is ops.reduction.sum:
        total = unknown(shape, x.dtype)
        product = replace(made, operation=ops.elementwise.mul, inputs=(one, n), parameters=(), output=total)
        parts.append(product)
    return [*parts, _expanded(made, parts[-1].output)]


_RULES: dict[Operation, Callable[[Instruction, Maker], Simpler]] = {
    ops.shape.clone: _copy,
    ops.shape.to_device: _copy,
    **dict.fromkeys(RESHAPES, _reshape),
    ops.shape.expand: _expand,
    ops.shape.permute: _permute,
    ops.indexing.slice: _slice,
    ops.indexing.gather: _gather,
    ops.elementwise.cast: _cast,
    ops.elementwise.neg: _neg,
    ops.elementwise.add: _add,
    ops.elementwise.sub: _sub,
    ops.elementwise.mul: _mul,
    ops.elementwise.div: _mul,
    ops.reduction.sum: _of_repeated,
    ops.reduction.amax: _of_repeated,
    ops.reduction.amin: _of_repeated,
}
