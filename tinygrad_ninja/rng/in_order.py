"""Random numbers in the order in which PyTorch gives them to the elements of a Tensor: that of its memory."""

from __future__ import annotations

from ..arrays.dispatch import namespace_of
from ..arrays.numpy_memory import Array, memory_order


def in_memory_order_of(values: Array, like: Array) -> Array:
    """Return the values, (n,), in the shape of `like`, assigned to its elements in the order of its memory,
    which is the order in which PyTorch draws them."""
    order = memory_order(like)
    result: Array = values.reshape(tuple(like.shape[axis] for axis in order))
    if order == tuple(range(like.ndim)):
        return result
    return namespace_of(result).permute_dims(result, tuple(map(order.index, range(like.ndim))))
