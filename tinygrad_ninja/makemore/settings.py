"""The settings of a training run: a model's recipe, as the lecture has it or changed, and how the run
goes."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from .. import Generator, optim
from .fields import FieldError, Kind, Maybe, Number, OneOf, Slot, Text, Whole
from .models import MODELS, Model, Recipe

SIZES = ("embedding", "hidden", "layers", "heads")
DEVICES = ("cpu", "torch", "cuda")

FLAG = OneOf(False, True)
MOST = 10**9
"""The most steps of a training; no other number of steps or evaluations is greater."""


def _names_a_file(text: str) -> bool:
    try:
        text.encode("utf-8", "surrogateescape")  # bytes that are no UTF-8 are part of a name, too
    except UnicodeEncodeError:
        return False
    return "\0" not in text


FIELDS: dict[str, Kind] = {
    "model": OneOf(*MODELS),
    "data": Maybe(Text(4096, _names_a_file, "the name of a file")),
    "context": Whole(1, 1000),
    "embedding": Whole(1, 10_000),
    "hidden": Whole(1, 100_000),
    "layers": Whole(1, 200),
    "heads": Whole(1, 1000),
    "dropout": Number(0, 0.99),
    "steps": Whole(1, MOST),
    "batch": Whole(1, 10**6),
    "lr": Number(0, 1e6, above=True),
    "optimizer": OneOf("sgd", "adamw"),
    "weight_decay": Number(0, 1e6),
    "schedule": OneOf("step", "cosine"),
    "milestone": Number(0, 1),
    "warmup": Whole(0, MOST),
    "seed": Whole(0, 2**32 - 1),
    "eval_every": Whole(0, MOST),
    "early_stop": Whole(0, MOST),
    "calibrate": FLAG,
    "sync_batchnorm": FLAG,
}
"""What each setting may be; of SIZES, where the model has it: else it is 0."""

MOST_EVALUATIONS = 100_000
"""The most losses on the development words that a run may compute: its checkpoint holds them all."""


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
        size that the model does not have, and what `check` raises.
        """
        recipe = asdict(MODELS[model].recipe)
        for name in SIZES:
            if name in changes and not recipe[name]:
                raise SettingsError(name, f"{model} has no such size")
        settings = cls(**recipe | changes, model=model)
        if settings.early_stop and not settings.eval_every:
            settings = cls(**asdict(settings) | {"eval_every": max(1, settings.steps // 100)})
        settings.check()
        return settings

    def check(self) -> None:
        """Raise SettingsError for a setting that is not as FIELDS has it, for a batch that is too small for
        the model, for an option of batch normalization where it has none, and for too many evaluations."""
        for name, kind in FIELDS.items():
            try:
                if name in SIZES and not getattr(MODELS[self.model].recipe, name):
                    kind = Whole(0, 0)
                kind.check(getattr(self, name), name)
            except FieldError as error:
                raise SettingsError(name, str(error)) from error
        normalizes = MODELS[self.model].smallest_batch > 1
        if normalizes and self.batch < MODELS[self.model].smallest_batch:
            raise SettingsError("batch", "batch normalization needs two examples or more")
        for name in ("calibrate", "sync_batchnorm"):
            if getattr(self, name) and not normalizes:
                raise SettingsError(name, f"{self.model} has no batch normalization")
        if self.eval_every and self.steps // self.eval_every > MOST_EVALUATIONS:
            raise SettingsError(
                "eval_every", f"{self.steps:,} steps would be evaluated more than {MOST_EVALUATIONS:,} times"
            )

    def layout(self, vocab_size: int) -> dict[str, Slot]:
        """Return the tensors of the model's `state_dict`, without building it.

        Raises SettingsError for sizes that do not fit together.
        """
        try:
            return MODELS[self.model].layout(vocab_size, self)
        except ValueError as error:
            raise SettingsError("model", str(error)) from error

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
