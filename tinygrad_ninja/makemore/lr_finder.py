"""The learning-rate finder (Smith, Cyclical learning rates for training neural networks, 2017): a short
training in which the rate grows from step to step, each time by the same factor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .training import Training, TrainingError

DIVERGED = 4
"""How many times its lowest value the smoothed loss may reach before the search ends."""

FEWEST = 20
"""How many steps make a curve."""


@dataclass(frozen=True)
class RateSearch:
    """Arrays, an element a step: the rate, the loss of its batch in nats, and the smoothed loss."""

    rates: NDArray[np.float64]
    losses: NDArray[np.float64]
    smoothed: NDArray[np.float64]

    @property
    def lowest(self) -> float:
        """The rate at which the smoothed loss is lowest; a little more is too much."""
        return float(self.rates[self.smoothed.argmin()])

    @property
    def steepest(self) -> float:
        """The middle of the tenth of the steps over which the smoothed loss falls most, before its lowest.

        The rates are evenly spaced on a logarithmic axis, so that it is the slope of the picture.
        """
        span = max(1, len(self.rates) // 10)
        down = self.smoothed[: max(int(self.smoothed.argmin()), span) + 1]
        return float(self.rates[(down[span:] - down[:-span]).argmin() + span // 2])


def find_learning_rate(training: Training, lowest: float, highest: float, steps: int) -> RateSearch:
    """Train for `steps` steps at rates from `lowest` to `highest`, or until the loss has become too large.

    The smoothed loss is the average of the losses so far, in which those of some steps / 50 count; it is
    Adam's (Kingma and Ba 2015), whose bias to the first value is divided out. The model is used up.
    Raises TrainingError where fewer than `FEWEST` were possible.
    """
    rates = np.geomspace(lowest, highest, steps)
    kept = 1 - min(1.0, 50 / steps)
    losses: list[float] = []
    smoothed: list[float] = []
    average = 0.0
    for rate in rates.tolist():
        try:
            losses.append(training.update(rate))
        except TrainingError:
            break
        average = kept * average + (1 - kept) * losses[-1]
        smoothed.append(average / (1 - kept ** len(losses)))
        if smoothed[-1] > DIVERGED * min(smoothed):
            break
    if len(smoothed) < FEWEST:
        raise TrainingError(f"the loss was too large after {len(smoothed)} steps: try a smaller lowest rate")
    return RateSearch(rates[: len(smoothed)], np.array(losses[: len(smoothed)]), np.array(smoothed))
