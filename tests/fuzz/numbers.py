"""The numbers of random programs: which sizes are drawn, and arrays that follow from a seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from table_calls import Seeded

WIDTHS = [
    *(1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 20, 23, 24, 25, 26, 27, 31, 32, 33, 34, 35),
    *(39, 40, 41, 42, 43, *range(47, 61), 63, 64, 65, 66),
]
"""One, and the sizes around whole vectors of 16, 32 and 64 bytes."""
INTEGERS = ["int64", "int64", "int32", "int16", "int8", "uint8"]
FLOATS = ["float32", "float64"]


def numbers(shape: Any, dtype: str, seed: int, kind: str = "plain", low: int = 0, high: int = 2) -> Any:
    """Return an array that follows from the seed. Kinds: "plain", no two alike and none near 0; "ties";
    "special", with NaN, infinities, zeros of both signs, denormal and large ones; "wide", all integers;
    "range", integers of [low, high)."""
    rng, dtype_ = np.random.default_rng(seed), np.dtype(dtype)
    if kind == "range":
        return rng.integers(low, high, shape).astype(dtype_)
    if dtype_.kind == "b":
        return rng.integers(0, 2, shape).astype(dtype_)
    if dtype_.kind in "iu":
        limits = np.iinfo(dtype_)
        few = rng.choice([limits.min, limits.min + 1, 0, 1, limits.max - 1, limits.max], shape)
        most = rng.integers(max(-9, limits.min), 10, shape, dtype_)
        return np.where(rng.random(shape) < 0.3, few, most).astype(dtype_) if kind == "wide" else most
    plain = rng.uniform(0.3, 2.3, shape) * rng.choice([-1.0, 1.0], shape)
    if kind == "ties":
        plain = rng.integers(-4, 5, shape) * 0.5
    plain = np.asarray(plain).astype(dtype_)
    if kind == "special":
        limits = np.finfo(dtype_)
        values = [np.nan, np.inf, -np.inf, 0.0, -0.0, limits.smallest_subnormal, -limits.tiny / 4]
        large = float(limits.max) ** 0.4  # sums of which stay finite in whatever order they are added up
        values += [large, -large, 1.0, -1.0, -1.5, 1e4, -200.0]
        plain = np.where(rng.random(shape) < 0.3, rng.choice(np.array(values, dtype_), shape), plain)
    return plain


class Draw(Seeded):
    """The random choices of a program."""

    def chance(self, share: float) -> bool:
        """Return True in that share of the cases."""
        return bool(self.generator.random() < share)

    def width(self) -> int:
        """Return the size of a dimension, from 0 to 70."""
        return self.choice(WIDTHS) if self.chance(0.75) else self.integer(0, 70)

    def short(self) -> int:
        """Return the size of a dimension of which there are several."""
        return self.choice([1, 2, 3, 4, 5, 7, 8]) if self.chance(0.97) else 0

    def some(self, items: Sequence[Any], least: int = 1) -> list[Any]:
        """Return at least so many of a sequence, in its order."""
        order = self.permutation(range(len(items)))[: self.integer(min(least, len(items)), len(items))]
        return [items[i] for i in sorted(order)]

    def seed(self) -> int:
        """Return the seed of an array."""
        return self.integer(0, 9999)
