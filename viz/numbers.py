"""The numbers of an array for display: all where they are few, else a summary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinygrad_ninja.arrays.dispatch import namespace_of

FEW = 12
"""The largest number of elements that are shown as numbers."""


@dataclass(frozen=True, slots=True)
class Summary:
    """The finite numbers of an array: mean, (biased) standard deviation, extremes, and the counts in equally
    wide bins between them. `odd` is how many are infinite or not a number."""

    mean: float
    deviation: float
    minimum: float
    maximum: float
    histogram: NDArray[np.int64]
    odd: int


def numbers(array: Any) -> NDArray[Any]:
    """Return an array of any kind, on any device, as a NumPy array."""
    result: NDArray[Any] = namespace_of(array).to_numpy(array)
    return result


def summary(array: NDArray[Any], bins: int = 12) -> Summary | None:
    """Return the summary of the array; None where it holds no finite number."""
    flat = array.astype(np.float64).ravel()
    finite = flat[np.isfinite(flat)]
    if not finite.size:
        return None
    low, high = finite.min(), finite.max()
    with np.errstate(over="ignore"):  # the deviation of the largest numbers is infinite
        mean, deviation, width = finite.mean(), finite.std(), high - low
        has_width = np.isfinite(width) and width > 0
        positions = (finite - low) / width * bins if has_width else np.full(finite.shape, bins // 2)
    counts = np.bincount(np.minimum(positions.astype(int), bins - 1), minlength=bins)
    return Summary(float(mean), float(deviation), float(low), float(high), counts, flat.size - finite.size)


def short(number: float) -> str:
    """Return the number with four significant digits; an integer with all its digits."""
    return str(number) if isinstance(number, int) else f"{number:.4g}"


def rows(array: NDArray[Any]) -> list[list[float]]:
    """Return the numbers in lines, as a matrix is written: a line for each index but the last."""
    lines: list[list[float]] = array.reshape(-1, array.shape[-1] if array.ndim else 1).tolist()
    return lines
