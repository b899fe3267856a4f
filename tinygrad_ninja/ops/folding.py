"""Products and extremes of what is written to one cell, as `scatter_along` adds it up."""

from __future__ import annotations

from functools import partial
from typing import Any

from .facts import Category
from .operation import operation


def _share(xp: Any, dout: Any, out: Any, x: Any, src: Any, axis: int, index: Any) -> Any:
    """Return dout, shared by all that are equal to the extreme of their cell."""
    equal = xp.where(src == xp.gather(out, axis, index), xp.ones_like(src), 0.0)
    n = xp.where(x == out, xp.ones_like(x), 0.0) + xp.scatter_along(equal, x.shape, axis, index)
    return dout / n


def _own_share(xp: Any, dout: Any, out: Any, x: Any, src: Any, axis: int, index: Any) -> Any:
    return xp.where(x == out, _share(xp, dout, out, x, src, axis, index), 0.0)


def _share_of_source(xp: Any, dout: Any, out: Any, x: Any, src: Any, axis: int, index: Any) -> Any:
    shares = xp.gather(_share(xp, dout, out, x, src, axis, index), axis, index)
    return xp.where(src == xp.gather(out, axis, index), shares, 0.0)


_extreme = partial(
    operation, contiguous=True, category=Category.SCATTER, named=True, x=_own_share, src=_share_of_source
)


@_extreme(in_torch="{x}.scatter_reduce({axis}, {index}, {src}, 'amax')")
def scatter_amax(xp: Any, x: Any, src: Any, /, axis: int, index: Any) -> Any:
    """out = the largest of x and of all src whose index is its cell;  dout is shared by those equal to it."""
    return xp.scatter_amax(x, src, axis, index)


@_extreme(in_torch="{x}.scatter_reduce({axis}, {index}, {src}, 'amin')")
def scatter_amin(xp: Any, x: Any, src: Any, /, axis: int, index: Any) -> Any:
    """out = the smallest of x and of all src whose index is its cell, as `scatter_amax`."""
    return xp.scatter_amin(x, src, axis, index)


def _products(xp: Any, like: Any, src: Any, axis: int, index: Any) -> tuple[Any, Any, Any]:
    """Return for each cell the product of its sources that are not zero, how many are, and the sum of these:
    0, but with a derivative."""
    zero = src == 0

    def added(values: Any) -> Any:
        return xp.scatter_along(xp.where(zero, values, 0.0), like.shape, axis, index)

    filled = xp.where(zero, xp.ones_like(src), src)
    product = scatter_prod.on(xp, xp.ones_like(like), filled, axis, index)
    return product, added(xp.ones_like(src)), added(src)


def _product_of_zeros(xp: Any, count: Any, total: Any) -> Any:
    """Return 1 for no zero, and 0 for some, which for a single one has that one's derivative."""
    return xp.where(count == 0, xp.ones_like(count), xp.where(count == 1, total, 0.0))


def _own_slope(xp: Any, dout: Any, x_like: Any, src: Any, axis: int, index: Any) -> Any:
    product, count, total = _products(xp, x_like, src, axis, index)
    return dout * product * _product_of_zeros(xp, count, total)


def _slope_of_source(xp: Any, dout: Any, x: Any, src: Any, axis: int, index: Any) -> Any:
    """Return for each source dout times the product of x and of the others of its cell, also where some are
    zero; right, too, in its own derivative."""
    product, count, total = (xp.gather(cells, axis, index) for cells in _products(xp, x, src, axis, index))
    zero = src == 0
    others = product / xp.where(zero, xp.ones_like(src), src)
    zeros = _product_of_zeros(
        xp, count - xp.where(zero, xp.ones_like(src), 0.0), total - xp.where(zero, src, 0.0)
    )
    return xp.gather(dout * x, axis, index) * others * zeros


@operation(
    contiguous=True,
    category=Category.SCATTER,
    named=True,
    in_torch="{x}.scatter_reduce({axis}, {index}, {src}, 'prod')",
    x=_own_slope,
    src=_slope_of_source,
)
def scatter_prod(xp: Any, x: Any, src: Any, /, axis: int, index: Any) -> Any:
    """out = x times all src whose index is its cell;  to each goes dout times the product of the others."""
    return xp.scatter_prod(x, src, axis, index)
