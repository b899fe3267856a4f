"""Local derivatives: what a change of an operation's input does to its output, element by element."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial, reduce
from itertools import chain

import numpy as np

from ...ops import Category, indexing, linalg, reduction, shape
from ..instructions import Instruction, Var, behind, called
from .backward_lines import RuleTape, apply_rule
from .formula import Formulas, is_of_each
from .indexed import Index, Indexed, NoIndexFormError, aligned, times
from .mathematics import EQUALS, Math, bracket, displayed, frac, name, op, row
from .new_names import unused
from .proofs import proof
from .wording import series

LETTERS = "uvwabcst"
"""The names on a page for what is computed inside a line."""


def local_derivatives(
    path: Sequence[Instruction], place: int, formulas: Formulas, taken: set[str]
) -> Iterator[list[str]]:
    """Yield what is to be said of each of the operations that lead from a value to another: what it computes,
    and its local derivative, or how that is proved. place: as which input the first reads the value; taken:
    the names that no part of them may get."""
    letters = chain((x for x in LETTERS if x not in taken), iter(partial(unused, "part", taken), None))
    formulas = formulas.naming({step.output: formulas.called(step.output) or next(letters) for step in path})
    for number, step in enumerate(path):
        place = step.inputs.index(path[number - 1].output) if number else place
        yield _of_one(step, place, formulas, letters, alone=len(path) == 1)


def _of_one(
    step: Instruction, place: int, formulas: Formulas, letters: Iterator[str], alone: bool
) -> list[str]:
    """Return what is to be said of one operation. letters: names for what is in its formula and has none;
    alone: whether it is a whole line, whose formula is known."""
    steps = proof(step) if place == 0 else []
    if steps:
        return [
            f"**The local derivative** of `{step.operation.name}`, step by step.",
            *(part for paragraph in steps for part in ("", paragraph)),
        ]
    x, where = step.inputs[place], []
    if _reads_elsewhere(step, place, formulas.makers):  # only what comes through this place is asked for
        here = Var(x.value, next(letters))
        step = replace(step, inputs=(*step.inputs[:place], here, *step.inputs[place + 1 :]))
        where.append(f"${name(here.name).latex} = {name(formulas.called(x)).latex}$ at this place")
        formulas = formulas.naming({here: here.name})
    if step.operation.category in (Category.MOVEMENT, Category.JOIN) or step.operation is indexing.gather:
        computed = "" if alone and not where else f", {_computed(step, formulas)},"
        return [
            f"`{called(step, formulas.makers)}`{computed} moves numbers and changes none: **the local "
            f"derivative** is 1 between a number and the same number in its new place, and 0 elsewhere."
        ]
    derivative = _derivative(step, place, formulas)
    if derivative is None:  # what it reads may need a name for it
        for other in step.reads():
            if other is not step.inputs[place] and other in formulas.makers and not formulas.called(other):
                formulas = formulas.naming({other: next(letters)})
                where.append(_computed(formulas.makers[other], formulas))
        derivative = _derivative(step, place, formulas)
    computed = "" if alone and not where else f", {_computed(step, formulas)}"
    what = f"`{step.operation.name}`{computed}" + (f", where {series(where)}" if where else "")
    if derivative is None:
        rule = " ".join((step.operation.__doc__ or "").split())
        quoted = re.sub(r"[*<\[]", r"\\\g<0>", rule)  # as text: `out[i][j]` would be a link
        return [f"{what}: **the local derivative** is in its rule, {quoted}"]
    return [f"{what}: **the local derivative** is", "", displayed(derivative)]


def _computed(step: Instruction, formulas: Formulas) -> str:
    """Return what an instruction computes, in one line."""
    out = step.output
    computing = replace(formulas, makers={**formulas.makers, out: step})
    return f"${computing.equation(formulas.called(out), [out]).latex}$"


def _reads_elsewhere(step: Instruction, place: int, makers: Mapping[Var, Instruction]) -> bool:
    """Return whether the formula of an instruction has one of its inputs in another place, too."""
    others = [x for i, x in enumerate(step.inputs) if i != place and isinstance(x, Var)]
    inner = behind([x for x in others if not x.name], makers, lambda x: x.name)
    return step.inputs[place] in [*others, *(x for part in inner for x in part.reads())]


# -- as formulas ---------------------------------------------------------------------------------------------


def _derivative(step: Instruction, place: int, formulas: Formulas) -> Math | None:
    """Return the derivative of an element of an instruction's output by the element of its input number
    `place` from which it is computed, in letters; None where it is not a formula of one line."""
    x, out = step.inputs[place], step.output
    indexed = Indexed(formulas)
    try:
        index = indexed.index(out)
        if is_of_each(step.operation):
            by, value = aligned(index, x), _of_each(step, place, formulas, index)
        else:
            by, value = _between_places(step, place, formulas, index)
    except NoIndexFormError:
        return None
    above, below = indexed.named(formulas.called(out), index), indexed.named(formulas.called(x), by)
    change = op(r"\partial", "∂")
    return row(frac(row(change, above), row(change, below)), EQUALS, value)


def index_of_input(step: Instruction, place: int, formulas: Formulas) -> Index:
    """Return the indices of the element of an input in the formula of its local derivative. Raise
    NoIndexFormError where there is none."""
    index = Indexed(formulas).index(step.output)
    if is_of_each(step.operation):
        return aligned(index, step.inputs[place])
    return _between_places(step, place, formulas, index)[0]


def _of_each(step: Instruction, place: int, formulas: Formulas, index: Index) -> Math:
    """Return the derivative of a function of each element: its rule, applied to an upstream gradient of 1."""
    x, out = step.inputs[place], step.output
    repeated = Var(np.broadcast_to(x.value, out.shape))  # so that the rule adds up nothing
    inputs = (*step.inputs[:place], repeated, *step.inputs[place + 1 :])
    tape = RuleTape()
    ones = tape.constant(np.ones_like(out.value))
    slope = tape.variable(apply_rule(tape, replace(step, inputs=inputs), place, ones))
    parts = {part.output: part for part in tape.instructions}
    parts[repeated] = Instruction(shape.expand, (x,), (out.shape,), repeated)
    slope = x if slope is repeated else slope
    named = formulas.naming({var: formulas.called(var) for var in (x, out)})
    return Indexed(replace(named, makers={**named.makers, **parts})).element(slope, index, slope in parts)


def _between_places(step: Instruction, place: int, formulas: Formulas, index: Index) -> tuple[Index, Math]:
    """Return the index of the input, and the derivative, for an operation that reads other places and is
    linear. What is an index itself, such as a target, gets a letter, and a bracket says which."""
    x, out = step.inputs[place], step.output
    if step.operation not in (linalg.matmul, reduction.sum, reduction.mean, indexing.index):
        raise NoIndexFormError(step.operation.name)
    factor = Indexed(replace(formulas, makers={**formulas.makers, out: step}), without=x)
    *_, value = factor.equation("", [out], index).parts
    by = tuple(map(factor.as_letter, factor.left_out))
    brackets = [bracket(i, new) for i, new in zip(factor.left_out, by, strict=True) if i is not new]
    return by, reduce(times, brackets, value)
