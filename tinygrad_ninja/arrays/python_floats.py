"""Python floats: the functions of `math`, with IEEE answers where `math` raises. What is not here is NumPy's
function of that name, if it is an elementwise one."""

from __future__ import annotations

import math
from collections.abc import Callable
from math import cos, erf, isfinite, isinf, isnan, sin, tanh  # noqa: F401 - the namespace has them
from typing import Any

import numpy as np

abs = abs
asarray = float


def __getattr__(name: str) -> Callable[..., Any]:
    """Return NumPy's elementwise function of that name, as a function of floats."""
    function = getattr(np, name, None)
    if not isinstance(function, np.ufunc):
        raise AttributeError(f"there is no function {name} of a Python float")

    def call(*numbers: float) -> Any:
        with np.errstate(all="ignore"):
            return function(*numbers).item()

    globals()[name] = call
    return call


def copy(x: float, ordered: bool = False) -> float:
    return x


def deepcopy(x: float, memo: dict[int, Any]) -> float:
    return x


def exp(x: float) -> float:
    try:
        return math.exp(x)
    except OverflowError:
        return math.inf


def log(x: float) -> float:
    if x > 0:
        return math.log(x)
    return -math.inf if x == 0 else math.nan


def sqrt(x: float) -> float:
    return math.nan if x < 0 else math.sqrt(x)


def round(x: float) -> float:
    return float(np.rint(x))


def pow(x: float, y: float) -> float:
    try:
        return math.pow(x, y)
    except OverflowError:
        return -math.inf if x < 0 and y % 2 == 1 else math.inf
    except ValueError:  # zero to a negative power, or a negative number to a fraction
        return math.copysign(math.inf, x if y % 2 == 1 else 1.0) if x == 0 else math.nan


def remainder(x: float, y: float) -> float:
    if math.isinf(x) or y == 0:
        return math.nan
    return x % y or math.copysign(0.0, x)


def trunc_divide(x: float, y: float) -> float:
    return float(np.trunc(np.divide(x, y)))


def sign(x: float) -> float:
    return float((x > 0) - (x < 0))


def maximum(x: float, y: float) -> float:
    return float(x if x > y or x != x else y)  # of two zeros y, as NumPy's and C's


def minimum(x: float, y: float) -> float:
    return float(x if x <= y or x != x else y)


def where(condition: bool, x: float, y: float) -> float:
    return float(x if condition else y)


def one_minus_square(y: float) -> float:
    return 1 - y * y


def zeros_like(x: float) -> float:
    return 0.0


def ones_like(x: float) -> float:
    return 1.0


def is_integral(x: float) -> bool:
    return False


def device(x: float) -> str:
    return "float"


def to_numpy(x: float) -> Any:
    return np.asarray(x)
