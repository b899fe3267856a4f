"""What a reduction folds: the number that it begins with, and a value folded into what there is."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .... import ops
from ....ops import Operation
from ...entries import FIRST_EQUAL
from ...instructions import Var
from .c_code import Apply, Element, Expression, Statement
from .scalars import c_type, expression, literal

OPENMP = {
    ops.elementwise.add: "+", ops.elementwise.mul: "*", ops.comparison.bitwise_or: "|",
    ops.comparison.bitwise_and: "&", ops.comparison.bitwise_xor: "^", ops.comparison.maximum: "max",
    ops.comparison.minimum: "min",
}  # fmt: skip
"""The pragma's name for the operation that a reduction folds."""
NOWHERE = 2**31 - 1
"""The index that a search gives for an element that does not match: larger than any index that does."""
WINS = {ops.comparison.maximum: ">", ops.comparison.minimum: "<"}
"""For operations that choose one of two numbers, the comparison of the chosen one with the other."""


def assigned(place: Element, value: Expression) -> Statement:
    """Return the statement that sets an element."""
    return Apply("{place} = {value};", {"place": place, "value": value})


def fold_into(fold: Operation, place: Element, value: Expression, var: Var) -> Statement:
    """Return the statement that folds a value into an element."""
    if fold not in WINS:
        return assigned(place, expression(fold, [place, value], var.dtype))
    nan = " || {value} != {value}" if var.dtype.kind == "f" else ""
    template = f"{{place}} = {{value}} {WINS[fold]} {{place}}{nan} ? {{value}} : {{place}};"
    return Apply(template, {"place": place, "value": value})


def neutral(operation: Operation, dtype: np.dtype[Any]) -> Expression:
    """Return the number that a reduction begins with: the neutral element of what it folds, or where the
    dtype has no infinity, its limit."""
    if operation is FIRST_EQUAL:
        return str(NOWHERE)
    neutral = operation.folds.neutral if operation.folds is not None else None
    assert neutral is not None, f"{operation.name} folds from a number on"
    if operation.predicate or dtype.kind == "b":
        return literal(neutral not in (0, -math.inf), np.dtype(bool))
    if dtype.kind == "f" or math.isfinite(neutral):
        return literal(neutral, dtype)
    limits = np.iinfo(dtype)
    return f"({c_type(dtype)}){limits.min if neutral < 0 else limits.max}"
