"""The creation of Tensors."""

from __future__ import annotations

import functools
import itertools
from typing import Any, NoReturn

import numpy as np

from ..arrays import dtypes, numpy_memory
from ..arrays.dispatch import array_dtype, move, namespace_of
from ..arrays.dtypes import dtype as Dtype
from ..engine.apply import quietly
from ..engine.attributes import default_device, defaults, is_ordered, preserve_format
from ..engine.hook import note_unrecorded, observers, observing
from ..engine.tensor import Tensor, wrap
from ..engine.tensor import device as Device
from ..ops import elementwise
from .dimensions import required_sizes, sizes
from .operands import check_fits
from .register import function, method_only


def _finish(array: np.ndarray[Any, Any], on: Any, requires_grad: bool, dtype: Dtype | None = None) -> Tensor:
    """Return the Tensor of `array`, on the device `on`, where that is None on the default device; in `dtype`
    where the array only carries its numbers."""
    if on is None and defaults:
        on = default_device()
    array = move(array, _place(on)) if on is not None else array
    if observers and (observer := observing()):
        observer.computed(array)
    out = wrap(array)
    if dtype is dtypes.bfloat16:
        out = elementwise.cast(out, array_dtype(out.array, dtype))
    return out.requires_grad_() if requires_grad else out


def _to_array(data: Any, dtype: Dtype | None) -> np.ndarray[Any, Any]:
    if observers and (observer := observing()):
        data = observer.read_out("tensor()", data)
    if isinstance(data, Tensor):
        data = data.numpy(force=True)
    types = _types(data)
    if any(isinstance(type, Dtype) for type in types):
        data = _without_tensors(data)
    try:
        array = np.array(data)
    except ValueError:
        _complain_of_lengths(data)
        raise
    if types <= {int, bool} and array.dtype.kind not in "bi" and array.size:
        if dtype is None or not dtype.is_floating_point:
            raise ValueError("Overflow when unpacking long long: an integer has more than 63 bits and a sign")
        array = np.array(data, np.float64)
    elif array.dtype.kind == "O" and types <= {int, bool, float}:
        array = np.array(data, np.float64)
    if array.dtype.kind not in "biuf":
        _complain_of(data, array)
    if dtype is None:
        return quietly(array.astype, _common_dtype(types, array.dtype).numpy, "K", "unsafe", True, False)
    if array.size and types <= {float, int} and not dtype.is_floating_point:
        check_fits(array.min().item(), dtype)
        check_fits(array.max().item(), dtype)
    return quietly(array.astype, dtype.carrier)


def _types(data: Any) -> set[Any]:
    """Return the types of the elements of nested lists: the dtype of elements that have one, else Python's
    type."""
    return {getattr(x, "dtype", type(dtypes.plain_number(x))) for x in _leaves(data)}


def _leaves(data: Any) -> list[Any]:
    """Return the elements of nested lists."""
    level = [data]
    while any(isinstance(x, (list, tuple)) for x in level):
        level = [*itertools.chain.from_iterable(x if isinstance(x, (list, tuple)) else (x,) for x in level)]
    return level


def _common_dtype(types: set[Any], numpy_dtype: np.dtype[Any]) -> Dtype:
    """Return the dtype that holds all types, where a Python float counts as the default dtype.

    numpy_dtype: the dtype that NumPy chooses for them, for which a Python float counts as a float64.
    """
    if numpy_dtype.kind != "f":
        return dtypes.from_numpy_dtype(numpy_dtype)
    own = [
        dtypes.get_default_dtype() if type is float
        else type if isinstance(type, Dtype)
        else dtypes.from_numpy_dtype(type)
        for type in types
    ]  # fmt: skip
    return functools.reduce(dtypes.promote_types, own, dtypes.bool) if own else dtypes.get_default_dtype()


def _without_tensors(data: Any) -> Any:
    """Return nested lists with the Tensors in them as NumPy's numbers; ValueError for one of several
    elements."""
    if isinstance(data, (list, tuple)):
        return [_without_tensors(element) for element in data]
    if not isinstance(data, Tensor):
        return data
    if data.numel() != 1:
        raise ValueError(
            "only one element tensors can be converted to Python scalars: stack() joins larger ones"
        )
    return data.numpy(force=True).reshape(())[()]


def _complain_of_lengths(data: Any) -> None:
    """Raise ValueError or TypeError that says where lists that should be alike are not."""
    if not isinstance(data, (list, tuple)):
        return
    for element in data:
        _complain_of_lengths(element)
    lists = [isinstance(element, (list, tuple)) for element in data]
    if any(lists) and not all(lists):
        raise TypeError(f"a list holds both lists and numbers: {data!r}")
    lengths = sorted({len(element) for element in data}) if any(lists) else []
    if len(lengths) > 1:
        raise ValueError(
            f"lists beside each other must be of one length, not of {lengths[0]} and {lengths[-1]}"
        )


def _complain_of(data: Any, array: np.ndarray[Any, Any]) -> NoReturn:
    """Raise PyTorch's exception for data that are no numbers."""
    if isinstance(data, np.ndarray):
        raise TypeError(f"can't convert an array of {array.dtype}: a Tensor holds numbers")
    leaves = _leaves(data)
    wrong = next((x for x in leaves if not isinstance(x, (int, float, np.generic))), leaves[0])
    message = f"a Tensor holds numbers, not {type(wrong).__name__}"
    if not isinstance(wrong, str):
        raise RuntimeError(message)
    raise (ValueError if wrong is leaves[0] and isinstance(data, (list, tuple)) else TypeError)(message)


@function
def tensor(data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Return a Tensor with a copy of `data`: a number, which has no dimensions, numbers in nested lists, a
    dimension for each level, an array, another Tensor.

    Python floats become the default dtype (float32), ints int64; an array, and a number of NumPy's in a list,
    keeps its dtype. Raises ValueError for lists of unequal length, TypeError for lists beside numbers; one of
    them or RuntimeError for anything that is no number; RuntimeError for a number out of the range of an
    integer `dtype`.
    """
    if dtype is None and isinstance(data, Tensor):
        dtype = data.dtype
    d = None if dtype is None else dtypes.as_dtype(dtype)
    array = _to_array(data, d)
    dtypes.from_numpy_dtype(array.dtype)
    if device is None and default_device() is None and isinstance(data, Tensor):
        device = data.device
    return _finish(array, device, requires_grad, d)


@function
def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """Return `data` as a Tensor, without a copy where it is a Tensor or a NumPy array of that dtype already.

    Otherwise it is copied, with the errors of `tensor`.
    """
    if isinstance(data, Tensor):
        device = device or default_device()
        return data if dtype is None and device is None else data.to(dtype=dtype, device=device)
    if isinstance(data, np.ndarray):
        own_dtype = dtypes.from_numpy_dtype(data.dtype)
        if dtype is None or dtypes.as_dtype(dtype) is own_dtype:
            shared, device = wrap(data.view(np.ndarray)), device or default_device()
            return shared if device is None else shared.to(device=device)
    return tensor(data, dtype=dtype, device=device)


@function
def from_numpy(array: np.ndarray[Any, Any]) -> Tensor:
    """Return a Tensor of the shape and dtype of `array`, which shares its memory.

    Raises TypeError for anything but an array and for a dtype that this engine lacks, ValueError for negative
    strides.
    """
    if not isinstance(array, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(array).__name__})")
    dtypes.from_numpy_dtype(array.dtype)
    if any(step < 0 for step in array.strides):
        raise ValueError("an array with a negative stride can't be shared: copy() it first")
    return wrap(array.view(np.ndarray))


@function
def zeros(
    *shape: Any, size: Any = None, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Return zeros of the shape `size`, given as ints or a tuple; float32 by default. RuntimeError for a
    negative size."""
    requested = required_sizes("zeros", shape, size)
    return full(requested, 0.0, dtype=dtype, device=device, requires_grad=requires_grad)


@function
def ones(
    *shape: Any, size: Any = None, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Return ones of the shape `size`, given as ints or a tuple; float32 by default. RuntimeError for a
    negative size."""
    requested = required_sizes("ones", shape, size)
    return full(requested, 1.0, dtype=dtype, device=device, requires_grad=requires_grad)


@function
def empty(
    *shape: Any, size: Any = None, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Return zeros of the shape `size`, which stand for uninitialized memory; see `zeros`."""
    return zeros(
        required_sizes("empty", shape, size), dtype=dtype, device=device, requires_grad=requires_grad
    )


@function
def full(
    size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Return `fill_value` in the shape `size`; the dtype is the value's by default.

    Raises RuntimeError where the value is out of the range of `dtype`, and for a negative size.
    """
    value = _number("full", "fill_value", fill_value)
    dtypes.check_width(value)
    d = dtypes.scalar_dtype(value) if dtype is None else dtypes.as_dtype(dtype)
    shape = sizes((size,))
    if any(n < 0 for n in shape):
        raise RuntimeError(f"a Tensor can't have a negative dimension: {list(shape)}")
    check_fits(value, d)
    return _finish(np.full(shape, np.array(value).astype(d.carrier)), device, requires_grad, d)


def _like(x: Tensor, value: Any, dtype: Any, device: Any, requires_grad: bool, memory_format: Any) -> Tensor:
    value, d = _number("full_like", "fill_value", value), x.dtype if dtype is None else dtypes.as_dtype(dtype)
    check_fits(value, d)
    if is_ordered(memory_format):
        filled = np.empty(x.shape, d.carrier)
    else:
        filled = numpy_memory.empty_like(namespace_of(x.array).to_numpy(x.array), d.carrier)
    filled[...] = np.array(value).astype(d.carrier)
    return _finish(filled, device or x.device, requires_grad, d)


@function
def zeros_like(
    input: Tensor,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = preserve_format,
) -> Tensor:
    """Return zeros with the shape, dtype, device and, by default, strides of `input`."""
    return _like(input, 0, dtype, device, requires_grad, memory_format)


@function
def ones_like(
    input: Tensor,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = preserve_format,
) -> Tensor:
    """Return ones with the shape, dtype, device and, by default, strides of `input`."""
    return _like(input, 1, dtype, device, requires_grad, memory_format)


@function
def empty_like(
    input: Tensor,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = preserve_format,
) -> Tensor:
    """Return zeros with the shape, dtype, device and, by default, strides of `input`, which stand for
    uninitialized memory."""
    return _like(input, 0, dtype, device, requires_grad, memory_format)


@function
def full_like(
    input: Tensor,
    fill_value: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = preserve_format,
) -> Tensor:
    """Return `fill_value` with the shape, dtype, device and, by default, strides of `input`.

    Raises RuntimeError where the value is out of the range of the dtype.
    """
    return _like(input, fill_value, dtype, device, requires_grad, memory_format)


def _number(function: str, argument: str, x: Any) -> Any:
    """Return an argument as a Python number; TypeError for what is none, RuntimeError for complex ones."""
    x = x.item() if isinstance(x, Tensor) else dtypes.plain_number(x)
    if isinstance(x, complex):
        raise RuntimeError(f"{function}(): {argument}={x} is complex, and there are no complex Tensors here")
    if not isinstance(x, (int, float)):
        raise TypeError(f"{function}(): argument {argument!r} must be Number, not {type(x).__name__}")
    return x


@function
def eye(
    n: int, m: int | None = None, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Return an n × m (n × n) matrix of zeros with ones on the diagonal. RuntimeError for a negative size."""
    if n < 0 or (m is not None and m < 0):
        raise RuntimeError(f"eye: the sizes must not be negative, but are {n} and {m}")
    d = dtypes.get_default_dtype() if dtype is None else dtypes.as_dtype(dtype)
    return _finish(np.eye(n, m, dtype=d.carrier), device, requires_grad, d)


def _place(on: Any) -> str:
    place = Device(on)
    return f"cuda:{place.index or 0}" if place.type == "cuda" else place.type


@function
def is_tensor(obj: Any) -> bool:
    """Return whether `obj` is a Tensor."""
    return isinstance(obj, Tensor)


@method_only
def data_ptr(self: Tensor) -> int:
    """Return the address of the first element in memory."""
    note_unrecorded("data_ptr()")
    return int(self.array.ctypes.data if isinstance(self.array, np.ndarray) else self.array.data_ptr())
