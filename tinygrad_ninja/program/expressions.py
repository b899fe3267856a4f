"""Pieces of Python, and how they are put together: calls, operators, indices, templates."""

from __future__ import annotations

import ast
from collections.abc import Callable
from string import Formatter
from typing import TYPE_CHECKING, Any

COMPARED, OR, XOR, AND, SUM, PRODUCT, SIGN, POWER, CALL = range(9)
"""How tightly Python's operators bind, from loose to tight."""


class Code:
    """A piece of Python, how tightly its outermost operator binds, and the shape of its value.

    number: whether it is a Python number, which not every function takes.
    """

    def __init__(self, text: str, level: int = CALL, shape: tuple[int, ...] = ()) -> None:
        self.text = text
        self.level = level
        self.shape = shape
        self.number = False

    def at(self, level: int) -> str:
        """Return the text, in brackets where it binds less tightly than `level`."""
        return self.text if self.level >= level else f"({self.text})"

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __str__(self) -> str:
        return self.text

    if TYPE_CHECKING:  # set below
        __sub__: Any
        __truediv__: Any
        __rtruediv__: Any

    def __neg__(self) -> Code:
        if self.level == SIGN and self.text.startswith("-"):
            return Code(self.text[1:], SIGN)
        return Code(f"-{self.at(SIGN)}", SIGN)

    def __invert__(self) -> Code:
        return Code(f"~{self.at(SIGN)}", SIGN)

    def __getitem__(self, key: Any) -> Code:
        return Code(f"{self.at(CALL)}[{key_text(key if isinstance(key, tuple) else (key,))}]")

    def method(self, name: str, *arguments: Any, **options: Any) -> Code:
        """Return a call of a method; arguments that are None are left out."""
        return call(f"{self.at(CALL)}.{name}", *arguments, **options)


def _binary(symbol: str, level: int) -> tuple[Callable[..., Code], Callable[..., Code]]:
    """Return the methods of a binary operator, plain and reflected."""

    def left(a: Any, b: Any) -> Code:
        a, b = code(a), code(b)
        # The exponent of a power may be a signed number; otherwise a chain is read from the left.
        sides = (CALL, SIGN) if level == POWER else (level, level + 1)
        space = "" if level == POWER and a.level == CALL else " "
        return Code(f"{a.at(sides[0])}{space}{symbol}{space}{b.at(sides[1])}", level)

    return left, lambda b, a: left(a, b)


for _name, _symbol, _level in (
    ("__add__", "+", SUM), ("__sub__", "-", SUM), ("__mul__", "*", PRODUCT), ("__truediv__", "/", PRODUCT),
    ("__floordiv__", "//", PRODUCT), ("__mod__", "%", PRODUCT), ("__matmul__", "@", PRODUCT),
    ("__pow__", "**", POWER), ("__and__", "&", AND), ("__or__", "|", OR), ("__xor__", "^", XOR),
    ("__eq__", "==", COMPARED), ("__ne__", "!=", COMPARED), ("__lt__", "<", COMPARED),
    ("__le__", "<=", COMPARED), ("__gt__", ">", COMPARED), ("__ge__", ">=", COMPARED),
):  # fmt: skip
    _left, _right = _binary(_symbol, _level)
    setattr(Code, _name, _left)
    if _level != COMPARED:  # Python itself reflects comparisons
        setattr(Code, f"__r{_name[2:]}", _right)


def code(x: Any) -> Code:
    """Return anything that may stand in an expression, as code."""
    if isinstance(x, Code):
        return x
    if isinstance(x, tuple):
        return Code(f"({', '.join(map(str, map(code, x)))}{',' * (len(x) == 1)})")
    is_number = isinstance(x, int | float)
    written = Code(repr(x).replace("e-0", "e-"), SIGN if is_number and x < 0 else CALL)
    written.number = is_number
    return written


def key_text(key: tuple[Any, ...], view: bool = False) -> str:
    """Return the text between the brackets of an index; `...` at the end, which the engine adds, is left out,
    unless it must be a view of even a single element."""
    if len(key) > 1 and key[-1] is Ellipsis and not view:
        key = key[:-1]

    def item(x: Any) -> str:
        if isinstance(x, slice):
            parts = ["" if end is None else str(end) for end in (x.start, x.stop, x.step)]
            return ":".join(parts if x.step is not None else parts[:2])
        return "..." if x is Ellipsis else str(code(x))

    return ", ".join(map(item, key)) or "()"


def call(function: str, *arguments: Any, **options: Any) -> Code:
    """Return the call of a function; arguments that are None are left out."""
    given = [str(code(argument)) for argument in arguments if argument is not None]
    given += [f"{name}={code(value)}" for name, value in options.items()]
    return Code(f"{function}({', '.join(given)})")


def filled(template: str, values: dict[str, Any]) -> Code:
    """Return a call that is written as a template, such as `Facts.in_torch`, with values in place of the
    names in braces."""
    text, parts = "", list(Formatter().parse(template))
    follows = [before for before, *_ in parts[1:]]
    for (before, name, _, _), after in zip(parts, [*follows, ""], strict=True):
        text += before
        if name is not None:
            alone = before.endswith(("(", ", ", "=")) and after.startswith((")", ", "))
            text += code(values[name]).at(COMPARED if alone else CALL)
    operators = (ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.IfExp)
    return Code(text, COMPARED if isinstance(ast.parse(text, mode="eval").body, operators) else CALL)
