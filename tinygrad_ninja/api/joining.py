"""Tensors joined along a dimension, and split into pieces, which are views."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..arrays import dtypes
from ..engine.devices import same_device
from ..engine.tensor import Tensor
from ..engine.view import View
from ..ops import shape as ops
from .dimensions import dimension, integer
from .forms import alias
from .register import function, method, numpy_names


def list_of_tensors(tensors: Any) -> list[Tensor]:
    """Return the Tensors of a tuple or a list; TypeError for anything else."""
    if not isinstance(tensors, (tuple, list)):
        raise TypeError(f"argument 'tensors' must be tuple of Tensors, not {type(tensors).__name__}")
    for element in tensors:
        if not isinstance(element, Tensor):
            raise TypeError(f"expected Tensor as element in argument 0, but got {type(element).__name__}")
    return list(tensors)


@function
def cat(tensors: Sequence[Tensor], dim: int = 0, *, axis: int | None = None) -> Tensor:
    """Join the tensors along `dim`; their other sizes must agree.

    The result has the dtype that holds all of theirs. Raises ValueError for no tensors, TypeError for other
    elements, RuntimeError where the sizes or the devices differ, or a tensor is 0-dimensional.
    """
    parts = list_of_tensors(tensors)
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
    parts = list_of_tensors(tensors)
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


alias("cat", "concat", "concatenate")


@function
def atleast_1d(*tensors: Any) -> Any:
    """Return the Tensor, or each of several, as one of at least one dimension."""
    return _each(tensors, lambda x: x if x.ndim else x.reshape(1))


@function
def atleast_2d(*tensors: Any) -> Any:
    """Return the Tensor, or each of several, as one of at least two dimensions, the new ones in front."""
    return _each(tensors, lambda x: x if x.ndim > 1 else x.reshape(1, -1))


@function
def atleast_3d(*tensors: Any) -> Any:
    """Return the Tensor, or each of several, as one of at least three dimensions: (n) becomes (1, n, 1), and
    (n, m) becomes (n, m, 1)."""
    return _each(tensors, lambda x: x if x.ndim > 2 else atleast_2d(x).unsqueeze(-1))


def _each(tensors: tuple[Any, ...], shaped: Callable[[Tensor], Tensor]) -> Any:
    """Return shaped(x) of the only argument, or a tuple of those of several, or of a list."""
    if len(tensors) == 1 and isinstance(tensors[0], Tensor):
        return shaped(tensors[0])
    several = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)) else tensors
    return tuple([shaped(x) for x in list_of_tensors(several)])


def _stacked(name: str, tensors: Any) -> list[Tensor]:
    parts = list_of_tensors(tensors)
    if not parts:
        raise RuntimeError(f"{name} expects a non-empty TensorList")
    return parts


@function
def hstack(tensors: Sequence[Tensor]) -> Tensor:
    """Join the tensors along the second dimension, vectors and numbers along the first."""
    parts = atleast_1d(_stacked("hstack", tensors))
    return cat(parts, 0 if parts[0].ndim == 1 else 1)


@function
def vstack(tensors: Sequence[Tensor]) -> Tensor:
    """Join the tensors along the first dimension, vectors and numbers as rows."""
    return cat(atleast_2d(_stacked("vstack", tensors)), 0)


alias("vstack", "row_stack")


@function
def dstack(tensors: Sequence[Tensor]) -> Tensor:
    """Join the tensors along the third dimension, those of fewer with new ones, as by `atleast_3d`."""
    return cat(atleast_3d(_stacked("dstack", tensors)), 2)


@function
def column_stack(tensors: Sequence[Tensor]) -> Tensor:
    """Join the tensors along the second dimension, vectors and numbers as columns."""
    parts = _stacked("column_stack", tensors)
    return cat([x if x.ndim > 1 else x.reshape(x.numel(), 1) for x in parts], 1)


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
@numpy_names
def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """Return at most `chunks` views, of equal sizes along `dim` but perhaps the last. RuntimeError for
    chunks ≤ 0."""
    _has_dimensions(input, "chunk")
    chunks = integer("chunks", chunks)
    if chunks <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    n = input.shape[dimension(dim, input.ndim)]
    if not n:
        return _pieces(_slices(input, [0, 0], dim)[0] for _ in range(chunks))
    return split(input, max(1, math.ceil(n / chunks)), dim)


@method
def tensor_split(input: Tensor, indices_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Return views that divide `dim`: that many, whose sizes differ by 1 at most, or cut before each index.

    Raises RuntimeError for a number of pieces that is not positive, and for a Tensor of them that is not
    int64.
    """
    _has_dimensions(input, "tensor_split")
    n = input.shape[dimension(dim, input.ndim)]
    if isinstance(indices_or_sections, Tensor):
        if indices_or_sections.dtype is not dtypes.int64 or indices_or_sections.ndim > 1:
            raise RuntimeError(
                "tensor_split expected tensor_indices_or_sections to be long and of at most one dimension, "
                f"but got {indices_or_sections.dtype} of {indices_or_sections.ndim}"
            )
        indices_or_sections = indices_or_sections.tolist()
    pieces = dtypes.plain_number(indices_or_sections)
    if isinstance(pieces, int):
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
