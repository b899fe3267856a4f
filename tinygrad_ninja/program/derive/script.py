"""A derivation as a complete script: the inputs' numbers, the two passes, and a check by small steps."""

from __future__ import annotations

from dataclasses import dataclass

from ..comments import python_comment
from ..instructions import Var
from ..languages import BUILTINS, LANGUAGES, Language
from .inputs import inputs
from .listing import Writer
from .record import Forward
from .slopes import check
from .statements import written

MARK = "Written by ninja derive."
"""What each file says of itself, so that it may be replaced by another derivation, and nothing else may."""


def language(target: str) -> Language:
    """Return the language called `target`. Raise ValueError where there is none."""
    if target not in LANGUAGES:
        raise ValueError(f"there is no source for {target!r}: give {' or '.join(map(repr, LANGUAGES))}")
    return LANGUAGES[target]


def passes(writer: Writer, chains: dict[Var, str]) -> tuple[str, str]:
    """Return the code of the forward and of the backward pass, each part of this under a comment: the forward
    lines that it answers, or what is known about them as a whole."""
    there = {line.var: written(writer.forward(line)) for line in writer.lines}
    back: list[str] = []
    for line in reversed(writer.backward.lines):
        answers = written(writer.answer(line))
        if answers:
            known = [chains[step.output] for step in line.instructions if step.output in chains]
            head = known or there.get(line.var, [])
            comments = (text if text.startswith("#") else python_comment(text) for text in head)
            back += ["", *comments, *answers]
    return "\n".join(text for lines in there.values() for text in lines), "\n".join(back[1:])


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


def script(forward: Forward, writer: Writer, chains: dict[Var, str], seed: int | None = None) -> Script:
    """Return the script in the writer's language. It needs only that library, and holds the inputs' numbers.

    seed: that of the Generator from which the inputs were drawn, if they were.
    """
    there, back = passes(writer, chains)
    checked, used = check(forward, writer)
    own = writer.language.own
    helpers, given = inputs([var for var in forward.program.inputs if var.name], writer.language, seed)
    numbers = [f"{name} = {n}" for name, n in {**writer.sizes.used, **used}.items()]
    return Script(
        f"The gradient of every value on the way to a loss of {forward.loss.value.item():.4f}, and a check "
        f"of each by small steps. {MARK}",
        _head(writer.language, helpers, [*numbers, *given], there + checked),
        there + f'\n{own("print")}(f"loss {{{forward.loss.name}.item():.4f}}")',
        back,
        checked,
    )


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
