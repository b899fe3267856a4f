"""Comparisons, logic, and choices between elements. What is true or false has no derivative."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .elementwise import pointwise
from .facts import C
from .operation import Operation


def infix(sign: str, **keywords: Any) -> Callable[[Callable[..., Any]], Operation]:
    """Return the decorator of an operation that C and Python write as a sign between its two operands."""
    return pointwise(broadcasts=True, c=C(f"({{a}} {sign} {{b}})"), operator=sign, **keywords)


def _clamp_slope(xp: Any, dout: Any, x: Any, low: Any, high: Any) -> Any:
    if low is not None:
        dout = xp.where(x >= low, dout, 0.0)
    return dout if high is None else xp.where(x <= high, dout, 0.0)


def _within_bounds(xp: Any, x: Any, low: Any, high: Any) -> Any:
    out = x if low is None else xp.where(x < low, low, x)
    return out if high is None else xp.where(x > high, high, out)


@pointwise(
    torch_name="ClampBackward1",
    side=_within_bounds,
    in_place=True,
    x=_clamp_slope,
)
def clamp(xp: Any, x: Any, /, low: Any, high: Any) -> Any:
    """out = min(max(x, low), high), either bound a number or None;  dx = dout where low ≤ x ≤ high, else
    0."""
    out = x if low is None else xp.maximum(low, x)  # of two zeros the second, as in PyTorch
    return out if high is None else xp.minimum(high, out)


@pointwise(
    broadcasts=True,
    torch_name="ClampBackward0",
    side=lambda xp, a, b: xp.where(a < b, b, a),
    a=lambda xp, dout, a, b: xp.where(a >= b, dout, 0.0),
    b=lambda xp, dout, a, b: xp.where(a < b, dout, 0.0),
)
def clamp_min(xp: Any, a: Any, b: Any, /) -> Any:
    """out = a, or b where a is below;  dout goes to the one that was taken, and to a on a tie."""
    return xp.maximum(a, b)


@pointwise(
    broadcasts=True,
    torch_name="ClampBackward0",
    side=lambda xp, a, b: xp.where(a > b, b, a),
    a=lambda xp, dout, a, b: xp.where(a <= b, dout, 0.0),
    b=lambda xp, dout, a, b: xp.where(a > b, dout, 0.0),
)
def clamp_max(xp: Any, a: Any, b: Any, /) -> Any:
    """out = a, or b where a is above;  dout goes to the one that was taken, and to a on a tie."""
    return xp.minimum(a, b)


@pointwise(
    torch_name="ClampBackward0",
    side=lambda xp, x, low, high: xp.where((x > high) | (high < low), high, xp.where(x < low, low, x)),
    x=lambda xp, dout, x, low, high: xp.where((x >= low) & (x <= high), dout, 0.0),
    low=lambda xp, dout, x, low, high: xp.where((x < low) & (low < high), dout, 0.0),
    high=lambda xp, dout, x, low, high: xp.where((x > high) | (high < low), dout, 0.0),
)
def clamp_between(xp: Any, x: Any, low: Any, high: Any, /) -> Any:
    """out = min(max(x, low), high), all of one shape;  dout goes to the one that was taken: to x on a tie, to
    neither bound where x is below equal ones."""
    return xp.minimum(xp.maximum(x, low), high)


def _winner_slope(xp: Any, dout: Any, lost: Any, tied: Any) -> Any:
    return xp.where(lost, 0.0, xp.where(tied, dout / 2, dout))


@pointwise(
    broadcasts=True,
    neutral=-math.inf,
    c=C("({a} > {b} ? {a} : {b})", floats="({a} > {b} || {a} != {a} ? {a} : {b})"),
    ufunc=np.maximum,
    side=lambda xp, a, b: xp.where(a < b, b, xp.where(a == b, (a + b) / 2, a)),
    a=lambda xp, dout, a, b: _winner_slope(xp, dout, a < b, a == b),
    b=lambda xp, dout, a, b: _winner_slope(xp, dout, b < a, a == b),
)
def maximum(xp: Any, a: Any, b: Any, /) -> Any:
    """out = the larger;  dout goes to it, and half to each on a tie."""
    return xp.maximum(a, b)


@pointwise(
    broadcasts=True,
    neutral=math.inf,
    c=C("({a} < {b} ? {a} : {b})", floats="({a} < {b} || {a} != {a} ? {a} : {b})"),
    ufunc=np.minimum,
    side=lambda xp, a, b: xp.where(a > b, b, xp.where(a == b, (a + b) / 2, a)),
    a=lambda xp, dout, a, b: _winner_slope(xp, dout, a > b, a == b),
    b=lambda xp, dout, a, b: _winner_slope(xp, dout, b > a, a == b),
)
def minimum(xp: Any, a: Any, b: Any, /) -> Any:
    """out = the smaller;  dout goes to it, and half to each on a tie."""
    return xp.minimum(a, b)


@pointwise(
    broadcasts=True,
    c=C("({condition} ? {a} : {b})"),
    a=lambda xp, dout, condition: xp.where(condition, dout, 0.0),
    b=lambda xp, dout, condition: xp.where(condition, 0.0, dout),
)
def where(xp: Any, a: Any, b: Any, /, condition: Any) -> Any:
    """out = a where the condition holds, else b;  dout goes to the one that was taken."""
    return xp.where(condition, a, b)


@infix("==", commutative=True, predicate=True, ufunc=np.equal, in_place=True)
def eq(a: Any, b: Any, /) -> Any:
    """out = whether a = b."""
    return a == b


@infix("!=", commutative=True, predicate=True, ufunc=np.not_equal, in_place=True)
def ne(a: Any, b: Any, /) -> Any:
    """out = whether a ≠ b."""
    return a != b


@infix("<", predicate=True, ufunc=np.less, in_place=True)
def lt(a: Any, b: Any, /) -> Any:
    """out = whether a < b."""
    return a < b


@infix("<=", predicate=True, ufunc=np.less_equal, in_place=True)
def le(a: Any, b: Any, /) -> Any:
    """out = whether a ≤ b."""
    return a <= b


@infix(">", predicate=True, ufunc=np.greater, in_place=True)
def gt(a: Any, b: Any, /) -> Any:
    """out = whether a > b."""
    return a > b


@infix(">=", predicate=True, ufunc=np.greater_equal, in_place=True)
def ge(a: Any, b: Any, /) -> Any:
    """out = whether a ≥ b."""
    return a >= b


@infix(
    "&",
    commutative=True,
    neutral=-1,
    ufunc=np.bitwise_and,
    in_place=True,
)
def bitwise_and(a: Any, b: Any, /) -> Any:
    """out = a and b: logical for bool, bit by bit for integers."""
    return a & b


@infix(
    "|",
    commutative=True,
    neutral=0,
    ufunc=np.bitwise_or,
    in_place=True,
)
def bitwise_or(a: Any, b: Any, /) -> Any:
    """out = a or b: logical for bool, bit by bit for integers."""
    return a | b


@infix(
    "^",
    commutative=True,
    neutral=0,
    ufunc=np.bitwise_xor,
    in_place=True,
)
def bitwise_xor(a: Any, b: Any, /) -> Any:
    """out = a or b but not both: logical for bool, bit by bit for integers."""
    return a ^ b


@pointwise(
    c=C("(~{x})", bools="(!{x})"),
    ufunc=np.invert,
    operator="~",
    in_place=True,
)
def bitwise_not(x: Any, /) -> Any:
    """out = not x: logical for bool, bit by bit for integers."""
    return ~x


@pointwise(predicate=True, c=C("({x} == 0)"), ufunc=np.logical_not, in_place=True)
def logical_not(xp: Any, x: Any, /) -> Any:
    """out = whether x is zero."""
    return xp.logical_not(x)


@pointwise(predicate=True, c=C("({x} != {x})"), ufunc=np.isnan)
def isnan(xp: Any, x: Any, /) -> Any:
    """out = whether x is not a number."""
    return xp.isnan(x)


@pointwise(predicate=True, c=C("0", floats="(__builtin_fabs{F}({x}) == INFINITY)"), ufunc=np.isinf)
def isinf(xp: Any, x: Any, /) -> Any:
    """out = whether x is infinite."""
    return xp.isinf(x)


@pointwise(predicate=True, c=C("1", floats="(__builtin_fabs{F}({x}) < INFINITY)"), ufunc=np.isfinite)
def isfinite(xp: Any, x: Any, /) -> Any:
    """out = whether x is neither infinite nor NaN."""
    return xp.isfinite(x)
