"""Operations on each element by itself. Two inputs are broadcast; each gradient is summed back to its
shape."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from .facts import C, Category
from .table import Operation, operation

pointwise = partial(operation, category=Category.ELEMENTWISE)


def infix(sign: str, **keywords: Any) -> Callable[[Callable[..., Any]], Operation]:
    """Return the decorator of an operation that C and Python write as a sign between its two operands."""
    return pointwise(broadcasts=True, c=C(f"({{a}} {sign} {{b}})"), operator=sign, **keywords)


@pointwise(
    broadcasts=True,
    commutative=True,
    neutral=0,
    c=C("({a} + {b})", wraps="(({T})(({U}){a} + ({U}){b}))", bools="({a} | {b})"),
    ufunc=np.add,
    operator="+",
    drawn="+",
    in_place=True,
    a=lambda dout: dout,
    b=lambda dout: dout,
)
def add(a: Any, b: Any, /) -> Any:
    """out = a + b;  da = dout,  db = dout."""
    return a + b


@pointwise(
    broadcasts=True,
    numeric=True,
    neutral=0,
    c=C("({a} - {b})", wraps="(({T})(({U}){a} - ({U}){b}))"),
    ufunc=np.subtract,
    operator="-",
    drawn="−",
    in_place=True,
    a=lambda dout: dout,
    b=lambda dout: -dout,
)
def sub(a: Any, b: Any, /) -> Any:
    """out = a - b;  da = dout,  db = -dout."""
    return a - b


@pointwise(
    broadcasts=True,
    numeric=True,
    torch_name="RsubBackward1",
    a=lambda dout: -dout,
    b=lambda dout: dout,
)
def rsub(a: Any, b: Any, /) -> Any:
    """out = b - a;  da = -dout,  db = dout."""
    return b - a


@pointwise(
    broadcasts=True,
    commutative=True,
    neutral=1,
    c=C("({a} * {b})", wraps="(({T})(({U}){a} * ({U}){b}))", bools="({a} & {b})"),
    ufunc=np.multiply,
    operator="*",
    drawn="×",
    in_place=True,
    a=lambda dout, b: dout * b,
    b=lambda dout, a: dout * a,
)
def mul(a: Any, b: Any, /) -> Any:
    """out = a · b;  da = dout · b,  db = dout · a."""
    return a * b


@pointwise(
    broadcasts=True,
    floating=True,
    neutral=1,
    cost=5,
    c=C("({a} / {b})"),
    ufunc=np.true_divide,
    operator="/",
    drawn="÷",
    in_place=True,
    a=lambda dout, b: dout / b,
    b=lambda dout, a, b: -dout * ((a / b) / b),
)
def div(a: Any, b: Any, /) -> Any:
    """out = a / b;  da = dout / b,  db = -dout · a / b²."""
    return a / b


@pointwise(
    floating=True,
    cost=5,
    light=True,
    in_place=True,
    x=lambda dout, out: -dout * out * out,
)
def reciprocal(xp: Any, x: Any, /) -> Any:
    """out = 1 / x;  dx = -dout · out²."""
    return 1 / x


@pointwise(
    c=C("(-{x})", wraps="(({T})(({U})0 - ({U}){x}))"),
    ufunc=np.negative,
    operator="-",
    light=True,
    in_place=True,
    x=lambda dout: -dout,
)
def neg(x: Any, /) -> Any:
    """out = -x;  dx = -dout."""
    return -x


def _base_slope(xp: Any, dout: Any, a: Any, b: Any) -> Any:
    """Zero where the exponent is: x⁰ is 1 everywhere, also at x = 0, where the formula would give 0 · ∞."""
    if isinstance(b, (int, float)):
        if b == 2 and getattr(a, "edge", None) is None:  # else a¹ is recorded, which can be differentiated
            return dout * (b * a)
        return xp.zeros_like(dout) if b == 0 else dout * (b * xp.pow(a, b - 1))
    return xp.where(b == 0, 0.0, dout * (b * xp.pow(a, b - 1)))


def _exponent_slope(xp: Any, dout: Any, out: Any, a: Any, b: Any) -> Any:
    """Zero where the base is 0 and the exponent is not negative: 0ᵇ is then flat."""
    base = xp.zeros_like(dout) + a
    slope = out * xp.log(base)
    return dout * xp.where(base == 0, xp.where(b >= 0, 0.0, slope), slope)


@pointwise(
    broadcasts=True,
    numeric=True,
    cost=40,
    c=C("(({T})pow_i({a}, {b}))", floats="pow{F}({a}, {b})"),
    operator="**",
    drawn="^",
    in_place=True,
    a=_base_slope,
    b=_exponent_slope,
)
def pow(xp: Any, a: Any, b: Any, /) -> Any:
    """out = aᵇ;  da = dout · b · aᵇ⁻¹,  db = dout · aᵇ · log a."""
    return xp.pow(a, b)


@pointwise(
    floating=True,
    cost=20,
    c=C("exp_{K}({x})"),
    ufunc=np.exp,
    in_place=True,
    x=lambda dout, out: dout * out,
)
def exp(xp: Any, x: Any, /) -> Any:
    """out = eˣ;  dx = dout · out."""
    return xp.exp(x)


@pointwise(
    floating=True,
    cost=20,
    c=C("log_{K}({x})"),
    ufunc=np.log,
    formula=(r"\ln", "ln"),
    in_place=True,
    x=lambda dout, x: dout / x,
)
def log(xp: Any, x: Any, /) -> Any:
    """out = ln x;  dx = dout / x."""
    return xp.log(x)


@pointwise(
    floating=True,
    cost=5,
    c=C("__builtin_sqrt{F}({x})"),
    ufunc=np.sqrt,
    in_place=True,
    x=lambda dout, out: dout / (2 * out),
)
def sqrt(xp: Any, x: Any, /) -> Any:
    """out = √x;  dx = dout / (2 · out)."""
    return xp.sqrt(x)


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
    cost=20,
    c=C("tanh_{K}({x})"),
    ufunc=np.tanh,
    formula=(r"\tanh", "tanh"),
    in_place=True,
    x=lambda xp, dout, out: xp.one_minus_square(out) * dout,
)
def tanh(xp: Any, x: Any, /) -> Any:
    """out = tanh x;  dx = dout · (1 - out²)."""
    return xp.tanh(x)


@pointwise(
    c=C("(1 - ({y} * {y}))", wraps="(({T})(({U})1 - ({U})(({T})(({U}){y} * ({U}){y}))))"),
    light=True,
    y=lambda dout, y: -2 * y * dout,
)
def one_minus_square(xp: Any, y: Any, /) -> Any:
    """out = 1 - y²;  dy = -2 · y · dout. The slope of tanh, which torch rounds once."""
    return xp.one_minus_square(y)


@pointwise(
    floating=True,
    cost=30,
    c=C("erf{F}({x})"),
    in_place=True,
    x=lambda xp, dout, x: dout * (2 / math.sqrt(math.pi)) * xp.exp(-x * x),
)
def erf(xp: Any, x: Any, /) -> Any:
    """out = 2/√π ∫₀ˣ e^(-t²) dt;  dx = dout · 2/√π · e^(-x²)."""
    return xp.erf(x)


@pointwise(
    floating=True,
    in_torch="torch.sigmoid({x})",
    in_place=True,
    x=lambda dout, out: dout * (1 - out) * out,
)
def sigmoid(xp: Any, x: Any, /) -> Any:
    """out = 1 / (1 + e⁻ˣ);  dx = dout · out · (1 - out)."""
    return 1 / (1 + xp.exp(-x))


@pointwise(
    in_torch="torch.relu({x})",
    side=lambda xp, x: xp.where(x <= 0, 0.0, x),
    in_place=True,
    x=lambda xp, dout, out: xp.where(out <= 0, 0.0, dout),
)
def relu(xp: Any, x: Any, /) -> Any:
    """out = max(x, 0);  dx = dout where out > 0, else 0 (and 0 at x = 0)."""
    return xp.maximum(x, 0)


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


def flat(xp: Any, dout: Any) -> Any:
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
    c=C("{x}", floats="__builtin_floor{F}({x})"),
    ufunc=np.floor,
    in_place=True,
    x=flat,
)
def floor(xp: Any, x: Any, /) -> Any:
    """out = the largest integer not above x;  dx = 0."""
    return xp.floor(x)


@pointwise(
    c=C("{x}", floats="__builtin_trunc{F}({x})"),
    ufunc=np.trunc,
    in_place=True,
    x=flat,
)
def trunc(xp: Any, x: Any, /) -> Any:
    """out = x without its fraction;  dx = 0."""
    return xp.trunc(x)


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
    out = x if low is None else xp.maximum(x, low)
    return out if high is None else xp.minimum(out, high)


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


def _refuse_zero(xp: Any, a: Any, b: Any) -> None:
    """Among integers there is no answer to a division by zero, as infinity is among floats."""
    integral = xp.is_integral(a if hasattr(a, "dtype") else b)
    empty = 0 in (*getattr(a, "shape", ()), *getattr(b, "shape", ()))
    if integral and not empty and not (b if isinstance(b, (int, float)) else xp.all(b, None, False)):
        raise RuntimeError("integer division by zero (ZeroDivisionError)")


@pointwise(
    broadcasts=True,
    numeric=True,
    cost=10,
    c=C("mod_{K}({a}, {b})"),
    operator="%",
    side=lambda xp, a, b: a - b * xp.floor(a / b),
    in_place=True,
    a=lambda dout: dout,
    b=lambda xp, dout, a, b: -dout * xp.floor(a / b),
)
def remainder(xp: Any, a: Any, b: Any, /) -> Any:
    """out = a - b · ⌊a / b⌋, with the sign of b;  da = dout,  db = -dout · ⌊a / b⌋."""
    _refuse_zero(xp, a, b)
    return a % b


@pointwise(
    broadcasts=True,
    numeric=True,
    keeps=True,
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
    torch_name="ToCopyBackward0",
    c=C("{x}"),
    standard="astype",
    in_torch="{x}.to({dtype})",
    in_numpy="{x}.astype({dtype})",
    light=True,
    x=lambda xp, dout, x_like: xp.astype(dout, x_like.dtype),
)
def cast(xp: Any, x: Any, /, dtype: Any) -> Any:
    """out = x in another dtype;  dx = dout in the dtype of x."""
    return xp.astype(x, dtype)


# Of these there is no derivative: what comes out is true or false, or an integer.


@infix("==", commutative=True, predicate=True, ufunc=np.equal)
def eq(a: Any, b: Any, /) -> Any:
    """out = whether a = b."""
    return a == b


@infix("!=", commutative=True, predicate=True, ufunc=np.not_equal)
def ne(a: Any, b: Any, /) -> Any:
    """out = whether a ≠ b."""
    return a != b


@infix("<", predicate=True, ufunc=np.less)
def lt(a: Any, b: Any, /) -> Any:
    """out = whether a < b."""
    return a < b


@infix("<=", predicate=True, ufunc=np.less_equal)
def le(a: Any, b: Any, /) -> Any:
    """out = whether a ≤ b."""
    return a <= b


@infix(">", predicate=True, ufunc=np.greater)
def gt(a: Any, b: Any, /) -> Any:
    """out = whether a > b."""
    return a > b


@infix(">=", predicate=True, ufunc=np.greater_equal)
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


@pointwise(predicate=True, c=C("({x} == 0)"), ufunc=np.logical_not)
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
