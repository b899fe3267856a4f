"""The checks that the engine makes of its input before it computes with it, made again at every call.

An eager function reads such a value out of an array and raises. A function that is being recorded notes the
check instead, and the compiled step makes it before it changes anything.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from ....ops import Category, Operation, indexing, rounding
from ...instructions import Array, Instruction, Var
from .recorded import Recorded


class CheckError(Exception):
    """A check has failed, before anything was changed: eager code raises `error`, and may say more than
    `message` does."""

    def __init__(self, error: type[Exception], message: str) -> None:
        super().__init__(error, message)
        self.error, self.message = error, message


@dataclass(eq=False)
class Check:
    """Every element of `var` must be an integer of [low, high), or where these are equal another one than
    `low`; or else `error(message)` is raised."""

    var: Var
    low: int
    high: int
    error: type[Exception]
    message: str

    def is_known(self, ranges: Mapping[Var, tuple[float, float]]) -> bool:
        """Return whether it holds for all integers in the range [low, high) that the variable has."""
        low, high = ranges.get(self.var, (-math.inf, math.inf))
        return self.low <= low and high <= self.high

    def look(self, array: Array) -> None:
        """Raise the error where an element of the array is out of range."""
        if ((array < self.low) | (array >= self.high)).any():
            self.fail()

    def fail(self) -> NoReturn:
        """Raise the error."""
        raise CheckError(self.error, self.message)


def by_variable(checks: Iterable[Check]) -> defaultdict[Var, list[Check]]:
    """Return the checks of each variable, in order; none for a variable without any."""
    found: defaultdict[Var, list[Check]] = defaultdict(list)
    for check in checks:
        found[check.var].append(check)
    return found


def is_unknown(x: Any) -> bool:
    """Return whether it is an array of which the values may differ from call to call."""
    return isinstance(x, Recorded) and not x.is_known()


def unknown_within(x: Any) -> bool:
    """Return whether the values of a Tensor, of an array, or of one in nested lists may differ from call to
    call."""
    if isinstance(x, (list, tuple)):
        return any(map(unknown_within, x))
    return is_unknown(getattr(x, "array", x))


def index_checks(instruction: Instruction) -> list[Check]:
    """Return what the instruction's indices must be, where they are variables."""
    operation = instruction.operation
    x = instruction.inputs[0]
    shape = (
        x.shape if isinstance(x, Var) and operation.category is Category.GATHER else instruction.output.shape
    )
    if operation in (indexing.index, indexing.scatter, indexing.put):
        indices = list(zip(instruction.parameters[-1], shape, strict=False))
    elif operation in (indexing.gather, indexing.scatter_along):
        axis, index = instruction.parameters[-2:]
        indices = [(index, shape[axis])]
    else:
        return []
    what = f"{_place(instruction)}an index is out of bounds for a dimension of size"
    return [Check(index, -n, n, IndexError, f"{what} {n}") for index, n in indices if isinstance(index, Var)]


def divisor_checks(instruction: Instruction) -> list[Check]:
    """Return what the instruction's divisor must be, where it is a variable: not 0, of integers."""
    divided = divides(instruction.operation, instruction.output.dtype) and instruction.output.value.size
    if not divided or not isinstance(instruction.inputs[1], Var):
        return []
    what = f"{_place(instruction)}integer division by zero (ZeroDivisionError)"
    return [Check(instruction.inputs[1], 0, 0, RuntimeError, what)]


def _place(instruction: Instruction) -> str:
    """Return the reader's line, and the operation in it."""
    return f"{instruction.source + ': ' if instruction.source else ''}{instruction.operation.name}: "


def divides(operation: Operation, dtype: np.dtype[Any]) -> bool:
    """Return whether the operation divides integers, so that no divisor may be 0."""
    return operation in (rounding.remainder, rounding.fmod, rounding.floor_divide) and dtype.kind in "iu"
