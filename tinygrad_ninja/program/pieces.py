"""Pieces of an expression, of a formula or of Python, as a tree; and where the line of a tree is broken."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from .dialects import Bracket, Form, Kind

NEVER = sys.maxsize
"""The rank of a place at which no line is broken."""


class Piece:
    """A piece of an expression: its kind, its parts, and how tightly it binds.

    tightest: the level of what needs no brackets anywhere. shape: that of the piece's value.
    """

    tightest: ClassVar[int]

    def __init__(
        self, kind: Kind, *parts: Piece | str, level: int | None = None, shape: tuple[int, ...] = ()
    ) -> None:
        self.kind = kind
        self.parts: tuple[Any, ...] = parts
        self.level = self.tightest if level is None else level
        self.shape = shape

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def shaped(self, shape: tuple[int, ...]) -> Self:
        """Return the same piece of a value of this shape."""
        piece = copy(self)
        piece.shape = shape
        return piece

    def at(self, level: int) -> Self:
        """Return this piece, in brackets where it binds less tightly than `level`."""
        return self if self.level >= level else self.fenced(Bracket.ROUND)

    def fenced(self, bracket: Bracket) -> Self:
        """Return this piece in brackets."""
        return type(self)(Kind.FENCED, bracket.name, self)

    def walk(self) -> Iterator[Piece]:
        """Yield the piece and all that it consists of."""
        waiting: list[Piece] = [self]
        while waiting:
            piece = waiting.pop()
            yield piece
            waiting += [part for part in piece.parts if isinstance(part, Piece)]

    def written(self, dialect: Mapping[Kind, Form]) -> str:
        """Return the piece in a dialect."""
        texts: dict[int, str] = {}
        waiting = [self]
        while waiting:
            piece = waiting[-1]
            inside = [part for part in piece.parts if isinstance(part, Piece) and id(part) not in texts]
            if inside:
                waiting += inside
                continue
            waiting.pop()
            texts[id(piece)] = dialect[piece.kind](
                [texts[id(part)] if isinstance(part, Piece) else part for part in piece.parts]
            )
        return texts[id(self)]


# -- fragments -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fragment:
    """A part of a line, in front of which the line may be broken.

    depth: how many brackets are open in front of it; rank: how late the line is broken there.
    """

    text: str
    width: int
    depth: int = 0
    rank: int = NEVER

    def beside(self, other: Fragment) -> Fragment:
        """Return the two as one."""
        return replace(self, text=self.text + other.text, width=self.width + other.width)


Rank = Callable[[Piece, int, int], int]
"""For a row or a list, the number of one of its parts, and how many brackets are open there: the rank of the
place in front of that part."""

_HERE = "\0"
_AROUND = {Kind.FENCED: 1, Kind.RAISED: 0, Kind.INDEXED: 0}
"""The kinds that are broken inside one of their parts, and the number of that part."""
_BETWEEN = Kind.ROW, Kind.LIST, Kind.ASSIGNED
"""The kinds that are broken between their parts, too."""


def fragments(
    piece: Piece, dialect: Mapping[Kind, Form], plain: Mapping[Kind, Form], rank: Rank, depth: int = 0
) -> list[Fragment]:
    """Return a piece in fragments; spaces at their ends are left out where a line begins or ends. dialect,
    plain: how they are written, and the text whose length is their width; depth: how many brackets are open
    before the piece."""
    kind, parts = piece.kind, piece.parts

    if kind in _AROUND:
        number, texts = _AROUND[kind], []
        for table in (dialect, plain):
            written = [part.written(table) if isinstance(part, Piece) else part for part in parts]
            texts.append(table[kind]([*written[:number], _HERE, *written[number + 1 :]]).split(_HERE))
        before, after = (Fragment(text, len(wide), depth) for text, wide in zip(*texts, strict=True))
        within = depth + (kind is Kind.FENCED)
        first, *rest = fragments(parts[number], dialect, plain, rank, within)
        *rest, last = before.beside(first), *rest
        return [*rest, last.beside(after)]
    if kind in _BETWEEN and parts:
        between = Fragment(dialect[kind](["", ""]), len(plain[kind](["", ""])))
        line = fragments(parts[0], dialect, plain, rank, depth)
        for number, part in enumerate(parts[1:], 1):
            first, *rest = fragments(part, dialect, plain, rank, depth)
            last, place = line[-1].beside(between), rank(piece, number, depth)
            joined = [last.beside(first)] if place == NEVER else [last, replace(first, rank=place)]
            line[-1:] = [*joined, *rest]
        return line
    return [Fragment(piece.written(dialect), len(piece.written(plain)), depth)]
