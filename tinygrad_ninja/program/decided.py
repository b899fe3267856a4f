"""The forward pass as its gradients see it.

No gradient goes through a comparison, the index of the largest, a floor, a detached value: they are taken to
stay as they are however the inputs move. And where an operation has a kink (relu at 0, a tie of two in a
maximum) its rule takes one side, or shares. So a slope that is measured by small steps equals the gradient
only where these decisions are held fixed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..ops import Operation
from ..ops.rounding import flat
from .instructions import Instruction, Var, substitute
from .trace import XP, Tape


def hold(x: Any, /, number: int) -> Any:
    """out = x as it was before anything was moved. number: which of the held values it is."""
    return x


HOLD = Operation(hold, {})


def decided(
    steps: Sequence[Instruction], reached: set[Var], numbers: dict[Var, int] | None = None
) -> list[Instruction]:
    """Return the instructions with their decisions written as comparisons and the like, which read held
    values only.

    reached: the values that a gradient reaches; those that are written out here are added. numbers: the
    numbers of the values that are held; new ones are added.
    """
    numbers = {} if numbers is None else numbers
    instructions: list[Instruction] = []
    held: dict[Var, Var] = {}

    def keep(x: Any) -> Any:
        """Return the held copy of a value that a gradient reaches; anything else unchanged."""
        if not isinstance(x, Var) or x not in reached:
            return x
        if x not in held:
            held[x] = Var(x.value)
            number = numbers.setdefault(x, len(numbers))
            instructions.append(Instruction(HOLD, (x,), (number,), held[x], (False,)))
        return held[x]

    def take(step: Instruction) -> Instruction:
        """Return the instruction so that it reads held values where no gradient comes back, as none does
        through what is flat wherever it has a slope."""
        sources = step.operation.sources
        no_slope = bool(sources) and all(rule is flat for rule in sources.values())
        flows = (False,) * len(step.inputs) if no_slope else step.flows
        inputs = tuple(x if flow else keep(x) for x, flow in zip(step.inputs, flows, strict=True))
        return replace(step, inputs=inputs, parameters=substitute(step.parameters, keep), flows=flows)

    for step in map(take, steps):
        kinked = step.operation.side is not None and any(step.flows)
        instructions += map(take, _written_out(step, reached)) if kinked else [step]
    return instructions


def _written_out(step: Instruction, reached: set[Var]) -> list[Instruction]:
    """Return the instructions for what an operation with a kink computes on the side that its rule takes."""
    assert step.operation.side is not None
    tape = Tape()
    result = step.operation.side(
        XP, *map(tape.operand, step.inputs), *substitute(step.parameters, tape.operand)
    )
    for part in tape.instructions:
        sources = part.operation.sources
        part.flows = tuple(
            x in reached and name in sources
            for x, name in zip(part.inputs, part.operation.inputs, strict=True)
        )
        if any(part.flows):
            reached.add(part.output)
        if part.output is result.var:
            part.output = step.output
    return tape.instructions
