"""Formulas on a page, broken where they are wider than it."""

from __future__ import annotations

import re
from collections.abc import Iterator

WIDTH = 80
"""The most letters and signs in a line of a formula."""


def displayed(latex: str) -> str:
    """Return an equation as Markdown shows it by itself; a wide one in several lines, each but the first with
    a sign of the sum in front."""
    left, equals, right = latex.partition(" = ")
    terms = list(_terms(right))
    if _width(latex) <= WIDTH or len(terms) < 2:
        return f"$${latex}$$"
    lines = [f"{left} &{equals.lstrip()}{terms[0]}"]
    for term in terms[1:]:
        if _width(lines[-1] + term) <= WIDTH:
            lines[-1] += f" {term}"
        else:
            lines.append(rf"&\quad {term}")
    broken = r" \\ ".join(lines)
    return rf"$$\begin{{aligned}} {broken} \end{{aligned}}$$"


def _terms(latex: str) -> Iterator[str]:
    """Yield the terms of a sum, each but the first with its sign; what is in brackets or braces is one."""
    depth = begin = 0
    for token in re.finditer(r"\\left|\\right|\\begin|\\end|[{}]|(?<=\S) (?=[+-] )", latex):
        depth += {r"\left": 1, r"\begin": 1, "{": 1, r"\right": -1, r"\end": -1, "}": -1}.get(token[0], 0)
        if (
            token[0] == " "
            and not depth
            and not re.search(r"(\\cdot|\\odot|\\,|[=+-])$", latex[: token.start()])
        ):
            yield latex[begin : token.start()]
            begin = token.end()
    yield latex[begin:]


def _width(latex: str) -> int:
    """Return about how many letters and signs a formula has."""
    words = re.sub(r"\\(mathrm|operatorname|text|left|right|begin|end|quad)\b|\\[,\\ ]", "", latex)
    return len(re.sub(r"[{}&^\s]", "", re.sub(r"\\[a-zA-Z]+", "x", words.replace(r"\_", "_"))))
