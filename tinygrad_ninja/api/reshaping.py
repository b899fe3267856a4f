"""Shapes: views where the memory allows it."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from ..engine.tensor import Tensor, wrap
from ..ops import shape as ops
from .dimensions import dimension, dimensions, sizes
from .register import method, method_only, numpy_names


@lru_cache(maxsize=1024)
def _infer_shape(shape: tuple[int, ...], n: int) -> tuple[int, ...]:
    """Return `shape` with its one -1 replaced for n elements; RuntimeError where that is impossible."""
    product = math.prod(shape)
    unknown = shape.count(-1)
    if product == n and not unknown and min(shape, default=0) >= 0:
        return shape
    if unknown > 1:
        raise RuntimeError("only one dimension can be inferred")
    if shape and min(shape) < -1:
        raise RuntimeError(f"invalid shape dimension {min(shape)}")
    if unknown:
        if product == 0:
            raise RuntimeError(
                f"cannot reshape tensor of 0 elements into shape {list(shape)}: -1 is ambiguous"
            )
        if n % product == 0:  # the product is that of the other sizes, times -1
            return tuple([-n // product if size == -1 else size for size in shape])
    raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {n}")


@method
def reshape(input: Tensor, *shape: Any) -> Tensor:
    """Return the same elements in another shape, in which one size may be -1: a view where the memory allows
    it.

    Raises RuntimeError where the shape does not fit the number of elements.
    """
    return ops.reshape.call(input, _infer_shape(sizes(shape), input.numel()))


def unviewed(view: Tensor) -> Tensor:
    """Return a view of memory that nothing else shows as a Tensor that counts as no view, as in PyTorch."""
    out = wrap(view.array)
    out.edge = view.edge
    return out


@method_only
def view(self: Tensor, *shape: Any) -> Tensor:
    """Return the same memory in another shape, in which one size may be -1.

    Raises RuntimeError where only a copy could have the shape (use reshape), or it does not fit.
    """
    array = self.array
    if type(array) is np.ndarray:
        size, contiguous = _infer_shape(sizes(shape), array.size), array.flags.c_contiguous
    else:
        size, contiguous = _infer_shape(sizes(shape), self.numel()), self.is_contiguous()
    if not contiguous and not _viewable(array, size):
        raise RuntimeError(
            "view size is not compatible with input tensor's size and stride (at least one dimension spans "
            "across two contiguous subspaces). Use .reshape(...) instead."
        )
    return ops.reshape.call(self, size)


def _viewable(array: Any, shape: tuple[int, ...]) -> bool:
    try:
        if isinstance(array, np.ndarray):
            array.reshape(shape, copy=False)
        else:
            array.view(shape)
    except (ValueError, RuntimeError):
        return False
    return True


@method_only
def view_as(self: Tensor, other: Tensor) -> Tensor:
    """Return `view` in the shape of another Tensor."""
    return view(self, *other.shape)


@method_only
def reshape_as(self: Tensor, other: Tensor) -> Tensor:
    """Return `reshape` to the shape of another Tensor."""
    return reshape(self, *other.shape)


@method
def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Join the dimensions from start_dim to end_dim into one.

    Raises IndexError where there is no such dimension, RuntimeError where start_dim comes after end_dim.
    """
    start, end = dimension(start_dim, input.ndim), dimension(end_dim, input.ndim)
    if start > end:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    if start == end and input.ndim:
        return input
    shape = tuple(input.shape)
    return reshape(input, *shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :])


@method
def ravel(input: Tensor) -> Tensor:
    """Return all the elements, in order, in one dimension."""
    return reshape(input.contiguous(), -1)


@method
def permute(input: Tensor, *order: Any, dims: Any = None) -> Tensor:
    """Reorder the dimensions: dimension i of the result is dims[i] of the input; a view.

    Raises RuntimeError unless each dimension is named once.
    """
    requested = sizes(order) if dims is None else sizes((dims,))
    axes = tuple(dimension(dim, input.ndim) for dim in requested)
    if sorted(axes) != list(range(input.ndim)):
        raise RuntimeError(f"permute: {requested} does not name each of the {input.ndim} dimensions once")
    return ops.permute.call(input, axes)


@method
def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Exchange two dimensions; a view. Raises IndexError where there is no such dimension."""
    order = list(range(input.ndim))
    i, j = dimension(dim0, input.ndim), dimension(dim1, input.ndim)
    if order:
        order[i], order[j] = order[j], order[i]
    return ops.permute.call(input, tuple(order))


@method
def swapaxes(input: Tensor, axis0: int, axis1: int) -> Tensor:
    """Exchange two dimensions: `transpose` under NumPy's name."""
    return transpose(input, axis0, axis1)


@method
def t(input: Tensor) -> Tensor:
    """Transpose a matrix; a vector is returned as it is. RuntimeError for more than two dimensions."""
    if input.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {input.ndim}D")
    return ops.permute.call(input, tuple(reversed(range(input.ndim))))


def _t(self: Tensor) -> Tensor:
    """Return a view with the dimensions in reverse order."""
    return ops.permute.call(self, tuple(reversed(range(self.ndim))))


def _mt(self: Tensor) -> Tensor:
    """Return a view with the last two dimensions exchanged. RuntimeError for a vector, which has only one."""
    if self.ndim == 1:
        raise RuntimeError("tensor.mT is only supported on matrices or batches of matrices. Got 1-D tensor.")
    return transpose(self, -2, -1) if self.ndim else self


Tensor.T = property(_t)  # type: ignore[attr-defined]
Tensor.mT = property(_mt)  # type: ignore[attr-defined]


@method
@numpy_names
def squeeze(input: Tensor, dim: Any = None) -> Tensor:
    """Remove dimensions of size 1: all of them, or those of `dim`, an int or several, that have it; a
    view."""
    all_dims = tuple(range(input.ndim))
    removable = () if isinstance(dim, (tuple, list)) and not dim else dimensions(dim, input.ndim) or all_dims
    shape = tuple(n for i, n in enumerate(input.shape) if n != 1 or i not in removable)
    return ops.squeeze.call(input, shape)


@method
@numpy_names
def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """Insert a dimension of size 1 at `dim`; a view. Raises IndexError where `dim` is out of range."""
    position = dimension(dim, input.ndim + 1)
    shape = tuple(input.shape)
    return ops.unsqueeze.call(input, (*shape[:position], 1, *shape[position:]))


@method_only
def expand(self: Tensor, *size: Any) -> Tensor:
    """Repeat dimensions of size 1, and new ones in front, to the given sizes; a view. -1 leaves a size as it
    is.

    Raises RuntimeError where the sizes do not fit.
    """
    requested = sizes(size)
    current = tuple(self.shape)
    extra = len(requested) - len(current)
    if extra < 0:
        raise RuntimeError(
            f"expand: the number of sizes provided ({len(requested)}) must be greater or equal to the number "
            f"of dimensions in the tensor ({len(current)})"
        )
    if any(size == -1 for size in requested[:extra]):
        raise RuntimeError("expand: -1 isn't allowed in a leading, non-existing dimension")
    shape = (
        *requested[:extra],
        *(old if new == -1 else new for old, new in zip(current, requested[extra:], strict=True)),
    )
    return ops.expand.call(self, shape)


@method_only
def expand_as(self: Tensor, other: Tensor) -> Tensor:
    """Return `expand` to the shape of another Tensor."""
    return expand(self, *other.shape)


@method
def broadcast_to(input: Tensor, size: Any) -> Tensor:
    """Return `expand` to `size`, a tuple of ints."""
    return expand(input, *size)


@method
def flip(input: Tensor, *order: Any, dims: Any = None) -> Tensor:
    """Return a copy with the order along the dimensions `dims` reversed.

    Raises TypeError without dims, IndexError where there is no such dimension.
    """
    if not order and dims is None:
        raise TypeError("flip() needs dims: the dimensions to reverse")
    requested = sizes(order) if dims is None else sizes((dims,))
    return ops.flip.call(input, dimensions(requested, input.ndim) or ())


def _reversed(self: Tensor) -> Tensor:
    return flip(self, 0) if self.ndim else self


Tensor.__reversed__ = _reversed  # type: ignore[attr-defined]
