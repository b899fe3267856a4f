"""From C as data to its text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from operator import attrgetter
from typing import Any

from ...comments import c_comment
from . import sharing
from .buffers import Buffer
from .c_code import (
    ZERO,
    Affine,
    Apply,
    Block,
    Element,
    Expression,
    Literal,
    Load,
    Loop,
    Named,
    Pointer,
    Statement,
    Store,
)  # fmt: skip
from .c_source import CFunction
from .scalars import c_type


class Writer:
    """Writes the statements of a function, each value with a name once.

    names: the names of its buffers; number: gives the text of a number with digits behind the point; copies:
    what is read from rows on the stack; notes: whether a comment says which variable a value is.
    """

    def __init__(
        self,
        names: Mapping[Buffer, str],
        number: Callable[[Literal], str] = attrgetter("text"),
        copies: Iterable[tuple[Buffer, Affine]] = (),
        notes: bool = True,
    ) -> None:
        self._names, self._number, self._copies, self._notes = names, number, {*copies}, notes
        self._named: dict[Named, str] = {}
        self._stored: dict[tuple[Buffer, Affine], Expression] = {}
        self._depth = 1
        self.threads = False  # whether they share anything in these statements
        self.lines: list[str] = []

    def write(self, statements: Iterable[Statement]) -> None:
        """Add the lines of statements."""
        for statement in statements:
            if isinstance(statement, Loop):
                self._loop(statement)
            elif isinstance(statement, Block):
                self.threads |= statement.threads
                self._block(statement.head, statement.inner, sharing.REGION if statement.threads else "")
            elif isinstance(statement, Store):
                value = self.text(statement.value)
                if statement.read:
                    self._line(f"{self.text(Element(statement.buffer, statement.place))} = {value};")
                self._stored[statement.buffer, statement.place] = statement.value
            elif isinstance(statement, (Named, Literal)):
                self.text(statement)  # which adds its line
            else:
                self._line(self.text(statement))

    def _line(self, text: str) -> None:
        self.lines.append("  " * self._depth + text)

    def _loop(self, loop: Loop) -> None:
        name, begin, end = loop.counter, self.text(loop.begin), self.text(loop.end)
        onwards = f"{name}++" if loop.step == 1 else f"{name} += {loop.step}"
        head = f"for (int {name} = {begin}; {name} < {end}; {onwards})"
        self.threads |= loop.threads
        self._block(head, loop.inner, sharing.LOOP if loop.threads else loop.pragma)

    def _block(self, head: str, inner: list[Statement], pragma: str) -> None:
        if pragma:
            self.lines.append(pragma)
        self._line(f"{head} {{".lstrip())
        self._depth += 1
        self.write(inner)
        self._depth -= 1
        self._line("}")

    def text(self, x: Any) -> str:
        """Return the text of an expression; before it stand the lines of the values in it that have names."""
        if isinstance(x, str):
            return x
        if isinstance(x, Named):
            return self._named.get(x) or self._name(x)
        if isinstance(x, Apply):
            return x.template.format_map({name: self.text(part) for name, part in x.parts.items()})
        if isinstance(x, Load):
            value = self._stored.get((x.buffer, x.place))
            if value is not None:
                return self.text(value)
            row = "_row" if (x.buffer, x.place) in self._copies else ""
            return f"{self._names[x.buffer]}{row}[{self.text(x.place)}]"
        if isinstance(x, Affine):
            texts = [str(x.offset)] if x.offset or not x.terms else []
            steps = [(self.text(name), step) for name, step in x.terms]
            return " + ".join([*texts, *(name if step == 1 else f"{name} * {step}" for name, step in steps)])
        if isinstance(x, Element):
            return f"{self._names[x.buffer]}[{self.text(x.place)}]"
        if isinstance(x, Pointer):
            start = self._names[x.buffer]
            return start if x.place == ZERO else f"{start} + {self.text(x.place)}"
        if isinstance(x, Literal):
            return self._number(x) if x.kind else x.text
        return str(x)

    def _name(self, x: Named) -> str:
        """Add the line of a value that has a name, and return that."""
        value = self.text(x.value)
        name = self._named[x] = f"v{len(self._named)}"
        note = f"  {c_comment(x.var.name)}" if self._notes and x.var is not None and x.var.name else ""
        self._line(f"const {c_type(x.dtype)} {name} = {value};{note}")
        return name


@dataclass
class Function:
    """A function of a group. buffers: its parameters, of which it writes some; copies: what it reads from
    rows on the stack."""

    statements: list[Statement]
    buffers: list[Buffer]
    writes: set[Buffer]
    copies: Iterable[tuple[Buffer, Affine]]

    def _parameters(self, names: dict[Buffer, str]) -> list[str]:
        return [
            f"{'' if buffer in self.writes else 'const '}{c_type(buffer.dtype)} *restrict {name}"
            for buffer, name in names.items()
        ]

    def pattern(self) -> tuple[str, list[Literal]]:
        """Return the text without names and numbers, and these numbers."""
        numbers: list[Literal] = []

        def number(literal: Literal) -> str:
            numbers.append(literal)
            return f"@{literal.kind}"

        names = {buffer: f"#{i}" for i, buffer in enumerate(self.buffers)}
        writer = Writer(names, number, self.copies, notes=False)
        writer.write(self.statements)
        return "\n".join([*self._parameters(names), *writer.lines]), numbers

    def written(
        self,
        head: str,
        before: tuple[str, ...] = (),
        after: tuple[str, ...] = (),
        numbers: Sequence[Literal] = (),
    ) -> CFunction:
        """Return the function's text, with lines before and after it. numbers: those that it takes as
        parameters, if it does."""
        names, taken = {buffer: buffer.name for buffer in self.buffers}, count()
        number = (lambda _: f"literal{next(taken)}") if numbers else attrgetter("text")
        writer = Writer(names, number, self.copies, notes=not numbers)
        writer.write(self.statements)
        parameters = [*self._parameters(names), *(f"{x.kind} literal{i}" for i, x in enumerate(numbers))]
        return CFunction(f"{head}({', '.join(parameters)})", writer.lines, before, after, writer.threads)
