"""What a dtype holds, and the dtype in which operands meet."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import dtypes
from ..engine.promotion import common_dtype
from ..engine.tensor import Tensor
from .register import OFFERED, function


@function
def result_type(tensor1: Any, tensor2: Any) -> dtypes.dtype:
    """Return the dtype of an operation's result for two operands, each a Tensor or a number. TypeError for
    anything else."""
    tensor1, tensor2 = dtypes.plain_number(tensor1), dtypes.plain_number(tensor2)
    for operand in (tensor1, tensor2):
        if not isinstance(operand, (Tensor, int, float)):
            raise TypeError(f"result_type() takes Tensors and numbers, not {type(operand).__name__}")
    return common_dtype(tensor1, tensor2)


@function
def can_cast(from_: dtypes.dtype, to: dtypes.dtype) -> bool:
    """Return whether numbers of a dtype may become those of another: floats no integers, and numbers no
    bools."""
    return from_.category <= to.category


class iinfo:  # noqa: N801 - PyTorch's name
    """The limits of an integer dtype: `bits`, `min`, `max`, and `dtype`, its name. TypeError for another."""

    def __init__(self, type: dtypes.dtype) -> None:
        if type.category != 1:
            raise TypeError(f"torch.iinfo() requires an integer input type, not {type}")
        limits = np.iinfo(type.carrier)
        self.bits, self.min, self.max, self.dtype = 8 * type.itemsize, limits.min, limits.max, type.name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, iinfo) and self.dtype == other.dtype

    def __hash__(self) -> int:
        return hash(self.dtype)

    def __repr__(self) -> str:
        return f"iinfo(min={self.min:g}, max={self.max:g}, dtype={self.dtype})"


_BFLOAT16_BITS = 7
"""How many bits of a number bfloat16, which NumPy lacks, has after the point."""


class finfo:  # noqa: N801 - PyTorch's name
    """The limits of a floating point dtype, by default of the default one: `bits`, `min`, `max`; `eps`, the
    step from 1 to the next number; `tiny` and `smallest_normal`, the smallest positive one with all its
    digits; `resolution`, 10 to the power of minus its decimal digits; `dtype`, its name. TypeError for
    another."""

    def __init__(self, type: dtypes.dtype | None = None) -> None:
        d = dtypes.get_default_dtype() if type is None else type
        if not d.is_floating_point:
            raise TypeError(f"torch.finfo() requires a floating point input type, not {d}")
        limits = np.finfo(d.carrier)
        self.bits, self.dtype = 8 * d.itemsize, d.name
        self.tiny = self.smallest_normal = float(limits.tiny)
        if d is dtypes.bfloat16:  # the exponents of float32
            self.eps = 2.0**-_BFLOAT16_BITS
            self.max = (2.0 - self.eps) * 2.0 ** (limits.maxexp - 1)
        else:
            self.eps, self.max = float(limits.eps), float(limits.max)
        digits = int(-np.log10(self.eps))
        self.min, self.resolution = -self.max, 10.0**-digits

    def __eq__(self, other: object) -> bool:
        return isinstance(other, finfo) and self.dtype == other.dtype

    def __hash__(self) -> int:
        return hash(self.dtype)

    def __repr__(self) -> str:
        names = ("resolution", "min", "max", "eps", "smallest_normal", "tiny")
        numbers = ", ".join(f"{name}={getattr(self, name):g}" for name in names)
        return f"finfo({numbers}, dtype={self.dtype})"


OFFERED |= {"iinfo": iinfo, "finfo": finfo}
