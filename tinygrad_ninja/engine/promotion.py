"""Operands that do not agree: different dtypes, different devices, numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import dtypes
from ..arrays.dispatch import NAMESPACES, array_dtype, check_device, dtype_of
from ..ops import elementwise
from ..ops.operation import Operation
from .hook import observers, observing
from .tensor import Tensor


def as_floating(x: Any) -> Any:
    """Return a Tensor of integers in the default floating point dtype; another Tensor unchanged."""
    if not NAMESPACES[type(x.array)].is_integral(x.array):
        return x
    return elementwise.cast(x, array_dtype(x.array, dtypes.get_default_dtype()))


def as_numbers(op: Operation, x: Any) -> Any:
    """Return a Tensor as the operation of one input takes it: in floating point where that is `floating`.
    RuntimeError for bools where it is `numeric`."""
    if op.numeric and x.dtype is dtypes.bool:
        raise RuntimeError(f"{op.name} is not implemented for torch.bool")
    return as_floating(x) if op.floating else x


def promote(op: Operation, a: Any, b: Any) -> tuple[Any, Any]:
    """Return two operands as the operation takes them: Tensors of one dtype on one device, or one and a
    number.

    A Tensor of another dtype is cast by a recorded operation. Return NotImplemented twice where an operand is
    neither a Tensor nor a number. Raise RuntimeError where the devices differ.
    """
    a, b = _operand(op, a), _operand(op, b)
    if a is NotImplemented or b is NotImplemented:
        return NotImplemented, NotImplemented
    tensors = [x for x in (a, b) if isinstance(x, Tensor)]
    if all(isinstance(tensor.array, float) for tensor in tensors):
        return a, b
    check_device(op.name, [tensor.array for tensor in tensors])
    dtype, seen = _common_dtype(tensors, [x for x in (a, b) if not isinstance(x, Tensor)])
    of_bools = dtype is dtypes.bool and (op is not elementwise.pow or isinstance(b, Tensor))
    difference = op in (elementwise.sub, elementwise.rsub)
    if op.numeric and (of_bools or (difference and dtypes.bool in seen)):
        raise RuntimeError(
            f"{op.name} is not supported with a bool tensor; to invert a mask use `~` or logical_not()"
        )
    if op.floating and not dtype.is_floating_point:
        dtype = dtypes.get_default_dtype()
    a, b = _cast(a, dtype), _cast(b, dtype)
    wrapped = dtypes.wrapped(a, dtype), dtypes.wrapped(b, dtype)
    return (a, b) if op is elementwise.pow else wrapped


def common_dtype(*operands: Any) -> dtypes.dtype:
    """Return the dtype in which Tensors and Python's numbers meet."""
    numbers = [x for x in operands if not isinstance(x, Tensor)]
    return _common_dtype([x for x in operands if isinstance(x, Tensor)], numbers)[0]


def _common_dtype(tensors: list[Tensor], numbers: list[Any]) -> tuple[dtypes.dtype, list[dtypes.dtype]]:
    """Return the dtype in which Tensors and numbers meet, and all those that meet."""
    of_numbers = [dtypes.scalar_dtype(number) for number in numbers]
    of_tensors = [dtype_of(tensor.array) for tensor in tensors]
    # A number that compile reads anew at every call is an array, and still counts as a number.
    reread = [getattr(tensor.array, "number", False) for tensor in tensors]
    dimensioned: list[dtypes.dtype] = []
    zero_dim: list[dtypes.dtype] = []
    for tensor, dtype, is_number in zip(tensors, of_tensors, reread, strict=True):
        if is_number and not all(reread):
            of_numbers.append(dtypes.scalar_dtype(tensor.array.dtype.type().item()))
        else:
            (dimensioned if tensor.ndim else zero_dim).append(dtype)
    return dtypes.result_dtype(dimensioned, zero_dim, of_numbers), [*of_tensors, *of_numbers]


def _cast(x: Any, dtype: dtypes.dtype) -> Any:
    if not isinstance(x, Tensor) or dtype_of(x.array) is dtype:
        return x
    if dtype.itemsize == 2 and (number := getattr(x.array, "settled", None)) is not None:
        return number  # which is not rounded to half precision where it meets a Tensor
    return elementwise.cast(x, array_dtype(x.array, dtype))


def _operand(op: Operation, x: Any) -> Any:
    """Return an operand as a Tensor or a Python number; NotImplemented where it is neither."""
    if isinstance(x, np.bool_):
        return float(x)  # as in PyTorch
    x = dtypes.plain_number(x)
    if isinstance(x, (Tensor, float, int)):
        return observer.operand(op, x) if observers and (observer := observing()) else x
    return NotImplemented
