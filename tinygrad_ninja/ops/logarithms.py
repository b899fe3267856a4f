"""Exponentials and logarithms that are exact near 1 or of base 2, and x · log y."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .elementwise import pointwise
from .facts import C, Precision

_LN2 = math.log(2)


@pointwise(
    autocast=Precision.FLOAT32_ON_CUDA,
    floating=True,
    cost=30,
    c=C("log1p{F}({x})"),
    ufunc=np.log1p,
    in_place=True,
    x=lambda dout, x: dout / (x + 1),
)
def log1p(xp: Any, x: Any, /) -> Any:
    """out = ln (1 + x), exact for a small x;  dx = dout / (1 + x)."""
    return xp.log1p(x)


@pointwise(
    autocast=Precision.FLOAT32_ON_CUDA,
    floating=True,
    cost=30,
    c=C("expm1{F}({x})"),
    ufunc=np.expm1,
    in_place=True,
    x=lambda dout, out: dout * (out + 1),
)
def expm1(xp: Any, x: Any, /) -> Any:
    """out = eˣ - 1, exact for a small x;  dx = dout · (out + 1)."""
    return xp.expm1(x)


@pointwise(
    autocast=Precision.FLOAT32_ON_CUDA,
    floating=True,
    cost=30,
    c=C("log2{F}({x})"),
    ufunc=np.log2,
    in_place=True,
    x=lambda dout, x: dout / (x * _LN2),
)
def log2(xp: Any, x: Any, /) -> Any:
    """out = log₂ x;  dx = dout / (x · ln 2)."""
    return xp.log2(x)


@pointwise(
    floating=True,
    cost=30,
    c=C("exp2{F}({x})"),
    ufunc=np.exp2,
    in_place=True,
    x=lambda dout, out: dout * out * _LN2,
)
def exp2(xp: Any, x: Any, /) -> Any:
    """out = 2ˣ;  dx = dout · out · ln 2."""
    return xp.exp2(x)


def beside(xp: Any, x: Any, *others: Any) -> Any:
    """Return x; a number beside arrays as one of the dtype of the first of them, so that a function of it
    does not widen theirs."""
    arrays = [other for other in others if hasattr(other, "dtype")]
    return xp.zeros_like(arrays[0]) + x if arrays and not hasattr(x, "dtype") else x


def _log(xp: Any, b: Any, like: Any) -> Any:
    """Return ln b; of a number beside the array `like` in the dtype of that."""
    return xp.log(beside(xp, b, like))


def _slope_of_factor(xp: Any, dout: Any, a: Any, b: Any) -> Any:
    """Return dout · ln b, which is 0 for a dout of 0; and 0 where a is 0 and b not positive."""
    return xp.where((a == 0) & (b <= 0), 0.0, xlogy.on(xp, dout, b))


@pointwise(
    broadcasts=True,
    floating=True,
    named=True,
    in_torch="torch.xlogy({a}, {b})",
    in_place=True,
    side=lambda xp, a, b: a * xp.where((a == 0) & (b <= 0), 0.0, _log(xp, b, a)),
    a=_slope_of_factor,
    b=lambda dout, a, b: dout * a / b,
)
def xlogy(xp: Any, a: Any, b: Any, /) -> Any:
    """out = a · ln b, and 0 where a is 0 and b a number;  da = dout · ln b, computed in the same way, and 0
    where a is 0 and b ≤ 0,  db = dout · a / b."""
    return xp.where((a == 0) & (b == b), 0.0, a * _log(xp, b, a))
