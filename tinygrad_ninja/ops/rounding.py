"""Operations that are constant except for jumps, with the slope 0: signs, integer parts, remainders."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays.dispatch import NAMESPACES
from .elementwise import pointwise
from .facts import C


def flat(xp: Any, dout: Any) -> Any:
    """Return the gradient of a function that is constant except for jumps: zeros."""
    return xp.zeros_like(dout)


@pointwise(
    c=C("({T})(({x} > 0) - ({x} < 0))", bools="{x}"),
    light=True,
    in_place=True,
    x=flat,
)
def sign(xp: Any, x: Any, /) -> Any:
    """out = -1, 0 or 1;  dx = 0."""
    return xp.sign(x)


@pointwise(
    numeric=True,
    c=C("{x}", floats="__builtin_floor{F}({x})"),
    ufunc=np.floor,
    in_place=True,
    x=flat,
)
def floor(xp: Any, x: Any, /) -> Any:
    """out = the largest integer not above x;  dx = 0."""
    return xp.floor(x)


@pointwise(
    numeric=True,
    c=C("{x}", floats="__builtin_trunc{F}({x})"),
    ufunc=np.trunc,
    in_place=True,
    x=flat,
)
def trunc(xp: Any, x: Any, /) -> Any:
    """out = x without its fraction;  dx = 0."""
    return xp.trunc(x)


@pointwise(
    numeric=True,
    c=C("{x}", floats="__builtin_ceil{F}({x})"),
    ufunc=np.ceil,
    in_place=True,
    x=flat,
)
def ceil(xp: Any, x: Any, /) -> Any:
    """out = the smallest integer not below x;  dx = 0."""
    return xp.ceil(x)


@pointwise(
    c=C("{x}", floats="__builtin_rint{F}({x})"),
    x=flat,
)
def round(xp: Any, x: Any, /) -> Any:
    """out = the nearest integer, of two the even one;  dx = 0."""
    return xp.round(x)


def _holds(condition: Any) -> bool:
    """Return the truth of an array of one element, which decides only whether an error is raised: a recording
    leaves this check to what it records."""
    xp = NAMESPACES[type(condition)]
    return bool(xp.checked(condition) if hasattr(xp, "checked") else condition)


def _refuse_zero(xp: Any, a: Any, b: Any) -> None:
    """Raise RuntimeError for a division of integers by zero, which unlike that of floats has no result."""
    integral = xp.is_integral(a if hasattr(a, "dtype") else b)
    empty = 0 in (*getattr(a, "shape", ()), *getattr(b, "shape", ()))
    if integral and not empty and not _holds(b if isinstance(b, (int, float)) else xp.all(b, None, False)):
        raise RuntimeError("integer division by zero (ZeroDivisionError)")


@pointwise(
    broadcasts=True,
    numeric=True,
    keeps=True,
    torch_name="DivBackward2",
    c=C("(({T})div_i({a}, {b}))", floats="floor_divide_{K}({a}, {b})"),
    operator="//",
    in_place=True,
    a=flat,
    b=flat,
)
def floor_divide(xp: Any, a: Any, b: Any, /) -> Any:
    """out = ⌊a / b⌋;  da = db = 0."""
    _refuse_zero(xp, a, b)
    return a // b


@pointwise(
    broadcasts=True,
    floating=True,
    keeps=True,
    torch_name="DivBackward2",
    cost=5,
    c=C("__builtin_trunc{F}({a} / {b})"),
    in_torch="torch.div({a}, {b}, rounding_mode='trunc')",
    in_numpy="np.trunc({a} / {b})",
    a=flat,
    b=flat,
)
def trunc_divide(xp: Any, a: Any, b: Any, /) -> Any:
    """out = trunc(a / b);  da = db = 0, also where a / b has no slope."""
    return xp.trunc_divide(a, b)


@pointwise(
    broadcasts=True,
    numeric=True,
    cost=10,
    c=C("mod_{K}({a}, {b})"),
    operator="%",
    side=lambda xp, a, b: a - b * xp.floor(a / b),
    in_place=True,
    a=lambda dout: dout,
    b=lambda xp, dout, a, b: -dout * floor_divide.on(xp, a, b),
)
def remainder(xp: Any, a: Any, b: Any, /) -> Any:
    """out = a - b · ⌊a / b⌋, with the sign of b;  da = dout,  db = -dout · ⌊a / b⌋."""
    _refuse_zero(xp, a, b)
    return xp.remainder(a, b)


@pointwise(
    broadcasts=True,
    numeric=True,
    cost=10,
    c=C("({b} == 0 || {b} == -1 ? 0 : {a} % {b})", floats="fmod{F}({a}, {b})"),
    side=lambda xp, a, b: a - b * xp.trunc(a / b),
    in_place=True,
    a=lambda dout: dout,
    b=lambda xp, dout, a, b: -dout * trunc_divide.on(xp, a, b),
)
def fmod(xp: Any, a: Any, b: Any, /) -> Any:
    """out = a - b · trunc(a / b), with the sign of a;  da = dout,  db = -dout · trunc(a / b)."""
    _refuse_zero(xp, a, b)
    return xp.fmod(a, b)


@pointwise(
    c=C(
        "({x} < 0 ? (-{x}) : {x})",
        floats="__builtin_fabs{F}({x})",
        wraps="({x} < 0 ? (({T})(({U})0 - ({U}){x})) : {x})",
    ),
    ufunc=np.absolute,
    side=lambda xp, x: x * xp.sign(x),
    in_place=True,
    x=lambda xp, dout, x: dout * xp.sign(x),
)
def abs(xp: Any, x: Any, /) -> Any:
    """out = |x|;  dx = dout · sign x, which is 0 at x = 0."""
    return xp.abs(x)
