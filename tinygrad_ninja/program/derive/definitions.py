"""Definitions of operations that have a name of their own, for formulas with indices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...ops import Operation, composed, losses, reduction
from ...ops.reduction import size


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
