"""Indexing as PyTorch does it, which is not always as NumPy does.

An index is split in two. First integers, slices, None and `...` are applied, which gives a view. Then, if
there were lists, ranges, masks or index Tensors, those are applied to what is left: their dimensions come
where they stood, or in front where something stood between them.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from .. import dtypes
from ..devices import same_device
from ..grad_mode import is_grad_enabled
from ..hook import observers, observing
from ..kinds import array_dtype, device_of, dtype_of, kind_of, move, numpy_kind
from ..ops import indexing as ops
from ..tensors import Tensor, wrap
from .dimensions import dimension
from .operands import as_element
from .register import function, method

_ALL = slice(None)
_INT64 = np.dtype(np.int64)
_SEVERAL = (Tensor, list, tuple, range, np.ndarray)


def _as_items(index: Any) -> tuple[Any, ...]:
    """The index, an item for each dimension. A short list that holds more than numbers counts as a tuple."""
    if isinstance(index, tuple):
        return index
    nested = isinstance(index, list) and any(
        each is None or each is Ellipsis or isinstance(each, (*_SEVERAL, slice)) for each in index
    )
    return tuple(index) if nested and len(index) < 32 else (index,)


def _index_array(item: Any, like: Any) -> Any:
    """A list, range, array or Tensor as an array of the kind of `like`, of integers or of bools."""
    if isinstance(item, Tensor):
        array = item.array
        if device_of(array) not in ("cpu", device_of(like)):
            raise RuntimeError(
                f"indices should be either on cpu or on the same device as the indexed tensor, which is on "
                f"{device_of(like)}, but found {device_of(array)}"
            )
    elif isinstance(item, range) and item == range(len(item)):
        array = numpy_kind.arange(len(item))
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


def _prepared(item: Any, like: Any) -> Any:
    """One item of an index as None, `...`, a slice, a bool, an int, or an array of at least one dimension."""
    if item is None or item is Ellipsis or isinstance(item, bool):
        return item
    if isinstance(item, slice):
        for bound in (item.start, item.stop, item.step):
            if bound is not None and not hasattr(bound, "__index__"):
                raise TypeError("slice indices must be integers or None or have an __index__ method")
        if item.step is not None and operator.index(item.step) <= 0:
            raise ValueError("step must be greater than zero")
        return item
    if isinstance(item, _SEVERAL):
        array = _index_array(item, like)
        return array if array.ndim else array.item()
    if isinstance(item, str):
        raise TypeError(f"an index can't be a str ({item!r})")
    try:
        return operator.index(item)
    except TypeError:
        raise IndexError(
            "only integers, slices (`:`), ellipsis (`...`), None and long, byte or bool Tensors are valid "
            f"indices (got {type(item).__name__})"
        ) from None


def _dimensions_used(item: Any) -> int:
    """How many dimensions a prepared item takes up."""
    if item is None or item is Ellipsis or isinstance(item, bool):
        return 0
    return item.ndim if hasattr(item, "ndim") and dtype_of(item) is dtypes.bool else 1


def _split(x: Any, index: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """The basic part of an index into the array `x`, and the advanced part, of what the basic one leaves.
    Either is empty where it would change nothing."""
    items = [_prepared(each, x) for each in _as_items(index)]
    used = sum(_dimensions_used(each) for each in items)
    if used > x.ndim:
        raise IndexError(
            "invalid index of a 0-dim tensor. Use `tensor.item()` to convert it to a Python number"
            if x.ndim == 0
            else f"too many indices for tensor of dimension {x.ndim}"
        )
    basic: list[Any] = []
    advanced: list[Any] = []  # one entry for each dimension that the basic part leaves
    at = 0  # the dimension of x that the next item meets
    for item in items:
        if item is Ellipsis:  # a second one stands for nothing
            basic += [_ALL] * (x.ndim - used)
            advanced += [_ALL] * (x.ndim - used)
            at += x.ndim - used
            used = x.ndim
        elif isinstance(item, bool):  # a new dimension, of one or no elements
            basic.append(None)
            advanced.append(move(np.arange(int(item)), device_of(x)))
        elif isinstance(item, int):
            if not -x.shape[at] <= item < x.shape[at]:
                raise IndexError(f"index {item} is out of bounds for dimension {at} with size {x.shape[at]}")
            basic.append(item)
            at += 1
        elif item is None or isinstance(item, slice):
            basic.append(item)
            advanced.append(_ALL)
            at += _dimensions_used(item)
        else:
            positions = _positions(x, item, at)
            basic += [_ALL] * len(positions)
            advanced += positions
            at += len(positions)
    while advanced and advanced[-1] is _ALL:
        advanced.pop()
    if advanced and all(isinstance(each, slice) and each == _ALL for each in basic):
        return (), tuple(advanced)
    return (*basic, Ellipsis), tuple(advanced)  # with `...` NumPy gives a view even of a single element


def _positions(x: Any, item: Any, at: int) -> tuple[Any, ...]:
    """A mask as the positions where it is true, one array a dimension; an array of integers as it is."""
    if dtype_of(item) is not dtypes.bool:
        return (item,)
    if tuple(item.shape) != tuple(x.shape[at : at + item.ndim]):
        raise IndexError(
            f"The shape of the mask {list(item.shape)} at index {at} does not match the shape of the indexed "
            f"tensor {list(x.shape)}"
        )
    found = item.nonzero()
    return found if isinstance(found, tuple) else tuple(found.unbind(1))


def _places(item: Any) -> Any:
    """The array of a range or an int64 Tensor, as in `C[Xb]` and `logprobs[range(n), Yb]`: what every
    training step indexes with, and spared the general way. None for any other item."""
    if type(item) is Tensor:
        array = item.array
        return array if type(array) is np.ndarray and array.dtype is _INT64 and array.ndim else None
    if type(item) is range and item.start == 0 and item.step == 1:
        return numpy_kind.arange(len(item))
    return None


def _getitem(self: Tensor, index: Any) -> Tensor:
    array = self.array
    if type(array) is np.ndarray:
        if type(index) is Tensor:
            places = _places(index)
            if places is not None and array.ndim:
                return ops.index.call(self, (places,))
        elif type(index) is tuple and 0 < len(index) <= array.ndim:
            key = []
            for item in index:
                places = _places(item)
                if places is None:
                    break
                key.append(places)
            else:
                return ops.index.call(self, tuple(key))
    basic, advanced = _split(self.array, index)
    out = _view(self, basic) if basic else self
    return ops.index.call(out, advanced) if advanced else out


def _view(x: Tensor, basic: tuple[Any, ...]) -> Tensor:
    *_, last, _ = (None, *basic)  # before the `...` at the end
    return (ops.select if isinstance(last, int) else ops.slice).call(x, basic)


def _setitem(self: Tensor, index: Any, value: Any) -> None:
    if index is False:
        return
    if index is True:  # as the only index it is no mask, but a new dimension
        index = None
    if not isinstance(value, (Tensor, int, float)):
        raise TypeError(f"can't assign a {type(value).__name__} to a Tensor: a Tensor or a number is needed")
    basic, advanced = _split(self.array, index)
    target = self if _is_whole(basic, self.array.shape) else _view(self, basic)
    if advanced and is_grad_enabled():
        target._refuse_change()  # before what is wrong with the places and the value
    shape = kind_of(target.array).index(target.array, advanced).shape if advanced else target.array.shape
    given = as_element(value, self)
    differs = advanced and given.dtype is not self.dtype
    if differs and not (given.numel() == 1 and _is_mask(index, self.array)):
        raise RuntimeError(
            f"Index put requires the source and destination dtypes match, got {self.dtype} for the "
            f"destination and {given.dtype} for the source."
        )
    extra = given.ndim - len(shape)
    if extra > 0 and all(n == 1 for n in given.shape[:extra]):
        given = given.reshape(given.shape[extra:])
    assign(target, given, advanced or EVERYWHERE, shape)


def _is_whole(basic: tuple[Any, ...], shape: tuple[int, ...]) -> bool:
    """Whether the basic part of an index takes all there is, in its own shape."""
    return (
        all(
            item is Ellipsis or (isinstance(item, slice) and item.indices(n) == (0, n, 1))
            for item, n in zip(basic, shape, strict=False)
        )
        and len(basic) <= len(shape) + 1
    )


def _is_mask(index: Any, x: Any) -> bool:
    """Whether one mask, of a dimension or more, is all that is advanced in the index: a number of any dtype
    may then be written."""
    prepared = [_prepared(item, x) for item in _as_items(index)]
    advanced = [item for item in prepared if hasattr(item, "ndim") or isinstance(item, bool)]
    return len(advanced) == 1 and not isinstance(advanced[0], bool) and dtype_of(advanced[0]) is dtypes.bool


Tensor.__getitem__ = _getitem
Tensor.__setitem__ = _setitem

EVERYWHERE = (Ellipsis,)


def assign(
    target: Tensor, value: Tensor, key: tuple[Any, ...], shape: tuple[int, ...], alike: bool = False
) -> Tensor:
    """Write `value`, in the dtype and on the device of the target, to target[key], which is of `shape`.

    RuntimeError where the value can't be broadcast to that shape; and see `Tensor.change`.
    """
    have = tuple(value.shape)
    if len(have) > len(shape) or any(
        n not in (1, want) for n, want in zip(reversed(have), reversed(shape), strict=False)
    ):
        raise RuntimeError(
            f"shape mismatch: value tensor of shape {list(have)} cannot be broadcast to shape {list(shape)}"
        )
    given = value.to(dtype=target.dtype, device=target.device)
    return target.change(lambda before: ops.put.call(before, given, key), (value,), alike)


@method
def gather(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """For dim 1: out[i][j] = input[i][index[i][j]]; and so on. `index` (integers) has as many dimensions."""
    at = dimension(dim, input.ndim)
    same_device("gather", input, index)
    _check_integers(index, "gather")
    if max(index.ndim, 1) != max(input.ndim, 1):
        raise RuntimeError("Index tensor must have the same number of dimensions as input tensor")
    if not input.ndim or not index.ndim:
        return gather(input.reshape(-1), 0, index.reshape(-1)).reshape(index.shape)
    _check_bounds(index, input.shape[at], at)
    return ops.gather.call(input, at, index.array)


def _check_integers(index: Tensor, name: str) -> None:
    if index.dtype not in (dtypes.int64, dtypes.int32):
        raise RuntimeError(f"{name}(): Expected dtype int32/int64 for index, not {index.dtype}")


def _check_bounds(index: Tensor, n: int, dim: int, error: type[Exception] = RuntimeError) -> None:
    array = index.array
    if observers and (observer := observing()) and observer.unknown(array):
        what = f"an index is out of bounds for dimension {dim} with size {n}"
        observer.check(array, 0, n, error, what)
        return
    if index.numel() and (int(array.min()) < 0 or int(array.max()) >= n):
        wrong = int(array.min()) if int(array.min()) < 0 else int(array.max())
        raise error(f"index {wrong} is out of bounds for dimension {dim} with size {n}")


def _along(dim: int, index: Any) -> tuple[Any, ...]:
    return (*(_ALL,) * dim, index)


@method
def select(input: Tensor, dim: int, index: int) -> Tensor:
    """The entries at `index` along `dim`, which is gone: a view. IndexError where there is no such index."""
    return input[(*(_ALL,) * dimension(dim, input.ndim), operator.index(index))]


@method
def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The entries along `dim` at `index`, a vector of integers."""
    at = dimension(dim, input.ndim)
    same_device("index_select", input, index)
    _check_integers(index, "index_select")
    if index.ndim > 1:
        raise IndexError("index_select(): Index is supposed to be a vector")
    if not input.ndim:
        if index.numel() != 1:
            raise RuntimeError(
                f"index_select(): Index to scalar can have only 1 value, got {index.numel()} value(s)"
            )
        return index_select(input.reshape(1), 0, index).reshape(())
    _check_bounds(index, input.shape[at], at, IndexError)
    return ops.index.call(input, _along(at, index.array.reshape(-1))).contiguous()


@method
def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Any = 1) -> Tensor:
    """input, and alpha · source added along `dim` at `index`: an entry named twice is added to twice."""
    at = dimension(dim, input.ndim)
    same_device("index_add", input, index, source)
    _check_integers(index, "index_add")
    if not input.ndim:
        return index_add(input.reshape(1), 0, index, source.reshape(-1), alpha=alpha).reshape(())
    _check_bounds(index, input.shape[at], at, IndexError)
    if source.dtype is not input.dtype:
        raise RuntimeError(
            f"index_add_(): self ({input.dtype}) and source ({source.dtype}) must have the same dtype"
        )
    expected = (*input.shape[:at], index.numel(), *input.shape[at + 1 :])
    if tuple(source.shape) != expected:
        raise RuntimeError(
            f"index_add_(): source has shape {tuple(source.shape)}, index and input ask for {expected}"
        )
    added = ops.scatter.call(source, tuple(input.shape), _along(at, index.array.reshape(-1)))
    return input.contiguous() + (added if alpha == 1 else alpha * added)


@method
def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where the bool mask (broadcast with input) holds, as a vector."""
    if mask.dtype is not dtypes.bool:
        raise RuntimeError(f"masked_select: expected BoolTensor for mask, not {mask.dtype}")
    try:
        shape = np.broadcast_shapes(tuple(input.shape), tuple(mask.shape))
    except ValueError as error:
        raise RuntimeError(f"masked_select: input and mask do not fit each other: {error}") from None
    return input.expand(*shape)[mask.expand(*shape)]


@method
def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """Where the elements are not zero: an (n, ndim) Tensor of integers, or with as_tuple one vector a
    dimension."""
    array = input.numpy(force=True)
    found = np.nonzero(np.atleast_1d(array))
    each = tuple(wrap(move(where, device_of(input.array))) for where in found)
    return each if as_tuple else wrap(move(np.stack(found, 1)[:, : array.ndim], device_of(input.array)))


def _check_classes(array: Any, n: int) -> None:
    if observers and (observer := observing()) and observer.unknown(array):
        what = f"class values must be non-negative and smaller than {n}"
        observer.check(array, 0, n, RuntimeError, what)
        return
    if int(array.min()) < 0:
        raise RuntimeError("Class values must be non-negative.")
    if int(array.max()) >= n:
        raise RuntimeError("Class values must be smaller than num_classes.")


@function
def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """For each integer a vector of num_classes integers, 1 there and 0 elsewhere; by default as many as
    needed.

    RuntimeError where an integer is negative or not below num_classes.
    """
    if tensor.dtype is not dtypes.int64:
        raise RuntimeError("one_hot is only applicable to index tensor of type LongTensor.")
    array = tensor.array
    if not tensor.numel() and num_classes <= 0:
        raise RuntimeError("Can not infer total number of classes from empty tensor.")
    n = num_classes if num_classes != -1 else int(array.max()) + 1
    if tensor.numel():
        _check_classes(array, n)
    classes = move(np.arange(n), device_of(array))
    hot = kind_of(array).copy(array, True).reshape((*array.shape, 1)) == classes
    return wrap(kind_of(array).astype(hot, array_dtype(array, dtypes.int64)))
