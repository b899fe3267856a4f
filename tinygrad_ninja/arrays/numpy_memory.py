"""The order of NumPy's arrays in memory, where it is to be the same as PyTorch's."""

from __future__ import annotations

from copy import deepcopy as _deepcopy
from functools import lru_cache
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

FLOATS = frozenset((np.dtype(np.float32), np.dtype(np.float64)))
"""The dtypes that have fast paths."""
HALF = np.dtype(np.float16)


@lru_cache(maxsize=1024)
def _memory_order(shape: tuple[int, ...], *steps: tuple[int, ...]) -> tuple[int, ...]:
    """Return the axes of a result from the longest step in memory to the shortest, for operands whose strides
    are `steps`: ordered as in PyTorch, by the first operand that decides which of two axes is the longer.

    Source: `TensorIteratorBase::reorder_dimensions` in PyTorch's aten/src/ATen/TensorIterator.cpp.
    """

    def longer(first: int, second: int) -> bool | None:
        for step in steps:
            if step[first] and step[second]:  # a repeated axis decides nothing
                if step[first] != step[second]:
                    return step[first] > step[second]
                if shape[first] > shape[second]:
                    return True
        return None

    order = list(range(len(shape)))[::-1]  # while it is sorted, the shortest step comes first
    for i in range(1, len(order)):
        at = i
        for j in range(i - 1, -1, -1):
            wrong = longer(order[j], order[at])
            if wrong:
                order[j], order[at] = order[at], order[j]
                at = j
            elif wrong is False:
                break
    return tuple(order[::-1])


def _steps(x: Array, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the strides of `x`, without signs, broadcast to `shape`: 0 along an axis that is repeated."""
    extra = len(shape) - x.ndim
    own = [0 if n != m else abs(step) for step, n, m in zip(x.strides, x.shape, shape[extra:], strict=True)]
    return (0,) * extra + tuple(own)


def memory_order(x: Array) -> tuple[int, ...]:
    """Return the axes of a copy of `x` from the longest step in memory to the shortest."""
    return _memory_order(x.shape, _steps(x, x.shape))


def empty(shape: tuple[int, ...], dtype: Any, order: tuple[int, ...]) -> Array:
    """Return new memory without gaps, whose axes have `order` from the longest step to the shortest."""
    steps = [0] * len(shape)
    step = np.dtype(dtype).itemsize
    for axis in reversed(order):
        steps[axis] = step
        step *= shape[axis] or 1
    return np.ndarray(shape, dtype, strides=steps)


def empty_like(x: Array, dtype: Any = None) -> Array:
    """Return new memory for an array of the shape of `x`, without gaps and with its axes in the same
    order."""
    return empty(x.shape, dtype or x.dtype, memory_order(x))


def arranged(out: Array, *operands: Array) -> Array:
    """Return what was computed from the operands element by element, in PyTorch's order in memory."""
    return _in_order(out, _memory_order(out.shape, *[_steps(operand, out.shape) for operand in operands]))


def _in_order(out: Array, order: tuple[int, ...]) -> Array:
    """Return the array with its axes in memory in this order: itself where they are so."""
    if out.transpose(order).flags.c_contiguous:
        return out
    moved = empty(out.shape, out.dtype, order)
    moved[...] = out
    return moved


def arranged_by_key(out: Array, x: Array, key: tuple[Any, ...]) -> Array:
    """Return what an index read from `x`, in PyTorch's order in memory."""
    at = [i for i, item in enumerate(key) if isinstance(item, np.ndarray)]
    if not at:
        return out
    read = np.broadcast_shapes(*[key[i].shape for i in at])
    # Index arrays that are not adjacent put their dimensions first.
    before = at[0] if at[-1] - at[0] == len(at) - 1 else 0
    kept = [abs(step) for i, step in enumerate(x.strides) if i not in at]
    after = len(kept) - before
    steps = [(*kept[:before], *[0] * len(read), *kept[before:])]
    steps += [(*[0] * before, *_steps(key[i], read), *[0] * after) for i in at]
    return _in_order(out, _memory_order(out.shape, *steps))


def overlap_in_part(x: Array, y: Array) -> bool:
    """Return whether two arrays without gaps share memory without being the same view of it."""
    if x is y or not np.may_share_memory(x, y) or not (_is_dense(x) and _is_dense(y)):
        return False
    same_memory = (
        x.__array_interface__["data"][0] == y.__array_interface__["data"][0] and x.nbytes == y.nbytes
    )
    return not (same_memory and x.strides == y.strides)


def _is_dense(x: Array) -> bool:
    """Return whether an array's elements fill its memory, in any order."""
    return x.transpose(memory_order(x)).flags.c_contiguous


def storage(x: Array) -> Array:
    """Return the array that owns the memory, which is the same for all views of it."""
    while isinstance(x.base, np.ndarray):
        x = x.base
    return x


def deepcopy(x: Array, memo: dict[int, Any]) -> Array:
    """Return the same view of a copy of the memory, which is copied once for all arrays that show it."""
    owner = storage(x)
    copied: Array = _deepcopy(owner, memo)
    if owner is x:
        return copied
    if not owner.size or copied.strides != owner.strides:  # an owner with gaps is not its own memory
        return x.copy("K")
    start = np.lib.array_utils.byte_bounds(owner)[0]
    offset = x.__array_interface__["data"][0] - start
    flat = copied.transpose(memory_order(copied)).reshape(-1)
    return np.ndarray(x.shape, x.dtype, flat, offset, x.strides)
