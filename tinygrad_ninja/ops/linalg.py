"""The matrix product."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..arrays.dispatch import sum_to
from .facts import Category, Precision
from .operation import operation


def _outer(xp: Any, x: Any, y: Any) -> Any:
    """Return the outer product of the last dimensions: from (…, n) and (…, m) to (…, n, m)."""
    return xp.reshape(x, (*x.shape, 1)) * xp.reshape(y, (*y.shape[:-1], 1, y.shape[-1]))


def _left_slope(xp: Any, dout: Any, a_like: Any, b: Any) -> Any:
    """Return the gradient of the left factor."""
    if a_like.ndim == 2 and b.ndim == 2:
        return xp.matmul(dout, b.mT)
    if b.ndim == 1:  # each row of a met the vector: dout · b, or an outer product of them
        return dout * b if a_like.ndim == 1 else _outer(xp, dout, b)
    if a_like.ndim == 1:  # (n) @ (…, n, m) → (…, m)
        return sum_to(
            xp.sum(b * xp.reshape(dout, (*dout.shape[:-1], 1, dout.shape[-1])), (b.ndim - 1,), False), a_like
        )
    return sum_to(xp.matmul(dout, b.mT), a_like)


def _all_rows(xp: Any, x: Any) -> Any:
    """Return (…, n, m) as one matrix of all the rows."""
    return xp.reshape(x, (math.prod(x.shape[:-1]), x.shape[-1]))


def _right_slope(xp: Any, dout: Any, a: Any, b_like: Any) -> Any:
    """Return the gradient of the right factor."""
    if a.ndim >= 2 and b_like.ndim == 2:
        if a.ndim > 2:  # all rows of the batch at once: their products are summed
            a, dout = _all_rows(xp, a), _all_rows(xp, dout)
        return xp.matmul(a.mT, dout)
    if b_like.ndim == 1:
        if a.ndim == 1:
            return dout * a
        return sum_to(a * xp.reshape(dout, (*dout.shape, 1)), b_like)
    if a.ndim == 1:
        return _outer(xp, xp.broadcast_to(a, (*dout.shape[:-1], a.shape[0])), dout)
    return sum_to(xp.matmul(a.mT, dout), b_like)


@operation(
    autocast=Precision.HALF,
    torch_name="MmBackward0",
    category=Category.PRODUCT,
    ufunc=np.matmul,
    operator="@",
    a=_left_slope,
    b=_right_slope,
)
def matmul(xp: Any, a: Any, b: Any, /) -> Any:
    """out = a @ b;  da = dout @ bᵀ,  db = aᵀ @ dout, summed over the batch dimensions that were broadcast."""
    return xp.matmul(a, b)
