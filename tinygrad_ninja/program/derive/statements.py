"""Lines of Python, and the notes about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..dialects import PYTHON, Bracket, Kind
from ..expressions import Code
from ..pieces import NEVER, Fragment, Piece, fragments

WIDTH = 110
INDENT = " " * 4
SIGNS = {" + ": 0, " - ": 0, " * ": 1, " / ": 1, " @ ": 1}
METHOD, COMMA = 2, 3
"""How much a sign joins what stands beside it: where it does so the least, a line is broken first."""


@dataclass
class Statement:
    """Lines of Python that assign or change one variable, and the notes about them."""

    code: list[Code]
    notes: Sequence[str] = ()

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


def written(statements: list[Statement]) -> list[str]:
    """Return the lines of several statements."""
    return [text for statement in statements for text in statement.lines()]
