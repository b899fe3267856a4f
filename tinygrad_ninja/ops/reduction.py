"""Operations that make one number of many: along the dimensions `axis` (a tuple, None for all) of the
input."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from ..kinds import either
from . import comparison, elementwise
from .facts import Category, Precision
from .table import operation

reducing = partial(operation, category=Category.REDUCTION, contiguous=True)


def spread(xp: Any, d: Any, like: Any, axis: tuple[int, ...] | None, keepdims: bool) -> Any:
    """`d`, reduced from the shape of `like` along `axis`, repeated back to that shape."""
    if not keepdims and axis is not None and d.ndim:
        d = xp.reshape(d, _kept(like.shape, axis))
    return xp.broadcast_to(d, like.shape)


def _kept(shape: tuple[int, ...], axis: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(1 if i in axis else n for i, n in enumerate(shape))


def size(like: Any, axis: tuple[int, ...] | None) -> int:
    """How many numbers went into each result."""
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
    return total / n if n else total * math.nan  # the mean of nothing


def _share_slope(xp: Any, dout: Any, out: Any, x: Any, axis: Any, keepdims: bool) -> Any:
    largest = spread(xp, out, x, axis, keepdims)
    wins = x == largest
    if axis is None:  # where PyTorch lets the NaNs share too
        wins = wins | ((x != x) & (largest != largest))
    winners = xp.where(wins, xp.ones_like(x), 0.0)
    count = xp.sum(winners, axis, keepdims)
    return spread(xp, dout / count, x, axis, keepdims) * winners


def _mean_of_winners(extreme: str, xp: Any, x: Any, axis: Any, keepdims: bool) -> Any:
    """The mean of those that are equal to the largest, or to the smallest."""
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


def _product_of_others(xp: Any, x: Any) -> Any:
    """For each element of a vector the product of all the others, without a division, so that zeros are
    right.

    Products of everything before, and of everything after, each by doubling: after step k the window is 2ᵏ.
    """
    n = x.shape[0]

    def before(v: Any) -> Any:
        out = xp.concat([xp.ones_like(v[:1]), v[:-1]], axis=0)
        width = 1
        while width < n:
            out = out * xp.concat([xp.ones_like(out[:width]), out[:-width]], axis=0)
            width *= 2
        return out

    return before(x) * xp.flip(before(xp.flip(x, axis=(0,))), axis=(0,))


def _prod_slope(xp: Any, dout: Any, out: Any, x: Any, axis: Any, keepdims: bool) -> Any:
    def divided() -> Any:
        return spread(xp, dout * out, x, axis, keepdims) / x

    def multiplied() -> Any:
        return _multiplied(xp, dout, x, axis, keepdims)

    return either(xp.all(x != 0, None, False), divided, multiplied)


def _multiplied(xp: Any, dout: Any, x: Any, axis: Any, keepdims: bool) -> Any:
    """dout times the product of the others, also where some are zero."""
    axes = tuple(range(x.ndim)) if axis is None else axis
    rest = tuple(i for i in range(x.ndim) if i not in axes)
    order = (*axes, *rest)
    front = xp.permute_dims(x, order)
    others = _product_of_others(
        xp, xp.reshape(front, (size(x, axes), -1) if front.size else (size(x, axes), 0))
    )
    back = tuple(order.index(i) for i in range(x.ndim))
    return spread(xp, dout, x, axis, keepdims) * xp.permute_dims(xp.reshape(others, front.shape), back)


@reducing(
    autocast=Precision.FLOAT32,
    folds=elementwise.mul,
    formula=(r"\prod", "∏"),
    x=_prod_slope,
)
def prod(xp: Any, x: Any, /, axis: Any, keepdims: bool) -> Any:
    """out = Π x;  dx = dout · the product of all the others."""
    return xp.prod(x, axis, keepdims)


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
