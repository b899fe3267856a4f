"""Elements kept between bounds."""

from __future__ import annotations

from typing import Any

from ..arrays import dtypes
from ..engine.tensor import Tensor
from ..ops import comparison
from .arithmetic import where
from .forms import in_place
from .operands import as_tensor_operand, number_in
from .register import method


@method
def clamp(input: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """Return each element, raised to `min` where below and lowered to `max` where above.

    Either may be None, a number or a Tensor, which is broadcast. The gradient is 1 at a bound. Raises
    RuntimeError where neither is given.
    """
    if min is None and max is None:
        raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
    if isinstance(min, Tensor) or isinstance(max, Tensor):
        out = input
        if min is not None:
            bound = as_tensor_operand(min, input)
            out = where(comparison.lt.call(out, bound) | comparison.isnan.call(bound), bound, out)
        if max is not None:
            bound = as_tensor_operand(max, input)
            out = where(comparison.gt.call(out, bound) | comparison.isnan.call(bound), bound, out)
        return out
    if not input.dtype.is_floating_point and (isinstance(min, float) or isinstance(max, float)):
        input = input.to(dtypes.get_default_dtype())
    return comparison.clamp.call(input, number_in(min, input.dtype), number_in(max, input.dtype))


@in_place
@method
def clip(input: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """Return `clamp`, under NumPy's name."""
    return clamp(input, min, max)


@in_place
@method
def clamp_min(input: Tensor, min: Any) -> Tensor:
    """Return each element, raised to `min` where below: `clamp` with that bound alone."""
    return clamp(input, min=min)


@in_place
@method
def clamp_max(input: Tensor, max: Any) -> Tensor:
    """Return each element, lowered to `max` where above: `clamp` with that bound alone."""
    return clamp(input, max=max)
