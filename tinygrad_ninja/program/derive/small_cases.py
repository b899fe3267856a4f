"""A small numeric case of what an operation does to a gradient, as code with its results as comments."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ...ops import indexing, linalg, reduction
from ..instructions import Array, Instruction, Var
from .backward_lines import RuleTape, apply_rule

SQUARE = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]])
UPSTREAM = np.array([[1.0, 0.0, 2.0], [0.0, 1.0, 0.0], [3.0, 0.0, 1.0]])
"""The gradient of the output in the small cases."""


def small_case(step: Instruction, place: int) -> list[str]:
    """Return lines of torch code that show on small numbers how the gradient of input number `place` comes
    about, and why there is a sum, a transpose or a repeat; an empty list where there is nothing to show."""
    x = step.inputs[place]
    assert isinstance(x, Var)
    if step.operation is linalg.matmul and len(x.shape) >= 2:
        return _product(step, place)
    if step.operation.operator in ("+", "-", "*", "/") and x.shape != step.output.shape:
        return _broadcast(step, place)
    if step.operation in (reduction.sum, reduction.mean):
        return _reduced(step)
    if step.operation is indexing.index and not any(isinstance(i, slice) for i in step.parameters[0][:1]):
        return _read_twice() if len(step.parameters[0]) == 1 else []
    return []


def _slope(step: Instruction, place: int, inputs: list[Array], parameters: Any, dout: Array) -> Array:
    """Return the gradient of an input, by the operation's own rule, on other numbers than the recorded."""
    tape = RuleTape()
    small = replace(step, inputs=tuple(map(Var, inputs)), parameters=parameters)
    small = replace(small, output=Var(small.recomputed()))
    share: Var = tape.variable(apply_rule(tape, small, place, tape.array(Var(dout))))
    return share.value


def _value(step: Instruction, inputs: list[Array], parameters: Any) -> Array:
    return replace(step, inputs=tuple(map(Var, inputs)), parameters=parameters).recomputed()


def _listed(array: Array) -> str:
    """Return an array as nested lists, with whole numbers as such."""
    if array.ndim:
        return f"[{', '.join(map(_listed, array))}]"
    return f"{float(array) + 0.0:.6g}"


def _tensor(name: str, array: Array) -> str:
    text = _listed(array)
    # One floating point number is enough to make all of them floating point numbers.
    return f"{name} = torch.tensor({text}, dtype=torch.float64)"


def _product(step: Instruction, place: int) -> list[str]:
    """Return the case of a product of two matrices of 2 × 2."""
    a, b, dout = (np.array(m, float) for m in ([[1, 2], [3, 4]], [[5, 6], [7, 8]], [[1, 0], [2, 1]]))
    slope = _slope(step, place, [a, b], (), dout)
    lines = [
        _tensor("a", a),
        _tensor("b", b),
        f"a @ b  # {_listed(_value(step, [a, b], ()))}",
        _tensor("dout", dout) + "  # the upstream gradient",
    ]
    if place == 0:
        return [
            *lines,
            "# a[0, 1] is multiplied by row 1 of b, [7, 8], and goes into row 0 of a @ b: its gradient is",
            f"dout[0, 0] * b[1, 0] + dout[0, 1] * b[1, 1]  # {_listed(slope[0, 1])}",
            f"da = dout @ b.T  # {_listed(slope)}",
        ]
    return [
        *lines,
        "# b[1, 0] is multiplied by column 1 of a, [2, 4], and goes into column 0 of a @ b: its gradient is",
        f"a[0, 1] * dout[0, 0] + a[1, 1] * dout[1, 0]  # {_listed(slope[1, 0])}",
        f"db = a.T @ dout  # {_listed(slope)}",
    ]


def _broadcast(step: Instruction, place: int) -> list[str]:
    """Return the case of a matrix of 3 × 3, and a row, a column or a number that is broadcast to it."""
    x, out = step.inputs[place], step.output
    assert isinstance(x, Var)
    before = (1,) * (len(out.shape) - len(x.shape)) + x.shape
    repeated = [i for i, n in enumerate(out.shape) if before[i] != n]
    if x.value.size == 1:
        small, how = np.array(2.0), ".sum()"
        where = "all nine places"
    elif repeated[-1] == len(out.shape) - 1:
        small, how = np.array([[1.0], [2.0], [4.0]]), ".sum(1, keepdim=True)"
        where = "the three places of its row"
    else:
        small, how = np.array([1.0, 2.0, 4.0]), ".sum(0)"
        where = "the three places of its column"
    inputs = [SQUARE, small] if place == 1 else [small, SQUARE]
    names = ("a", "b") if place == 1 else ("b", "a")
    sign = step.operation.operator
    local = {"+": "", "-": "-" if place else "", "*": " * a"}.get(sign)
    if local is None:
        local = " * (-a / b**2)" if place else " / a"
    gradient = f"({local}dout)" if local == "-" else f"(dout{local})" if local else "dout"
    return [
        _tensor("a", SQUARE),
        _tensor("b", small) + f"  # each number is used in {where}",
        f"{names[0]} {sign} {names[1]}  # {_listed(_value(step, inputs, ()))}",
        _tensor("dout", UPSTREAM) + "  # the upstream gradient",
        f"db = {gradient}{how}  # {_listed(_slope(step, place, inputs, (), UPSTREAM))}",
    ]


def _reduced(step: Instruction) -> list[str]:
    """Return the case of a sum or a mean of a matrix of 2 × 3."""
    (x,), (axis, _) = step.inputs, step.parameters
    assert isinstance(x, Var)
    name, numbers = step.operation.name, SQUARE[:2]
    parameters: tuple[Any, ...]
    if axis is None or len(axis) == len(x.shape):
        dout, parameters, given = np.array(2.0), (None, False), ""
    elif axis[-1] % len(x.shape) == len(x.shape) - 1:
        dout, parameters, given = np.array([[2.0], [1.0]]), ((1,), True), "1, keepdim=True"
    else:
        dout, parameters, given = np.array([[3.0, 0.0, 6.0]]), ((0,), True), "0, keepdim=True"
    slope = _slope(step, 0, [numbers], parameters, dout)
    n = numbers.size // dout.size
    share = "dout" if step.operation is reduction.sum else f"(dout / {n})"
    return [
        _tensor("x", numbers),
        f"x.{name}({given})  # {_listed(_value(step, [numbers], parameters))}",
        _tensor("dout", dout) + "  # the upstream gradient",
        f"dx = {share}.expand(2, 3)  # {_listed(slope)}",
    ]


def _read_twice() -> list[str]:
    """Return the case of three rows, one of which is read twice, and one never."""
    rows, key = np.arange(1.0, 7.0).reshape(3, 2), np.array([0, 2, 0])
    dout = np.array([[1.0, 1.0], [2.0, 2.0], [4.0, 4.0]])
    inputs = (Var(rows),)
    step = Instruction(indexing.index, inputs, ((Var(key),),), Var(rows[key]), (True,))
    slope = _slope(step, 0, [rows], step.parameters, dout)
    return [
        _tensor("x", rows),
        f"key = torch.tensor({_listed(key)})  # row 0 is read twice, row 1 never",
        f"x[key]  # {_listed(rows[key])}",
        _tensor("dout", dout) + "  # the upstream gradient",
        "dx = torch.zeros_like(x)",
        f"dx.index_put_((key,), dout, accumulate=True)  # {_listed(slope)}",
    ]
