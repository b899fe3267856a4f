"""Triangles and diagonals of matrices, and their products."""

from __future__ import annotations

from itertools import zip_longest
from math import prod
from typing import Any

from ..arrays import dtypes
from ..arrays.numpy_memory import FLOATS
from ..engine.devices import same_device
from ..engine.hook import arguments, observers
from ..engine.tensor import Tensor
from ..ops import Precision, linalg
from ..ops import shape as ops
from .dimensions import dimension, integer
from .register import method


def _matrix(input: Tensor, name: str) -> Tensor:
    if input.ndim < 2:
        raise RuntimeError(f"{name}: input tensor must have at least 2 dimensions")
    return input


@method
def tril(input: Tensor, diagonal: int = 0) -> Tensor:
    """Return the lower triangle of the last two dimensions, up to the diagonal, and zeros above it.

    Raises RuntimeError for fewer than two dimensions.
    """
    return ops.tril.call(_matrix(input, "tril"), integer("diagonal", diagonal))


@method
def triu(input: Tensor, diagonal: int = 0) -> Tensor:
    """Return the upper triangle of the last two dimensions, down to the diagonal, and zeros below it.

    Raises RuntimeError for fewer than two dimensions.
    """
    return ops.triu.call(_matrix(input, "triu"), integer("diagonal", diagonal))


@method
def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """Return the diagonal of a matrix, or the square matrix with a vector on its diagonal.

    Raises RuntimeError for another number of dimensions.
    """
    diagonal = integer("the diagonal", diagonal)
    if input.ndim == 1:
        return ops.diag_embed.call(input, diagonal)
    if input.ndim != 2:
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {input.ndim}D")
    return ops.clone.call(ops.diagonal.call(input, diagonal, 0, 1), True)


@method
def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """Return a view of the diagonals of the matrices along two dimensions, as a last dimension: (n, m, …) to
    (…, k).

    offset: above the main diagonal where positive, below it where negative. Raises IndexError where there is
    no such dimension, RuntimeError where the two are the same, TypeError for an offset that is no int.
    """
    offset = dtypes.plain_number(offset)
    if not isinstance(offset, int):
        raise TypeError(f"diagonal(): argument 'offset' must be int, not {type(offset).__name__}")
    axis1, axis2 = dimension(dim1, input.ndim), dimension(dim2, input.ndim)
    if axis1 == axis2:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    return ops.diagonal.call(input, offset, axis1, axis2)


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
        raise RuntimeError(_mismatch(tuple(a.shape), tuple(b.shape)))


def _mismatch(a: tuple[int, ...], b: tuple[int, ...]) -> str:
    """Return, in PyTorch's words, that two shapes have other inner sizes. Rows of batches are those of one
    matrix there, where the other operand is no batch."""
    if len(a) == len(b) == 1:
        sizes = f"expected tensor [{a[0]}] and src [{b[0]}] to have the same number of elements"
        return f"inconsistent tensor size, {sizes}, but got {a[0]} and {b[0]} elements respectively"
    if len(b) == 2:
        return f"mat1 and mat2 shapes cannot be multiplied ({prod(a[:-1])}x{a[-1]} and {b[0]}x{b[1]})"
    if len(b) == 1:
        return f"size mismatch, got input ({prod(a[:-1])}), mat ({prod(a[:-1])}x{a[-1]}), vec ({b[0]})"
    n = prod(map(max, zip_longest(a[:-2][::-1], b[:-2][::-1], fillvalue=1)))
    sizes = f"[{n}, {a[-1]}] but got: [{n}, {b[-2]}]"
    return f"Expected size for first two dimensions of batch2 tensor to be: {sizes}."


def _operator_matmul(self: Tensor, other: Any) -> Any:
    try:
        a, b = self.array, other.array
        fit = a.ndim == b.ndim == 2 and a.shape[1] == b.shape[0]
        if fit and a.dtype is b.dtype and a.dtype in FLOATS:
            return linalg.matmul.call(self, other)
    except AttributeError:
        if not isinstance(other, Tensor):
            return NotImplemented
    return matmul(self, other)


def _reflected_matmul(self: Tensor, other: Any) -> Any:
    return matmul(other, self) if isinstance(other, Tensor) else NotImplemented


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
