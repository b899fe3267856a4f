"""Spread, softmax, histograms."""

from __future__ import annotations

import math
import warnings
from typing import Any, NamedTuple

import numpy as np

from ..arrays import dtypes
from ..engine.promotion import as_floating
from ..engine.tensor import Tensor
from ..ops import comparison, composed
from ..ops.operation import Operation
from .arithmetic import masked_fill
from .creation import tensor
from .dimensions import dimension, dimensions
from .forms import require_tensors
from .operands import as_element
from .ranges import linspace
from .register import method, numpy_names
from .return_types import shown
from .sums import axes_of, floating_input, mean, sum


@method
@numpy_names
def nansum(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Return the sum, as `sum`, of the elements that are not NaN."""
    return sum(_without_nan(input), dim, keepdim, dtype=dtype)


@method
@numpy_names
def nanmean(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Return the mean, as `mean`, of what is not NaN; NaN for no elements. RuntimeError for integers."""
    input = floating_input(input, "nanmean", None)
    numbers = comparison.logical_not.call(comparison.isnan.call(input))
    return sum(_without_nan(input), dim, keepdim, dtype=dtype) / sum(numbers.detach(), dim, keepdim)


def _without_nan(x: Tensor) -> Tensor:
    """Return x with 0 for each NaN."""
    return masked_fill(x, comparison.isnan.call(x), 0) if x.dtype.is_floating_point else x


def _spread_of(
    entry: Operation, input: Tensor, dim: Any, unbiased: Any, correction: Any, keepdim: bool
) -> Tensor:
    if isinstance(dim, bool):  # var(unbiased)
        dim, unbiased = None, dim
    if correction is None:
        correction = 1 if unbiased is None else int(unbiased)
    input, axes = floating_input(input, entry.name, None), axes_of(input, dim)
    several = math.prod(input.shape if axes is None else (input.shape[axis] for axis in axes))
    if several <= correction:
        warnings.warn(
            f"{entry.name}() of {several} elements, with a correction of {correction}, has no degrees of "
            f"freedom: give more elements, or a smaller correction",
            stacklevel=4,
        )
    return entry.call(input, axes, correction, keepdim)


@method
@numpy_names
def var(
    input: Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None
) -> Tensor:
    """Return the variance along `dim`, of all elements by default: the sum of the squared deviations over
    n - correction, which is n - 1 by default, n with unbiased=False or correction=0.

    The result has no `dim`, or size 1 there with keepdim. Raises RuntimeError for integers.
    """
    return _spread_of(composed.var, input, dim, unbiased, correction, keepdim)


@method
@numpy_names
def std(
    input: Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None
) -> Tensor:
    """Return the square root of the variance, as `var`; its gradient is 0 where all elements are equal."""
    return _spread_of(composed.std, input, dim, unbiased, correction, keepdim)


@method
@numpy_names
def var_mean(
    input: Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None
) -> tuple[Tensor, Tensor]:
    """Return `var` and `mean` along `dim`."""
    return _beside_mean(composed.var, input, dim, unbiased, correction, keepdim)


@method
@numpy_names
def std_mean(
    input: Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None
) -> tuple[Tensor, Tensor]:
    """Return `std` and `mean` along `dim`."""
    return _beside_mean(composed.std, input, dim, unbiased, correction, keepdim)


def _beside_mean(
    entry: Operation, input: Tensor, dim: Any, unbiased: Any, correction: Any, keepdim: bool
) -> tuple[Tensor, Tensor]:
    spread = _spread_of(entry, input, dim, unbiased, correction, keepdim)
    return spread, mean(input, None if isinstance(dim, bool) else dim, keepdim)


@method
@numpy_names
def logsumexp(input: Tensor, dim: Any, keepdim: bool = False) -> Tensor:
    """Return ln Σ eˣ along `dim`, as `sum`, without overflow."""
    input = as_floating(input)
    return composed.logsumexp.call(input, dimensions(dim, input.array.ndim), keepdim)


def _along(entry: Operation, input: Tensor, dim: int, dtype: Any) -> Tensor:
    if dtype is not None:
        input = input.to(dtype)
    if not input.dtype.is_floating_point:
        raise NotImplementedError(
            f"{entry.name} is not implemented for {input.dtype}: give it floating point numbers"
        )
    axis = dimension(dim, input.array.ndim)
    return entry.call(input, (axis,) if input.array.ndim else None)


@method
@numpy_names
def softmax(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """Return eˣ / Σ eˣ along `dim`, of the input's shape."""
    return _along(composed.softmax, input, dim, dtype)


@method
@numpy_names
def log_softmax(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """Return ln softmax along `dim`, of the input's shape."""
    return _along(composed.log_softmax, input, dim, dtype)


@method
def cov(input: Tensor, *, correction: int = 1, fweights: Any = None, aweights: Any = None) -> Tensor:
    """Return the covariances of the rows, one variable each: Σ w (x - mean) (y - mean) / (Σ w - correction),
    (n, m) to (n, n); of a vector, one variable, its variance.

    fweights: how often each column counts, integers; aweights: how much, floats: then correction counts
    Σ w · aweights / Σ w times. Raises RuntimeError for more dimensions, and weights of another shape.
    """
    if input.ndim > 2:
        raise RuntimeError(
            f"cov(): expected input to have two or fewer dimensions but got one with {input.ndim} dimensions"
        )
    if input.dtype is dtypes.bool:
        raise RuntimeError("cov(): bool dtype is not supported for input")
    rows = input.reshape(1, -1) if input.ndim < 2 else input
    weights = None
    for name, given, floating in (("fweights", fweights, False), ("aweights", aweights, True)):
        if given is None:
            continue
        require_tensors("cov", **{name: given})
        if given.ndim > 1 or given.numel() != rows.shape[1]:
            raise RuntimeError(f"cov(): expected {name} to be a vector of {rows.shape[1]} numbers")
        if given.dtype.is_floating_point is not floating or given.dtype is dtypes.bool:
            raise RuntimeError(f"cov(): expected {name} to have {'float' if floating else 'integral'} dtype")
        if given.numel() and bool((given.detach() < 0).any()):
            raise RuntimeError(f"cov(): {name} cannot be negative")
        weights = given if weights is None else weights * given
    if weights is None:
        total: Any = rows.shape[1]
        means = rows.sum(1, True) / total if total else rows.sum(1, True) * math.nan
        freedom = total - correction
        weighted = centred = rows - means
    else:
        total = weights.sum()
        if rows.shape[1] and float(total) == 0:
            raise RuntimeError("cov(): weights sum to zero, can't be normalized")
        centred = rows - ((rows * weights).sum(1) / total).unsqueeze(1)
        counted = (weights * aweights).sum() / total if aweights is not None else 1
        freedom = total - correction * counted
        weighted = centred * weights
    freedom = freedom.clamp(min=0) if isinstance(freedom, Tensor) else as_element(max(freedom, 0), centred)
    return ((weighted @ centred.mT) / freedom).squeeze()


@method
def corrcoef(input: Tensor) -> Tensor:
    """Return the correlations of the rows: `cov` over both deviations, within [-1, 1]; (n, m) to (n, n).

    Raises RuntimeError for more than two dimensions.
    """
    if input.ndim > 2:
        raise RuntimeError(f"corrcoef(): expected input to have two or fewer dimensions, not {input.ndim}")
    covariance = cov(input)
    if not covariance.ndim:
        return covariance / covariance
    deviation = covariance.diag().sqrt()
    return (covariance / deviation.unsqueeze(1) / deviation.unsqueeze(0)).clip(-1, 1)


class histogram_return_type(NamedTuple):  # noqa: N801
    """What `histogram` gives: what is in each bin, and the edges of the bins, one more."""

    hist: Tensor
    bin_edges: Tensor

    def __repr__(self) -> str:
        return shown(self)


@method
def histogram(
    input: Tensor, bins: Any = 100, *, range: Any = None, weight: Any = None, density: bool = False
) -> histogram_return_type:
    """Return how many elements lie in each bin, or their weight together; no gradient goes through.

    bins: how many of equal width between the two ends of `range`, by default the least and the greatest
        element; or their edges, a vector. An element on an edge counts to the right, on the last to the left.
    density: divide so that the area, hist times the widths of the bins, is 1.

    NotImplementedError for integers, RuntimeError for ends that are not finite or the wrong way round.
    """
    if not input.dtype.is_floating_point:
        raise NotImplementedError(f"histogram is not implemented for {input.dtype}: call float() first")
    array = input.numpy(force=True)
    if not isinstance(bins, Tensor):
        if bins <= 0:
            raise RuntimeError(f"histogram(): bins must be > 0, but got {bins}")
        low, high = range or ((array.min().item(), array.max().item()) if array.size else (0.0, 1.0))
        if not (math.isfinite(low) and math.isfinite(high) and low <= high):
            raise RuntimeError(
                f"histogram(): the range [{low}, {high}] is not finite, or its ends are exchanged"
            )
        if low == high:
            low, high = low - 0.5, high + 0.5
        bins = linspace(low, high, bins + 1, dtype=input.dtype, device=input.device)
    weights = None if weight is None else weight.numpy(force=True)
    with np.errstate(invalid="ignore"):  # the density of nothing is NaN
        hist, _ = np.histogram(array, bins.numpy(force=True), weights=weights, density=density)
    return histogram_return_type(tensor(hist, dtype=input.dtype, device=input.device), bins)


@method
def histc(input: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """Return how many elements lie in each of `bins` bins of equal width from `min` to `max`, or where these
    are equal from the least to the greatest element, in the shape (bins,). No gradient goes through.

    NotImplementedError for integers, RuntimeError for ends that are not finite or the wrong way round.
    """
    return histogram(input, bins, range=(min, max) if min != max else None).hist
