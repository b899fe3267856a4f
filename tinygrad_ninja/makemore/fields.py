"""Kinds of values that a file may hold: each says what it allows, and refuses all else in a sentence.

    Record(width=Whole(1, 1000), rate=Number(0, 1)).check({"width": 0, "rate": 0.5}, "settings")

raises FieldError: settings/width is 0, not a whole number from 1 to 1,000.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

_BRIEF = reprlib.Repr()
_BRIEF.maxlevel, _BRIEF.maxstring, _BRIEF.maxother = 2, 40, 80


class FieldError(ValueError):
    """A value is not of its kind; the message is a sentence without its subject's file."""


def brief(value: Any) -> str:
    """Return a value as Python writes it, cut where it is long; what cannot be printed is escaped."""
    return _BRIEF.repr(value)


class Kind:
    """What a value may be; `str` of it is its description, such as "a whole number from 1 to 9"."""

    def allows(self, value: Any) -> bool:
        """Return whether the value is one of the kind."""
        raise NotImplementedError

    def check(self, value: Any, where: str) -> None:
        """Raise FieldError, which calls the value by `where`, for one that is not of the kind."""
        if not self.allows(value):
            self._refuse(value, where)

    def _refuse(self, value: Any, where: str) -> NoReturn:
        raise FieldError(f"{where} is {brief(value)}, not {self}")


class Anything(Kind):
    """Any value: one that is checked elsewhere."""

    def allows(self, value: Any) -> bool:
        """Return True."""
        return True


@dataclass(frozen=True)
class Whole(Kind):
    """A whole number from `smallest` to `largest`; True and 1.0 are none."""

    smallest: int
    largest: int

    def allows(self, value: Any) -> bool:
        """Return whether it is an int between the bounds."""
        return type(value) is int and self.smallest <= value <= self.largest

    def __str__(self) -> str:
        return f"a whole number from {self.smallest:,} to {self.largest:,}"


@dataclass(frozen=True)
class Number(Kind):
    """A number from `smallest` to `largest`; with `above`, more than `smallest`. NaN is none."""

    smallest: float
    largest: float
    above: bool = False

    def allows(self, value: Any) -> bool:
        """Return whether it is an int or float between the bounds."""
        if type(value) not in (int, float) or not self.smallest <= value <= self.largest:
            return False
        return math.isfinite(value) and not (self.above and value == self.smallest)

    def __str__(self) -> str:
        return f"a number {'above' if self.above else 'from'} {self.smallest:g} to {self.largest:g}"


@dataclass(frozen=True)
class Text(Kind):
    """A text of at most `longest` characters for which `fits` is true."""

    longest: int
    fits: Callable[[str], bool] = lambda text: True
    description: str = "a text"

    def allows(self, value: Any) -> bool:
        """Return whether it is such a text."""
        return isinstance(value, str) and len(value) <= self.longest and self.fits(value)

    def __str__(self) -> str:
        return self.description


class OneOf(Kind):
    """One of some values, which JSON writes in different ways; True is not 1."""

    def __init__(self, *values: Any) -> None:
        self.values = values

    def allows(self, value: Any) -> bool:
        """Return whether it is equal to one of the values, and of its type."""
        return any(type(value) is type(own) and value == own for own in self.values)

    def __str__(self) -> str:
        return " or ".join(map(brief, self.values))


@dataclass(frozen=True)
class Maybe(Kind):
    """None, or a value of another kind."""

    kind: Kind

    def allows(self, value: Any) -> bool:
        """Return whether it is None or of the kind."""
        return value is None or self.kind.allows(value)

    def check(self, value: Any, where: str) -> None:
        """Raise FieldError where it is neither."""
        if value is not None:
            self.kind.check(value, where)

    def __str__(self) -> str:
        return f"{self.kind}, or none"


@dataclass(frozen=True)
class Items(Kind):
    """A list of at most `longest` values of one kind."""

    kind: Kind
    longest: int

    def check(self, value: Any, where: str) -> None:
        """Raise FieldError for anything else."""
        if not isinstance(value, list) or len(value) > self.longest:
            self._refuse(value, where)
        for i, item in enumerate(value):
            self.kind.check(item, f"{where}/{i}")

    def __str__(self) -> str:
        return f"a list of at most {self.longest:,} values"


@dataclass(frozen=True)
class Row(Kind):
    """A list with a value of each of the kinds."""

    kinds: tuple[Kind, ...]

    def check(self, value: Any, where: str) -> None:
        """Raise FieldError for anything else."""
        if not isinstance(value, list) or len(value) != len(self.kinds):
            self._refuse(value, where)
        for i, (kind, item) in enumerate(zip(self.kinds, value, strict=True)):
            kind.check(item, f"{where}/{i}")

    def __str__(self) -> str:
        return f"a list of {len(self.kinds)} values"


@dataclass(frozen=True)
class Record(Kind):
    """A dict with just these keys, each with a value of its kind; those in `optional` may be missing."""

    fields: Mapping[str, Kind]
    optional: frozenset[str] = frozenset()

    def check(self, value: Any, where: str) -> None:
        """Raise FieldError for anything else."""
        if not isinstance(value, dict):
            self._refuse(value, where)
        for name in sorted(self.fields.keys() - value.keys() - self.optional):
            raise FieldError(f"{where} lacks {brief(name)}")
        for name in sorted(value.keys() - self.fields.keys()):
            raise FieldError(f"{where} has {brief(name)}, which is none of its fields")
        for name, kind in self.fields.items():
            if name in value:
                kind.check(value[name], f"{where}/{name}")

    def __str__(self) -> str:
        return "a JSON object"


@dataclass(frozen=True)
class Slot:
    """A tensor of a file that is not read: its shape, and its dtype as safetensors calls it."""

    shape: tuple[int, ...]
    dtype: str = "F32"

    def __str__(self) -> str:
        return f"a tensor of {self.dtype} in the shape {self.shape}"


@dataclass(frozen=True)
class Numbers(Kind):
    """None, in the place of a tensor of one shape and dtype that the file holds.

    held: what the file holds under a name, or None; the name is where the value is, without the `above`.
    """

    slot: Slot
    held: Callable[[str], Slot | None]
    above: str

    def check(self, value: Any, where: str) -> None:
        """Raise FieldError for anything else, and where the file holds no such tensor."""
        if value is not None:
            self._refuse(value, where)
        held = self.held(where.removeprefix(self.above))
        if held != self.slot:
            raise FieldError(f"{where} is {held or 'missing'}, not {self.slot}")

    def __str__(self) -> str:
        return str(self.slot)
