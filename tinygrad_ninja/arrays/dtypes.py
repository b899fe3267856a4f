"""The types of numbers, under PyTorch's names, and the promotion rules for two of them.

A `dtype` stands for the same type of number in every kind of array: `float32` is `numpy.float32` in a NumPy
array and `torch.float32` in a torch tensor.
"""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

__all__ = [
    "bfloat16", "bool", "double", "dtype", "float", "float16", "float32", "float64", "get_default_dtype",
    "half", "int", "int8", "int16", "int32", "int64", "long", "promote_types", "set_default_dtype", "short",
    "uint8",
]  # fmt: skip


class dtype:  # noqa: N801 - PyTorch's name
    """A type of number: `name` ("float32"), `itemsize` in bytes, and the category it belongs to.

    carrier: NumPy's dtype that holds each of its numbers exactly: the one of that name, except for bfloat16,
    which NumPy lacks.
    """

    __slots__ = ("carrier", "category", "itemsize", "name")

    def __init__(self, name: str, carrier: str = "") -> None:
        self.name = name
        self.carrier = np.dtype(carrier or name)
        self.itemsize: builtins.int = 2 if carrier else self.carrier.itemsize
        self.category = {"b": 0, "i": 1, "u": 1, "f": 2}[self.carrier.kind]

    @property
    def numpy(self) -> np.dtype[Any]:
        """Return NumPy's dtype; TypeError for bfloat16."""
        if self is bfloat16:
            raise TypeError(
                'NumPy, on which the device "cpu" computes, has no bfloat16: '
                'take the device "torch" or "cuda", or float() first'
            )
        return self.carrier

    @property
    def is_floating_point(self) -> builtins.bool:
        """Return whether it is a floating point dtype."""
        return self.category == 2

    @property
    def is_complex(self) -> builtins.bool:
        """Return False: there are no complex dtypes here."""
        return False

    @property
    def is_signed(self) -> builtins.bool:
        """Return whether it has negative numbers."""
        return self.carrier.kind in "if"

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> str:
        return self.name  # copies and unpickles as the same object


bool = dtype("bool")
uint8 = dtype("uint8")
int8 = dtype("int8")
int16 = short = dtype("int16")
int32 = int = dtype("int32")
int64 = long = dtype("int64")
float16 = half = dtype("float16")
bfloat16 = dtype("bfloat16", "float32")
float32 = float = dtype("float32")
float64 = double = dtype("float64")

ALL = (bool, uint8, int8, int16, int32, int64, float16, bfloat16, float32, float64)
BY_NAME = {d.name: d for d in ALL}
_BY_NUMPY = {d.numpy: d for d in ALL if d is not bfloat16}
_SCALARS = {"b": bool, "i": int64, "u": int64, "f": float64}
_PYTHON: dict[type, dtype] = {builtins.bool: bool, builtins.int: int64, builtins.float: float64}
_default = float32


def get_default_dtype() -> dtype:
    """Return the dtype that Python floats become: `float32` unless it was changed."""
    return _default


def set_default_dtype(d: dtype) -> None:
    """Set the dtype that Python floats become; TypeError where `d` is not a floating point dtype."""
    global _default
    if not isinstance(d, dtype) or not d.is_floating_point:
        raise TypeError(f"the default dtype must be a floating point dtype, not {d!r}")
    _default = d


def from_numpy_dtype(d: Any) -> dtype:
    """Return the dtype of NumPy's `d`; TypeError where this engine lacks it (complex numbers, text, …)."""
    result = _BY_NUMPY.get(np.dtype(d))
    if result is None:
        raise TypeError(f"can't convert an array of {np.dtype(d)}: the dtypes are {', '.join(BY_NAME)}")
    return result


def is_known(d: Any) -> builtins.bool:
    """Return whether this engine has a dtype of NumPy's."""
    return d in _BY_NUMPY


def as_dtype(d: Any) -> dtype:
    """Return `d` itself where it is a dtype; for Python's `float`, `int` and `bool` the dtype that holds them
    exactly.

    Raises TypeError for anything else.
    """
    result = d if isinstance(d, dtype) else _PYTHON.get(d) if isinstance(d, type) else None
    if result is None:
        raise TypeError(f"dtype must be one of {', '.join(BY_NAME)}, not {d!r}")
    return result


def plain_number(x: Any) -> Any:
    """Return a number as Python's own: one of NumPy's, which has a dtype that a result would take on, and one
    of a class derived from Python's, such as a member of an IntEnum, which NumPy takes for an object. Return
    anything else unchanged."""
    kind = type(x)
    if kind in _PYTHON:
        return x
    if issubclass(kind, np.generic):  # first, since numpy.float64 is a float too
        return x.item()
    if not issubclass(kind, (builtins.int, builtins.float)):
        return x
    return (builtins.int if issubclass(kind, builtins.int) else builtins.float)(x)


def scalar_dtype(value: Any) -> dtype:
    """Return the dtype of a tensor built from this Python number. TypeError for a complex one."""
    code = np.dtype(plain_number(value).__class__).kind
    if code == "c":
        raise TypeError(f"complex numbers are not offered here, such as {value}")
    return _default if code == "f" else _SCALARS[code]


def check_width(number: Any) -> None:
    """Raise OverflowError for an integer of more than 64 bits, which PyTorch takes beside no Tensor."""
    if isinstance(number, builtins.int) and not -(2**63) <= number < 2**64:
        raise OverflowError(f"the number {number} is too big to convert to 64 bits")


def wrapped(number: Any, d: dtype) -> Any:
    """Return the Python number as an operand beside a tensor of dtype `d`.

    An integer out of the range of an integer dtype wraps around, as in PyTorch. Raises OverflowError beyond
    64 bits.
    """
    number = plain_number(number)
    if not isinstance(number, builtins.int) or isinstance(number, builtins.bool):
        return number
    check_width(number)
    if d.category != 1:
        return number
    return np.array((number + 2**63) % 2**64 - 2**63).astype(d.carrier).item()


def promote_types(a: dtype, b: dtype) -> dtype:
    """Return the smallest dtype that holds both; a floating point dtype wins over any integer, however
    wide."""
    if a is b:
        return a
    if a.category != b.category:
        return a if a.category > b.category else b
    return _BY_NUMPY[np.promote_types(a.carrier, b.carrier)]  # float32 for bfloat16 and float16


def result_dtype(dimensioned: list[dtype], zero_dim: list[dtype], scalars: list[dtype]) -> dtype:
    """Return the dtype of a result by PyTorch's promotion, from the dtypes of its operands.

    Tensors with dimensions decide; a 0-dimensional tensor counts only where its category is higher than
    theirs, and a Python number only where its category is higher than both.

    Source: the "Type Promotion" section of PyTorch's `tensor_attributes` page.
    """
    result: dtype | None = None
    for group in (dimensioned, zero_dim, scalars):
        joined: dtype | None = None
        for d in group:
            joined = d if joined is None else promote_types(joined, d)
        if joined is not None and (result is None or joined.category > result.category):
            result = joined if result is None else promote_types(result, joined)
    assert result is not None, "at least one operand"
    return result
