"""Numbers in the reader's own terms: the size of the batch by its name."""

from __future__ import annotations

import keyword
from collections.abc import Callable, Container, Sequence
from fractions import Fraction
from math import isfinite
from typing import Any

import numpy as np

from ...ops import elementwise
from ..instructions import Instruction, Number, Var, known_number
from .new_names import RESERVED


def usable(numbers: dict[str, int], instructions: Sequence[Instruction]) -> dict[int, str]:
    """Return the names of the numbers that are the size of some dimension: for each number the shortest
    name.

    Numbers of one digit are left out: not every 2 is that size.
    """
    sizes = {n for instruction in instructions for n in instruction.output.shape}
    names: dict[int, str] = {}
    for name, n in sorted(numbers.items(), key=lambda pair: len(pair[0])):
        usual = name.isidentifier() and not name.startswith("_") and not keyword.iskeyword(name)
        if n > 9 and n in sizes and usual and name not in RESERVED:
            names.setdefault(n, name)
    return names


def divisors(instructions: Sequence[Instruction]) -> set[int]:
    """Return the whole numbers that something is divided by: how many targets count, for instance."""
    below = [whole(step.inputs[1]) for step in instructions if step.operation is elementwise.div]
    return {n for n in below if n is not None}


def whole(x: Any) -> int | None:
    """Return the whole number of four bytes that a number or a constant is; None for anything else."""
    n = None if isinstance(x, Var) and x.shape else known_number(x)
    return int(n) if n is not None and abs(n) < 2**31 and n == int(n) else None


class Sizes:
    """Writes numbers. names: the reader's names of whole numbers; number, named: functions that return the
    piece of code, or of a formula, for a number and for a name; parts: the whole numbers of which one part,
    such as 1 / 25, is written so. The names that were needed are in `used` afterwards.
    """

    def __init__(
        self,
        names: dict[int, str],
        number: Callable[[Any], Any],
        named: Callable[[str], Any],
        parts: Container[int] = (),
    ) -> None:
        self.names = names
        self.parts = parts
        self._number = number
        self._name = named
        self.used: dict[str, int] = {}

    def code(self, x: Number, dtype: Any = np.float64) -> Any:
        """Return a number in the reader's terms: 32 as n, 31 as n - 1, 0.03125 as 1 / n, 1/31 as 1 / (n -
        1)."""
        if isinstance(x, int) and x in self.names:
            return self._named(x)
        if isinstance(x, int) and x + 1 in self.names:
            return self._named(x + 1) - 1
        if isinstance(x, float) and isfinite(x) and not x.is_integer():
            length = len(str(dtype(x)))
            for n in self.names if length > 5 else ():
                for over, under in ((1, n), (1, n - 1), (n, n - 1), (2, n), (2, n - 1)):
                    if abs(x) == dtype(over / under):
                        top = self._named(n) if over == n else self._number(over)
                        below = self._named(n) if under == n else self._named(n) - 1
                        return (top if x > 0 else -top) / below
            ratio = Fraction(x).limit_denominator(1000)
            of = ratio.denominator
            is_part = ratio.numerator in (1, -1) and (of in (8, 16) or of in self.parts)  # 0.125, a mean of 8
            if x == dtype(ratio.numerator / ratio.denominator) and (is_part or length > 6):
                return self._number(ratio.numerator) / ratio.denominator
        # As short as its dtype allows.
        return self._number(float(str(dtype(x))) if isinstance(x, float) else x)

    def _named(self, n: int) -> Any:
        """Return a number by its name."""
        self.used[self.names[n]] = n
        return self._name(self.names[n])
