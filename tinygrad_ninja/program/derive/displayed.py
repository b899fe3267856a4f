"""Formulas on a page, broken where they are wider than it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..dialects import LATEX, PLAIN
from ..pieces import NEVER, Fragment, Piece, fragments
from .mathematics import LESS, PLUS, TIMES, TIMES_EACH, Math

WIDTH = 70
"""The most letters and signs in a line of a formula."""

SUM, PRODUCT = (PLUS, LESS), (TIMES, TIMES_EACH)
BREAKS = ((SUM, 0), (PRODUCT, 0), (SUM, 1), (PRODUCT, 1))
"""In front of which signs, and in how many brackets, a line is broken: the later ones only where a part that
the earlier ones leave is too wide."""


def displayed(equation: Math) -> str:
    """Return an equation, a row of the left side, its sign and the right side, as Markdown shows it by
    itself, a wide one in several lines."""
    left, _, right = equation.parts
    lines = [Fragment(f"{left.latex} &= ", _width(left) + 1)]
    for number, part in enumerate(_broken(fragments(right, LATEX, PLAIN, _rank))):
        if not number or lines[-1].width + part.width <= WIDTH:
            lines[-1] = lines[-1].beside(part)
        else:
            lines.append(part)
    if _width(equation) <= WIDTH or len(lines) < 2:
        return f"$${equation.latex}$$"
    return rf"$$\begin{{aligned}} {_joined(lines)} \end{{aligned}}$$"


def _joined(lines: Sequence[Fragment]) -> str:
    """Return the lines of a formula as one, with a bracket of no size where a line ends inside a pair."""
    open_at_end = [*(line.depth for line in lines[1:]), 0]
    texts = [
        (r"&\quad " + r"\left. " * line.depth if number else "") + line.text.strip() + r" \right." * after
        for number, (line, after) in enumerate(zip(lines, open_at_end, strict=True))
    ]
    return r" \\ ".join(texts)


def _broken(line: Sequence[Fragment], number: int = 0) -> Iterator[Fragment]:
    """Yield the parts that are left when a line is broken at the first of the BREAKS, and those of a part
    that is too wide at the next."""
    begin = 0
    for end in range(1, len(line) + 1):
        if end < len(line) and line[end].rank != number:
            continue
        part, begin = line[begin:end], end
        whole = part[0]
        for fragment in part[1:]:
            whole = whole.beside(fragment)
        if whole.width > WIDTH and number + 1 < len(BREAKS) and len(part) > 1:
            yield from _broken(part, number + 1)
        else:
            yield whole


def _rank(whole: Piece, number: int, depth: int) -> int:
    """Return which of the BREAKS are allowed in front of a part, NEVER if none are."""
    for rank, (signs, brackets) in enumerate(BREAKS):
        if brackets == depth and any(whole.parts[number] is sign for sign in signs):
            return rank
    return NEVER


def _width(x: Math) -> int:
    """Return about how many letters and signs a piece has."""
    return len(x.written(PLAIN))
