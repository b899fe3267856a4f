"""Passes: from a list of instructions to another that computes the same, and is easier to read or to run.

Each takes instructions in order and returns new ones; those that it was given stay as they are. All rewriting
is done by `rewritten`, with rules: those for readers are here, those that change no bit in `identities`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Sequence
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
Rules = Callable[[Instruction], Sequence[Rule]]
"""Returns the rules for an instruction, the first first."""


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


def rewritten(
    steps: Sequence[Instruction], rules: Rules, kept: Container[Var] = ()
) -> tuple[list[Instruction], dict[Var, Var]]:
    """Return the instructions after the first of the rules that changes each, and those for what it became;
    and a mapping from each variable that equals another to the one that replaces it. kept: the variables that
    stand for themselves, and are not looked into."""
    makers: dict[Var, Instruction] = {}
    uses = Counter(var for step in steps for var in step.reads())
    same: dict[Var, Var] = {}
    waiting = list(reversed(steps))

    def maker(x: Any) -> Instruction | None:
        return makers.get(x) if isinstance(x, Var) and x not in kept else None

    def alone(x: Any) -> Instruction | None:
        return maker(x) if uses[x] <= 1 else None

    while waiting:
        step = replaced(waiting.pop(), same)
        tried = (rule(step, maker, alone) for rule in rules(step))
        simple = next((simple for simple in tried if simple is not None), None)
        if isinstance(simple, Var) and step.output in kept:
            copied = step.operation is shape.clone
            simple = None if copied else [_as(step, shape.clone, simple, given=(False,))]
        elif isinstance(simple, Var):
            same[step.output] = simple
            uses[simple] += uses[step.output]
            simple = []
        if simple is None:
            makers[step.output] = step
            continue
        uses.update(var for part in simple for var in part.reads())
        gone = [step]  # what only this instruction read is read no more
        while gone:
            for var in gone.pop().reads():
                uses[var] -= 1
                if not uses[var] and (before := maker(var)):
                    gone.append(before)
        waiting += reversed(simple)
    return list(makers.values()), same


def readable(steps: Sequence[Instruction], kept: Container[Var], fixed: Container[Var]) -> list[Instruction]:
    """Return the instructions as a person would write them: without a transpose of a transpose or a double
    sign, with divisions, squares and means, and nothing twice.

    kept: the variables that stand for themselves, and are not looked into; fixed: those whose instructions
    are the reader's own, of which only views of views are shortened.
    """
    tables, once = (_READERS, _VIEWS), only_once(kept, fixed)

    def rules(step: Instruction) -> Sequence[Rule]:
        return *tables[step.output in fixed].get(step.operation, ()), once

    return rewritten(steps, rules, kept)[0]


def as_the_reader_wrote(program: Program, inner: Container[str]) -> Program:
    """Return a recorded program without what the record added: unnamed views that show the whole of their
    input as it is, the reciprocal in a number over a value, and of two reshapes in a row, where the second
    has a name, the first. inner: the names that may go with the first, since they are not the reader's."""
    kept = {var for var in program.variables() if var.name and var.name not in inner} | {*program.outputs}

    def rules(step: Instruction) -> Sequence[Rule]:
        whole = step.operation.view and not step.output.name and step.output not in kept
        return [*([_whole] if whole else ()), *_RECORDED.get(step.operation, ())]

    return Program(rewritten(program.instructions, rules, kept)[0], program.outputs).needed()


# -- the rules -----------------------------------------------------------------------------------------------


def _as(step: Instruction, operation: Operation, *inputs: Any, given: tuple[Any, ...] = ()) -> Instruction:
    """Return another instruction for the output of `step`. given: its parameters."""
    flows = (True,) * len(inputs)
    return replace(step, operation=operation, inputs=inputs, parameters=given, flows=flows)


def _before(
    step: Instruction, operation: Operation, *inputs: Any, given: tuple[Any, ...] = ()
) -> Instruction:
    """Return an instruction that is to stand before `step`, with a new variable for its output."""
    before = _as(step, operation, *inputs, given=given)
    return replace(before, output=Var(before.recomputed()))


def _number(x: Any) -> Any:
    """Return the number that a constant of no dimension, or a number, is; None for another variable."""
    return None if isinstance(x, Var) and x.shape else known_number(x)


def only_once(kept: Container[Var] = (), fixed: Container[Var] = ()) -> Rule:
    """Return a rule that leaves out what was computed before.

    kept: the variables that are computed in any case; fixed: those whose instructions are the reader's own.
    In the forward pass no named value stands for an expression that is equal to it, since its gradient is
    that of its own uses only; in the backward pass only values count.
    """
    known: dict[Any, Var] = {}

    def rule(step: Instruction, maker: Maker, alone: Maker) -> Simpler:
        operands = tuple(map(identity, step.inputs))
        if step.operation.commutative:
            operands = tuple(sorted(operands, key=repr))
        key = step.operation, operands, identity(step.parameters)
        first, forward, out = known.get(key), step.answers is None, step.output
        stays = out in kept or out in fixed or step.operation is shape.clone
        if first is not None and not stays and not (forward and first in kept):
            first.hint = first.hint or out.hint
            return first
        if forward or out not in kept:
            known.setdefault(key, out)
        return None

    return rule


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
    b, a = (_before(step, shape.permute, x, given=(swap,)) for x in reversed(product.inputs))
    return [b, a, _as(step, linalg.matmul, b.output, a.output)]


def _quotient(step: Instruction, maker: Maker, alone: Maker) -> Simpler:
    """Write a · (1 / b) as a / b."""
    for a, inverse in (step.inputs, step.inputs[::-1]):
        match maker(inverse):
            case Instruction(elementwise.reciprocal | elementwise.div, (*above, b)) if (
                not above or _number(above[0]) == 1
            ):
                return [_as(step, elementwise.div, a, b)]
    return None


def _squared(step: Instruction, maker: Maker, alone: Maker) -> Simpler:
    """Write x · x as x²."""
    a, b = step.inputs
    same = a is b and isinstance(a, Var) and not a.constant
    return [_as(step, elementwise.pow, a, 2)] if same else None


def _divided_twice(step: Instruction, maker: Maker, alone: Maker) -> Simpler:
    """Write a / b / b as a / b²."""
    x, below = step.inputs
    match maker(x):
        case Instruction(elementwise.div, (a, b)) if b is below and isinstance(b, Var) and not b.constant:
            square = _before(step, elementwise.pow, b, 2)
            return [square, _as(step, elementwise.div, a, square.output)]
    return None


def _numbers_together(step: Instruction, maker: Maker, alone: Maker) -> Simpler:
    """Write c · (a / (d · b)) as (c / d) · (a / b), where c and d are numbers."""
    for number, x in (step.inputs, step.inputs[::-1]):
        match maker(x):
            case Instruction(elementwise.div, (a, below)) if (c := _number(number)) is not None:
                product = maker(below)
                if product is None or product.operation is not elementwise.mul:
                    continue
                for d, b in (product.inputs, product.inputs[::-1]):
                    if _number(d):
                        part = _before(step, elementwise.div, a, b)
                        return [part, _as(step, elementwise.mul, c / _number(d), part.output)]
    return None


def _sign_out(step: Instruction, maker: Maker, alone: Maker) -> Simpler:
    """Write (-a) · b and (-a) / b as -(a · b) and -(a / b), and Σ -x as -Σ x."""
    for i, x in enumerate(step.inputs):
        match alone(x):
            case Instruction(elementwise.neg, (negated,)):
                inputs = (*step.inputs[:i], negated, *step.inputs[i + 1 :])
                inner = _before(step, step.operation, *inputs, given=step.parameters)
                return [inner, _as(step, elementwise.neg, inner.output)]
    return None


def _mean(step: Instruction, maker: Maker, alone: Maker) -> Simpler:
    """Write a sum over n, divided by n, as a mean."""
    x, n = step.inputs
    match alone(x):
        case Instruction(reduction.sum, (Var() as values,), (axis, _) as along) if (
            step.output.dtype == values.dtype and _number(n) == size(values, axis)
        ):
            return [_as(step, reduction.mean, values, given=along)]
    return None


def same_bits(step: Instruction, maker: Maker, alone: Maker) -> Simpler:
    """Write what the compiler writes, too, since no bit changes: a view of a view, a double sign."""
    return simpler(step, maker)


def _whole(step: Instruction, maker: Maker, alone: Maker) -> Simpler:
    """Leave out a view that shows the whole of its input as it is."""
    simple = simpler(step, lambda x: None)
    return simple if isinstance(simple, Var) else None


def _joined(step: Instruction, maker: Maker, alone: Maker) -> Simpler:
    """Write two reshapes in a row as one, if the first is only the second's and the second has a name."""
    simple = simpler(step, alone) if step.output.name or step.output.hint else None
    return simple if isinstance(simple, list) else None


def _number_over(step: Instruction, maker: Maker, alone: Maker) -> Simpler:
    """Write a number over a value, which is recorded as a reciprocal without a name, times the number, as a
    division."""
    before, number = maker(step.inputs[0]), step.inputs[1]
    if before is None or before.operation is not elementwise.reciprocal or before.output.name:
        return None
    if number == 1:
        return [replace(step, operation=before.operation, inputs=before.inputs, flows=before.flows)]
    if isinstance(number, Var):
        return None
    inputs, flows = (number, *before.inputs), (False, *before.flows)
    return [replace(step, operation=elementwise.div, inputs=inputs, flows=flows)]


_VIEWS: dict[Operation, tuple[Rule, ...]] = dict.fromkeys(
    (shape.reshape, shape.unsqueeze, shape.squeeze, shape.permute), (same_bits,)
)
_READERS: dict[Operation, tuple[Rule, ...]] = {
    **_VIEWS,
    shape.permute: (same_bits, _transposed_product),
    elementwise.neg: (same_bits,),
    elementwise.add: (same_bits,),
    elementwise.sub: (same_bits,),
    elementwise.mul: (same_bits, _quotient, _squared, _numbers_together, _sign_out),
    elementwise.div: (_mean, _sign_out, _divided_twice),
    reduction.sum: (_sign_out,),
}
_RECORDED: dict[Operation, tuple[Rule, ...]] = {
    **dict.fromkeys(RESHAPES, (_joined,)),
    elementwise.mul: (_number_over,),
}
