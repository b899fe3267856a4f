"""Gradient descent on random batches, as in the lecture, and the loss over a whole dataset."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from .. import Generator, Tensor, compile, from_numpy, no_grad, randint
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

    On NumPy arrays a step is compiled, unless `eager`: its numbers are the same but for their last places.
    Raises ValueError where the loss depends on a parameter that the optimizer was not given.
    """

    def __init__(
        self,
        model: Model,
        settings: Settings,
        generator: Generator,
        train: Examples,
        dev: Examples,
        eager: bool = False,
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
        self._descend = self._descent()
        if train[0].device.type == "cpu" and not eager:
            self._descend = compile(self._descend)

    @property
    def done(self) -> bool:
        """Whether all steps were taken, or the patience is at its end."""
        return self.step >= self.settings.steps or 0 < self.settings.early_stop <= self.waited

    @property
    def fused(self) -> list[str]:
        """The loops of the compiled step, each with what it computes; empty while nothing is compiled."""
        try:
            return self._descend.fused  # type: ignore[attr-defined]
        except (AttributeError, RuntimeError):
            return []

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
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        value = self._descend().item()
        if not math.isfinite(value):
            raise TrainingError(
                f"the loss became {value} at step {self.step}: try a smaller learning rate or a larger batch"
            )
        return value

    def _descent(self) -> Callable[[], Tensor]:
        """A function that takes one step and returns the loss before it; of no attributes, so that a compiled
        one need not look whether they are still the same."""
        model, optimizer, generator, backward = self.model, self.optimizer, self.generator, self._backward
        (X, Y), batch = self._share(self.train), self._batch

        def step() -> Tensor:
            ix = randint(0, X.shape[0], (batch,), generator=generator).to(X.device)
            targets = Y[ix]
            loss = model.loss(X[ix], targets)
            optimizer.zero_grad()
            loss = backward(loss, targets)
            optimizer.step()
            return loss

        return step

    # What is otherwise where several processes share the work.

    @property
    def _batch(self) -> int:
        return self.settings.batch

    def _share(self, examples: Examples) -> Examples:
        return examples

    def _backward(self, loss: Tensor, targets: Tensor) -> Tensor:
        loss.backward()
        return loss

    def _dev_loss(self) -> float:
        return evaluate(self.model, *self.dev)

    def check_alike(self, words_sha256: str) -> None:
        """Raise SettingsError where the processes that share a training have not found the same."""

    def decide(self, save: bool, stop: bool) -> tuple[bool, bool]:
        """Whether to save and to stop now, where this process wants to."""
        return save, stop

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
        loss = self._dev_loss()
        if loss < min(self.dev_losses.values(), default=math.inf):
            self.waited = 0
            if self.settings.early_stop:
                self.best = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        else:
            self.waited += 1
        self.dev_losses[self.step] = loss


def evaluate(model: Model, X: Tensor, Y: Tensor, chunk: int = 1024) -> float:
    """The mean loss over all letters of Y that are not -100, in nats, computed `chunk` rows at a time."""
    return total_loss(model, X, Y, chunk) / count_targets(Y)


@no_grad()
def total_loss(model: Model, X: Tensor, Y: Tensor, chunk: int = 1024) -> float:
    """The sum of which `evaluate` gives the mean."""
    model.eval()
    total = sum(
        model.loss(X[start : start + chunk], Y[start : start + chunk], reduction="sum").item()
        for start in range(0, X.shape[0], chunk)
    )
    model.train()
    return total


def count_targets(Y: Tensor) -> int:
    """How many letters of Y are not -100."""
    count: int = Y.ne(-100).sum().item()
    return count
