"""The lengths of vectors, and their distances from each other."""

from __future__ import annotations

import math
from typing import Any

from ..arrays.dtypes import as_dtype, promote_types
from ..engine.own_function import Function
from ..engine.tensor import Tensor
from ..ops import comparison, composed, rounding
from .arithmetic import masked_fill
from .creation import ones_like
from .forms import require_tensors
from .register import function, method, numpy_names
from .sums import axes_of, floating_input


class _Count(Function):
    """How many elements are not 0; where a gradient is required it sends none back, as in PyTorch."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, axis: tuple[int, ...] | None, keepdim: bool) -> Any:
        """Return the count, in the dtype of x."""
        return comparison.ne.call(x, 0).sum(axis, keepdim).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        """Return no gradient."""
        return None, None, None


def _greatest(x: Tensor) -> Tensor:
    """Return the greatest |x| along the last dimension, 0 of nothing; the gradient goes whole to each x that
    has it, as in PyTorch's distances."""
    signs, sizes = x.detach().sign(), x.detach().abs()
    greatest = sizes.amax(-1, keepdim=True) if x.shape[-1] else sizes.sum(-1, keepdim=True)
    others = (sizes.eq(greatest) & greatest.isfinite()).logical_not()
    reached = (masked_fill(x, others, 0) * signs).sum(-1)
    return greatest.squeeze(-1) + (reached - reached.detach())


def vector_norm(x: Tensor, p: float, axis: tuple[int, ...] | None, keepdim: bool) -> Tensor:
    """Return (Σ |x|ᵖ)^(1/p) along the dimensions of axis; where it or x is 0 the gradient is 0.

    p: any number; infinity for the greatest |x|, -infinity for the smallest, 0 for how many are not 0. Raises
    RuntimeError where there is nothing of which to take an extreme.
    """
    if p == 2:
        return composed.norm.call(x, axis, keepdim)
    if (p < 0 or p == math.inf) and 0 in (x.shape if axis is None else [x.shape[i] for i in axis]):
        raise RuntimeError(f"the {p} norm of no elements is not defined")
    sizes = rounding.abs.call(x)
    if p == 1:
        return sizes.sum(axis, keepdim)
    if math.isinf(p):
        return sizes.amax(axis or (), keepdim) if p > 0 else sizes.amin(axis or (), keepdim)
    zero = comparison.eq.call(sizes, 0)
    if p == 0:
        count: Tensor = _Count.apply(x, axis, keepdim)
        return count
    # 1 stands in for 0, of which a power may have no gradient.
    powers = masked_fill(masked_fill(sizes, zero, 1).pow(p), zero, 0 if p > 0 else math.inf)
    total = powers.sum(axis, keepdim)
    none = comparison.eq.call(total, 0 if p > 0 else math.inf)
    return masked_fill(masked_fill(total, none, 1).pow(1 / p), none, 0)


@method
@numpy_names
def norm(
    input: Tensor, p: Any = "fro", dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """Return the length (Σ |x|ᵖ)^(1/p) along `dim`, of all elements by default; at 0 its gradient is 0.

    The result has no `dim`, or size 1 there with keepdim. p: any number, or "fro" for 2: see `vector_norm`.
    Raises RuntimeError for integers, and a dtype that is narrower; NotImplementedError for the nuclear norm,
    p="nuc".
    """
    if not input.dtype.is_floating_point:
        raise RuntimeError(f"norm expects floating point numbers, not {input.dtype}")
    if dtype is not None:
        if promote_types(as_dtype(dtype), input.dtype) is not dtype:
            raise RuntimeError(f"norm: {input.dtype} is not to be converted to {dtype}, which is narrower")
        input = input.to(dtype)
    if isinstance(p, str):
        if p == "nuc":
            raise NotImplementedError("norm with p='nuc' is not offered: it needs singular values")
        if p != "fro" or (isinstance(dim, (tuple, list)) and len(dim) > 2):
            raise RuntimeError(
                f"norm: p={p!r} is not a norm along dim={dim}; 'fro' takes up to two dimensions"
            )
        p = 2
    return vector_norm(input, 2 if p is None else float(p), axes_of(input, dim), keepdim)


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
    difference = x1.unsqueeze(-2) - x2.unsqueeze(-3)
    axis = (difference.ndim - 1,)
    if p == 0:  # PyTorch sends zeros back here, and nothing from `norm`
        nothing = masked_fill(difference, ones_like(difference, dtype=bool), 0).sum(axis)
        return nothing + vector_norm(difference.detach(), p, axis, False)
    if p == math.inf:
        return _greatest(difference)
    return vector_norm(difference, p, axis, False)
