"""Elementary functions: logarithms, trigonometric and hyperbolic functions, rounding, and what is composed of
them."""

from __future__ import annotations

import math
from typing import Any

from ..arrays import dtypes
from ..engine.promotion import common_dtype
from ..engine.tensor import Tensor
from ..ops import comparison, hyperbolic, logarithms, rounding, trigonometry
from ..ops import elementwise as ops
from . import arithmetic
from .arithmetic import complete, div, masked_fill, of_two_tensors, offer_binary, offer_unary, where
from .forms import alias, in_place, require_tensors, without_derivative
from .numeric_types import finfo
from .operands import check_fits
from .register import method, method_only

offer_unary(logarithms.log1p)
offer_unary(logarithms.expm1)
offer_unary(logarithms.log2)
offer_unary(logarithms.exp2)
offer_unary(trigonometry.tan)
offer_unary(trigonometry.asin, "arcsin")
offer_unary(trigonometry.acos, "arccos")
offer_unary(trigonometry.atan, "arctan")
offer_unary(hyperbolic.sinh)
offer_unary(hyperbolic.cosh)
offer_unary(hyperbolic.asinh, "arcsinh")
offer_unary(hyperbolic.acosh, "arccosh")
offer_unary(hyperbolic.atanh, "arctanh")
offer_unary(rounding.ceil)
offer_binary(logarithms.xlogy)


@method
def atan2(input: Tensor, other: Tensor) -> Tensor:
    """Return the angle from -π to π of the point with the height `input` and the width `other`, broadcast.

    Raises TypeError for anything but Tensors.
    """
    return of_two_tensors(trigonometry.atan2, input, other)


alias("atan2", "arctan2")


def _floored(a: Any, b: Any) -> Any:
    """Return ⌊a / b⌋, of which PyTorch has no derivative."""
    entry = rounding.floor_divide
    return without_derivative(entry.name, entry.call(a, b))


def _remainder(a: Any, b: Any) -> Any:
    """Return a % b; of a number a PyTorch has no derivative."""
    entry = rounding.remainder
    out = entry.call(a, b)
    return out if isinstance(a, Tensor) else without_derivative(entry.name, out)


@method
def floor_divide(input: Any, other: Any) -> Tensor:
    """Return ⌊input / other⌋ of each element, broadcast, in the dtype that the two have together; backward
    through it raises RuntimeError."""
    entry = rounding.floor_divide
    return complete(entry, entry.name, input, other, _floored)


@method
def remainder(input: Any, other: Any) -> Tensor:
    """Return input - other · ⌊input / other⌋ of each element, with the sign of other, broadcast; backward
    through that of a number by a Tensor raises RuntimeError.

    Raises RuntimeError for a division of integers by zero.
    """
    entry = rounding.remainder
    return complete(entry, entry.name, input, other, _remainder)


for _operator, _call in {
    "__floordiv__": _floored,
    "__rfloordiv__": lambda a, b: _floored(b, a),
    "__mod__": rounding.remainder.call,
    "__rmod__": lambda a, b: _remainder(b, a),
}.items():
    setattr(Tensor, _operator, _call)


@method
def fmod(input: Tensor, other: Any) -> Tensor:
    """Return input - other · trunc(input / other), with the sign of the input, broadcast.

    Raises RuntimeError for a division of integers by zero.
    """
    return complete(rounding.fmod, rounding.fmod.name, input, other)


@method
def hypot(input: Tensor, other: Tensor) -> Tensor:
    """Return √(input² + other²), without overflow, broadcast.

    Raises TypeError for anything but Tensors, NotImplementedError for integers.
    """
    if isinstance(input, Tensor) and isinstance(other, Tensor):
        dtype = common_dtype(input, other)
        if not dtype.is_floating_point:
            raise NotImplementedError(f"hypot is not implemented for {dtype}")
    return of_two_tensors(trigonometry.hypot, input, other)


@in_place
@method
def round(input: Tensor, *, decimals: int = 0) -> Tensor:
    """Return the integer nearest to each element, of two the even one; with `decimals` of floats the nearest
    multiple of 10^-decimals: round(input · 10^decimals) / 10^decimals.

    Raises NotImplementedError for bools, and for `decimals` of integers.
    """
    if input.dtype is dtypes.bool:
        raise NotImplementedError("round is not implemented for torch.bool")
    if not decimals or not input.dtype.is_floating_point:
        if decimals:
            raise NotImplementedError(f"round with decimals is not implemented for {input.dtype}")
        return rounding.round.call(input)
    scale = 10.0 ** abs(decimals)
    if decimals < 0:
        return ops.mul.call(rounding.round.call(ops.div.call(input, scale)), scale)
    return ops.div.call(rounding.round.call(ops.mul.call(input, scale)), scale)


@in_place
@method
def frac(input: Tensor) -> Tensor:
    """Return the fraction of each element, input - trunc(input), with the sign of the input.

    Raises NotImplementedError for integers.
    """
    if not input.dtype.is_floating_point:
        raise NotImplementedError(f"frac is not implemented for {input.dtype}")
    return ops.sub.call(input, rounding.trunc.call(input.detach()))  # which has no slope


@method
def float_power(input: Any, exponent: Any) -> Tensor:
    """Return input to the power exponent, both in float64 and broadcast; either may be a number, and
    TypeError is raised where both are."""
    if not isinstance(input, Tensor) and not isinstance(exponent, Tensor):
        raise TypeError("float_power(): at least one argument must be a Tensor")
    base, power = (x.to(dtypes.float64) if isinstance(x, Tensor) else x for x in (input, exponent))
    return arithmetic.pow(base, power)


@method_only
def float_power_(self: Tensor, exponent: Any) -> Tensor:
    """Write `float_power` into this Tensor's memory and return it. RuntimeError unless it is of float64."""
    if self.dtype is not dtypes.float64:
        raise RuntimeError(f"float_power_ needs a base of float64, not of {self.dtype}")
    changed: Tensor = self.change(lambda before: float_power(before, exponent), (exponent,))
    return changed


@in_place
@method
def true_divide(input: Any, other: Any) -> Tensor:
    """Return input / other, in floating point also for integers; the operands are broadcast."""
    return div(input, other)


@in_place
@method
def lerp(input: Tensor, end: Tensor, weight: Any) -> Tensor:
    """Return input + weight · (end - input), all broadcast; from a weight of ½ on, where it is more exact,
    end - (1 - weight) · (end - input).

    weight: a number or a Tensor. Raises RuntimeError for unlike dtypes, NotImplementedError for integers.
    """
    require_tensors("lerp", end=end)
    tensors = [input, end, *([weight] if isinstance(weight, Tensor) else [])]
    for x in tensors:
        if x.dtype is not input.dtype:
            raise RuntimeError(f"expected dtype {input.dtype} for `end` and `weight` but got dtype {x.dtype}")
    if not input.dtype.is_floating_point:
        raise NotImplementedError(f"lerp is not implemented for {input.dtype}")
    difference = end - input
    if not isinstance(weight, Tensor):
        return input + weight * difference if abs(weight) < 0.5 else end - difference * (1 - weight)
    near = comparison.lt.call(rounding.abs.call(weight.detach()), 0.5)
    return where(near, input + weight * difference, end - difference * (1 - weight))


@in_place
@method
def nan_to_num(
    input: Tensor, nan: float | None = None, posinf: float | None = None, neginf: float | None = None
) -> Tensor:
    """Return `nan` (0) for each element that is NaN, and for the infinities `posinf` and `neginf`, by default
    the greatest and the least number of the dtype. No gradient goes through those."""
    if not input.dtype.is_floating_point:
        return input.clone()
    limit = finfo(input.dtype).max
    out = masked_fill(input, comparison.isnan.call(input), 0.0 if nan is None else nan)
    out = masked_fill(out, comparison.eq.call(input, math.inf), limit if posinf is None else posinf)
    return masked_fill(out, comparison.eq.call(input, -math.inf), -limit if neginf is None else neginf)


def _with_value(input: Tensor, value: Any, term: Tensor) -> Tensor:
    """Return input + value · term, the value in the dtype of both."""
    dtype = common_dtype(input, term)
    check_fits(value, dtype)
    factor = value if dtype.is_floating_point else int(value)
    return ops.add.call(input, term if factor == 1 else ops.mul.call(term, factor))


@in_place
@method
def addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1) -> Tensor:
    """Return input + value · tensor1 · tensor2, broadcast; of integers the value is an integer, too."""
    require_tensors("addcmul", tensor1=tensor1, tensor2=tensor2)
    return _with_value(input, value, ops.mul.call(tensor1, tensor2))


@in_place
@method
def addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1) -> Tensor:
    """Return input + value · tensor1 / tensor2, broadcast. RuntimeError for a division of integers."""
    require_tensors("addcdiv", tensor1=tensor1, tensor2=tensor2)
    if not common_dtype(tensor1, tensor2).is_floating_point:
        raise RuntimeError("Integer division with addcdiv is no longer supported: use true_divide")
    return _with_value(input, value, ops.div.call(tensor1, tensor2))


@method
def positive(input: Tensor) -> Tensor:
    """Return the input itself. RuntimeError for bools."""
    if input.dtype is dtypes.bool:
        raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
    return input


def _turned(name: str, factor: float, to: str) -> None:
    def call(input: Tensor) -> Tensor:
        if not input.dtype.is_floating_point:
            input = input.to(dtypes.get_default_dtype())
        return ops.mul.call(input, factor)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"Return the angle of each element in {to}, in the same shape."
    in_place(method(call))


_turned("deg2rad", math.pi / 180, "radians")
_turned("rad2deg", 180 / math.pi, "degrees")
