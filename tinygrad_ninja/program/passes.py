"""Passes: from a list of instructions to another that computes the same, and is easier to read.

Each takes instructions in order and returns new ones; those that it was given stay as they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Container, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..ops import Operation, elementwise, linalg, reduction, shape
from ..ops.reduction import size
from .entries import RESHAPES
from .hints import hinting
from .identities import Maker, Simpler, simpler
from .instructions import Instruction, Program, Var, identity, known_number, substitute
from .trace import lower

Rule = Callable[[Instruction, Maker, Maker], Simpler]
"""A rule gets an instruction, and two functions that return what makes a variable: the second one only where
nothing else reads that, so that it is not computed twice."""


def replaced(step: Instruction, same: dict[Var, Any]) -> Instruction:
    """Return the instruction with other variables in place of those that it reads."""

    def seen(x: Any) -> Any:
        return same.get(x, x) if isinstance(x, Var) else x

    inputs, parameters = tuple(map(seen, step.inputs)), substitute(step.parameters, seen)
    return replace(step, inputs=inputs, parameters=parameters)


def lowered(steps: Sequence[Instruction], known: Callable[[Instruction], bool]) -> list[Instruction]:
    """Return the instructions with those that are not known as simpler ones, by their forward functions."""
    result: list[Instruction] = []
    for step in steps:
        with hinting():
            parts = [step] if known(step) else lower(step)
        if parts == [step]:
            result.append(step)
            continue
        flows = dict(zip(step.inputs, step.flows, strict=False))
        for part in parts:
            part.flows = tuple(flows.get(x, True) for x in part.inputs)
        result += lowered(parts, known)
    return result


def without_whole_views(program: Program) -> Program:
    """Return the program without unnamed views that show the whole of their input as it is."""
    shown: dict[Var, Any] = {}
    kept = []
    for step in (replaced(step, shown) for step in program.instructions):
        needless = step.operation.view and not step.output.name and step.output not in program.outputs
        whole = simpler(step, lambda x: None) if needless else None
        if isinstance(whole, Var):
            shown[step.output] = whole
        else:
            kept.append(step)
    return Program(kept, program.outputs)


def with_divisions(program: Program) -> Program:
    """Return the program with a number over a value written as a division, where it was recorded as the
    reciprocal of the value times the number, unless the reciprocal has a name of its own."""
    makers = {step.output: step for step in program.instructions}

    def divided(step: Instruction) -> Instruction:
        before = makers.get(step.inputs[0]) if step.operation is elementwise.mul else None
        number = step.inputs[-1]
        if before is None or before.operation is not elementwise.reciprocal or before.output.name:
            return step
        if number == 1:
            return replace(step, operation=before.operation, inputs=before.inputs, flows=before.flows)
        if isinstance(number, Var):
            return step
        return replace(step, operation=elementwise.div, inputs=(number, *before.inputs), flows=(False, True))

    return Program(list(map(divided, program.instructions)), program.outputs).needed()


def with_joined_reshapes(program: Program, inner: Container[str]) -> Program:
    """Return the program with one reshape in place of two in a row, if the first is only the second's and the
    second has a name. inner: the names that may go with the first, since they are not the reader's."""
    uses = Counter(var for step in program.instructions for var in step.reads())
    makers: dict[Var, Instruction] = {}

    def passing(x: Any) -> Instruction | None:
        return makers.get(x) if uses[x] == 1 and (not x.name or x.name in inner) else None

    for step in program.instructions:
        called = step.operation in RESHAPES and (step.output.name or step.output.hint)
        simple = simpler(step, passing) if called else None
        makers[step.output] = simple[0] if isinstance(simple, list) else step
    return Program(list(makers.values()), program.outputs).needed()


def without_repetitions(
    steps: Sequence[Instruction], kept: Container[Var], fixed: Container[Var]
) -> list[Instruction]:
    """Return the instructions without those that compute again what was computed before.

    kept: the variables that are computed in any case; fixed: those whose instructions are the reader's own.
    In the forward pass no named value stands for an expression that is equal to it, since its gradient is
    that of its own uses only; in the backward pass only values count.
    """
    same: dict[Var, Any] = {}
    known: dict[Any, Var] = {}
    result = []
    for step in (replaced(step, same) for step in steps):
        key = (step.operation, identity(step.inputs), identity(step.parameters))
        first = known.get(key)
        forward = step.answers is None
        alone = step.output in kept or step.output in fixed or step.operation is shape.clone
        if first is not None and not alone and not (forward and first in kept):
            same[step.output] = first
            first.hint = first.hint or step.output.hint
            continue
        if forward or step.output not in kept:
            known.setdefault(key, step.output)
        result.append(step)
    return result


class _Rewriting:
    """What is known while instructions are rewritten: `makers`, what computes each variable, and how often
    each is read. kept, fixed: see `readable`."""

    def __init__(self, steps: Sequence[Instruction], kept: Collection[Var], fixed: Container[Var]) -> None:
        self.makers: dict[Var, Instruction] = {}
        self._uses = Counter(var for step in steps for var in step.reads())
        self._kept, self._fixed = kept, fixed

    def _maker(self, x: Any) -> Instruction | None:
        return self.makers.get(x) if isinstance(x, Var) and x not in self._kept else None

    def _alone(self, x: Any) -> Instruction | None:
        return self._maker(x) if self._uses[x] <= 1 else None

    def simplified(self, step: Instruction) -> Simpler:
        """Return what the first of the rules makes of an instruction that changes it."""
        rules = (_VIEWS if step.output in self._fixed else _READERS).get(step.operation, ())
        found = (simple for rule in rules if (simple := rule(step, self._maker, self._alone)) is not None)
        simple = next(found, None)
        if isinstance(simple, Var) and step.output in self._kept:
            copied = replace(step, operation=shape.clone, inputs=(simple,), parameters=(False,))
            return None if step.operation is shape.clone else [copied]
        return simple

    def exchange(self, step: Instruction, simple: list[Instruction]) -> None:
        """Count what the simpler instructions read, and no more what only the instruction did."""
        self._uses.update(var for part in simple for var in part.reads())
        gone = [step]
        while gone:
            for var in gone.pop().reads():
                self._uses[var] -= 1
                if not self._uses[var] and (before := self._maker(var)):
                    gone.append(before)


def readable(steps: Sequence[Instruction], kept: Collection[Var], fixed: Container[Var]) -> list[Instruction]:
    """Return the instructions as a person would write them: without a transpose of a transpose or a double
    sign, with divisions, squares and means.

    kept: the variables that stand for themselves, and are not looked into; fixed: those whose instructions
    are the reader's own, of which only views of views are shortened.
    """
    rewriting = _Rewriting(steps, kept, fixed)
    same: dict[Var, Any] = {}
    waiting = list(reversed(steps))
    while waiting:
        step = replaced(waiting.pop(), same)
        simple = rewriting.simplified(step)
        if isinstance(simple, Var):
            same[step.output] = simple
        elif simple is not None:
            rewriting.exchange(step, simple)
            waiting += reversed(simple)
        else:
            rewriting.makers[step.output] = step
    return list(rewriting.makers.values())


# -- the rules -----------------------------------------------------------------------------------------------


def _before(
    step: Instruction, operation: Operation, inputs: tuple[Any, ...], *parameters: Any
) -> Instruction:
    """Return an instruction that is to stand before `step`, with a new variable for its output."""
    flows = (True,) * len(inputs)
    before = replace(step, operation=operation, inputs=inputs, parameters=parameters, flows=flows)
    return replace(before, output=Var(before.recomputed()))


def _number(x: Any) -> Any:
    """Return the number that a constant of no dimension, or a number, is; None for another variable."""
    return None if isinstance(x, Var) and x.shape else known_number(x)


def _transposed_product(step: Instruction, maker: Maker, alone: Maker) -> Simpler:
    """Write (aᵀ @ b)ᵀ as bᵀ @ a."""
    product, (axes,) = alone(step.inputs[0]), step.parameters
    last = len(axes) - 1
    if product is None or product.operation is not linalg.matmul or last < 1:
        return None
    swap = (*range(last - 1), last, last - 1)
    sides = [maker(x) for x in product.inputs]
    turned = any(side is not None and side.operation is shape.permute for side in sides)
    if tuple(axes) != swap or not turned or any(np.ndim(x.value) != last + 1 for x in product.reads()):
        return None
    b, a = (_before(step, shape.permute, (x,), swap) for x in reversed(product.inputs))
    return [b, a, replace(step, operation=linalg.matmul, inputs=(b.output, a.output), parameters=())]


def _quotient(step: Instruction, maker: Maker, alone: Maker) -> Simpler:
    """Write a · (1 / b) as a / b."""
    for a, inverse in (step.inputs, step.inputs[::-1]):
        below = maker(inverse)
        if below is None or below.operation not in (elementwise.reciprocal, elementwise.div):
            continue
        *over, b = below.inputs
        if not over or _number(over[0]) == 1:
            return [replace(step, operation=elementwise.div, inputs=(a, b))]
    return None


def _squared(step: Instruction, maker: Maker, alone: Maker) -> Simpler:
    """Write x · x as x²."""
    a, b = step.inputs
    same = a is b and isinstance(a, Var) and not a.constant
    return [replace(step, operation=elementwise.pow, inputs=(a, 2))] if same else None


def _divided_twice(step: Instruction, maker: Maker, alone: Maker) -> Simpler:
    """Write a / b / b as a / b²."""
    x, below = step.inputs
    first = maker(x)
    if first is None or first.operation is not elementwise.div or first.inputs[1] is not below:
        return None
    if not isinstance(below, Var) or below.constant:
        return None
    square = _before(step, elementwise.pow, (below, 2))
    return [square, replace(step, inputs=(first.inputs[0], square.output))]


def _numbers_together(step: Instruction, maker: Maker, alone: Maker) -> Simpler:
    """Write c · (a / (d · b)) as (c / d) · (a / b), where c and d are numbers."""
    for number, x in (step.inputs, step.inputs[::-1]):
        quotient, c = maker(x), _number(number)
        if c is None or quotient is None or quotient.operation is not elementwise.div:
            continue
        below = maker(quotient.inputs[1])
        if below is None or below.operation is not elementwise.mul:
            continue
        for number_below, b in (below.inputs, below.inputs[::-1]):
            d = _number(number_below)
            if d:
                part = _before(step, elementwise.div, (quotient.inputs[0], b))
                return [part, replace(step, inputs=(c / d, part.output))]
    return None


def _sign_out(step: Instruction, maker: Maker, alone: Maker) -> Simpler:
    """Write (-a) · b and (-a) / b as -(a · b) and -(a / b), and Σ -x as -Σ x."""
    for i, x in enumerate(step.inputs):
        minus = alone(x)
        if minus is not None and minus.operation is elementwise.neg:
            inputs = (*step.inputs[:i], minus.inputs[0], *step.inputs[i + 1 :])
            inner = _before(step, step.operation, inputs, *step.parameters)
            return [inner, replace(step, operation=elementwise.neg, inputs=(inner.output,), parameters=())]
    return None


def _mean(step: Instruction, maker: Maker, alone: Maker) -> Simpler:
    """Write a sum over n, divided by n, as a mean."""
    x, n = step.inputs
    total, number = alone(x), _number(n)
    if total is None or total.operation is not reduction.sum or number is None:
        return None
    (values,), (axis, keepdims) = total.inputs, total.parameters
    if not isinstance(values, Var) or step.output.dtype != values.dtype or number != size(values, axis):
        return None
    return [replace(step, operation=reduction.mean, inputs=(values,), parameters=(axis, keepdims))]


def _same_bits(step: Instruction, maker: Maker, alone: Maker) -> Simpler:
    """Write what the compiler writes, too, since no bit changes: a view of a view, a double sign."""
    return simpler(step, maker)


_VIEWS: dict[Operation, tuple[Rule, ...]] = dict.fromkeys(
    (shape.reshape, shape.unsqueeze, shape.squeeze, shape.permute), (_same_bits,)
)
_READERS: dict[Operation, tuple[Rule, ...]] = {
    **_VIEWS,
    shape.permute: (_same_bits, _transposed_product),
    elementwise.neg: (_same_bits,),
    elementwise.add: (_same_bits,),
    elementwise.sub: (_same_bits,),
    elementwise.mul: (_same_bits, _quotient, _squared, _numbers_together, _sign_out),
    elementwise.div: (_mean, _sign_out, _divided_twice),
    reduction.sum: (_sign_out,),
}
