"""A small numeric case of what an operation does to a gradient, as code with its results as comments."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ...ops import indexing, linalg, reduction
from ..instructions import Array, Instruction, Program, Var
from ..languages import LANGUAGES
from .backward_lines import Backward, Line, Share
from .formula import rule
from .listing import Writer
from .new_names import gradient_name
from .statements import Statement, written

SQUARE = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]])
UPSTREAM = np.array([[1.0, 0.0, 2.0], [0.0, 1.0, 0.0], [3.0, 0.0, 1.0]])
"""The gradient of the output where that is a square."""


@dataclass(frozen=True)
class _Case:
    """Small numbers for an operation, and what is said of them by their names. dout: the upstream gradient;
    element: a sentence, the code of one element of the gradient, and which one that is."""

    inputs: tuple[Var, ...]
    parameters: tuple[Any, ...]
    dout: Array
    said: dict[str, str] = field(default_factory=dict)
    element: tuple[str, str, tuple[int, ...]] | None = None


def small_case(step: Instruction, place: int) -> list[str]:
    """Return lines of torch code that show on small numbers how the gradient of input number `place` comes
    about, and why there is a sum, a transpose or a repeat; an empty list where there is nothing to show."""
    case = _case(step, place)
    if case is None:
        return []
    small, x = replace(step, inputs=case.inputs, parameters=case.parameters), case.inputs[place]
    small = replace(small, output=Var(small.recomputed(), "out"))
    share, steps = rule(small, place, case.dout)
    share.name = gradient_name(x.name)
    line = Line([small], [Share(x, small, place, share, share)])
    backward = Backward([line], Program(steps, [share]), {x: share}, {})
    writer = Writer(LANGUAGES["torch"], [line], backward, {})

    def with_result(statements: list[Statement], value: Array) -> list[str]:
        statements[-1].notes = [_listed(value)]
        return written(statements)

    lines = [_given(var.name, var.value, case.said.get(var.name, "")) for var in small.reads()]
    lines += with_result(writer.forward(line), small.output.value)
    lines.append(_given(gradient_name("out"), case.dout, "the upstream gradient"))
    if case.element is not None:
        sentence, code, which = case.element
        lines += [f"# {sentence}: its gradient is", f"{code}  # {_listed(share.value[which])}"]
    return [*lines, *with_result(writer.share(line.shares[0]), share.value)]


def _given(name: str, value: Array, said: str) -> str:
    """Return the line that gives a value its numbers."""
    dtype = ", dtype=torch.float64" if value.dtype.kind == "f" else ""
    return f"{name} = torch.tensor({_listed(value)}{dtype})" + (f"  # {said}" if said else "")


def _listed(array: Array) -> str:
    """Return an array as nested lists, with whole numbers as such."""
    if array.ndim:
        return f"[{', '.join(map(_listed, array))}]"
    return f"{float(array) + 0.0:.6g}"


def _case(step: Instruction, place: int) -> _Case | None:
    """Return the small numbers for an operation; None where there is nothing to show."""
    x, out = step.inputs[place], step.output
    if step.operation is linalg.matmul and len(x.shape) >= 2:
        return _product(place)
    if step.operation.operator in ("+", "-", "*", "/") and x.value.size < out.value.size:
        return _broadcast(x.shape, out.shape, place)
    if step.operation in (reduction.sum, reduction.mean):
        return _reduced(step.parameters[0], len(x.shape))
    if step.operation is indexing.index and len(step.parameters[0]) == 1:
        return _read_twice()
    return None


def _product(place: int) -> _Case:
    """Return the case of a product of two matrices of 2 × 2."""
    elements = (
        (
            "a[0, 1] is multiplied by row 1 of b, [7, 8], and goes into row 0 of a @ b",
            "dout[0, 0] * b[1, 0] + dout[0, 1] * b[1, 1]",
            (0, 1),
        ),
        (
            "b[1, 0] is multiplied by column 1 of a, [2, 4], and goes into column 0 of a @ b",
            "a[0, 1] * dout[0, 0] + a[1, 1] * dout[1, 0]",
            (1, 0),
        ),
    )
    a, b, dout = (np.array(m, float) for m in ([[1, 2], [3, 4]], [[5, 6], [7, 8]], [[1, 0], [2, 1]]))
    return _Case((Var(a, "a"), Var(b, "b")), (), dout, element=elements[place])


def _broadcast(shape: tuple[int, ...], out: tuple[int, ...], place: int) -> _Case:
    """Return the case of a matrix of 3 × 3, and a row, a column or a number that is broadcast to it."""
    if np.prod(shape) == 1:
        small, where = np.array(2.0), "all nine places"
    elif shape[-1] != out[-1]:
        small, where = np.array([[1.0], [2.0], [4.0]]), "the three places of its row"
    else:
        small, where = np.array([1.0, 2.0, 4.0]), "the three places of its column"
    a, b = Var(SQUARE, "a"), Var(small, "b")
    said = {"b": f"each number is used in {where}"}
    return _Case((a, b) if place else (b, a), (), UPSTREAM, said)


def _reduced(axis: tuple[int, ...] | None, ndim: int) -> _Case:
    """Return the case of a sum or a mean of a matrix of 2 × 3: along the last dimension, or another, or
    all."""
    x = Var(SQUARE[:2], "x")
    if axis is None or len(axis) == ndim:
        return _Case((x,), (None, False), np.array(2.0))
    if axis[-1] % ndim == ndim - 1:
        return _Case((x,), ((1,), True), np.array([[2.0], [1.0]]))
    return _Case((x,), ((0,), True), np.array([[3.0, 0.0, 6.0]]))


def _read_twice() -> _Case:
    """Return the case of three rows, one of which is read twice, and one never."""
    x, key = Var(np.arange(1.0, 7.0).reshape(3, 2), "x"), Var(np.array([0, 2, 0]), "key")
    dout = np.array([[1.0, 1.0], [2.0, 2.0], [4.0, 4.0]])
    return _Case((x,), ((key,),), dout, {"key": "row 0 is read twice, row 1 never"})
