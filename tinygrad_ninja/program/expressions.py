"""Pieces of Python, and how they are put together: calls, operators, indices, templates."""

from __future__ import annotations

import ast
import operator
import threading
from collections.abc import Callable, Mapping
from functools import cache
from string import Formatter
from typing import TYPE_CHECKING, Any

from .dialects import PYTHON, Bracket, Kind
from .pieces import Piece

COMPARED, OR, XOR, AND, SUM, PRODUCT, SIGN, POWER, CALL = range(9)
"""How tightly Python's operators bind, from loose to tight."""


class Code(Piece):
    """A piece of Python."""

    tightest = CALL

    def __str__(self) -> str:
        return self.written(PYTHON)

    @property
    def number(self) -> bool:
        """Return whether it is a Python number, which not every function takes."""
        return self.kind is Kind.NUMBER or (self.level == SIGN and self.parts[1].kind is Kind.NUMBER)

    if TYPE_CHECKING:  # set below
        __sub__: Any
        __truediv__: Any
        __rtruediv__: Any

    def __neg__(self) -> Code:
        if self.level == SIGN and self.parts[0] is MINUS:
            negated: Code = self.parts[1]
            return negated
        return row(MINUS, self.at(SIGN), level=SIGN)

    def __invert__(self) -> Code:
        return row(Code(Kind.SIGN, "~"), self.at(SIGN), level=SIGN)

    def __getitem__(self, key: Any) -> Code:
        return self.item(key if isinstance(key, tuple) else (key,))

    def item(self, key: tuple[Any, ...], view: bool = False) -> Code:
        """Return what an index reads. view: whether it must be a view of even a single element."""
        return row(self.at(CALL), key_of(key, view).fenced(Bracket.SQUARE))

    def attribute(self, name: str) -> Code:
        """Return an attribute."""
        return row(self.at(CALL), Code(Kind.NAME, f".{name}"))

    def method(self, name: str, *arguments: Any, **options: Any) -> Code:
        """Return a call of a method; arguments that are None are left out."""
        return row(self.at(CALL), Code(Kind.METHOD, name), passed(*arguments, **options))


MINUS = Code(Kind.SIGN, "-")


def row(*parts: Code, level: int = CALL) -> Code:
    """Return pieces beside each other."""
    return Code(Kind.ROW, *parts, level=level)


def named(text: str, shape: tuple[int, ...] = ()) -> Code:
    """Return a variable, or what else needs no brackets anywhere, by its name."""
    return Code(Kind.NAME, text, shape=shape)


def listed(*items: Any) -> Code:
    """Return pieces with commas between them."""
    return Code(Kind.LIST, *map(code, items))


def code(x: Any) -> Code:
    """Return anything that may stand in an expression, or between the brackets of an index, as code."""
    if isinstance(x, Code):
        return x
    if isinstance(x, tuple):
        return (row(code(x[0]), named(",")) if len(x) == 1 else listed(*x)).fenced(Bracket.ROUND)
    if isinstance(x, slice):
        ends = [x.start, x.stop] if x.step is None else [x.start, x.stop, x.step]
        return named(":".join("" if end is None else str(end) for end in ends))
    if x is Ellipsis:
        return named("...")
    if not isinstance(x, int | float):
        return named(repr(x))
    number = Code(Kind.NUMBER, repr(abs(x) if x < 0 else x).replace("e-0", "e-"))
    return -number if x < 0 else number


def key_of(key: tuple[Any, ...], view: bool = False) -> Code:
    """Return what stands between the brackets of an index; `...` at the end, which the engine adds, is left
    out, unless it must be a view of even a single element."""
    if len(key) > 1 and key[-1] is Ellipsis and not view:
        key = key[:-1]

    return listed(*key) if key else code(())


def passed(*arguments: Any, **options: Any) -> Code:
    """Return what stands behind the name of a function, the brackets too; arguments that are None are left
    out."""
    by_name = [row(named(f"{option}="), code(value)) for option, value in options.items()]
    return listed(*(x for x in arguments if x is not None), *by_name).fenced(Bracket.ROUND)


def call(function: str, /, *arguments: Any, **options: Any) -> Code:
    """Return the call of a function; arguments that are None are left out."""
    return row(named(function), passed(*arguments, **options))


def assigned(target: Code, sign: str, value: Any) -> Code:
    """Return a statement that gives a variable a value, or changes it: its sign is =, += or the like."""
    return Code(Kind.ASSIGNED, target, Code(Kind.SIGN, f" {sign} "), code(value))


# -- operators -----------------------------------------------------------------------------------------------


def _binary(symbol: str, level: int) -> tuple[Callable[..., Code], Callable[..., Code]]:
    """Return the methods of a binary operator, plain and reflected."""
    sign, close = Code(Kind.SIGN, f" {symbol} "), Code(Kind.SIGN, symbol)

    def left(a: Any, b: Any) -> Code:
        a, b = code(a), code(b)
        # The exponent of a power may be a signed number; otherwise a chain is read from the left.
        sides = (CALL, SIGN) if level == POWER else (level, level + 1)
        between = close if level == POWER and a.level == CALL else sign
        return row(a.at(sides[0]), between, b.at(sides[1]), level=level)

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


# -- templates -----------------------------------------------------------------------------------------------

_OPERATORS: Mapping[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.MatMult: operator.matmul,
    ast.Pow: operator.pow, ast.BitAnd: operator.and_, ast.BitOr: operator.or_, ast.BitXor: operator.xor,
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le,
    ast.Gt: operator.gt, ast.GtE: operator.ge, ast.USub: operator.neg, ast.Invert: operator.invert,
}  # fmt: skip
_HOLE = "value_of_"
_PARSING = threading.Lock()  # in some versions of Python 3.11 two threads cannot do so at once


@cache
def _parsed(template: str) -> ast.expr:
    """Return a template as a tree, in which names that begin with _HOLE stand for those in braces."""
    names = {field for _, field, _, _ in Formatter().parse(template) if field is not None}
    with _PARSING:
        return ast.parse(template.format(**{name: _HOLE + name for name in names}), mode="eval").body


def filled(template: str, values: Mapping[str, Any]) -> Code:
    """Return the code of a template, such as `Facts.in_torch`, with values in place of the names in braces.

    Raise NotImplementedError for anything but calls, operators, indices, attributes, names and constants,
    SyntaxError for what is not Python.
    """
    return _filled(_parsed(template), values)


def _filled(node: ast.AST, values: Mapping[str, Any]) -> Code:
    def inside(part: ast.AST) -> Code:
        return _filled(part, values)

    match node:
        case ast.Name(id=text):
            return code(values[text.removeprefix(_HOLE)]) if text.startswith(_HOLE) else named(text)
        case ast.Constant(value=value):
            return code(value)
        case ast.Tuple(elts=items):
            return code(tuple(map(inside, items)))
        case ast.Attribute() if _is_of_module(node):
            return named(ast.unparse(node))
        case ast.Attribute(value=x, attr=attribute):
            return inside(x).attribute(attribute)
        case ast.Call(func=function, args=arguments, keywords=keywords) if all(k.arg for k in keywords):
            options = {str(keyword.arg): inside(keyword.value) for keyword in keywords}
            if isinstance(function, ast.Attribute) and not _is_of_module(function):
                return inside(function.value).method(function.attr, *map(inside, arguments), **options)
            return row(inside(function).at(CALL), passed(*map(inside, arguments), **options))
        case (
            ast.BinOp(left=left, op=sign, right=right)
            | ast.Compare(left=left, ops=[sign], comparators=[right])
        ) if type(sign) in _OPERATORS:
            return code(_OPERATORS[type(sign)](inside(left), inside(right)))
        case ast.UnaryOp(op=sign, operand=x) if type(sign) in _OPERATORS:
            return code(_OPERATORS[type(sign)](inside(x)))
        case ast.Subscript(value=x, slice=ast.Tuple(elts=items)):
            return inside(x)[tuple(map(inside, items))]
        case ast.Subscript(value=x, slice=key):
            return inside(x)[inside(key)]
    raise NotImplementedError(f"only calls, operators and indices are read, not {ast.unparse(node)}")


def _is_of_module(node: ast.AST) -> bool:
    """Return whether a name is that of a module, or of what is in one: no value stands in front of it."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, ast.Name) and not node.id.startswith(_HOLE)
