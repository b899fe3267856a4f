"""An index as PyTorch takes it, made regular: a basic part, which gives a view, and an advanced part."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ..arrays import dtypes, numpy_arrays
from ..arrays.dispatch import device_of, dtype_of, move, namespace_of
from ..engine.hook import observers, observing
from ..engine.tensor import Tensor
from ..ops.indexing import ALL, select_at

_INT64 = np.dtype(np.int64)
_SEQUENCES = (Tensor, list, tuple, range, np.ndarray)


def as_items(index: Any) -> tuple[Any, ...]:
    """Return the index as an item for each dimension; a short list that holds more than numbers counts as a
    tuple."""
    if isinstance(index, tuple):
        return index
    nested = isinstance(index, list) and any(
        item is None or item is Ellipsis or isinstance(item, (*_SEQUENCES, slice)) for item in index
    )
    return tuple(index) if nested and len(index) < 32 else (index,)


def _index_array(item: Any, like: Any) -> Any:
    """Return a list, range, array or Tensor as an array of the kind of `like`, of integers or of bools."""
    if isinstance(item, Tensor):
        array = item.array
        if device_of(array) not in ("cpu", device_of(like)):
            raise RuntimeError(
                f"indices should be either on cpu or on the same device as the indexed tensor, which is on "
                f"{device_of(like)}, but found {device_of(array)}"
            )
    elif isinstance(item, range) and item == range(len(item)):
        array = numpy_arrays.arange(len(item))
    else:
        array = np.array(item)
        if not isinstance(item, np.ndarray) and (array.dtype.kind == "i" or not array.size):
            array = array.astype(np.int64)
    d = dtype_of(array)
    if d is dtypes.uint8:
        array = array != 0
    elif d not in (dtypes.bool, dtypes.int64, dtypes.int32) and not (
        d in (dtypes.int16, dtypes.int8) and isinstance(item, np.ndarray)
    ):
        raise IndexError(f"tensors used as indices must be long, int, byte or bool tensors, not {d}")
    return move(array, device_of(like))


def prepared_item(item: Any, like: Any) -> Any:
    """Return an item of an index as None, `...`, a slice, a bool, an int, or an array: of no dimension where
    that is one integer that may be another the next time."""
    if item is None or item is Ellipsis or isinstance(item, bool):
        return item
    if observers and isinstance(item, int) and (observer := observing()):
        item = observer.operand(select_at, item)  # which may be another the next time
    if isinstance(item, slice):
        for bound in (item.start, item.stop, item.step):
            if bound is not None and not hasattr(bound, "__index__"):
                raise TypeError("slice indices must be integers or None or have an __index__ method")
            if isinstance(bound, Tensor) and (bound.numel() != 1 or bound.dtype.is_floating_point):
                raise TypeError("only integer tensors of a single element can be converted to an index")
        if item.step is not None and operator.index(item.step) <= 0:
            raise ValueError("step must be greater than zero")
        return item
    if isinstance(item, _SEQUENCES):
        array = _index_array(item, like)
        return array if array.ndim or _is_unknown_place(array) else array.item()
    if isinstance(item, str):
        raise TypeError(f"an index can't be a str ({item!r})")
    try:
        return operator.index(item)
    except TypeError:
        raise IndexError(
            "only integers, slices (`:`), ellipsis (`...`), None and long, byte or bool Tensors are valid "
            f"indices (got {type(item).__name__})"
        ) from None


def _is_unknown_place(array: Any) -> bool:
    """Return whether an array of no dimension is an integer that may be another the next time."""
    observer = observing() if observers else None
    return observer is not None and dtype_of(array) is not dtypes.bool and observer.unknown(array)


def _unknown_place(array: Any, n: int, dim: int) -> Any:
    """Return such an array as it is now, which it stays when it is changed in place later. IndexError where
    it names none of the n entries of the dimension."""
    message = f"index is out of bounds for dimension {dim} with size {n}"
    place = observing().check(array, -n, n, IndexError, message)  # type: ignore[union-attr]  # see above
    _refuse_outside(int(place), n, dim)
    return namespace_of(array).copy(array)


def _refuse_outside(place: int, n: int, dim: int) -> None:
    """IndexError where an integer names none of the n entries of a dimension."""
    if not -n <= place < n:
        raise IndexError(f"index {place} is out of bounds for dimension {dim} with size {n}")


def _dimensions_used(item: Any) -> int:
    """Return the number of dimensions to which a prepared item applies."""
    if item is None or item is Ellipsis or isinstance(item, bool):
        return 0
    return item.ndim if hasattr(item, "ndim") and dtype_of(item) is dtypes.bool else 1


def split_index(x: Any, index: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Return the basic part of an index into the array `x`, and the advanced part, for the dimensions that it
    leaves.

    Either is empty where it would change nothing.
    """
    items = [prepared_item(item, x) for item in as_items(index)]
    used = sum(_dimensions_used(item) for item in items)
    if used > x.ndim:
        raise IndexError(
            "invalid index of a 0-dim tensor. Use `tensor.item()` to convert it to a Python number"
            if x.ndim == 0
            else f"too many indices for tensor of dimension {x.ndim}"
        )
    basic: list[Any] = []
    advanced: list[Any] = []  # one entry for each dimension that the basic part leaves
    dim = 0  # the dimension of x to which the next item applies
    for item in items:
        if item is Ellipsis:  # a second one has no effect
            basic += [ALL] * (x.ndim - used)
            advanced += [ALL] * (x.ndim - used)
            dim += x.ndim - used
            used = x.ndim
        elif isinstance(item, bool):  # a new dimension, of one element or none
            basic.append(None)
            advanced.append(move(np.arange(int(item)), device_of(x)))
        elif isinstance(item, int):
            _refuse_outside(item, x.shape[dim], dim)
            basic.append(item)
            dim += 1
        elif item is None or isinstance(item, slice):
            basic.append(item)
            advanced.append(ALL)
            dim += _dimensions_used(item)
        elif not item.ndim:
            basic.append(_unknown_place(item, x.shape[dim], dim))
            dim += 1
        else:
            positions = _positions(x, item, dim)
            basic += [ALL] * len(positions)
            advanced += positions
            dim += len(positions)
    while advanced and advanced[-1] is ALL:
        advanced.pop()
    if advanced and all(isinstance(item, slice) and item == ALL for item in basic):
        return (), tuple(advanced)
    return (*basic, Ellipsis), tuple(advanced)  # with `...` NumPy returns a view even of a single element


def _positions(x: Any, item: Any, dim: int) -> tuple[Any, ...]:
    """Return a mask as the positions where it is true, one array per dimension; an array of integers as it
    is."""
    if dtype_of(item) is not dtypes.bool:
        return (item,)
    if tuple(item.shape) != tuple(x.shape[dim : dim + item.ndim]):
        raise IndexError(
            f"The shape of the mask {list(item.shape)} at index {dim} does not match the shape of the "
            f"indexed tensor {list(x.shape)}"
        )
    positions = item.nonzero()
    return positions if isinstance(positions, tuple) else tuple(positions.unbind(1))


def fast_index(item: Any) -> Any:
    """Return the array of a range or an int64 Tensor, as in `C[Xb]` and `logprobs[range(n), Yb]`; None for
    other items.

    Every training step indexes with these, and so takes a fast path.
    """
    if type(item) is Tensor:
        array = item.array
        return array if type(array) is np.ndarray and array.dtype is _INT64 and array.ndim else None
    if type(item) is range and item.start == 0 and item.step == 1:
        return numpy_arrays.arange(len(item))
    return None
