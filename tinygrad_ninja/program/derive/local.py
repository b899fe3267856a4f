"""Local derivatives: what a change of an operation's input does to its output, element by element."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ...ops import indexing, linalg, reduction, shape
from ..entries import RESHAPES
from ..instructions import Instruction, Var
from .backward_lines import RuleTape, apply_rule
from .formula import is_of_each
from .index_notation import bracket
from .indexed import Index, Indexed, NoIndexFormError, aligned
from .mathematics import EQUALS, Math, frac, math, op, row
from .sizes import Sizes

MOVED = (
    *(*RESHAPES, shape.permute, shape.expand, shape.clone, shape.cat, shape.stack),
    *(indexing.slice, indexing.gather),
)
"""The operations after which the same number stands elsewhere."""


def local_derivative(
    step: Instruction, place: int, makers: Mapping[Var, Instruction], names: Mapping[Var, str], sizes: Sizes
) -> Math | None:
    """Return the derivative of an element of an instruction's output by the element of its input number
    `place` from which it is computed, in letters; None where it is not a formula of one line.

    names: the names of values that have none of their own.
    """
    x, out = step.inputs[place], step.output
    assert isinstance(x, Var)
    indexed = Indexed(makers, names, sizes)
    try:
        index = indexed.index(out)
        if is_of_each(step.operation):
            by = aligned(index, x)
            value = _of_each(step, place, makers, names, sizes, index)
        else:
            by, value = _between_places(step, place, indexed, index)
    except NoIndexFormError:
        return None
    called = {var: var.name or names.get(var, "") for var in (out, x)}
    above, below = indexed.named(called[out], index), indexed.named(called[x], by)
    change = op(r"\partial", "∂")
    return row(frac(row(change, above), row(change, below)), EQUALS, value)


def index_of_input(step: Instruction, place: int, indexed: Indexed) -> Index:
    """Return the indices of the element of an input in the formula of its local derivative. Raise
    NoIndexFormError where there is none."""
    x, index = step.inputs[place], indexed.index(step.output)
    assert isinstance(x, Var)
    if is_of_each(step.operation):
        return aligned(index, x)
    return _between_places(step, place, indexed, index)[0]


def _of_each(
    step: Instruction,
    place: int,
    makers: Mapping[Var, Instruction],
    names: Mapping[Var, str],
    sizes: Sizes,
    index: Index,
) -> Math:
    """Return the derivative of a function of each element: its rule, applied to an upstream gradient of 1."""
    x, out = step.inputs[place], step.output
    assert isinstance(x, Var)
    repeated = Var(np.broadcast_to(x.value, out.shape))  # so that the rule adds up nothing
    inputs = (*step.inputs[:place], repeated, *step.inputs[place + 1 :])
    tape = RuleTape()
    ones = tape.constant(np.ones_like(out.value))
    slope = tape.variable(apply_rule(tape, replace(step, inputs=inputs), place, ones))
    parts = {part.output: part for part in tape.instructions}
    parts[repeated] = Instruction(shape.expand, (x,), (out.shape,), repeated)
    if slope is repeated:
        slope = x
    named = {**names, x: x.name or names.get(x, ""), out: out.name or names.get(out, "")}
    return Indexed({**makers, **parts}, named, sizes).element(slope, index, slope in parts)


def _between_places(step: Instruction, place: int, indexed: Indexed, index: Index) -> tuple[Index, Math]:
    """Return the index of the input, and the derivative, for an operation that reads other places."""
    x, out, operation = step.inputs[place], step.output, step.operation
    assert isinstance(x, Var)
    used = sum(i is not None for i in index)
    if operation is linalg.matmul and all(len(v.shape) > 1 for v in step.inputs):  # type: ignore[union-attr]
        a, b = step.inputs
        inner = indexed.index(Var(np.empty(a.shape[-1])), used)[0]  # type: ignore[union-attr]
        batch = index[:-2]
        if place == 0:
            by, value = (*batch, index[-2], inner), indexed.element(b, (*batch, inner, index[-1]))
        else:
            by, value = (*batch, inner, index[-1]), indexed.element(a, (*batch, index[-2], inner))
        return aligned(by, x), value
    if operation in (reduction.sum, reduction.mean):
        axis, keepdims = step.parameters
        n = len(x.shape)
        axes = range(n) if axis is None else [i % n for i in axis]
        new, kept = indexed.index(x, used), iter(index)
        outside = [next(kept) if keepdims or d not in axes else None for d in range(n)]
        count = x.value.size // max(out.value.size, 1)
        value = math(1) if operation is reduction.sum else math(1) / indexed.element(count, ())
        return tuple(new[d] if d in axes else outside[d] for d in range(n)), value
    if operation is indexing.index:
        by = indexed.index(x, used)
        (key,) = step.parameters
        n = max(len(item.shape) for item in key if isinstance(item, Var))
        arrays = [item for item in key if isinstance(item, Var)]
        if len(arrays) != len([item for item in key if item is not Ellipsis]):
            raise NoIndexFormError("a key with slices")
        value = math(1)
        same = by[: len(arrays)] + index[n:]
        for item, i in zip(arrays, by, strict=False):
            factor = bracket(indexed.element(item, index[:n]), i)
            value = factor if value.is_one else value * factor
        return same, value
    raise NoIndexFormError(operation.name)
