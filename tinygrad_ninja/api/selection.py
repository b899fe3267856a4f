"""Indexing as PyTorch does it, which is not always as NumPy does.

An index is split in two. First integers, slices, None and `...` are applied, which gives a view. Then, if
there are lists, ranges, masks or index Tensors, those are applied to the view: their dimensions come where
they stood, or in front where something stood between them.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ..arrays import dtypes
from ..arrays.dispatch import array_dtype, device_of, dtype_of, move, namespace_of
from ..engine.devices import same_device
from ..engine.grad_mode import is_grad_enabled
from ..engine.hook import observers, observing
from ..engine.tensor import Tensor, wrap
from ..ops import indexing as ops
from ..ops.indexing import ALL
from .dimensions import dimension, integer
from .forms import in_place
from .indices import as_items, fast_index, prepared_item, split_index
from .operands import as_element
from .register import function, method, numpy_names


def _getitem(self: Tensor, index: Any) -> Tensor:
    array = self.array
    if type(array) is np.ndarray:
        if type(index) is Tensor:
            positions = fast_index(index)
            if positions is not None and array.ndim:
                return ops.index.call(self, (positions,))
        elif type(index) is tuple and 0 < len(index) <= array.ndim:
            key = []
            for item in index:
                positions = fast_index(item)
                if positions is None:
                    break
                key.append(positions)
            else:
                return ops.index.call(self, tuple(key))
    basic, advanced = split_index(self.array, index)
    out = _view(self, basic) if basic else self
    return ops.index.call(out, advanced) if advanced else out


def _view(x: Tensor, basic: tuple[Any, ...]) -> Tensor:
    """Return the view at the basic part of an index."""
    if observers and any(hasattr(item, "ndim") for item in basic):
        return _at_unknown(x, basic)
    *_, last, _ = (None, *basic)  # the item before the `...` at the end
    return (ops.select if isinstance(last, int) else ops.slice).call(x, basic)


def _at_unknown(x: Tensor, basic: tuple[Any, ...]) -> Tensor:
    """Return the view at a basic index with arrays of one integer among its items: of what the others leave,
    the places along those dimensions."""
    whole = tuple([ALL if hasattr(item, "ndim") else item for item in basic])
    out = x if _is_whole(whole, x.array.shape) else _view(x, whole)
    axis = 0
    for item in basic:
        if hasattr(item, "ndim"):
            out = ops.select_at.call(out, axis, item)
        elif not isinstance(item, int):
            axis += 1
    return out


def _setitem(self: Tensor, index: Any, value: Any) -> None:
    if index is False:
        return
    if index is True:  # as the only index it is a new dimension, not a mask
        index = None
    value = dtypes.plain_number(value)
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
    prepared = [prepared_item(item, x) for item in as_items(index)]
    advanced = [item for item in prepared if getattr(item, "ndim", 0) or isinstance(item, bool)]
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
    return (*(ALL,) * dim, index)


@method
def select(input: Tensor, dim: int, index: int) -> Tensor:
    """Return a view of the entries at `index` along `dim`, without that dimension. IndexError where there is
    none."""
    return input[(*(ALL,) * dimension(dim, input.ndim), operator.index(index))]


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
