"""Numbers of the normal distribution from uniform ones, to the last bit as PyTorch computes them with AVX2.

Its arithmetic (Cephes' polynomials, multiplications and additions fused) is repeated here, for NumPy's own
functions round differently.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arrays.fused import fused_multiply_add

Array = npt.NDArray[Any]


def by_libm(function: Callable[[float], float], x: Array) -> Array:
    """Return `function` of each element of a float64 array; NumPy's vectorised ones may differ in the last
    bit."""
    return np.fromiter(map(function, x.ravel().tolist()), np.float64, x.size).reshape(x.shape)


def box_muller(u: Array) -> Array:
    """Return standard normals from uniforms of [0, 1), a multiple of 16: value j of a block is paired with j
    + 8.

    The radius is sqrt(-2 log(1 - u1)), the angle 2 pi u2; a block is eight cosines, then eight sines.
    """
    u1, u2 = u.reshape(-1, 2, 8).swapaxes(0, 1)
    angle = u.dtype.type(2 * math.pi) * u2
    if u.dtype == np.float32:
        log, (cosine, sine) = _log(1 - u1), _cosine_sine(angle)
    else:
        log, cosine, sine = by_libm(math.log, 1 - u1), by_libm(math.cos, angle), by_libm(math.sin, angle)
    radius = np.sqrt(-2 * log)
    return np.stack([radius * cosine, radius * sine], axis=1).ravel()


# The float32 polynomials of Cephes (S. Moshier, netlib.org/cephes: logf.c, sinf.c), from the highest power.
_LOG = np.array([
    7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1,
    2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
], np.float32)  # fmt: skip
_LN2 = np.array([0.693359375, -2.12194440e-4], np.float32)  # log 2 in two parts
_COSINE = np.array([2.4433157e-5, -1.3887316e-3, 4.1666646e-2], np.float32)
_SINE = np.array([-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1], np.float32)
_QUARTER_PI = np.array([0.78515625, 2.4187565e-4, 3.774895e-8], np.float32)  # pi / 4 in three parts


def _polynomial(coefficients: Array, x: Array) -> Array:
    """Evaluate a polynomial by Horner's rule, with each step rounded once."""
    total = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        total = fused_multiply_add(total, x, coefficient)
    return total


def _log(x: Array) -> Array:
    """Return the natural logarithm of a float32 array, all > 0, by Cephes: log(1 + t) + exponent log 2."""
    fraction, exponent = np.frexp(x)
    low = fraction < np.float32(math.sqrt(0.5))
    t = np.where(low, 2 * fraction, fraction) - 1
    power = (exponent - low).astype(np.float32)
    square = t * t
    tail = fused_multiply_add(_polynomial(_LOG, t) * t, square, power * _LN2[1])
    return fused_multiply_add(power, _LN2[0], t + (tail - square / 2))


def _cosine_sine(angle: Array) -> tuple[Array, Array]:
    """Return cosine and sine of a float32 array, all >= 0, by Cephes: polynomials about a multiple of pi /
    2."""
    eighths = ((angle * np.float32(4 / math.pi)).astype(np.int32) + 1) & ~1
    remainder = angle
    for part in _QUARTER_PI:
        remainder = fused_multiply_add(eighths.astype(np.float32), -part, remainder)
    square = remainder * remainder
    cosine = fused_multiply_add(_polynomial(_COSINE, square) * square, square, square * np.float32(-0.5)) + 1
    sine = fused_multiply_add(_polynomial(_SINE, square) * square, remainder, remainder)
    quarter = eighths // 2 % 4
    swap, flip_cosine, flip_sine = quarter % 2 == 1, (quarter == 1) | (quarter == 2), quarter >= 2
    first, second = np.where(swap, sine, cosine), np.where(swap, cosine, sine)
    return np.where(flip_cosine, -first, first), np.where(flip_sine, -second, second)
