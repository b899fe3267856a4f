"""Elementwise operations as C expressions of their operands."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .tape import UnsupportedError

C_TYPES = {
    "float32": "float", "float64": "double", "int64": "int64_t", "int32": "int32_t", "int16": "int16_t",
    "int8": "int8_t", "uint8": "uint8_t", "bool": "uint8_t", "uint64": "uint64_t",
}  # fmt: skip

_ARITHMETIC = {"add": "+", "sub": "-", "mul": "*"}
_INFIX = {
    "div": "/", "eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "bitwise_and": "&",
    "bitwise_or": "|", "bitwise_xor": "^",
}  # fmt: skip
_COMPARISONS = {"eq", "ne", "lt", "le", "gt", "ge"}
_OF_BOOLS = {"add": "|", "mul": "&"}
_LIBRARY = {"sin": "sin", "cos": "cos", "erf": "erf"}
"""What is called for each element: these are in no inner loop of the models here."""
_OURS = {"exp", "log", "tanh"}
_COSTS = {
    "exp": 20,
    "log": 20,
    "tanh": 20,
    "sin": 30,
    "cos": 30,
    "erf": 30,
    "div": 5,
    "sqrt": 5,
    "remainder": 10,
}

ELEMENTWISE = {
    *_ARITHMETIC, *_INFIX, *_LIBRARY, *_OURS, "neg", "sqrt", "abs", "sign", "floor", "trunc", "pow",
    "maximum", "minimum", "where", "remainder", "floor_divide", "cast", "bitwise_not", "logical_not", "isnan",
    "isinf", "isfinite", "one_minus_square", "words_below",
}  # fmt: skip


def cost(name: str, inputs: tuple[Any, ...]) -> int:
    """About how many simple instructions the operation takes."""
    if name == "pow":
        return 1 if inputs[1] in (2, 3) else 8 if inputs[1] in (-1, 0.5, -0.5, -2, 1.5, -1.5) else 40
    return _COSTS.get(name, 1)


def c_type(dtype: np.dtype[Any]) -> str:
    if dtype.name not in C_TYPES:
        raise UnsupportedError(f"a Tensor of {dtype} can't be compiled")
    return C_TYPES[dtype.name]


def literal(x: Any, dtype: np.dtype[Any]) -> str:
    """A number as C writes it in that dtype."""
    if dtype.kind == "f":
        x = float(x)
        if not math.isfinite(x):
            return "NAN" if math.isnan(x) else "INFINITY" if x > 0 else "-INFINITY"
        return repr(x) + ("f" if dtype.itemsize == 4 else "")
    if dtype.kind == "b":
        return str(int(bool(x)))
    if dtype.kind == "i" and int(x) == np.iinfo(dtype).min:  # no literal: in C its minus is an operation
        return f"INT{8 * dtype.itemsize}_MIN"
    return f"INT64_C({int(x)})" if dtype.itemsize == 8 and abs(int(x)) >= 2**31 else str(int(x))


def converted(text: str, source: np.dtype[Any], to: np.dtype[Any]) -> str:
    """An expression of one dtype in another."""
    if source == to:
        return text
    if to.kind == "b":
        return f"({text} != 0)"
    if source.kind == "f" and to.kind in "iu":
        text = f"int{64 if to.itemsize == 8 else 32}_of_{_kind(source)}({text})"
    return f"({c_type(to)}){text}"


def common(dtypes: list[Any]) -> np.dtype[Any]:
    """The dtype in which operands meet; Python numbers have none of their own."""
    return np.dtype(np.result_type(*dtypes))


def accumulator(dtype: np.dtype[Any]) -> str:
    """Return the C type in which numbers of a dtype are added and multiplied: for signed integers the
    unsigned one, whose overflow wraps, where that of signed integers is undefined. (The compiler's -fwrapv
    would have the loops' counters wrap too, which was measured to cost 5 to 10 %.)"""
    wraps = dtype.kind == "i" and dtype.itemsize >= 4  # smaller ones are computed as int
    return f"u{c_type(dtype)}" if wraps else c_type(dtype)


def arithmetic(x: str, operator: str, y: str, d: np.dtype[Any]) -> str:
    """Return x + y, x - y or x * y of two operands of a dtype."""
    wide = accumulator(d)
    if wide == c_type(d):
        return f"({x} {operator} {y})"
    return f"(({c_type(d)})(({wide}){x} {operator} ({wide}){y}))"


def negated(x: str, d: np.dtype[Any]) -> str:
    """Return -x; of floats with the sign of zero changed, too."""
    return f"(-{x})" if accumulator(d) == c_type(d) else arithmetic("0", "-", x, d)


def expression(name: str, args: list[str], d: np.dtype[Any], parameters: tuple[Any, ...]) -> str:
    """The operation applied to expressions that are all of dtype `d`, in parentheses where that is needed."""
    wide = "" if d.itemsize == 8 else "f"
    x, y = args[0], args[1] if len(args) > 1 else ""
    if d.kind == "b" and name in _OF_BOOLS:
        return f"({x} {_OF_BOOLS[name]} {y})"
    if name in _ARITHMETIC:
        return arithmetic(x, _ARITHMETIC[name], y, d)
    if name in _INFIX:
        return f"({x} {_INFIX[name]} {y})"
    if name in _OURS:
        return f"{name}_{'d' if d.itemsize == 8 else 'f'}({x})"
    if name in _LIBRARY:
        return f"{_LIBRARY[name]}{wide}({x})"
    match name:
        case "neg":
            return negated(x, d)
        case "sqrt":
            return f"__builtin_sqrt{wide}({x})"
        case "one_minus_square":
            return arithmetic("1", "-", arithmetic(x, "*", x, d), d)
        case "abs":
            return f"__builtin_fabs{wide}({x})" if d.kind == "f" else f"({x} < 0 ? {negated(x, d)} : {x})"
        case "sign":
            return x if d.kind == "b" else f"({c_type(d)})(({x} > 0) - ({x} < 0))"
        case "floor" | "trunc":
            return f"__builtin_{name}{wide}({x})" if d.kind == "f" else x
        case "maximum":
            return f"({x} > {y} || {x} != {x} ? {x} : {y})" if d.kind == "f" else f"({x} > {y} ? {x} : {y})"
        case "minimum":
            return f"({x} < {y} || {x} != {x} ? {x} : {y})" if d.kind == "f" else f"({x} < {y} ? {x} : {y})"
        case "bitwise_not":
            return f"(!{x})" if d.kind == "b" else f"(~{x})"
        case "logical_not":
            return f"({x} == 0)"
        case "isnan":
            return f"({x} != {x})"
        case "isinf":
            return f"(__builtin_fabs{wide}({x}) == INFINITY)" if d.kind == "f" else "0"
        case "isfinite":
            return f"(__builtin_fabs{wide}({x}) < INFINITY)" if d.kind == "f" else "1"
        case "remainder":
            return f"mod_{_kind(d)}({x}, {y})"
        case "floor_divide":
            if d.kind == "f":
                return f"floor_divide_{_kind(d)}({x}, {y})"
            return f"(({c_type(d)})div_i({x}, {y}))"
        case "words_below":
            low, span = parameters
            return f"((int64_t)((uint32_t){x} % {span}u) + {literal(low, np.dtype(np.int64))})"
    raise UnsupportedError(f"the operation {name} is not compiled")


def power(x: str, exponent: Any, d: np.dtype[Any]) -> str | None:
    """x to an exponent that is a Python number, where that takes no call; x is a name or a number."""
    root = f"__builtin_sqrt{'' if d.itemsize == 8 else 'f'}({x})"
    if d.kind == "f":
        known = {
            0.5: root, -0.5: f"(1 / {root})", -1: f"(1 / {x})", -2: f"(1 / ({x} * {x}))",
            1: x, 0: literal(1, d),
            # At -∞ not NaN, unlike at other negative numbers.
            1.5: f"({x} == -INFINITY ? INFINITY : {x} * {root})",
            -1.5: f"({x} == -INFINITY ? 0 : 1 / ({x} * {root}))",
        }  # fmt: skip
        if exponent in known:
            return known[exponent]
    square = arithmetic(x, "*", x, d)
    return {2: square, 3: arithmetic(square, "*", x, d)}.get(exponent)


def raised(x: str, y: str, d: np.dtype[Any]) -> str:
    """x to the power y, of one dtype, in general."""
    if d.kind == "f":
        return f"pow{'' if d.itemsize == 8 else 'f'}({x}, {y})"
    return f"(({c_type(d)})pow_i({x}, {y}))"


def _kind(d: np.dtype[Any]) -> str:
    return "i" if d.kind != "f" else "d" if d.itemsize == 8 else "f"
