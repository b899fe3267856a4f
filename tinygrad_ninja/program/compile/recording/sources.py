"""Where a step finds the numbers that it reads anew, and what a recording depends on in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ...instructions import Var
from ..guards.held import Entry
from .checks import CheckError


@dataclass(frozen=True)
class Source:
    """Where a number is found: at a place among the arguments; or in an entry of Python's objects, or there
    at a place in a tuple (-1: in none). name: what to call it; late: after how many steps of a scheduler."""

    name: str = field(compare=False)
    place: int
    entry: Entry | None = None
    late: int = 0

    def read(self, args: tuple[Any, ...]) -> Any:
        """Return the number."""
        if self.entry is None:
            return args[self.place]
        held = self.entry.read()
        return held if self.place < 0 else held[self.place]


@dataclass(eq=False)
class Number:
    """A number that the step reads anew, as the variable. read: gives it for the arguments of a call."""

    read: Callable[[tuple[Any, ...]], Any]
    var: Var
    source: Source | None = None


@dataclass(frozen=True)
class Condition:
    """What a comparison of two numbers gave, each given by a function of the arguments: the recording holds
    where it gives the same. sources: of the numbers that they depend on."""

    sources: frozenset[Source]
    left: Callable[[tuple[Any, ...]], Any]
    compare: Callable[[Any, Any], bool]
    right: Callable[[tuple[Any, ...]], Any]
    outcome: bool

    def holds(self, args: tuple[Any, ...]) -> bool:
        """Return whether the comparison gives what it gave."""
        try:
            return bool(self.compare(self.left(args), self.right(args))) is self.outcome
        except (ZeroDivisionError, CheckError):  # of what is not computed after another outcome
            return False
