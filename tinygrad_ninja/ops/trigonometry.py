"""Sine, cosine and tangent, of angles in radians; the angles of these, and of a point; and its distance."""

from __future__ import annotations

from typing import Any

import numpy as np

from .elementwise import pointwise
from .facts import C


@pointwise(
    floating=True,
    cost=30,
    c=C("sin{F}({x})"),
    ufunc=np.sin,
    formula=(r"\sin", "sin"),
    in_place=True,
    x=lambda xp, dout, x: dout * xp.cos(x),
)
def sin(xp: Any, x: Any, /) -> Any:
    """out = sin x;  dx = dout · cos x."""
    return xp.sin(x)


@pointwise(
    floating=True,
    cost=30,
    c=C("cos{F}({x})"),
    ufunc=np.cos,
    formula=(r"\cos", "cos"),
    in_place=True,
    x=lambda xp, dout, x: -dout * xp.sin(x),
)
def cos(xp: Any, x: Any, /) -> Any:
    """out = cos x;  dx = -dout · sin x."""
    return xp.cos(x)


@pointwise(
    floating=True,
    cost=30,
    c=C("tan{F}({x})"),
    ufunc=np.tan,
    formula=(r"\tan", "tan"),
    in_place=True,
    x=lambda dout, out: dout * (1 + out * out),
)
def tan(xp: Any, x: Any, /) -> Any:
    """out = tan x;  dx = dout · (1 + out²)."""
    return xp.tan(x)


@pointwise(
    floating=True,
    cost=30,
    c=C("asin{F}({x})"),
    ufunc=np.arcsin,
    formula=(r"\arcsin", "arcsin"),
    in_place=True,
    x=lambda xp, dout, x: dout / xp.sqrt(1 - x * x),
)
def asin(xp: Any, x: Any, /) -> Any:
    """out = the angle from -π/2 to π/2 whose sine is x;  dx = dout / √(1 - x²)."""
    return xp.asin(x)


@pointwise(
    floating=True,
    cost=30,
    c=C("acos{F}({x})"),
    ufunc=np.arccos,
    formula=(r"\arccos", "arccos"),
    in_place=True,
    x=lambda xp, dout, x: -dout / xp.sqrt(1 - x * x),
)
def acos(xp: Any, x: Any, /) -> Any:
    """out = the angle from 0 to π whose cosine is x;  dx = -dout / √(1 - x²)."""
    return xp.acos(x)


@pointwise(
    floating=True,
    cost=30,
    c=C("atan{F}({x})"),
    ufunc=np.arctan,
    formula=(r"\arctan", "arctan"),
    in_place=True,
    x=lambda dout, x: dout / (x * x + 1),
)
def atan(xp: Any, x: Any, /) -> Any:
    """out = the angle from -π/2 to π/2 whose tangent is x;  dx = dout / (1 + x²)."""
    return xp.atan(x)


def _over_square(xp: Any, dout: Any, a: Any, b: Any) -> Any:
    """Return dout / (a² + b²), but 0 where both are 0: there the angle has no slope."""
    square = a * a + b * b
    return xp.where(square == 0, 0.0, dout / square)


@pointwise(
    broadcasts=True,
    floating=True,
    cost=40,
    c=C("atan2{F}({a}, {b})"),
    ufunc=np.arctan2,
    in_place=True,
    a=lambda xp, dout, a, b: b * _over_square(xp, dout, a, b),
    b=lambda xp, dout, a, b: -a * _over_square(xp, dout, a, b),
)
def atan2(xp: Any, a: Any, b: Any, /) -> Any:
    """out = the angle from -π to π of the point with height a and width b;  da = dout · b / (a² + b²),
    db = -dout · a / (a² + b²)."""
    return xp.atan2(a, b)


@pointwise(
    broadcasts=True,
    cost=20,
    c=C("hypot{F}({a}, {b})"),
    ufunc=np.hypot,
    in_place=True,
    a=lambda dout, out, a: dout * (a / out),
    b=lambda dout, out, b: dout * (b / out),
)
def hypot(xp: Any, a: Any, b: Any, /) -> Any:
    """out = √(a² + b²), without overflow;  da = dout · a / out,  db = dout · b / out."""
    return xp.hypot(a, b)
