"""A product and a sum of NumPy's arrays, rounded once, as by a processor's fused multiply-add."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def fused_multiply_add(a: Array, b: Any, c: Any) -> Array:
    """Return a * b + c rounded once, as the processor's instruction does; all float32 or all float64."""
    if a.dtype == np.float32:  # a product of two float32 is exact in float64
        return (np.multiply(a, b, dtype=np.float64) + c).astype(np.float32)
    # The product's and the sum's rounding errors, after Dekker (1971) and Knuth (TAOCP 2, 4.2.2).
    product = a * b
    a_high, b_high = _high_half(a), _high_half(b)
    a_low, b_low = a - a_high, b - b_high
    product_error = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
    total = product + c
    addend = total - product
    total_error = (product - (total - addend)) + (c - addend)
    return total + (total_error + product_error)


def _high_half(x: Any) -> Array:
    """Return the float64 array or scalar with the low 27 bits of its fraction cleared."""
    return (np.asarray(x).view(np.int64) & -(1 << 27)).view(np.float64)
