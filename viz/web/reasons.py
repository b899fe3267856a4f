"""Why a step sends back what it does: a sentence or two for each input, from what the table knows."""

from __future__ import annotations

import math

from tinygrad_ninja.ops import Category, comparison, elementwise, reduction
from tinygrad_ninja.ops.shape import expand, reshape
from tinygrad_ninja.program.derive import formula
from tinygrad_ninja.program.derive.wording import broadcast_axes
from tinygrad_ninja.program.instructions import Instruction, Var

SPREAD = frozenset((reduction.sum, reshape, expand))
"""What adds a gradient up, or repeats it, and multiplies it by nothing."""

OVERWRITTEN = "those that were overwritten get 0"
UNREAD = "the numbers that were not read get 0"


def reason(step: Instruction, place: int) -> str:
    """Return why the gradient of input number `place` is what the rule says, in one or two sentences.

    The names of values in it are those of the instruction.
    """
    x, y, operation = step.inputs[place], step.output, step.operation
    assert isinstance(x, Var)
    category = operation.category
    if category in (Category.ELEMENTWISE, Category.MASK):
        return " ".join(filter(None, (_of_each(step, place), _broadcast(x, y))))
    if category is Category.MOVEMENT:
        return _moved(x, y, operation is expand)
    if category is Category.REDUCTION:
        return _folded(step, x)
    if category is Category.SCAN:
        return (
            f"Each number of {x.name} goes into the {operation.name} at its place and at all behind it: it "
            f"collects the gradients of them all."
        )
    if category is Category.GATHER:
        return (
            f"Each number of {y.name} was read at a place of {x.name}, and its gradient goes back there. A "
            f"place "
            f"that was read several times collects a gradient for each; {UNREAD}."
        )
    if category is Category.SCATTER:
        return (
            f"The numbers of {x.name} stand in {y.name}: each takes the gradient of its place; {OVERWRITTEN}."
        )
    if category is Category.JOIN:
        return f"{x.name} is a part of {y.name}: it takes that part of d{y.name}."
    if category is Category.PRODUCT:
        return _multiplied(step, place)
    return (
        f"{operation.name} is composed of simpler operations, so that a number of {y.name} depends on many "
        f"of "
        f"{x.name}: the chain rule through all of them, added up and simplified, is this formula."
    )


def _of_each(step: Instruction, place: int) -> str:
    """Return the reason for an operation on each element by itself."""
    x, y = step.inputs[place], step.output
    assert isinstance(x, Var)
    if step.operation in (comparison.where, comparison.maximum, comparison.minimum):
        return (
            f"Where {x.name} was taken, its gradient is that of {y.name}; elsewhere it has no part, and "
            f"gets 0."
        )
    if step.operation.category is Category.MASK:
        return f"What was kept of {x.name} takes the gradient of its place; what became 0 gets 0."
    share, instructions = formula.rule(step, place)
    upstream = f"d{y.name}"
    if upstream not in {share.name, *(var.name for part in instructions for var in part.reads())}:
        return f"{y.name} stays as it is when {x.name} changes a little: the slope is 0."
    used = {instruction.operation for instruction in instructions} - SPREAD
    if not used:
        return f"{y.name} changes by as much as {x.name}: with the slope 1, d{y.name} passes on as it is."
    if used == {elementwise.neg}:
        return (
            f"{y.name} changes by as much as {x.name}, the other way: with the slope −1, d{y.name} passes on "
            f"with the other sign."
        )
    if not y.shape:
        return (
            f"A small change of {x.name} changes {y.name} by the slope times as much: d{y.name} is "
            f"multiplied by the slope."
        )
    return (
        f"Each number of {y.name} depends on {x.name} at its place only: d{y.name} is multiplied there by "
        f"the slope."
    )


def _broadcast(x: Var, y: Var) -> str:
    """Return why there is a sum where the input was broadcast; "" where it was not."""
    axes = broadcast_axes(x, y) if x.value.size else []
    if not axes:
        return ""
    along = ", ".join(map(str, axes))
    times = math.prod(y.shape[i] for i in axes)
    return (
        f"{x.name} was broadcast along dimension{'s' * (len(axes) > 1)} {along}: each of its numbers was "
        f"used "
        f"{times:,} times, and collects the gradient of every use, which is a sum."
    )


def _moved(x: Var, y: Var, repeated: bool) -> str:
    """Return the reason for an operation that puts numbers elsewhere."""
    if repeated:
        return _broadcast(x, y) or f"{y.name} is {x.name} as it is, and so is the gradient."
    if y.value.size == x.value.size:
        return (
            f"{y.name} has the numbers of {x.name}, arranged anew: each gradient goes back to where its "
            f"number was."
        )
    return (
        f"{y.name} has some of the numbers of {x.name}: each gradient goes back to where its number was, and "
        f"{UNREAD}."
    )


def _folded(step: Instruction, x: Var) -> str:
    """Return the reason for an operation that makes one number of many."""
    y, operation = step.output, step.operation
    several = max(1, x.value.size // max(1, y.value.size))
    if operation is reduction.sum:
        return (
            f"Each number of {x.name} goes into a sum with the slope 1: it gets the gradient of that sum "
            f"as it is, "
            f"so d{y.name} is repeated."
        )
    if operation is reduction.mean:
        return (
            f"Each number of {x.name} goes into a mean of {several:,} with the slope 1/{several:,}: it "
            f"gets that "
            f"part of d{y.name}."
        )
    if operation in (reduction.amax, reduction.amin):
        return (
            f"Of every {several:,} numbers of {x.name} the "
            f"{'largest' if operation is reduction.amax else 'smallest'} "
            f"decides: it gets the gradient, equals share it, and the others get 0."
        )
    return (
        f"Each number of {x.name} goes into a {operation.name} of {several:,}: it gets the gradient of "
        f"that number "
        f"of {y.name}, times the slope there."
    )


def extreme_reason(step: Instruction, largest: bool) -> str:
    """Return the reason for the largest, or the smallest, along a dimension, which is read by its place."""
    (x,) = step.inputs
    assert isinstance(x, Var)
    several = x.value.size // max(1, step.output.value.size)
    return (
        f"Of every {several:,} numbers of {x.name} the first {'largest' if largest else 'smallest'} "
        f"decides: it gets "
        f"the gradient, and the others get 0."
    )


def _multiplied(step: Instruction, place: int) -> str:
    """Return the reason for a factor of a matrix product."""
    x, other = step.inputs[place], step.inputs[1 - place]
    assert isinstance(x, Var)
    assert isinstance(other, Var)
    partner = f"a {'row' if place == 0 else 'column'} of {other.name}" if len(other.shape) > 1 else other.name
    return (
        f"Each number of {x.name} is multiplied by the numbers of {partner}, and each product goes into a "
        f"sum of "
        f"{step.output.name}: it collects these numbers, each times the gradient of its sum."
    )
