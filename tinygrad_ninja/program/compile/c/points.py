"""What is computed at each point of a kernel's domain."""

from __future__ import annotations

from typing import Any

import numpy as np

from .... import ops
from ...entries import FIRST_EQUAL
from ...instructions import Instruction, Var
from ..recording.checks import Check
from .body import Body, named, number_of
from .c_code import ZERO, Apply, Expression, Index, counter
from .plan import Kernel
from .scalars import converted

NOWHERE = 2**31 - 1
"""The index that a search gives for an element that does not match: larger than any index that does."""


def point(body: Body, kernel: Kernel) -> Expression:
    """Return the value that a kernel computes at each point of its domain."""
    index, x = indices(kernel.domain), kernel.var
    if isinstance(kernel.kind, Check):
        return named(body.value(x, index, np.dtype(np.int64)), np.dtype(np.int64))
    if not isinstance(kernel.kind, Instruction):
        if kernel.instruction is not None:
            return body.computed(x, index)
        return named(body.element(x, index), x.dtype, x)
    source, operation = kernel.kind.inputs[0], kernel.kind.operation
    if operation is FIRST_EQUAL:
        return _search(body, kernel.kind, index)
    if operation is ops.indexing.put:
        return body.broadcast(kernel.kind.inputs[1], index, x.dtype)
    dtype = source.dtype if isinstance(source, Var) else x.dtype
    value = body.broadcast(source, index, dtype)
    if operation.predicate:
        return named(Apply("({value} != 0)", {"value": value}), np.dtype(bool))
    return named(converted(value, dtype, x.dtype), x.dtype)


def _search(body: Body, instruction: Instruction, index: Index) -> Expression:
    """Return the number of an element that equals the best, or is NaN, and of others a larger one."""
    x: Any
    x, best = instruction.inputs
    axis = instruction.parameters[0]
    at = tuple(ZERO if axis is None or i == axis else along for i, along in enumerate(index))
    parts = {
        "v": named(body.element(x, index), x.dtype),
        "best": body.value(best, at, x.dtype),
        "place": index[axis] if axis is not None else number_of(index, x.shape),
        "nowhere": NOWHERE,
    }
    return named(Apply("({v} == {best} || {v} != {v} ? {place} : {nowhere})", parts), np.dtype(np.int32))


def levels(shape: tuple[int, ...]) -> list[int | None]:
    """Return for each dimension the level of its loop, from outside; None for those of size 1."""
    numbers = iter(range(len(shape)))
    return [None if n == 1 else next(numbers) for n in shape]


def indices(shape: tuple[int, ...]) -> Index:
    """Return the loop variable of each dimension; 0 for those of size 1."""
    return tuple(ZERO if level is None else counter(f"i{level}") for level in levels(shape))
