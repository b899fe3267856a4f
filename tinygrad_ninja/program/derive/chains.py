"""Chains of operations whose gradient is known from pen and paper.

A chain is an operation like those of the table, with a forward formula and rules; and the other ways in which
people write it. It is recognised by computing it: where its formula, applied to the term of a value in the
reader's code, gives the term of another value there, that other value is this chain applied to the first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from ...arrays.dispatch import sum_to
from ...ops import Operation, composed, elementwise, losses, reduction
from ...ops.reduction import size
from .candidates import Candidate, Shapes, by_name, constant_along, layers, several, varies_along

Way = Callable[..., Any]


@dataclass(frozen=True)
class Chain:
    """A chain. operation: the one operation that equals it; title: the reader's name for it; ways: how it may
    be written, each a function of (xp, *inputs, *parameters); candidates: to what in a program it may be
    applied, as far as it fits."""

    operation: Operation
    title: str
    ways: tuple[Way, ...]
    candidates: Callable[[Shapes, Operation], Iterable[Candidate]] = by_name
    fits: Callable[..., bool] = lambda *chosen: True


# -- definitions ---------------------------------------------------------------------------------------------


def softmax(xp: Any, x: Any, axis: Any) -> Any:
    """Return the softmax as it is defined."""
    return xp.exp(x) / xp.sum(xp.exp(x), axis, True)


def _variance(xp: Any, x: Any, axis: Any, correction: float, keepdims: bool) -> Any:
    difference = x - reduction.mean.on(xp, x, axis, True)
    return xp.sum(xp.pow(difference, 2), axis, keepdims) / (size(x, axis) - correction)


DEFINITIONS: dict[Operation, Callable[..., Any]] = {
    composed.softmax: softmax,
    composed.log_softmax: lambda xp, x, axis: x - xp.log(xp.sum(xp.exp(x), axis, True)),
    composed.logsumexp: lambda xp, x, axis, keepdims: xp.log(xp.sum(xp.exp(x), axis, keepdims)),
    composed.var: _variance,
    composed.std: lambda xp, x, *given: xp.sqrt(_variance(xp, x, *given)),
    composed.norm: lambda xp, x, axis, keepdims: xp.sqrt(xp.sum(xp.pow(x, 2), axis, keepdims)),
    losses.cross_entropy: lambda xp, logits, target, rows: (
        -reduction.mean.on(xp, xp.log(xp.index(softmax(xp, logits, (1,)), (rows, target))), None, False)
    ),
}
"""How operations that have a name of their own are defined, as long as no power of e overflows."""


# -- normalization -------------------------------------------------------------------------------------------


def _standardized(xp: Any, x: Any, axis: tuple[int, ...], eps: float, correction: float) -> tuple[Any, Any]:
    """Return (x - mean) / √(variance + eps), with the variance over n - correction; and the factor 1 /
    √(variance + eps)."""
    n = size(x, axis)
    difference = x - xp.sum(x, axis, True) / n
    inverse_std = xp.pow(xp.sum(difference * difference, axis, True) / (n - correction) + eps, -0.5)
    return difference * inverse_std, inverse_std


def _batch_x(xp: Any, dout: Any, x: Any, weight: Any, axis: Any, eps: float, correction: float) -> Any:
    """Return weight / √(var + eps) / n · (n dout - Σ dout - n / (n - correction) · x̂ Σ dout x̂)."""
    n = size(x, axis)
    xhat, inverse_std = _standardized(xp, x, axis, eps, correction)
    f = weight * inverse_std
    corrected = n / (n - correction) * xhat if correction else xhat
    return f / n * (n * dout - xp.sum(dout, axis, True) - corrected * xp.sum(dout * xhat, axis, True))


def _plain_x(xp: Any, dout: Any, x: Any, axis: Any, eps: float, correction: float) -> Any:
    return _batch_x(xp, dout, x, 1, axis, eps, correction)


def _layer_x(xp: Any, dout: Any, x: Any, weight: Any, axis: Any, eps: float, correction: float) -> Any:
    """Return the gradient of x in layer normalization: the gain differs along the axis, and so multiplies
    dout."""
    return _plain_x(xp, dout * weight, x, axis, eps, correction)


def _weight(xp: Any, dout: Any, x: Any, weight_like: Any, axis: Any, eps: float, correction: float) -> Any:
    return sum_to(dout * _standardized(xp, x, axis, eps, correction)[0], weight_like)


def _bias(dout: Any, bias_like: Any) -> Any:
    return sum_to(dout, bias_like)


def batch_normalization(
    xp: Any, x: Any, weight: Any, bias: Any, /, axis: tuple[int, ...], eps: float, correction: float
) -> Any:
    """out = weight · x̂ + bias, with x̂ = (x - mean) / √(var + eps) along axis, the variance over n -
    correction.

    dx = weight / √(var + eps) / n · (n dout - Σ dout - n / (n - correction) · x̂ Σ dout x̂).
    """
    return weight * _standardized(xp, x, axis, eps, correction)[0] + bias


def layer_normalization(
    xp: Any, x: Any, weight: Any, bias: Any, /, axis: tuple[int, ...], eps: float, correction: float
) -> Any:
    """Normalize as batch normalization does, with a weight that varies along the axis: in dx, dout · weight
    takes dout's place, and weight is gone from the factor in front."""
    return weight * _standardized(xp, x, axis, eps, correction)[0] + bias


def normalization(xp: Any, x: Any, /, axis: tuple[int, ...], eps: float, correction: float) -> Any:
    """Normalize as batch normalization does, without weight and bias."""
    return _standardized(xp, x, axis, eps, correction)[0]


def _by_squares(xp: Any, x: Any, axis: tuple[int, ...], eps: float, correction: float) -> Any:
    """Return the normalization with the variance as the mean of the squares less the square of the mean."""
    n = size(x, axis)
    total = xp.sum(x, axis, True)
    variance = (xp.sum(x * x, axis, True) - total * total / n) / (n - correction)
    return (x - total / n) * xp.pow(variance + eps, -0.5)


def _gained_by_squares(xp: Any, x: Any, weight: Any, bias: Any, axis: Any, eps: Any, correction: Any) -> Any:
    return weight * _by_squares(xp, x, axis, eps, correction) + bias


def linear_layer(xp: Any, x: Any, weight: Any, bias: Any, /) -> Any:
    """out = x @ weight + bias;  dx = dout @ weightᵀ, dweight = xᵀ @ dout, dbias = Σ dout."""
    return xp.matmul(x, weight) + bias


# -- softmax, and how it may be written ----------------------------------------------------------------------


def _shifted(xp: Any, x: Any, axis: Any) -> Any:
    return x - xp.max(x, axis, True)


_SHIFTS: tuple[Way, ...] = (lambda xp, x, axis: x, _shifted, lambda xp, x, axis: x - xp.max(x, None, False))
_SOFTMAX = tuple(lambda xp, x, axis, z=z: softmax(xp, z(xp, x, axis), axis) for z in _SHIFTS)
_LOG_SOFTMAX = tuple(lambda xp, x, axis, p=p: xp.log(p(xp, x, axis)) for p in _SOFTMAX)


def _mean(xp: Any, x: Any) -> Any:
    return xp.sum(x, None, False) / size(x, None)


def _cross_entropies(pick: Way, keepdims: bool = False) -> tuple[Way, ...]:
    """Return the ways to write the mean of -log softmax at the right class. pick: a function of (xp, x,
    *rest) that reads the right class."""

    def total(xp: Any, z: Any) -> Any:
        return xp.sum(xp.exp(z), (1,), keepdims)

    return (
        *(lambda xp, x, *y, f=f: -_mean(xp, pick(xp, f(xp, x, (1,)), *y)) for f in _LOG_SOFTMAX),
        *(lambda xp, x, *y, f=f: -_mean(xp, xp.log(pick(xp, f(xp, x, (1,)), *y))) for f in _SOFTMAX),
        *(
            lambda xp, x, *y, f=f: _mean(xp, xp.log(total(xp, f(xp, x, (1,)))) - pick(xp, f(xp, x, (1,)), *y))
            for f in _SHIFTS
        ),
        lambda xp, x, *y: -_mean(xp, xp.log(pick(xp, xp.exp(x), *y) / total(xp, x))),
        lambda xp, x, *y: _mean(xp, composed.logsumexp.forward(xp, x, (1,), keepdims) - pick(xp, x, *y)),
        lambda xp, x, *y: _mean(
            xp,
            xp.log(total(xp, _shifted(xp, x, (1,)))) + xp.max(x, (1,), keepdims) - pick(xp, x, *y),
        ),
    )


def _by_gather(xp: Any, x: Any, index: Any) -> Any:
    return xp.gather(x, 1, index)


def _by_onehot(xp: Any, x: Any, onehot: Any) -> Any:
    return xp.sum(onehot * x, (1,), False)


def cross_entropy_by_gather(xp: Any, logits: Any, /, index: Any) -> Any:
    """out = the mean over the n rows of -log softmax(logits) at index, (n, 1);  dlogits = dout · (softmax -
    onehot) / n."""
    return -_mean(xp, _by_gather(xp, _LOG_SOFTMAX[0](xp, logits, (1,)), index))


def _by_gather_slope(xp: Any, dout: Any, logits: Any, index: Any) -> Any:
    probs = composed.softmax.on(xp, logits, (1,))
    ones = xp.ones_like(xp.gather(probs, 1, index))
    return (probs - xp.scatter_along(ones, logits.shape, 1, index)) * (dout / logits.shape[0])


def cross_entropy_by_onehot(xp: Any, logits: Any, onehot: Any, /) -> Any:
    """out = the mean over the n rows of -Σ onehot · log softmax(logits);  dlogits = dout · (softmax - onehot)
    / n."""
    return -_mean(xp, _by_onehot(xp, _LOG_SOFTMAX[0](xp, logits, (1,)), onehot))


def _by_onehot_slope(xp: Any, dout: Any, logits: Any, onehot: Any) -> Any:
    return (composed.softmax.on(xp, logits, (1,)) - onehot) * (dout / logits.shape[0])


CROSS_ENTROPY = "softmax with cross-entropy"


CHAINS = (
    Chain(
        losses.cross_entropy,
        CROSS_ENTROPY,
        _cross_entropies(lambda xp, x, target, rows: xp.index(x, (rows, target))),
    ),
    Chain(
        Operation(cross_entropy_by_gather, {"logits": _by_gather_slope}),
        CROSS_ENTROPY,
        _cross_entropies(_by_gather, keepdims=True),
    ),
    Chain(
        Operation(cross_entropy_by_onehot, {"logits": _by_onehot_slope}),
        CROSS_ENTROPY,
        (
            *_cross_entropies(_by_onehot),
            *(
                lambda xp, x, onehot, f=f: -xp.sum(onehot * f(xp, x, (1,)), None, False) / x.shape[0]
                for f in _LOG_SOFTMAX
            ),
        ),
    ),
    Chain(
        Operation(batch_normalization, {"x": _batch_x, "weight": _weight, "bias": _bias}),
        "batch normalization",
        (batch_normalization, _gained_by_squares),
        fits=constant_along,
    ),
    Chain(
        Operation(layer_normalization, {"x": _layer_x, "weight": _weight, "bias": _bias}),
        "layer normalization",
        (layer_normalization, _gained_by_squares),
        fits=varies_along,
    ),
    Chain(
        Operation(normalization, {"x": _plain_x}),
        "normalization",
        (normalization, _by_squares),
        fits=several,
    ),
    Chain(composed.log_softmax, "log-softmax", _LOG_SOFTMAX),
    Chain(
        composed.softmax,
        composed.softmax.name,
        (*_SOFTMAX, *(lambda xp, x, axis, f=f: xp.exp(f(xp, x, axis)) for f in _LOG_SOFTMAX)),
    ),
    Chain(
        elementwise.sigmoid,
        elementwise.sigmoid.name,
        (
            lambda xp, x: 1 / (1 + xp.exp(-x)),
            lambda xp, x: xp.exp(x) / (1 + xp.exp(x)),
            lambda xp, x: 1 - 1 / (1 + xp.exp(x)),
            lambda xp, x: (1 + xp.tanh(x / 2)) / 2,
        ),
    ),
    Chain(
        elementwise.tanh,
        elementwise.tanh.name,
        (
            lambda xp, x: (xp.exp(2 * x) - 1) / (xp.exp(2 * x) + 1),
            lambda xp, x: (1 - xp.exp(-2 * x)) / (1 + xp.exp(-2 * x)),
            lambda xp, x: (xp.exp(x) - xp.exp(-x)) / (xp.exp(x) + xp.exp(-x)),
            lambda xp, x: 2 / (1 + xp.exp(-2 * x)) - 1,
            lambda xp, x: 1 - 2 / (1 + xp.exp(2 * x)),
        ),
    ),
    Chain(
        Operation(
            linear_layer,
            {
                "x": lambda xp, dout, weight: xp.matmul(dout, weight.mT),
                "weight": lambda xp, dout, x: xp.matmul(x.mT, dout),
                "bias": _bias,
            },
        ),
        "linear layer",
        (linear_layer,),
        layers,
    ),
)
"""The chains, the longest first: where two end in the same value, the longer one is taken."""

OPERATIONS = {chain.title: chain.operation for chain in CHAINS}
"""The one operation that equals each chain, by the chain's title."""
