"""The learning-rate finder (Smith, Cyclical learning rates for training neural networks, 2017): a short
training in which the rate grows from step to step, each time by the same factor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .training import Training, TrainingError

DIVERGED = 4
"""The search ends once the smoothed loss is this many times its lowest value."""

FEWEST = 20
"""The smallest number of steps that makes a curve."""


@dataclass(frozen=True)
class RateSearch:
    """The curve of a search: arrays with an element per step.

    rates: the learning rate; losses: the loss of its batch, in nats; smoothed: the smoothed loss.
    """

    rates: NDArray[np.float64]
    losses: NDArray[np.float64]
    smoothed: NDArray[np.float64]

    @property
    def lowest(self) -> float:
        """Return the rate at which the smoothed loss is lowest; anything much above it is too high."""
        return float(self.rates[self.smoothed.argmin()])

    @property
    def steepest(self) -> float:
        """Return the rate at which the smoothed loss falls fastest, before its lowest point.

        The slope is taken over a tenth of the steps. The rates are evenly spaced on a logarithmic axis, so
        this is the slope that the picture shows.
        """
        span = max(1, len(self.rates) // 10)
        descent = self.smoothed[: max(int(self.smoothed.argmin()), span) + 1]
        return float(self.rates[(descent[span:] - descent[:-span]).argmin() + span // 2])


def find_learning_rate(training: Training, lowest: float, highest: float, steps: int) -> RateSearch:
    """Train at rates from `lowest` to `highest` and return the curve of the loss.

    The search takes `steps` steps, or fewer where the loss becomes too large. The smoothed loss is an
    exponential moving average over some steps / 50 steps, with the bias towards its start divided out as in
    Adam (Kingma and Ba 2015). The model is not usable afterwards. Raises TrainingError where the loss became
    too large within the first `FEWEST` steps.
    """
    rates = np.geomspace(lowest, highest, steps)
    decay = 1 - min(1.0, 50 / steps)
    losses: list[float] = []
    smoothed: list[float] = []
    average = 0.0
    for rate in rates.tolist():
        try:
            losses.append(training.update(rate))
        except TrainingError:
            break
        average = decay * average + (1 - decay) * losses[-1]
        smoothed.append(average / (1 - decay ** len(losses)))
        if smoothed[-1] > DIVERGED * min(smoothed):
            break
    if len(smoothed) < FEWEST:
        raise TrainingError(f"the loss was too large after {len(smoothed)} steps: try a smaller lowest rate")
    return RateSearch(rates[: len(smoothed)], np.array(losses[: len(smoothed)]), np.array(smoothed))
