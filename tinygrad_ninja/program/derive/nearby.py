"""Which values are the same, however they are written: those with the same numbers at a point nearby.

Two expressions that can be turned into one another have the same numbers wherever the inputs are: x·x and x²,
√x and x^0.5, log(a·b) and log a + log b, a mean and a sum over n. Two others differ nearly everywhere. So a
program is computed again, in double precision, from inputs that are moved at random. What is no smooth
function of numbers (a comparison, relu, a value that is rounded) is taken for an input, too; and so is a
value where it is read but no gradient goes back, since what is computed from it has another slope.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Container
from typing import Any

import numpy as np

from ...arrays import numpy_arrays
from ...ops import Category, Operation, comparison, elementwise
from ...ops.rounding import flat
from ..instructions import Array, Instruction, Var, double, evaluate, identity, substitute

SAME = 1e-11
"""The largest difference that is rounding, as a share of the greatest number beside it."""


class Nearby:
    """The values of a program at a point nearby, to be found by their numbers. reached: those that a gradient
    reaches."""

    def __init__(self, reached: Container[Var] = ()) -> None:
        self.values: dict[Var, Array] = {}
        self._reached = reached
        self._random = np.random.default_rng(0)
        self._inputs: dict[Any, Array] = {}  # also what is taken for one, by what says which it is
        self._known: dict[Any, list[tuple[float, int, Var]]] = {}

    def take(self, step: Instruction, flows: tuple[bool, ...] = ()) -> None:
        """Compute the output of an instruction. flows: to which inputs a gradient flows, if that matters."""
        out = step.output
        if _is_smooth(step):
            ways = zip(step.inputs, flows or (True,) * len(step.inputs), strict=True)
            inputs = tuple(x if flow or x not in self._reached else self._held(x) for x, flow in ways)
            self.values[out] = self.of(step.operation, inputs, step.parameters)
        if out not in self.values or (self.stays(out) and not all(map(self.stays, step.reads()))):
            key = step.operation, identity(step.inputs), identity(step.parameters)
            self.values[out] = self._moved(out, key)

    def of(self, operation: Operation, inputs: tuple[Any, ...], parameters: tuple[Any, ...]) -> Array:
        """Return the numbers of an operation on values."""
        with np.errstate(all="ignore"):
            given = substitute(parameters, self._value)
            return np.asarray(evaluate(operation, numpy_arrays, map(self._value, inputs), given))

    def _value(self, x: Any) -> Any:
        """Return the numbers of a variable: of an input others than the recorded ones, but for a one-hot,
        which is known to add up to 1. Return a floating point dtype as double precision; anything else
        unchanged."""
        if isinstance(x, np.dtype | type):
            return np.dtype(np.float64) if np.issubdtype(x, np.floating) else x
        if not isinstance(x, Var):
            return x
        if x not in self.values:
            stays = x.constant or (x not in self._reached and is_onehot(x.value))
            self.values[x] = double(x.value) if stays else self._moved(x, x)
        return self.values[x]

    def _held(self, x: Var) -> Array:
        """Return other numbers for a value where no gradient goes back to it."""
        return self._moved(x, ("held", x))

    def _moved(self, x: Var, key: Any) -> Array:
        """Return numbers in place of recorded ones, for the same key always the same. They are further from 0
        than these, since others may be where a logarithm is not."""
        if x.dtype.kind != "f":
            return x.value
        if key not in self._inputs:
            away, value = self._random.uniform(0.01, 0.02, x.shape), double(x.value)
            self._inputs[key] = value + np.where(value < 0, -1, 1) * (1 + abs(value)) * away
        return self._inputs[key]

    # -- to be found -----------------------------------------------------------------------------------------

    def add(self, var: Var) -> None:
        """Let a value be found, unless one of its shape and dtype has its numbers already."""
        array = self._value(var)
        if self.find(array, var.dtype) is None:
            known = self._known.setdefault((array.shape, var.dtype), [])
            insort(known, (_total(array), len(known), var))

    def find(self, array: Array, dtype: Any) -> Var | None:
        """Return the value of this shape and dtype that has these numbers; None where there is none, or there
        are no numbers."""
        known, total = self._known.get((array.shape, dtype), []), _total(array)
        near = SAME * _total(abs(array)) + np.finfo(float).tiny
        for other, _, var in known[bisect_left(known, (total - near,)) :]:
            if other > total + near:
                break
            if np.isfinite(array).any() and are_close(array, self.values[var]):
                return var
        return None

    def find_repeated(self, array: Array, dtype: Any) -> Var | None:
        """Return the same, or else the value without the dimensions of size 1 in front, which broadcasting
        adds."""
        first = next((i for i, n in enumerate(array.shape) if n != 1), array.ndim)
        return self.find(array, dtype) or self.find(array.reshape(array.shape[first:]), dtype)

    def stays(self, var: Var) -> bool:
        """Return whether a value is a number wherever the inputs are, whatever it is computed from: the slope
        of x - x can't be told from it."""
        return are_close(self._value(var), var.value, 1e-5)


def is_onehot(value: Array) -> bool:
    """Return whether an array is a matrix with a single 1 in each row, and else 0."""
    return value.ndim == 2 and bool(((value == 0) | (value == 1)).all() and (value.sum(1) == 1).all())


def _is_smooth(step: Instruction) -> bool:
    """Return whether what an instruction computes is one and the same formula of numbers everywhere."""
    operation, read = step.operation, [x.dtype for x in step.reads()]
    if all(rule is flat for rule in operation.sources.values()):
        return False
    if operation.category is not Category.ELEMENTWISE or step.output.dtype.kind != "f":
        return True
    kinked = operation.side is not None or operation is comparison.where
    rounds = operation is elementwise.cast and read[0].itemsize > step.output.dtype.itemsize
    return not kinked and not rounds and all(dtype.kind == "f" for dtype in read)


def _total(array: Array) -> float:
    """Return a sum of an array's numbers, each times a number of its own."""
    return float(np.where(np.isfinite(array), array, 0).ravel() @ np.sqrt(np.arange(2, array.size + 2)))


def are_close(a: Array, b: Array, share: float = SAME) -> bool:
    """Return whether two arrays have the same numbers but for a share of the greatest."""
    scale = abs(a[np.isfinite(a)]).max(initial=0)
    return bool(np.allclose(a, b, rtol=0, atol=share * scale, equal_nan=True))
