"""Elements in order: sorted, the k greatest, the kth, the median, quantiles.

NaN counts as greater than all numbers. Equal elements keep their order; which of them is found PyTorch leaves
open, unless `sort` is asked to be stable. The gradient of each value goes to the index given.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..arrays import dtypes
from ..engine.tensor import Tensor
from ..ops import comparison, elementwise, indexing, order, reduction
from ..ops import shape as shape_ops
from .arithmetic import masked_fill, where
from .creation import full, zeros_like
from .dimensions import dimension
from .extremes import max_return_type
from .operands import as_element
from .register import method, numpy_names
from .reshaping import reshape, squeeze, unviewed


class sort_return_type(max_return_type):  # noqa: N801
    """What `sort` gives, as `max(dim)`."""

    __slots__ = ()


class topk_return_type(max_return_type):  # noqa: N801
    """What `topk` gives, as `max(dim)`."""

    __slots__ = ()


class kthvalue_return_type(max_return_type):  # noqa: N801
    """What `kthvalue` gives, as `max(dim)`."""

    __slots__ = ()


class median_return_type(max_return_type):  # noqa: N801
    """What `median(dim)` gives, as `max(dim)`."""

    __slots__ = ()


class nanmedian_return_type(max_return_type):  # noqa: N801
    """What `nanmedian(dim)` gives, as `max(dim)`."""

    __slots__ = ()


def _order(input: Tensor, axis: int, descending: bool) -> Tensor:
    """Return where the elements along an axis stand in their order, equals in the order they have."""
    input = input.detach()
    if not input.ndim:
        return zeros_like(input).long()
    if not descending:
        return order.argsort.call(input, axis)
    # From behind the last of equals comes first, and is again the last when the whole is turned round.
    positions = order.argsort.call(shape_ops.flip.call(input, (axis,)), axis)
    return elementwise.rsub.call(shape_ops.flip.call(positions, (axis,)), input.shape[axis] - 1)


def _read(
    input: Tensor, axis: int, indices: Tensor, pair: type[max_return_type], keepdim: bool = True
) -> Any:
    """Return the pair of what stands at the indices along an axis, and these."""
    if not input.ndim:
        return pair(shape_ops.clone.call(input, False), reshape(indices, ()))
    values = indexing.gather.call(input, axis, indices.array)
    if not keepdim:
        values, indices = unviewed(squeeze(values, axis)), unviewed(squeeze(indices, axis))
    return pair(values, indices)


def _refuse_bool(input: Tensor, name: str) -> None:
    if input.dtype is dtypes.bool:
        raise NotImplementedError(f"{name} is not implemented for torch.bool")


@method
@numpy_names
def argsort(input: Tensor, dim: int = -1, descending: bool = False, *, stable: bool = False) -> Tensor:
    """Return where the elements along `dim` stand, the smallest (or the greatest) first: int64, of the
    input's shape. Equals keep their order, stable or not."""
    return _order(input, dimension(dim, input.ndim), descending)


@method
@numpy_names
def sort(input: Tensor, dim: int = -1, descending: bool = False, *, stable: bool = False) -> Any:
    """Return the elements along `dim`, the smallest (or the greatest) first, and where they stood: the pair
    (values, indices) of the input's shape. Equals keep their order, stable or not."""
    axis = dimension(dim, input.ndim)
    return _read(input, axis, _order(input, axis, descending), sort_return_type)


@method
def msort(input: Tensor) -> Tensor:
    """Return the elements along the first dimension, the smallest first."""
    values: Tensor = sort(input, 0).values
    return values


@method
@numpy_names
def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
    """Return the k greatest (or smallest) along `dim`, in order, and where they stood: the pair (values,
    indices) with k along `dim`. RuntimeError where there are not so many."""
    _refuse_bool(input, "topk")
    axis = dimension(dim, input.ndim)
    if not 0 <= k <= (input.shape[axis] if input.ndim else 1):
        raise RuntimeError(f"topk: selected index k out of range: {k}")
    indices = _order(input, axis, largest)
    if input.ndim:
        indices = indices.narrow(axis, 0, k)
    return _read(input, axis, indices, topk_return_type)


@method
@numpy_names
def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    """Return the kth smallest along `dim`, counted from 1, and where it stood: the pair (values, indices).

    Raises RuntimeError where there are not so many, IndexError for a dimension without elements.
    """
    _refuse_bool(input, "kthvalue")
    axis = dimension(dim, input.ndim)
    n = input.shape[axis] if input.ndim else 1
    if not n:
        raise IndexError(f"kthvalue(): Expected reduction dim {dim} to have non-zero size.")
    if not 1 <= k <= n:
        raise RuntimeError(f"kthvalue(): selected number k out of range for dimension {dim}: {k}")
    indices = _order(input, axis, False)
    if input.ndim:
        indices = indices.narrow(axis, k - 1, 1)
    return _read(input, axis, indices, kthvalue_return_type, keepdim)


def _median(input: Tensor, dim: Any, keepdim: bool, pair: type[max_return_type], ignores_nan: bool) -> Any:
    _refuse_bool(input, "median")
    flat = reshape(input, -1) if dim is None else input
    axis = dimension(0 if dim is None else dim, flat.ndim)
    n = flat.shape[axis] if flat.ndim else 1
    if not n and dim is None:
        floating = input.dtype.is_floating_point
        nothing = math.nan if floating else np.iinfo(input.dtype.carrier).min
        return full((), nothing, dtype=input.dtype, device=input.device)
    if not n:
        raise IndexError(f"median(): Expected reduction dim {dim} to have non-zero size.")
    indices = _order(flat, axis, False)
    if flat.ndim:
        nans = reduction.sum.call(comparison.isnan.call(flat.detach()), (axis,), True)
        if ignores_nan:
            places = ((n - 1 - nans).clamp(0)) // 2
        else:  # the first NaN, where there is one
            places = (n - nans).masked_fill(nans == 0, (n - 1) // 2)
        indices = indexing.gather.call(indices, axis, places.array)
    if dim is not None:
        return _read(input, axis, indices, pair, keepdim)
    middle = indexing.gather.call(flat.detach(), 0, indices.array)
    if not input.dtype.is_floating_point:
        return unviewed(reshape(middle, ()))
    above = comparison.gt.call(flat.detach(), middle)
    if ignores_nan:
        above = above | (comparison.isnan.call(flat.detach()) & ~comparison.isnan.call(middle))
    # The greatest of those not above it, for the gradient is shared by all that are equal.
    return reduction.amax.call(masked_fill(flat, above, -math.inf), None, False)


@method
@numpy_names
def median(input: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """Return the middle element, the lower one of two, all equals sharing its gradient; with `dim` the pair
    (values, indices), where the gradient goes to the index given. NaN where there is a NaN.

    With `dim`, IndexError for a dimension without elements.
    """
    return _median(input, dim, keepdim, median_return_type, False)


@method
@numpy_names
def nanmedian(input: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """Return `median` of the elements that are not NaN; NaN where all are."""
    return _median(input, dim, keepdim, nanmedian_return_type, True)


_INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")


@method
def quantile(
    input: Tensor, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear"
) -> Tensor:
    """Return what stands at the share `q` of the way from the least element to the greatest along `dim`, of
    all elements by default: a share, or a vector of them, which becomes the first dimension of the result.
    NaN where there is a NaN.

    interpolation: what is taken between two elements: the point at that share ("linear"), the "lower" one,
    the "higher", the "midpoint", or the "nearest". Raises RuntimeError for another one, for a dtype that is
    neither float32 nor float64, for no elements, for shares outside [0, 1], in another dtype or shape.
    """
    if input.dtype not in (dtypes.float32, dtypes.float64):
        raise RuntimeError("quantile() input tensor must be either float or double dtype")
    shares: Any = q if isinstance(q, Tensor) else as_element(q, input)
    if not input.numel():
        raise RuntimeError("quantile() input tensor must be non-empty")
    if shares.ndim > 1:
        raise RuntimeError("quantile() q must be a scalar or 1D tensor")
    if shares.dtype is not input.dtype:
        raise RuntimeError("quantile() q tensor must be same dtype as the input tensor")
    if interpolation not in _INTERPOLATIONS:
        raise RuntimeError(f"quantile() interpolation must be one of {', '.join(_INTERPOLATIONS)}")
    axis = 0 if dim is None else dimension(dim, input.ndim)
    if not ((shares >= 0) & (shares <= 1)).all():
        raise RuntimeError("quantile() q values must be in the range [0, 1]")
    rows = reshape(input, -1) if dim is None or not input.ndim else input.movedim(axis, -1)
    ordered, last = sort(rows, -1).values, rows.shape[-1] - 1
    unordered = comparison.isnan.call(rows.detach()).any(-1, True)  # then the last one is NaN
    places = where(unordered, float(last), reshape(shares, -1) * last)
    rounded = {"higher": places.ceil, "nearest": places.round}.get(interpolation, places.floor)
    below = rounded().detach().long()
    result = ordered.gather(-1, below)
    if interpolation in ("linear", "midpoint"):
        weights = places - below if interpolation == "linear" else places.detach() * 0 + 0.5
        result = result.lerp(ordered.gather(-1, places.detach().ceil().long()), weights)
    kept: tuple[int, ...] = tuple(rows.shape[:-1])
    if keepdim:
        kept = tuple([1 if dim is None or i == axis else n for i, n in enumerate(input.shape)])
    return result.movedim(-1, 0).reshape(*shares.shape, *kept)
