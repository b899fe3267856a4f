"""Hyperbolic functions, and their inverses."""

from __future__ import annotations

from typing import Any

import numpy as np

from .elementwise import pointwise
from .facts import C


@pointwise(
    floating=True,
    cost=30,
    c=C("sinh{F}({x})"),
    ufunc=np.sinh,
    formula=(r"\sinh", "sinh"),
    in_place=True,
    x=lambda xp, dout, x: dout * xp.cosh(x),
)
def sinh(xp: Any, x: Any, /) -> Any:
    """out = sinh x = (eˣ - e⁻ˣ) / 2;  dx = dout · cosh x."""
    return xp.sinh(x)


@pointwise(
    floating=True,
    cost=30,
    c=C("cosh{F}({x})"),
    ufunc=np.cosh,
    formula=(r"\cosh", "cosh"),
    in_place=True,
    x=lambda xp, dout, x: dout * xp.sinh(x),
)
def cosh(xp: Any, x: Any, /) -> Any:
    """out = cosh x = (eˣ + e⁻ˣ) / 2;  dx = dout · sinh x."""
    return xp.cosh(x)


@pointwise(
    floating=True,
    cost=30,
    c=C("asinh{F}({x})"),
    ufunc=np.arcsinh,
    in_place=True,
    x=lambda xp, dout, x: dout / xp.sqrt(x * x + 1),
)
def asinh(xp: Any, x: Any, /) -> Any:
    """out = the number whose sinh is x;  dx = dout / √(x² + 1)."""
    return xp.asinh(x)


@pointwise(
    floating=True,
    cost=30,
    c=C("acosh{F}({x})"),
    ufunc=np.arccosh,
    in_place=True,
    x=lambda xp, dout, x: dout / xp.sqrt(x * x - 1),
)
def acosh(xp: Any, x: Any, /) -> Any:
    """out = the number from 0 on whose cosh is x;  dx = dout / √(x² - 1)."""
    return xp.acosh(x)


@pointwise(
    floating=True,
    cost=30,
    c=C("atanh{F}({x})"),
    ufunc=np.arctanh,
    in_place=True,
    x=lambda dout, x: dout / (1 - x * x),
)
def atanh(xp: Any, x: Any, /) -> Any:
    """out = the number whose tanh is x;  dx = dout / (1 - x²)."""
    return xp.atanh(x)
