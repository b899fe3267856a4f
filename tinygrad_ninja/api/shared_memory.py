"""Tensors of memory that exists already."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import dtypes
from ..engine.tensor import Tensor
from .creation import as_tensor, from_numpy, tensor
from .register import function


@function
def frombuffer(
    buffer: Any, *, dtype: Any, count: int = -1, offset: int = 0, requires_grad: bool = False
) -> Tensor:
    """Return a vector that shares the memory of a buffer, such as a bytearray, read as numbers of `dtype`.

    count: how many, by default all behind the first `offset` bytes. Raises ValueError for anything without a
    buffer, an empty one, or one that does not hold so many.
    """
    d = dtypes.as_dtype(dtype)
    try:
        size = memoryview(buffer).nbytes
    except TypeError:
        raise ValueError("object does not implement Python buffer protocol.") from None
    if not size or not count:
        raise ValueError(f"both buffer length ({size}) and count ({count}) must not be 0")
    if not 0 <= offset < size:
        raise ValueError(
            f"offset ({offset} bytes) must be non-negative and no greater than buffer length ({size} bytes) "
            f"minus 1"
        )
    if count < 0 and (size - offset) % d.itemsize:
        raise ValueError(
            f"buffer length ({size} bytes) after offset ({offset} bytes) must be a multiple of element size "
            f"({d.itemsize})"
        )
    if count > 0 and offset + count * d.itemsize > size:
        raise ValueError(
            f"requested buffer length ({count} * {d.itemsize} bytes) after offset ({offset} bytes) must not "
            f"be greater than actual buffer length ({size} bytes)"
        )
    out = from_numpy(np.frombuffer(buffer, d.numpy, max(count, -1), offset))
    return out.requires_grad_() if requires_grad else out


@function
def asarray(
    obj: Any, *, dtype: Any = None, device: Any = None, copy: bool | None = None, requires_grad: Any = None
) -> Tensor:
    """Return `obj` as a Tensor: a Tensor as it is, recorded; of an array, or a buffer of the default dtype
    (or `dtype`), its memory; a copy of numbers and lists. The shape is as in `tensor`.

    copy: True for a copy in any case, False for none. Raises ValueError where there must be one, and the
    errors of `tensor`.
    """
    d = None if dtype is None else dtypes.as_dtype(dtype)
    if isinstance(obj, (bytes, bytearray, memoryview)):
        out = frombuffer(obj, dtype=d or dtypes.get_default_dtype())
    elif isinstance(obj, (Tensor, np.ndarray)):
        out = as_tensor(obj)
    elif copy is False:
        raise ValueError("can't alias arbitrary sequence into a tensor.")
    else:
        out = tensor(obj, dtype=d)
    moved = out.to(dtype=d, device=device)
    if copy is False and moved is not out:
        raise ValueError(f"can't alias {out.dtype} on {out.device} into {moved.dtype} on {moved.device}")
    if copy and moved is out and isinstance(obj, (Tensor, np.ndarray, bytes, bytearray, memoryview)):
        moved = out.clone()
    if requires_grad is False:
        return moved.detach()
    return moved.requires_grad_() if requires_grad and not moved.requires_grad else moved
