"""Closed forms, proved step by step: softmax with cross-entropy, normalizations, standard deviations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...ops import composed, losses
from ..instructions import Instruction
from . import chains
from .mathematics import math

Step = tuple[str, str]
"""A sentence, and the formula that it ends in, in LaTeX."""

Proof = Callable[[dict[str, Any], str], list[Step]]
"""A proof, of an operation's parameters, and of which numbers are taken together."""

_SOFTMAX: list[Step] = [
    (
        "Take one row of the logits, and call its numbers $z_j$. The softmax makes probabilities of them:",
        r"p_{j} = \frac{e^{z_{j}}}{\sum_{k} e^{z_{k}}}",
    ),
]

_CROSS_ENTROPY: list[Step] = [
    *_SOFTMAX,
    (
        "The loss of the row is the negative logarithm of the probability of the right class, $y$. The "
        "logarithm of the fraction is a difference:",
        r"\ell = - \ln p_{y} = \ln \left(\sum_{k} e^{z_{k}}\right) - z_{y}",
    ),
    (
        "Differentiate the first part: the logarithm gives one over the sum, and of the sum only the term "
        "with $z_j$ depends on $z_j$. The result is the probability itself:",
        r"\frac{e^{z_{j}}}{\sum_{k} e^{z_{k}}} = p_{j}",
    ),
    (
        "The second part, $-z_y$, has the derivative $-1$ where $j$ is the right class, and 0 elsewhere "
        "($[j=y]$ is 1 where the condition holds). Together:",
        r"\frac{\partial \ell}{\partial z_{j}} = p_{j} - \left[j = y\right]",
    ),
    (
        "The loss is the mean over the rows, so that each row's gradient is divided by their number. In each "
        "row the gradients add up to zero, since the probabilities add up to 1: what the right class is "
        "pushed up, the others are pushed down.",
        r"\sum_{j} \left(p_{j} - \left[j = y\right]\right) = 0",
    ),
]

_SOFTMAX_ALONE: list[Step] = [
    *_SOFTMAX,
    (
        "Every $z_j$ is in the sum below, and $z_i$ is above as well. By the quotient rule",
        r"\frac{\partial p_{i}}{\partial z_{j}} = p_{i} \cdot \left(\left[i = j\right] - p_{j}\right)",
    ),
    (
        "With the upstream gradient $g_i$ of $p_i$, the chain rule adds up over all $i$:",
        r"\sum_{i} g_{i} \cdot p_{i} \cdot \left(\left[i = j\right] - p_{j}\right) = "
        r"p_{j} \cdot \left(g_{j} - \sum_{i} g_{i} \cdot p_{i}\right)",
    ),
]

_LOG_SOFTMAX: list[Step] = [
    *_SOFTMAX,
    (
        "The logarithm of the softmax is a difference, and the derivative of the logarithm of the sum is the "
        "softmax:",
        r"\frac{\partial \left(\ln p_{i}\right)}{\partial z_{j}} = \left[i = j\right] - p_{j}",
    ),
    (
        "With the upstream gradient $g_i$, the chain rule adds up over all $i$:",
        r"\sum_{i} g_{i} \cdot \left(\left[i = j\right] - p_{j}\right) = g_{j} - p_{j} \cdot \sum_{i} g_{i}",
    ),
]

_BESSEL = (
    "Why $m - 1$ and not $m$ (Bessel's correction): the mean is taken from the same numbers, and lies nearer "
    "to them than the true mean does, so their squares around it come out too small, on average by the "
    "factor $(m - 1) / m$. Put differently, the deviations add up to zero: only $m - 1$ of them are free."
)


def _divisor(correction: float) -> str:
    """Return what the sum of the squares is divided by."""
    return f"m - {correction:g}" if correction else "m"


def _deviation(correction: float, eps: float, along: str) -> list[Step]:
    """Return the steps to the derivative of a standard deviation."""
    below = _divisor(correction)
    free = rf"\left({below}\right)" if correction else below
    more = r" + \epsilon" if eps else ""
    named = rf", and $\epsilon = {math(eps).latex}$" if eps else ""
    return [
        (
            f"{along} $x_i$; there are $m$ of them{named}. Their mean:",
            r"\mu = \frac{1}{m} \cdot \sum_{i} x_{i}",
        ),
        ("Each number has the same share in it:", r"\frac{\partial \mu}{\partial x_{k}} = \frac{1}{m}"),
        (
            "Their standard deviation"
            + (", with $\\epsilon$ added so that it is never 0" if eps else "")
            + f".{' ' + _BESSEL if correction else ''}",
            rf"\sigma = \sqrt{{\frac{{\sum_{{i}} \left(x_{{i}} - \mu\right)^{{2}}}}{{{below}}}{more}}}",
        ),
        (
            "A change of $x_k$ moves its own square, and through the mean all of them. But what comes "
            "through the mean is a multiple of the sum of the deviations, which is zero:",
            r"\sum_{i} \left(x_{i} - \mu\right) = 0",
        ),
        (
            "So only its own square is left, $2 (x_k - \\mu)$, and the root gives $1 / (2 \\sigma)$; the 2s "
            "cancel:",
            rf"\frac{{\partial \sigma}}{{\partial x_{{k}}}} = \frac{{x_{{k}} - \mu}}{{{free} \cdot \sigma}}",
        ),
    ]


def _variance(correction: float, along: str) -> list[Step]:
    """Return the steps to the derivative of a variance."""
    mean, own, _, zero, _ = _deviation(correction, 0.0, along)
    below = _divisor(correction)
    return [
        mean,
        own,
        (
            f"Their variance.{' ' + _BESSEL if correction else ''}",
            rf"v = \frac{{\sum_{{i}} \left(x_{{i}} - \mu\right)^{{2}}}}{{{below}}}",
        ),
        zero,
        (
            "So only its own square is left:",
            r"\frac{\partial v}{\partial x_{k}} = \frac{2 \cdot \left(x_{k} - \mu\right)}"
            rf"{{{below}}}",
        ),
    ]


def _normalization(correction: float, eps: float, along: str, gain: str) -> list[Step]:
    """Return the steps to the one line of batch norm's gradient, or layer norm's. gain: its symbol in a
    formula, with an index if it differs along the axis; empty where there is none."""
    below = _divisor(correction)
    ratio = rf"\frac{{m}}{{{below}}} \cdot " if correction else ""
    steps = _deviation(correction, eps, along)
    upstream = r"q_{i}" if gain else r"g_{i}"
    kth = upstream.replace("i", "k")
    steps += [
        (
            "The normalized numbers, which have mean 0 and spread 1:",
            r"\hat{x}_{i} = \frac{x_{i} - \mu}{\sigma}",
        ),
        (
            "$x_k$ is in $\\hat{x}_i$ three times: itself if $i = k$, in the mean, and in the standard "
            "deviation. By the quotient rule, with the derivatives above:",
            r"\frac{\partial \hat{x}_{i}}{\partial x_{k}} = \frac{1}{\sigma} \cdot \left("
            r"\left[i = k\right] - "
            rf"\frac{{1}}{{m}} - \frac{{\hat{{x}}_{{i}} \cdot \hat{{x}}_{{k}}}}{{{below}}}\right)",
        ),
    ]
    if gain:
        steps.append(
            (
                "The upstream gradient $g_i$ is that of the output, which is the gain times "
                "$\\hat{x}_i$, plus the bias. So that of $\\hat{x}_i$ is",
                rf"q_{{i}} = g_{{i}} \cdot {gain}",
            )
        )
    steps += [
        (
            f"The chain rule adds up over all $i$; the bracket $[i = k]$ leaves the one term ${kth}$:",
            rf"\sum_{{i}} {upstream} \cdot \frac{{\partial \hat{{x}}_{{i}}}}{{\partial x_{{k}}}} = "
            rf"\frac{{1}}{{\sigma}} \cdot \left({kth} - \frac{{1}}{{m}} \cdot \sum_{{i}} {upstream} - "
            rf"\frac{{\hat{{x}}_{{k}}}}{{{below}}} \cdot \sum_{{i}} {upstream} \cdot \hat{{x}}_{{i}}\right)",
        ),
        (
            "With $1 / m$ in front it is the one line:",
            r"\frac{\partial L}{\partial x_{k}} = \frac{1}{\sigma \cdot m} \cdot \left("
            rf"m \cdot {kth} - \sum_{{i}} {upstream} - {ratio}\hat{{x}}_{{k}} \cdot "
            rf"\sum_{{i}} {upstream} \cdot \hat{{x}}_{{i}}\right)",
        ),
    ]
    return steps


def _along(axis: Any, ndim: int) -> str:
    """Return which numbers are taken together, and the beginning of what they are called."""
    axes = tuple(range(ndim)) if axis is None else tuple(i % ndim for i in axis)
    if len(axes) == ndim:
        return "All numbers are taken together. Call them"
    if ndim == 2:
        kind = "column" if axes == (0,) else "row"
        return f"Take one {kind}; the others do not mix with it. Call its numbers"
    which = f"dimension{'s' * (len(axes) > 1)} {', '.join(map(str, axes))}"
    return f"Take the numbers along {which} that stand together; the others do not mix with them. Call them"


def proof(step: Instruction) -> list[Step]:
    """Return the proof of the rule of an instruction's first input, if it is a closed form; else an empty
    list."""
    build = _PROOFS.get(step.operation)
    if build is None:
        return []
    along = _along(step.given.get("axis"), len(step.inputs[0].shape))  # type: ignore[union-attr]
    return build(step.given, along)


def _of_normalization(gain: str) -> Proof:
    return lambda given, along: _normalization(given.get("correction", 0), given["eps"], along, gain)


_BY_PICKING = [chain.operation for chain in chains.CHAINS if chain.title == chains.CROSS_ENTROPY]

_PROOFS: dict[Any, Proof] = {
    **dict.fromkeys(_BY_PICKING, lambda given, along: _CROSS_ENTROPY),
    composed.softmax: lambda given, along: _SOFTMAX_ALONE,
    composed.log_softmax: lambda given, along: _LOG_SOFTMAX,
    composed.std: lambda given, along: _deviation(given["correction"], 0.0, along),
    composed.var: lambda given, along: _variance(given["correction"], along),
    losses.batch_norm: _of_normalization(r"\gamma"),
    losses.layer_norm: _of_normalization(r"\gamma_{i}"),
    chains.OPERATIONS["batch normalization"]: _of_normalization(r"\gamma"),
    chains.OPERATIONS["layer normalization"]: _of_normalization(r"\gamma_{i}"),
    chains.OPERATIONS["normalization"]: _of_normalization(""),
}
