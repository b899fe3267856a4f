"""Elementwise operations as C expressions of their operands."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from ....ops import C, Operation, elementwise
from ..refusals import UnsupportedError
from .build import has_half

C_TYPES = {
    "float32": "float", "float64": "double", "int64": "int64_t", "int32": "int32_t", "int16": "int16_t",
    "int8": "int8_t", "uint8": "uint8_t", "bool": "uint8_t", "uint64": "uint64_t", "float16": "_Float16",
}  # fmt: skip


def cost(operation: Operation, inputs: tuple[Any, ...]) -> int:
    """Return about how many simple instructions the operation takes for an element."""
    if operation is elementwise.pow and inputs[1] in (2, 3):
        return 1
    if operation is elementwise.pow and inputs[1] in (-1, 0.5, -0.5, -2, 1.5, -1.5):
        return 8
    return operation.cost


@cache  # NumPy makes the name of a dtype anew
def c_type(dtype: np.dtype[Any]) -> str:
    """Return the C type of a dtype. Raise UnsupportedError where there is none."""
    name = dtype.name
    if name == "float16" and not has_half():
        raise UnsupportedError(
            "a Tensor of float16 is not compiled to C, for the compiler has no _Float16 (gcc 12 and clang 15 "
            'have it); use backend="numpy", or compute in float32'
        )
    if name not in C_TYPES:
        raise UnsupportedError(f"a Tensor of {dtype} is not compiled; compute in float32")
    return C_TYPES[name]


def literal(x: Any, dtype: np.dtype[Any]) -> str:
    """Return a number as C writes it in that dtype."""
    if dtype.kind == "f":
        x = float(x)
        if not math.isfinite(x):
            return "NAN" if math.isnan(x) else "INFINITY" if x > 0 else "-INFINITY"
        return repr(x) + ("" if dtype.itemsize == 8 else "f")
    if dtype.kind == "b":
        return str(int(bool(x)))
    if dtype.kind == "i" and int(x) == np.iinfo(dtype).min:  # no literal: in C its minus is an operation
        return f"INT{8 * dtype.itemsize}_MIN"
    return f"INT64_C({int(x)})" if dtype.itemsize == 8 and abs(int(x)) >= 2**31 else str(int(x))


def converted(text: str, source: np.dtype[Any], to: np.dtype[Any]) -> str:
    """Return an expression of dtype `source` converted to dtype `to`."""
    if source == to:
        return text
    if to.kind == "b":
        return f"({text} != 0)"
    if source.kind == "f" and to.kind in "iu":
        text = f"int{64 if to.itemsize == 8 else 32}_of_{_kind(source)}({text})"  # float16 is a float here
    return f"({c_type(to)}){text}"


def common(dtypes: list[Any]) -> np.dtype[Any]:
    """Return the dtype in which operands meet; Python numbers have none of their own."""
    return np.dtype(np.result_type(*dtypes))


def accumulator(dtype: np.dtype[Any]) -> str:
    """Return the C type in which numbers of a dtype are added and multiplied: for signed integers the
    unsigned one, whose overflow wraps, where that of signed integers is undefined. (The compiler's -fwrapv
    would have the loops' counters wrap too, which was measured to cost 5 to 10 %.)"""
    wraps = dtype.kind == "i" and dtype.itemsize >= 4  # smaller ones are computed as int
    return f"u{c_type(dtype)}" if wraps else c_type(dtype)


def expression(
    operation: Operation, args: list[str], d: np.dtype[Any], parameters: Mapping[str, str] | None = None
) -> str:
    """Return the operation applied to expressions that are all of dtype `d`, in brackets where that is
    needed. parameters: the expressions of its parameters, by name. Raise UnsupportedError, which names the
    operation, where its entry has no C."""
    if operation.c is None:
        raise UnsupportedError(f"the operation {operation.name} is not compiled: its entry says no C")
    fields = {
        "F": "" if d.itemsize == 8 else "f",
        "K": _kind(d),
        "T": c_type(d),
        "U": accumulator(d),
        **dict(zip(operation.inputs, args, strict=True)),
        **(parameters or {}),
    }
    try:
        return _template(operation.c, d).format_map(fields)
    except KeyError as error:
        raise UnsupportedError(
            f"the operation {operation.name} is not compiled: its C names {error}, which is no number"
        ) from None


def _template(c: C, d: np.dtype[Any]) -> str:
    if d.kind == "f":
        special = c.floats
    elif d.kind == "b":
        special = c.bools
    else:
        special = c.wraps if accumulator(d) != c_type(d) else ""
    return special or c.text


def power(x: str, exponent: Any, d: np.dtype[Any]) -> str | None:
    """Return x to an exponent that is a Python number, where that takes no call; x is a name or a number."""
    root = expression(elementwise.sqrt, [x], d)
    if d.kind == "f":
        known = {
            0.5: root, -0.5: f"(1 / {root})", -1: f"(1 / {x})", -2: f"(1 / ({x} * {x}))",
            1: x, 0: literal(1, d),
            # At -∞ this is not NaN, as it is at other negative numbers.
            1.5: f"({x} == -INFINITY ? INFINITY : {x} * {root})",
            -1.5: f"({x} == -INFINITY ? 0 : 1 / ({x} * {root}))",
        }  # fmt: skip
        if exponent in known:
            return known[exponent]
    square = expression(elementwise.mul, [x, x], d)
    return {2: square, 3: expression(elementwise.mul, [square, x], d)}.get(exponent)


def _kind(d: np.dtype[Any]) -> str:
    return "i" if d.kind != "f" else "d" if d.itemsize == 8 else "f"
