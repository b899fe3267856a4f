"""Whether two Tensors hold the same numbers, or nearly."""

from __future__ import annotations

from ..arrays import dtypes
from ..engine.tensor import Tensor
from ..ops import comparison, elementwise, rounding
from .forms import require_tensors
from .register import method


@method
def isclose(
    input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> Tensor:
    """Return whether |input - other| ≤ atol + rtol · |other|, element by element, as bools.

    equal_nan: whether NaN is close to NaN. Raises RuntimeError where the dtypes differ, or a tolerance is
    negative.
    """
    require_tensors("isclose", other=other)
    if input.dtype is not other.dtype:
        raise RuntimeError(f"{input.dtype} did not match {other.dtype}")
    for name, tolerance in (("rtol", rtol), ("atol", atol)):
        if tolerance < 0:
            raise RuntimeError(f"{name} must be greater than or equal to zero, but got {tolerance}")
    equal = comparison.eq.call(input, other)
    if equal_nan and input.dtype.is_floating_point:
        equal = equal | (comparison.isnan.call(input) & comparison.isnan.call(other))
    if rtol == 0 and atol == 0:
        return equal
    if not input.dtype.is_floating_point:
        input, other = input.to(dtypes.float64), other.to(dtypes.float64)
    input, other = input.detach(), other.detach()
    distance = rounding.abs.call(elementwise.sub.call(input, other))
    close = comparison.le.call(distance, atol + rounding.abs.call(rtol * other)) & comparison.isfinite.call(
        distance
    )
    return equal | close


@method
def allclose(
    input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> bool:
    """Return whether `isclose` is true for all elements, broadcast; errors as for `isclose`."""
    return bool(isclose(input, other, rtol, atol, equal_nan).array.all())


@method
def equal(input: Tensor, other: Tensor) -> bool:
    """Return whether the two have the same shape and the same elements."""
    require_tensors("equal", other=other)
    return input.shape == other.shape and bool(comparison.eq.call(input, other).array.all())
