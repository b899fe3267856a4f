"""The interface of all models: the letters so far go in, a logit for every possible next letter comes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ... import Generator, Tensor, no_grad, tensor
from ...nn import Module
from ...nn.functional import cross_entropy
from ..data import build_dataset
from ..fields import Slot

if TYPE_CHECKING:
    from ..processes import Ranks


@dataclass(frozen=True)
class Recipe:
    """The sizes of a model and how it is trained; a size that the model does not have is 0.

    context: the letters that it sees; embedding: numbers per letter; hidden: units of a hidden layer; layers
    and heads: as the model's docstring says; dropout: the share of its numbers that a block drops at a step;
    steps: updates of the parameters; batch: examples per step; lr: the learning rate; weight_decay: that of
    the optimizer. schedule: "step", a tenth of lr from step milestone · steps on, or "cosine", `warmup` steps
    up from 0 to lr and then down to 0 along a cosine.
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
    """The base of the models. `forward` returns the logits of contexts, (n, context) integers."""

    recipe: ClassVar[Recipe]
    """The lecture's sizes and training."""

    smallest_batch: ClassVar[int] = 1
    """The examples that a training step needs: 2 where batch normalization takes their standard deviation."""

    examples = staticmethod(build_dataset)
    """Turns (words, vocabulary, context) into the arrays X and Y that `loss` takes."""

    def __init__(self, vocab_size: int, recipe: Recipe, generator: Generator) -> None:
        """Draw all parameters from `generator`; vocab_size: the number of letters, with the boundary."""
        super().__init__()
        self.context = recipe.context
        self.generator = generator  # for the random numbers of a training step, such as dropout

    @classmethod
    def layout(cls, vocab_size: int, recipe: Recipe) -> dict[str, Slot]:
        """Return the tensors of the model's `state_dict` by their names, without building it.

        Raises ValueError for sizes that do not fit together.
        """
        raise NotImplementedError

    def loss(self, X: Tensor, Y: Tensor, reduction: str = "mean") -> Tensor:
        """Return the cross entropy, in nats, of the logits of X and the letters of Y that are not -100.

        With reduction="mean" it is the mean over these letters, with reduction="sum" the sum; a Tensor of
        shape ().
        """
        logits = self(X).flatten(0, -2)
        return cross_entropy(logits, Y.flatten(), reduction=reduction)

    def next_logits(self, letters: Sequence[int]) -> Tensor:
        """Return the logits, (1, vocab_size), of the letter after the word's first `letters`; the model is on
        the CPU."""
        return self(tensor([([0] * self.context + list(letters))[-self.context :]]))

    def synchronize(self, ranks: Ranks | None) -> None:
        """Take the statistics of batch normalization, if there is any, over the batches of all ranks from now
        on.

        All ranks must then call `forward` together in training. With None, only this rank's batch counts
        again.
        """
        for norm in self._norms():
            norm.ranks = ranks

    def _norms(self) -> list[Any]:
        return [module for module in self.modules() if hasattr(module, "momentum")]

    @no_grad()
    def calibrate(self, X: Tensor) -> None:
        """Set the statistics of batch normalization, if there is any, to those of all contexts X together.

        X, (n, context), is computed in one piece, which takes several times the memory of its widest layer.
        """
        norms = self._norms()
        if not norms:
            return
        momenta = [norm.momentum for norm in norms]
        training = self.training
        self.train()
        for norm in norms:
            norm.momentum = 1.0  # the running averages so far are replaced
        self(X)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        self.train(training)
