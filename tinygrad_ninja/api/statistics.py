"""Spread, norms, softmax, histograms."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ..engine.promotion import as_floating
from ..engine.tensor import Tensor
from ..ops import composed
from ..ops.operation import Operation
from .creation import linspace, tensor
from .dimensions import dimension, dimensions
from .register import method, numpy_names
from .sums import axes_of, floating_input


def _spread_of(
    entry: Operation, input: Tensor, dim: Any, unbiased: Any, correction: Any, keepdim: bool
) -> Tensor:
    if isinstance(dim, bool):  # var(unbiased)
        dim, unbiased = None, dim
    if correction is None:
        correction = 1 if unbiased is None else int(unbiased)
    return entry.call(floating_input(input, entry.name, None), axes_of(input, dim), correction, keepdim)


@method
@numpy_names
def var(
    input: Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None
) -> Tensor:
    """Return the variance over n - correction: over n - 1 by default, over n with unbiased=False or
    correction=0. RuntimeError for integers."""
    return _spread_of(composed.var, input, dim, unbiased, correction, keepdim)


@method
@numpy_names
def std(
    input: Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None
) -> Tensor:
    """Return the square root of `var`; its gradient is 0 where all elements are equal."""
    return _spread_of(composed.std, input, dim, unbiased, correction, keepdim)


@method
@numpy_names
def logsumexp(input: Tensor, dim: Any, keepdim: bool = False) -> Tensor:
    """Return ln Σ eˣ along `dim`, without overflow."""
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
def softmax(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """Return eˣ / Σ eˣ along `dim`, of the input's shape."""
    return _along(composed.softmax, input, dim, dtype)


@method
def log_softmax(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """Return ln softmax along `dim`, of the input's shape."""
    return _along(composed.log_softmax, input, dim, dtype)


@method
@numpy_names
def norm(input: Tensor, p: Any = 2, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Return the Euclidean norm √Σx²; its gradient at 0 is 0. NotImplementedError for another p than 2."""
    if p not in (2, 2.0, "fro"):
        raise NotImplementedError(
            f"norm with p={p!r} is not offered; the nearest thing is p=2, or abs() and sum()"
        )
    return composed.norm.call(floating_input(input, "norm", None), axes_of(input, dim), keepdim)


class histogram_return_type(NamedTuple):  # noqa: N801
    """What `histogram` gives: what is in each bin, and the edges of the bins, one more."""

    hist: Tensor
    bin_edges: Tensor

    def __repr__(self) -> str:
        return f"torch.return_types.histogram(\nhist={self.hist!r},\nbin_edges={self.bin_edges!r})"


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
