"""Chains of operations whose gradient is known from pen and paper.

A chain is an operation like those of the table, with a forward formula and rules. It is recognised by
computing it: where its formula, applied to a value in the reader's code, gives another value there, however
that is written, then that other value is this chain applied to the first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from ...arrays.dispatch import sum_to
from ...ops import Operation, composed, elementwise, losses
from .candidates import Candidate, Shapes, by_name, constant_along, layers


@dataclass(frozen=True)
class Chain:
    """A chain. operation: the one operation that equals it; title: the reader's name for it; candidates: to
    what in a program it may be applied."""

    operation: Operation
    title: str
    candidates: Callable[[Shapes, Operation], Iterable[Candidate]] = by_name


# -- what is no operation of the table -----------------------------------------------------------------------


def softmax(xp: Any, x: Any, axis: Any) -> Any:
    """Return the softmax as it is defined."""
    return xp.exp(x) / xp.sum(xp.exp(x), axis, True)


def normalization(xp: Any, x: Any, /, axis: tuple[int, ...], eps: float, correction: float) -> Any:
    """Normalize as batch normalization does, without weight and bias."""
    return losses.normalized(xp, x, axis, eps, correction)[0]


def _normalization_slope(xp: Any, dout: Any, x: Any, axis: Any, eps: float, correction: float) -> Any:
    return losses.normalized_slope(xp, dout, x, 1, axis, eps, correction)


def linear_layer(xp: Any, x: Any, weight: Any, bias: Any, /) -> Any:
    """out = x @ weight + bias;  dx = dout @ weightᵀ, dweight = xᵀ @ dout, dbias = Σ dout."""
    return xp.matmul(x, weight) + bias


def cross_entropy_by_gather(xp: Any, logits: Any, /, index: Any) -> Any:
    """out = the mean over the n rows of -log softmax(logits) at index, (n, 1);  dlogits = dout · (softmax -
    onehot) / n."""
    return -xp.sum(xp.gather(xp.log(softmax(xp, logits, (1,))), 1, index), None, False) / logits.shape[0]


def _by_gather_slope(xp: Any, dout: Any, logits: Any, index: Any) -> Any:
    ones = xp.ones_like(xp.gather(logits, 1, index))
    return losses.cross_entropy_slope(xp, dout, logits, xp.scatter_along(ones, logits.shape, 1, index))


def cross_entropy_by_onehot(xp: Any, logits: Any, onehot: Any, /) -> Any:
    """out = the mean over the n rows of -Σ onehot · log softmax(logits);  dlogits = dout · (softmax - onehot)
    / n."""
    return -xp.sum(onehot * xp.log(softmax(xp, logits, (1,))), None, False) / logits.shape[0]


CROSS_ENTROPY = "softmax with cross-entropy"


CHAINS = (
    Chain(losses.cross_entropy, CROSS_ENTROPY),
    Chain(Operation(cross_entropy_by_gather, {"logits": _by_gather_slope}), CROSS_ENTROPY),
    Chain(Operation(cross_entropy_by_onehot, {"logits": losses.cross_entropy_slope}), CROSS_ENTROPY),
    Chain(losses.batch_norm, "batch normalization", constant_along),
    Chain(losses.layer_norm, "layer normalization"),
    Chain(Operation(normalization, {"x": _normalization_slope}), "normalization"),
    Chain(composed.log_softmax, "log-softmax"),
    Chain(composed.softmax, composed.softmax.name),
    Chain(elementwise.sigmoid, elementwise.sigmoid.name),
    Chain(elementwise.tanh, elementwise.tanh.name),
    Chain(
        Operation(
            linear_layer,
            {
                "x": lambda xp, dout, weight: xp.matmul(dout, weight.mT),
                "weight": lambda xp, dout, x: xp.matmul(x.mT, dout),
                "bias": lambda dout, bias_like: sum_to(dout, bias_like),
            },
        ),
        "linear layer",
        layers,
    ),
)
"""The chains, the longest first: where two end in the same value, the longer one is taken."""

OPERATIONS = {chain.title: chain.operation for chain in CHAINS}
"""The one operation that equals each chain, by the chain's title."""
