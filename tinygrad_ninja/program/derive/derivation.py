"""`derive`: the backward pass of a recorded loss as the code that a person would have written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ...engine.tensor import Tensor
from ..instructions import Array, Program, Var
from .backward_lines import Backward, Line, backward
from .document import Markdown, shown
from .explain import Explainer
from .function import record_function
from .listing import Writer
from .record import Forward, record, refuse_reads
from .script import Script, language, passes, script
from .simplify import simplify as shortened


@dataclass(eq=False, repr=False)
class Derivation:
    """The forward and the backward pass of a loss, line by line.

    seed: that of the Generator from which the inputs were drawn, if it is known.
    """

    forward: Forward
    lines: list[Line]
    backward: Backward
    chains: dict[Var, str]
    seed: int | None = None

    @cached_property
    def program(self) -> Program:
        """Return both passes as instructions."""
        there, back = self.forward.program, self.backward.program
        return Program(there.instructions + back.instructions, [self.forward.loss, *back.outputs])

    @property
    def simplifications(self) -> list[str]:
        """Return a sentence for each chain that was recognised; one for all that say the same."""
        often = Counter(self.chains.values())
        return [text if n == 1 else f"{text}, {n} times" for text, n in often.items()]

    @property
    def gradients(self) -> dict[str, Array]:
        """Return the array of each named value's gradient, by the value's name."""
        return {var.name: gradient.value for var, gradient in self.backward.gradients.items()}

    @property
    def values(self) -> list[str]:
        """Return the names of the values that have a gradient, in the order in which a gradient reaches
        them."""
        return [var.name for var in self.backward.gradients]

    def source(self, target: str = "torch") -> str:
        """Return a complete script, in "torch" or "numpy", which needs only that library and prints the table
        of its check. Raise ValueError for another target."""
        return str(self.script(target))

    def script(self, target: str = "torch") -> Script:
        """Return the parts of the script that `source` returns."""
        return script(self.forward, self.writer(target), self.chains, self.seed)

    def explain(self, name: str) -> Markdown:
        """Return a page of Markdown with mathematics about one value: the lines that it takes part in, the
        local derivatives, the chain rule with indices and with shapes, the sums and repeats, small cases, and
        a numeric slope. A notebook shows it set. Raise ValueError for another name."""
        return Markdown(self.explainer.page(name))

    @cached_property
    def explainer(self) -> Explainer:
        """Return what writes the pages of the values."""
        return Explainer(self.forward, self.backward, self.writer("torch"), self.chains)

    def writer(self, target: str) -> Writer:
        """Return the writer of the lines in torch or numpy."""
        return Writer(language(target), self.lines, self.backward, self.forward.numbers)

    def __str__(self) -> str:
        """Return the two passes as torch code."""
        return self.code("torch")

    def code(self, target: str) -> str:
        """Return the two passes, without the inputs' numbers and the check, in "torch" or "numpy"."""
        return "\n\n".join(self.passes(target))

    def passes(self, target: str) -> tuple[str, str]:
        """Return the code of the forward and of the backward pass, in "torch" or "numpy"."""
        return passes(self.writer(target), self.chains)

    def _repr_markdown_(self) -> str:
        """Return for a notebook the two passes and the formulas of the gradients."""
        return shown(self)


def derive(
    loss: Tensor | Callable[..., Tensor],
    *args: Any,
    names: Any = None,
    simplify: bool = False,
    seed: int | None = None,
) -> Derivation:
    """Return the forward and the backward pass of a loss as code.

    loss: a Tensor of one element that requires a gradient, before `backward` has freed its history; or a
    function that returns one, and `args` for it, which is then traced.
    names: the names of the values, usually `locals()`: Tensors, arrays, whole numbers, and Modules, whose
    parameters go by their own names; the rest is ignored. simplify: chains whose gradient is known from pen
    and paper, such as a softmax with cross-entropy, are answered in one go. seed: that of the Generator from
    which parameters were drawn, so that a script draws them again and need not hold them.
    Raise RuntimeError where there is no history, or an operation has no rule; ReadOutError, a RuntimeError,
    where a value was read out of a Tensor on the way to the loss; ValueError where a name is given to two
    tensors; TypeError for a loss that is neither a Tensor nor a function.
    """
    names = {} if names is None else names
    if isinstance(loss, Tensor):
        if args:
            raise TypeError(
                "derive takes further arguments with a function only; give the names as names=locals()"
            )
        refuse_reads(loss)
        forward = record(loss, names)
    elif callable(loss):
        forward = record_function(loss, args, names)
    else:
        raise TypeError(f"derive takes a Tensor or a function that returns one, not {type(loss).__name__}")
    if simplify:
        expanded, answered, chains = shortened(forward)
        return Derivation(forward, expanded.lines, answered, chains, seed)
    answered = backward(forward)
    return Derivation(forward, answered.lines, answered, {}, seed)
