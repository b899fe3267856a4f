"""Chains of operations whose rule is derived with pen and paper, each as one operation."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays.dispatch import sum_to
from .composed import over_freedom, softmax
from .elementwise import pointwise
from .facts import Precision
from .logarithms import beside
from .operation import operation
from .reduction import size


def cross_entropy_slope(xp: Any, dout: Any, logits: Any, onehot: Any) -> Any:
    """Return the gradient of the logits: the softmax, less 1 at the right class, over n."""
    probs = softmax.on(xp, logits, (1,))
    return (probs - onehot) * (dout / logits.shape[0])


def _by_target(xp: Any, dout: Any, logits: Any, target: Any, rows: Any) -> Any:
    ones = xp.ones_like(xp.index(logits, (rows, target)))
    return cross_entropy_slope(xp, dout, logits, xp.scatter(ones, logits.shape, (rows, target)))


@operation(
    autocast=Precision.FLOAT32,
    torch_name="NllLossBackward0",
    named=True,
    in_torch="torch.nn.functional.cross_entropy({logits}, {target})",
    logits=_by_target,
)
def cross_entropy(xp: Any, logits: Any, /, target: Any, rows: Any) -> Any:
    """out = the mean over the n rows of -log softmax(logits)[row, target[row]];  dlogits = dout · (softmax -
    onehot) / n.

    logits: (n, classes); target: (n) integers; rows: 0 … n-1.
    """
    shifted = logits - xp.max(logits, (1,), True)
    picked = xp.index(shifted, (rows, target))
    losses = xp.log(xp.sum(xp.exp(shifted), (1,), False)) - picked
    return xp.sum(losses, None, False) / logits.shape[0]


def normalized(xp: Any, x: Any, axis: tuple[int, ...], eps: float, correction: float) -> tuple[Any, Any]:
    """Return x̂ = (x - mean) / √(var + eps), with the variance over n - correction, and the factor 1 / √(var +
    eps)."""
    n = size(x, axis)
    difference = x - xp.sum(x, axis, True) / n
    variance = over_freedom(xp.sum(difference * difference, axis, True), n, correction)
    inverse_std = xp.pow(variance + eps, -0.5)
    return difference * inverse_std, inverse_std


def normalized_slope(
    xp: Any, dout: Any, x: Any, weight: Any, axis: tuple[int, ...], eps: float, correction: float
) -> Any:
    """Return the gradient of x where weight · x̂ has the gradient dout, and the weight does not vary along
    axis: the one line of the lecture's exercise."""
    xhat, inverse_std = normalized(xp, x, axis, eps, correction)
    n = size(x, axis)
    corrected = over_freedom(n, n, correction) * xhat if correction else xhat
    return (weight * inverse_std / n) * (
        n * dout - xp.sum(dout, axis, True) - corrected * xp.sum(dout * xhat, axis, True)
    )


def _weight_slope(
    xp: Any, dout: Any, x: Any, weight_like: Any, axis: tuple[int, ...], eps: float, correction: float
) -> Any:
    """Return the gradient of the weight of x̂."""
    return sum_to(dout * normalized(xp, x, axis, eps, correction)[0], weight_like)


@operation(
    torch_name="NativeBatchNormBackward0",
    x=normalized_slope,
    weight=_weight_slope,
    bias=lambda dout, bias_like: sum_to(dout, bias_like),
)
def batch_norm(
    xp: Any, x: Any, weight: Any, bias: Any, /, axis: tuple[int, ...], eps: float, correction: float
) -> Any:
    """out = weight · x̂ + bias, x̂ = (x - mean) / √(var + eps) with mean and variance (over n - correction)
    along axis.

    dx = weight / √(var + eps) / n · (n dout - Σ dout - n / (n - correction) · x̂ Σ dout x̂). weight and bias
    have the shape of the mean with its dimensions kept.
    """
    return weight * normalized(xp, x, axis, eps, correction)[0] + bias


def _layer_norm_x(
    xp: Any, dout: Any, x: Any, weight: Any, axis: tuple[int, ...], eps: float, correction: float
) -> Any:
    """Return the gradient of x where the weight varies along axis, and so multiplies dout."""
    dxhat = dout * weight
    return normalized_slope(xp, dxhat, x, 1, axis, eps, correction)


@operation(
    autocast=Precision.FLOAT32_ON_CUDA,
    contiguous=True,
    torch_name="NativeLayerNormBackward0",
    x=_layer_norm_x,
    weight=_weight_slope,
    bias=lambda dout, bias_like: sum_to(dout, bias_like),
)
def layer_norm(
    xp: Any, x: Any, weight: Any, bias: Any, /, axis: tuple[int, ...], eps: float, correction: float
) -> Any:
    """out = weight · x̂ + bias, x̂ = (x - mean) / √(var + eps) with mean and variance (over n - correction)
    along axis.

    dx = 1 / √(var + eps) / n · (n dx̂ - Σ dx̂ - n / (n - correction) · x̂ Σ dx̂ x̂), dx̂ = dout · weight, which
    varies along axis. weight and bias have the shape of x along axis.
    """
    return weight * normalized(xp, x, axis, eps, correction)[0] + bias


_LEAST_SPREAD = float(np.float32(1e-12))
"""The least p · (1 - p) by which a gradient is divided: PyTorch's constant, which is a float32."""

_NEARLY_0 = 1e-12
"""The same in second derivatives: there it is a float64, and is added to p and to 1 - p."""


@pointwise(
    broadcasts=True,
    numeric=True,
    torch_name="BinaryCrossEntropyBackwardBackward0",
    scale=lambda dout, p, target: dout * ((p - target) / ((p + _NEARLY_0) * (1 - p + _NEARLY_0))),
    p=lambda dout, scale, p, target: (
        dout * scale * ((p * p - 2 * p * target + target) / ((p + _NEARLY_0) * (1 - p + _NEARLY_0)) ** 2)
    ),
    target=lambda xp, dout, scale, p: -dout * scale / xp.maximum(beside(xp, p * (1 - p), dout), _NEARLY_0),
)
def binary_cross_entropy_slope(xp: Any, scale: Any, p: Any, target: Any, /) -> Any:
    """out = scale · (p - target) / (p · (1 - p)), the divisor at least 1e-12;  dscale = dout · (p - target)
    / (p · (1 - p));  dp = dout · scale · (p² - 2 · p · target + target) / (p · (1 - p))²;  dtarget = -dout ·
    scale / (p · (1 - p)). The slope of the binary cross-entropy."""
    return scale * (p - target) / xp.maximum(beside(xp, p * (1 - p), scale, target), _LEAST_SPREAD)


def _on_the_line(xp: Any, p: Any, target: Any) -> Any:
    """Return the loss; where its slope is bounded, the line with that slope."""
    p = beside(xp, p, target)
    inner = p * (1 - p) > _LEAST_SPREAD
    inside = xp.where(inner, p, 0.5)
    start = xp.floor(p * 2.0**80) / 2.0**80  # p to its last bit, but no gradient goes through a floor
    line = binary_cross_entropy.on(xp, start, target) + (start - target) / _LEAST_SPREAD * (p - start)
    return xp.where(inner, binary_cross_entropy.on(xp, inside, target), line)


@pointwise(
    broadcasts=True,
    numeric=True,
    named=True,
    in_torch="torch.nn.functional.binary_cross_entropy({p}, {target}, reduction='none')",
    side=_on_the_line,
    p=lambda xp, dout, p, target: binary_cross_entropy_slope.on(xp, dout, p, target),
    target=lambda xp, dout, p: dout * (xp.log1p(-beside(xp, p, dout)) - xp.log(beside(xp, p, dout))),
)
def binary_cross_entropy(xp: Any, p: Any, target: Any, /) -> Any:
    """out = -(target · ln p + (1 - target) · ln (1 - p)), no logarithm below -100;  dp = dout · (p - target)
    / (p · (1 - p)), the divisor at least 1e-12;  dtarget = dout · (ln (1 - p) - ln p)."""
    p = beside(xp, p, target)
    return (target - 1) * xp.maximum(xp.log1p(-p), -100.0) - target * xp.maximum(xp.log(p), -100.0)
