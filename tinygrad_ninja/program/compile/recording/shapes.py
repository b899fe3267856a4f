"""Recording without computing: of a step on torch tensors only the shapes and dtypes are computed.

torch's own "meta" tensors give these. A batch that fills a GPU would take NumPy minutes, and more memory than
there is.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from .... import ops
from ....arrays.dispatch import NAMESPACES
from ....ops import Operation
from ...instructions import Array, Var, evaluate, flatten, substitute
from ...trace import Tape, plain


def stand_in(shape: tuple[int, ...], dtype: Any, strides: tuple[int, ...] | None = None) -> Array:
    """Return an array of that shape and dtype, and of these strides (in elements), in memory that is never
    touched.

    A single element is 1, so that a question about all elements gets the answer for ordinary numbers.
    """
    if not shape:
        return np.ones((), dtype)
    if strides is None or 0 in shape:
        return np.zeros(shape, dtype)
    span = 1 + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    memory = np.zeros(span, dtype)
    return np.ndarray(shape, dtype, memory, strides=tuple(step * memory.itemsize for step in strides))


def stand_in_for(array: Any) -> Array:
    """Return the stand-in for a torch tensor. Raise TypeError where NumPy has no such dtype."""
    return stand_in(tuple(array.shape), numpy_dtype(array.dtype), array.stride())


def numpy_dtype(dtype: Any) -> np.dtype[Any]:
    """Return NumPy's dtype of the same name. Raise TypeError where there is none."""
    return np.dtype(str(dtype).removeprefix("torch."))


def is_torch(array: Any) -> bool:
    """Return whether an array is a torch tensor."""
    return hasattr(array, "untyped_storage")


_ALIKE: dict[Operation, tuple[Operation, tuple[Any, ...]]] = {
    ops.rounding.remainder: (ops.elementwise.mul, ()),
    ops.rounding.floor_divide: (ops.elementwise.mul, ()),
    ops.rounding.sign: (ops.shape.clone, (False,)),
}
"""For operations that look at values: another operation, with its parameters, whose result has the same shape
and dtype."""


def shaped(operation: Operation, inputs: tuple[Any, ...], parameters: tuple[Any, ...]) -> Array:
    """Return the stand-in for the result of an operation."""
    if operation is ops.shape.to_device:
        return plain(inputs[0])
    operation, parameters = _ALIKE.get(operation, (operation, parameters))
    torch: Any = import_module("torch")

    def meta(x: Any) -> Any:
        if isinstance(x, np.dtype) or (isinstance(x, type) and issubclass(x, np.generic)):
            return getattr(torch, np.dtype(x).name)
        if isinstance(x, np.ndarray):
            steps = tuple(step // x.itemsize for step in x.strides)
            return torch.empty_strided(x.shape, steps, dtype=getattr(torch, x.dtype.name), device="meta")
        return x.to("meta") if is_torch(x) else x

    kind = NAMESPACES[torch.Tensor]
    result = kind.asarray(evaluate(operation, kind, map(meta, inputs), substitute(parameters, meta)))
    return stand_in_for(result)


class ShapeTape(Tape):
    """A tape that computes nothing but what depends on constants alone."""

    def depends_on_constants(self, variables: tuple[Any, ...], parameters: tuple[Any, ...]) -> bool:
        read = flatten((*variables, *substitute(parameters, self.variable)))
        return all(not isinstance(x, Var) or x.constant for x in read)

    def value(self, operation: Operation, inputs: tuple[Any, ...], parameters: tuple[Any, ...]) -> Array:
        known = self.depends_on_constants(substitute(inputs, self.variable), parameters)
        if known or operation.view:  # NumPy makes a view without looking at the values
            return super().value(operation, inputs, parameters)
        return shaped(operation, inputs, parameters)
