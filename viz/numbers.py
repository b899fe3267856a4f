"""What is shown of an array's numbers: themselves where they are few, else what sums them up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinygrad_ninja.kinds import kind_of

FEW = 12
"""Up to so many numbers are shown themselves."""


@dataclass(frozen=True, slots=True)
class Summary:
    """Of the finite numbers of an array: mean, (biased) standard deviation, extremes, and how many lie in
    each of equally wide bins between them. `odd` is how many are infinite or not a number."""

    mean: float
    deviation: float
    minimum: float
    maximum: float
    histogram: NDArray[np.int64]
    odd: int


def numbers(array: Any) -> NDArray[Any]:
    """An array of any kind, on any device, as a NumPy array."""
    found: NDArray[Any] = kind_of(array).to_numpy(array)
    return found


def summary(array: NDArray[Any], bins: int = 12) -> Summary | None:
    """The summary of the array; None where it holds no finite number."""
    flat = array.astype(np.float64).ravel()
    finite = flat[np.isfinite(flat)]
    if not finite.size:
        return None
    low, high = finite.min(), finite.max()
    with np.errstate(over="ignore"):  # of the largest numbers there are, the deviation is infinite
        mean, deviation, width = finite.mean(), finite.std(), high - low
        whole = np.isfinite(width) and width > 0
        places = (finite - low) / width * bins if whole else np.full(finite.shape, bins // 2)
    counts = np.bincount(np.minimum(places.astype(int), bins - 1), minlength=bins)
    return Summary(float(mean), float(deviation), float(low), float(high), counts, flat.size - finite.size)


def short(number: float) -> str:
    """Four significant digits; of an integer, all."""
    return str(number) if isinstance(number, int) else f"{number:.4g}"


def rows(array: NDArray[Any]) -> list[list[float]]:
    """The numbers in lines, as a matrix is written: a line for each index but the last."""
    lines: list[list[float]] = array.reshape(-1, array.shape[-1] if array.ndim else 1).tolist()
    return lines
