"""Products and extremes of what is written to one cell, as `scatter_along` adds it up."""

from __future__ import annotations

from functools import partial
from typing import Any

from .facts import Category
from .operation import operation


def _where_it_counts(xp: Any, dx: Any, src: Any, axis: int, index: Any, include_self: bool) -> Any:
    """Return the gradient of x, with 0 for the cells of the index where x does not count."""
    if include_self:
        return dx
    return xp.where(xp.scatter_along(xp.ones_like(src), dx.shape, axis, index) == 0, dx, 0.0)


def _shares(xp: Any, dout: Any, out: Any, x: Any, src: Any, axis: int, index: Any) -> tuple[Any, Any]:
    """Return the shares in dout of x and of src: as much goes to each that is equal to the extreme of its
    cell, and as in PyTorch x has a share though it may not count. Where none is equal, to a NaN, the count is
    0, and all get NaN."""
    mine = xp.where(x == out, xp.ones_like(x), 0.0)
    theirs = xp.where(src == xp.gather(out, axis, index), xp.ones_like(src), 0.0)
    share = dout / (mine + xp.scatter_along(theirs, x.shape, axis, index))
    return mine * share, theirs * xp.gather(share, axis, index)


def _own_share(
    xp: Any, dout: Any, out: Any, x: Any, src: Any, axis: int, index: Any, include_self: bool
) -> Any:
    share, _ = _shares(xp, dout, out, x, src, axis, index)
    return _where_it_counts(xp, share, src, axis, index, include_self)


_folding = partial(operation, contiguous=True, category=Category.SCATTER, named=True)

_extreme = partial(
    _folding,
    x=_own_share,
    src=lambda xp, dout, out, x, src, axis, index: _shares(xp, dout, out, x, src, axis, index)[1],
)


@_extreme(in_torch="{x}.scatter_reduce({axis}, {index}, {src}, 'amax', include_self={include_self})")
def scatter_amax(xp: Any, x: Any, src: Any, /, axis: int, index: Any, include_self: bool) -> Any:
    """out = the largest of all src whose index is its cell, and of x, which there counts only with
    include_self;  dout is shared by those equal to it."""
    return xp.scatter_amax(x, src, axis, index, include_self)


@_extreme(in_torch="{x}.scatter_reduce({axis}, {index}, {src}, 'amin', include_self={include_self})")
def scatter_amin(xp: Any, x: Any, src: Any, /, axis: int, index: Any, include_self: bool) -> Any:
    """out = the smallest of all src whose index is its cell, and of x, as `scatter_amax`."""
    return xp.scatter_amin(x, src, axis, index, include_self)


def _products(xp: Any, like: Any, src: Any, axis: int, index: Any) -> tuple[Any, Any, Any]:
    """Return for each cell the product of its sources that are not zero, how many are, and the sum of these:
    0, but with a derivative."""
    zero = src == 0

    def added(values: Any) -> Any:
        return xp.scatter_along(xp.where(zero, values, 0.0), like.shape, axis, index)

    filled = xp.where(zero, xp.ones_like(src), src)
    product = scatter_prod.on(xp, xp.ones_like(like), filled, axis, index, True)
    return product, added(xp.ones_like(src)), added(src)


def _product_of_zeros(xp: Any, count: Any, total: Any) -> Any:
    """Return 1 for no zero, and 0 for some, which for a single one has that one's derivative."""
    return xp.where(count == 0, xp.ones_like(count), xp.where(count == 1, total, 0.0))


def _own_slope(xp: Any, dout: Any, x: Any, src: Any, axis: int, index: Any, include_self: bool) -> Any:
    """Return for each cell dout times the product of its sources: the product with x, divided by x."""
    filled = xp.where(x == 0, xp.ones_like(x), x)
    dx = dout * scatter_prod.on(xp, filled, src, axis, index, include_self) / filled
    return _where_it_counts(xp, dx, src, axis, index, include_self)


def _slope_of_source(xp: Any, dout: Any, x: Any, src: Any, axis: int, index: Any, include_self: bool) -> Any:
    """Return for each source dout times the product of the others of its cell, and of x where it counts, also
    where some are zero; right, too, in its own derivative."""
    product, count, total = (xp.gather(cells, axis, index) for cells in _products(xp, x, src, axis, index))
    zero = src == 0
    others = product / xp.where(zero, xp.ones_like(src), src)
    zeros = _product_of_zeros(
        xp, count - xp.where(zero, xp.ones_like(src), 0.0), total - xp.where(zero, src, 0.0)
    )
    return xp.gather(dout * x if include_self else dout, axis, index) * others * zeros


@_folding(
    in_torch="{x}.scatter_reduce({axis}, {index}, {src}, 'prod', include_self={include_self})",
    x=_own_slope,
    src=_slope_of_source,
)
def scatter_prod(xp: Any, x: Any, src: Any, /, axis: int, index: Any, include_self: bool) -> Any:
    """out = the product of all src whose index is its cell, and of x, which there counts only with
    include_self;  to each goes dout times the product of the others."""
    return xp.scatter_prod(x, src, axis, index, include_self)
