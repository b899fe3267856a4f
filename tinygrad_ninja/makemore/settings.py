"""The settings of a training run: a model's recipe, as the lecture has it or changed, and how the run
goes."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from .. import Generator, optim
from .models import MODELS, Model, Recipe

SIZES = ("embedding", "hidden", "layers", "heads")


class SettingsError(ValueError):
    """A setting has an impossible value: `name` is the setting's, and the message a sentence about it."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


@dataclass(frozen=True)
class Settings(Recipe):
    """A `Recipe`, and everything else that decides a training run. `Settings.of` takes the recipe from the
    model.

    model: a key of `MODELS`; data: the source of the words, as `read_words` takes it; seed: the seed of the
    run's one `Generator`; eval_every: steps from one loss on the development words to the next, 0 for never;
    early_stop: end after this many of these losses without a new lowest one, and return to the parameters of
    the lowest, 0 for never; calibrate: whether batch normalization ends with the statistics of the whole
    training set rather than with its running averages; sync_batchnorm: whether it takes the statistics of a
    batch over the batches of all ranks, where there are several.
    """

    model: str = "bn-mlp"
    data: str | None = None
    seed: int = 2147483647
    eval_every: int = 0
    early_stop: int = 0
    calibrate: bool = False
    sync_batchnorm: bool = False

    @classmethod
    def of(cls, model: str = model, **changes: Any) -> Settings:
        """Return the settings of the model's recipe, with `changes` applied.

        A run that stops early evaluates 100 times unless `eval_every` is given. Raises SettingsError for a
        size that the model does not have, for a batch that is too small for it, and for an option of batch
        normalization where it has none.
        """
        recipe = asdict(MODELS[model].recipe)
        for name in SIZES:
            if name in changes and not recipe[name]:
                raise SettingsError(name, f"{model} has no such size")
        settings = cls(**recipe | changes, model=model)
        if settings.batch < MODELS[model].smallest_batch:
            raise SettingsError("batch", "batch normalization needs two examples or more")
        for name in ("calibrate", "sync_batchnorm"):
            if getattr(settings, name) and MODELS[model].smallest_batch == 1:
                raise SettingsError(name, f"{model} has no batch normalization")
        if settings.early_stop and not settings.eval_every:
            return cls(**asdict(settings) | {"eval_every": max(1, settings.steps // 100)})
        return settings

    def build(self, vocab_size: int, generator: Generator) -> Model:
        """Build the untrained model, its parameters drawn from `generator`; vocab_size: letters, with the
        boundary.

        Raises SettingsError for sizes that do not fit together.
        """
        try:
            return MODELS[self.model](vocab_size, self, generator)
        except ValueError as error:
            raise SettingsError("model", str(error)) from error

    def build_optimizer(self, model: Model) -> optim.Optimizer:
        """Build the optimizer of the model's parameters: SGD, or AdamW with makemore's betas."""
        if self.optimizer == "sgd":
            return optim.SGD(model.parameters(), self.lr, weight_decay=self.weight_decay)
        return optim.AdamW(model.parameters(), self.lr, betas=(0.9, 0.99), weight_decay=self.weight_decay)

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of `step`, counted from 0, by `schedule`.

        It is a function of the step, not the state of a scheduler, so that a checkpoint need not save any of
        it.
        """
        if self.schedule == "step":
            return self.lr if step < int(self.milestone * self.steps) else self.lr / 10
        if step < self.warmup:
            return self.lr * (step + 1) / (self.warmup + 1)
        return self.lr * (1 + math.cos(math.pi * (step - self.warmup) / (self.steps - self.warmup))) / 2
