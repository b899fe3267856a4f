"""Formulas on a page, broken where they are wider than it."""

from __future__ import annotations

import re
from collections.abc import Iterator

WIDTH = 70
"""The most letters and signs in a line of a formula."""

SUM, PRODUCT = r"[+-] ", r"\\(?:cdot|odot) "
BREAKS = ((SUM, 0), (PRODUCT, 0), (SUM, 1), (PRODUCT, 1))
"""In front of which signs, and in how many brackets, a line is broken: the later ones only where a part that
the earlier ones leave is too wide."""

AFTER_SIGN = r"(\\cdot|\\odot|\\,|\\left\(|[=+-])$"
"""What a sign follows that joins nothing."""


def displayed(latex: str) -> str:
    """Return an equation as Markdown shows it by itself, a wide one in several lines."""
    left, _, right = latex.partition(" = ")
    parts = [right]
    for number, (sign, brackets) in enumerate(BREAKS):
        parts = [
            piece
            for part in parts
            for piece in (_split(part, sign, brackets) if _width(part) > WIDTH or not number else [part])
        ]
    lines = [f"{left} &= {parts[0]}"]
    for part in parts[1:]:
        if _width(f"{lines[-1]} {part}") <= WIDTH:
            lines[-1] += f" {part}"
        else:
            lines.append(rf"&\quad {part}")
    if _width(latex) <= WIDTH or len(lines) < 2:
        return f"$${latex}$$"
    return rf"$$\begin{{aligned}} {_joined(lines)} \end{{aligned}}$$"


def _joined(lines: list[str]) -> str:
    """Return the lines of a formula as one, with a bracket of no size where a line ends inside a pair."""
    text, within = "", 0
    for number, line in enumerate(lines):
        if number:
            line = line.replace(r"&\quad", r"&\quad" + r" \left." * within, 1)
        within = line.count(r"\left") - line.count(r"\right")
        text += (r" \\ " if number else "") + line + r" \right." * within
    return text


def _split(latex: str, sign: str, brackets: int) -> Iterator[str]:
    """Yield the parts of a formula in front of whose signs there are at most so many brackets open."""
    braces = open = begin = 0
    for token in re.finditer(rf"\\left|\\right|\\begin|\\end|[{{}}]|(?<=\S) (?={sign})", latex):
        braces += {r"\begin": 1, "{": 1, r"\end": -1, "}": -1}.get(token[0], 0)
        open += {r"\left": 1, r"\right": -1}.get(token[0], 0)
        before = latex[: token.start()]
        if token[0] == " " and not braces and open <= brackets and not re.search(AFTER_SIGN, before):
            yield latex[begin : token.start()]
            begin = token.end()
    yield latex[begin:]


def _width(latex: str) -> int:
    """Return about how many letters and signs a formula has."""
    words = re.sub(r"\\(mathrm|operatorname|text|left|right|begin|end|quad)\b\.?|\\[,\\ ]", "", latex)
    words = re.sub(r"\\underset\{[^{}]*\}", "", words)
    return len(re.sub(r"[{}&^\s]", "", re.sub(r"\\[a-zA-Z]+", "x", words.replace(r"\_", "_"))))
