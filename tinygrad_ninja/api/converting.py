"""The conversion of a Tensor to another dtype, device or order in memory; copies."""

from __future__ import annotations

from typing import Any

from ..arrays import dtypes
from ..arrays.dispatch import array_dtype, device_of
from ..arrays.dtypes import dtype as Dtype
from ..engine.attributes import contiguous_format, is_ordered, preserve_format
from ..engine.tensor import Tensor
from ..engine.tensor import device as Device
from ..ops import elementwise, shape
from .creation import _place
from .register import method, method_only


@method_only
def to(
    self: Tensor, *args: Any, dtype: Any = None, device: Any = None, non_blocking: bool = False,
    copy: bool = False, memory_format: Any = preserve_format,
) -> Tensor:  # fmt: skip
    """Return this Tensor in another dtype, on another device, or as another Tensor is; recorded.

    It is the Tensor itself where nothing changes, unless `copy`; a copy has the memory format asked for. By
    position come a device, a dtype or a Tensor, then `non_blocking`, which changes nothing, and `copy`.
    Raises RuntimeError where the device does not exist, TypeError for further arguments.
    """
    switches = [argument for argument in args if isinstance(argument, bool)]
    if len(switches) > 2 or (switches and any(isinstance(x, bool) for x in args[: -len(switches)])):
        raise TypeError("to() takes a device, a dtype or a Tensor, then non_blocking and copy")
    for argument in args[: len(args) - len(switches)]:
        if isinstance(argument, Tensor):
            dtype, device = argument.dtype, argument.device
        elif isinstance(argument, (str, Device)):
            device = argument
        elif argument is not None:
            dtype = argument
    copy = copy or (len(switches) == 2 and switches[1])
    ordered = is_ordered(memory_format)
    out = self
    if device is not None and _place(device) != device_of(self.array):
        out = shape.to_device(out, _place(device))
    target = self.dtype if dtype is None else dtypes.as_dtype(dtype)
    if target is not self.dtype:
        out = out if target.is_floating_point else out.detach()
        out = elementwise.cast(out, array_dtype(out.array, target))
    if copy and out is self:
        return shape.clone(out, ordered)
    return out.contiguous() if ordered and out is not self else out


def _converter(name: str, d: Dtype) -> None:
    def convert(self: Tensor, *, memory_format: Any = preserve_format) -> Tensor:
        return self.to(dtype=d, memory_format=memory_format)

    convert.__name__ = name
    convert.__doc__ = f"Return this Tensor in {d.name}; itself where it has that dtype already."
    method_only(convert)


for _name, _dtype in {
    "float": dtypes.float32, "double": dtypes.float64, "half": dtypes.float16, "bfloat16": dtypes.bfloat16,
    "long": dtypes.int64, "int": dtypes.int32, "short": dtypes.int16, "char": dtypes.int8,
    "byte": dtypes.uint8, "bool": dtypes.bool,
}.items():  # fmt: skip
    _converter(_name, _dtype)


@method_only
def cpu(self: Tensor, memory_format: Any = preserve_format) -> Tensor:
    """Return this Tensor with a NumPy array as data; itself where it has one already."""
    return self.to(device="cpu", memory_format=memory_format)


@method_only
def type_as(self: Tensor, other: Tensor) -> Tensor:
    """Return this Tensor in the dtype of another; its shape stays."""
    return self.to(dtype=other.dtype)


@method
def clone(input: Tensor, *, memory_format: Any = preserve_format) -> Tensor:
    """Return a recorded copy in memory of its own: of the same shape, and of the memory format asked for."""
    return shape.clone.call(input, is_ordered(memory_format))


@method_only
def contiguous(self: Tensor, memory_format: Any = contiguous_format) -> Tensor:
    """Return the Tensor itself where its elements lie in order in memory, else a recorded copy.

    RuntimeError for a copy with `preserve_format`, which is no order.
    """
    ordered = is_ordered(memory_format)
    if self.is_contiguous():
        return self
    if not ordered:
        raise RuntimeError("preserve memory format is unsupported by the contiguous operator")
    return shape.clone.call(self, True)
