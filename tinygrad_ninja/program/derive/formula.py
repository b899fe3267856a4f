"""Mathematics from the table: what an operation computes, and its local rules, as LaTeX and as MathML.

Nothing is typeset by hand. The operation's forward function and its rules run on pieces of mathematics, as
elsewhere they run on arrays; so an entry of the table has its formulas from the day it is written.

    step = instruction(operation, arrays, ["probs", "counts", "counts_sum_inv"])
    Formulas({step.output: step}).equation("probs", [step.output]).latex  # \\mathrm{probs} = …
    share, steps = rule(step, 0)
    makers = {part.output: part for part in steps}
    Formulas(makers).equation("dcounts", [share]).mathml  # <math>…</math>: dprobs ⊙ counts_sum_inv
    Formulas(makers, shapes=True).equation("dcounts", [share])  # with the shape under each variable

The variables in the middle of a rule are written out. A number or a shape is the recorded one: rules branch
on them (the slope of x² is not that of x⁻¹).
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from ...ops import Category, Operation, indexing
from ...ops.shape import cat, clone, expand, reshape, stack, to_device
from ...ops.standard import entry_called
from ..dialects import Bracket, Kind
from ..instructions import Array, Instruction, Var, evaluate, extreme, substitute
from .backward_lines import RuleTape, apply_rule
from .mathematics import (
    EQUALS,
    POWER,
    PREFIX,
    SUM,
    TRANSPOSED,
    Math,
    apply,
    dims,
    exponent,
    key_of,
    math,
    name,
    op,
    over,
    row,
    size_of,
    sup,
)
from .record import entry_of, is_range
from .sizes import Sizes

ARITHMETIC = ("+", "-", "*", "/")


# -- the namespace that forward functions get ----------------------------------------------------------------


def _permuted(x: Math, axes: tuple[int, ...]) -> Math:
    n = len(axes)
    transposed = axes == (*range(n - 2), n - 1, n - 2)  # each matrix of a batch, as `.mT` does
    return sup(x, TRANSPOSED if transposed else math(axes))


def _along(sign: tuple[str, str], axis: Any, x: Math) -> Math:
    """Return a reduction such as a sum, with its dimensions below the sign."""
    return over(sign, None if axis is None else dims(axis), x)


def _as_it_is(x: Math, *_: Any) -> Math:
    return x


_WRITTEN = SimpleNamespace(
    exp=lambda x: sup(name("e"), x),
    sqrt=lambda x: Math(Kind.ROOT, x),
    abs=lambda x: x.fenced(Bracket.BARS),
    floor=lambda x: x.fenced(Bracket.FLOOR),
    pow=lambda a, b: sup(math(a), exponent(b)),
    one_minus_square=lambda y: 1 - y**2,
    matmul=operator.matmul,
    where=lambda condition, a, b: Math(Kind.CASES, math(a), math(condition), math(b), level=SUM),
    permute_dims=_permuted,
    index=lambda x, key: x[key],
    gather=lambda x, axis, index: apply(indexing.gather.name, x, below=key_of((index, dims(axis)))),
    scatter=lambda x, shape, key: apply(indexing.scatter.name, x, below=key_of(key), above=size_of(shape)),
    scatter_along=lambda x, shape, axis, index: apply(
        indexing.scatter.name, x, below=key_of((index, dims(axis))), above=size_of(shape)
    ),
    reshape=lambda x, shape: apply(reshape.name, x, below=size_of(shape)),
    concat=lambda tensors, axis: apply(cat.name, *tensors, below=dims(axis)),
    stack=lambda tensors, axis: apply(stack.name, *tensors, below=dims(axis)),
    copy=_as_it_is,
    broadcast_to=_as_it_is,
    expand=_as_it_is,
    astype=_as_it_is,
    is_integral=lambda x: False,
)
"""How functions of the namespace are written, where that is neither an operator nor their own name."""


class _Typeset:
    """The namespace of formulas."""

    def __getattr__(self, function: str) -> Any:
        if hasattr(_WRITTEN, function):
            return getattr(_WRITTEN, function)
        entry = entry_called(function)
        if entry is None or entry.formula is None:
            return lambda *arguments, **options: apply(function, *arguments, *options.values())
        sign = entry.formula
        if entry.category is Category.REDUCTION:
            return lambda x, axis, keepdims: _along(sign, axis, x)
        return lambda x: row(op(*sign), x.at(POWER), level=PREFIX)


_XP = _Typeset()


# -- formulas ------------------------------------------------------------------------------------------------


def instruction(operation: Operation, values: Sequence[Any], names: Sequence[str]) -> Instruction:
    """Return the instruction for an operation and the values it was applied to, as a node of the record holds
    them.

    values: (output, *inputs, *parameters), arrays or numbers; names: those of the output and the inputs,
    empty for a number that is written as itself.
    """
    n = len(names) - 1

    def var(x: Any, called: str = "") -> Any:
        is_value = hasattr(x, "__array__") or (called and isinstance(x, float))
        return Var(np.asarray(x), called) if is_value else x

    output, *inputs = (var(x, called) for x, called in zip(values, names, strict=False))
    return Instruction(
        entry_of(operation), tuple(inputs), substitute(tuple(values[n + 1 :]), var), output, (True,) * n
    )


def rule(step: Instruction, place: int, upstream: Array | None = None) -> tuple[Var, list[Instruction]]:
    """Return the local rule of input number `place`: the variable that is the input's share of the gradient,
    computed from the output's gradient (named "d" and the output's name), and the instructions that compute
    it. upstream: the numbers of the output's gradient, ones if none are given. Raise RuntimeError where there
    is no rule."""
    tape = RuleTape()
    dout = Var(np.ones_like(step.output.value) if upstream is None else upstream, "d" + step.output.name)
    share = tape.variable(apply_rule(tape, step, place, tape.array(dout)))
    return share, tape.instructions


@dataclass(frozen=True)
class Formulas:
    """Writes formulas. makers: the instructions that may be written out, by their outputs; names: further
    names of values; sizes: what writes the numbers; shapes: whether its shape stands under each variable."""

    makers: Mapping[Var, Instruction]
    names: Mapping[Var, str] = field(default_factory=dict)
    sizes: Sizes = field(default_factory=lambda: Sizes({}, math, name))
    shapes: bool = False

    def called(self, var: Var) -> str:
        """Return the name of a value, "" for none."""
        return var.name or self.names.get(var, "")

    def naming(self, names: Mapping[Var, str]) -> Formulas:
        """Return what writes formulas with more names."""
        return replace(self, names={**self.names, **names})

    def equation(self, called: str | Math, parts: Sequence[Var]) -> Math:
        """Return "called = …" with the expressions of the variables, added up. A variable that has a name is
        not written out, but those of `parts` are. called: a name, or a formula for it."""

        def part(var: Var) -> Math:
            expression = self.expression(var)
            if var.constant or expression.shown == var.shape:
                return expression
            # Where sizes stand below the names, the one of what is computed says it.
            return apply("repeat", expression, below=None if self.shapes else size_of(var.shape))

        total = functools.reduce(operator.add, map(part, parts))
        left = called if isinstance(called, Math) else name(called, parts[0].shape if self.shapes else None)
        return row(left, EQUALS, total)

    def expression(self, var: Var, top: bool = True) -> Math:
        """Return the expression of a variable; a variable with a name stands for itself, except at the top.

        Broadcasting is not written where it meets something of the whole shape: `shown` is the shape that the
        expression has as written.
        """
        step = self.makers.get(var)
        called = self.called(var)
        shown = var.shape
        if var.constant:
            expression, shown = self.sizes.code(var.number, var.dtype.type), ()
        elif step is None or (called and not top):
            unnamed = "0, 1, …" if is_range(var) else "i" if var.dtype.kind == "i" else "c"
            expression = name(called or unnamed, var.shape if self.shapes else None)
        elif (found := extreme(step, self.makers)) is not None and found.formula:
            expression = _along(found.formula, step.parameters[0], self._whole(step.inputs[0]))
        elif step.operation is indexing.scatter and (target := onehot_target(step)) is not None:
            expression = apply("onehot", self._inner(target), below=size_of(var.shape))
            expression.shape = var.shape
            number = step.inputs[0].number
            if number != 1:
                expression = self.sizes.code(number, var.dtype.type) * expression
        else:
            expression, shown = self._applied(step)
        expression = copy(expression)
        expression.shape, expression.shown = var.shape, shown
        return expression

    def _applied(self, step: Instruction) -> tuple[Math, tuple[int, ...]]:
        """Return an operation applied to the expressions of its inputs, and the shape that is shown."""
        shown = step.output.shape
        in_place = is_of_each(step.operation) or step.operation in (clone, expand, to_device)
        read = self._inner if in_place else self._whole
        number = self.sizes.code if step.operation.operator in ARITHMETIC else lambda x: x
        operands = [read(x) if isinstance(x, Var) else number(x) for x in step.inputs]
        parameters = substitute(step.parameters, read)
        if in_place:
            shown = np.broadcast_shapes(*(x.shown for x in (*operands, *parameters) if isinstance(x, Math)))
        if step.operation in (expand, to_device):
            return operands[0], shown
        if step.operation.named:
            return _by_name(step, operands), shown
        return composed_formula(step.operation, operands, parameters), shown

    def _inner(self, x: Any) -> Any:
        """Return a variable as it stands in an expression; anything else unchanged."""
        return self.expression(x, False) if isinstance(x, Var) else x

    def _whole(self, x: Any) -> Any:
        """Return the same in its full shape: with a repeat, if the expression does not have that shape."""
        expression = self._inner(x)
        if not isinstance(x, Var) or expression.shown == x.shape:
            return expression
        return apply("repeat", expression, below=size_of(x.shape))


def onehot_target(step: Instruction) -> Any:
    """Return the index of the only number in each row, where a constant is scattered to one place of each;
    None where it is something else."""
    (x,), (_, key) = step.inputs, step.parameters
    same = isinstance(x, Var) and x.constant
    rows = len(key) == 2 and isinstance(key[0], Var) and is_range(key[0]) and len(step.output.shape) == 2
    return key[1] if same and rows and len(key[0].value) == step.output.shape[0] else None


def is_of_each(operation: Operation) -> bool:
    """Return whether each element of the output depends on one element of each input only."""
    return operation.broadcasts or operation.category is Category.ELEMENTWISE


def composed_formula(operation: Operation, operands: Sequence[Any], parameters: Sequence[Any]) -> Math:
    """Return the formula of the forward function. Raise NotImplementedError where it can't be written."""
    try:
        return math(evaluate(operation, _XP, operands, parameters))
    except (AttributeError, TypeError) as error:
        raise NotImplementedError(
            f"there is no formula for {operation.name}, whose forward function does what formulas cannot say "
            f"({error}): let its entry say named=True"
        ) from error


def _by_name(step: Instruction, operands: list[Any]) -> Math:
    """Return a function that is known by its name, with its parameters."""
    given = step.given
    targets = [name(x.name or "i") for x in given.values() if isinstance(x, Var) and not is_range(x)]
    along = [dims(given["axis"])] if given.get("axis") is not None else []
    if given.get("correction", 1) != 1:  # 1 is the default of PyTorch's functions
        along += [name("correction"), math(given["correction"])]
    return apply(step.operation.name, *operands, *targets, below=key_of(tuple(along)) if along else None)
