"""Gradient descent on random batches, as in the lecture, and the loss over a whole dataset."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from .. import Generator, Tensor, no_grad, randint
from ..nn.functional import cross_entropy
from ..optim import SGD
from .models import MLP, MODELS


@dataclass(frozen=True)
class Settings:
    """What a training is asked for; the defaults are the lecture's.

    data: the words, as `read_words` takes them; model: a key of `MODELS`; context: how many letters it sees;
    embedding: numbers a letter; hidden: tanh units; steps: updates of the parameters; batch: examples a step;
    lr: the learning rate of the first half of the steps; seed: that of the one `Generator` of a training.
    """

    data: str | None = None
    model: str = "bn-mlp"
    context: int = 3
    embedding: int = 10
    hidden: int = 200
    steps: int = 200_000
    batch: int = 32
    lr: float = 0.1
    seed: int = 2147483647

    def build(self, vocab_size: int, generator: Generator) -> MLP:
        """The untrained model, its parameters drawn from `generator`."""
        return MODELS[self.model](vocab_size, self.context, self.embedding, self.hidden, generator)


class TrainingError(ArithmeticError):
    """The loss is no longer a number; the message is one sentence that names the step."""


def train(model: MLP, X: Tensor, Y: Tensor, settings: Settings, generator: Generator) -> Iterator[float]:
    """Train the model in place; every step yields the loss, in nats, of its batch before its update.

    X, of shape (N, context), and Y, of shape (N,), hold the contexts and what follows them, on the model's
    device. A batch is `settings.batch` of their rows, drawn with replacement from `generator`. The learning
    rate is `settings.lr`, and a tenth of it from half of the steps. Raises TrainingError where the loss is
    infinite or not a number.
    """
    optimizer = SGD(model.parameters(), settings.lr)
    for step in range(settings.steps):
        if step == settings.steps // 2:
            optimizer = SGD(model.parameters(), settings.lr / 10)
        ix = randint(0, X.shape[0], (settings.batch,), generator=generator).to(X.device)
        loss = cross_entropy(model(X[ix]), Y[ix])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        value = loss.item()
        if not math.isfinite(value):
            raise TrainingError(
                f"the loss became {value} at step {step}: try a smaller learning rate or a larger batch"
            )
        yield value


@no_grad()
def evaluate(model: MLP, X: Tensor, Y: Tensor, chunk: int = 1024) -> float:
    """The mean loss over all rows of X (N, context) and Y (N,), in nats, computed `chunk` rows at a time."""
    model.eval()
    total = sum(
        cross_entropy(model(X[start : start + chunk]), Y[start : start + chunk], reduction="sum").item()
        for start in range(0, X.shape[0], chunk)
    )
    model.train()
    return total / X.shape[0]
