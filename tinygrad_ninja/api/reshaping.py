"""Shapes: views where the memory allows it, joining and splitting, diagonals, the matrix product."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from ..arrays import dtypes
from ..arrays.numpy_memory import FLOATS
from ..engine.devices import same_device
from ..engine.hook import arguments, observers
from ..engine.tensor import Tensor, wrap
from ..engine.view import View
from ..ops import Precision, linalg
from ..ops import shape as ops
from .dimensions import dimension, dimensions, sizes
from .register import function, method, method_only


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
    return reshape(contiguous(input), -1)


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
def squeeze(input: Tensor, dim: Any = None) -> Tensor:
    """Remove dimensions of size 1: all of them, or those of `dim`, an int or several, that have it; a
    view."""
    all_dims = tuple(range(input.ndim))
    removable = () if dim in ((), []) else dimensions(dim, input.ndim) or all_dims
    shape = tuple(n for i, n in enumerate(input.shape) if n != 1 or i not in removable)
    return ops.squeeze.call(input, shape)


@method
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


@method_only
def contiguous(self: Tensor) -> Tensor:
    """Return the Tensor itself where its elements lie in order in memory, else a recorded copy."""
    return self if self.is_contiguous() else ops.clone.call(self, True)


def _list_of_tensors(tensors: Any) -> list[Tensor]:
    elements = list(tensors)
    for element in elements:
        if not isinstance(element, Tensor):
            raise TypeError(f"expected Tensor as element in argument 0, but got {type(element).__name__}")
    return elements


@function
def cat(tensors: Sequence[Tensor], dim: int = 0, *, axis: int | None = None) -> Tensor:
    """Join the tensors along `dim`; their other sizes must agree.

    The result has the dtype that holds all of theirs. Raises ValueError for no tensors, TypeError for other
    elements, RuntimeError where the sizes or the devices differ, or a tensor is 0-dimensional.
    """
    parts = _list_of_tensors(tensors)
    if not parts:
        raise ValueError("torch.cat(): expected a non-empty list of Tensors")
    for part in parts:
        if not part.ndim:
            raise RuntimeError("zero-dimensional tensor cannot be concatenated")
    same_device("cat", *parts)
    common = dtypes.result_dtype([part.dtype for part in parts], [], [])
    shaped = [part for part in parts if part.shape != (0,)]
    if not shaped:
        return ops.cat.call([part.to(common) for part in parts], 0)
    position = dimension(dim if axis is None else axis, shaped[0].ndim)
    # PyTorch accepts tensors of shape (0,) beside any others.
    empty_shape = tuple(0 if i == position else n for i, n in enumerate(shaped[0].shape))
    fitting = [part.reshape(empty_shape) if part.shape == (0,) else part for part in parts]
    return ops.cat.call([part.to(common) for part in fitting], position)


@function
def stack(tensors: Sequence[Tensor], dim: int = 0, *, axis: int | None = None) -> Tensor:
    """Join tensors of one shape along a new dimension at `dim`.

    The result has the dtype that holds all of theirs. Raises RuntimeError for no tensors, and where the
    shapes or the devices differ; TypeError for other elements.
    """
    parts = _list_of_tensors(tensors)
    if not parts:
        raise RuntimeError("stack expects a non-empty TensorList")
    for part in parts:
        if part.shape != parts[0].shape:
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(parts[0].shape)} "
                f"and {list(part.shape)}"
            )
    same_device("stack", *parts)
    position = dimension(dim if axis is None else axis, parts[0].ndim + 1)
    common = dtypes.result_dtype([part.dtype for part in parts], [], [])
    return ops.stack.call([part.to(common) for part in parts], position)


def _pieces(views: Iterable[Tensor]) -> tuple[Tensor, ...]:
    pieces = tuple(views)
    for piece in pieces:
        if isinstance(piece, View):
            piece.one_of_several = True
    return pieces


def _slices(input: Tensor, bounds: Sequence[int], dim: int) -> tuple[Tensor, ...]:
    position = dimension(dim, input.ndim)
    lead = (slice(None),) * position
    return tuple([input[(*lead, slice(a, b))] for a, b in itertools.pairwise(bounds)])


def _has_dimensions(input: Tensor, name: str) -> None:
    if not input.ndim:
        raise RuntimeError(f"{name} expects at least a 1-dimensional tensor")


@method
def split(tensor: Tensor, split_size_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Return views of pieces along `dim`: of one size (the last may be smaller), or of the sizes listed.

    Raises RuntimeError for a size that is not positive, and for sizes that do not sum to the dimension's.
    """
    _has_dimensions(tensor, "split")
    n = tensor.shape[dimension(dim, tensor.ndim)]
    if isinstance(split_size_or_sections, int):
        step = split_size_or_sections
        if step <= 0 and (step < 0 or n):
            raise RuntimeError(f"split expects split_size be positive, but got split_size={step}")
        bounds = [*range(0, n, step), n] if n else [0, 0]
    else:
        if min(split_size_or_sections, default=0) < 0:
            raise RuntimeError(
                f"split_with_sizes expects split_sizes have only non-negative entries, "
                f"but got {list(split_size_or_sections)}"
            )
        bounds = [0]
        for size in split_size_or_sections:
            bounds.append(bounds[-1] + size)
        if bounds[-1] != n:
            raise RuntimeError(
                f"split_with_sizes expects split_sizes to sum exactly to {n}, "
                f"but got {list(split_size_or_sections)}"
            )
    return _pieces(_slices(tensor, bounds, dim))


@method
def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """Return at most `chunks` views of equal size along `dim`, the last perhaps smaller. RuntimeError for
    chunks ≤ 0."""
    _has_dimensions(input, "chunk")
    if chunks <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    n = input.shape[dimension(dim, input.ndim)]
    if not n:
        return _pieces(_slices(input, [0, 0], dim)[0] for _ in range(chunks))
    return split(input, max(1, math.ceil(n / chunks)), dim)


@method
def tensor_split(input: Tensor, indices_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Return views along `dim`: that many nearly equal pieces, or cut before each index listed.

    Raises RuntimeError for a number of pieces that is not positive.
    """
    _has_dimensions(input, "tensor_split")
    n = input.shape[dimension(dim, input.ndim)]
    if isinstance(indices_or_sections, Tensor):
        indices_or_sections = indices_or_sections.tolist()
    if isinstance(indices_or_sections, int):
        pieces = indices_or_sections
        if pieces <= 0:
            raise RuntimeError(f"number of sections must be larger than 0, got {pieces}")
        size, larger = divmod(n, pieces)
        bounds = [i * size + min(i, larger) for i in range(pieces + 1)]
        return _slices(input, bounds, dim)
    cuts = [min(max(cut + n if cut < 0 else cut, 0), n) for cut in indices_or_sections]
    return _slices(input, [0, *cuts, n], dim)


@method
def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """Return a view for each index along `dim`, without that dimension. IndexError where there is no such
    dimension."""
    position = dimension(dim, input.ndim)
    if not input.ndim:
        raise IndexError("Dimension specified as 0 but tensor has no dimensions")
    lead = (slice(None),) * position
    return _pieces(input[(*lead, i)] for i in range(input.shape[position]))


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


def _matrix(input: Tensor, name: str) -> Tensor:
    if input.ndim < 2:
        raise RuntimeError(f"{name}: input tensor must have at least 2 dimensions")
    return input


@method
def tril(input: Tensor, diagonal: int = 0) -> Tensor:
    """Return the lower triangle of the last two dimensions, up to the diagonal, and zeros above it.

    Raises RuntimeError for fewer than two dimensions.
    """
    return ops.tril.call(_matrix(input, "tril"), diagonal)


@method
def triu(input: Tensor, diagonal: int = 0) -> Tensor:
    """Return the upper triangle of the last two dimensions, down to the diagonal, and zeros below it.

    Raises RuntimeError for fewer than two dimensions.
    """
    return ops.triu.call(_matrix(input, "triu"), diagonal)


@method
def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """Return the diagonal of a matrix, or the square matrix with a vector on its diagonal.

    Raises RuntimeError for another number of dimensions.
    """
    if input.ndim == 1:
        return ops.diag_embed.call(input, diagonal)
    if input.ndim != 2:
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {input.ndim}D")
    return ops.diagonal.call(input, diagonal)


@method
def matmul(input: Tensor, other: Tensor) -> Tensor:
    """Return the matrix product of vectors, matrices, and batches of them (leading dimensions are broadcast).

    (…, n, k) and (…, k, m) give (…, n, m); a vector is a row as the first and a column as the second operand,
    and loses that dimension. Raises RuntimeError where the inner sizes differ, an operand is 0-dimensional,
    or the dtypes differ; TypeError for anything but Tensors.
    """
    for operand in (input, other):
        if not isinstance(operand, Tensor):
            raise TypeError(f"matmul(): both operands must be Tensors, not {type(operand).__name__}")
    if observers:
        input, other = arguments(Precision.HALF, input, other)
    _check_product(input, other)
    return linalg.matmul.call(input, other)


def _check_product(a: Tensor, b: Tensor) -> None:
    same_device("matmul", a, b)
    if not a.ndim or not b.ndim:
        raise RuntimeError(
            f"both arguments to matmul need to be at least 1D, but they are {a.ndim}D and {b.ndim}D"
        )
    if a.dtype is not b.dtype:
        raise RuntimeError(f"expected m1 and m2 to have the same dtype, but got: {a.dtype} != {b.dtype}")
    if a.dtype is dtypes.bool:
        raise NotImplementedError("matmul is not implemented for torch.bool")
    if a.shape[-1] != b.shape[max(b.ndim - 2, 0)]:
        raise RuntimeError(
            f"mat1 and mat2 shapes cannot be multiplied ({tuple(a.shape)} and {tuple(b.shape)})"
        )


def _operator_matmul(self: Tensor, other: Any) -> Any:
    try:
        a, b = self.array, other.array
        if a.ndim == 2 and b.ndim == 2 and a.dtype is b.dtype and a.dtype in FLOATS:
            return linalg.matmul.call(self, other)
    except AttributeError:
        if not isinstance(other, Tensor):
            return NotImplemented
    return matmul(self, other)


def _reflected_matmul(self: Tensor, other: Any) -> Any:
    return matmul(wrap(other), self) if isinstance(other, np.ndarray) else NotImplemented


Tensor.__matmul__ = _operator_matmul
Tensor.__rmatmul__ = _reflected_matmul


@method
def dot(input: Tensor, other: Tensor) -> Tensor:
    """Return the product of two vectors of one length, of shape (). RuntimeError for anything else."""
    if input.ndim != 1 or other.ndim != 1:
        raise RuntimeError(f"1D tensors expected, but got {input.ndim}D and {other.ndim}D tensors")
    return matmul(input, other)


@method
def mm(input: Tensor, mat2: Tensor) -> Tensor:
    """Return the product of two matrices, (n, k) and (k, m): (n, m). RuntimeError for anything else."""
    if input.ndim != 2 or mat2.ndim != 2:
        raise RuntimeError(f"mm expects two matrices, but got {input.ndim}D and {mat2.ndim}D tensors")
    return matmul(input, mat2)
