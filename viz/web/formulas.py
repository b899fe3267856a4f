"""The formulas of the operations and of their rules, with placeholders where the page puts the names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from tinygrad_ninja.kinds import move
from tinygrad_ninja.program import formula
from tinygrad_ninja.program.instructions import Instruction, Var, flatten, substitute
from tinygrad_ninja.program.record import is_range
from tinygrad_ninja.program.trace import lower

from ..graph import Step, Value

PLACEHOLDER = 0xE000
"""The first of Unicode's private-use letters: of the output, then of each input, then of each array that the
operation reads among its parameters."""

LETTERS = "uvwst"
"""What a formula calls the parts that it has more than once."""

LONG = 3
"""From so many operations on such a part is written by itself."""


class Formulas:
    """The formulas of a page, each once for all steps that differ in their numbers only.

    `content[i]` holds `forward` and for each input `rules`, None where no gradient flows, as MathML: an
    element for the formula, and one for each long part that it has twice; `letters`, the operation's own
    names for what has none; and for each input `summed`, the dimensions of the output along which it was
    repeated, so that its gradient is summed over them.
    """

    def __init__(self) -> None:
        self.content: list[dict[str, Any]] = []
        self._known: dict[str, int] = {}

    def of(self, step: Step) -> int:
        """The number of the step's formulas."""
        inputs = [(each.shape, _flows(each)) if isinstance(each, Value) else each for each in step.inputs]
        parameters = () if step.reads else tuple(step.parameters.values())
        read = [each.shape for each in step.reads]
        key = repr((step.operation.name, step.output.shape, inputs, parameters, read))
        if key not in self._known:
            self._known[key] = len(self.content)
            self.content.append(_formulas(step))
        return self._known[key]


def _formulas(step: Step) -> dict[str, Any]:
    assert step.node.values is not None
    letters = ["out", *step.operation.inputs]
    placeholders = [chr(PLACEHOLDER + i) for i in range(len(letters) + len(step.reads))]
    # A plain number has no name, and stands as itself.
    names = [placeholders[0]] + [
        name if isinstance(each, Value) else ""
        for name, each in zip(placeholders[1:], step.inputs, strict=False)
    ]
    arrays = substitute(step.node.values, lambda x: move(x, "cpu") if hasattr(x, "__array__") else x)
    shown = formula.instruction(step.operation, arrays, names)
    read = (each for each in flatten(shown.parameters) if isinstance(each, Var) and each.shape)
    for var, value, placeholder in zip(read, step.reads, placeholders[len(letters) :], strict=True):
        if value.name or not is_range(var):  # which is written as 0, 1, …
            var.name = placeholder
    return {
        "letters": [*letters, *("index" for _ in step.reads)],
        "forward": _written(shown.output.name, shown.output, lower(shown)),
        "rules": [_rule(shown, i) if _flows(each) else None for i, each in enumerate(step.inputs)],
        "summed": [_summed(step, each) for each in step.inputs],
    }


def _rule(step: Instruction, place: int) -> str:
    x = step.inputs[place]
    assert isinstance(x, Var)
    return _written(f"d{x.name}", *formula.rule(step, place))


def _written(called: str, var: Var, instructions: Sequence[Instruction]) -> str:
    """How the instructions make the variable, and in lines of their own the long parts that come twice."""
    makers = {each.output: each for each in instructions}
    needed = {var}
    for each in reversed(instructions):
        if each.output in needed:
            needed.update(each.reads())
    made = [each for each in instructions if each.output in needed]
    often = Counter(x for each in made for x in each.reads())
    letters = iter(LETTERS)
    parts: list[Var] = []
    sizes: Counter[Var] = Counter()  # in operations; a part that has a letter is none
    for each in made:
        size = 1 + sum(sizes[x] for x in each.reads())
        if often[each.output] > 1 and size >= LONG and (letter := next(letters, "")):
            each.output.name = letter
            parts.append(each.output)
        else:
            sizes[each.output] = size
    lines = [(called, var), *((part.name, part) for part in parts)]
    return "".join(formula.equation(name, [each], makers, shapes=True).mathml for name, each in lines)


def _flows(value: Value | float) -> bool:
    return isinstance(value, Value) and value.kind != "constant"


def _summed(step: Step, value: Value | float) -> list[int]:
    if not step.operation.broadcasts or not isinstance(value, Value):
        return []
    have, want = step.output.shape, value.shape
    extra = len(have) - len(want)
    return [i for i, n in enumerate(have) if i < extra or (n != 1 and want[i - extra] == 1)]
