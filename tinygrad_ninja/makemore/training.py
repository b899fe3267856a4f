"""Gradient descent on random batches, as in the lecture, and the loss over a whole dataset."""

from __future__ import annotations

import math
import warnings
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


WAYS = {"eager": "eager steps", "c": "steps compiled as C", "numpy": "steps compiled as NumPy"}
"""What may run a step, in words: the last digits of all numbers depend on it."""


def note_other_way(was: str, now: str, exact: bool) -> None:
    """Warn that a training does not go on with what it began with; with `exact` raise SettingsError."""
    if was != now:
        message = f"the training began with {was}, and is to go on with {now}: its last digits may differ"
        if exact:
            raise SettingsError("exact", message)
        warnings.warn(message, stacklevel=2)


class Training:
    """A training run: a model, changed in place, and all that decides how the run continues.

    step: steps done; losses: the loss of every step's batch before its update, in nats, float32 of shape
    (settings.steps,); dev_losses: the loss on the development words, by the number of steps done; best: where
    the run may stop early, the state of the model with the lowest of these; waited: evaluations since then. A
    second Training with the same settings and data that loads the model's `state_dict` and this one's
    continues from there, bit for bit; unless its steps are run in another of the WAYS, of which it warns, or
    which it refuses where it is `exact`.

    On NumPy arrays a step is compiled, unless `eager`: its numbers agree except in the last digits. Raises
    ValueError where the loss depends on a parameter that the optimizer was not given.
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
        model.eval()  # so that this trial does not change the running statistics
        check_optimized(
            model.loss(*(tensor[: model.smallest_batch] for tensor in train)), self.optimizer, model
        )
        model.train()
        self._descend = self._descent()
        self.exact = False
        self._began_by = ""
        self.compiled = train[0].device.type == "cpu" and not eager
        if self.compiled:
            self._descend = compile(self._descend)

    @property
    def done(self) -> bool:
        """Return whether all steps are done, or the loss has not improved for `early_stop` evaluations."""
        return self.step >= self.settings.steps or 0 < self.settings.early_stop <= self.waited

    @property
    def fused(self) -> list[str]:
        """Return one line per loop of the compiled step, saying what it computes; empty where nothing is
        compiled."""
        try:
            return self._descend.fused  # type: ignore[attr-defined]
        except (AttributeError, RuntimeError):
            return []

    @property
    def steps_by(self) -> str:
        """Return which of the WAYS the steps are run in; "" while that is not known."""
        try:
            return self._descend.runs_by if self.compiled else "eager"  # type: ignore[attr-defined]
        except RuntimeError:  # nothing is recorded yet
            return self._began_by

    def run(self) -> Iterator[int]:
        """Train until `done`; yield the number of steps done after each, when `state_dict` may be called.

        Raises TrainingError where a loss is infinite or not a number, and SettingsError as `exact` says.
        """
        if self.compiled and not self.done:
            self._record()
            if self._began_by in WAYS and self._began_by != "eager":  # of which `Run` tells
                note_other_way(WAYS[self._began_by], WAYS[self.steps_by], self.exact)
        while not self.done:
            self.losses[self.step] = self.update(self.settings.learning_rate(self.step))
            self.step += 1
            if self.settings.eval_every and self.step % self.settings.eval_every == 0:
                self._evaluate()
            yield self.step

    def _record(self) -> None:
        """Let the step be recorded, at several learning rates, and undo what these calls have done.

        A call that is recorded computes as eager code does, and its last digits are others than those of a
        compiled one. A training that is resumed would record at other steps than one that was not.
        """
        tensors = [*self.model.parameters(), *self.model.buffers()]
        before = [tensor.detach().clone() for tensor in tensors]
        known = {p: {name: x.clone() for name, x in kept.items()} for p, kept in self.optimizer.state.items()}
        stream = self.generator.get_state()
        rate = self.settings.learning_rate(self.step)
        for part in (1.0, 0.5, 0.25, 0.125):
            for group in self.optimizer.param_groups:
                group["lr"] = part * rate
            self._descend()
        self.generator.set_state(stream)
        self.optimizer.zero_grad()
        for tensor, was in zip(tensors, before, strict=True):
            tensor.data.copy_(was)
        for p, kept in self.optimizer.state.items():
            for name, x in kept.items():
                if p in known:
                    x.data.copy_(known[p][name])
                else:  # a new state of SGD's, or of Adam's, is zero
                    x.data.zero_()

    def update(self, lr: float) -> float:
        """Take one step of gradient descent at rate `lr` and return the loss of its batch, in nats.

        The rows of the batch are drawn with replacement. Raises TrainingError where the loss is infinite or
        NaN.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        loss = self._descend().item()
        self._check_loss("loss", loss)
        return loss

    def check(self) -> None:
        """Raise TrainingError where training could not go on from here: where a number of the model or its
        optimizer is infinite or NaN, or the loss of the first examples."""
        kept = (x for state in self.optimizer.state.values() for x in state.values())
        for tensor in (*self.model.parameters(), *self.model.buffers(), *kept):
            self._check_loss("model", tensor.sum().item())
        self._check_loss("loss", evaluate(self.model, *(x[: self.settings.batch] for x in self.train)))

    def _check_loss(self, name: str, value: float) -> None:
        if not math.isfinite(value):
            raise TrainingError(
                f"the {name} became {value} at step {self.step}: "
                "try a smaller learning rate or a larger batch"
            )

    def _descent(self) -> Callable[[], Tensor]:
        """Return a function that takes one step and returns the loss before it.

        It reads no attributes of this object, which change with every step.
        """
        model, optimizer, generator, backward = self.model, self.optimizer, self.generator, self._backward()
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

    # The methods that `ParallelTraining` overrides, where several processes share the work.

    @property
    def _batch(self) -> int:
        return self.settings.batch

    def _share(self, examples: Examples) -> Examples:
        return examples

    def _backward(self) -> Callable[[Tensor, Tensor], Tensor]:
        """Return a function of a loss and its targets that goes back and returns the loss of all."""
        return _go_back

    def _dev_loss(self) -> float:
        return evaluate(self.model, *self.dev)

    def check_alike(self, words_sha256: str) -> None:
        """Raise SettingsError where the processes of a run did not start from the same settings and files."""

    def decide(self, save: bool, stop: bool) -> tuple[bool, bool]:
        """Return whether to save and whether to stop now, given whether this process wants to."""
        return save, stop

    def finish(self) -> None:
        """Put the model into its final state: with the best parameters, and calibrated, as `settings` ask.

        Raises TrainingError as `check` does.
        """
        if self.best:
            self.model.load_state_dict(self.best)
        if self.settings.calibrate:
            self.model.calibrate(self.train[0])
        self.check()

    def state_dict(self) -> dict[str, Any]:
        """Return everything but the model's own state, the settings and the data: Tensors, and what JSON can
        hold."""
        return {
            "step": self.step,
            "done": self.done,
            "losses": from_numpy(self.losses[: self.step]),
            "dev_losses": list(self.dev_losses.items()),
            "best": self.best,
            "waited": self.waited,
            "generator": self.generator.get_state(),
            "optimizer": self.optimizer.state_dict(),
            "steps_by": self.steps_by,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from where `state_dict` was called. Raises SettingsError where that is beyond `steps`."""
        if state["step"] > self.settings.steps:
            raise SettingsError("steps", f"the training has done {state['step']:,} steps already")
        self.step = state["step"]
        self.losses[: self.step] = state["losses"].numpy()
        self.dev_losses = dict(state["dev_losses"])
        self._began_by = state.get("steps_by", "")
        self.best, self.waited = state["best"], state["waited"]
        self.generator.set_state(state["generator"])
        states, groups = state["optimizer"]["state"], state["optimizer"]["param_groups"]
        # JSON has turned the parameters' numbers into strings.
        self.optimizer.load_state_dict({"state": {int(i): states[i] for i in states}, "param_groups": groups})

    def _evaluate(self) -> None:
        loss = self._dev_loss()
        self._check_loss("loss of the dev words", loss)
        if loss < min(self.dev_losses.values(), default=math.inf):
            self.waited = 0
            if self.settings.early_stop:
                self.best = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        else:
            self.waited += 1
        self.dev_losses[self.step] = loss


def evaluate(model: Model, X: Tensor, Y: Tensor, chunk: int = 1024) -> float:
    """Return the mean loss over the letters of Y that are not -100, in nats, computed `chunk` rows at a
    time."""
    return total_loss(model, X, Y, chunk) / count_targets(Y)


@no_grad()
def total_loss(model: Model, X: Tensor, Y: Tensor, chunk: int = 1024) -> float:
    """Return the sum of the losses of which `evaluate` returns the mean, in nats."""
    model.eval()
    total = sum(
        model.loss(X[start : start + chunk], Y[start : start + chunk], reduction="sum").item()
        for start in range(0, X.shape[0], chunk)
    )
    model.train()
    return total


def count_targets(Y: Tensor) -> int:
    """Return the number of letters of Y that are not -100."""
    count: int = Y.ne(-100).sum().item()
    return count


def _go_back(loss: Tensor, targets: Tensor) -> Tensor:
    loss.backward()
    return loss
