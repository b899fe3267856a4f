"""Elements written, or added up, at places that are read from an index; and read from such."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..arrays import dtypes
from ..arrays.dispatch import device_of, move, namespace_of
from ..engine.devices import same_device
from ..engine.tensor import Tensor
from ..ops import Operation, comparison, folding, indexing, reduction
from .arithmetic import where
from .creation import ones_like, zeros
from .dimensions import dimension
from .forms import in_place, require_tensors
from .indices import split_index
from .operands import as_element
from .register import method
from .reshaping import expand, reshape
from .selection import along, check_bounds, check_integers, gather


def _places(name: str, input: Tensor, axis: int, index: Tensor, src: Any) -> None:
    """Raise RuntimeError where the index does not fit into the input but along the axis, or into the source,
    or is out of bounds."""
    require_tensors(name, index=index)
    same_device(name, input, index)
    if isinstance(src, Tensor):
        same_device(name, input, src)
        if src.dtype is not input.dtype:
            raise RuntimeError(f"{name}(): Expected self.dtype to be equal to src.dtype")
    if not index.numel():  # at anything else of such an index PyTorch does not look
        return
    check_integers(index, name)
    if max(index.ndim, 1) != max(input.ndim, 1):
        raise RuntimeError("Index tensor must have the same number of dimensions as self tensor")
    if isinstance(src, Tensor) and max(src.ndim, 1) != max(index.ndim, 1):
        raise RuntimeError("Index tensor must have the same number of dimensions as src tensor")
    for i, n in enumerate(index.shape):
        beyond = i != axis and n > (input.shape[i] if input.ndim else 1)
        if beyond or (isinstance(src, Tensor) and n > (src.shape[i] if src.ndim else 1)):
            raise RuntimeError(
                f"{name}(): Expected index {list(index.shape)} to be no larger than self {list(input.shape)} "
                f"apart from dimension {axis}, and no larger than src"
            )
    check_bounds(index, input.shape[axis] if input.ndim else 1, axis)


def _key(axis: int, index: Tensor) -> tuple[Any, ...]:
    """Return the key of the cells that `gather` along an axis reads: the index, and all rows of others."""
    shape = tuple(index.shape)
    rows: list[Any] = [
        move(np.arange(n).reshape(-1, *(1,) * (len(shape) - i - 1)), device_of(index.array))
        for i, n in enumerate(shape)
    ]
    rows[axis] = index.array
    return tuple(rows)


def _cut(src: Tensor, index: Tensor) -> Tensor:
    """Return the part of the source that has the shape of the index."""
    if src.shape == index.shape:
        return src
    return src[tuple(slice(n) for n in index.shape)]


@in_place
@method
def scatter(
    input: Tensor, dim: int, index: Tensor, src: Any = None, *, value: Any = None, reduce: str | None = None
) -> Tensor:
    """Return the input with, for dim 1, out[i][index[i][j]] = src[i][j]; and so on for other dimensions.

    src: a Tensor of the input's dtype, no smaller than the index, or a number. Where a cell is named twice,
    one of them stays. reduce: "add" or "multiply" instead of written, without a gradient. Raises RuntimeError
    for unfit shapes or dtypes, and an index out of range.
    """
    axis = dimension(dim, input.ndim)
    source = value if src is None else src
    if reduce is not None:
        if reduce not in _UPDATES:
            raise RuntimeError("reduce argument must be either add or multiply.")
        if not isinstance(source, Tensor):
            source = expand(as_element(source, input), *index.shape)
        return _reduced(input.detach(), axis, index, source.detach(), _UPDATES[reduce], True)
    _places("scatter", input, axis, index, source)
    if not index.numel():
        return input.clone()
    if not input.ndim:
        return reshape(scatter(reshape(input, 1), 0, reshape(index, -1), _vector(source)), ())
    written = _cut(source, index) if isinstance(source, Tensor) and source.ndim else as_element(source, input)
    return indexing.put.call(input, written, _key(axis, index))


def _vector(source: Any) -> Any:
    return reshape(source, -1) if isinstance(source, Tensor) else source


@in_place
@method
def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """Return the input with, for dim 1, out[i][index[i][j]] += src[i][j]; and so on for other dimensions. A
    cell that is named twice is added to twice; arguments and errors as for `scatter`."""
    axis = dimension(dim, input.ndim)
    require_tensors("scatter_add", src=src)
    _places("scatter_add", input, axis, index, src)
    if not index.numel():
        return input.clone()
    if not input.ndim:
        return reshape(scatter_add(reshape(input, 1), 0, reshape(index, -1), reshape(src, -1)), ())
    return input.contiguous() + _added(input, axis, index, src)


def _added(input: Tensor, axis: int, index: Tensor, src: Tensor) -> Tensor:
    """Return zeros in the shape of the input, with the source added."""
    return indexing.scatter_along.call(_cut(src, index), tuple(input.shape), axis, index.array)


def _from_front(index: Tensor, n: int) -> Tensor:
    """Return the index with n added to what is negative."""
    return where(comparison.lt.call(index, 0), index + n, index)


@method
def take(input: Tensor, index: Tensor) -> Tensor:
    """Return the elements of the flattened input at `index`, of its shape; negative ones count from the end.

    Raises IndexError for an index out of range, RuntimeError for another dtype than int64.
    """
    require_tensors("take", index=index)
    same_device("take", input, index)
    if index.dtype is not dtypes.int64:
        raise RuntimeError(f"take(): Expected a long tensor for index, but got {index.dtype}")
    n = input.numel()
    if not n and index.numel():
        raise IndexError("take(): tried to take from an empty tensor")
    places = _from_front(index, n)
    check_bounds(places, n, 0, IndexError)
    taken = indexing.index.call(reshape(input, -1), (reshape(places, -1).array,))
    return reshape(taken, tuple(index.shape))


@method
def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """Return `gather` along `dim`, with the input and the indices broadcast in the others; or `take` of the
    flattened input.

    indices: int64, with as many dimensions as input; negative ones count from the end. Raises RuntimeError
    for another dtype or number of dimensions, and an index out of range.
    """
    require_tensors("take_along_dim", indices=indices)
    same_device("take_along_dim", input, indices)
    if indices.dtype is not dtypes.int64:
        raise RuntimeError(f"torch.take_along_dim(): dtype of indices should be Long but got {indices.dtype}")
    if dim is None:
        return gather(reshape(input, -1), 0, _from_front(reshape(indices, -1), input.numel()))
    if input.ndim != indices.ndim:
        raise RuntimeError(
            f"torch.take_along_dim(): input and indices should have the same number of dimensions, but got "
            f"{input.ndim} dimensions for input, and {indices.ndim} dimensions for indices"
        )
    axis = dimension(dim, input.ndim)
    if not input.ndim:
        return gather(input, 0, indices)
    others = [tuple(1 if i == axis else n for i, n in enumerate(x.shape)) for x in (input, indices)]
    common = np.broadcast_shapes(*others)
    shapes = [(*common[:axis], x.shape[axis], *common[axis + 1 :]) for x in (input, indices)]
    places = _from_front(indices, input.shape[axis])
    return gather(expand(input, shapes[0]), axis, expand(places, shapes[1]))


def _accumulated(input: Tensor, indices: Any, values: Tensor) -> Tensor:
    several = [reshape(i, 1) if isinstance(i, Tensor) and not i.ndim else i for i in indices]
    _, advanced = split_index(input.array, tuple(_ALL if i is None else i for i in several))
    shape = tuple(namespace_of(input.array).index(input.array, advanced).shape)
    return input + indexing.scatter.call(expand(values, *shape), tuple(input.shape), advanced)


_ALL = slice(None)


@in_place
@method
def index_put(input: Tensor, indices: Any, values: Tensor, accumulate: bool = False) -> Tensor:
    """Return the input with out[indices] = values, or += values with `accumulate`, where a cell that is named
    twice is added to twice.

    indices: a tuple of index Tensors, or None for a whole dimension; values: broadcast to what they name.
    Errors as for `x[indices] = values`.
    """
    require_tensors("index_put", values=values)
    if values.dtype is not input.dtype:
        raise RuntimeError(
            f"Index put requires the source and destination dtypes match, got {input.dtype} for the "
            f"destination and {values.dtype} for the source."
        )
    if accumulate:
        return _accumulated(input, indices, values)
    out = input.clone()
    out[tuple(_ALL if i is None else i for i in indices)] = values
    return out


def _along_one(name: str, input: Tensor, dim: int, index: Tensor) -> int:
    """Return the dimension, where the index is a vector of int64 that is within it."""
    require_tensors(name, index=index)
    axis = dimension(dim, input.ndim)
    same_device(name, input, index)
    if index.dtype is not dtypes.int64:
        raise RuntimeError(f"{name}(): Expected a long tensor for index, but got {index.dtype}")
    if index.ndim > 1:
        raise IndexError(f"{name}(): Index should have dimension 1 or 0 (got {index.ndim})")
    return axis


@in_place
@method
def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """Return the input with out[index[i]] = source[i] along `dim`; where an entry is named twice, one stays.

    source: of the input's dtype and shape, but with the size of index, a vector of int64, along `dim`. Raises
    RuntimeError for another dtype, IndexError for another shape or an index out of range.
    """
    axis = _along_one("index_copy", input, dim, index)
    require_tensors("index_copy", source=source)
    same_device("index_copy", input, source)
    if source.dtype is not input.dtype:
        raise RuntimeError(
            f"index_copy_(): self and source expected to have the same dtype, but got (self) {input.dtype} "
            f"and (source) {source.dtype}"
        )
    if not input.ndim:
        return reshape(index_copy(reshape(input, 1), 0, reshape(index, -1), reshape(source, -1)), ())
    if not source.ndim and index.numel() == 1 and input.ndim == 1:
        source = reshape(source, 1)
    expected = (*input.shape[:axis], index.numel(), *input.shape[axis + 1 :])
    if source.ndim != input.ndim or source.shape[axis] != index.numel():
        raise IndexError(
            f"index_copy_(): source has shape {list(source.shape)}, index and input ask for {list(expected)}"
        )
    if tuple(source.shape) != expected:
        raise RuntimeError(
            f"index_copy_(): Source/destination tensor must have same slice shapes, not {list(source.shape)}"
        )
    check_bounds(index, input.shape[axis], axis, IndexError)
    return indexing.put.call(input, source, along(axis, reshape(index, -1).array))


@in_place
@method
def index_fill(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """Return the input with `value`, a number or a Tensor of no dimensions, at each `index` along `dim`.

    index: a vector of int64; a negative one counts from the end. Raises IndexError for one out of range,
    RuntimeError for a value with dimensions.
    """
    axis = _along_one("index_fill", input, dim, index)
    if isinstance(value, Tensor) and value.ndim:
        raise RuntimeError(
            f"index_fill_ only supports a 0-dimensional value tensor, not one of {value.ndim} dimensions"
        )
    if not input.ndim:
        return reshape(index_fill(reshape(input, 1), 0, index, value), ())
    n = input.shape[axis]
    places = reshape(_from_front(index, n), -1)
    check_bounds(places, n, axis, IndexError)
    unmarked = zeros(n, dtype=dtypes.bool, device=input.device)
    marked = indexing.put.call(unmarked, as_element(True, unmarked), (places.array,))
    marks = reshape(marked, [n if i == axis else 1 for i in range(input.ndim)])
    return where(marks, as_element(value, input).to(input.dtype), input)


@in_place
@method
def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """Return the input with the elements of `source`, in order, where the bool mask (broadcast) is true.

    Raises RuntimeError for a mask of another dtype, unlike dtypes, or too few elements.
    """
    require_tensors("masked_scatter", mask=mask, source=source)
    if mask.dtype is not dtypes.bool:
        raise RuntimeError(f"masked_scatter_ only supports boolean masks, but got {mask.dtype}")
    if source.dtype is not input.dtype:
        raise RuntimeError("masked_scatter: expected self and source to have same dtypes")
    same_device("masked_scatter", input, mask, source)
    shape = np.broadcast_shapes(tuple(input.shape), tuple(mask.shape))
    input, mask = expand(input, shape), expand(mask, shape)
    before = reshape(reduction.cumsum.call(reshape(mask, -1), 0) - 1, shape) if mask.ndim else mask.long() - 1
    check_bounds(reshape(before[..., -1:] if mask.ndim else before, -1).clamp(0), max(source.numel(), 1), 0)
    if not source.numel():
        return input.clone()
    taken = indexing.index.call(reshape(source, -1), (before.clamp(0).array,))
    return where(mask, taken, input.contiguous())


@method
def argwhere(input: Tensor) -> Tensor:
    """Return the positions of the elements that are not zero, int64: (n, ndim)."""
    positions: Tensor = input.nonzero()
    return positions


@method
def count_nonzero(input: Tensor, dim: Any = None) -> Tensor:
    """Return how many elements along `dim`, as `sum`, of all by default, are not zero: int64."""
    return comparison.ne.call(input.detach(), 0).sum(dim)


class _Reduction(NamedTuple):
    """How `scatter_reduce` folds: the operation, where it is no sum; and whether the sum is divided."""

    fold: Operation | None = None
    divided: bool = False


_SUM, _PRODUCT = _Reduction(), _Reduction(folding.scatter_prod)
_UPDATES = {"add": _SUM, "multiply": _PRODUCT}
_REDUCTIONS = {
    "sum": _SUM,
    "prod": _PRODUCT,
    "mean": _Reduction(divided=True),
    "amax": _Reduction(folding.scatter_amax),
    "amin": _Reduction(folding.scatter_amin),
}


@in_place
@method
def scatter_reduce(
    input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """Return, for dim 1, out[i][k] = the reduction of input[i][k] and all src[i][j] with index[i][j] = k; and
    so on for other dimensions.

    reduce: "sum", "mean", "prod", "amax" or "amin", whose gradient all equals share. include_self: whether
    the input counts where anything is written. Arguments and errors as for `scatter`.
    """
    axis = dimension(dim, input.ndim)
    if reduce not in _REDUCTIONS:
        raise RuntimeError(f"reduce argument must be one of {', '.join(_REDUCTIONS)}, not {reduce}")
    require_tensors("scatter_reduce", src=src)
    how = _REDUCTIONS[reduce]
    if how.divided and input.dtype is dtypes.bool:
        raise NotImplementedError(f"scatter_reduce of {reduce} is not implemented for torch.bool")
    return _reduced(input, axis, index, src, how, include_self)


def _reduced(
    input: Tensor, axis: int, index: Tensor, src: Tensor, how: _Reduction, include_self: bool
) -> Tensor:
    _places("scatter_reduce", input, axis, index, src)
    if not index.numel():
        return input.clone()
    if not input.ndim:
        vectors = reshape(input, 1), 0, reshape(index, -1), reshape(src, -1)
        return reshape(_reduced(*vectors, how, include_self), ())
    if how.fold is not None:
        return how.fold.call(input, _cut(src, index), axis, index.array, include_self)
    if not include_self:
        input = indexing.put.call(input, as_element(0, input), _key(axis, index))
    total = input.contiguous() + _added(input, axis, index, src)
    if not how.divided:
        return total
    ones = ones_like(_cut(src, index).detach(), dtype=dtypes.int64)
    count = (_added(input, axis, index, ones) + int(include_self)).clamp(1)
    return (total / count if input.dtype.is_floating_point else total // count).to(input.dtype)
