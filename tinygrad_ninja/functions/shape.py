"""Shapes: views where the memory allows it, joined and split Tensors, diagonals, the matrix product."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from .. import dtypes
from ..devices import same_device
from ..hook import arguments, observers
from ..kinds.numpy_kind import FLOATS
from ..ops import linalg
from ..ops import shape as ops
from ..tensors import Tensor, wrap
from ..view import View
from .dimensions import dimension, dimensions, sizes
from .register import function, method, method_only


@lru_cache(maxsize=1024)
def _filled(shape: tuple[int, ...], n: int) -> tuple[int, ...]:
    """`shape` with its one -1 worked out for n elements."""
    rest = math.prod(shape)
    unknown = shape.count(-1)
    if rest == n and not unknown and min(shape, default=0) >= 0:
        return shape
    if unknown > 1:
        raise RuntimeError("only one dimension can be inferred")
    if shape and min(shape) < -1:
        raise RuntimeError(f"invalid shape dimension {min(shape)}")
    if unknown:
        if rest == 0:
            raise RuntimeError(
                f"cannot reshape tensor of 0 elements into shape {list(shape)}: -1 is ambiguous"
            )
        if n % rest == 0:  # the product is that of the others, times -1
            return tuple([-n // rest if each == -1 else each for each in shape])
    raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {n}")


@method
def reshape(input: Tensor, *shape: Any) -> Tensor:
    """The same elements in another shape, of which one size may be -1: a view where the memory allows it."""
    return ops.reshape.call(input, _filled(sizes(shape), input.numel()))


@method_only
def view(self: Tensor, *shape: Any) -> Tensor:
    """The same memory in another shape. RuntimeError where only a copy could have it: use reshape."""
    array = self.array
    if type(array) is np.ndarray:
        to, contiguous = _filled(sizes(shape), array.size), array.flags.c_contiguous
    else:
        to, contiguous = _filled(sizes(shape), self.numel()), self.is_contiguous()
    if not contiguous and not _viewable(array, to):
        raise RuntimeError(
            "view size is not compatible with input tensor's size and stride (at least one dimension spans "
            "across two contiguous subspaces). Use .reshape(...) instead."
        )
    return ops.reshape.call(self, to)


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
    """`view` in the shape of another Tensor."""
    return view(self, *other.shape)


@method_only
def reshape_as(self: Tensor, other: Tensor) -> Tensor:
    """`reshape` to the shape of another Tensor."""
    return reshape(self, *other.shape)


@method
def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """The dimensions from start_dim to end_dim as one."""
    start, end = dimension(start_dim, input.ndim), dimension(end_dim, input.ndim)
    if start > end:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    if start == end and input.ndim:
        return input
    shape = tuple(input.shape)
    return reshape(input, *shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :])


@method
def ravel(input: Tensor) -> Tensor:
    """All the elements, in order, as one dimension."""
    return reshape(contiguous(input), -1)


@method
def permute(input: Tensor, *order: Any, dims: Any = None) -> Tensor:
    """The dimensions in another order: dimension i of the result is dims[i] of the input."""
    wanted = sizes(order) if dims is None else sizes((dims,))
    axes = tuple(dimension(each, input.ndim) for each in wanted)
    if sorted(axes) != list(range(input.ndim)):
        raise RuntimeError(f"permute: {wanted} does not name each of the {input.ndim} dimensions once")
    return ops.permute.call(input, axes)


@method
def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Two dimensions exchanged."""
    order = list(range(input.ndim))
    i, j = dimension(dim0, input.ndim), dimension(dim1, input.ndim)
    if order:
        order[i], order[j] = order[j], order[i]
    return ops.permute.call(input, tuple(order))


@method
def swapaxes(input: Tensor, axis0: int, axis1: int) -> Tensor:
    """`transpose` under NumPy's name."""
    return transpose(input, axis0, axis1)


@method
def t(input: Tensor) -> Tensor:
    """A matrix transposed; a vector as it is. RuntimeError for more than two dimensions."""
    if input.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {input.ndim}D")
    return ops.permute.call(input, tuple(reversed(range(input.ndim))))


def _t(self: Tensor) -> Tensor:
    """The dimensions in reverse order."""
    return ops.permute.call(self, tuple(reversed(range(self.ndim))))


def _mt(self: Tensor) -> Tensor:
    """The last two dimensions exchanged. RuntimeError for a vector, which has one."""
    if self.ndim == 1:
        raise RuntimeError("tensor.mT is only supported on matrices or batches of matrices. Got 1-D tensor.")
    return transpose(self, -2, -1) if self.ndim else self


Tensor.T = property(_t)  # type: ignore[attr-defined]
Tensor.mT = property(_mt)  # type: ignore[attr-defined]


@method
def squeeze(input: Tensor, dim: Any = None) -> Tensor:
    """Without the dimensions of size 1: all, or those named that have it."""
    every = tuple(range(input.ndim))
    named = () if dim in ((), []) else dimensions(dim, input.ndim) or every
    shape = tuple(n for i, n in enumerate(input.shape) if n != 1 or i not in named)
    return ops.squeeze.call(input, shape)


@method
def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """With a dimension of size 1 put in at `dim`."""
    at = dimension(dim, input.ndim + 1)
    shape = tuple(input.shape)
    return ops.unsqueeze.call(input, (*shape[:at], 1, *shape[at:]))


@method_only
def expand(self: Tensor, *size: Any) -> Tensor:
    """A view with dimensions of size 1, and new ones in front, repeated; -1 leaves a size as it is."""
    want = sizes(size)
    have = tuple(self.shape)
    extra = len(want) - len(have)
    if extra < 0:
        raise RuntimeError(
            f"expand: the number of sizes provided ({len(want)}) must be greater or equal to the number of "
            f"dimensions in the tensor ({len(have)})"
        )
    if any(each == -1 for each in want[:extra]):
        raise RuntimeError("expand: -1 isn't allowed in a leading, non-existing dimension")
    shape = (*want[:extra], *(h if w == -1 else w for h, w in zip(have, want[extra:], strict=True)))
    return ops.expand.call(self, shape)


@method_only
def expand_as(self: Tensor, other: Tensor) -> Tensor:
    """`expand` to the shape of another Tensor."""
    return expand(self, *other.shape)


@method
def broadcast_to(input: Tensor, size: Any) -> Tensor:
    """`expand` as a function."""
    return expand(input, *size)


@method_only
def contiguous(self: Tensor) -> Tensor:
    """Itself where its elements lie in order in memory, else a recorded copy."""
    return self if self.is_contiguous() else ops.clone.call(self, True)


def _list_of_tensors(tensors: Any) -> list[Tensor]:
    several = list(tensors)
    for each in several:
        if not isinstance(each, Tensor):
            raise TypeError(f"expected Tensor as element in argument 0, but got {type(each).__name__}")
    return several


@function
def cat(tensors: Sequence[Tensor], dim: int = 0, *, axis: int | None = None) -> Tensor:
    """The tensors one after the other along `dim`; their other sizes must agree."""
    several = _list_of_tensors(tensors)
    if not several:
        raise ValueError("torch.cat(): expected a non-empty list of Tensors")
    for each in several:
        if not each.ndim:
            raise RuntimeError("zero-dimensional tensor cannot be concatenated")
    same_device("cat", *several)
    common = dtypes.result_dtype([each.dtype for each in several], [], [])
    kept = [each for each in several if each.shape != (0,)]
    if not kept:
        return ops.cat.call([each.to(common) for each in several], 0)
    at = dimension(dim if axis is None else axis, kept[0].ndim)
    nothing = tuple(0 if i == at else n for i, n in enumerate(kept[0].shape))
    fitting = [each.reshape(nothing) if each.shape == (0,) else each for each in several]
    return ops.cat.call([each.to(common) for each in fitting], at)


@function
def stack(tensors: Sequence[Tensor], dim: int = 0, *, axis: int | None = None) -> Tensor:
    """Tensors of one shape along a new dimension."""
    several = _list_of_tensors(tensors)
    if not several:
        raise RuntimeError("stack expects a non-empty TensorList")
    for each in several:
        if each.shape != several[0].shape:
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(several[0].shape)} "
                f"and {list(each.shape)}"
            )
    same_device("stack", *several)
    at = dimension(dim if axis is None else axis, several[0].ndim + 1)
    common = dtypes.result_dtype([each.dtype for each in several], [], [])
    return ops.stack.call([each.to(common) for each in several], at)


def _pieces(views: Iterable[Tensor]) -> tuple[Tensor, ...]:
    pieces = tuple(views)
    for each in pieces:
        if isinstance(each, View):
            each.one_of_several = True
    return pieces


def _slices(input: Tensor, bounds: Sequence[int], dim: int) -> tuple[Tensor, ...]:
    at = dimension(dim, input.ndim)
    lead = (slice(None),) * at
    return tuple([input[(*lead, slice(a, b))] for a, b in itertools.pairwise(bounds)])


def _has_dimensions(input: Tensor, name: str) -> None:
    if not input.ndim:
        raise RuntimeError(f"{name} expects at least a 1-dimensional tensor")


@method
def split(tensor: Tensor, split_size_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of pieces along `dim`: of one size (the last may be smaller), or of the sizes listed."""
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
        for each in split_size_or_sections:
            bounds.append(bounds[-1] + each)
        if bounds[-1] != n:
            raise RuntimeError(
                f"split_with_sizes expects split_sizes to sum exactly to {n}, "
                f"but got {list(split_size_or_sections)}"
            )
    return _pieces(_slices(tensor, bounds, dim))


@method
def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most `chunks` views of equal size along `dim`, the last perhaps smaller."""
    _has_dimensions(input, "chunk")
    if chunks <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    n = input.shape[dimension(dim, input.ndim)]
    if not n:
        return _pieces(_slices(input, [0, 0], dim)[0] for _ in range(chunks))
    return split(input, max(1, math.ceil(n / chunks)), dim)


@method
def tensor_split(input: Tensor, indices_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Views along `dim`: of as many nearly equal pieces, or cut before each index listed."""
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
    cuts = [min(max(each + n if each < 0 else each, 0), n) for each in indices_or_sections]
    return _slices(input, [0, *cuts, n], dim)


@method
def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """A view for each index along `dim`, which it loses."""
    at = dimension(dim, input.ndim)
    if not input.ndim:
        raise IndexError("Dimension specified as 0 but tensor has no dimensions")
    lead = (slice(None),) * at
    return _pieces(input[(*lead, i)] for i in range(input.shape[at]))


@method
def flip(input: Tensor, *order: Any, dims: Any = None) -> Tensor:
    """A copy with the order along the dimensions `dims` reversed."""
    if not order and dims is None:
        raise TypeError("flip() needs dims: the dimensions to reverse")
    wanted = sizes(order) if dims is None else sizes((dims,))
    return ops.flip.call(input, dimensions(wanted, input.ndim) or ())


def _reversed(self: Tensor) -> Tensor:
    return flip(self, 0) if self.ndim else self


Tensor.__reversed__ = _reversed  # type: ignore[attr-defined]


def _matrix(input: Tensor, name: str) -> Tensor:
    if input.ndim < 2:
        raise RuntimeError(f"{name}: input tensor must have at least 2 dimensions")
    return input


@method
def tril(input: Tensor, diagonal: int = 0) -> Tensor:
    """The lower triangle of the last two dimensions, up to the diagonal, and zeros above it."""
    return ops.tril.call(_matrix(input, "tril"), diagonal)


@method
def triu(input: Tensor, diagonal: int = 0) -> Tensor:
    """The upper triangle of the last two dimensions, down to the diagonal, and zeros below it."""
    return ops.triu.call(_matrix(input, "triu"), diagonal)


@method
def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """The diagonal of a matrix, or the square matrix with a vector on its diagonal."""
    if input.ndim == 1:
        return ops.diag_embed.call(input, diagonal)
    if input.ndim != 2:
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {input.ndim}D")
    return ops.diagonal.call(input, diagonal)


@method
def matmul(input: Tensor, other: Tensor) -> Tensor:
    """The matrix product: of vectors, matrices, and batches of them (leading dimensions are broadcast).

    RuntimeError where the inner sizes differ, an operand is 0-dimensional, or the dtypes differ.
    """
    for each in (input, other):
        if not isinstance(each, Tensor):
            raise TypeError(f"matmul(): both operands must be Tensors, not {type(each).__name__}")
    if observers:
        input, other = arguments("matmul", input, other)
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
    """The product of two vectors of one length. RuntimeError for anything else."""
    if input.ndim != 1 or other.ndim != 1:
        raise RuntimeError(f"1D tensors expected, but got {input.ndim}D and {other.ndim}D tensors")
    return matmul(input, other)


@method
def mm(input: Tensor, mat2: Tensor) -> Tensor:
    """The product of two matrices, without batches. RuntimeError for anything else."""
    if input.ndim != 2 or mat2.ndim != 2:
        raise RuntimeError(f"mm expects two matrices, but got {input.ndim}D and {mat2.ndim}D tensors")
    return matmul(input, mat2)
