"""The formulas of the operations and of their rules, with placeholders that the page replaces by names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from tinygrad_ninja.ops import reduction
from tinygrad_ninja.program.derive import formula
from tinygrad_ninja.program.instructions import Instruction, Var, needed
from tinygrad_ninja.program.trace import lower

from ..graph import Step, Value
from ..step_code import extreme, instruction_of
from .reasons import extreme_reason, reason

PLACEHOLDER = 0xE000
"""The first of Unicode's private-use letters: of the output, then of each input, then of each array that the
operation reads among its parameters."""

LETTERS = "uvwst"
"""The names of the parts that occur more than once in a formula."""

LONG = 3
"""Such a part is written by itself if it has at least this many operations."""


class Formulas:
    """The formulas of a page, each once for all steps that differ in their numbers only.

    `content[i]` holds `forward` and for each input `rules`, None where no gradient flows, as MathML: an
    element for the formula, and one for each long part that occurs twice in it; `letters`, the operation's
    own names for unnamed values; and for each input `reasons`, why its rule is as it is.
    """

    def __init__(self) -> None:
        self.content: list[dict[str, Any]] = []
        self._known: dict[str, int] = {}

    def of(self, step: Step) -> int:
        """Return the number of the step's formulas."""
        inputs = [
            (value.shape, _flows(value)) if isinstance(value, Value) else value for value in step.inputs
        ]
        parameters = () if step.reads else tuple(step.parameters.values())
        read = [value.shape for value in step.reads]
        key = repr((step.operation.name, extreme(step), step.output.shape, inputs, parameters, read))
        if key not in self._known:
            self._known[key] = len(self.content)
            self.content.append(_formulas(step))
        return self._known[key]


def _formulas(step: Step) -> dict[str, Any]:
    letters = ["out", *step.operation.inputs]
    placeholders = [chr(PLACEHOLDER + i) for i in range(len(letters) + len(step.reads))]
    shown = instruction_of(step, placeholders)
    flowing = [_flows(value) for value in step.inputs]
    forward, reasons = lower(shown), [reason(shown, i) if flows else "" for i, flows in enumerate(flowing)]
    if entry := extreme(step):
        axis, places = shown.parameters
        places.name = ""
        search = reduction.argmax if entry is reduction.amax else reduction.argmin
        forward = [Instruction(search, shown.inputs, (axis, True), places, (False,)), *forward]
        reasons = [extreme_reason(shown, entry is reduction.amax)]
    return {
        "letters": [*letters, *("index" for _ in step.reads)],
        "forward": _written(shown.output.name, shown.output, forward),
        "rules": [_rule(shown, i) if flows else None for i, flows in enumerate(flowing)],
        "reasons": reasons,
    }


def _rule(step: Instruction, i: int) -> str:
    x = step.inputs[i]
    assert isinstance(x, Var)
    return _written(f"d{x.name}", *formula.rule(step, i))


def _written(name: str, var: Var, instructions: Sequence[Instruction]) -> str:
    """Return the formula of the variable, followed by those of the long parts that occur twice in it."""
    makers = {instruction.output: instruction for instruction in instructions}
    instructions = needed(list(instructions), [var])
    uses = Counter(x for instruction in instructions for x in instruction.reads())
    letters = iter(LETTERS)
    parts: list[Var] = []
    sizes: Counter[Var] = Counter()  # in operations; a part that has a letter counts as 0
    for instruction in instructions:
        size = 1 + sum(sizes[x] for x in instruction.reads())
        if uses[instruction.output] > 1 and size >= LONG and (letter := next(letters, "")):
            instruction.output.name = letter
            parts.append(instruction.output)
        else:
            sizes[instruction.output] = size
    lines = [(name, var), *((part.name, part) for part in parts)]
    writing = formula.Formulas(makers, shapes=True)
    return "".join(writing.equation(name, [part]).mathml for name, part in lines)


def _flows(value: Value | float) -> bool:
    return isinstance(value, Value) and value.kind != "constant"
