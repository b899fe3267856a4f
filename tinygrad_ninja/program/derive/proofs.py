"""Closed forms, proved step by step: softmax with cross-entropy, normalizations, standard deviations."""

from __future__ import annotations

from string import Template
from typing import Any

from ...ops import composed, losses
from ..instructions import Instruction
from . import chains
from .mathematics import math


class _Text(Template):
    """Sentences, each with the formula that it ends in. What depends on an operation stands behind an @."""

    delimiter = "@"


_SOFTMAX = r"""
Take one row of the logits, and call its numbers $z_j$. The softmax makes probabilities of them:

$$p_{j} = \frac{e^{z_{j}}}{\sum_{k} e^{z_{k}}}$$
"""

_CROSS_ENTROPY = r"""
The loss of the row is the negative logarithm of the probability of the right class, $y$. The logarithm of the
fraction is a difference:

$$\ell = - \ln p_{y} = \ln \left(\sum_{k} e^{z_{k}}\right) - z_{y}$$

Differentiate the first part: the logarithm gives one over the sum, and of the sum only the term with $z_j$
depends on $z_j$. The result is the probability itself:

$$\frac{e^{z_{j}}}{\sum_{k} e^{z_{k}}} = p_{j}$$

The second part, $-z_y$, has the derivative $-1$ where $j$ is the right class, and 0 elsewhere ($[j=y]$ is 1
where the condition holds). Together:

$$\frac{\partial \ell}{\partial z_{j}} = p_{j} - \left[j = y\right]$$

The loss is the mean over the rows, so that each row's gradient is divided by their number. In each row the
gradients add up to zero, since the probabilities add up to 1: what the right class is pushed up, the others
are pushed down.

$$\sum_{j} \left(p_{j} - \left[j = y\right]\right) = 0$$
"""

_SOFTMAX_ALONE = r"""
Every $z_j$ is in the sum below, and $z_i$ is above as well. By the quotient rule

$$\frac{\partial p_{i}}{\partial z_{j}} = p_{i} \cdot \left(\left[i = j\right] - p_{j}\right)$$

With the upstream gradient $g_i$ of $p_i$, the chain rule adds up over all $i$:

$$\sum_{i} g_{i} \cdot p_{i} \cdot \left(\left[i = j\right] - p_{j}\right) =
p_{j} \cdot \left(g_{j} - \sum_{i} g_{i} \cdot p_{i}\right)$$
"""

_LOG_SOFTMAX = r"""
The logarithm of the softmax is a difference, and the derivative of the logarithm of the sum is the softmax:

$$\frac{\partial \left(\ln p_{i}\right)}{\partial z_{j}} = \left[i = j\right] - p_{j}$$

With the upstream gradient $g_i$, the chain rule adds up over all $i$:

$$\sum_{i} g_{i} \cdot \left(\left[i = j\right] - p_{j}\right) = g_{j} - p_{j} \cdot \sum_{i} g_{i}$$
"""

_MEAN = r"""
@along $x_i$; there are $m$ of them@named. Their mean:

$$\mu = \frac{1}{m} \cdot \sum_{i} x_{i}$$

Each number has the same share in it:

$$\frac{\partial \mu}{\partial x_{k}} = \frac{1}{m}$$
"""

_BESSEL = """
Why $m - 1$ and not $m$ (Bessel's correction): the mean is taken from the same numbers, and lies nearer to
them than the true mean does, so their squares around it come out too small, on average by the factor
$(m - 1) / m$. Put differently, the deviations add up to zero: only $m - 1$ of them are free."""

_ZERO = r"""
A change of $x_k$ moves its own square, and through the mean all of them. But what comes through the mean is a
multiple of the sum of the deviations, which is zero:

$$\sum_{i} \left(x_{i} - \mu\right) = 0$$"""

_DEVIATION = r"""
Their standard deviation@guarded.@bessel

$$\sigma = \sqrt{\frac{\sum_{i} \left(x_{i} - \mu\right)^{2}}{@below}@more}$$
@zero

So only its own square is left, $2 (x_k - \mu)$, and the root gives $1 / (2 \sigma)$; the 2s cancel:

$$\frac{\partial \sigma}{\partial x_{k}} = \frac{x_{k} - \mu}{@free \cdot \sigma}$$
"""

_VARIANCE = r"""
Their variance.@bessel

$$v = \frac{\sum_{i} \left(x_{i} - \mu\right)^{2}}{@below}$$
@zero

So only its own square is left:

$$\frac{\partial v}{\partial x_{k}} = \frac{2 \cdot \left(x_{k} - \mu\right)}{@below}$$
"""

_NORMALIZED = r"""
The normalized numbers, which have mean 0 and spread 1:

$$\hat{x}_{i} = \frac{x_{i} - \mu}{\sigma}$$

$x_k$ is in $\hat{x}_i$ three times: itself if $i = k$, in the mean, and in the standard deviation. By the
quotient rule, with the derivatives above:

$$\frac{\partial \hat{x}_{i}}{\partial x_{k}} = \frac{1}{\sigma} \cdot \left(\left[i = k\right] -
\frac{1}{m} - \frac{\hat{x}_{i} \cdot \hat{x}_{k}}{@below}\right)$$
"""

_GAIN = r"""
The upstream gradient $g_i$ is that of the output, which is the gain times $\hat{x}_i$, plus the bias. So that
of $\hat{x}_i$ is

$$q_{i} = g_{i} \cdot @gain$$
"""

_ONE_LINE = r"""
The chain rule adds up over all $i$; the bracket $[i = k]$ leaves the one term $@{g}_{k}$:

$$\sum_{i} @{g}_{i} \cdot \frac{\partial \hat{x}_{i}}{\partial x_{k}} =
\frac{1}{\sigma} \cdot \left(@{g}_{k} - \frac{1}{m} \cdot \sum_{i} @{g}_{i} -
\frac{\hat{x}_{k}}{@below} \cdot \sum_{i} @{g}_{i} \cdot \hat{x}_{i}\right)$$

With $1 / m$ in front it is the one line:

$$\frac{\partial L}{\partial x_{k}} = \frac{1}{\sigma \cdot m} \cdot \left(m \cdot @{g}_{k} -
\sum_{i} @{g}_{i} - @ratio\hat{x}_{k} \cdot \sum_{i} @{g}_{i} \cdot \hat{x}_{i}\right)$$
"""


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


def proof(step: Instruction) -> list[str]:
    """Return the proof of the rule of an instruction's first input, if it is a closed form: sentences, each
    followed by its formula. Else return an empty list."""
    if step.operation not in _PROOFS:
        return []
    given = {"correction": 0.0, "eps": 0.0, **step.given}
    correction, eps, gain = given["correction"], given["eps"], _GAINS.get(step.operation)
    below = f"m - {correction:g}" if correction else "m"
    filled = _Text("".join(_PROOFS[step.operation])).substitute(
        along=_along(given.get("axis"), len(step.inputs[0].shape)),
        named=rf", and $\epsilon = {math(eps).latex}$" if eps else "",
        guarded=r", with $\epsilon$ added so that it is never 0" if eps else "",
        bessel=_BESSEL if correction else "",
        below=below,
        zero=_ZERO,
        free=rf"\left({below}\right)" if correction else below,
        more=r" + \epsilon" if eps else "",
        ratio=rf"\frac{{m}}{{{below}}} \cdot " if correction else "",
        gain=gain,
        g="q" if gain else "g",
    )
    return [" ".join(paragraph.split("\n")) for paragraph in filled.strip().split("\n\n")]


_GAINS = {losses.batch_norm: r"\gamma", losses.layer_norm: r"\gamma_{i}"}
"""The symbol of the gain in a formula, with an index if it differs along the axis."""

_BY_PICKING = [chain.operation for chain in chains.CHAINS if chain.title == chains.CROSS_ENTROPY]

_PROOFS: dict[Any, tuple[str, ...]] = {
    **dict.fromkeys(_BY_PICKING, (_SOFTMAX, _CROSS_ENTROPY)),
    composed.softmax: (_SOFTMAX, _SOFTMAX_ALONE),
    composed.log_softmax: (_SOFTMAX, _LOG_SOFTMAX),
    composed.std: (_MEAN, _DEVIATION),
    composed.var: (_MEAN, _VARIANCE),
    **dict.fromkeys(_GAINS, (_MEAN, _DEVIATION, _NORMALIZED, _GAIN, _ONE_LINE)),
    chains.OPERATIONS["normalization"]: (_MEAN, _DEVIATION, _NORMALIZED, _ONE_LINE),
}
