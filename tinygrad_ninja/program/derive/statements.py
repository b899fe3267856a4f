"""Lines of Python, and the notes about them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ...arrays.numpy_indexing import repeats_no_cell
from ...ops import indexing, reduction
from .backward_lines import Share
from .record import is_range

WIDTH = 110
SIGNS = {" + ": 0, " - ": 0, " * ": 1, " / ": 1, " @ ": 1}
METHOD, COMMA = 2, 3
"""How much a sign joins what stands beside it: where it does so the least, a line is broken first."""


@dataclass
class Statement:
    """Lines of Python that assign or change one variable, and the notes about them."""

    code: list[str]
    notes: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Return the lines, with the notes as a comment: behind the last line where there is room, else
        above."""
        code = [part for line in self.code for part in _broken(line)]
        if not self.notes:
            return code
        comment = "# " + "; ".join(self.notes)
        if len(code[-1]) + len(comment) + 2 <= WIDTH:
            return [*code[:-1], f"{code[-1]}  {comment}"]
        return [comment, *code]


def _broken(line: str) -> list[str]:
    """Return a long line broken at signs, where need be inside brackets of its own; else at commas."""
    parts = _folded(line)
    assigned = re.match(r"([^=]+?[-+*/@]?= )(.*)", line)
    if assigned is None or not any(part[-1] == "," or len(part) > WIDTH for part in parts):
        return parts
    joined = any(depth == 0 and rank < COMMA for depth, rank, _ in _places(assigned[2]))
    return _folded(f"{assigned[1]}({assigned[2]})") if joined else parts


def _places(line: str, depth: int = 0) -> Iterator[tuple[int, int, int]]:
    """Yield where a line may be broken: (how many brackets are open there, the rank, the place), for signs of
    a sum, signs of a product, methods of a result, and commas. depth: how many brackets are open before the
    line."""
    for i, letter in enumerate(line):
        depth += (letter in "([{") - (letter in ")]}")
        if (rank := SIGNS.get(line[i : i + 3])) is not None:
            yield depth, rank, i
        elif re.match(r"\)\.\w+\(", line[i:]):
            yield depth, METHOD, i + 1
        elif line[i - 1 : i + 1] == ", ":
            yield depth, COMMA, i


def _folded(line: str, depth: int = 0) -> list[str]:
    """Return a long line broken inside brackets, where the fewest are open and the sign joins least: the last
    such place that fits. depth: how many brackets are open before it."""
    if len(line) <= WIDTH:
        return [line]
    places = [(open, rank, -i) for open, rank, i in _places(line, depth) if open > 0 and 8 < i <= WIDTH]
    if not places:
        return [line]
    depth, _, i = min(places)
    return [line[:-i], *_folded(f"    {line[-i:].lstrip()}", depth)]


def notes(share: Share, first: bool) -> list[str]:
    """Return the notes about a share: that it is one of several, and why there is a sum, or a repeat."""
    texts = []
    operation, x, out = share.by.operation, share.of, share.by.output
    if operation.broadcasts and x.shape != out.shape:
        axes = _summed(x.shape, out.shape)
        texts.append(f"{x.name} {x.shape} was broadcast to {out.shape}: summed over {axes}")
    elif operation in (reduction.sum, reduction.mean):
        texts.append(f"each element went into the {operation.name}: the gradient goes to all of them")
    elif operation is indexing.index and not each_cell_once(share.by.parameters[0]):
        texts.append("what is read several times collects all gradients")
    if not first:
        texts.insert(0, f"{x.name} is used again: its share is added")
    return texts


def _summed(small: tuple[int, ...], large: tuple[int, ...]) -> str:
    """Return the dimensions that are summed up to get from a large shape to a small one."""
    extra = len(large) - len(small)
    axes = [i for i, n in enumerate(large) if i < extra or (n != 1 and small[i - extra] == 1)]
    return f"dim{'s' * (len(axes) != 1)} {', '.join(map(str, axes))}"


def each_cell_once(key: tuple[Any, ...]) -> bool:
    """Return whether a key names no cell twice, going by its arrays that are written as a range."""
    return repeats_no_cell(key, lambda index: is_range(index) and not index.name)


def written(statements: list[Statement]) -> list[str]:
    """Return the lines of several statements."""
    return [text for statement in statements for text in statement.lines()]
