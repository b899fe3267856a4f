"""The sizes of a Tensor, and how its elements lie in memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..engine.inference import is_marked
from ..engine.tensor import Tensor
from .register import attribute, function, method, method_only


@attribute
def itemsize(self: Tensor) -> int:
    """Return how many bytes an element takes."""
    return self.dtype.itemsize


@attribute
def nbytes(self: Tensor) -> int:
    """Return how many bytes the elements take together."""
    return self.numel() * self.itemsize


@attribute
def is_cuda(self: Tensor) -> bool:
    """Return whether it is on a GPU."""
    return self.device.type == "cuda"


@method_only
def size(self: Tensor, dim: int | None = None) -> Any:
    """Return the shape, or the size along `dim`; IndexError where there is no such dimension."""
    if dim is None:
        return self.shape
    n = self.ndim
    if not -n <= dim < n:
        raise IndexError(
            f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {dim})"
        )
    return self.shape[dim]


@method_only
def dim(self: Tensor) -> int:
    """Return how many dimensions it has."""
    return self.ndim


@method_only
def element_size(self: Tensor) -> int:
    """Return how many bytes an element takes."""
    return self.itemsize


@method
def is_floating_point(input: Tensor) -> bool:
    """Return whether its dtype is a floating point one."""
    return input.dtype.is_floating_point


@method
def is_inference(input: Tensor) -> bool:
    """Return whether its memory was made under `inference_mode`."""
    return is_marked(input.array)


@function
def numel(input: Tensor) -> int:
    """Return how many elements it has."""
    return input.numel()


@method_only
def is_contiguous(self: Tensor) -> bool:
    """Return whether its elements lie in memory in their order."""
    array = self.array
    return array.flags.c_contiguous if isinstance(array, np.ndarray) else array.is_contiguous()


@method_only
def stride(self: Tensor, dim: int | None = None) -> Any:
    """Return the step in memory, in elements, from one index to the next along each dimension, or along
    `dim`."""
    array = self.array
    if not isinstance(array, np.ndarray):
        return array.stride() if dim is None else array.stride(dim)
    steps = [step // array.itemsize for step in array.strides]
    for i in reversed(range(array.ndim)):
        # NumPy leaves it open how to step along one element, or where there is none.
        if not array.size or (steps[i] == 0 and array.shape[i] == 1):
            steps[i] = steps[i + 1] * (array.shape[i + 1] or 1) if i + 1 < array.ndim else 1
    return tuple(steps) if dim is None else steps[dim]


Tensor.ndimension = dim  # type: ignore[attr-defined]
Tensor.nelement = Tensor.numel  # type: ignore[attr-defined]
