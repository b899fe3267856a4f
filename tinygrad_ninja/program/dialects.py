"""How a piece is written in each dialect: Python, and of formulas LaTeX, MathML, and plain text, whose length
is about how wide a formula is.

A dialect is a table: for each kind of piece, a function of the texts of its parts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum, auto
from xml.sax.saxutils import escape

Form = Callable[[list[str]], str]


class Kind(Enum):
    """The kinds of pieces, each with its parts."""

    NUMBER = auto()  # its digits
    NAME = auto()  # its text, of a variable
    FUNCTION = auto()  # its text
    TEXT = auto()  # words
    RANGE = auto()  # what a slice reads, its text
    SIZE = auto()  # the sizes of an array
    SIGN = auto()  # LaTeX or Python, and in a formula the letter
    ASSIGNED = auto()  # a variable, a sign, and what it is set to
    METHOD = auto()  # the name, of what stands in front of it
    GAP = auto()  # nothing: as between the factors of a matrix product
    ROW = auto()  # pieces beside each other
    LIST = auto()  # pieces, with commas between them
    FRACTION = auto()  # what is above, and below
    RATIO = auto()  # the same, in one line
    RAISED = auto()  # a piece, and what is above at its right
    INDEXED = auto()  # a piece, and what is below at its right
    LABELLED = auto()  # a piece, and what is under it
    LIMITED = auto()  # the sign of a sum or the like, and what is under it
    ROOT = auto()  # a piece
    FENCED = auto()  # the first of two brackets, and what is between them
    CASES = auto()  # a piece, when it is meant, and the one that is meant otherwise


class Bracket(Enum):
    """Pairs of brackets, each with its two halves in LaTeX and in MathML."""

    ROUND = r"\left(", r"\right)", "(", ")"
    SQUARE = r"\left[", r"\right]", "[", "]"
    BARS = r"\left| ", r" \right|", "|", "|"
    FLOOR = r"\left\lfloor ", r" \right\rfloor", "⌊", "⌋"


def _filled(template: str) -> Form:
    return lambda parts: template.format(*parts)


def _word(text: str) -> str:
    """Return a name in the form that LaTeX takes."""
    return text.replace("_", r"\_")


def _mo(sign: str) -> str:
    """Return an operator as MathML."""
    return f"<mo>{escape(sign)}</mo>"


def _one(parts: list[str]) -> list[str]:
    """Return each part as one element, since a fraction or a power takes exactly two."""
    return [f"<mrow>{part}</mrow>" for part in parts]


LATEX: Mapping[Kind, Form] = {
    Kind.NUMBER: "".join,
    Kind.NAME: lambda parts: parts[0] if len(parts[0]) == 1 else rf"\mathrm{{{_word(parts[0])}}}",
    Kind.FUNCTION: lambda parts: rf"\operatorname{{{_word(parts[0])}}}",
    Kind.TEXT: _filled(r"\text{{{}}}"),
    Kind.RANGE: "".join,
    Kind.SIZE: r"\times ".join,
    Kind.SIGN: lambda parts: parts[0],
    Kind.GAP: lambda _: r"\,",
    Kind.ROW: " ".join,
    Kind.LIST: ", ".join,
    Kind.FRACTION: _filled(r"\frac{{{}}}{{{}}}"),
    Kind.RATIO: "/".join,
    Kind.RAISED: _filled("{}^{{{}}}"),
    **dict.fromkeys((Kind.INDEXED, Kind.LIMITED), _filled("{}_{{{}}}")),
    Kind.LABELLED: lambda parts: rf"\underset{{{parts[1]}}}{{{parts[0]}}}",
    Kind.ROOT: _filled(r"\sqrt{{{}}}"),
    Kind.FENCED: lambda parts: f"{Bracket[parts[0]].value[0]}{parts[1]}{Bracket[parts[0]].value[1]}",
    Kind.CASES: _filled(r"\begin{{cases}} {} & \text{{if }} {} \\ {} & \text{{otherwise}} \end{{cases}}"),
}

MATHML: Mapping[Kind, Form] = {
    Kind.NUMBER: _filled("<mn>{}</mn>"),
    **dict.fromkeys((Kind.NAME, Kind.FUNCTION), lambda parts: f"<mi>{escape(parts[0])}</mi>"),
    **dict.fromkeys((Kind.TEXT, Kind.RANGE), lambda parts: f"<mtext>{escape(parts[0])}</mtext>"),
    Kind.SIZE: lambda parts: f"<mtext>{'×'.join(parts)}</mtext>",
    Kind.SIGN: lambda parts: _mo(parts[1]),
    Kind.GAP: lambda _: '<mspace width="0.17em"/>',
    Kind.ROW: lambda parts: f"<mrow>{''.join(parts)}</mrow>",
    Kind.LIST: lambda parts: _mo(",").join(parts) or "<mrow/>",
    Kind.FRACTION: lambda parts: f"<mfrac>{''.join(_one(parts))}</mfrac>",
    Kind.RATIO: lambda parts: f"<mrow>{_mo('/').join(parts)}</mrow>",
    Kind.RAISED: lambda parts: f"<msup>{''.join(_one(parts))}</msup>",
    Kind.INDEXED: lambda parts: f"<msub>{''.join(_one(parts))}</msub>",
    **dict.fromkeys((Kind.LABELLED, Kind.LIMITED), _filled("<munder>{}{}</munder>")),
    Kind.ROOT: _filled("<msqrt>{}</msqrt>"),
    Kind.FENCED: lambda parts: (
        f"<mrow>{_mo(Bracket[parts[0]].value[2])}{parts[1]}{_mo(Bracket[parts[0]].value[3])}</mrow>"
    ),
    Kind.CASES: _filled(
        f"<mrow>{_mo('{')}<mtable>".replace("{", "{{")
        + "<mtr><mtd>{}</mtd><mtd><mtext>if&#160;</mtext>{}</mtd></mtr>"
        "<mtr><mtd>{}</mtd><mtd><mtext>otherwise</mtext></mtd></mtr></mtable></mrow>"
    ),
}

PLAIN: Mapping[Kind, Form] = {
    **dict.fromkeys(Kind, "".join),
    Kind.SIGN: lambda parts: parts[1],
    Kind.SIZE: "×".join,
    Kind.LIST: ",".join,
    Kind.FRACTION: "/".join,
    Kind.RATIO: "/".join,
    Kind.INDEXED: "_".join,
    Kind.LABELLED: lambda parts: parts[0],
    Kind.ROOT: _filled("√{}"),
    Kind.FENCED: lambda parts: Bracket[parts[0]].value[2] + parts[1] + Bracket[parts[0]].value[3],
    Kind.CASES: _filled("{{{}if{}{}otherwise"),
}

PYTHON: Mapping[Kind, Form] = {
    **dict.fromkeys((Kind.NUMBER, Kind.NAME, Kind.SIGN, Kind.ROW, Kind.ASSIGNED), "".join),
    Kind.METHOD: _filled(".{}"),
    Kind.LIST: ", ".join,
    Kind.FENCED: PLAIN[Kind.FENCED],
}
