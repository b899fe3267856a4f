"""The product of many numbers, whose gradient is the product of all the others."""

from __future__ import annotations

from typing import Any

from ..arrays.dispatch import either
from . import elementwise
from .facts import Precision
from .reduction import reducing, size, spread


def _product_of_others(xp: Any, x: Any) -> Any:
    """Return, for each element of a vector, the product of all the others: without a division, so that it is
    right for zeros, too.

    It is the product of all elements before times that of all after, each by doubling: after step k the
    window is 2ᵏ.
    """
    n = x.shape[0]

    def before(v: Any) -> Any:
        out = xp.concat([xp.ones_like(v[:1]), v[:-1]], axis=0)
        width = 1
        while width < n:
            out = out * xp.concat([xp.ones_like(out[:width]), out[:-width]], axis=0)
            width *= 2
        return out

    return before(x) * xp.flip(before(xp.flip(x, axis=(0,))), axis=(0,))


def _prod_slope(xp: Any, dout: Any, out: Any, x: Any, axis: Any, keepdims: bool) -> Any:
    """Return the gradient of a product: by a division where no element is zero."""

    def divided() -> Any:
        return spread(xp, dout * out, x, axis, keepdims) / x

    def multiplied() -> Any:
        return _multiplied(xp, dout, x, axis, keepdims)

    return either(xp.all(x != 0, None, False), divided, multiplied)


def _multiplied(xp: Any, dout: Any, x: Any, axis: Any, keepdims: bool) -> Any:
    """Return `dout` times the product of the other elements, also where some are zero."""
    axes = tuple(range(x.ndim)) if axis is None else axis
    rest = tuple(i for i in range(x.ndim) if i not in axes)
    order = (*axes, *rest)
    front = xp.permute_dims(x, order)
    others = _product_of_others(
        xp, xp.reshape(front, (size(x, axes), -1) if front.size else (size(x, axes), 0))
    )
    back = tuple(order.index(i) for i in range(x.ndim))
    return spread(xp, dout, x, axis, keepdims) * xp.permute_dims(xp.reshape(others, front.shape), back)


@reducing(
    autocast=Precision.FLOAT32,
    folds=elementwise.mul,
    formula=(r"\prod", "∏"),
    x=_prod_slope,
)
def prod(xp: Any, x: Any, /, axis: Any, keepdims: bool) -> Any:
    """out = Π x;  dx = dout · the product of all the others."""
    return xp.prod(x, axis, keepdims)
