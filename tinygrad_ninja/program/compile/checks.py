"""What the engine looks for in its input before it computes with it, looked for again at every call.

An eager function reads such a value out of an array and raises. One that is recorded notes what it would have
looked for, and the compiled step looks before it changes anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...ops import Category, Operation, indexing, rounding
from ..instructions import Array, Instruction, Var
from .tape import Recorded


@dataclass(eq=False)
class Check:
    """Every element of `var` must be an integer of [low, high), or else `error(message)` is raised."""

    var: Var
    low: int
    high: int
    error: type[Exception]
    message: str

    def look(self, array: Array) -> None:
        """Raise the error, if it is one."""
        if ((array < self.low) | (array >= self.high)).any():
            raise self.error(self.message)


def is_unknown(x: Any) -> bool:
    """Whether it is an array of which the values may differ from call to call."""
    return isinstance(x, Recorded) and not x.is_known()


def unknown_within(x: Any) -> bool:
    """Whether the values of a Tensor or an array, or of one in nested lists, may differ from call to call."""
    if isinstance(x, (list, tuple)):
        return any(map(unknown_within, x))
    return is_unknown(getattr(x, "array", x))


def index_checks(made: Instruction) -> list[Check]:
    """What the instruction's indices must be, each a variable."""
    operation = made.operation
    x = made.inputs[0]
    shape = x.shape if isinstance(x, Var) and operation.category is Category.GATHER else made.output.shape
    if operation in (indexing.index, indexing.scatter, indexing.put):
        indices = list(zip(made.parameters[-1], shape, strict=False))
    elif operation in (indexing.gather, indexing.scatter_along):
        axis, index = made.parameters[-2:]
        indices = [(index, shape[axis])]
    else:
        return []
    what = f"{_place(made)}an index is out of bounds for a dimension of size"
    return [Check(index, -n, n, IndexError, f"{what} {n}") for index, n in indices if isinstance(index, Var)]


def divisor_checks(made: Instruction) -> list[Check]:
    """What the instruction's divisor must be, where it is a variable: not 0, if it divides any integers."""
    divided = divides(made.operation, made.output.dtype) and made.output.value.size
    if not divided or not isinstance(made.inputs[1], Var):
        return []
    what = f"{_place(made)}integer division by zero (ZeroDivisionError)"
    return [Check(made.inputs[1], 0, 0, RuntimeError, what)]


def _place(made: Instruction) -> str:
    """The reader's line, and the operation in it."""
    return f"{made.source + ': ' if made.source else ''}{made.operation.name}: "


def divides(operation: Operation, dtype: np.dtype[Any]) -> bool:
    """Return whether the operation divides integers, by others of which none may be 0."""
    return operation in (rounding.remainder, rounding.floor_divide) and dtype.kind in "iu"
