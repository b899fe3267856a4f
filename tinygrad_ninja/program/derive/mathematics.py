"""Pieces of formulas, each as LaTeX and as MathML at once, and how they are put together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

import numpy as np

COMPARED, SUM, PREFIX, SIGN, PRODUCT, POWER, ATOM = range(7)
"""How tightly the parts of a formula bind. PREFIX: it begins with a sum sign, a logarithm or the like, which
apply to everything that is multiplied on their right."""


class Math:
    """A piece of a formula: its LaTeX, its MathML, and how tightly it binds."""

    def __init__(self, latex: str, mathml: str, level: int = ATOM, shape: tuple[int, ...] = ()) -> None:
        self.latex = latex
        self.mathml = mathml
        self.level = level
        self.shape = shape
        self.shown = shape
        self.over: tuple[Math, Math] | None = None  # of a fraction, what is above and below

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def at(self, level: int) -> Math:
        """Return this piece, in brackets where it binds less tightly than `level`."""
        if self.level >= level:
            return self
        return Math(rf"\left({self.latex}\right)", f"<mrow>{mo('(')}{self.mathml}{mo(')')}</mrow>")

    if TYPE_CHECKING:  # set below
        __add__: Any
        __sub__: Any
        __rsub__: Any

    def like(self, *parts: Math) -> Math:
        """Return this piece with the shape that its parts have together."""
        self.shape = np.broadcast_shapes(*(part.shape for part in parts))
        return self

    @property
    def negative(self) -> bool:
        """Return whether the piece begins with a minus sign that is that of the whole."""
        return self.level in (SIGN, PREFIX) and self.latex.startswith("- ")

    def __neg__(self) -> Math:
        if self.negative:
            level = PRODUCT if self.level == SIGN else PREFIX
            return Math(self.latex[2:], self.mathml.replace(mo("-"), "", 1), level).like(self)
        if self.level == PREFIX:
            return row(op("-"), self, level=PREFIX).like(self)
        return row(op("-"), self.at(PRODUCT), level=SIGN).like(self)

    def __truediv__(self, other: Any) -> Math:
        if self.negative:
            return -(-self / other)
        if self.over is not None:
            above, below = self.over
            return above / (below * other)
        return frac(self, math(other)).like(self, math(other))

    def __rtruediv__(self, other: Any) -> Math:
        return frac(math(other), self).like(self, math(other))

    def __mul__(self, other: Any) -> Math:
        other = math(other)
        if other.level == SIGN or (other.latex[:1].isdigit() and not self.latex[:1].isdigit()):
            self, other = other, self  # numbers first
        if self.level == PREFIX:
            self, other = other, self
        if self.latex == "- 1":
            return -other
        dot = op(r"\odot", "⊙") if self.shape and other.shape else op(r"\cdot", "⋅")
        if other.level == PREFIX:
            return row(self.at(SIGN), dot, other, level=PREFIX).like(self, other)
        level = PRODUCT if self.level != SIGN else SIGN
        return row(self.at(SIGN), dot, other.at(PRODUCT), level=level).like(self, other)

    __rmul__ = __mul__

    def __matmul__(self, other: Any) -> Math:
        return row(
            self.at(PRODUCT), Math(r"\,", '<mspace width="0.17em"/>'), math(other).at(POWER), level=PRODUCT
        )

    def __pow__(self, other: Any) -> Math:
        return sup(self, exponent(other)).like(self)

    def __rpow__(self, other: Any) -> Math:
        return sup(math(other), self)

    def __mod__(self, other: Any) -> Math:
        return row(self.at(PRODUCT), op(r"\operatorname{mod}", "mod"), math(other).at(POWER), level=PRODUCT)

    def __floordiv__(self, other: Any) -> Math:
        return fenced(r"\lfloor", "⌊", self / other, r"\rfloor", "⌋")

    def __invert__(self) -> Math:
        return row(op(r"\lnot", "¬"), self.at(ATOM))

    def __getitem__(self, key: Any) -> Math:
        return sub(self.at(ATOM), key_of(key if isinstance(key, tuple) else (key,)))


_OPPOSITE = {"+": ("-", "−"), "-": ("+", "+")}
"""What a sign becomes before something negative."""


def _infix(symbol: str, sign: str, level: int, swapped: bool = False) -> Any:
    def write(a: Any, b: Any) -> Math:
        a, b = (math(b), math(a)) if swapped else (math(a), math(b))
        if symbol in _OPPOSITE and b.negative:
            return row(a.at(level), op(*_OPPOSITE[symbol]), (-b).at(level + 1), level=level).like(a, b)
        return row(a.at(level), op(symbol, sign), b.at(level + 1), level=level).like(a, b)

    return write


for _name, _latex, _sign, _level in (
    ("__add__", "+", "+", SUM), ("__sub__", "-", "−", SUM), ("__xor__", r"\oplus", "⊕", SUM),
    ("__and__", r"\land", "∧", COMPARED), ("__or__", r"\lor", "∨", COMPARED), ("__eq__", "=", "=", COMPARED),
    ("__ne__", r"\neq", "≠", COMPARED), ("__lt__", "<", "<", COMPARED), ("__le__", r"\leq", "≤", COMPARED),
    ("__gt__", ">", ">", COMPARED), ("__ge__", r"\geq", "≥", COMPARED),
):  # fmt: skip
    setattr(Math, _name, _infix(_latex, _sign, _level))
    if _level == SUM or _name in ("__and__", "__or__"):
        setattr(Math, f"__r{_name[2:]}", _infix(_latex, _sign, _level, swapped=True))


# -- pieces --------------------------------------------------------------------------------------------------


def mo(sign: str) -> str:
    """Return an operator as MathML."""
    return f"<mo>{escape(sign)}</mo>"


def op(latex: str, sign: str = "") -> Math:
    """Return an operator."""
    return Math(latex, mo(sign or latex))


def row(*parts: Math, level: int = ATOM) -> Math:
    """Return pieces beside each other."""
    return Math(
        " ".join(part.latex for part in parts), f"<mrow>{''.join(e.mathml for e in parts)}</mrow>", level
    )


def frac(a: Math, b: Math) -> Math:
    """Return a fraction."""
    fraction = Math(rf"\frac{{{a.latex}}}{{{b.latex}}}", f"<mfrac>{_one(a)}{_one(b)}</mfrac>", POWER)
    fraction.over = a, b
    return fraction


def sup(a: Math, b: Math) -> Math:
    """Return a power, or a mark above."""
    a = a.at(ATOM)
    return Math(f"{a.latex}^{{{b.latex}}}", f"<msup>{_one(a)}{_one(b)}</msup>", POWER)


def sub(a: Math, b: Math) -> Math:
    """Return an index below."""
    return Math(f"{a.latex}_{{{b.latex}}}", f"<msub>{_one(a)}{_one(b)}</msub>")


def fenced(left: str, left_sign: str, x: Math, right: str, right_sign: str) -> Math:
    """Return a piece between two signs."""
    return Math(
        rf"\left{left} {x.latex} \right{right}", f"<mrow>{mo(left_sign)}{x.mathml}{mo(right_sign)}</mrow>"
    )


def apply(name: str, *arguments: Any, below: Math | None = None, above: Math | None = None) -> Math:
    """Return a function, by its name, of its arguments. below, above: what stands there at the name."""
    parts = [math(argument) for argument in arguments]
    inside = Math(", ".join(e.latex for e in parts), mo(",").join(e.mathml for e in parts), COMPARED)
    called = Math(rf"\operatorname{{{plain(name)}}}", f"<mi>{escape(name)}</mi>")
    called = called if below is None else sub(called, below)
    return row(called if above is None else sup(called, above), inside.at(ATOM))


def name(text: str, shape: tuple[int, ...] | None = None) -> Math:
    """Return a function, by its name, of its arguments. below, above: pieces below and above the name."""
    written = Math(text if len(text) == 1 else rf"\mathrm{{{plain(text)}}}", f"<mi>{escape(text)}</mi>")
    if shape:
        size = size_of(shape)
        written = Math(
            rf"\underset{{{size.latex}}}{{{written.latex}}}",
            f"<munder>{written.mathml}{size.mathml}</munder>",
        )
    return written


def size_of(shape: Any) -> Math:
    """Return a shape as its sizes; of a single number 1."""
    sizes = [str(n) for n in shape] if isinstance(shape, tuple) else [str(shape)]
    return Math(r"\times ".join(sizes or ["1"]), f"<mtext>{'×'.join(sizes or ['1'])}</mtext>")


def dims(axis: Any) -> Math:
    """Return dimensions, as in "along dim 1"."""
    text = f"dim {', '.join(map(str, axis if isinstance(axis, tuple) else (axis,)))}"
    return Math(rf"\text{{{text}}}", f"<mtext>{text}</mtext>")


def math(x: Any) -> Math:
    """Return a number as mathematics; a piece of mathematics unchanged."""
    if isinstance(x, Math):
        return x
    if isinstance(x, tuple):
        parts = [math(item) for item in x]
        return Math(", ".join(e.latex for e in parts), mo(",").join(e.mathml for e in parts), COMPARED).at(
            ATOM
        )
    if not isinstance(x, int | float | np.number) or isinstance(x, bool):
        return name(str(x))
    if (
        isinstance(x, float)
        and x
        and not x.is_integer()
        and abs(x) < 1
        and len(repr(x)) > 6
        and 1 / round(1 / x) == x
    ):
        fraction = frac(math(1), math(abs(round(1 / x))))
        return -fraction if x < 0 else fraction
    text = f"{abs(x):.6g}"
    x = 0 if text == "0" else x  # there is no -0 to a reader
    digits, _, power = text.partition("e")
    number = Math(digits, f"<mn>{digits}</mn>")
    if power:
        number = row(
            *([] if digits == "1" else [number, op(r"\cdot", "⋅")]),
            sup(math(10), math(int(power))),
            level=PRODUCT,
        )
    return -number if x < 0 else number


def exponent(x: Any) -> Math:
    """Return an exponent, with halves as fractions."""
    if isinstance(x, float) and not x.is_integer() and (2 * x).is_integer():
        half = Math(f"{abs(int(2 * x))}/2", f"<mrow><mn>{abs(int(2 * x))}</mn>{mo('/')}<mn>2</mn></mrow>")
        return -half if x < 0 else half
    return math(x)


def _one(x: Math) -> str:
    """Return the MathML as one element, since a fraction or a power takes exactly two."""
    return f"<mrow>{x.mathml}</mrow>"


def plain(text: str) -> str:
    """Return a name in the form that LaTeX takes."""
    return text.replace("_", r"\_")


def key_of(key: tuple[Any, ...]) -> Math:
    """Return what stands below a value that is read by an index."""

    def item(x: Any) -> Math:
        if isinstance(x, slice):
            ends = ["" if end is None else str(end) for end in (x.start, x.stop)]
            text = ":".join(ends) + (f":{x.step}" if x.step else "")
            return Math(text, f"<mtext>{text}</mtext>")
        return Math(r"\ast", mo("∗")) if x is None else math(x)

    items = [item(entry) for entry in key if entry is not Ellipsis]
    return Math(", ".join(e.latex for e in items), mo(",").join(e.mathml for e in items) or "<mrow/>")
