"""What all models share: letters so far in, a score for every possible next letter out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ... import Generator, Tensor, no_grad, tensor
from ...nn import Module
from ...nn.functional import cross_entropy
from ..data import build_dataset

if TYPE_CHECKING:
    from ...distributed import Ranks


@dataclass(frozen=True)
class Recipe:
    """The sizes of a model and how it is trained; a size that the model does not have is 0.

    context: how many letters it sees; embedding: numbers a letter; hidden: units of a hidden layer; layers
    and heads: as the model says; dropout: the share of its numbers that a block leaves out at a step; steps:
    updates of the parameters; batch: examples a step; lr: the learning rate; weight_decay: that of the
    optimizer. schedule: "step", a tenth of lr from step milestone · steps on, or "cosine", `warmup` steps up
    from 0 to lr and then down to 0 along a cosine.
    """

    context: int
    embedding: int = 0
    hidden: int = 0
    layers: int = 0
    heads: int = 0
    dropout: float = 0.0
    steps: int = 200_000
    batch: int = 32
    lr: float = 0.1
    optimizer: Literal["sgd", "adamw"] = "sgd"
    weight_decay: float = 0.0
    schedule: Literal["step", "cosine"] = "step"
    milestone: float = 0.5
    warmup: int = 0


class Model(Module):
    """The base of the models. `forward` makes logits of contexts, (n, context) integers."""

    recipe: ClassVar[Recipe]
    """The lecture's sizes and training."""

    smallest_batch: ClassVar[int] = 1
    """How many examples a step of training needs: 2 where batch normalization takes their deviation."""

    examples = staticmethod(build_dataset)
    """(words, vocabulary, context) to arrays X and Y, what `loss` takes."""

    def __init__(self, vocab_size: int, recipe: Recipe, generator: Generator) -> None:
        """Draw all parameters from `generator`; vocab_size: how many letters there are, with the boundary."""
        super().__init__()
        self.context = recipe.context
        self.generator = generator  # of what a step of training draws for itself

    def loss(self, X: Tensor, Y: Tensor, reduction: str = "mean") -> Tensor:
        """The cross entropy, in nats, of the logits of X and the letters Y, where Y is not -100.

        Its mean over these letters, or with reduction="sum" its sum.
        """
        logits = self(X).flatten(0, -2)
        return cross_entropy(logits, Y.flatten(), reduction=reduction)

    def next_logits(self, letters: Sequence[int]) -> Tensor:
        """The logits, (1, vocab_size), of what follows a word's first letters; the model is on the CPU."""
        return self(tensor([([0] * self.context + list(letters))[-self.context :]]))

    def synchronize(self, ranks: Ranks | None) -> None:
        """From now on take the statistics of batch normalization, if there is any, over the batches of all
        ranks, which then all have to call `forward` in training; with None over this one's alone again."""
        for norm in self._norms():
            norm.ranks = ranks

    def _norms(self) -> list[Any]:
        return [module for module in self.modules() if hasattr(module, "momentum")]

    @no_grad()
    def calibrate(self, X: Tensor) -> None:
        """Make the statistics of batch normalization, if there is any, those of all contexts X together.

        X, (n, context), goes through in one piece, which takes the memory of several times its widest layer.
        """
        norms = self._norms()
        if not norms:
            return
        momenta = [norm.momentum for norm in norms]
        training = self.training
        self.train()
        for norm in norms:
            norm.momentum = 1.0  # what was learnt before is forgotten
        self(X)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        self.train(training)
