"""Where the elements along an axis stand in their order, as calls of a function of `prelude.h`."""

from __future__ import annotations

import math

import numpy as np

from .buffers import Address, Buffer, scratch
from .c_code import ZERO, Apply, Loop, Pointer, Statement, counter
from .scalars import c_type


def in_rows(x: Address, axis: int, target: Address) -> tuple[list[Statement], list[Buffer]]:
    """Return the call for each row of x along the axis, and the memory in which it sorts: two lists of
    places, which are merged into each other."""
    if not math.prod(x.shape):
        return [], []
    n = x.shape[axis]
    work = scratch(f"{target.buffer.name}_work", np.dtype(np.int64), (2 * n,), 1, pad=False)
    index = tuple(counter(f"n{i}") if size != 1 and i != axis else ZERO for i, size in enumerate(x.shape))
    parts = {
        "x": Pointer(x.buffer, x.at(index)),
        "to": Pointer(target.buffer, target.at(index)),
        "work": Pointer(work),
    }
    steps = f"{x.strides[axis]}, {{to}}, {target.strides[axis]}, {n}"
    inner: list[Statement] = [Apply(f"order_{c_type(x.buffer.dtype)}({{x}}, {steps}, {{work}});", parts)]
    for i, size in reversed([*enumerate(x.shape)]):
        inner = [Loop(f"n{i}", 0, size, inner)] if size != 1 and i != axis else inner
    return inner, [work]
