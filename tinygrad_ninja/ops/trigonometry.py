"""Sine and cosine, of angles in radians."""

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
