"""Reading and writing by index. `key` is a tuple as `api.indices` makes it: either basic (integers,
slices, None, and `...` at the end: a view) or advanced (integer arrays, and whole slices between them: a
copy).

Reading and adding up are each other's rules: the gradient of what was read is added where it was read.
"""

from __future__ import annotations

import builtins
from typing import Any

from ..arrays.dispatch import sum_to
from .facts import Category
from .operation import operation

ALL = builtins.slice(None)


def _put_back(xp: Any, dout: Any, x_like: Any, key: tuple[Any, ...]) -> Any:
    """Return the gradient of what was read, added at its place in zeros."""
    return xp.scatter(dout, x_like.shape, key)


@operation(view=True, category=Category.MOVEMENT, cost=0, x=_put_back)
def slice(x: Any, /, key: tuple[Any, ...]) -> Any:
    """out = x[key], key basic;  dx = 0 but for dout at key."""
    return x[key]


@operation(view=True, category=Category.MOVEMENT, cost=0, x=_put_back)
def select(x: Any, /, key: tuple[Any, ...]) -> Any:
    """out = x[key] as in `slice`, for a key that ends in an integer: PyTorch's node has a name of its own."""
    return x[key]


def _put_back_at(xp: Any, dout: Any, x_like: Any, axis: int, place: Any) -> Any:
    """Return the gradient of what was selected, added at its place in zeros."""
    row = (*x_like.shape[:axis], 1, *x_like.shape[axis + 1 :])
    return xp.scatter(xp.reshape(dout, row), x_like.shape, (*(ALL,) * axis, place[None]))


@operation(
    view=True,
    torch_name="SelectBackward0",
    category=Category.GATHER,
    in_torch="torch.select({x}, {axis}, {place})",
    in_numpy="np.take({x}, {place}, {axis})",
    x=_put_back_at,
)
def select_at(xp: Any, x: Any, /, axis: int, place: Any) -> Any:
    """out = x[:, place] for axis 1, and so on, where `place` is known only when it is computed: an array of
    one integer;  dx = 0 but for dout there."""
    return xp.select_at(x, axis, place)


@operation(category=Category.GATHER, cost=2, x=_put_back)
def index(xp: Any, x: Any, /, key: tuple[Any, ...]) -> Any:
    """out = x[key];  dx = 0, and dout added at key, twice where a cell is named twice."""
    return xp.index(x, key)


@operation(category=Category.SCATTER, x=lambda xp, dout, key: xp.index(dout, key))
def scatter(xp: Any, x: Any, /, shape: tuple[int, ...], key: tuple[Any, ...]) -> Any:
    """out = 0 of `shape`, and x added at key;  dx = dout[key]."""
    return xp.scatter(x, shape, key)


@operation(
    torch_name="CopySlices",
    category=Category.SCATTER,
    named=True,
    x=lambda xp, dout, key: xp.put(dout, 0, key),
    value=lambda xp, dout, value_like, key: sum_to(xp.index(dout, key), value_like),
)
def put(xp: Any, x: Any, value: Any, /, key: tuple[Any, ...]) -> Any:
    """out = x with value at key;  dx = dout, 0 at key,  dvalue = dout[key]. Where a cell is named twice,
    which of the values stays is not defined."""
    return xp.put(x, value, key)


def read_chain(xp: Any, x: Any, chain: tuple[Any, ...]) -> Any:
    """Return what a chain of views, ((operation, parameters), …), shows of x."""
    for entry, parameters in chain:
        x = entry.on(xp, x, *parameters)
    return x


def _overwrite(xp: Any, x: Any, value: Any, chain: tuple[Any, ...]) -> Any:
    """Return x with `value` in the part that a chain of views shows."""
    return put_view.on(xp, x, value, chain)


@operation(
    keeps=True,
    torch_name="CopySlices",
    category=Category.SCATTER,
    named=True,
    x=lambda xp, dout, chain: _overwrite(xp, dout, 0.0, chain),
    value=lambda xp, dout, value_like, chain: sum_to(read_chain(xp, dout, chain), value_like),
)
def put_view(xp: Any, x: Any, value: Any, /, chain: tuple[Any, ...]) -> Any:
    """out = x with value in the part that a chain of views shows;  dx = dout, 0 there,  dvalue = that part of
    dout."""
    out = xp.copy(x)
    read_chain(xp, out, chain)[...] = value
    return out


@operation(
    contiguous=True,
    category=Category.GATHER,
    cost=2,
    x=lambda xp, dout, x_like, axis, index: xp.scatter_along(dout, x_like.shape, axis, index),
)
def gather(xp: Any, x: Any, /, axis: int, index: Any) -> Any:
    """out[i][j] = x[i][index[i][j]] for axis 1, and so on;  dx = 0, and dout added where it was read."""
    return xp.gather(x, axis, index)


@operation(category=Category.SCATTER, x=lambda xp, dout, axis, index: xp.gather(dout, axis, index))
def scatter_along(xp: Any, x: Any, /, shape: tuple[int, ...], axis: int, index: Any) -> Any:
    """out = 0 of `shape`, and x added where gather(out, axis, index) reads;  dx = gather(dout, axis,
    index)."""
    return xp.scatter_along(x, shape, axis, index)
