"""The formulas of the operations and of their rules, with placeholders that the page replaces by names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from tinygrad_ninja.arrays.dispatch import move
from tinygrad_ninja.program.derive import formula
from tinygrad_ninja.program.derive.record import is_range
from tinygrad_ninja.program.instructions import Instruction, Var, flatten, substitute
from tinygrad_ninja.program.trace import lower

from ..graph import Step, Value

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
    own names for unnamed values; and for each input `summed`, the dimensions of the output along which it was
    repeated, so that its gradient is summed over them.
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
        key = repr((step.operation.name, step.output.shape, inputs, parameters, read))
        if key not in self._known:
            self._known[key] = len(self.content)
            self.content.append(_formulas(step))
        return self._known[key]


def _formulas(step: Step) -> dict[str, Any]:
    assert step.node.values is not None
    letters = ["out", *step.operation.inputs]
    placeholders = [chr(PLACEHOLDER + i) for i in range(len(letters) + len(step.reads))]
    # A plain number has no name, and is written as it is.
    names = [placeholders[0]] + [
        name if isinstance(value, Value) else ""
        for name, value in zip(placeholders[1:], step.inputs, strict=False)
    ]
    arrays = substitute(step.node.values, lambda x: move(x, "cpu") if hasattr(x, "__array__") else x)
    shown = formula.instruction(step.operation, arrays, names)
    read = (part for part in flatten(shown.parameters) if isinstance(part, Var) and part.shape)
    for var, value, placeholder in zip(read, step.reads, placeholders[len(letters) :], strict=True):
        if value.name or not is_range(var):  # a range is written as 0, 1, …
            var.name = placeholder
    return {
        "letters": [*letters, *("index" for _ in step.reads)],
        "forward": _written(shown.output.name, shown.output, lower(shown)),
        "rules": [_rule(shown, i) if _flows(value) else None for i, value in enumerate(step.inputs)],
        "summed": [_summed(step, value) for value in step.inputs],
    }


def _rule(step: Instruction, i: int) -> str:
    x = step.inputs[i]
    assert isinstance(x, Var)
    return _written(f"d{x.name}", *formula.rule(step, i))


def _written(name: str, var: Var, instructions: Sequence[Instruction]) -> str:
    """Return the formula of the variable, followed by those of the long parts that occur twice in it."""
    makers = {instruction.output: instruction for instruction in instructions}
    needed = {var}
    for instruction in reversed(instructions):
        if instruction.output in needed:
            needed.update(instruction.reads())
    instructions = [instruction for instruction in instructions if instruction.output in needed]
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
    return "".join(formula.equation(name, [part], makers, shapes=True).mathml for name, part in lines)


def _flows(value: Value | float) -> bool:
    return isinstance(value, Value) and value.kind != "constant"


def _summed(step: Step, value: Value | float) -> list[int]:
    if not step.operation.broadcasts or not isinstance(value, Value):
        return []
    output_shape, shape = step.output.shape, value.shape
    extra = len(output_shape) - len(shape)
    return [i for i, n in enumerate(output_shape) if i < extra or (n != 1 and shape[i - extra] == 1)]
