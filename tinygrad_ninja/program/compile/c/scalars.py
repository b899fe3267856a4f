"""Elementwise operations as C expressions of their operands."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from string import Formatter
from typing import Any

import numpy as np

from ....ops import C, Operation, elementwise
from ..refusals import UnsupportedError
from .build import has_half
from .c_code import Apply, Expression, Literal

C_TYPES = {
    "float32": "float", "float64": "double", "int64": "int64_t", "int32": "int32_t", "int16": "int16_t",
    "int8": "int8_t", "uint8": "uint8_t", "bool": "uint8_t", "uint64": "uint64_t", "float16": "_Float16",
}  # fmt: skip


def cost(operation: Operation, inputs: tuple[Any, ...]) -> int:
    """Return about how many simple instructions the operation takes for an element."""
    if operation is elementwise.pow and inputs[1] in (2, 3):
        return 1
    if operation is elementwise.pow and inputs[1] in _POWERS:
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


def literal(x: Any, dtype: np.dtype[Any]) -> Literal:
    """Return a number as C writes it in that dtype."""
    if dtype.kind == "f":
        x = float(x)
        if not math.isfinite(x):
            return Literal("NAN" if math.isnan(x) else "INFINITY" if x > 0 else "-INFINITY")
        double = dtype.itemsize == 8
        return Literal(repr(x) + "f" * (not double), "double" if double else "float")
    if dtype.kind == "b":
        return Literal(str(int(bool(x))))
    if dtype.kind == "i" and int(x) == np.iinfo(dtype).min:  # no literal: in C its minus is an operation
        return Literal(f"INT{8 * dtype.itemsize}_MIN")
    large = dtype.itemsize == 8 and abs(int(x)) >= 2**31
    return Literal(f"INT64_C({int(x)})" if large else str(int(x)))


def converted(x: Expression, source: np.dtype[Any], to: np.dtype[Any]) -> Expression:
    """Return an expression of dtype `source` converted to dtype `to`."""
    if source == to:
        return x
    if to.kind == "b":
        return Apply("({x} != 0)", {"x": x})
    if source.kind == "f" and to.kind in "iu":  # float16 is a float here
        x = Apply(f"int{64 if to.itemsize == 8 else 32}_of_{suffix(source)}({{x}})", {"x": x})
    return cast(c_type(to), x)


def cast(kind: str, x: Expression) -> Expression:
    """Return an expression converted to a C type."""
    return Apply(f"({kind}){{x}}", {"x": x})


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
    operation: Operation,
    args: Sequence[Expression],
    d: np.dtype[Any],
    parameters: Mapping[str, Expression] | None = None,
) -> Apply:
    """Return the operation applied to expressions that are all of dtype `d`. parameters: those of its
    parameters, by name. Raise UnsupportedError, which names the operation, where its entry has no C."""
    if operation.c is None:
        raise UnsupportedError(f"the operation {operation.name} is not compiled: its entry says no C")
    parts: dict[str, Expression] = {
        "F": "" if d.itemsize == 8 else "f",
        "K": suffix(d),
        "T": c_type(d),
        "U": accumulator(d),
        **dict(zip(operation.inputs, args, strict=True)),
        **(parameters or {}),
    }
    template = _template(operation.c, d)
    missing = _fields(template) - parts.keys()
    if missing:
        raise UnsupportedError(
            f"the operation {operation.name} is not compiled: its C names {min(missing)!r}, which is no "
            "number"
        )
    return Apply(template, parts)


@cache
def _fields(template: str) -> set[str]:
    """Return the names in braces."""
    return {name for _, name, _, _ in Formatter().parse(template) if name}


def _template(c: C, d: np.dtype[Any]) -> str:
    if d.kind == "f":
        special = c.floats
    elif d.kind == "b":
        special = c.bools
    else:
        special = c.wraps if accumulator(d) != c_type(d) else ""
    return special or c.text


def power(x: Expression, exponent: Any, d: np.dtype[Any]) -> Expression | None:
    """Return x to an exponent that is a Python number, where that takes no call; x is a name or a number."""
    parts = {"x": x, "root": expression(elementwise.sqrt, [x], d)}
    if d.kind == "f" and exponent in _POWERS:
        return Apply(_POWERS[exponent], parts)
    if d.kind == "f" and exponent == 0:
        return literal(1, d)
    square = expression(elementwise.mul, [x, x], d)
    return {2: square, 3: expression(elementwise.mul, [square, x], d)}.get(exponent)


_POWERS = {
    0.5: "{root}", -0.5: "(1 / {root})", -1: "(1 / {x})", 1: "{x}",
    # The inverse first, for a product could be infinite where the result is not 0.
    -2: "((1 / {x}) * (1 / {x}))",
    # At -∞ this is not NaN, as it is at other negative numbers.
    1.5: "({x} == -INFINITY ? INFINITY : {x} * {root})",
    -1.5: "({x} == -INFINITY ? 0 : 1 / {x} / {root})",
}  # fmt: skip


def suffix(d: np.dtype[Any]) -> str:
    """Return the end of the name of the prelude's function for numbers of a dtype."""
    return "i" if d.kind != "f" else "d" if d.itemsize == 8 else "f"
