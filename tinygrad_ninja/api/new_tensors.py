"""Tensors made with the dtype and the device of another, and PyTorch's older names for dtypes."""

from __future__ import annotations

from builtins import type as Kind
from typing import Any

from ..arrays import dtypes
from ..engine.tensor import Size, Tensor
from .creation import full, tensor, zeros
from .dimensions import required_sizes
from .register import OFFERED, method_only


def _as_of(self: Tensor, given: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a creation with the dtype and the device of a Tensor, where none are given."""
    own = {"dtype": self.dtype, "device": self.device}
    return given | {name: value for name, value in own.items() if given.get(name) is None}


@method_only
def new_full(
    self: Tensor, size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Return `fill_value` in the shape `size`, by default with the dtype and on the device of this Tensor.

    Raises RuntimeError where the value is out of the range of the dtype, and for a negative size.
    """
    return full(
        size, fill_value, **_as_of(self, {"dtype": dtype, "device": device}), requires_grad=requires_grad
    )


@method_only
def new_zeros(
    self: Tensor, *shape: Any, size: Any = None, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Return zeros of the shape `size`, given as ints or a tuple, as `new_full`."""
    requested = required_sizes("new_zeros", shape, size)
    return new_full(self, requested, 0, dtype=dtype, device=device, requires_grad=requires_grad)


@method_only
def new_empty(self: Tensor, *shape: Any, **options: Any) -> Tensor:
    """Return zeros of the shape `size`, which stand for uninitialized memory, as `new_zeros`."""
    return new_zeros(self, *shape, **options)


@method_only
def new_ones(
    self: Tensor, *shape: Any, size: Any = None, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Return ones of the shape `size`, given as ints or a tuple, as `new_full`."""
    requested = required_sizes("new_ones", shape, size)
    return new_full(self, requested, 1, dtype=dtype, device=device, requires_grad=requires_grad)


@method_only
def new_tensor(
    self: Tensor, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Return a copy of `data`, by default with the dtype and on the device of this Tensor; errors as for
    `tensor`."""
    return tensor(data, **_as_of(self, {"dtype": dtype, "device": device}), requires_grad=requires_grad)


class _TypeOfTensors(Kind):
    """The kind of `FloatTensor` and its like: called, it makes a Tensor of its dtype, and of such Tensors
    `isinstance` is true."""

    dtype: dtypes.dtype

    def __call__(cls, *data: Any, device: Any = "cpu") -> Tensor:
        if not data or all(isinstance(size, int) for size in data):
            return zeros(*(data or (0,)), dtype=cls.dtype, device=device)
        if len(data) != 1:
            raise TypeError(f"{cls.__name__}() takes sizes, or a list or array of numbers")
        if isinstance(data[0], Size):
            return zeros(data[0], dtype=cls.dtype, device=device)
        if isinstance(data[0], float) or (isinstance(data[0], Tensor) and data[0].dtype is not cls.dtype):
            raise TypeError(f"{cls.__name__}() takes sizes, or a list or array of numbers, not {data[0]!r}")
        return tensor(data[0], dtype=cls.dtype, device=device)

    def __instancecheck__(cls, x: Any) -> bool:
        return isinstance(x, Tensor) and x.dtype is cls.dtype and x.device.type != "cuda"


_OLD_NAMES = {
    "Bool": dtypes.bool, "Byte": dtypes.uint8, "Char": dtypes.int8, "Short": dtypes.int16,
    "Int": dtypes.int32, "Long": dtypes.int64, "Half": dtypes.float16, "BFloat16": dtypes.bfloat16,
    "Float": dtypes.float32, "Double": dtypes.float64,
}  # fmt: skip

for _name, _dtype in _OLD_NAMES.items():
    _documentation = f"Return a Tensor of {_dtype.name}: zeros of the sizes given, or a copy of the numbers."
    OFFERED[f"{_name}Tensor"] = _TypeOfTensors(
        f"{_name}Tensor", (), {"dtype": _dtype, "__doc__": _documentation, "__module__": __name__}
    )


@method_only
def type(self: Tensor, dtype: Any = None) -> Any:
    """Return the old name of the dtype, such as "torch.FloatTensor"; or, given a dtype, one of these names or
    types, this Tensor in that dtype. Raises ValueError for another name."""
    if dtype is None:
        folder = "torch.cuda" if self.device.type == "cuda" else "torch"
        (old,) = (name for name, d in _OLD_NAMES.items() if d is self.dtype)
        return f"{folder}.{old}Tensor"
    if isinstance(dtype, str):
        old = dtype.removeprefix("torch.").removesuffix("Tensor")
        if old not in _OLD_NAMES or dtype != f"torch.{old}Tensor":
            raise ValueError(f"invalid type: {dtype!r}")
        dtype = _OLD_NAMES[old]
    return self.to(dtype=dtype.dtype if isinstance(dtype, _TypeOfTensors) else dtype)
