"""Arithmetic, comparisons and elementwise functions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays import dtypes
from ..engine.devices import same_device
from ..engine.promotion import promote
from ..engine.tensor import Tensor, wrap
from ..ops import comparison, rounding, trigonometry
from ..ops import elementwise as ops
from ..ops.operation import Operation
from .creation import tensor
from .forms import alias, in_place
from .operands import as_element, as_tensor_operand, check_fits, number_in
from .register import function, method, method_only, no_tensor

_OF_NUMBERS = (ops.add, ops.sub, ops.mul, ops.div, rounding.floor_divide)
"""The operations that PyTorch also computes for two Python numbers."""


def complete(
    entry: Operation, name: str, a: Any, b: Any, apply: Callable[[Any, Any], Any] | None = None
) -> Tensor:
    if not isinstance(a, Tensor) and not isinstance(b, Tensor):
        if entry in _OF_NUMBERS and isinstance(a, (int, float)) and isinstance(b, (int, float)):
            return entry.call(tensor(a), b)
        raise TypeError(f"{name}(): at least one argument must be a Tensor, not {type(a).__name__}")
    out = (apply or entry.call)(a, b)
    if out is NotImplemented:
        operand = b if isinstance(a, Tensor) else a
        raise TypeError(
            f"{name}(): argument 'other' must be a Tensor or a number, not {type(operand).__name__}"
        )
    return out


def offer_binary(
    entry: Operation, *names: str, operators: tuple[str, ...] = (), number_first: bool = True
) -> None:
    """Export a two-input operation as a function, as a method, and as Python's operators.

    number_first: whether the function takes a number for its first argument.
    """

    def call(input: Any, other: Any) -> Tensor:
        if not number_first and not isinstance(input, Tensor):
            raise no_tensor(entry.name, "input", input)
        return complete(entry, entry.name, input, other)

    call.__doc__ = f"Return a Tensor, computed element by element of two that are broadcast: {entry.__doc__}"
    _offer(call, entry.name)
    alias(entry.name, *names)
    for name in operators:
        setattr(Tensor, name, _reflected(entry) if name.startswith("__r") else entry.call)


def _reflected(entry: Operation) -> Callable[..., Any]:
    """Return the operator `other … self`. TypeError where it is called on no Tensor."""

    def call(self: Tensor, other: Any) -> Any:
        if not isinstance(self, Tensor):
            raise no_tensor(entry.name, "self", self)
        return entry.call(other, self)

    return call


def offer_unary(entry: Operation, *names: str, operators: tuple[str, ...] = ()) -> None:
    """Export a one-input operation as a function, as a method, and as Python's operators."""

    def call(input: Any) -> Tensor:
        if not isinstance(input, Tensor):
            raise no_tensor(entry.name, "input", input)
        return entry.call(input)

    call.__doc__ = f"Return a Tensor of the input's shape, computed element by element: {entry.__doc__}"
    entry.call.__doc__ = call.__doc__
    _offer(call, entry.name)
    setattr(Tensor, entry.name, entry.call)
    alias(entry.name, *names)
    for name in operators:
        setattr(Tensor, name, entry.call)


def _offer(call: Callable[..., Any], name: str) -> None:
    call.__name__ = call.__qualname__ = name
    method(call)


offer_binary(ops.mul, "multiply", operators=("__mul__",))
offer_binary(comparison.eq, number_first=False)
offer_binary(comparison.ne, "not_equal", operators=("__ne__",), number_first=False)
offer_binary(comparison.lt, "less", operators=("__lt__",), number_first=False)
offer_binary(comparison.le, "less_equal", operators=("__le__",), number_first=False)
offer_binary(comparison.gt, "greater", operators=("__gt__",), number_first=False)
offer_binary(comparison.ge, "greater_equal", operators=("__ge__",), number_first=False)
offer_binary(comparison.bitwise_and, operators=("__and__", "__rand__"))
offer_binary(comparison.bitwise_or, operators=("__or__", "__ror__"))
offer_binary(comparison.bitwise_xor, operators=("__xor__", "__rxor__"))
offer_unary(ops.neg, "negative", operators=("__neg__",))
offer_unary(ops.exp)
offer_unary(ops.log)
offer_unary(ops.sqrt)
offer_unary(trigonometry.sin)
offer_unary(trigonometry.cos)
offer_unary(ops.tanh)
offer_unary(ops.erf)
offer_unary(ops.sigmoid)
offer_unary(ops.relu)
offer_unary(rounding.sign)
offer_unary(rounding.floor)
offer_unary(rounding.trunc, "fix")
offer_unary(ops.reciprocal)
offer_unary(comparison.logical_not)
offer_unary(comparison.isnan)
offer_unary(comparison.isinf)
offer_unary(comparison.isfinite)


@method
def add(input: Any, other: Any, *, alpha: Any = 1) -> Tensor:
    """Return input + alpha · other, in the dtype of input + other; the operands are broadcast.

    Raises RuntimeError where `alpha` is out of the range of that dtype or of another category, TypeError
    without a Tensor.
    """
    return _with_alpha(ops.add, input, other, alpha)


@method
def sub(input: Any, other: Any, *, alpha: Any = 1) -> Tensor:
    """Return input - alpha · other, as `add`. RuntimeError where either is a bool: use `^` or logical_not."""
    return _with_alpha(ops.sub, input, other, alpha)


alias(sub.__name__, "subtract")


def _with_alpha(entry: Operation, input: Any, other: Any, alpha: Any) -> Tensor:
    if type(alpha) is int and alpha == 1:
        return complete(entry, entry.name, input, other)
    if isinstance(input, (int, float)) and isinstance(other, (int, float)):
        input = tensor(input)
    a, b = promote(entry, input, other)
    if a is NotImplemented:
        return complete(entry, entry.name, input, other)
    d = (a if isinstance(a, Tensor) else b).dtype
    if isinstance(alpha, bool) and d is not dtypes.bool:
        raise RuntimeError("Boolean alpha only supported for Boolean results.")
    if isinstance(alpha, float) and not d.is_floating_point:
        raise RuntimeError("For integral input tensors, argument alpha must not be a floating point number.")
    check_fits(alpha, d)
    if d is dtypes.bool:
        return entry.call(
            a, comparison.bitwise_and.call(b, bool(alpha)) if isinstance(b, Tensor) else b and alpha
        )
    return entry.call(a, ops.mul.call(b, alpha) if isinstance(b, Tensor) else b * alpha)


@method
def div(input: Any, other: Any, *, rounding_mode: str | None = None) -> Tensor:
    """Return input / other, in floating point also for integers; the operands are broadcast.

    rounding_mode: "floor" or "trunc" rounds the quotient, and keeps the dtype of integers. Raises
    RuntimeError for another.
    """
    if rounding_mode == "floor":
        return complete(rounding.floor_divide, ops.div.name, input, other)
    if rounding_mode == "trunc":
        floored = complete(rounding.floor_divide, ops.div.name, input, other)
        if floored.dtype.is_floating_point:
            return rounding.trunc_divide.call(input, other)
        remainder = ops.sub.call(input, ops.mul.call(floored, other))
        return floored + (comparison.lt.call(floored, 0) & comparison.ne.call(remainder, 0))
    if rounding_mode is not None:
        raise RuntimeError(
            f"div expected rounding_mode to be one of None, 'trunc', or 'floor' but found {rounding_mode!r}"
        )
    return complete(ops.div, ops.div.name, input, other)


alias(div.__name__, "divide")


def _reflected_division(self: Tensor, other: Any) -> Any:
    return ops.reciprocal.call(self) * other  # as in PyTorch: backward needs only 1 / self


def _equals(self: Tensor, other: Any) -> Any:
    """Return where the elements are equal; of Python's operators it alone compares with an array, as in
    PyTorch."""
    return comparison.eq.call(self, wrap(other) if isinstance(other, np.ndarray) else other)


Tensor.__eq__ = _equals  # type: ignore[assignment]
Tensor.__add__ = ops.add.call
Tensor.__radd__ = _reflected(ops.add)
Tensor.__rmul__ = _reflected(ops.mul)
Tensor.__sub__ = ops.sub.call
Tensor.__rtruediv__ = _reflected_division
Tensor.__rsub__ = ops.rsub.call
Tensor.__truediv__ = ops.div.call
Tensor.__pow__ = ops.pow.call
Tensor.__rpow__ = lambda self, other: ops.pow.call(other, self)


@method
def pow(input: Any, exponent: Any) -> Tensor:
    """Return input to the power exponent, either of which may be a number; the operands are broadcast.

    Raises RuntimeError for an integer Tensor to a negative number.
    """
    return complete(ops.pow, ops.pow.name, input, exponent)


@method
def bitwise_not(input: Tensor) -> Tensor:
    """Return not input, element by element: logical for bool, bit by bit for integers. RuntimeError for
    floating point numbers."""
    if input.dtype.is_floating_point:
        raise RuntimeError(f"bitwise_not is not implemented for {input.dtype}, only for integers and bools")
    return comparison.bitwise_not.call(input)


def _invert(self: Tensor) -> Tensor:
    """Return `bitwise_not`. TypeError for floating point numbers."""
    if self.dtype.is_floating_point:
        raise TypeError(f"~ is only implemented on integer and bool Tensors, not on {self.dtype}")
    return comparison.bitwise_not.call(self)


Tensor.__invert__ = _invert


def _unchanged(self: Tensor) -> Tensor:
    return self


Tensor.__pos__ = _unchanged


@method
def abs(input: Tensor) -> Tensor:
    """Return the absolute value of each element. NotImplementedError for bools."""
    if input.dtype is dtypes.bool:
        raise NotImplementedError("abs is not implemented for torch.bool")
    return rounding.abs.call(input)


alias(abs.__name__, "absolute")
Tensor.__abs__ = abs  # type: ignore[attr-defined]


@in_place
@method
def square(input: Tensor) -> Tensor:
    """Return the square of each element, in the input's shape."""
    return ops.pow.call(input, 2)


@in_place
@method
def rsqrt(input: Tensor) -> Tensor:
    """Return 1 / √x of each element x, in the input's shape and in floating point."""
    return ops.reciprocal.call(ops.sqrt.call(input))


@in_place
@method
def log10(input: Tensor) -> Tensor:
    """Return the logarithm to base 10 of each element, in the input's shape and in floating point."""
    return ops.div.call(ops.log.call(input), math.log(10))


@method
def maximum(input: Tensor, other: Tensor) -> Tensor:
    """Return the larger of each two elements, broadcast; on a tie the gradient is halved between them.

    Raises TypeError for anything but Tensors.
    """
    return of_two_tensors(comparison.maximum, input, other)


@method
def minimum(input: Tensor, other: Tensor) -> Tensor:
    """Return the smaller of each two elements, broadcast; on a tie the gradient is halved between them.

    Raises TypeError for anything but Tensors.
    """
    return of_two_tensors(comparison.minimum, input, other)


def of_two_tensors(entry: Operation, input: Any, other: Any) -> Tensor:
    for operand in (input, other):
        if not isinstance(operand, Tensor):
            raise TypeError(f"{entry.name}(): both arguments must be Tensors, not {type(operand).__name__}")
    return entry.call(input, other)


@function
def where(condition: Tensor, input: Any = None, other: Any = None) -> Any:
    """Return `input` where the condition is true, else `other`; all three are broadcast.

    For a condition alone, return its true positions: a vector of int64 for each dimension. Raises
    RuntimeError for a condition that is not bool or uint8, TypeError for what is neither a Tensor nor a
    number.
    """
    if input is None and other is None:
        return condition.nonzero(as_tuple=True)
    input, other = dtypes.plain_number(input), dtypes.plain_number(other)
    for operand in (input, other):
        if not isinstance(operand, (Tensor, int, float)):
            raise TypeError(f"where() takes Tensors and numbers, not {type(operand).__name__}")
    if condition.dtype is dtypes.uint8:
        condition = condition.to(dtypes.bool)
    if condition.dtype is not dtypes.bool:
        raise RuntimeError(
            f"where expected condition to be a boolean tensor, but got a tensor with dtype {condition.dtype}"
        )
    if not isinstance(input, Tensor) and not isinstance(other, Tensor):
        input = as_tensor_operand(input, condition)
    same_device(comparison.where.name, condition, input, other)
    if isinstance(input, Tensor):
        other = number_in(other, input.dtype)
    else:
        input = number_in(input, other.dtype)
    out = comparison.where.call(input, other, condition.array)
    if out is NotImplemented:
        raise no_tensor("where", *(("other", other) if isinstance(input, Tensor) else ("input", input)))
    return out


@method_only
def _where_method(self: Tensor, condition: Tensor, other: Any) -> Tensor:
    """Return this Tensor's elements where the condition holds, else those of `other`; all are broadcast."""
    return where(condition, self, other)


Tensor.where = _where_method  # type: ignore[attr-defined]


@in_place
@method
def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """Return `value`, a number or 0-dimensional Tensor, where the bool mask (broadcast) is true, else
    `input`.

    Raises RuntimeError for a mask of another dtype, or a value with dimensions.
    """
    if mask.dtype is not dtypes.bool:
        raise RuntimeError(f"masked_fill_ only supports boolean masks, but got mask with dtype {mask.dtype}")
    if isinstance(value, Tensor) and value.ndim:
        raise RuntimeError(
            f"masked_fill only supports a 0-dimensional value, but got one with {value.ndim} dimensions"
        )
    same_device("masked_fill", input, mask)
    fill = as_element(value, input).to(input.dtype)
    return comparison.where.call(fill, input.contiguous(), mask.contiguous().array)


def _logical(entry: Operation) -> Callable[[Tensor, Tensor], Tensor]:
    def call(input: Tensor, other: Tensor) -> Tensor:
        if not isinstance(other, Tensor):
            raise no_tensor(f"logical_{entry.name.removeprefix('bitwise_')}", "other", other)
        return entry.call(input.to(dtypes.bool), other.to(dtypes.bool))

    return call


for _name, _entry in {
    "and": comparison.bitwise_and,
    "or": comparison.bitwise_or,
    "xor": comparison.bitwise_xor,
}.items():
    _call = _logical(_entry)
    _call.__doc__ = f"Return `x {_name} y` for each two elements, broadcast and converted to bool."
    _offer(_call, f"logical_{_name}")
    in_place(_call)
