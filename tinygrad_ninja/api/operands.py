"""Numbers that stand beside a Tensor."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..arrays import dtypes
from ..engine.tensor import Tensor


def as_tensor_operand(x: Any, like: Tensor) -> Tensor:
    """Return `x` as a Tensor; a Python number as a 0-dimensional one, on the device of `like` and of the
    dtype that it would have in an operation with it."""
    if isinstance(x, Tensor):
        return x
    from .creation import tensor

    return tensor(
        x, dtype=dtypes.result_dtype([like.dtype], [], [dtypes.scalar_dtype(x)]), device=like.device
    )


def check_fits(value: Any, d: dtypes.dtype) -> None:
    """RuntimeError where the Python number is beyond what `d` holds. As in PyTorch, all is true or false, an
    infinity is a float, and a negative integer wraps around in an unsigned one. So too for a complex one."""
    if isinstance(value, complex):
        raise RuntimeError(f"value cannot be converted to type {d.name} without overflow: {value}")
    if d is dtypes.bool:
        return
    if d.is_floating_point:
        fits = not math.isfinite(value) or abs(value) <= np.finfo(d.carrier).max
    else:
        held = np.iinfo(d.carrier)
        lowest = -held.max if not held.min and isinstance(value, int) else held.min
        fits = lowest <= value <= held.max
    if not fits:
        raise RuntimeError(f"value cannot be converted to type {d.name} without overflow: {value}")


def as_element(x: Any, of: Tensor) -> Tensor:
    """Return `x` as a Tensor that can be written into `of`; a number as a 0-dimensional one of its dtype.

    Raises RuntimeError where that dtype does not reach so far, OverflowError beyond 64 bits.
    """
    if isinstance(x, Tensor):
        return x
    from .creation import full

    dtypes.check_width(x)

    return full((), x, dtype=of.dtype, device=of.device)


def number_in(number: Any, d: dtypes.dtype) -> Any:
    """Return a number beside a Tensor of the dtype; RuntimeError where it is out of the dtype's range."""
    inside = dtypes.wrapped(number, d)
    if isinstance(number, complex) or (isinstance(number, int) and not d.is_floating_point):
        check_fits(number, d)
    return inside
