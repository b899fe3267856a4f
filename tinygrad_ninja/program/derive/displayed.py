"""Formulas on a page, broken where they are wider than it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from .dialects import PLAIN, Bracket, Kind
from .mathematics import LESS, PLUS, TIMES, TIMES_EACH, Math

WIDTH = 70
"""The most letters and signs in a line of a formula."""

SUM, PRODUCT = (PLUS, LESS), (TIMES, TIMES_EACH)
BREAKS = ((SUM, 0), (PRODUCT, 0), (SUM, 1), (PRODUCT, 1))
"""In front of which signs, and in how many brackets, a line is broken: the later ones only where a part that
the earlier ones leave is too wide."""
NEVER = len(BREAKS)


@dataclass(frozen=True)
class Fragment:
    """A part of a line, in LaTeX. rank: which of the BREAKS are allowed in front of it, NEVER if none are;
    opens: how many brackets it opens, or closes if that is negative."""

    latex: str
    width: int
    rank: int = NEVER
    opens: int = 0

    def beside(self, other: Fragment) -> Fragment:
        """Return the two as one."""
        return Fragment(
            f"{self.latex} {other.latex}", self.width + other.width, self.rank, self.opens + other.opens
        )


def displayed(equation: Math) -> str:
    """Return an equation, a row of the left side, its sign and the right side, as Markdown shows it by
    itself, a wide one in several lines."""
    left, _, right = equation.parts
    lines: list[Fragment] = [Fragment(f"{left.latex} &=", _width(left) + 1)]
    for number, part in enumerate(_broken(_fragments(right))):
        if not number or lines[-1].width + part.width <= WIDTH:
            lines[-1] = lines[-1].beside(part)
        else:
            lines.append(replace(part, latex=rf"&\quad {part.latex}"))
    if _width(equation) <= WIDTH or len(lines) < 2:
        return f"$${equation.latex}$$"
    return rf"$$\begin{{aligned}} {_joined(lines)} \end{{aligned}}$$"


def _joined(lines: Sequence[Fragment]) -> str:
    """Return the lines of a formula as one, with a bracket of no size where a line ends inside a pair."""
    text, within = "", 0
    for number, line in enumerate(lines):
        latex = line.latex
        if number:
            latex = latex.replace(r"&\quad", r"&\quad" + r" \left." * within, 1)
        within += line.opens
        text += (r" \\ " if number else "") + latex + r" \right." * within
    return text


def _broken(fragments: Sequence[Fragment], number: int = 0) -> Iterator[Fragment]:
    """Yield the parts that are left when a line is broken at the first of the BREAKS, and those of a part
    that is too wide at the next."""
    begin = 0
    for end in range(1, len(fragments) + 1):
        if end < len(fragments) and fragments[end].rank != number:
            continue
        part, begin = fragments[begin:end], end
        whole = part[0]
        for fragment in part[1:]:
            whole = whole.beside(fragment)
        if whole.width > WIDTH and number + 1 < NEVER and len(part) > 1:
            yield from _broken(part, number + 1)
        else:
            yield whole


def _fragments(x: Math, depth: int = 0) -> list[Fragment]:
    """Return a piece in parts, in front of whose signs a line may be broken. depth: how many brackets are
    open before it."""
    if x.kind in (Kind.ROW, Kind.LIST) and x.parts:
        fragments: list[Fragment] = []
        for part in x.parts:
            if fragments and x.kind is Kind.LIST:
                before = fragments[-1]
                fragments[-1] = replace(before, latex=f"{before.latex},", width=before.width + 1)
            first, *rest = _fragments(part, depth)
            if fragments and (rank := _rank(part, depth)) < NEVER:
                fragments.append(replace(first, rank=rank))
                continue
            fragments[-1:] = [fragments[-1].beside(first) if fragments else first, *rest]
        return fragments
    if x.kind is Kind.FENCED and any(brackets > depth for _, brackets in BREAKS):
        left, right, *_ = Bracket[x.parts[0]].value
        first, *rest = _fragments(x.parts[1], depth + 1)
        first = replace(first, latex=left + first.latex, width=first.width + 1, opens=first.opens + 1)
        *rest, last = first, *rest
        last = replace(last, latex=last.latex + right, width=last.width + 1, opens=last.opens - 1)
        return [*rest, last]
    if x.kind in (Kind.RAISED, Kind.INDEXED):
        *rest, last = _fragments(x.parts[0], depth)
        mark = Math(x.kind, "", x.parts[1])
        return [*rest, replace(last, latex=last.latex + mark.latex, width=last.width + _width(mark))]
    return [Fragment(x.latex, _width(x))]


def _rank(part: Math, depth: int) -> int:
    """Return which of the BREAKS are allowed in front of a part, NEVER if none are."""
    for rank, (signs, brackets) in enumerate(BREAKS):
        if brackets == depth and any(part is sign for sign in signs):
            return rank
    return NEVER


def _width(x: Math) -> int:
    """Return about how many letters and signs a piece has."""
    return len(x.written(PLAIN))
