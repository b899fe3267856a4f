"""The content of the page for an array: statistics always, and its numbers as a table or as a heat map."""

from __future__ import annotations

import base64
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..numbers import numbers, rows, summary

TABLE = 64
"""The largest number of elements that are shown as numbers."""

CELLS, ROWS, COLUMNS = 8192, 128, 256
"""The largest heat map."""

ALL_CELLS = 1_500_000
"""The approximate number of cells of all heat maps of a page together; a cell takes 5 bytes of the file."""

FEWEST_CELLS = 64


class Arrays:
    """The arrays of a page: `content[i]` describes the array to which `add` has given the number i.

    expected: about how many arrays there will be, among which the cells of heat maps are divided.

    Each is described by `stats` (mean, deviation, minimum and maximum of its finite numbers), `bins` (a
    histogram between these extremes), `odd` (how many numbers are not finite), and `rows` (the numbers) or
    `map` (height, width and base 64 of float32 cells, row by row; each cell is the mean of a block of a
    matrix, and of more than two dimensions `shown` says of how many places in each but the last two there is
    one).
    """

    def __init__(self, expected: int) -> None:
        self.content: list[dict[str, Any]] = []
        self._most = min(CELLS, max(FEWEST_CELLS, ALL_CELLS // max(expected, 1)))
        self._known: dict[int, tuple[Any, int]] = {}  # with the array, which keeps its id from being reused

    def add(self, array: Any, lasting: bool = True) -> int:
        """Return the array's number; lasting: it is the graph's own array, and may be added again."""
        if id(array) in self._known:
            return self._known[id(array)][1]
        self.content.append(self._describe(numbers(array)))
        if lasting:
            self._known[id(array)] = array, len(self.content) - 1
        return len(self.content) - 1

    def _describe(self, array: NDArray[Any]) -> dict[str, Any]:
        described: dict[str, Any] = {}
        if statistics := summary(array):
            extremes = statistics.mean, statistics.deviation, statistics.minimum, statistics.maximum
            described |= {
                "stats": [_plain(number) for number in extremes],
                "bins": statistics.histogram.tolist(),
            }
        if odd := array.size - (sum(described["bins"]) if statistics else 0):
            described["odd"] = odd
        if not array.size:
            described["rows"] = []
        elif array.size <= TABLE:
            described["rows"] = [[_plain(number) for number in row] for row in rows(array)]
        else:
            described["map"] = _heat_map(array if array.ndim > 1 else array[None], self._most)
        return described


def _plain(number: Any) -> Any:
    """Return a number as JSON can hold it: one that is not finite as text, a float to eight digits."""
    if not isinstance(number, float):
        return number
    return float(f"{number:.8g}") if math.isfinite(number) else str(number)


def _heat_map(array: NDArray[Any], most: int) -> dict[str, Any]:
    """Return the heat map of a matrix; of more dimensions those of as many matrices as there is room for."""
    *leading, rows, columns = array.shape
    height, width = min(rows, ROWS), min(columns, COLUMNS)
    if height * width > most:
        short = math.isqrt(most)  # a side as short as this is not shortened
        if width <= short:
            height = most // width
        else:
            height = height if height <= short else int(math.sqrt(most * height / width))
            width = min(width, most // height)
    room = most // (height * width)
    shown: list[int] = []
    for size in reversed(leading):
        shown.insert(0, max(1, min(size, room)))
        room //= shown[0]
    matrices = array[tuple(map(slice, shown))].astype(np.float64)
    with np.errstate(all="ignore"):
        cells = _means(_means(matrices, height, -2), width, -1).astype("<f4")
    described = {"height": height, "width": width, "cells": base64.b64encode(cells.tobytes()).decode()}
    return {**described, "shown": shown} if shown else described


def _means(matrix: NDArray[Any], count: int, axis: int) -> NDArray[Any]:
    """Return the means of `count` stretches along an axis, as equal in length as possible."""
    if matrix.shape[axis] == count:
        return matrix
    cuts = np.arange(count + 1) * matrix.shape[axis] // count
    sizes = np.diff(cuts)[:, None] if axis == -2 else np.diff(cuts)
    means: NDArray[Any] = np.add.reduceat(matrix, cuts[:-1], axis=axis) / sizes
    return means
