"""The lecture's MLP (Bengio et al. 2003), without and with batch normalization, line by line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ... import Generator, Tensor, no_grad, ones, randn, tanh, zeros
from ...nn import Parameter
from ..fields import Slot
from .model import Model, Recipe

if TYPE_CHECKING:
    from ..processes import Ranks


class MLP(Model):
    """Embeddings of the letters, concatenated, through one tanh layer of `hidden` units.

    The parameters are drawn in the order in which the lecture draws them, C, W1, b1, W2, b2, so its seed
    gives its numbers. The gain of tanh, 5/3, over the square root of the fan-in keeps the spread of the
    activations (He et al. 2015); the last layer starts near zero, so that the first guess is nearly uniform.
    """

    recipe = Recipe(context=3, embedding=10, hidden=200)

    def __init__(self, vocab_size: int, recipe: Recipe, generator: Generator) -> None:
        super().__init__(vocab_size, recipe, generator)
        embedding, hidden = recipe.embedding, recipe.hidden
        fan_in = self.context * embedding
        self.C = Parameter(randn((vocab_size, embedding), generator=generator))
        self.W1 = Parameter(randn((fan_in, hidden), generator=generator) * (5 / 3) / fan_in**0.5)
        self._add_hidden_parameters(hidden, generator)
        self.W2 = Parameter(randn((hidden, vocab_size), generator=generator) * 0.01)
        self.b2 = Parameter(randn(vocab_size, generator=generator) * 0)

    @classmethod
    def layout(cls, vocab_size: int, recipe: Recipe) -> dict[str, Slot]:
        """Return the two layers' weights, the embedding's, and the parameters of the hidden units."""
        embedding, hidden = recipe.embedding, recipe.hidden
        return {
            "C": Slot((vocab_size, embedding)),
            "W1": Slot((recipe.context * embedding, hidden)),
            **cls._hidden_layout(hidden),
            "W2": Slot((hidden, vocab_size)),
            "b2": Slot((vocab_size,)),
        }

    def forward(self, X: Tensor) -> Tensor:
        """Return the logits, (n, vocab_size), of the letter after each of the n contexts of X, (n,
        context)."""
        emb = self.C[X]  # (n, context, embedding)
        embcat = emb.view(emb.shape[0], -1)  # (n, context * embedding)
        hpreact = self._preactivation(embcat @ self.W1)  # (n, hidden)
        h = tanh(hpreact)
        return h @ self.W2 + self.b2

    @classmethod
    def _hidden_layout(cls, hidden: int) -> dict[str, Slot]:
        return {"b1": Slot((hidden,))}

    def _add_hidden_parameters(self, hidden: int, generator: Generator) -> None:
        self.b1 = Parameter(randn(hidden, generator=generator) * 0.01)

    def _preactivation(self, hprebn: Tensor) -> Tensor:
        return hprebn + self.b1


class BatchNormMLP(MLP):
    """The MLP with batch normalization (Ioffe and Szegedy 2015) instead of the bias b1.

    In training every hidden unit is normalized by the mean and the (unbiased) standard deviation of its
    batch, which must hold at least two different contexts: as in the lecture, no epsilon is added. In
    evaluation the running mean and standard deviation are used; each training step moves them by `momentum`.
    """

    smallest_batch = 2
    momentum = 0.001
    ranks: Ranks | None = None
    bnmean_running: Tensor
    bnstd_running: Tensor

    @classmethod
    def _hidden_layout(cls, hidden: int) -> dict[str, Slot]:
        return dict.fromkeys(("bngain", "bnbias", "bnmean_running", "bnstd_running"), Slot((1, hidden)))

    def _add_hidden_parameters(self, hidden: int, generator: Generator) -> None:
        self.bngain = Parameter(ones((1, hidden)))
        self.bnbias = Parameter(zeros((1, hidden)))
        self.register_buffer("bnmean_running", zeros((1, hidden)))
        self.register_buffer("bnstd_running", ones((1, hidden)))

    def _preactivation(self, hprebn: Tensor) -> Tensor:
        if self.training:
            bnmeani, bnstdi = self._statistics(hprebn)
            with no_grad():
                decay = 1 - self.momentum
                self.bnmean_running.copy_(decay * self.bnmean_running + self.momentum * bnmeani)
                self.bnstd_running.copy_(decay * self.bnstd_running + self.momentum * bnstdi)
        else:
            bnmeani, bnstdi = self.bnmean_running, self.bnstd_running
        return self.bngain * (hprebn - bnmeani) / bnstdi + self.bnbias

    def _statistics(self, hprebn: Tensor) -> tuple[Tensor, Tensor]:
        if self.ranks is None:
            return hprebn.mean(0, keepdim=True), hprebn.std(0, keepdim=True)
        mean, var, n = self.ranks.moments(hprebn)
        return mean, (var * (n / (n - 1))) ** 0.5
