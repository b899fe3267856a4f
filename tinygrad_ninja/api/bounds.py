"""Elements kept between bounds."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import dtypes
from ..engine.devices import same_device
from ..engine.promotion import common_dtype
from ..engine.tensor import Tensor
from ..ops import comparison
from .forms import in_place, require_tensors
from .operands import number_in
from .register import method
from .reshaping import expand


@method
def clamp(input: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """Return each element, raised to `min` where below and lowered to `max` where above.

    Either may be None; both are numbers or both are Tensors, which are broadcast. The gradient is 1 at a
    bound. Raises RuntimeError where neither is given, TypeError for a number and a Tensor.
    """
    if min is None and max is None:
        raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
    if isinstance(min, Tensor) or isinstance(max, Tensor):
        return _between(input, min, max)
    if not input.dtype.is_floating_point and (isinstance(min, float) or isinstance(max, float)):
        input = input.to(dtypes.get_default_dtype())
    return comparison.clamp.call(input, number_in(min, input.dtype), number_in(max, input.dtype))


def _between(input: Tensor, min: Any, max: Any) -> Tensor:
    if max is None:
        return comparison.clamp_min.call(input, min)
    if min is None:
        return comparison.clamp_max.call(input, max)
    require_tensors(comparison.clamp.name, min=min, max=max)
    operands = input, min, max
    same_device(comparison.clamp.name, *operands)
    shape, dtype = np.broadcast_shapes(*(x.shape for x in operands)), common_dtype(*operands)
    alike = [x if x.shape == shape else expand(x, shape) for x in operands]
    return comparison.clamp_between.call(*(x.to(dtype) for x in alike))


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
