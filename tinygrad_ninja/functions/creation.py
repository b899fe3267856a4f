"""Making Tensors."""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any, NoReturn

import numpy as np

from .. import dtypes
from ..dtypes import dtype as Dtype
from ..generator import fused_multiply_add
from ..hook import observers, observing
from ..kinds import array_dtype, device_of, kind_of, memory, move
from ..ops import elementwise, shape
from ..tensors import Tensor, wrap
from ..tensors import device as Device
from .dimensions import sizes
from .operands import check_fits
from .register import function, method_only


def _finish(array: np.ndarray[Any, Any], on: Any, requires_grad: bool, dtype: Dtype | None = None) -> Tensor:
    """The Tensor of `array`, on the device `on`; in `dtype` where the array is but its carrier."""
    out = wrap(move(array, _place(on)) if on is not None else array)
    if dtype is dtypes.bfloat16:
        out = elementwise.cast(out, array_dtype(out.array, dtype))
    return out.requires_grad_() if requires_grad else out


def _first_leaf(data: Any) -> Any:
    while isinstance(data, (list, tuple)) and len(data):
        data = data[0]
    return data


def _to_array(data: Any, dtype: Dtype | None) -> np.ndarray[Any, Any]:
    if observers and (observer := observing()):
        observer.read_out("tensor()", data)
    if isinstance(data, Tensor):
        data = data.numpy(force=True)
    types = _types(data)
    if any(isinstance(each, Dtype) for each in types):
        data = _without_tensors(data)
    try:
        array = np.array(data)
    except ValueError:
        _complain_of_lengths(data)
        raise
    if array.dtype.kind not in "biuf":
        _complain_of(data, array)
    if dtype is None:
        return array.astype(_joined(types, array.dtype).numpy, copy=False)
    if array.size and types <= {float, int} and not dtype.is_floating_point:
        check_fits(array.min().item(), dtype)
        check_fits(array.max().item(), dtype)
    return array.astype(dtype.carrier)


def _types(data: Any) -> set[Any]:
    """Of what type the elements of nested lists are: the dtype of what has one, else Python's type."""
    level = [data]
    while any(isinstance(each, (list, tuple)) for each in level):
        level = [*itertools.chain.from_iterable(x if isinstance(x, (list, tuple)) else (x,) for x in level)]
    return {getattr(each, "dtype", type(each)) for each in level}


def _joined(types: set[Any], found: np.dtype[Any]) -> Dtype:
    """The dtype that holds them all, a Python float counting as one of the default dtype. `found` is what
    NumPy makes of them, for which it counts as a float64."""
    if found.kind != "f":
        return dtypes.from_numpy_dtype(found)
    own = [
        dtypes.get_default_dtype() if each is float
        else each if isinstance(each, Dtype)
        else dtypes.from_numpy_dtype(each)
        for each in types
    ]  # fmt: skip
    return functools.reduce(dtypes.promote_types, own, dtypes.bool) if own else dtypes.get_default_dtype()


def _without_tensors(data: Any) -> Any:
    """Nested lists with the Tensors in them as NumPy's numbers. ValueError for one of several elements."""
    if isinstance(data, (list, tuple)):
        return [_without_tensors(each) for each in data]
    if not isinstance(data, Tensor):
        return data
    if data.numel() != 1:
        raise ValueError(
            "only one element tensors can be converted to Python scalars: stack() joins larger ones"
        )
    return data.numpy(force=True).reshape(())[()]


def _complain_of_lengths(data: Any) -> None:
    """ValueError or TypeError that says where lists that should be alike are not."""
    if not isinstance(data, (list, tuple)):
        return
    for each in data:
        _complain_of_lengths(each)
    lists = [isinstance(each, (list, tuple)) for each in data]
    if any(lists) and not all(lists):
        raise TypeError(f"a list holds both lists and numbers: {data!r}")
    lengths = sorted({len(each) for each in data}) if any(lists) else []
    if len(lengths) > 1:
        raise ValueError(
            f"lists beside each other must be of one length, not of {lengths[0]} and {lengths[-1]}"
        )


def _complain_of(data: Any, array: np.ndarray[Any, Any]) -> NoReturn:
    """The exception that PyTorch raises for such data, which are no numbers."""
    what = f"a Tensor holds numbers, not {type(_first_leaf(data)).__name__}"
    if array.dtype.kind == "O":
        raise RuntimeError(what)
    raise (ValueError if isinstance(data, (list, tuple)) else TypeError)(what)


@function
def tensor(data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A Tensor with a copy of `data`: numbers, nested lists of them, an array, another Tensor.

    Python floats become the default dtype (float32), ints int64; an array, and a number of NumPy's in a list,
    keeps its dtype. ValueError for lists of unequal length, TypeError for lists beside numbers; one of them
    or RuntimeError for what is no number; RuntimeError for a number that an integer `dtype` does not reach.
    """
    if dtype is None and isinstance(data, Tensor):
        dtype = data.dtype
    d = None if dtype is None else dtypes.as_dtype(dtype)
    made = _to_array(data, d)
    dtypes.from_numpy_dtype(made.dtype)
    if device is None and isinstance(data, Tensor):
        device = data.device
    return _finish(made, device, requires_grad, d)


@function
def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """`data` as a Tensor, without a copy where it is a Tensor or a NumPy array of that dtype already."""
    if isinstance(data, Tensor):
        return data if dtype is None and device is None else data.to(dtype=dtype, device=device)
    if isinstance(data, np.ndarray):
        held = dtypes.from_numpy_dtype(data.dtype)
        if dtype is None or dtypes.as_dtype(dtype) is held:
            return _finish(data, device, False)
    return tensor(data, dtype=dtype, device=device)


@function
def from_numpy(array: np.ndarray[Any, Any]) -> Tensor:
    """A Tensor that shares the memory of `array`. TypeError for a dtype that there is none of here."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(array).__name__})")
    dtypes.from_numpy_dtype(array.dtype)
    if any(step < 0 for step in array.strides):
        raise ValueError("an array with a negative stride can't be shared: copy() it first")
    return wrap(array)


@function
def zeros(
    *shape: Any, size: Any = None, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Zeros of the shape `size`, given as ints or a tuple; float32 by default."""
    wanted = sizes(shape if size is None else (size,))
    return full(wanted, 0.0, dtype=dtype, device=device, requires_grad=requires_grad)


@function
def ones(
    *shape: Any, size: Any = None, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Ones of the shape `size`, given as ints or a tuple; float32 by default."""
    wanted = sizes(shape if size is None else (size,))
    return full(wanted, 1.0, dtype=dtype, device=device, requires_grad=requires_grad)


@function
def empty(
    *shape: Any, size: Any = None, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Zeros of the shape `size`: memory that nothing was written to yet."""
    return zeros(*shape, size=size, dtype=dtype, device=device, requires_grad=requires_grad)


@function
def full(
    size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """`fill_value` in the shape `size`; its dtype is that of the value by default. RuntimeError where `dtype`
    does not reach so far."""
    value = _number(fill_value)
    d = dtypes.scalar_dtype(value) if dtype is None else dtypes.as_dtype(dtype)
    shape = sizes((size,))
    if any(n < 0 for n in shape):
        raise RuntimeError(f"a Tensor can't have a negative dimension: {list(shape)}")
    check_fits(value, d)
    return _finish(np.full(shape, np.array(value).astype(d.carrier)), device, requires_grad, d)


def _like(x: Tensor, value: Any, dtype: Any, device: Any, requires_grad: bool) -> Tensor:
    value, d = _number(value), x.dtype if dtype is None else dtypes.as_dtype(dtype)
    check_fits(value, d)
    made = memory.empty_like(kind_of(x.array).to_numpy(x.array), d.carrier)
    made[...] = np.array(value).astype(d.carrier)
    return _finish(made, device or x.device, requires_grad, d)


@function
def zeros_like(
    input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Zeros of the shape, dtype, device and strides of `input`."""
    return _like(input, 0, dtype, device, requires_grad)


@function
def ones_like(input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones of the shape, dtype, device and strides of `input`."""
    return _like(input, 1, dtype, device, requires_grad)


@function
def empty_like(
    input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Zeros of the shape, dtype, device and strides of `input`: memory that nothing was written to yet."""
    return _like(input, 0, dtype, device, requires_grad)


@function
def full_like(
    input: Tensor, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """`fill_value` in the shape, dtype, device and strides of `input`."""
    return _like(input, fill_value, dtype, device, requires_grad)


def _number(x: Any) -> Any:
    return x.item() if isinstance(x, Tensor) else x


@function
def arange(
    *bounds: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False, **named: Any
) -> Tensor:
    """start (0), start + step, … up to but without `end`: arange(end), arange(start, end) or with a step
    (1)."""
    names = ("end",) if len(bounds) == 1 and "end" not in named else ("start", "end", "step")
    given = {"start": 0, "step": 1, **dict(zip(names, bounds, strict=False)), **named}
    if set(given) != {"start", "end", "step"} or len(bounds) > 3:
        raise TypeError("arange takes end, or start and end, or start, end and step")
    start, end, step = (_number(given[name]) for name in ("start", "end", "step"))
    floating = any(isinstance(each, float) for each in (start, end, step))
    d = (
        dtypes.as_dtype(dtype)
        if dtype is not None
        else dtypes.get_default_dtype()
        if floating
        else dtypes.int64
    )
    if d is dtypes.int64:
        start, end, step = int(start), int(end), int(step)
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if not math.isfinite(start) or not math.isfinite(end):
        raise RuntimeError(f"unsupported range: {start} -> {end}")
    if (end - start) * step < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    n = math.ceil((end - start) / step)
    made = (
        _counted(float(start), float(step), n, d)
        if d.is_floating_point
        else int(start) + int(step) * np.arange(n)
    )
    return _finish(made.astype(d.carrier), device, requires_grad, d)


def _counted(start: float, step: float, n: int, d: Dtype) -> np.ndarray[Any, Any]:
    """start + i · step for each i below n, with the roundings of PyTorch's loop on a processor with AVX2: it
    adds to a number of the dtype as many steps as a vector holds, and takes the last ones each by itself."""
    i = np.arange(n)
    if d not in (dtypes.float32, dtypes.float64):
        return start + step * i
    lanes = 32 // d.itemsize
    alone = n - n % (2 * lanes)
    begins = np.concatenate([i[:alone] // lanes * lanes, i[alone:]])
    base = fused_multiply_add(begins.astype(np.float64), step, start)
    base[:alone] = base[:alone].astype(d.carrier)
    return fused_multiply_add((i - begins).astype(np.float64), step, base)


@function
def linspace(
    start: Any, end: Any, steps: int, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """`steps` numbers at equal distances from `start` to `end`, both included."""
    d = dtypes.get_default_dtype() if dtype is None else dtypes.as_dtype(dtype)
    if steps < 0:
        raise RuntimeError("number of steps must be non-negative")
    start, end = d.carrier.type(_number(start)), d.carrier.type(_number(end))
    step = (
        d.carrier.type((end - start) / max(steps - 1, 1))
        if d.is_floating_point
        else (int(end) - int(start)) / max(steps - 1, 1)
    )
    # Each half counts from its own end. In double precision, so that each is rounded once, as in PyTorch.
    i, back = np.arange(steps), np.arange(steps)[::-1]
    made = np.where(i < steps // 2, start + np.float64(step) * i, end - np.float64(step) * back)
    return _finish(made.astype(d.carrier) if steps > 1 else np.full(steps, start), device, requires_grad, d)


@function
def eye(
    n: int, m: int | None = None, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Ones on the diagonal of an n × m (n × n) matrix of zeros."""
    if n < 0 or (m is not None and m < 0):
        raise RuntimeError(f"eye: the sizes must not be negative, but are {n} and {m}")
    d = dtypes.get_default_dtype() if dtype is None else dtypes.as_dtype(dtype)
    return _finish(np.eye(n, m, dtype=d.carrier), device, requires_grad, d)


@method_only
def to(self: Tensor, *args: Any, dtype: Any = None, device: Any = None, copy: bool = False) -> Tensor:
    """This Tensor in another dtype, on another device, or as another Tensor is: recorded, and itself where
    nothing changes. RuntimeError where the device is not there."""
    for each in args:
        if isinstance(each, Tensor):
            dtype, device = each.dtype, each.device
        elif isinstance(each, (str, Device)):
            device = each
        elif each is not None:
            dtype = each
    out = self
    if device is not None and _place(device) != device_of(self.array):
        out = shape.to_device(out, _place(device))
    wanted = self.dtype if dtype is None else dtypes.as_dtype(dtype)
    if wanted is not self.dtype:
        out = out if wanted.is_floating_point else out.detach()
        out = elementwise.cast(out, array_dtype(out.array, wanted))
    return shape.clone(out, False) if copy and out is self else out


def _place(on: Any) -> str:
    place = Device(on)
    return f"cuda:{place.index or 0}" if place.type == "cuda" else place.type


def _converter(name: str, d: Dtype) -> None:
    def convert(self: Tensor) -> Tensor:
        return self.to(dtype=d)

    convert.__name__ = name
    convert.__doc__ = f"This Tensor in {d.name}; itself where it is that already."
    method_only(convert)


for _name, _dtype in {
    "float": dtypes.float32, "double": dtypes.float64, "half": dtypes.float16, "long": dtypes.int64,
    "int": dtypes.int32, "bool": dtypes.bool, "bfloat16": dtypes.bfloat16,
}.items():  # fmt: skip
    _converter(_name, _dtype)


@method_only
def cpu(self: Tensor) -> Tensor:
    """This Tensor with a NumPy array for data."""
    return self.to(device="cpu")


@method_only
def type_as(self: Tensor, other: Tensor) -> Tensor:
    """This Tensor in the dtype of another."""
    return self.to(dtype=other.dtype)


@function
def is_tensor(obj: Any) -> bool:
    """Whether `obj` is a Tensor."""
    return isinstance(obj, Tensor)


@method_only
def data_ptr(self: Tensor) -> int:
    """The address of the first element in memory."""
    return int(self.array.ctypes.data if isinstance(self.array, np.ndarray) else self.array.data_ptr())
