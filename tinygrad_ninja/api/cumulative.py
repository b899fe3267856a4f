"""Running sums, products and the like: each element folded with all before it.

All but the sums are computed by doubling: where each element is folded with the one 1 before it, then with
that 2 before it, then 4 and so on, it has met all of them after log₂ n steps. So zeros and infinities need no
case of their own, and neither do the derivatives.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..arrays import dtypes
from ..engine.promotion import common_dtype
from ..engine.tensor import Tensor
from ..ops import Operation, comparison, elementwise, logarithms, reduction
from ..ops import shape as shape_ops
from .arithmetic import masked_fill, where
from .creation import full_like
from .dimensions import dimension
from .extremes import max_return_type
from .forms import in_place, require_tensors
from .joining import cat
from .ranges import arange
from .rearranging import narrow
from .register import method, numpy_names
from .selection import gather


def _folded(x: Tensor, axis: int, fold: Callable[[Tensor, Tensor], Tensor], neutral: float) -> Tensor:
    """Return each element along an axis folded with all before it."""
    if not x.ndim:
        return shape_ops.clone.call(x, False)
    n, width = x.shape[axis], 1
    while width < n:
        nothing = full_like(narrow(x, axis, 0, width).detach(), neutral)
        x = fold(cat([nothing, narrow(x, axis, 0, n - width)], axis), x)
        width *= 2
    return shape_ops.clone.call(x, False) if n < 2 else x


def _scanned(name: str, x: Tensor, dim: int, dtype: Any) -> tuple[Tensor, int]:
    """Return the input of the function `name`, which folds each element with all before it, in the dtype of
    the result, and the dimension. NotImplementedError for bools."""
    axis = dimension(dim, x.ndim)
    if dtype is None and not x.dtype.is_floating_point:
        dtype = dtypes.int64
    if dtype is not None:
        x = x.to(dtype)
    if x.dtype is dtypes.bool and x.ndim and x.numel():
        raise NotImplementedError(f"{name} is not implemented for torch.bool")
    return x, axis


@in_place
@method
@numpy_names
def cumsum(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """Return the running sum along `dim`, of the input's shape, in `dtype`: int64 for integers and bools.

    NotImplementedError for the dtype bool.
    """
    x, axis = _scanned("cumsum", input, dim, dtype)
    if not x.ndim:
        return shape_ops.clone.call(x, False)
    total = reduction.cumsum.call(x, axis)
    return total if dtype is None else total.to(dtype)


@in_place
@method
@numpy_names
def cumprod(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """Return the running product outᵢ = x₀ · … · xᵢ along `dim`, of the input's shape, in `dtype`: int64 for
    integers and bools.

    NotImplementedError for the dtype bool.
    """
    return _folded(*_scanned("cumprod", input, dim, dtype), elementwise.mul.call, 1)


@method
def logaddexp(input: Tensor, other: Tensor) -> Tensor:
    """Return ln (eᵃ + eᵇ) = m + ln (1 + eⁿ⁻ᵐ), m the larger and n the other, broadcast: without overflow.

    Raises TypeError for anything but Tensors, NotImplementedError for integers.
    """
    require_tensors("logaddexp", input=input, other=other)
    dtype = common_dtype(input, other)
    if not dtype.is_floating_point:
        raise NotImplementedError(f"logaddexp is not implemented for {dtype}")
    input, other = input.to(dtype), other.to(dtype)
    first = comparison.ge.call(input, other) | comparison.isnan.call(input)
    large, small = where(first, input, other), where(first, other, input)
    infinite = comparison.eq.call(large, math.inf) & comparison.ne.call(small, math.inf)
    most = masked_fill(large.detach(), ~comparison.isfinite.call(large.detach()), 0.0)
    # e⁰ - 1, whose slope is that of eᵃ, where a is the larger: so the derivatives hold for equal ones, too.
    zero = logarithms.expm1.call(masked_fill(large, infinite, 0.0) - most)
    less = elementwise.exp.call(masked_fill(small, infinite, 0.0) - most)
    return where(infinite, large, most + logarithms.log1p.call(less + zero))


@method
@numpy_names
def logcumsumexp(input: Tensor, dim: int) -> Tensor:
    """Return outᵢ = ln (e^x₀ + … + e^xᵢ) along `dim`, of the input's shape, without overflow.

    NotImplementedError for integers.
    """
    axis = dimension(dim, input.ndim)
    if not input.dtype.is_floating_point:
        raise NotImplementedError(f"logcumsumexp is not implemented for {input.dtype}")
    return _folded(input, axis, logaddexp, -math.inf)


@method
def diff(input: Tensor, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None) -> Tensor:
    """Return the differences outᵢ = xᵢ₊₁ - xᵢ along `dim`, taken n times, of which each makes it one shorter.

    prepend, append: Tensors to put before and behind. Raises RuntimeError for no dimensions, or a negative n.
    """
    axis = dimension(dim, input.ndim)
    if not input.ndim:
        raise RuntimeError("diff expects input to be at least one-dimensional")
    if n < 0:
        raise RuntimeError(f"order must be non-negative but got {n}")
    if not n:
        return shape_ops.clone.call(input, False)
    parts = [x for x in (prepend, input, append) if x is not None]
    x = cat(parts, axis) if len(parts) > 1 else input
    for _ in range(min(n, x.shape[axis])):
        size = x.shape[axis] - 1
        after, before = narrow(x, axis, 1, size), narrow(x, axis, 0, size)
        x = (comparison.bitwise_xor if x.dtype is dtypes.bool else elementwise.sub).call(after, before)
    return shape_ops.clone.call(x, False) if x is input else x


class cummax_return_type(max_return_type):  # noqa: N801
    """What `cummax` gives, as `max(dim)`."""

    __slots__ = ()


class cummin_return_type(max_return_type):  # noqa: N801
    """What `cummin` gives, as `max(dim)`."""

    __slots__ = ()


def _running_extreme(entry: Operation, input: Tensor, dim: int, pair: type[max_return_type]) -> Any:
    axis, x = dimension(dim, input.ndim), input.detach()
    if not x.ndim:
        return pair(shape_ops.clone.call(input, False), x.new_zeros((), dtype=dtypes.int64))
    neutral = -math.inf if entry is comparison.maximum else math.inf
    if not x.dtype.is_floating_point:
        x, neutral = x.to(dtypes.int64), int(math.copysign(2**62, neutral))
    best = _folded(x, axis, entry.call, neutral)
    steps = arange(x.shape[axis], device=x.device).reshape(-1, *[1] * (x.ndim - 1 - axis))
    last = where(comparison.eq.call(x, best) | comparison.isnan.call(x), steps, 0)
    indices = _folded(last, axis, comparison.maximum.call, 0)
    return pair(gather(input, axis, indices), indices)


@method
@numpy_names
def cummax(input: Tensor, dim: int) -> cummax_return_type:
    """Return the pair (values, indices) of the largest so far along `dim`, the last of equals, to which the
    gradient goes."""
    return _running_extreme(comparison.maximum, input, dim, cummax_return_type)


@method
@numpy_names
def cummin(input: Tensor, dim: int) -> cummin_return_type:
    """Return the pair (values, indices) of the smallest so far along `dim`, the last of equals, to which the
    gradient goes."""
    return _running_extreme(comparison.minimum, input, dim, cummin_return_type)
