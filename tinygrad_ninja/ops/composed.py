"""Reductions that are composed of others: variance, norm, softmax."""

from __future__ import annotations

import math
from typing import Any

from ..arrays.dispatch import array_dtype
from ..arrays.dtypes import float64
from .facts import Precision
from .operation import operation
from .reduction import mean, reducing, size, spread


def over_freedom(x: Any, n: int, correction: float) -> Any:
    """Return x / (n - correction); where that is not positive, x · ∞: a single value has no variance (0 · ∞ =
    NaN)."""
    return x / (n - correction) if n > correction else x * math.inf


def _var(xp: Any, x: Any, axis: Any, correction: float, keepdims: bool) -> Any:
    """Return the variance over n - correction."""
    difference = x - mean.forward(xp, x, axis, True)
    return over_freedom(xp.sum(difference * difference, axis, keepdims), size(x, axis), correction)


def _var_slope(xp: Any, dout: Any, x: Any, axis: Any, correction: float, keepdims: bool) -> Any:
    """Return the gradient of a variance."""
    scale = over_freedom(2, size(x, axis), correction)
    return scale * spread(xp, dout, x, axis, keepdims) * (x - mean.forward(xp, x, axis, True))


@reducing(
    named=True,
    x=_var_slope,
)
def var(xp: Any, x: Any, /, axis: Any, correction: float, keepdims: bool) -> Any:
    """out = Σ (x - mean)² / (n - correction);  dx = dout · 2 (x - mean) / (n - correction)."""
    return _var(xp, x, axis, correction, keepdims)


def _std_slope(xp: Any, dout: Any, out: Any, x: Any, axis: Any, correction: float, keepdims: bool) -> Any:
    """Return the gradient of a deviation."""
    flat = out == 0  # for equal numbers the deviation has a kink: 0, as in torch
    dvar = xp.where(flat, 0.0, dout / xp.where(flat, 1.0, 2 * out))
    return _var_slope(xp, dvar, x, axis, correction, keepdims)


def _std_or_0(xp: Any, *given: Any) -> Any:
    """Return the deviation, but a constant where it is 0: there the rule sends back 0."""
    out = std.on(xp, *given)
    return xp.where(out == 0, 0.0, out)


@reducing(
    named=True,
    side=_std_or_0,
    x=_std_slope,
)
def std(xp: Any, x: Any, /, axis: Any, correction: float, keepdims: bool) -> Any:
    """out = √var;  dx = dout · (x - mean) / (out · (n - correction)), 0 where out is 0.

    In float32 the variance, whose range is the square of that of x, is computed in float64, as in PyTorch.
    """
    if not hasattr(x, "dtype") or not str(x.dtype).endswith("float32"):
        return xp.sqrt(_var(xp, x, axis, correction, keepdims))
    wide = xp.astype(x, array_dtype(x, float64))
    return xp.astype(xp.sqrt(_var(xp, wide, axis, correction, keepdims)), x.dtype)


def _largest(xp: Any, x: Any, axis: Any) -> Any:
    """Return the largest along axis, which is subtracted before exp so that nothing overflows; 0 if there are
    no elements."""
    return xp.max(x, axis, True) if size(x, axis) else 0


@reducing(
    autocast=Precision.FLOAT32_ON_CUDA,
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
    return out if keepdims else xp.sum(out, axis, False)  # a sum along dimensions of size 1 drops them


@operation(
    autocast=Precision.FLOAT32_ON_CUDA,
    contiguous=True,
    named=True,
    x=lambda xp, dout, out, axis: dout * out - out * xp.sum(dout * out, axis, True),
)
def softmax(xp: Any, x: Any, /, axis: Any) -> Any:
    """out = eˣ / Σ eˣ;  dx = out · (dout - Σ dout · out)."""
    e = xp.exp(x - _largest(xp, x, axis))
    return e / xp.sum(e, axis, True)


@operation(
    autocast=Precision.FLOAT32_ON_CUDA,
    contiguous=True,
    torch_name="LogSoftmaxBackward0",
    named=True,
    x=lambda xp, dout, out, axis: dout - xp.exp(out) * xp.sum(dout, axis, True),
)
def log_softmax(xp: Any, x: Any, /, axis: Any) -> Any:
    """out = x - ln Σ eˣ;  dx = dout - softmax · Σ dout."""
    shifted = x - _largest(xp, x, axis)
    return shifted - xp.log(xp.sum(xp.exp(shifted), axis, True))


def _norm_slope(xp: Any, dout: Any, out: Any, x: Any, axis: Any, keepdims: bool) -> Any:
    """Return the gradient of a norm. Where that is 0 the second derivative is NaN, as in PyTorch."""
    length = spread(xp, out, x, axis, keepdims)
    return spread(xp, dout, x, axis, keepdims) * xp.where(length == 0, 0.0, x / length)


def _norm_or_0(xp: Any, *given: Any) -> Any:
    """Return the norm, but a constant where it is 0: there the rule sends back 0."""
    out = norm.on(xp, *given)
    return xp.where(out == 0, 0.0, out)


@reducing(
    autocast=Precision.FLOAT32_ON_CUDA,
    named=True,
    side=_norm_or_0,
    x=_norm_slope,
)
def norm(xp: Any, x: Any, /, axis: Any, keepdims: bool) -> Any:
    """out = √(Σ x²);  dx = dout · x / out, and 0 where out is 0."""
    return xp.sqrt(xp.sum(x * x, axis, keepdims))
