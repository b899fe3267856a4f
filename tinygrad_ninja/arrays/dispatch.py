"""The arrays that a Tensor may hold, and the namespace of functions that belongs to each.

An operation's forward function and its rules are written once, against the names of the array API standard
(https://data-apis.org/array-api) and the few functions the standard lacks (`index`, `scatter`, `put`,
`gather`, `scatter_along`, `one_minus_square`). They receive the namespace as `xp`, from this table:

    numpy_arrays    NumPy arrays
    torch_arrays    torch tensors on any device (imported when the first one appears)
    python_floats   Python floats

The engine enters Tensors, with the recorded operations themselves, so that a rule is differentiated again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

import numpy as np
from numpy import ndarray

from . import dtypes, numpy_arrays, python_floats, torch_library


class _Namespaces(dict[type, Any]):
    """The namespace for each type of array. Types not seen before are looked up once."""

    def __missing__(self, cls: type) -> Any:
        inherited = [self[parent] for parent in cls.__mro__ if parent in self]
        if issubclass(cls, ndarray | np.generic):  # first, since numpy.float64 is a float too
            namespace: Any = numpy_arrays
        elif inherited:
            namespace = inherited[0]
        elif issubclass(cls, float | int):
            namespace = python_floats
        elif cls.__module__.split(".")[0] == "torch":
            namespace = import_module(f"{__package__}.torch_arrays")
        else:
            raise TypeError(
                f"a Tensor can't hold a {cls.__name__}: give it a NumPy array, a torch tensor or a float"
            )
        self[cls] = namespace
        return namespace


NAMESPACES = _Namespaces()


def namespace_of(array: Any) -> Any:
    """Return the namespace for an array. Raise TypeError where it is no kind of number that a Tensor
    holds."""
    return NAMESPACES[type(array)]


def sum_to(d: Any, like: Any) -> Any:
    """Return `d` summed over the dimensions along which `like` was broadcast: the transpose of
    broadcasting."""
    if type(d) is float or d.shape == like.shape:
        return d
    have, want = d.shape, like.shape
    extra = len(have) - len(want)
    axes = tuple([i for i, n in enumerate(have) if i < extra or (n != 1 and want[i - extra] == 1)])
    xp = NAMESPACES[type(d)]
    summed = xp.sum(d, axes, not extra)
    return summed if summed.shape == want else xp.reshape(summed, want)


def either(condition: Any, a: Callable[[], Any], b: Callable[[], Any]) -> Any:
    """Return a() if the condition, an array of one element, holds, else b(). A rule that branches by this,
    and not by `if`, can be recorded for both answers."""
    xp = NAMESPACES[type(condition)]
    if hasattr(xp, "either"):
        return xp.either(condition, a, b)
    return a() if condition else b()


def dtype_of(array: Any) -> dtypes.dtype:
    """Return the dtype of an array of any kind. Raise TypeError where Tensors have no such dtype."""
    if isinstance(array, float):
        return dtypes.float64
    if isinstance(array, ndarray):
        return dtypes.from_numpy_dtype(array.dtype)
    return dtypes.BY_NAME[str(array.dtype).removeprefix("torch.")]


def array_dtype(array: Any, d: dtypes.dtype) -> Any:
    """Return a dtype as the library of `array` represents it."""
    if isinstance(array, ndarray):
        return d.numpy
    return getattr(torch_library.import_torch(), d.name)


def device_of(array: Any) -> str:
    """Return the device of an array: "cpu" for NumPy, "float" for a Python float, else as
    `torch_arrays` names it."""
    device: str = NAMESPACES[type(array)].device(array)
    return device


def check_device(name: str, arrays: Iterable[Any]) -> None:
    """Raise RuntimeError, which names the operation and two devices, unless all the arrays are on one
    device."""
    first, *others = dict.fromkeys(map(device_of, arrays))
    if others:
        raise RuntimeError(
            f"{name}: expected all tensors to be on the same device, but found {first} and {others[0]}"
        )


def move(array: Any, device: str) -> Any:
    """Return `array` on another device: "cpu", "torch" (torch's tensors on the CPU) or "cuda". No history is
    kept; a Tensor is moved by a recorded operation. Raise RuntimeError where there is no such device."""
    xp = NAMESPACES[type(array)]
    if xp.device(array) == device:
        return array
    if hasattr(xp, "move"):  # torch, and what records
        return xp.move(array, device)
    if device == "cpu":
        return xp.to_numpy(array)
    if device == "float":
        return float(array)
    try:
        torch_library.require_torch(f"device {device}")
    except ImportError as error:
        raise RuntimeError(str(error)) from None
    torch_arrays = import_module(f"{__package__}.torch_arrays")
    return torch_arrays.from_numpy(xp.to_numpy(array), device)
