"""Operations that make one number of many: along the dimensions `axis` (a tuple, None for all) of the
input."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from ..kinds import either
from . import comparison, elementwise
from .facts import Category
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


def _var(xp: Any, x: Any, axis: Any, correction: float, keepdims: bool) -> Any:
    difference = x - mean.forward(xp, x, axis, True)
    freedom = size(x, axis) - correction
    total = xp.sum(difference * difference, axis, keepdims)
    return total / freedom if freedom > 0 else total * math.inf  # 0 · ∞: no spread can be told from one value


def _var_slope(xp: Any, dout: Any, x: Any, axis: Any, correction: float, keepdims: bool) -> Any:
    freedom = size(x, axis) - correction
    scale = 2 / freedom if freedom > 0 else math.inf
    return scale * spread(xp, dout, x, axis, keepdims) * (x - mean.forward(xp, x, axis, True))


@reducing(
    named=True,
    x=_var_slope,
)
def var(xp: Any, x: Any, /, axis: Any, correction: float, keepdims: bool) -> Any:
    """out = Σ (x - mean)² / (n - correction);  dx = dout · 2 (x - mean) / (n - correction)."""
    return _var(xp, x, axis, correction, keepdims)


def _std_slope(xp: Any, dout: Any, out: Any, x: Any, axis: Any, correction: float, keepdims: bool) -> Any:
    flat = out == 0  # of equal numbers the deviation has a kink: 0, as in torch
    dvar = xp.where(flat, 0.0, dout / xp.where(flat, 1.0, 2 * out))
    return _var_slope(xp, dvar, x, axis, correction, keepdims)


def _std_or_0(xp: Any, *given: Any) -> Any:
    """The deviation, and where it is 0 a constant: there the rule sends back 0."""
    out = std.on(xp, *given)
    return xp.where(out == 0, 0.0, out)


@reducing(
    named=True,
    side=_std_or_0,
    x=_std_slope,
)
def std(xp: Any, x: Any, /, axis: Any, correction: float, keepdims: bool) -> Any:
    """out = √var;  dx = dout · (x - mean) / (out · (n - correction)), 0 where out is 0."""
    return xp.sqrt(_var(xp, x, axis, correction, keepdims))


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
    folds=elementwise.mul,
    formula=(r"\prod", "∏"),
    x=_prod_slope,
)
def prod(xp: Any, x: Any, /, axis: Any, keepdims: bool) -> Any:
    """out = Π x;  dx = dout · the product of all the others."""
    return xp.prod(x, axis, keepdims)


@operation(
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


def _largest(xp: Any, x: Any, axis: Any) -> Any:
    """The largest along axis, which is subtracted before exp so that nothing overflows; 0 of no elements."""
    return xp.max(x, axis, True) if size(x, axis) else 0


@reducing(
    floating=True,
    named=True,
    x=lambda xp, dout, out, x, axis, keepdims: (
        spread(xp, dout, x, axis, keepdims) * xp.exp(x - spread(xp, out, x, axis, keepdims))
    ),
)
def logsumexp(xp: Any, x: Any, /, axis: Any, keepdims: bool) -> Any:
    """out = ln Σ eˣ, the largest x taken out first;  dx = dout · e^(x - out), the softmax."""
    m = _largest(xp, x, axis)
    m = xp.where(xp.isfinite(m), m, 0.0) if size(x, axis) else m  # ∞ - ∞ would be NaN
    out = xp.log(xp.sum(xp.exp(x - m), axis, True)) + m
    return out if keepdims else xp.sum(out, axis, False)  # along dimensions of one: drops them


@operation(
    contiguous=True,
    named=True,
    x=lambda xp, dout, out, axis: dout * out - out * xp.sum(dout * out, axis, True),
)
def softmax(xp: Any, x: Any, /, axis: Any) -> Any:
    """out = eˣ / Σ eˣ;  dx = out · (dout - Σ dout · out)."""
    e = xp.exp(x - _largest(xp, x, axis))
    return e / xp.sum(e, axis, True)


@operation(
    contiguous=True,
    torch_name="LogSoftmaxBackward0",
    named=True,
    x=lambda xp, dout, out, axis: dout - xp.exp(out) * xp.sum(dout, axis, True),
)
def log_softmax(xp: Any, x: Any, /, axis: Any) -> Any:
    """out = x - ln Σ eˣ;  dx = dout - softmax · Σ dout."""
    shifted = x - _largest(xp, x, axis)
    return shifted - xp.log(xp.sum(xp.exp(shifted), axis, True))


def _norm_or_0(xp: Any, *given: Any) -> Any:
    """The norm, and where it is 0 a constant: there the rule sends back 0."""
    out = norm.on(xp, *given)
    return xp.where(out == 0, 0.0, out)


@reducing(
    named=True,
    side=_norm_or_0,
    x=lambda xp, dout, out, x, axis, keepdims: (
        spread(xp, xp.where(out == 0, 0.0, dout / out), x, axis, keepdims) * x
    ),
)
def norm(xp: Any, x: Any, /, axis: Any, keepdims: bool) -> Any:
    """out = √(Σ x²);  dx = dout · x / out, and 0 where out is 0."""
    return xp.sqrt(xp.sum(x * x, axis, keepdims))


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
