"""Indexing as PyTorch does it, which is not always as NumPy does.

An index is split in two. First integers, slices, None and `...` are applied, which gives a view. Then, if
there are lists, ranges, masks or index Tensors, those are applied to the view: their dimensions come where
they stood, or in front where something stood between them.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ..arrays import dtypes, numpy_arrays
from ..arrays.dispatch import array_dtype, device_of, dtype_of, move, namespace_of
from ..engine.devices import same_device
from ..engine.grad_mode import is_grad_enabled
from ..engine.hook import observers, observing
from ..engine.tensor import Tensor, wrap
from ..ops import indexing as ops
from .dimensions import dimension, integer
from .forms import in_place
from .operands import as_element
from .register import function, method, numpy_names

_ALL = slice(None)
_INT64 = np.dtype(np.int64)
_SEQUENCES = (Tensor, list, tuple, range, np.ndarray)


def _as_items(index: Any) -> tuple[Any, ...]:
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


def _prepared(item: Any, like: Any) -> Any:
    """Return an item of an index as None, `...`, a slice, a bool, an int, or an array of at least one
    dimension."""
    if item is None or item is Ellipsis or isinstance(item, bool):
        return item
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
    """Return the number of dimensions to which a prepared item applies."""
    if item is None or item is Ellipsis or isinstance(item, bool):
        return 0
    return item.ndim if hasattr(item, "ndim") and dtype_of(item) is dtypes.bool else 1


def split_index(x: Any, index: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Return the basic part of an index into the array `x`, and the advanced part, for the dimensions that it
    leaves.

    Either is empty where it would change nothing.
    """
    items = [_prepared(item, x) for item in _as_items(index)]
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
            basic += [_ALL] * (x.ndim - used)
            advanced += [_ALL] * (x.ndim - used)
            dim += x.ndim - used
            used = x.ndim
        elif isinstance(item, bool):  # a new dimension, of one element or none
            basic.append(None)
            advanced.append(move(np.arange(int(item)), device_of(x)))
        elif isinstance(item, int):
            if not -x.shape[dim] <= item < x.shape[dim]:
                raise IndexError(
                    f"index {item} is out of bounds for dimension {dim} with size {x.shape[dim]}"
                )
            basic.append(item)
            dim += 1
        elif item is None or isinstance(item, slice):
            basic.append(item)
            advanced.append(_ALL)
            dim += _dimensions_used(item)
        else:
            positions = _positions(x, item, dim)
            basic += [_ALL] * len(positions)
            advanced += positions
            dim += len(positions)
    while advanced and advanced[-1] is _ALL:
        advanced.pop()
    if advanced and all(isinstance(item, slice) and item == _ALL for item in basic):
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


def _fast_index(item: Any) -> Any:
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


def _getitem(self: Tensor, index: Any) -> Tensor:
    array = self.array
    if type(array) is np.ndarray:
        if type(index) is Tensor:
            positions = _fast_index(index)
            if positions is not None and array.ndim:
                return ops.index.call(self, (positions,))
        elif type(index) is tuple and 0 < len(index) <= array.ndim:
            key = []
            for item in index:
                positions = _fast_index(item)
                if positions is None:
                    break
                key.append(positions)
            else:
                return ops.index.call(self, tuple(key))
    basic, advanced = split_index(self.array, index)
    out = _view(self, basic) if basic else self
    return ops.index.call(out, advanced) if advanced else out


def _view(x: Tensor, basic: tuple[Any, ...]) -> Tensor:
    *_, last, _ = (None, *basic)  # the item before the `...` at the end
    return (ops.select if isinstance(last, int) else ops.slice).call(x, basic)


def _setitem(self: Tensor, index: Any, value: Any) -> None:
    if index is False:
        return
    if index is True:  # as the only index it is a new dimension, not a mask
        index = None
    if not isinstance(value, (Tensor, int, float)):
        raise TypeError(f"can't assign a {type(value).__name__} to a Tensor: a Tensor or a number is needed")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError(f"the number {value} is too big to convert to 63 bits and a sign")
    observer = observing() if observers else None
    if observer is not None and _fills(self, index, value) and observer.unknown(index.array):
        # By where(), for positions would be those of this mask alone.
        self.masked_fill_(index, value.reshape(()) if isinstance(value, Tensor) else value)
        return
    if isinstance(index, Tensor) and index.dtype is dtypes.uint8 and _is_single(value):
        raise RuntimeError("masked_fill_ only supports boolean masks, but got mask with dtype unsigned char")
    basic, advanced = split_index(self.array, index)
    target = self if _is_whole(basic, self.array.shape) else _view(self, basic)
    if advanced and is_grad_enabled():
        target._refuse_change()  # before errors about the index and the value
    shape = namespace_of(target.array).index(target.array, advanced).shape if advanced else target.array.shape
    source = as_element(value, self)
    differs = advanced and source.dtype is not self.dtype
    if differs and not (source.numel() == 1 and _is_mask(index, self.array)):
        raise RuntimeError(
            f"Index put requires the source and destination dtypes match, got {self.dtype} for the "
            f"destination and {source.dtype} for the source."
        )
    extra = source.ndim - len(shape)
    if extra > 0 and all(n == 1 for n in source.shape[:extra]):
        source = source.reshape(source.shape[extra:])
    assign(target, source, advanced or EVERYWHERE, shape)


def _fills(self: Tensor, index: Any, value: Any) -> bool:
    """Return whether one number is assigned where a mask of the Tensor's own shape is true."""
    mask = isinstance(index, Tensor) and index.dtype is dtypes.bool and index.shape == self.shape
    return mask and _is_single(value)


def _is_single(value: Any) -> bool:
    return not isinstance(value, Tensor) or value.numel() == 1


def _is_whole(basic: tuple[Any, ...], shape: tuple[int, ...]) -> bool:
    """Return whether the basic part of an index selects the whole Tensor in its own shape."""
    return (
        all(
            item is Ellipsis or (isinstance(item, slice) and item.indices(n) == (0, n, 1))
            for item, n in zip(basic, shape, strict=False)
        )
        and len(basic) <= len(shape) + 1
    )


def _is_mask(index: Any, x: Any) -> bool:
    """Return whether the only advanced item of the index is a mask, which allows a number of any dtype as the
    value."""
    prepared = [_prepared(item, x) for item in _as_items(index)]
    advanced = [item for item in prepared if hasattr(item, "ndim") or isinstance(item, bool)]
    return len(advanced) == 1 and not isinstance(advanced[0], bool) and dtype_of(advanced[0]) is dtypes.bool


Tensor.__getitem__ = _getitem
Tensor.__setitem__ = _setitem

EVERYWHERE = (Ellipsis,)


def assign(
    target: Tensor, value: Tensor, key: tuple[Any, ...], shape: tuple[int, ...], alike: bool = False
) -> Tensor:
    """Write `value`, in the dtype and on the device of the target, to target[key], which has the shape
    `shape`.

    Raises RuntimeError where the value can't be broadcast to that shape, and the errors of `Tensor.change`.
    """
    sizes = tuple(value.shape)
    if len(sizes) > len(shape) or any(
        n not in (1, size) for n, size in zip(reversed(sizes), reversed(shape), strict=False)
    ):
        raise RuntimeError(
            f"shape mismatch: value tensor of shape {list(sizes)} cannot be broadcast to shape {list(shape)}"
        )
    converted = value.to(dtype=target.dtype, device=target.device)
    return target.change(lambda before: ops.put.call(before, converted, key), (value,), alike)


@method
@numpy_names
def gather(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """Return, for dim 1, out[i][j] = input[i][index[i][j]]; and so on for other dimensions.

    index: int64 or int32, with as many dimensions as input; the result has its shape. Raises RuntimeError for
    another dtype, number of dimensions, or an index out of range.
    """
    position = dimension(dim, input.ndim)
    same_device("gather", input, index)
    if not index.numel():  # of such an index PyTorch looks at no more than the shape
        return input.reshape(-1)[:0].reshape(index.shape)
    check_integers(index, "gather")
    if max(index.ndim, 1) != max(input.ndim, 1):
        raise RuntimeError("Index tensor must have the same number of dimensions as input tensor")
    if not input.ndim or not index.ndim:
        return gather(input.reshape(-1), 0, index.reshape(-1)).reshape(index.shape)
    check_bounds(index, input.shape[position], position)
    return ops.gather.call(input, position, index.array)


def check_integers(index: Tensor, name: str) -> None:
    """Raise RuntimeError, which names the function, for an index of another dtype."""
    if index.dtype not in (dtypes.int64, dtypes.int32):
        raise RuntimeError(f"{name}(): Expected dtype int32/int64 for index, not {index.dtype}")


def check_bounds(index: Tensor, n: int, dim: int, error: type[Exception] = RuntimeError) -> None:
    """Raise `error` where an index is negative or not below n, the size of dimension `dim`."""
    array = index.array
    if observers and (observer := observing()):
        what = f"an index is out of bounds for dimension {dim} with size {n}"
        array = observer.check(array, 0, n, error, what)
    if index.numel() and (int(array.min()) < 0 or int(array.max()) >= n):
        invalid = int(array.min()) if int(array.min()) < 0 else int(array.max())
        raise error(f"index {invalid} is out of bounds for dimension {dim} with size {n}")


def along(dim: int, index: Any) -> tuple[Any, ...]:
    """Return the key that reads at `index` along a dimension."""
    return (*(_ALL,) * dim, index)


@method
def select(input: Tensor, dim: int, index: int) -> Tensor:
    """Return a view of the entries at `index` along `dim`, without that dimension. IndexError where there is
    none."""
    return input[(*(_ALL,) * dimension(dim, input.ndim), operator.index(index))]


@method
@numpy_names
def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """Return the entries along `dim` at `index`, a vector of integers, of which that dimension gets the size.

    Raises IndexError for an index out of range or of more dimensions, RuntimeError for another dtype.
    """
    position = dimension(dim, input.ndim)
    same_device("index_select", input, index)
    check_integers(index, "index_select")
    if index.ndim > 1:
        raise IndexError("index_select(): Index is supposed to be a vector")
    if not input.ndim:
        if index.numel() != 1:
            raise RuntimeError(
                f"index_select(): Index to scalar can have only 1 value, got {index.numel()} value(s)"
            )
        return index_select(input.reshape(1), 0, index).reshape(())
    check_bounds(index, input.shape[position], position, IndexError)
    return ops.index.call(input, along(position, index.array.reshape(-1))).contiguous()


@in_place
@method
def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Any = 1) -> Tensor:
    """Return input with alpha · source added along `dim` at `index`: an entry named twice is added to twice.

    source: of the shape of input, but with the size of index, a vector of integers, along `dim`. Raises
    IndexError for an index out of range, RuntimeError for another shape or dtype.
    """
    position = dimension(dim, input.ndim)
    same_device("index_add", input, index, source)
    check_integers(index, "index_add")
    if not input.ndim:
        return index_add(input.reshape(1), 0, index, source.reshape(-1), alpha=alpha).reshape(())
    check_bounds(index, input.shape[position], position, IndexError)
    if source.dtype is not input.dtype:
        raise RuntimeError(
            f"index_add_(): self ({input.dtype}) and source ({source.dtype}) must have the same dtype"
        )
    expected = (*input.shape[:position], index.numel(), *input.shape[position + 1 :])
    if tuple(source.shape) != expected:
        raise RuntimeError(
            f"index_add_(): source has shape {tuple(source.shape)}, index and input ask for {expected}"
        )
    increments = ops.scatter.call(source, tuple(input.shape), along(position, index.array.reshape(-1)))
    return input.contiguous() + (increments if alpha == 1 else alpha * increments)


@method
def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """Return the elements where the bool mask (broadcast with input) is true, as a vector.

    Raises RuntimeError for a mask of another dtype, or shapes that do not fit.
    """
    if mask.dtype is not dtypes.bool:
        raise RuntimeError(f"masked_select: expected BoolTensor for mask, not {mask.dtype}")
    try:
        shape = np.broadcast_shapes(tuple(input.shape), tuple(mask.shape))
    except ValueError as error:
        raise RuntimeError(f"masked_select: input and mask do not fit each other: {error}") from None
    return input.expand(*shape)[mask.expand(*shape)]


@method
def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """Return the positions of the elements that are not zero, int64: (n, ndim), or with as_tuple one vector
    per dimension."""
    array = input.numpy(force=True)
    positions = np.nonzero(np.atleast_1d(array))
    vectors = tuple(wrap(move(where, device_of(input.array))) for where in positions)
    return (
        vectors if as_tuple else wrap(move(np.stack(positions, 1)[:, : array.ndim], device_of(input.array)))
    )


def _check_classes(array: Any, n: int) -> None:
    if observers and (observer := observing()):
        what = f"class values must be non-negative and smaller than {n}"
        array = observer.check(array, 0, n, RuntimeError, what)
    if int(array.min()) < 0:
        raise RuntimeError("Class values must be non-negative.")
    if int(array.max()) >= n:
        raise RuntimeError("Class values must be smaller than num_classes.")


@function
def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """Return for each integer a vector of num_classes integers, 1 there and 0 elsewhere: (…) to (…,
    num_classes).

    num_classes: as many as needed by default. Raises RuntimeError for another dtype than int64, and where an
    integer is negative or not below num_classes.
    """
    num_classes = integer("num_classes", num_classes)
    if tensor.dtype is not dtypes.int64:
        raise RuntimeError("one_hot is only applicable to index tensor of type LongTensor.")
    array = tensor.array
    if not tensor.numel() and num_classes <= 0:
        raise RuntimeError("Can not infer total number of classes from empty tensor.")
    n = num_classes if num_classes != -1 else int(tensor.max()) + 1
    if tensor.numel():
        _check_classes(array, n)
    classes = move(np.arange(n), device_of(array))
    hot = namespace_of(array).copy(array, True).reshape((*array.shape, 1)) == classes
    return wrap(namespace_of(array).astype(hot, array_dtype(array, dtypes.int64)))
