"""What NumPy's functions of each element, its ufuncs, give of Tensors: `numpy.exp(x)`, `array * x`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..engine.tensor import Tensor, wrap

_OPERATORS = {
    np.add: "__radd__", np.subtract: "__rsub__", np.multiply: "__rmul__", np.true_divide: "__rtruediv__",
    np.floor_divide: "__rfloordiv__", np.remainder: "__rmod__", np.power: "__rpow__",
    np.matmul: "__rmatmul__", np.equal: "__eq__", np.not_equal: "__ne__", np.less: "__gt__",
    np.less_equal: "__ge__", np.greater: "__lt__", np.greater_equal: "__le__", np.bitwise_and: "__rand__",
    np.bitwise_or: "__ror__", np.bitwise_xor: "__rxor__",
}  # fmt: skip
"""The ufuncs of Python's operators, and the method of the operand on the right."""


def _apply(self: Tensor, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
    """Return what a ufunc of NumPy's gives of the elements, as a Tensor; bools as uint8, as in PyTorch.

    An operator with an array on the left comes here too, and is this engine's. RuntimeError for a Tensor that
    requires a gradient, TypeError for one to write the results into.
    """
    first = inputs[0]
    on_the_left = method == "__call__" and not options and isinstance(first, (np.ndarray, np.generic))
    if on_the_left and ufunc in _OPERATORS and (ufunc is not np.matmul or inputs[1].requires_grad):
        return getattr(inputs[1], _OPERATORS[ufunc])(first)
    if any(isinstance(out, Tensor) for out in options.get("out", ())):
        raise TypeError("return arrays must be of ArrayType, not Tensors")
    arrays = [x.numpy() if isinstance(x, Tensor) else x for x in inputs]
    results = getattr(ufunc, method)(*arrays, **options)
    if "out" in options or results is None:
        return results
    return tuple(map(_wrapped, results)) if isinstance(results, tuple) else _wrapped(results)


Tensor.__array_ufunc__ = _apply  # type: ignore[attr-defined]


def _wrapped(result: Any) -> Tensor:
    array = np.asarray(result)
    return wrap(array.astype(np.uint8) if array.dtype.kind == "b" else array)
