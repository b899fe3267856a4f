"""What is computed at each point of a kernel's domain."""

from __future__ import annotations

from typing import Any

import numpy as np

from .... import ops
from ...entries import FIRST_EQUAL
from ...instructions import Var
from .body import Body, named, number_of
from .c_code import ZERO, Apply, Expression, Index, counter
from .plan import Kernel
from .scalars import converted

NOWHERE = 2**31 - 1
"""The index that a search gives for an element that does not match: larger than any index that does."""


def point(body: Body, kernel: Kernel) -> Expression:
    """Return the value that a kernel computes at each point of its domain."""
    index, x = indices(kernel.domain), kernel.var
    if kernel.kind == "store":
        instruction = body.storage.by.get(x)
        if instruction is not None and body.storage.kept.get(x) is kernel.target:
            return body.computed(x, index)
        return named(body.element(x, index), x.dtype, x)
    if kernel.kind == "check":
        return named(body.value(x, index, np.dtype(np.int64)), np.dtype(np.int64))
    assert kernel.instruction is not None
    source, operation = kernel.instruction.inputs[0], kernel.instruction.operation
    if operation is FIRST_EQUAL:
        return _search(body, kernel, index)
    if operation is ops.indexing.put:
        return body.broadcast(kernel.instruction.inputs[1], index, x.dtype)
    dtype = source.dtype if isinstance(source, Var) else x.dtype
    value = body.broadcast(source, index, dtype)
    if operation.predicate:
        return named(Apply("({value} != 0)", {"value": value}), np.dtype(bool))
    return named(converted(value, dtype, x.dtype), x.dtype)


def _search(body: Body, kernel: Kernel, index: Index) -> Expression:
    """Return the number of an element that equals the best, or is NaN, and of others a larger one."""
    assert kernel.instruction is not None
    x: Any
    x, best = kernel.instruction.inputs
    axis = kernel.instruction.parameters[0]
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
