"""The forward pass as its gradients see it.

A gradient goes past a comparison, the index of the largest, a floor, a detached value: they are taken to stay
as they are however the inputs move. And where an operation has a kink (relu at 0, a tie of two in a maximum)
its rule takes one side, or shares. So a slope that is measured by small steps is that of the gradient only
where these decisions are held as they fell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from ..ops import TABLE, Operation
from ..ops.elementwise import flat
from .instructions import Instruction, Var, substitute
from .trace import XP, Tape


def hold(x: Any, /, number: int) -> Any:
    """out = x as it was before anything was moved. number: which of the held values it is."""
    return x


HOLD = Operation(hold, {})


def decided(
    steps: Sequence[Instruction], reached: set[Var], numbers: dict[Var, int] | None = None
) -> list[Instruction]:
    """Return the instructions with their decisions as comparisons and the like, which read held values only.

    reached: the values that a gradient reaches; those that are written out here are added. numbers: of the
    values that are held, by the value; new ones are added.
    """
    numbers = {} if numbers is None else numbers
    made: list[Instruction] = []
    held: dict[Var, Var] = {}

    def keep(x: Any) -> Any:
        """What is held of a value that a gradient reaches; anything else as it is."""
        if not isinstance(x, Var) or x not in reached:
            return x
        if x not in held:
            held[x] = Var(x.value)
            number = numbers.setdefault(x, len(numbers))
            made.append(Instruction(HOLD, (x,), (number,), held[x], (False,)))
        return held[x]

    def take(step: Instruction) -> Instruction:
        """The instruction, reading what is held where no gradient comes back."""
        flows = (False,) * len(step.inputs) if _is_flat(step.operation) else step.flows
        inputs = tuple(x if flow else keep(x) for x, flow in zip(step.inputs, flows, strict=True))
        return replace(step, inputs=inputs, parameters=substitute(step.parameters, keep), flows=flows)

    for step in map(take, steps):
        side = _SIDES.get(step.operation.name) if any(step.flows) else None
        made += map(take, _written_out(step, side, reached)) if side else [step]
    return made


def _is_flat(operation: Operation) -> bool:
    """Whether no gradient comes through, since its slope is 0 wherever there is one."""
    return bool(operation.sources) and all(rule is flat for rule in operation.sources.values())


def _written_out(step: Instruction, side: Callable[..., Any], reached: set[Var]) -> list[Instruction]:
    """What an operation with a kink does on the side that its rule takes."""
    tape = Tape()
    result = side(XP, *map(tape.operand, step.inputs), *substitute(step.parameters, tape.operand))
    for each in tape.instructions:
        sources = each.operation.sources
        each.flows = tuple(
            x in reached and name in sources
            for x, name in zip(each.inputs, each.operation.inputs, strict=True)
        )
        if any(each.flows):
            reached.add(each.output)
        if each.output is result.var:
            each.output = step.output
    return tape.instructions


# -- the sides -----------------------------------------------------------------------------------------------


def _relu(xp: Any, x: Any) -> Any:
    return xp.where(x <= 0, 0.0, x)


def _abs(xp: Any, x: Any) -> Any:
    return x * xp.sign(x)


def _clamp(xp: Any, x: Any, low: Any, high: Any) -> Any:
    out = x if low is None else xp.where(x < low, low, x)
    return out if high is None else xp.where(x > high, high, out)


def _maximum(xp: Any, a: Any, b: Any) -> Any:
    return xp.where(a < b, b, xp.where(a == b, (a + b) / 2, a))


def _minimum(xp: Any, a: Any, b: Any) -> Any:
    return xp.where(a > b, b, xp.where(a == b, (a + b) / 2, a))


def _remainder(xp: Any, a: Any, b: Any) -> Any:
    return a - b * xp.floor(a / b)


def _of_the_winners(name: str) -> Callable[..., Any]:
    """The mean of those that are equal to the largest, or to the smallest."""

    def mean(xp: Any, x: Any, axis: Any, keepdims: bool) -> Any:
        wins = x == getattr(xp, name)(x, axis, True)
        count = xp.sum(xp.where(wins, xp.ones_like(x), 0.0), axis, keepdims)
        return xp.sum(xp.where(wins, x, 0.0), axis, keepdims) / count

    return mean


def _unless_flat(name: str) -> Callable[..., Any]:
    """A length or a spread: where it is 0 it stays so."""

    def away(xp: Any, x: Any, *parameters: Any) -> Any:
        out = TABLE[name].on(xp, x, *parameters)
        return xp.where(out == 0, 0.0, out)

    return away


_SIDES: dict[str, Callable[..., Any]] = {
    "relu": _relu,
    "abs": _abs,
    "clamp": _clamp,
    "maximum": _maximum,
    "minimum": _minimum,
    "remainder": _remainder,
    "amax": _of_the_winners("max"),
    "amin": _of_the_winners("min"),
    "norm": _unless_flat("norm"),
    "std": _unless_flat("std"),
}
"""How an operation with a kink is written as the side that its rule takes."""
