"""What is computed at each point of a kernel's domain."""

from __future__ import annotations

from typing import Any

import numpy as np

from .... import ops
from ...instructions import Var
from ..lowering.entries import FIRST_EQUAL
from .body import Body
from .buffers import ANYWHERE
from .plan import Kernel, Storage
from .scalars import converted

NOWHERE = 2**31 - 1
"""The index that a search gives for an element that does not match: larger than any index that does."""


def write_point(storage: Storage, kernel: Kernel, body: Body) -> str:
    """Write what is computed at each point of the domain (for a store, the store too), and return the
    value."""
    index = indices(kernel.domain)
    if kernel.kind == "store":
        assert kernel.target is not None
        x: Any = kernel.var
        instruction = storage.by.get(x)
        if instruction is not None and storage.kept.get(x) is kernel.target:
            text = body.named(x, body.computed(instruction, index))
        else:
            text = body.named(x, body.element(x, index))
        body.store(kernel.target, index, text)
        return text
    if kernel.kind == "check":
        return body.name(body.value(kernel.var, index, np.dtype(np.int64)), np.dtype(np.int64))
    assert kernel.instruction is not None
    x, operation = kernel.instruction.inputs[0], kernel.instruction.operation
    if operation is ops.linalg.matmul:
        for factor in kernel.instruction.inputs:
            body.loads.setdefault(storage.stored(factor).buffer, set()).add(ANYWHERE)
        return ""
    if operation is FIRST_EQUAL:
        best, (axis, _) = kernel.instruction.inputs[1], kernel.instruction.parameters
        assert isinstance(x, Var)
        v = body.name(body.element(x, index), x.dtype)
        at = tuple("0" if axis is None or i == axis else counter for i, counter in enumerate(index))
        m = body.value(best, at, x.dtype)
        place = index[axis] if axis is not None else body.number(index, x.shape)
        return body.name(f"({v} == {m} || {v} != {v} ? {place} : {NOWHERE})", np.dtype(np.int32))
    if operation is ops.indexing.put:
        return body.broadcast(kernel.instruction.inputs[1], index, kernel.var.dtype)
    source = x.dtype if isinstance(x, Var) else kernel.var.dtype
    text = body.broadcast(x, index, source)
    if operation.predicate:
        return body.name(f"({text} != 0)", np.dtype(bool))
    return body.name(converted(text, source, kernel.var.dtype), kernel.var.dtype)


def indices(shape: tuple[int, ...]) -> tuple[str, ...]:
    """Return the loop variable of each dimension; "0" for those of size 1."""
    names = iter(range(len(shape)))
    return tuple("0" if n == 1 else f"i{next(names)}" for n in shape)
