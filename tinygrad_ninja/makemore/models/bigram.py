"""The lecture's first model: it predicts the next letter from the last one alone."""

from __future__ import annotations

from ... import Generator, Tensor, randn
from ...nn import Parameter
from ..fields import Slot
from .model import Model, Recipe


class Bigram(Model):
    """A table of logits, W: a row for the last letter, a column for the next.

    It does what a linear layer does to one-hot rows, and its optimum is known without training: the
    logarithms of the frequencies of the next letter after each letter. W, (vocab_size, vocab_size), is drawn
    from the normal distribution.
    """

    recipe = Recipe(context=1, steps=20_000, batch=1024, lr=50.0)

    def __init__(self, vocab_size: int, recipe: Recipe, generator: Generator) -> None:
        super().__init__(vocab_size, recipe, generator)
        self.layout(vocab_size, recipe)
        self.W = Parameter(randn((vocab_size, vocab_size), generator=generator))

    @classmethod
    def layout(cls, vocab_size: int, recipe: Recipe) -> dict[str, Slot]:
        """Return the one table. Raises ValueError for a context that is not 1."""
        if recipe.context != 1:
            raise ValueError(f"bigram sees one letter: its context is 1, not {recipe.context}")
        return {"W": Slot((vocab_size, vocab_size))}

    def forward(self, X: Tensor) -> Tensor:
        """Return the logits, (n, vocab_size), of the letter after each of the n letters of X, (n, 1)."""
        return self.W[X[:, 0]]
