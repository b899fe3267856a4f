"""Which elements there are, and between which of others they lie. Nothing here has a gradient."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import dtypes
from ..arrays.dispatch import device_of, move
from ..engine.devices import same_device
from ..engine.promotion import common_dtype
from ..engine.tensor import Tensor, wrap
from ..ops import Operation, comparison, indexing
from .arithmetic import where
from .creation import zeros_like
from .dimensions import dimension
from .forms import require_tensors
from .operands import as_tensor_operand
from .register import function, method
from .reshaping import reshape
from .selection import gather


def _wrapped(result: Any, like: Tensor) -> Tensor:
    """Return NumPy's result as a Tensor on the device of another."""
    return wrap(move(np.asarray(result), device_of(like.array)))


def _several(results: list[Tensor]) -> Any:
    return results[0] if len(results) == 1 else tuple(results)


@method
def unique(
    input: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """Return the different elements in order, or the different entries along `dim`; each NaN is one.

    return_inverse: also where each element of the input stands among them, int64 of the input's shape, or of
    the size along `dim`. return_counts: also how often each is there, int64. They are sorted in any case.
    Raises RuntimeError where a dimension other than `dim` has the size 0.
    """
    array = input.numpy(force=True)
    axis = None if dim is None else dimension(dim, input.ndim)
    if axis is not None and 0 in array.shape[:axis] + array.shape[axis + 1 :]:
        raise RuntimeError(
            "There are 0 sized dimensions, and they aren't selected, so unique cannot be applied"
        )
    if axis is not None and not array.ndim:
        array = array.reshape(1)
    unique_entries, inverse, counts = np.unique(
        array, return_inverse=True, return_counts=True, axis=axis, equal_nan=False
    )
    wanted = [unique_entries, *([inverse] if return_inverse else []), *([counts] if return_counts else [])]
    if return_inverse:
        wanted[1] = inverse.reshape(array.shape if axis is None else -1)
    return _several([_wrapped(np.asarray(x, order="C"), input) for x in wanted])


@method
def unique_consecutive(
    input: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """Return the elements, flattened, or the entries along `dim`, without those that equal the one before.

    return_inverse, return_counts: as for `unique`.
    """
    array = input.numpy(force=True)
    axis = 0 if dim is None else dimension(dim, input.ndim)
    entries = array.reshape(-1) if dim is None or not array.ndim else np.moveaxis(array, axis, 0)
    changes = (entries[1:] != entries[:-1]).any(tuple(range(1, entries.ndim)))
    first = np.concatenate([np.ones(min(len(entries), 1), bool), changes])
    starts = np.flatnonzero(first)
    kept = entries[first] if dim is None or not array.ndim else np.moveaxis(entries[first], 0, axis)
    wanted = [np.asarray(kept, order="C")]
    if return_inverse:
        inverse = np.cumsum(first) - 1
        wanted.append(inverse.reshape(array.shape) if dim is None else inverse)
    if return_counts:
        wanted.append(np.diff(np.append(starts, len(entries))))
    return _several([_wrapped(x, input) for x in wanted])


@function
def isin(elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False) -> Tensor:
    """Return for each element whether it is among the test elements, or with `invert` whether it is not: a
    bool in the shape of `elements`. Either, but not both, may be a number; TypeError for two."""
    if not isinstance(elements, Tensor) and not isinstance(test_elements, Tensor):
        raise TypeError("isin(): elements or test_elements must be a Tensor")
    elements, test_elements = dtypes.plain_number(elements), dtypes.plain_number(test_elements)
    for operand in (elements, test_elements):
        if not isinstance(operand, (Tensor, int, float)):
            raise TypeError(f"isin() takes Tensors and numbers, not {type(operand).__name__}")
    like = elements if isinstance(elements, Tensor) else test_elements
    among, these = as_tensor_operand(elements, like), as_tensor_operand(test_elements, like)
    same_device("isin", among, these)
    return _wrapped(np.isin(among.numpy(force=True), these.numpy(force=True), invert=invert), like)


@function
def searchsorted(
    sorted_sequence: Tensor,
    input: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
) -> Tensor:
    """Return before which entry of a sorted sequence each number would be put, so that it stays sorted:
    int64, or int32, in the shape of `input`.

    sorted_sequence: a vector, or one in the last dimension for each vector of `input`. right, side="right":
    behind the entries that equal it, not before them. sorter: the order of a sequence that is not sorted.
    Raises RuntimeError where the shapes do not agree.
    """
    if side not in (None, "left", "right"):
        raise RuntimeError(f"torch.searchsorted(): side can only be 'left' or 'right' but got {side}")
    if side == "left" and right:
        raise RuntimeError("torch.searchsorted(): side and right can't be set to opposites, got side of left")
    common = common_dtype(sorted_sequence, input)
    values = as_tensor_operand(input, sorted_sequence).to(common)
    same_device("searchsorted", sorted_sequence, values)
    if not sorted_sequence.ndim:
        raise RuntimeError("torch.searchsorted(): boundaries tensor should have positive dimension")
    batch = sorted_sequence.shape[:-1]
    if batch and batch != values.shape[:-1]:
        raise RuntimeError(
            f"torch.searchsorted(): boundaries tensor should be 1 dimension or the first N-1 dimensions of "
            f"boundaries tensor and input value tensor must match, but got {list(sorted_sequence.shape)} and "
            f"{list(values.shape)}"
        )
    sequence, sought = sorted_sequence.detach().to(common), values.detach()
    if sorter is not None:
        if sorter.dtype is not dtypes.int64:
            raise RuntimeError(f"searchsorted(): sorter must be a tensor of long dtype, not {sorter.dtype}")
        if sorter.shape != sorted_sequence.shape:
            raise RuntimeError("torch.searchsorted(): boundary and sorter must have the same size")
        sequence = gather(sequence, -1, sorter)
    behind = comparison.gt if right or side == "right" else comparison.ge
    places = _bisected(sequence, sought if batch else reshape(sought, -1), behind)
    return reshape(places, tuple(values.shape)).to(dtypes.int32 if out_int32 else dtypes.int64)


def _bisected(sequence: Tensor, sought: Tensor, behind: Operation) -> Tensor:
    """Return for each number the first place in its sequence whose entry is `behind` (≥ or >) it, by halving
    what is left; in PyTorch's order, which decides where there are NaNs."""
    n = sequence.shape[-1]
    low = zeros_like(sought, dtype=dtypes.int64)
    high = low + n
    for _ in range(n.bit_length()):
        middle = (low + high) // 2
        entries = indexing.gather.call(sequence, sequence.ndim - 1, middle.clamp(0, n - 1).array)
        left = low < high
        beyond = ~behind.call(entries, sought) & left
        low, high = where(beyond, middle + 1, low), where(left & ~beyond, middle, high)
    return low


@function
def bucketize(input: Any, boundaries: Tensor, *, out_int32: bool = False, right: bool = False) -> Tensor:
    """Return `searchsorted` of the boundaries, a sorted vector: between which of them each number lies.

    Raises RuntimeError for boundaries of another number of dimensions.
    """
    require_tensors("bucketize", boundaries=boundaries)
    if boundaries.ndim != 1:
        raise RuntimeError(f"boundaries tensor must be 1 dimension, but got dim({boundaries.ndim})")
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)


@method
def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """Return how often each of the integers 0, 1, … is among those of a vector, or the sum of the weights
    beside it; at least `minlength` numbers, int64, or in float64 where there are weights.

    The weights of float32 are added up in float32. Raises RuntimeError for anything but a vector of integers
    that are not negative, for weights of another shape, and for a negative `minlength`.
    """
    array = input.numpy(force=True)
    if array.ndim != 1 or array.dtype.kind not in "iu" or (array < 0).any():
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    if minlength < 0:
        raise RuntimeError(f"bincount(): minlength should be >= 0, not {minlength}")
    if weights is not None and weights.shape != input.shape:
        raise RuntimeError("bincount(): weights should be 1-d and have the same length as input")
    beside = None if weights is None else weights.numpy(force=True)
    counts = np.bincount(array, beside, minlength)
    kept = beside is not None and beside.dtype == np.float32
    return _wrapped(counts.astype(np.float32) if kept else counts, input)
