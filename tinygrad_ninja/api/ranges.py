"""Sequences of numbers: from a start to an end, by a step or in so many places."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..arrays import dtypes
from ..arrays.dtypes import dtype as Dtype
from ..arrays.fused import fused_multiply_add
from ..engine.tensor import Tensor
from .creation import _finish, _number
from .dimensions import integer
from .operands import check_fits
from .register import function


@function
def arange(
    *bounds: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False, **named: Any
) -> Tensor:
    """Return start (0), start + step, … up to but without `end`: arange(end), arange(start, end) or with a
    step (1).

    The shape is (⌈(end - start) / step⌉,), the dtype int64, or the default dtype where an argument is a
    float. Raises TypeError for other arguments, RuntimeError for a step of 0 or of the wrong sign, and for
    infinite bounds, and ValueError for a step that is 0 as an integer.
    """
    names = ("end",) if len(bounds) == 1 and "end" not in named else ("start", "end", "step")
    arguments = {"start": 0, "step": 1, **dict(zip(names, bounds, strict=False)), **named}
    if set(arguments) != {"start", "end", "step"} or len(bounds) > 3:
        raise TypeError("arange takes end, or start and end, or start, end and step")
    start, end, step = (_number("arange", name, arguments[name]) for name in ("start", "end", "step"))
    if step == 0:
        raise RuntimeError("step must be nonzero")
    floating = any(isinstance(bound, float) for bound in (start, end, step))
    d = (
        dtypes.as_dtype(dtype)
        if dtype is not None
        else dtypes.get_default_dtype()
        if floating
        else dtypes.int64
    )
    if d is dtypes.int64 and all(map(math.isfinite, (start, end, step))):
        start, end, step = int(start), int(end), int(step)
    if not d.is_floating_point:
        for bound in (start, end, step):
            if math.isfinite(bound):
                check_fits(bound, dtypes.int64)
    if step == 0:  # by now
        raise ValueError("step must be nonzero")
    if not math.isfinite(start) or not math.isfinite(end):
        raise RuntimeError(f"unsupported range: {start} -> {end}")
    if (end - start) * step < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    n = math.ceil((end - start) / step)
    numbers = (
        _arithmetic_sequence(float(start), float(step), n, d)
        if d.is_floating_point
        else int(start) + int(step) * np.arange(n)
    )
    return _finish(numbers.astype(d.carrier), device, requires_grad, d)


def _arithmetic_sequence(start: float, step: float, n: int, d: Dtype) -> np.ndarray[Any, Any]:
    """Return start + i · step for each i below n, with the roundings of PyTorch's loop on a processor with
    AVX2.

    That loop adds to a number of the dtype as many steps as a vector holds, and computes the last ones one by
    one; in float64, for half precision in float32.
    """
    wide = np.float32 if d.itemsize == 2 else np.float64
    i = np.arange(n)
    lanes = 32 // d.itemsize
    vectorised = n - n % (2 * lanes)
    starts = np.concatenate([i[:vectorised] // lanes * lanes, i[vectorised:]])
    base = fused_multiply_add(starts.astype(wide), wide(step), wide(start))
    base[:vectorised] = base[:vectorised].astype(d.carrier)
    return fused_multiply_add((i - starts).astype(wide), wide(step), base)


@function
def linspace(
    start: Any, end: Any, steps: int, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Return `steps` numbers at equal distances from `start` to `end`, both included: (steps,).

    The dtype is the default dtype, or `dtype`. Raises RuntimeError for a negative number of steps.
    """
    d = dtypes.get_default_dtype() if dtype is None else dtypes.as_dtype(dtype)
    steps = integer("steps", steps)
    if steps < 0:
        raise RuntimeError("number of steps must be non-negative")
    start, end = (d.carrier.type(_number("linspace", *x)) for x in (("start", start), ("end", end)))
    step = (
        d.carrier.type((end - start) / max(steps - 1, 1))
        if d.is_floating_point
        else (int(end) - int(start)) / max(steps - 1, 1)
    )
    # As in PyTorch, each half counts from its own end, in float64, and each number is rounded once.
    i = np.arange(float(steps))
    ahead = fused_multiply_add(i, float(step), float(start))
    behind = fused_multiply_add(i[::-1], -float(step), float(end))
    numbers = np.where(i < steps // 2, ahead, behind)
    return _finish(
        numbers.astype(d.carrier) if steps > 1 else np.full(steps, start), device, requires_grad, d
    )


@function
def logspace(
    start: Any,
    end: Any,
    steps: int,
    base: float = 10.0,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return `base` to the powers of `linspace`: (steps,); dtype and errors as there."""
    d = dtypes.get_default_dtype() if dtype is None else dtypes.as_dtype(dtype)
    start, end = (d.carrier.type(_number("logspace", *x)).item() for x in (("start", start), ("end", end)))
    powers = linspace(start, end, steps, dtype=dtypes.float64).array
    return _finish((float(base) ** powers).astype(d.carrier), device, requires_grad, d)
