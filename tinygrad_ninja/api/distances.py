"""The distances of vectors from each other."""

from __future__ import annotations

import math
from typing import Any

from ..engine.tensor import Tensor
from ..ops import comparison, composed, rounding
from .arithmetic import masked_fill
from .forms import require_tensors
from .register import function
from .sums import floating_input


def _length(difference: Tensor, p: float) -> Tensor:
    """Return (Σ |d|ᵖ)^(1/p) over the last dimension; its gradient is 0 where the length is 0."""
    last = (difference.ndim - 1,)
    if p == 2:
        return composed.norm.call(difference, last, False)
    sizes = rounding.abs.call(difference)
    if p == 0:
        return comparison.ne.call(difference, 0).sum(last).to(difference.dtype) + 0 * difference.sum(last)
    if p == 1:
        return sizes.sum(last)
    if p == math.inf:
        return sizes.amax(last)
    total = masked_fill(sizes, comparison.eq.call(sizes, 0), 0.0).pow(p).sum(last)
    nothing = comparison.eq.call(total, 0)
    return masked_fill(masked_fill(total, nothing, 1.0).pow(1 / p), nothing, 0.0)


@function
def cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: Any = None) -> Tensor:
    """Return the distances (Σ |x1 - x2|ᵖ)^(1/p) of all pairs of rows, (…, n, d) and (…, m, d): (…, n, m).

    p: 2 by default, 0 for the number of elements that differ, infinity for the greatest difference. The first
    dimensions are broadcast; `compute_mode` says how PyTorch is to compute, and changes nothing here. Raises
    RuntimeError for fewer than two dimensions, another d, a negative p, or integers.
    """
    require_tensors("cdist", x1=x1, x2=x2)
    for x in (x1, x2):
        if x.ndim < 2:
            raise RuntimeError(f"cdist only supports at least 2D tensors, got: {x.ndim}D")
        floating_input(x, "cdist", None)
    if x1.shape[-1] != x2.shape[-1]:
        raise RuntimeError(
            f"X1 and X2 must have the same number of columns. X1: {x1.shape[-1]} X2: {x2.shape[-1]}"
        )
    if p < 0:
        raise RuntimeError("cdist only supports non-negative p values")
    return _length(x1.unsqueeze(-2) - x2.unsqueeze(-3), p)
