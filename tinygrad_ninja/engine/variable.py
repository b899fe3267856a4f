"""`Variable`, by which programs that are older than PyTorch 0.4 call a Tensor that autograd looks at."""

from __future__ import annotations

from typing import Any

from .tensor import Tensor


class _OfTensors(type):
    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, Tensor)


class Variable(metaclass=_OfTensors):
    """A Tensor: `Variable(data)` is one with the same memory and without history, and every Tensor is a
    Variable. TypeError for anything but a Tensor."""

    def __new__(cls, data: Any = None, requires_grad: bool = False) -> Any:
        """Return the Tensor."""
        data = Tensor() if data is None else data
        if not isinstance(data, Tensor):
            raise TypeError(f"Variable data has to be a tensor, but got {type(data).__name__}")
        return data.detach().requires_grad_(requires_grad)
