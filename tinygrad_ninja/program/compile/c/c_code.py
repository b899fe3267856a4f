"""C as data: what loops compute, read and write. It becomes text in the last step, by `Writer`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from ...instructions import Var
    from .buffers import Buffer


@dataclass(frozen=True)
class Affine:
    """The index of an element along a dimension, or its place in a buffer: offset + Σ counter · step, over
    (counter, step) in `terms`. A counter is the name of a loop's variable, or an integer that is computed."""

    offset: int = 0
    terms: tuple[tuple[Expression, int], ...] = ()

    def __add__(self, other: Affine) -> Affine:
        return combined(0, ((self, 1), (other, 1)))

    def times(self, step: int) -> Affine:
        """Return it multiplied by a number."""
        return combined(0, ((self, step),))


ZERO = Affine()
Index = tuple[Affine, ...]
"""The index of an element in an array: along each dimension."""


def combined(offset: int, parts: Iterable[tuple[Affine, int]]) -> Affine:
    """Return offset + Σ index · step."""
    steps: dict[Expression, int] = {}
    for index, step in parts:
        offset += index.offset * step
        for counter, inner in index.terms:
            steps[counter] = steps.get(counter, 0) + inner * step
    return Affine(offset, tuple((counter, step) for counter, step in steps.items() if step))


def counter(name: Expression) -> Affine:
    """Return an index that is a loop's variable, or a number that is computed."""
    return Affine(0, ((name, 1),))


@dataclass(frozen=True)
class Literal:
    """A number. kind: the C type of one with digits behind the point; else ""."""

    text: str
    kind: str = ""


@dataclass(frozen=True)
class Load:
    """An element that is read: from memory, or from the register whose value was just stored there."""

    buffer: Buffer
    place: Affine


@dataclass(frozen=True)
class Element:
    """An element that is written, or changed."""

    buffer: Buffer
    place: Affine


@dataclass(frozen=True)
class Pointer:
    """The address of an element."""

    buffer: Buffer
    place: Affine = ZERO


@dataclass(frozen=True, eq=False)
class Apply:
    """C with parts filled in, where the template has their names in braces: an expression, in brackets where
    it needs them, or a statement."""

    template: str
    parts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Named:
    """A value that is computed once and has a name. var: the variable that it is, if any; work: about how
    many simple instructions that takes; traps: whether it is only safe for some numbers, such as a division
    of integers."""

    value: Expression
    dtype: np.dtype[Any]
    var: Var | None = None
    work: int = 0
    traps: bool = False


Expression = str | Literal | Load | Element | Pointer | Apply | Named | Affine
"""A value in C; text stands for itself."""


@dataclass(frozen=True, eq=False)
class Store:
    """A statement that stores a value, which can be taken from its register from then on. read: whether
    anything else reads it; else it stays in the register."""

    buffer: Buffer
    place: Affine
    value: Expression
    read: bool = True


@dataclass
class Loop:
    """A loop of an int from `begin` to before `end`. pragma: the line before it; threads: whether they share
    its steps."""

    counter: str
    begin: Any
    end: Any
    inner: list[Statement]
    step: int = 1
    pragma: str = ""
    threads: bool = False


@dataclass
class Block:
    """Statements in braces, with what stands before them. threads: whether each of them runs it, all at the
    same time."""

    head: str
    inner: list[Statement]
    threads: bool = False


Statement = Expression | Store | Loop | Block


def _parts(x: Any) -> Iterable[Any]:
    """Return what an expression or a statement consists of, in the order in which it is computed."""
    if isinstance(x, Affine):
        return [name for name, _ in x.terms]
    if isinstance(x, (Load, Element, Pointer)):
        return (x.place,)
    if isinstance(x, Named):
        return (x.value,)
    if isinstance(x, Apply):
        return x.parts.values()
    if isinstance(x, Store):
        return x.value, x.place
    return x.inner if isinstance(x, (Loop, Block)) else ()


class Effects:
    """What statements read, store and compute. loads: the places of the elements that they read from memory,
    by buffer: those that were stored before are taken from registers. named: the values with names, in
    order."""

    def __init__(self, statements: Iterable[Statement]) -> None:
        self.loads: dict[Buffer, dict[Affine, None]] = {}
        self.stored: dict[tuple[Buffer, Affine], bool] = {}
        self.named: dict[Named, None] = {}
        for statement in statements:
            self._look(statement)

    def _look(self, x: Any) -> None:
        if isinstance(x, (str, Literal, int)) or (isinstance(x, Named) and x in self.named):
            return
        for part in _parts(x):
            if type(part) is not str:  # as most are
                self._look(part)
        if isinstance(x, Named):
            self.named[x] = None
        elif isinstance(x, Store):
            self.stored[x.buffer, x.place] = x.read
        elif isinstance(x, Load) and (x.buffer, x.place) not in self.stored:
            self.loads.setdefault(x.buffer, {})[x.place] = None
        elif isinstance(x, Pointer):
            self.loads.setdefault(x.buffer, {})

    @property
    def traps(self) -> bool:
        """Return whether something is computed that is only safe for some numbers."""
        return any(value.traps for value in self.named)

    @property
    def work(self) -> int:
        """Return about how many simple instructions are computed."""
        return sum(value.work for value in self.named)
