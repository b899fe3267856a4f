"""Operations that reduce many numbers to one: along the dimensions `axis` (a tuple, None for all) of the
input."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from . import comparison, elementwise
from .facts import Category, Precision
from .operation import operation

reducing = partial(operation, category=Category.REDUCTION, contiguous=True)


def spread(xp: Any, d: Any, like: Any, axis: tuple[int, ...] | None, keepdims: bool) -> Any:
    """Repeat `d`, which was reduced from the shape of `like` along `axis`, back to that shape."""
    if not keepdims and axis is not None and d.ndim:
        d = xp.reshape(d, kept(like.shape, axis))
    return xp.broadcast_to(d, like.shape)


def kept(shape: tuple[int, ...], axis: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape with the dimensions of `axis` reduced to size 1."""
    return tuple(1 if i in axis else n for i, n in enumerate(shape))


def size(like: Any, axis: tuple[int, ...] | None) -> int:
    """Return how many numbers are reduced to each result."""
    return math.prod(like.shape if axis is None else map(like.shape.__getitem__, axis))


@reducing(
    autocast=Precision.FLOAT32_ON_CUDA,
    folds=elementwise.add,
    formula=(r"\sum", "∑"),
    x=lambda xp, dout, x_like, axis, keepdims: spread(xp, dout, x_like, axis, keepdims),
)
def sum(xp: Any, x: Any, /, axis: tuple[int, ...] | None, keepdims: bool) -> Any:
    """out = Σ x;  dx = dout, repeated."""
    return xp.sum(x, axis, keepdims)


@reducing(
    named=True,
    x=lambda xp, dout, x_like, axis, keepdims: spread(xp, dout / size(x_like, axis), x_like, axis, keepdims),
)
def mean(xp: Any, x: Any, /, axis: tuple[int, ...] | None, keepdims: bool) -> Any:
    """out = Σ x / n;  dx = dout / n, repeated."""
    n = size(x, axis)
    total = xp.sum(x, axis, keepdims)
    return total / n if n else total * math.nan  # the mean of no elements is NaN


def _share_slope(xp: Any, dout: Any, out: Any, x: Any, axis: Any, keepdims: bool) -> Any:
    """Return the gradient of a maximum or minimum: shared evenly among the elements that are equal to it."""
    largest = spread(xp, out, x, axis, keepdims)
    wins = x == largest
    if axis is None:  # then the NaNs share too, and of a NaN or ∞ the others get 0, as in PyTorch
        wins = wins | ((x != x) & (largest != largest))
    winners = xp.where(wins, xp.ones_like(x), 0.0)
    share = spread(xp, dout / xp.sum(winners, axis, keepdims), x, axis, keepdims)
    return xp.where(wins, share, 0.0) if axis is None else share * winners


def _mean_of_winners(extreme: str, xp: Any, x: Any, axis: Any, keepdims: bool) -> Any:
    """Return the mean of the elements that are equal to the largest, or to the smallest."""
    wins = x == getattr(xp, extreme)(x, axis, True)
    count = xp.sum(xp.where(wins, xp.ones_like(x), 0.0), axis, keepdims)
    return xp.sum(xp.where(wins, x, 0.0), axis, keepdims) / count


@reducing(
    folds=comparison.maximum,
    standard="max",
    formula=(r"\max", "max"),
    side=partial(_mean_of_winners, "max"),
    x=_share_slope,
)
def amax(xp: Any, x: Any, /, axis: Any, keepdims: bool) -> Any:
    """out = the largest;  dx = dout shared evenly among those equal to it. Of a NaN there are none: dx = NaN;
    but with `axis` None, as in `max()`, the NaNs share."""
    return xp.max(x, axis, keepdims)


@reducing(
    folds=comparison.minimum,
    standard="min",
    formula=(r"\min", "min"),
    side=partial(_mean_of_winners, "min"),
    x=_share_slope,
)
def amin(xp: Any, x: Any, /, axis: Any, keepdims: bool) -> Any:
    """out = the smallest, as `amax`."""
    return xp.min(x, axis, keepdims)


@operation(
    autocast=Precision.FLOAT32_ON_CUDA,
    contiguous=True,
    category=Category.SCAN,
    folds=elementwise.add,
    standard="cumulative_sum",
    in_numpy="np.cumsum({x}, {axis})",
    x=lambda xp, dout, axis: xp.flip(xp.cumulative_sum(xp.flip(dout, axis=(axis,)), axis), axis=(axis,)),
)
def cumsum(xp: Any, x: Any, /, axis: int) -> Any:
    """outᵢ = x₀ + … + xᵢ;  dxᵢ = doutᵢ + … + doutₙ₋₁."""
    return xp.cumulative_sum(x, axis)


@reducing(
    named=True,
    light=True,
)
def argmax(xp: Any, x: Any, /, axis: int | None, keepdims: bool) -> Any:
    """out = where the largest stands, the first of equals; `axis` is one dimension or None."""
    return xp.argmax(x, axis, keepdims)


@reducing(
    named=True,
    light=True,
)
def argmin(xp: Any, x: Any, /, axis: int | None, keepdims: bool) -> Any:
    """out = where the smallest stands, the first of equals; `axis` is one dimension or None."""
    return xp.argmin(x, axis, keepdims)


@reducing(folds=comparison.bitwise_and, predicate=True)
def all(xp: Any, x: Any, /, axis: Any, keepdims: bool) -> Any:
    """out = whether all are true, or not zero."""
    return xp.all(x, axis, keepdims)


@reducing(folds=comparison.bitwise_or, predicate=True)
def any(xp: Any, x: Any, /, axis: Any, keepdims: bool) -> Any:
    """out = whether any is true, or not zero."""
    return xp.any(x, axis, keepdims)
