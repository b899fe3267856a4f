"""The code cells of a notebook, as a program."""

from __future__ import annotations

import ast
import json
import linecache
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_TIMERS = {"%%time", "%%capture", "%%prun"}  # cell magics whose cell is Python all the same


class NotebookError(ValueError):
    """A file is not a notebook."""


@dataclass(frozen=True)
class Cell:
    """A code cell: the name by which tracebacks call it, and its text."""

    name: str
    source: str

    def parse(self, note: Callable[[str], None]) -> ast.Module:
        """Return the syntax tree, without the lines that are magics (% and !): `note` is told of each.

        Such a line is one that begins with % or ! where Python does not accept it: in the midst of an
        expression % is a remainder. Raises SyntaxError.
        """
        lines = self.source.split("\n")
        first = lines[0].split()
        if first and first[0].startswith("%%") and first[0] not in _TIMERS:
            note(f"{self.name}: skipped, a cell of {first[0]}")
            return ast.Module([], [])
        skipped: dict[int, str] = {}
        while True:
            try:
                tree = ast.parse("\n".join(lines), self.name)
                break
            except SyntaxError as error:
                number = (error.lineno or 0) - 1
                if not 0 <= number < len(lines) or not lines[number].lstrip().startswith(("%", "!")):
                    raise
            magic = skipped[number] = lines[number]
            lines[number] = magic[: len(magic) - len(magic.lstrip())] + "pass"
            while magic.endswith("\\") and number + 1 < len(lines):  # it goes on
                number += 1
                magic, lines[number] = lines[number], ""
        for number, magic in sorted(skipped.items()):
            note(f"{self.name}, line {number + 1}: skipped: {magic.strip()}")
        return tree

    def show_in_tracebacks(self) -> None:
        """Let tracebacks and `inspect` show the lines of the cell, which is in no file of its own."""
        lines = [line + "\n" for line in self.source.split("\n")]
        linecache.cache[self.name] = len(self.source), None, lines, self.name

    def displays(self, tree: ast.Module) -> bool:
        """Return whether a notebook shows the value of the last line, which no semicolon ends."""
        return (
            bool(tree.body) and isinstance(tree.body[-1], ast.Expr) and not self.source.rstrip().endswith(";")
        )


def read_cells(file: Path) -> list[Cell]:
    """Return the code cells of a notebook. Raise NotebookError where the file is none."""
    try:
        cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
        sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    except (ValueError, KeyError, TypeError) as error:
        raise NotebookError(f"{file} is not a notebook, as Jupyter saves it since version 4") from error
    return [Cell(f"{file}, cell {number}", source) for number, source in enumerate(sources, 1)]


def joined(cells: list[Cell], note: Callable[[str], None]) -> tuple[ast.Module, Callable[[int], str]]:
    """Return the cells as one syntax tree, and what tells the cell and its line from a line of the whole.

    `note` is told what is skipped. Raises SyntaxError.
    """
    starts, whole, lines = [], ast.Module([], []), 0
    for cell in cells:
        starts.append(lines)
        whole.body += ast.increment_lineno(cell.parse(note), lines).body
        lines += len(cell.source.split("\n"))

    def place(line: int) -> str:
        index = bisect_left(starts, line) - 1
        return f"{cells[index].name}, line {line - starts[index]}"

    return whole, place
