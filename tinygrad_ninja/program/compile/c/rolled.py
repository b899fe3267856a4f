"""Loops recovered from a straight line of operations on numbers.

Python runs a model over its points one by one, so the recording holds the same operations again and again.
Where a stretch of them repeats, it becomes one loop: the C compiler sees its body once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ...instructions import Array

LEAST = 32
"""A repetition that saves fewer operations than this is left as it is."""
_SMALL = range(1, 9)
_PEAKS = 24


@dataclass(frozen=True)
class Stretch:
    """Operations [start, start + body · times): a body that is run so many times."""

    start: int
    body: int
    times: int

    @property
    def end(self) -> int:
        """Return the position after the last operation."""
        return self.start + self.body * self.times


def stretches(keys: Array) -> Iterator[Stretch]:
    """Yield the operations, identified by their keys (int64), as stretches in order.

    The repetition that saves most is taken first; what is left and right of it is then divided the same way.
    """
    pending = [Stretch(0, len(keys), 1)]
    settled: set[Stretch] = set()
    while pending:
        stretch = pending.pop()
        longest = None if stretch in settled else _longest(keys[stretch.start : stretch.end])
        if longest is None:
            if stretch.body:
                yield stretch
            continue
        at, body, times = longest
        repeated = Stretch(stretch.start + at, body, times)
        settled.add(repeated)
        left, right = Stretch(stretch.start, at, 1), Stretch(repeated.end, stretch.end - repeated.end, 1)
        pending += [right, repeated, left]


def _longest(keys: Array) -> tuple[int, int, int] | None:
    """Return (start, body, times) of the repetition that saves most operations; None where none is worth
    it."""
    best, most = None, LEAST
    if len(keys) <= LEAST:
        return None
    for body in _periods(keys):
        same = keys[:-body] == keys[body:]
        breaks = np.flatnonzero(np.concatenate(([True], ~same, [True])))
        lengths = np.diff(breaks) - 1  # of the runs of equal keys between two breaks
        saved = lengths // body * body
        i = int(saved.argmax())
        if saved[i] > most:
            most, best = int(saved[i]), (int(breaks[i]), body, int(saved[i]) // body + 1)
    return best


def _periods(keys: Array) -> list[int]:
    """Return the lengths after which much repeats, shortest first: peaks of the autocorrelation of random
    numbers that stand for the keys."""
    n = len(keys)
    noise = np.random.default_rng(0).normal(size=int(keys.max()) + 1)[keys]
    size = 1 << (2 * n - 1).bit_length()
    spectrum = np.fft.rfft(noise - noise.mean(), size)
    alike = np.fft.irfft(np.abs(spectrum) ** 2, size)[: n // 2 + 1]
    alike[0] = -np.inf
    peaks = np.argsort(-alike)[:_PEAKS]
    return sorted({*(p for p in _SMALL if p <= n // 2), *(int(p) for p in peaks if p)})
