"""Gradient descent on random batches, as in the lecture, and the loss over a whole dataset."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from .. import Generator, Tensor, from_numpy, no_grad, randint
from ..check.optimized import check_optimized
from .models import Model
from .settings import Settings, SettingsError

Examples = tuple[Tensor, Tensor]
"""X and Y as `Model.loss` takes them, on the model's device."""


class TrainingError(ArithmeticError):
    """The loss is no longer a number; the message is one sentence that names the step."""


class Training:
    """A model on its way, in place, and all that decides how it goes on.

    step: steps done; losses: the loss of every step's batch before its update, in nats, float32 of shape
    (settings.steps,); dev_losses: the loss of the development words after a step; best: where the training
    may stop early, the state of the model with the lowest of these; waited: evaluations since then. A second
    Training with the same settings and data that loads the model's `state_dict` and this one's goes on from
    there, bit for bit.

    Raises ValueError where the loss depends on a parameter that the optimizer was not given.
    """

    def __init__(
        self, model: Model, settings: Settings, generator: Generator, train: Examples, dev: Examples
    ) -> None:
        self.model, self.settings, self.generator = model, settings, generator
        self.train, self.dev = train, dev
        model.generator = generator
        self.optimizer = settings.build_optimizer(model)
        self.step = 0
        self.losses = np.zeros(settings.steps, np.float32)
        self.dev_losses: dict[int, float] = {}
        self.best: dict[str, Tensor] = {}
        self.waited = 0
        model.eval()  # so that the trial leaves the running statistics alone
        check_optimized(
            model.loss(*(array[: model.smallest_batch] for array in train)), self.optimizer, model
        )
        model.train()

    @property
    def done(self) -> bool:
        """Whether all steps were taken, or the patience is at its end."""
        return self.step >= self.settings.steps or 0 < self.settings.early_stop <= self.waited

    def run(self) -> Iterator[int]:
        """Train until `done`; after every step, when `state_dict` may be called, yields how many were done.

        Raises TrainingError where the loss is infinite or not a number.
        """
        while not self.done:
            self.losses[self.step] = self.update(self.settings.learning_rate(self.step))
            self.step += 1
            if self.settings.eval_every and self.step % self.settings.eval_every == 0:
                self._evaluate()
            yield self.step

    def update(self, lr: float) -> float:
        """One step of gradient descent on a batch of rows, drawn with replacement; its loss, in nats."""
        X, Y = self.train
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        ix = randint(0, X.shape[0], (self.settings.batch,), generator=self.generator).to(X.device)
        loss = self.model.loss(X[ix], Y[ix])
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        value = loss.item()
        if not math.isfinite(value):
            raise TrainingError(
                f"the loss became {value} at step {self.step}: try a smaller learning rate or a larger batch"
            )
        return value

    def finish(self) -> None:
        """Leave the model as `settings` wants it: with its best parameters, and calibrated."""
        if self.best:
            self.model.load_state_dict(self.best)
        if self.settings.calibrate:
            self.model.calibrate(self.train[0])

    def state_dict(self) -> dict[str, Any]:
        """Tensors and what JSON can hold: everything but the model's own state, the settings and the data."""
        return {
            "step": self.step,
            "done": self.done,
            "losses": from_numpy(self.losses[: self.step]),
            "dev_losses": list(self.dev_losses.items()),
            "best": self.best,
            "waited": self.waited,
            "generator": self.generator.get_state(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from where `state_dict` was called. Raises SettingsError where that is beyond `steps`."""
        if state["step"] > self.settings.steps:
            raise SettingsError("steps", f"the training has done {state['step']:,} steps already")
        self.step = state["step"]
        self.losses[: self.step] = state["losses"].numpy()
        self.dev_losses = dict(state["dev_losses"])
        self.best, self.waited = state["best"], state["waited"]
        self.generator.set_state(state["generator"])
        kept, groups = state["optimizer"]["state"], state["optimizer"]["param_groups"]
        # JSON has made strings of the parameters' numbers.
        self.optimizer.load_state_dict({"state": {int(i): kept[i] for i in kept}, "param_groups": groups})

    def _evaluate(self) -> None:
        loss = evaluate(self.model, *self.dev)
        if loss < min(self.dev_losses.values(), default=math.inf):
            self.waited = 0
            if self.settings.early_stop:
                self.best = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        else:
            self.waited += 1
        self.dev_losses[self.step] = loss


@no_grad()
def evaluate(model: Model, X: Tensor, Y: Tensor, chunk: int = 1024) -> float:
    """The mean loss over all letters of Y that are not -100, in nats, computed `chunk` rows at a time."""
    model.eval()
    total = sum(
        model.loss(X[start : start + chunk], Y[start : start + chunk], reduction="sum").item()
        for start in range(0, X.shape[0], chunk)
    )
    model.train()
    return total / Y.ne(-100).sum().item()
