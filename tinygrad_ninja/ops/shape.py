"""Operations that move numbers without changing them."""

from __future__ import annotations

from typing import Any

from ..arrays.dispatch import device_of, move, sum_to
from .facts import Category
from .operation import operation


@operation(
    view=True,
    torch_name="ViewBackward0",
    category=Category.MOVEMENT,
    whole=True,
    cost=0,
    x=lambda xp, dout, x_like: xp.reshape(dout, x_like.shape),
)
def reshape(xp: Any, x: Any, /, shape: tuple[int, ...]) -> Any:
    """out = the same numbers, in order, in another shape;  dx = dout in the shape of x."""
    return xp.reshape(x, shape)


@operation(
    view=True,
    category=Category.MOVEMENT,
    whole=True,
    cost=0,
    x=lambda xp, dout, x_like: xp.reshape(dout, x_like.shape),
)
def unsqueeze(xp: Any, x: Any, /, shape: tuple[int, ...]) -> Any:
    """out = x in `shape`, which has one more dimension, of one;  dx = dout in the shape of x."""
    return xp.reshape(x, shape)


@operation(
    view=True,
    category=Category.MOVEMENT,
    whole=True,
    cost=0,
    x=lambda xp, dout, x_like: xp.reshape(dout, x_like.shape),
)
def squeeze(xp: Any, x: Any, /, shape: tuple[int, ...]) -> Any:
    """out = x in `shape`, which lacks some dimensions of one;  dx = dout in the shape of x."""
    return xp.reshape(x, shape)


def _inverse(axes: tuple[int, ...]) -> tuple[int, ...]:
    """Return the permutation that undoes `axes`."""
    return tuple(axes.index(i) for i in range(len(axes)))


@operation(
    view=True,
    category=Category.MOVEMENT,
    whole=True,
    cost=0,
    standard="permute_dims",
    x=lambda xp, dout, axes: xp.permute_dims(dout, _inverse(axes)),
)
def permute(xp: Any, x: Any, /, axes: tuple[int, ...]) -> Any:
    """out's dimension i is x's dimension axes[i];  dx = dout, permuted back."""
    return xp.permute_dims(x, axes)


@operation(
    view=True,
    category=Category.MOVEMENT,
    whole=True,
    cost=0,
    standard="broadcast_to",
    x=lambda dout, x_like: sum_to(dout, x_like),
)
def expand(xp: Any, x: Any, /, shape: tuple[int, ...]) -> Any:
    """out = x repeated along dimensions of one and new ones in front;  dx = dout summed over the repeats."""
    return xp.expand(x, shape)


def _piece(xp: Any, dout: Any, tensors_like: tuple[Any, ...], axis: int, position: int) -> Any:
    """Return one tensor's piece of the gradient of a concatenation."""
    start = 0
    for tensor in tensors_like[:position]:
        start += tensor.shape[axis]
    stop = start + tensors_like[position].shape[axis]
    return xp.index(dout, (slice(None),) * axis + (slice(start, stop),))


@operation(
    contiguous=True,
    category=Category.JOIN,
    standard="concat",
    tensors=_piece,
)
def cat(xp: Any, *tensors: Any, axis: int) -> Any:
    """out = the tensors one after the other along axis;  each takes its piece of dout."""
    return xp.concat(tensors, axis=axis)


def _layer(xp: Any, dout: Any, tensors_like: tuple[Any, ...], axis: int, position: int) -> Any:
    """Return one tensor's layer of the gradient of a stack."""
    return xp.index(dout, (slice(None),) * axis + (position, Ellipsis))


@operation(contiguous=True, category=Category.JOIN, tensors=_layer)
def stack(xp: Any, *tensors: Any, axis: int) -> Any:
    """out = the tensors, of one shape, beside each other along a new axis;  each takes its layer of dout."""
    return xp.stack(tensors, axis=axis)


@operation(
    category=Category.MOVEMENT,
    whole=True,
    cost=0,
    in_torch="torch.flip({x}, {axes})",
    x=lambda xp, dout, axes: xp.flip(dout, axis=axes),
)
def flip(xp: Any, x: Any, /, axes: tuple[int, ...]) -> Any:
    """out = x with the order along axes reversed;  dx = dout reversed likewise."""
    return xp.copy(xp.flip(x, axis=axes))


@operation(
    contiguous=True,
    category=Category.MASK,
    in_place=True,
    x=lambda xp, dout, offset: xp.tril(dout, k=offset),
)
def tril(xp: Any, x: Any, /, offset: int) -> Any:
    """out = x, 0 above the diagonal `offset`;  dx = dout, 0 there too."""
    return xp.tril(x, k=offset)


@operation(
    contiguous=True,
    category=Category.MASK,
    in_place=True,
    x=lambda xp, dout, offset: xp.triu(dout, k=offset),
)
def triu(xp: Any, x: Any, /, offset: int) -> Any:
    """out = x, 0 below the diagonal `offset`;  dx = dout, 0 there too."""
    return xp.triu(x, k=offset)


def _onto_diagonal(xp: Any, dout: Any, x_like: Any, offset: int, axis1: int, axis2: int) -> Any:
    """Return the gradient of a diagonal: `dout` on the diagonal of zeros."""
    if x_like.ndim == 2 and axis1 == 0:
        return _onto_matrix(xp, dout, x_like.shape, offset)
    order = (*[i for i in range(x_like.ndim) if i not in (axis1, axis2)], axis1, axis2)
    *batch, k = dout.shape
    whole = [slice(None)] * len(batch)
    # In rows of k + 1 the first column lies, read in rows of k, on the diagonal.
    rows = xp.scatter(
        xp.reshape(dout, (*batch, k, 1)), (*batch, k, k + 1), (*whole, slice(None), slice(0, 1))
    )
    flat = xp.index(xp.reshape(rows, (*batch, k * (k + 1))), (*whole, slice(0, k * k)))
    top, left = max(-offset, 0), max(offset, 0)
    key = (*whole, slice(top, top + k), slice(left, left + k))
    moved = xp.scatter(xp.reshape(flat, (*batch, k, k)), tuple(x_like.shape[i] for i in order), key)
    return xp.permute_dims(moved, _inverse(order))


def _onto_matrix(xp: Any, dout: Any, shape: tuple[int, int], offset: int) -> Any:
    """Return zeros in the shape of a matrix with `dout` on the diagonal."""
    rows, columns = shape
    square = xp.diag_embed(dout, offset)
    n, m = square.shape
    if n > rows or m > columns:  # the matrix is not square
        square = xp.index(square, (slice(0, rows), slice(0, columns)))
        n, m = min(n, rows), min(m, columns)
    if n < rows or m < columns:
        square = xp.scatter(square, (rows, columns), (slice(0, n), slice(0, m)))
    return square


@operation(view=True, category=Category.MOVEMENT, cost=0, x=_onto_diagonal)
def diagonal(xp: Any, x: Any, /, offset: int, axis1: int, axis2: int) -> Any:
    """out = the diagonal of the matrices along two axes, as a last dimension;  dx = dout there, 0
    elsewhere."""
    return xp.diagonal(x, offset, axis1, axis2)


@operation(
    torch_name="DiagEmbedBackward0",
    category=Category.SCATTER,
    x=lambda xp, dout, offset: xp.diagonal(dout, offset, 0, 1),
)
def diag_embed(xp: Any, x: Any, /, offset: int) -> Any:
    """out = a square matrix with the vector x on its diagonal;  dx = the diagonal of dout."""
    return xp.diag_embed(x, offset)


def _move_back(xp: Any, dout: Any, x_like: Any) -> Any:
    """Return the gradient on the device of the input."""
    return to_device.on(xp, dout, device_of(x_like))


@operation(torch_name="ToCopyBackward0", category=Category.MOVEMENT, whole=True, cost=0, x=_move_back)
def to_device(xp: Any, x: Any, /, device: str) -> Any:
    """out = x on another device;  dx = dout on the device of x."""
    return move(x, device)


@operation(
    category=Category.MOVEMENT,
    whole=True,
    cost=0,
    standard="copy",
    x=lambda dout: dout,
)
def clone(xp: Any, x: Any, /, ordered: bool) -> Any:
    """out = x in memory of its own, in order or, where not `ordered`, with its axes as those of x;  dx =
    dout."""
    return xp.copy(x, ordered)
