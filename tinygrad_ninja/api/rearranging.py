"""Tensors repeated, rolled, turned, and with their dimensions in another order."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import dtypes
from ..arrays.dispatch import device_of, move
from ..engine.devices import same_device
from ..engine.tensor import Tensor, wrap
from ..ops import indexing
from ..ops import shape as ops
from .dimensions import dimension, sizes
from .forms import alias
from .joining import cat
from .register import function, method, method_only
from .reshaping import broadcast_to, expand, flip, permute, reshape, transpose, unviewed


@method_only
def repeat(self: Tensor, *times: Any, repeats: Any = None) -> Tensor:
    """Return a copy with the whole repeated so often along each dimension: (n, …) to (r · n, …).

    More numbers than dimensions add dimensions in front. Raises RuntimeError for fewer, or a negative one.
    """
    times = sizes(times if repeats is None else (repeats,))
    if len(times) < self.ndim:
        raise RuntimeError(
            "Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor"
        )
    if min(times, default=0) < 0:
        raise RuntimeError(f"repeat: a Tensor can't be repeated a negative number of times: {list(times)}")
    shape = (1,) * (len(times) - self.ndim) + tuple(self.shape)
    apart = [n for size in shape for n in (1, size)]
    spread = [n for pair in zip(times, shape, strict=True) for n in pair]
    copies = ops.clone.call(expand(reshape(self, apart), spread), True)
    return unviewed(reshape(copies, [r * n for r, n in zip(times, shape, strict=True)]))


@method
def tile(input: Tensor, *times: Any, dims: Any = None) -> Tensor:
    """Return `repeat`, for which fewer numbers than dimensions count for the last ones."""
    times = sizes(times if dims is None else (dims,))
    return repeat(input, (1,) * (input.ndim - len(times)) + times)


@method
def repeat_interleave(
    input: Tensor, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """Return each entry along `dim` repeated so often before the next: (n, …) to (r · n, …).

    repeats: a number, or an integer Tensor with one for all or one for each entry. dim: the flattened Tensor
    by default. Without `repeats` the input is a vector of them, and the result the positions 0, 1, … repeated
    so often. Raises RuntimeError for a negative number, a wrong length, or another sum than `output_size`;
    TypeError for `repeats` of another type.
    """
    if repeats is None:
        return _positions(input, input.shape[0] if input.ndim else 0, output_size)
    if dim is None or not input.ndim:
        axis, input = dimension(dim or 0, input.ndim and 1), reshape(input, -1)
    else:
        axis = dimension(dim, input.ndim)
    n, repeats = input.shape[axis], dtypes.plain_number(repeats)
    if isinstance(repeats, int):
        if repeats < 0:
            raise RuntimeError("Repeats must be non-negative")
        _check_length(n * repeats, output_size)
        before, after = input.shape[: axis + 1], input.shape[axis + 1 :]
        spread = expand(reshape(input, (*before, 1, *after)), (*before, repeats, *after))
        return reshape(ops.clone.call(spread, True), (*before[:-1], n * repeats, *after))
    if not isinstance(repeats, Tensor):
        raise TypeError(f"repeat_interleave(): repeats must be int, not {type(repeats).__name__}")
    same_device("repeat_interleave", input, repeats)
    if repeats.ndim > 1 or repeats.numel() not in (1, n):
        raise RuntimeError(
            f"repeats must have one number, or one for each of {n} entries, not the shape "
            f"{tuple(repeats.shape)}"
        )
    positions = _positions(expand(reshape(repeats, -1), n), n, output_size)
    return indexing.index.call(input, (*(slice(None),) * axis, positions.array)).contiguous()


def _positions(repeats: Tensor, n: int, output_size: int | None) -> Tensor:
    """Return 0, …, n-1, each repeated as often as the vector of integers says: int64, or as that vector."""
    if repeats.ndim != 1:
        raise RuntimeError("repeat_interleave only accept 1D vector as repeat")
    if repeats.dtype not in (dtypes.int32, dtypes.int64):
        raise RuntimeError(f"repeats has to be Long or Int tensor, not {repeats.dtype}")
    counts = repeats.numpy(force=True)
    if (counts < 0).any():
        raise RuntimeError("repeats can not be negative")
    positions = np.repeat(np.arange(n, dtype=counts.dtype), counts)
    _check_length(len(positions), output_size)
    return wrap(move(positions, device_of(repeats.array)))


def _check_length(length: int, output_size: int | None) -> None:
    """Raise RuntimeError where the length of the result is said to be another."""
    if output_size is not None and output_size != length:
        raise RuntimeError(f"allocated size {output_size} does not match required size {length}")


@method
def roll(input: Tensor, shifts: Any, dims: Any = ()) -> Tensor:
    """Return out[i] = input[i - shift] along each of `dims`, around the end; of the flattened Tensor by
    default.

    Raises RuntimeError unless there is a dimension for each shift, IndexError where there is none such.
    """
    shift_list, dim_list = (tuple(x) if isinstance(x, (tuple, list)) else (x,) for x in (shifts, dims))
    if not shift_list:
        raise RuntimeError("`shifts` required")
    if not dim_list and len(shift_list) == 1:
        return reshape(roll(reshape(input, -1), shift_list, 0), tuple(input.shape))
    if len(shift_list) != len(dim_list):
        raise RuntimeError(
            f"shifts and dimensions must align. shifts: {len(shift_list)}, dims:{len(dim_list)}"
        )
    if not input.numel():
        return ops.clone.call(input, False)
    for shift, dim in zip(shift_list, dim_list, strict=True):
        axis = dimension(dim, input.ndim)
        if not input.ndim:
            raise IndexError("Dimension specified as 0 but tensor has no dimensions")
        n = input.shape[axis]
        start = -shift % n
        input = cat([narrow(input, axis, start, n - start), narrow(input, axis, 0, start)], axis)
    return input


@method
def narrow(input: Tensor, dim: int, start: Any, length: int) -> Tensor:
    """Return a view of size `length` along `dim`, from `start` on: input[…, start : start + length].

    Raises RuntimeError where there are not so many, and for a 0-dimensional Tensor; IndexError for another
    start.
    """
    if not input.ndim:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    axis = dimension(dim, input.ndim)
    n = input.shape[axis]
    if length < 0:
        raise RuntimeError("narrow(): length must be non-negative.")
    if isinstance(start, Tensor):
        if start.ndim or start.dtype.category != 1:
            raise RuntimeError("start must be an 0-dim integral Tensor.")
        start = start.item()
    if not -n <= start <= n:
        raise IndexError(f"start out of range (expected to be in range of [{-n}, {n}], but got {start})")
    start += n if start < 0 else 0
    if start + length > n:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({n}).")
    return input[(*(slice(None),) * axis, slice(start, start + length))]


@method
def movedim(input: Tensor, source: Any, destination: Any) -> Tensor:
    """Move the dimensions `source` to the places `destination`, the others keeping their order; a view.

    Raises RuntimeError unless there are as many of both, each named once; IndexError for none such.
    """
    froms, tos = (
        [dimension(d, input.ndim) for d in (dims if isinstance(dims, (tuple, list)) else (dims,))]
        for dims in (source, destination)
    )
    if len(froms) != len(tos):
        raise RuntimeError(
            f"movedim: Invalid source or destination dims: {source} has to contain the same number of "
            f"dimensions as {destination}"
        )
    if len(set(froms)) < len(froms) or len(set(tos)) < len(tos):
        raise RuntimeError(f"movedim: repeated dim in `source` ({source}) or `destination` ({destination})")
    order = [i for i in range(input.ndim) if i not in froms]
    for to, origin in sorted(zip(tos, froms, strict=True)):
        order.insert(to, origin)
    return permute(input, order) if input.ndim else input


alias("movedim", "moveaxis")
alias("swapaxes", "swapdims")


@method
def unflatten(input: Tensor, dim: int, sizes: Any) -> Tensor:
    """Return a view with the dimension `dim` as several of these sizes, one of which may be -1.

    Raises RuntimeError where their product is not its size.
    """
    axis, shape = dimension(dim, input.ndim), tuple(input.shape)
    parts = tuple(sizes)
    if not parts:
        raise RuntimeError("unflatten: sizes must be non-empty")
    if not input.ndim:
        raise RuntimeError("unflatten: a 0-dimensional Tensor has no dimension to unflatten")
    inferred = tuple(reshape(wrap(np.empty(shape[axis])), parts).shape)
    return reshape(input, (*shape[:axis], *inferred, *shape[axis + 1 :]))


@method
def fliplr(input: Tensor) -> Tensor:
    """Return a copy with the order along the second dimension reversed. RuntimeError for fewer than two."""
    if input.ndim < 2:
        raise RuntimeError("Input must be >= 2-d.")
    return flip(input, 1)


@method
def flipud(input: Tensor) -> Tensor:
    """Return a copy with the order along the first dimension reversed. RuntimeError where there is none."""
    if not input.ndim:
        raise RuntimeError("Input must be >= 1-d.")
    return flip(input, 0)


@method
def rot90(input: Tensor, k: int = 1, dims: Any = (0, 1)) -> Tensor:
    """Return the plane of two dimensions turned by k quarters, from the first towards the second.

    Raises RuntimeError for fewer than two dimensions, or unless `dims` are two different ones; IndexError
    where there are no such.
    """
    if len(dims) != 2:
        raise RuntimeError(f"expected total rotation dims == 2, but got dims = {len(dims)}")
    if input.ndim < 2:
        raise RuntimeError(f"expected total dims >= 2, but got total dims = {input.ndim}")
    for dim in dims:
        if not -input.ndim <= dim < input.ndim:
            raise IndexError(f"Rotation dim out of range: {dim} of {input.ndim} dimensions")
    first, second = (dim % input.ndim for dim in dims)
    if first == second:
        raise RuntimeError(f"expected rotation dims to be different, but got {list(dims)}")
    if k % 4 == 0:
        return ops.clone.call(input, False)
    if k % 4 == 2:
        return flip(input, first, second)
    return transpose(flip(input, second if k % 4 == 1 else first), first, second)


@method
def adjoint(input: Tensor) -> Tensor:
    """Return a view with the last two dimensions exchanged. RuntimeError for a vector."""
    if input.ndim == 1:
        raise RuntimeError("adjoint() is only supported on matrices or batches of matrices, not on vectors")
    return transpose(input, -2, -1) if input.ndim else input


def _h(self: Tensor) -> Tensor:
    """Return a view of a matrix transposed. RuntimeError for another number of dimensions than 2 or 0."""
    if self.ndim not in (0, 2):
        raise RuntimeError(f"tensor.H is only supported on matrices (2-D tensors). Got {self.ndim}-D tensor.")
    return adjoint(self)


Tensor.H = property(_h)  # type: ignore[attr-defined]
Tensor.mH = property(adjoint)  # type: ignore[attr-defined]


@function
def meshgrid(*tensors: Any, indexing: str | None = None) -> tuple[Tensor, ...]:
    """Return for each of n vectors a view of it along its own dimension of n, of all their lengths.

    indexing: "ij" (the default): vector i along dimension i; "xy": the first two exchanged. Raises
    RuntimeError for another, for Tensors of more dimensions, and for unlike dtypes; TypeError for what is no
    Tensor.
    """
    vectors = list(tensors[0]) if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)) else [*tensors]
    if not vectors:
        raise RuntimeError("meshgrid expects a non-empty TensorList")
    for vector in vectors:
        if not isinstance(vector, Tensor):
            raise TypeError(f"meshgrid() takes Tensors, not {type(vector).__name__}")
        if vector.ndim > 1:
            raise RuntimeError(f"Expected 0D or 1D tensor in the tensor list but got: {vector.ndim}D")
        if vector.dtype is not vectors[0].dtype:
            raise RuntimeError("torch.meshgrid expects all tensors to have the same dtype")
    same_device("meshgrid", *vectors)
    if indexing not in (None, "ij", "xy"):
        raise RuntimeError(f"torch.meshgrid: indexing must be one of 'xy' or 'ij', but received: {indexing}")
    exchanged = indexing == "xy" and len(vectors) >= 2
    if exchanged:
        vectors[:2] = vectors[1], vectors[0]
    shape = [vector.numel() for vector in vectors]
    grids = [
        broadcast_to(reshape(vector, [-1 if i == j else 1 for j in range(len(vectors))]), shape)
        for i, vector in enumerate(vectors)
    ]
    if exchanged:
        grids[:2] = grids[1], grids[0]
    return tuple(grids)
