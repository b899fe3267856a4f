"""A derivation as a file: a script, a page of Markdown, or a notebook."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .script import MARK

if TYPE_CHECKING:
    from .derivation import Derivation

SUFFIXES = (".py", ".md", ".ipynb")


class Markdown(str):
    """Text in Markdown, which a notebook shows set, with its mathematics, and a terminal as it stands."""

    def _repr_markdown_(self) -> str:
        return str(self)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))


def write(derivation: Derivation, path: Path, target: str = "torch", explained: Iterable[str] = ()) -> None:
    """Write the derivation to `path`: a script for .py, a page for .md, a notebook for .ipynb.

    explained: the names of the values that get a page; a script has no room for these.
    Raise ValueError for another suffix, and OSError where the file cannot be written.
    """
    written = text(derivation, path.suffix, target, explained)
    path.write_text(written, encoding="utf-8", newline="\n")


def shown(derivation: Derivation) -> str:
    """Return the two passes and the formulas of the gradients as Markdown, without the inputs' numbers."""
    return _joined([*_recognised(derivation), *_passes(derivation, *derivation.passes("torch"))])


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
    return (
        json.dumps({"cells": entries, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}, indent=1)
        + "\n"
    )
