"""Pictures in a folder; a file that this program did not write is never replaced."""

from __future__ import annotations

import math
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from numpy.typing import NDArray

from ..api.weights import write
from ..makemore.data import build_dataset
from ..makemore.run import Run
from ..makemore.training import Training

if TYPE_CHECKING:
    from matplotlib.figure import Figure


PLOTS = (
    "activation-gradients", "activations", "bigrams", "dlogits", "embedding", "loss", "updates",
    "weight-gradients",
)  # fmt: skip


def plots_of(run: Run, ratios: UpdateRatios) -> dict[str, Figure]:
    """Return the plots of a finished training run, by the names of their files.

    They are those that `viz.training_plots` can draw from a batch of the model, its losses and the update
    ratios.
    """
    from viz.training_plots import training_plots

    training, result = run.training, run.result
    X, Y = training.train
    n = result.settings.batch
    letters = list(result.vocabulary.characters)
    before, after = build_dataset(run.words, result.vocabulary, context=1)
    counts = np.zeros((len(letters), len(letters)), np.int64)
    np.add.at(counts, (before[:, 0], after), 1)
    model = deepcopy(result.model)  # a batch in training mode moves the running statistics
    return training_plots(
        model.loss(X[:n], Y[:n]),
        model,
        losses=training.losses[: training.step].tolist(),
        dev_losses=training.dev_losses,
        ratios=ratios.ratios,
        every=ratios.every,
        letters=letters,
        counts=counts,
    )


class UpdateRatios:
    """The relative size of the updates of every parameter, measured about 500 times in a run.

    ratios: by the parameters' names, for every `every`th step the standard deviation of the update over that
    of the parameter; NaN for the steps before this was created.
    """

    def __init__(self, training: Training) -> None:
        self.every = max(1, training.settings.steps // 500)
        self._parameters = dict(training.model.named_parameters())
        self._before: dict[str, NDArray[Any]] = {}
        missed = training.step // self.every
        self.ratios: dict[str, list[float]] = {name: [math.nan] * missed for name in self._parameters}
        self(training.step)

    def __call__(self, done: int) -> None:
        """Measure the updates if one is due after step number `done`; to be called after every step."""
        if self._before and done % self.every == 0:
            for name, before in self._before.items():
                spread = float(before.std())
                update = float((self._numbers(name) - before).std())
                self.ratios[name].append(update / spread if spread else math.nan)
        if (done + 1) % self.every == 0:
            self._before = {name: self._numbers(name).copy() for name in self._parameters}

    def _numbers(self, name: str) -> NDArray[Any]:
        return self._parameters[name].detach().to("cpu").numpy()


def check_replaceable(path: Path) -> None:
    """Raise ClickException where a file at `path` is not one that `save` wrote, or cannot be read."""
    if path.exists():
        from viz.plots import is_ours

        if not path.is_file() or not is_ours(path):  # to read a pipe may take forever
            raise click.ClickException(
                f"{path} is there, and not by ninja: move it away, or choose another --out"
            )


def save(path: Path, figure: Figure) -> None:
    """Write the figure as PNG. Raises ClickException where that fails."""
    from viz.plots import to_png

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, to_png(figure))
    except OSError as error:
        raise click.ClickException(f"cannot write to {path}: {error.strerror}") from error
