"""Functions that NumPy lacks, answers otherwise than PyTorch, or has a faster way for."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy import abs, logical_or, maximum, reciprocal, sqrt

from .numpy_memory import FLOATS, HALF, Array, empty_like

__all__ = (
    "argsort", "cumulative_sum", "diagonal", "erf", "matmul", "pow", "remainder", "sign", "trunc_divide",
)  # fmt: skip


def pow(x: Any, y: Any) -> Any:
    if type(y) is int or type(y) is float:
        if y == -0.5:
            return reciprocal(sqrt(x))  # faster than NumPy's power, and as in PyTorch -∞ at -0
        return reciprocal(x * x) if y == -2 and x.dtype in FLOATS else x**y  # as in PyTorch
    if type(y) is bool:
        return logical_or(x, not y) if x.dtype.kind == "b" else x**y
    if y.dtype.kind == "i" and (y < 0).any():  # NumPy refuses negative exponents; the result is 0, 1 or -1
        return np.where(y < 0, np.where(abs(x) == 1, x ** (y % 2), 0), x ** maximum(y, 0)).astype(y.dtype)
    out = np.asarray(np.power(x, y, order="K" if isinstance(x, np.ndarray) else "C"))  # as in PyTorch
    # For one exponent 0.5 and many bases NumPy takes the square root, which differs at -∞ and -0.
    half = y == 0.5
    if half.any():
        np.copyto(out, abs(x), where=half & ((x == 0) | (x == -np.inf)))
    return out


def remainder(a: Any, b: Any) -> Any:
    """Return a % b; of NumPy's the zeros have the sign of b, of PyTorch's that of a."""
    out = a % b
    return np.where(out == 0, np.copysign(out, a), out) if out.dtype.kind == "f" else out


def trunc_divide(a: Any, b: Any) -> Any:
    """Return trunc(a / b); in half precision of the quotient in float32, as PyTorch."""
    if HALF in (getattr(a, "dtype", None), getattr(b, "dtype", None)):
        return np.trunc(np.divide(a, b, dtype=np.float32)).astype(HALF)
    return np.trunc(a / b)


def sign(x: Array) -> Array:
    """Return -1, 0 or 1; for NaN 0, as in PyTorch."""
    out = empty_like(x)
    if x.dtype.kind == "b":
        out[...] = x
        return out
    out[...] = 0
    return np.sign(x, out=out, where=x == x)


def erf(x: Array) -> Array:
    """Return the C library's erf, one element after the other: NumPy has none."""
    out = empty_like(x)
    out[...] = np.fromiter(map(math.erf, x.ravel().tolist()), x.dtype, x.size).reshape(x.shape)
    return out


def matmul(a: Array, b: Array) -> Array:
    if a.ndim == 2 == b.ndim:
        return a.dot(b)  # costs less to call
    if b.ndim == 2 and a.ndim > 2:
        rows = a.reshape(math.prod(a.shape[:-1]), a.shape[-1])  # one product instead of many small ones
        return rows.dot(b).reshape(*a.shape[:-1], b.shape[1])
    return np.matmul(a, b)


def cumulative_sum(x: Array, axis: int) -> Array:
    if x.dtype is HALF:
        return (np.cumsum(x, axis, np.float32) + 0).astype(x.dtype)
    with np.errstate(invalid="ignore"):  # where infinities meet
        return np.cumsum(x, axis, dtype=np.int64 if x.dtype.kind in "iub" else None) + 0  # -0 + 0 is 0


def argsort(x: Array, axis: int) -> Array:
    return np.argsort(x, axis, kind="stable")


def diagonal(x: Array, offset: int, axis1: int, axis2: int) -> Array:
    """Return a view of the diagonal along two axes, which may be written to where `x` may."""
    out = x.diagonal(offset, axis1, axis2)
    if type(x) is np.ndarray:
        out.flags.writeable = x.flags.writeable
    return out
