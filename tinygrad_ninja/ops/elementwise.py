"""Operations on each element by itself. Two inputs are broadcast; each gradient is summed back to its
shape."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from .facts import C, Category, Precision
from .operation import operation

pointwise = partial(operation, category=Category.ELEMENTWISE)


@pointwise(
    broadcasts=True,
    commutative=True,
    neutral=0,
    c=C("({a} + {b})", wraps="(({T})(({U}){a} + ({U}){b}))", bools="({a} | {b})"),
    ufunc=np.add,
    operator="+",
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
    in_place=True,
    a=lambda dout, b: dout / b,
    b=lambda dout, a, b: -dout * ((a / b) / b),
)
def div(a: Any, b: Any, /) -> Any:
    """out = a / b;  da = dout / b,  db = -dout · a / b²."""
    return a / b


@pointwise(
    autocast=Precision.FLOAT32_ON_CUDA,
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
    """Return the gradient of the base. It is 0 where the exponent is 0: x⁰ is 1 everywhere, also at x = 0,
    where the formula would give 0 · ∞."""
    if isinstance(b, (int, float)):
        if b == 2 and getattr(a, "edge", None) is None:  # else a¹ is recorded, which can be differentiated
            return dout * (b * a)
        return xp.zeros_like(dout) if b == 0 else dout * (b * xp.pow(a, b - 1))
    return xp.where(b == 0, 0.0, dout * (b * xp.pow(a, b - 1)))


def _exponent_slope(xp: Any, dout: Any, out: Any, a: Any, b: Any) -> Any:
    """Return the gradient of the exponent. It is 0 where the base is 0 and the exponent is not negative:
    there 0ᵇ is constant."""
    base = xp.zeros_like(dout) + a
    slope = out * xp.log(base)
    return dout * xp.where(base == 0, xp.where(b >= 0, 0.0, slope), slope)


@pointwise(
    autocast=Precision.FLOAT32_ON_CUDA,
    broadcasts=True,
    numeric=True,
    cost=40,
    c=C("(({T})pow_i({a}, {b}))", floats="pow{F}({a}, {b})"),
    operator="**",
    in_place=True,
    a=_base_slope,
    b=_exponent_slope,
)
def pow(xp: Any, a: Any, b: Any, /) -> Any:
    """out = aᵇ;  da = dout · b · aᵇ⁻¹,  db = dout · aᵇ · log a."""
    return xp.pow(a, b)


@pointwise(
    autocast=Precision.FLOAT32_ON_CUDA,
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
    autocast=Precision.FLOAT32_ON_CUDA,
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
    numeric=True,
    in_torch="torch.relu({x})",
    side=lambda xp, x: xp.where(x <= 0, 0.0, x),
    in_place=True,
    x=lambda xp, dout, out: xp.where(out <= 0, 0.0, dout),
)
def relu(xp: Any, x: Any, /) -> Any:
    """out = max(x, 0);  dx = dout where out > 0, else 0 (and 0 at x = 0)."""
    return xp.maximum(0, x)  # of two zeros the second, so that -0 stays, as in PyTorch


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
