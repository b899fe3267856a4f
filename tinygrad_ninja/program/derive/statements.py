"""Lines of Python, and the notes about them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ...arrays.numpy_indexing import repeats_no_cell
from ...ops import indexing, reduction
from ..dialects import PYTHON, Bracket, Kind
from ..expressions import Code
from ..pieces import NEVER, Fragment, Piece, fragments
from .backward_lines import Share
from .record import is_range

WIDTH = 110
INDENT = " " * 4
SIGNS = {" + ": 0, " - ": 0, " * ": 1, " / ": 1, " @ ": 1}
METHOD, COMMA = 2, 3
"""How much a sign joins what stands beside it: where it does so the least, a line is broken first."""


@dataclass
class Statement:
    """Lines of Python that assign or change one variable, and the notes about them."""

    code: list[Code]
    notes: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Return the lines, with the notes as a comment: behind the last line where there is room, else
        above."""
        code = [part for line in self.code for part in broken(line)]
        if not self.notes:
            return code
        comment = "# " + "; ".join(self.notes)
        if len(code[-1]) + len(comment) + 2 <= WIDTH:
            return [*code[:-1], f"{code[-1]}  {comment}"]
        return [comment, *code]


def broken(statement: Code) -> list[str]:
    """Return the lines of a statement: a long one broken at signs, where need be inside brackets of its own;
    else at commas."""
    lines = _folded(_fragments(statement))
    if statement.kind is Kind.ASSIGNED and any(line[-1] == "," or len(line) > WIDTH for line in lines):
        target, sign, value = statement.parts
        if any(place.depth == 0 and place.rank < COMMA for place in _fragments(value)):
            in_brackets = Code(Kind.ASSIGNED, target, sign, value.fenced(Bracket.ROUND))
            return _folded(_fragments(in_brackets))
    return lines


def _fragments(x: Code) -> list[Fragment]:
    return fragments(x, PYTHON, PYTHON, _rank)


def _rank(whole: Piece, number: int, depth: int) -> int:
    """Return how late a line is broken in front of a part: of signs of a sum, signs of a product, methods of
    a result, and what follows a comma, the first first."""
    part = whole.parts[number]
    if whole.kind is Kind.LIST:
        return COMMA
    if part.kind is Kind.METHOD:
        return METHOD if _is_result(whole.parts[number - 1]) else NEVER
    return SIGNS.get(part.parts[0], NEVER) if part.kind is Kind.SIGN else NEVER


def _is_result(piece: Piece) -> bool:
    """Return whether a piece ends as the call of a function does."""
    while piece.kind is Kind.ROW:
        piece = piece.parts[-1]
    return piece.kind is Kind.FENCED and piece.parts[0] == Bracket.ROUND.name


def _folded(line: list[Fragment]) -> list[str]:
    """Return a long line broken inside brackets, where the fewest are open and the sign joins least: the last
    such place that fits."""
    text, places = "", []
    for number, fragment in enumerate(line):
        if fragment.depth and 2 * len(INDENT) < len(text.rstrip()) <= WIDTH:
            places.append((fragment.depth, fragment.rank, -number))
        text += fragment.text
    if len(text) <= WIDTH or not places:
        return [text]
    *_, number = min(places)
    rest = line[-number:]
    begin = INDENT + rest[0].text.lstrip()
    rest[0] = Fragment(begin, len(begin))
    return ["".join(fragment.text for fragment in line[:-number]).rstrip(), *_folded(rest)]


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
