"""Formulas as trees of pieces: how they are put together, and broken where they are wider than a page.
`dialects` says how each kind is written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..dialects import LATEX, MATHML, PLAIN, Bracket, Kind
from ..pieces import NEVER, Fragment, Piece, fragments

COMPARED, SUM, PREFIX, SIGN, PRODUCT, POWER, ATOM = range(7)
"""How tightly the parts of a formula bind. PREFIX: it begins with a sum sign, a logarithm or the like, which
apply to everything that is multiplied on their right."""


class Math(Piece):
    """A piece of a formula. shown: the shape that it has as written, without what is broadcast."""

    tightest = ATOM

    def __init__(
        self, kind: Kind, *parts: Math | str, level: int = ATOM, shape: tuple[int, ...] = ()
    ) -> None:
        super().__init__(kind, *parts, level=level, shape=shape)
        self.shown = shape

    @property
    def latex(self) -> str:
        """Return the piece to stand between dollar signs."""
        return self.written(LATEX)

    @property
    def mathml(self) -> str:
        """Return the piece as an element `<math>`."""
        return f'<math xmlns="http://www.w3.org/1998/Math/MathML">{self.written(MATHML)}</math>'

    @property
    def form(self) -> Any:
        """Return what two pieces have in common that are written alike, to be compared."""
        return self.kind, *(part.form if isinstance(part, Math) else part for part in self.parts)

    if TYPE_CHECKING:  # set below
        __add__: Any
        __sub__: Any
        __rsub__: Any

    def like(self, *parts: Math) -> Math:
        """Return this piece with the shape that its parts have together."""
        self.shape = np.broadcast_shapes(*(part.shape for part in parts))
        return self

    @property
    def first(self) -> Math:
        """Return the piece at the very left."""
        piece = self
        while piece.kind in (Kind.ROW, Kind.RATIO, Kind.RAISED, Kind.INDEXED):
            (piece, *_) = piece.parts
        return piece

    @property
    def negative(self) -> bool:
        """Return whether the piece begins with a minus sign that is that of the whole."""
        return self.level in (SIGN, PREFIX) and self.first is MINUS

    def has(self, sign: Math) -> bool:
        """Return whether a sign stands anywhere in the piece."""
        return any(piece is sign for piece in self.walk())

    @property
    def is_one(self) -> bool:
        """Return whether it is the number 1."""
        piece = self
        while piece.kind is Kind.ROW and len(piece.parts) == 1:
            (piece,) = piece.parts
        return piece.kind is Kind.NUMBER and piece.parts == ("1",)

    def __neg__(self) -> Math:
        if self.negative:
            return _without_minus(self, PRODUCT if self.level == SIGN else PREFIX).like(self)
        if self.level == PREFIX:
            return row(MINUS, self, level=PREFIX).like(self)
        return row(MINUS, self.at(PRODUCT), level=SIGN).like(self)

    def __truediv__(self, other: Any) -> Math:
        if self.negative:
            return -(-self / other)
        if self.kind is Kind.FRACTION:
            above, below = self.parts
            return above / (below * other)
        return frac(self, math(other)).like(self, math(other))

    def __rtruediv__(self, other: Any) -> Math:
        return frac(math(other), self).like(self, math(other))

    def __mul__(self, other: Any) -> Math:
        other = math(other)
        if other.level == SIGN or (other.first.kind is Kind.NUMBER and self.first.kind is not Kind.NUMBER):
            self, other = other, self  # numbers first
        if self.level == PREFIX:
            self, other = other, self
        if self.negative and (-self).is_one:
            return -other
        dot = TIMES_EACH if self.shape and other.shape else TIMES
        if other.level == PREFIX:
            return row(self.at(SIGN), dot, other, level=PREFIX).like(self, other)
        level = PRODUCT if self.level != SIGN else SIGN
        return row(self.at(SIGN), dot, other.at(PRODUCT), level=level).like(self, other)

    __rmul__ = __mul__

    def __matmul__(self, other: Any) -> Math:
        return row(self.at(PRODUCT), Math(Kind.GAP), math(other).at(POWER), level=PRODUCT)

    def __pow__(self, other: Any) -> Math:
        return sup(self, exponent(other)).like(self)

    def __rpow__(self, other: Any) -> Math:
        return sup(math(other), self)

    def __mod__(self, other: Any) -> Math:
        return row(self.at(PRODUCT), op(r"\operatorname{mod}", "mod"), math(other).at(POWER), level=PRODUCT)

    def __floordiv__(self, other: Any) -> Math:
        return (self / other).fenced(Bracket.FLOOR)

    def __invert__(self) -> Math:
        return row(op(r"\lnot", "¬"), self.at(ATOM))

    def __getitem__(self, key: Any) -> Math:
        return sub(self.at(ATOM), key_of(key if isinstance(key, tuple) else (key,)))


def op(latex: str, sign: str = "") -> Math:
    """Return an operator."""
    return Math(Kind.SIGN, latex, sign or latex)


MINUS, EQUALS, PLUS, LESS = op("-"), op("="), op("+"), op("-", "−")
TIMES, TIMES_EACH, TRANSPOSED = op(r"\cdot", "⋅"), op(r"\odot", "⊙"), op(r"\top", "⊤")
"""Signs that are asked for: MINUS stands before a piece, LESS between two."""


def _without_minus(x: Math, level: int) -> Math:
    """Return a row without the minus sign at its very left."""
    begin, *rest = x.parts
    if begin is not MINUS:
        assert isinstance(begin, Math)
        rest = [_without_minus(begin, PRODUCT), *rest]
    return row(*rest, level=level)


_OPPOSITE = {PLUS: LESS, LESS: PLUS}
"""What a sign becomes before something negative."""


def _infix(sign: Math, level: int, swapped: bool = False) -> Any:
    def write(a: Any, b: Any) -> Math:
        a, b = (math(b), math(a)) if swapped else (math(a), math(b))
        if sign in _OPPOSITE and b.negative:
            return row(a.at(level), _OPPOSITE[sign], (-b).at(level + 1), level=level).like(a, b)
        return row(a.at(level), sign, b.at(level + 1), level=level).like(a, b)

    return write


for _name, _sign, _level in (
    ("__add__", PLUS, SUM), ("__sub__", LESS, SUM), ("__xor__", op(r"\oplus", "⊕"), SUM),
    ("__and__", op(r"\land", "∧"), COMPARED), ("__or__", op(r"\lor", "∨"), COMPARED),
    ("__eq__", EQUALS, COMPARED), ("__ne__", op(r"\neq", "≠"), COMPARED), ("__lt__", op("<"), COMPARED),
    ("__le__", op(r"\leq", "≤"), COMPARED), ("__gt__", op(">"), COMPARED),
    ("__ge__", op(r"\geq", "≥"), COMPARED),
):  # fmt: skip
    setattr(Math, _name, _infix(_sign, _level))
    if _level == SUM or _name in ("__and__", "__or__"):
        setattr(Math, f"__r{_name[2:]}", _infix(_sign, _level, swapped=True))


# -- pieces --------------------------------------------------------------------------------------------------


def row(*parts: Math, level: int = ATOM) -> Math:
    """Return pieces beside each other."""
    return Math(Kind.ROW, *parts, level=level)


def listed(parts: Iterable[Any]) -> Math:
    """Return pieces, or numbers, with commas between them."""
    return Math(Kind.LIST, *map(math, parts), level=COMPARED)


def frac(a: Math, b: Math) -> Math:
    """Return a fraction."""
    return Math(Kind.FRACTION, a, b, level=POWER)


def sup(a: Math, b: Math) -> Math:
    """Return a power, or a mark above."""
    return Math(Kind.RAISED, a.at(ATOM), b, level=POWER)


def sub(a: Math, b: Math) -> Math:
    """Return an index below."""
    return Math(Kind.INDEXED, a, b)


def over(sign: tuple[str, str], below: Math | None, x: Math) -> Math:
    """Return a sum of a piece, or the like. below: what stands under the sign."""
    large = op(*sign)
    if below is not None:
        large = Math(Kind.LIMITED, large, below)
    return row(large, x.at(PREFIX), level=PREFIX)


def apply(name: str, *arguments: Any, below: Math | None = None, above: Math | None = None) -> Math:
    """Return a function, by its name, of its arguments. below, above: what stands there at the name."""
    called = Math(Kind.FUNCTION, name)
    called = called if below is None else sub(called, below)
    return row(called if above is None else sup(called, above), listed(arguments).at(ATOM))


def name(text: str, shape: tuple[int, ...] | None = None) -> Math:
    """Return a variable by its name, with its shape under it if that is given."""
    called = Math(Kind.NAME, text)
    return Math(Kind.LABELLED, called, size_of(shape)) if shape else called


def size_of(shape: Any) -> Math:
    """Return a shape as its sizes; of a single number 1."""
    return Math(Kind.SIZE, *(map(str, shape or (1,)) if isinstance(shape, tuple) else (str(shape),)))


def dims(axis: Any) -> Math:
    """Return dimensions, as in "along dim 1"."""
    return Math(Kind.TEXT, f"dim {', '.join(map(str, axis if isinstance(axis, tuple) else (axis,)))}")


def math(x: Any) -> Math:
    """Return a number as mathematics; a piece of mathematics unchanged."""
    if isinstance(x, Math):
        return x
    if isinstance(x, tuple):
        return listed(x).at(ATOM)
    if not isinstance(x, int | float | np.number) or isinstance(x, bool):
        return name(str(x))
    if isinstance(x, float) and 0 < abs(x) < 1 and len(repr(x)) > 6 and 1 / round(1 / x) == x:
        fraction = frac(math(1), math(abs(round(1 / x))))
        return -fraction if x < 0 else fraction
    text = f"{abs(x):.6g}"
    x = 0 if text == "0" else x  # there is no -0 to a reader
    digits, _, power = text.partition("e")
    number = Math(Kind.NUMBER, digits)
    if power:
        factors = [] if digits == "1" else [number, TIMES]
        number = row(*factors, sup(math(10), math(int(power))), level=PRODUCT)
    return -number if x < 0 else number


def exponent(x: Any) -> Math:
    """Return an exponent, with halves as fractions."""
    if isinstance(x, float) and not x.is_integer() and (2 * x).is_integer():
        half = Math(Kind.RATIO, math(abs(int(2 * x))), math(2))
        return -half if x < 0 else half
    return math(x)


def key_of(key: tuple[Any, ...]) -> Math:
    """Return what stands below a value that is read by an index."""

    def item(x: Any) -> Any:
        if isinstance(x, slice):
            ends = ["" if end is None else str(end) for end in (x.start, x.stop)]
            return Math(Kind.RANGE, ":".join(ends) + (f":{x.step}" if x.step else ""))
        return op(r"\ast", "∗") if x is None else x

    return listed(item(entry) for entry in key if entry is not Ellipsis)


# -- with indices --------------------------------------------------------------------------------------------


def with_index(x: Math, index: Sequence[Math]) -> Math:
    """Return a name with its indices below."""
    if not index:
        return x
    short = all(i.kind is Kind.NUMBER or (i.kind is Kind.NAME and len(i.parts[0]) == 1) for i in index)
    return sub(x, row(*index) if short else row(listed(index)))


def over_all(
    sign: tuple[str, str], below: Sequence[Math], x: Math, conditions: tuple[Math, ...] = ()
) -> Math:
    """Return a sum, or the like, over indices, under conditions if there are any."""
    if not below:
        return x
    under = [*below, op(r"\,:\,", ":"), listed(conditions)] if conditions else below
    return over(sign, row(*under), x)


def place(i: Math | None) -> Math:
    """Return an index; 0 in a dimension of size 1, which has none."""
    return math(0) if i is None else i


def bracket(a: Math, b: Math | None) -> Math:
    """Return 1 where an index is another, and 0 elsewhere, as Iverson writes it."""
    return row(a, EQUALS, place(b)).fenced(Bracket.SQUARE)


def within(start: int, i: Math, stop: int) -> Math:
    """Return 1 where an index is in a range, and 0 elsewhere."""
    first = (math(start), op(r"\leq", "≤")) if start else ()
    return row(*first, i, op("<"), math(stop)).fenced(Bracket.SQUARE)


# -- on a page ----------------------------------------------------------------------------------------------

WIDTH = 70
"""The most letters and signs in a line of a formula."""

BREAKS = [(signs, brackets) for brackets in (0, 1) for signs in ((PLUS, LESS), (TIMES, TIMES_EACH))]
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
