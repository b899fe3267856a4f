"""`derive`: the backward pass of a recorded loss as the code that a person would have written; and its
script, page of Markdown and notebook."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ...engine.tensor import Tensor
from ..comments import python_comment
from ..instructions import Array, Program, Var
from ..languages import BUILTINS, LANGUAGES, Language
from .backward_lines import Backward, Line, backward
from .explain import Explainer
from .function import record_function
from .inputs import inputs
from .listing import Writer
from .record import Forward, record, refuse_reads
from .simplify import simplify as shortened
from .slopes import check
from .statements import written

MARK = "Written by ninja derive."
"""What each file says of itself, so that it may be replaced by another derivation, and nothing else may."""

SUFFIXES = (".py", ".md", ".ipynb")


class Markdown(str):
    """Text in Markdown, which a notebook shows set, with its mathematics, and a terminal as it stands."""

    def _repr_markdown_(self) -> str:
        return str(self)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))


@dataclass(frozen=True)
class Script:
    """A derivation that runs alone. head: imports and the inputs' numbers; forward, backward: the two passes;
    check: the code that prints the lecture's table."""

    title: str
    head: str
    forward: str
    backward: str
    check: str

    def __str__(self) -> str:
        return (
            f'"""{self.title}"""\n\n{self.head}\n\n# The forward pass.\n{self.forward}\n\n'
            f"# The backward pass, from the last line to the first.\n{self.backward}\n\n\n{self.check}"
        )


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
        writer = self.writer(target)
        there, back = self._passes(writer)
        checked, used = check(self.forward, writer)
        named = [var for var in self.forward.program.inputs if var.name]
        helpers, given = inputs(named, writer.language, self.seed)
        numbers = [f"{name} = {n}" for name, n in {**writer.sizes.used, **used}.items()]
        loss = self.forward.loss
        return Script(
            f"The gradient of every value on the way to a loss of {loss.value.item():.4f}, and a check of "
            f"each by small steps. {MARK}",
            _head(writer.language, helpers, [*numbers, *given], there + checked),
            there + f'\n{writer.language.own("print")}(f"loss {{{loss.name}.item():.4f}}")',
            back,
            checked,
        )

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
        """Return the writer of the lines in torch or numpy. Raise ValueError for another target."""
        if target not in LANGUAGES:
            raise ValueError(f"there is no source for {target!r}: give {' or '.join(map(repr, LANGUAGES))}")
        return Writer(LANGUAGES[target], self.lines, self.backward, self.forward.numbers)

    def __str__(self) -> str:
        """Return the two passes as torch code."""
        return self.code("torch")

    def code(self, target: str) -> str:
        """Return the two passes, without the inputs' numbers and the check, in "torch" or "numpy"."""
        return "\n\n".join(self._passes(self.writer(target)))

    def _passes(self, writer: Writer) -> tuple[str, str]:
        """Return the code of the forward and of the backward pass, each part of this under a comment: the
        forward lines that it answers, or what is known about them as a whole."""
        there = {line.var: written(writer.forward(line)) for line in writer.lines}
        back: list[str] = []
        for line in reversed(self.backward.lines):
            answers = written(writer.answer(line))
            if answers:
                outputs = [step.output for step in line.instructions]
                known = [self.chains[var] for var in outputs if var in self.chains]
                head = known or there.get(line.var, [])
                comments = (text if text.startswith("#") else python_comment(text) for text in head)
                back += ["", *comments, *answers]
        return "\n".join(text for lines in there.values() for text in lines), "\n".join(back[1:])

    def _repr_markdown_(self) -> str:
        """Return for a notebook the two passes and the formulas of the gradients."""
        return _joined([*_recognised(self), *_passes(self, *self._passes(self.writer("torch")))])


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


# -- files -------------------------------------------------------------------------------------------------


def write(derivation: Derivation, path: Path, target: str = "torch", explained: Iterable[str] = ()) -> None:
    """Write the derivation to `path`: a script for .py, a page for .md, a notebook for .ipynb.

    explained: the names of the values that get a page; a script has no room for these.
    Raise ValueError for another suffix, and OSError where the file cannot be written.
    """
    written = text(derivation, path.suffix, target, explained)
    path.write_text(written, encoding="utf-8", newline="\n")


def is_ours(path: Path) -> bool:
    """Return whether a file is one that `write` wrote, or is empty, so that it may be replaced."""
    with path.open("rb") as file:
        begin = file.read(10_000)
    return not begin or MARK.encode() in begin


def text(derivation: Derivation, suffix: str, target: str = "torch", explained: Iterable[str] = ()) -> str:
    """Return the text that `write` writes."""
    if suffix == ".py":
        return derivation.source(target)
    if suffix == ".md":
        return _joined(_cells(derivation, target, explained, runs=False))
    if suffix == ".ipynb":
        return _notebook(_cells(derivation, target, explained, runs=True))
    raise ValueError(
        f"a derivation is written as {', '.join(SUFFIXES)}, not as {suffix or 'a file without suffix'}"
    )


def _cells(
    derivation: Derivation, target: str, explained: Iterable[str], runs: bool
) -> list[tuple[str, str]]:
    """Return the cells as (kind, text): Markdown or code. runs: include the inputs' numbers and the check, so
    that the code runs."""
    script = derivation.script(target)
    cells = [("markdown", f"# The backward pass of `{derivation.forward.loss.name}`\n\n{script.title}\n")]
    cells += _recognised(derivation)
    if runs:
        cells += [("code", script.head)]
    cells += _passes(derivation, script.forward, script.backward)
    if runs:
        cells += [("markdown", "## The check\n"), ("code", script.check)]
    cells += [("markdown", derivation.explain(name)) for name in explained]
    return cells


def _recognised(derivation: Derivation) -> list[tuple[str, str]]:
    """Return a cell that tells what is answered in one go, if anything is."""
    sentences = "".join(f"- {sentence}\n" for sentence in derivation.simplifications)
    return [("markdown", f"Recognised, and answered in one go:\n\n{sentences}")] if sentences else []


def _passes(derivation: Derivation, forward: str, backward: str) -> list[tuple[str, str]]:
    """Return the cells of the two passes, and of the gradients' formulas."""
    order = "From the last line to the first, each part under what it answers."
    return [
        ("markdown", "## The forward pass\n"),
        ("code", forward),
        ("markdown", f"## The backward pass\n\n{order}\n"),
        ("code", backward),
        ("markdown", f"## The gradients as formulas\n\n{derivation.explainer.formulas()}\n"),
    ]


def _joined(cells: list[tuple[str, str]]) -> str:
    """Return cells as one page of Markdown."""
    return "\n".join(body if kind == "markdown" else f"```python\n{body}\n```\n" for kind, body in cells)


def _notebook(cells: list[tuple[str, str]]) -> str:
    """Return the cells as a Jupyter notebook in format 4.5: https://nbformat.readthedocs.io"""
    entries: list[dict[str, Any]] = []
    for number, (kind, content) in enumerate(cells):
        cell = {
            "cell_type": kind,
            "id": f"cell-{number}",
            "metadata": {},
            "source": content.splitlines(keepends=True),
        }
        entries.append(cell | ({"execution_count": None, "outputs": []} if kind == "code" else {}))
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    notebook = {"cells": entries, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(notebook, indent=1) + "\n"


def _head(language: Language, helpers: str, given: list[str], code: str) -> str:
    """Return the imports that the code needs, other names for what the variables hide, and the inputs, with
    the functions that these need."""
    own = language.own

    def imported(name: str) -> str:
        return f"import {name}" if own(name) == name else f"import {name} as {own(name)}"

    standard = [imported(name) for name in ("base64", "math") if f"{own(name)}." in helpers + code]
    library = {"torch": "import torch", "numpy": "import numpy as np"}[language.target]
    imports = "\n".join([*standard, *([""] if standard else []), library])
    renamed = [f"{own(name)} = {name}" for name in BUILTINS if own(name) != name]
    apart = ["\n# Python's own, whose names are values here.", *renamed, ""] if renamed else []
    return "\n".join([imports, *apart, helpers, "# The inputs.", *given])
