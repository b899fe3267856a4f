"""Reductions: along `dim` (an int, several, or None for all), the dimension kept as one of size 1 on
request."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from .. import dtypes
from ..kinds import kind_of
from ..ops import indexing
from ..ops import reduction as ops
from ..ops import shape as shape_ops
from ..ops.apply import as_floating
from ..ops.table import Operation
from ..tensors import Tensor, wrap
from .creation import linspace, tensor
from .elementwise import maximum as _maximum
from .elementwise import minimum as _minimum
from .register import dimension, dimensions, method, numpy_names


class max_return_type(NamedTuple):  # noqa: N801
    """What `max(dim)` gives: the values, and where along the dimension they stood."""

    values: Tensor
    indices: Tensor

    def __repr__(self) -> str:
        name = type(self).__name__.removesuffix("_return_type")
        return f"torch.return_types.{name}(\nvalues={self.values!r},\nindices={self.indices!r})"


class min_return_type(max_return_type):  # noqa: N801
    """What `min(dim)` gives, as `max(dim)`."""

    __slots__ = ()


def _floating(x: Tensor, name: str, dtype: Any) -> Tensor:
    if dtype is not None:
        x = x.to(dtype)
    if kind_of(x.array).is_integral(x.array):
        raise RuntimeError(
            f"{name}(): could not infer output dtype. Input dtype must be either a floating point or complex "
            f"dtype. Got: {x.dtype}"
        )
    return x


def _dims(input: Any, dim: Any) -> tuple[int, ...] | None:
    return None if dim is None else dimensions(dim, input.array.ndim)


@method
@numpy_names
def sum(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The sum, in `dtype`; of integers and bools it is int64 by default."""
    if dtype is not None:
        return sum(input.to(dtype), dim, keepdim).to(dtype)
    return ops.sum.call(input, _dims(input, dim), keepdim)


@method
@numpy_names
def mean(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The mean; NaN of nothing. RuntimeError for integers: give dtype=."""
    return ops.mean.call(_floating(input, "mean", dtype), _dims(input, dim), keepdim)


def _spread_of(
    entry: Operation, input: Tensor, dim: Any, unbiased: Any, correction: Any, keepdim: bool
) -> Tensor:
    if isinstance(dim, bool):  # var(unbiased)
        dim, unbiased = None, dim
    if correction is None:
        correction = 1 if unbiased is None else int(unbiased)
    return entry.call(_floating(input, entry.name, None), _dims(input, dim), correction, keepdim)


@method
@numpy_names
def var(
    input: Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None
) -> Tensor:
    """The variance over n - correction: over n - 1 by default, over n with unbiased=False or correction=0."""
    return _spread_of(ops.var, input, dim, unbiased, correction, keepdim)


@method
@numpy_names
def std(
    input: Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None
) -> Tensor:
    """The square root of `var`; its gradient is 0 where all elements are equal."""
    return _spread_of(ops.std, input, dim, unbiased, correction, keepdim)


@method
@numpy_names
def prod(input: Tensor, dim: int | None = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The product, in `dtype`; of integers and bools it is int64 by default."""
    if dtype is not None:
        return prod(input.to(dtype), dim, keepdim).to(dtype)
    return ops.prod.call(input, _dims(input, dim), keepdim)


def _not_empty(input: Tensor, axis: tuple[int, ...] | None, name: str) -> None:
    shape = input.array.shape
    for i in range(len(shape)) if axis is None else axis:
        if shape[i] == 0:
            raise (RuntimeError if axis is None else IndexError)(
                f"{name}(): there is nothing to reduce along dim {i} of an input of shape {tuple(shape)}"
            )


def _extreme(
    input: Tensor,
    dim: Any,
    keepdim: bool,
    entry: Operation,
    where: Operation,
    pair: type[max_return_type],
) -> Any:
    array = input.array
    if dim is None:
        if keepdim:
            raise TypeError(f"{entry.name[1:]}(): keepdim goes with dim, which is missing")
        _not_empty(input, None, entry.name[1:])
        return entry.call(input, None, False)
    axis = dimension(dim, array.ndim)
    if not array.ndim:
        return pair(shape_ops.clone(input, False), wrap(kind_of(array).zeros_like(array)).long())
    if not array.shape[axis]:
        _not_empty(input, (axis,), entry.name[1:])
    indices = where.function(kind_of(array), array, axis, True)
    values = indexing.gather.call(input, axis, indices)
    if not keepdim:
        kept = array.shape[:axis] + array.shape[axis + 1 :]
        view, indices = shape_ops.reshape.call(values, kept), indices.reshape(kept)
        values = wrap(view.array)  # in PyTorch a view of nothing, so that it may be detached in place
        values.edge = view.edge
    return tuple.__new__(pair, (values, wrap(indices)))  # its own `__new__` takes three times as long


@method
@numpy_names
def max(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The largest element, a tie sharing its gradient; with `dim` the pair (values, indices), where the
    gradient goes to the index given, the first of equals; with another Tensor `maximum`. Raises where there
    is none."""
    if isinstance(dim, Tensor) or other is not None:
        return _maximum(input, dim if other is None else other)
    return _extreme(input, dim, keepdim, ops.amax, ops.argmax, max_return_type)


@method
@numpy_names
def min(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The smallest element, as `max` gives the largest."""
    if isinstance(dim, Tensor) or other is not None:
        return _minimum(input, dim if other is None else other)
    return _extreme(input, dim, keepdim, ops.amin, ops.argmin, min_return_type)


@method
@numpy_names
def amax(input: Tensor, dim: Any = (), keepdim: bool = False) -> Tensor:
    """The largest along the dimensions; a tie shares the gradient evenly."""
    axis = dimensions(dim, input.array.ndim)
    _not_empty(input, axis, "amax")
    axis = tuple(range(input.array.ndim)) if axis is None else axis
    return ops.amax.call(input, axis, keepdim)


@method
@numpy_names
def amin(input: Tensor, dim: Any = (), keepdim: bool = False) -> Tensor:
    """The smallest along the dimensions; a tie shares the gradient evenly."""
    axis = dimensions(dim, input.array.ndim)
    _not_empty(input, axis, "amin")
    axis = tuple(range(input.array.ndim)) if axis is None else axis
    return ops.amin.call(input, axis, keepdim)


def _where_extreme(entry: Operation, input: Tensor, dim: Any, keepdim: bool) -> Tensor:
    if input.dtype is dtypes.bool:
        raise RuntimeError(f"{entry.name}(): does not support bool input")
    axis = None if dim is None else dimension(dim, input.array.ndim)
    _not_empty(
        input, tuple(range(input.array.ndim)) if axis is None or not input.array.ndim else (axis,), entry.name
    )
    if not input.array.ndim:
        axis = None
    return entry.call(wrap(input.array), axis, keepdim)


@method
@numpy_names
def argmax(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Where the largest stands, the first of equals: in the flattened Tensor, or along `dim`."""
    return _where_extreme(ops.argmax, input, dim, keepdim)


@method
@numpy_names
def argmin(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Where the smallest stands, the first of equals: in the flattened Tensor, or along `dim`."""
    return _where_extreme(ops.argmin, input, dim, keepdim)


def _truth(entry: Operation, input: Tensor, dim: Any, keepdim: bool) -> Tensor:
    nothing = isinstance(dim, (tuple, list)) and not dim  # is reduced then, unlike by the other reductions
    found = entry.call(input, () if nothing else _dims(input, dim), keepdim)
    return found.to(dtypes.uint8) if input.dtype is dtypes.uint8 else found


@method
@numpy_names
def all(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Whether all elements are true, or not zero: a bool, but a uint8 of a uint8."""
    return _truth(ops.all, input, dim, keepdim)


@method
@numpy_names
def any(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Whether any element is true, or not zero: a bool, but a uint8 of a uint8."""
    return _truth(ops.any, input, dim, keepdim)


@method
@numpy_names
def cumsum(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """The running sum along `dim`, in `dtype`; of integers and bools it is int64 by default."""
    if dtype is not None:
        return cumsum(input.to(dtype), dim).to(dtype)
    axis = dimension(dim, input.array.ndim)
    if input.array.ndim:
        return ops.cumsum.call(input, axis)
    return shape_ops.clone.call(input if input.dtype.is_floating_point else input.to(dtypes.int64), False)


@method
@numpy_names
def logsumexp(input: Tensor, dim: Any, keepdim: bool = False) -> Tensor:
    """ln Σ eˣ, without overflow."""
    input = input if input.dtype.is_floating_point else as_floating(input)
    return ops.logsumexp.call(input, dimensions(dim, input.array.ndim), keepdim)


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
    """eˣ / Σ eˣ along `dim`."""
    return _along(ops.softmax, input, dim, dtype)


@method
def log_softmax(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """ln softmax along `dim`."""
    return _along(ops.log_softmax, input, dim, dtype)


@method
@numpy_names
def norm(input: Tensor, p: Any = 2, dim: Any = None, keepdim: bool = False) -> Tensor:
    """The Euclidean norm √Σx²; its gradient at 0 is 0. NotImplementedError for another p than 2."""
    if p not in (2, 2.0, "fro"):
        raise NotImplementedError(
            f"norm with p={p!r} is not offered; the nearest thing is p=2, or abs() and sum()"
        )
    return ops.norm.call(_floating(input, "norm", None), _dims(input, dim), keepdim)


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
    """How many elements lie in each bin, or of what weight they are together; no gradient goes through.

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
