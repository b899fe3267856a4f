"""Operands that do not agree: other dtypes, other devices, numbers, NumPy's arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import dtypes
from ..kinds import KINDS, array_dtype, check_device, dtype_of
from ..tensors import Tensor, bare
from . import elementwise
from .table import Operation


def as_floating(x: Any) -> Any:
    """Return a Tensor of integers in the default floating point dtype; another one as it is."""
    if not KINDS[type(x.array)].is_integral(x.array):
        return x
    return elementwise.cast(x, array_dtype(x.array, dtypes.get_default_dtype()))


def promote(op: Operation, a: Any, b: Any) -> tuple[Any, Any]:
    """The two operands as the operation takes them: Tensors of one dtype on one device, or one and a number.

    A Tensor of another dtype is cast by a recorded operation. NotImplemented twice where one is no number.
    RuntimeError where the devices differ.
    """
    foreign = [each for each in (a, b) if isinstance(each, np.ndarray)]
    a, b = _operand(a), _operand(b)
    if a is NotImplemented or b is NotImplemented:
        return NotImplemented, NotImplemented
    tensors = [each for each in (a, b) if isinstance(each, Tensor)]
    if all(isinstance(each.array, float) for each in tensors):
        return a, b
    check_device(op.name, [each.array for each in tensors])
    found = [dtype_of(each.array) for each in tensors]
    numbers = [dtypes.scalar_dtype(each) for each in (a, b) if not isinstance(each, Tensor)]
    weak = [getattr(each.array, "number", False) for each in tensors]  # a number that compile reads anew
    dims: list[dtypes.dtype] = []
    zero: list[dtypes.dtype] = []
    for d, each, of_number in zip(found, tensors, weak, strict=True):
        if of_number and not all(weak):
            numbers.append(dtypes.scalar_dtype(each.array.dtype.type().item()))
        else:
            (dims if each.array.ndim or foreign else zero).append(d)
    result = dtypes.result_dtype(dims, zero, numbers)
    of_bools = result is dtypes.bool and (op is not elementwise.pow or isinstance(b, Tensor))
    if op.numeric and (
        of_bools or (op in (elementwise.sub, elementwise.rsub) and dtypes.bool in (*found, *numbers))
    ):
        raise RuntimeError(
            f"{op.name} is not supported with a bool tensor; to invert a mask use `~` or logical_not()"
        )
    if op.floating and not result.is_floating_point:
        result = dtypes.get_default_dtype()
    for each, d in zip(tensors, found, strict=True):
        if d is not result:
            made = elementwise.cast(each, array_dtype(each.array, result))
            a, b = (made, b) if each is a else (a, made)
    return (a, b) if op is elementwise.pow else (dtypes.wrapped(a, result), dtypes.wrapped(b, result))


def _operand(x: Any) -> Any:
    if isinstance(x, np.generic):  # np.float64 is a float too
        return x.item()
    if isinstance(x, (Tensor, float, int)):
        return x
    return bare(x) if isinstance(x, np.ndarray) else NotImplemented
