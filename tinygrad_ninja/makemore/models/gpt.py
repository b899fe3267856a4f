"""A small causal transformer: a logit for every next letter at every letter of a word, in one pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ... import Generator, Tensor, arange, bernoulli, full, ones, tensor
from ...nn import GELU, Embedding, LayerNorm, Linear, Module, ModuleList, MultiheadAttention, Sequential, init
from ..data import Vocabulary
from .model import Model, Recipe

IGNORED = -100
"""The target where a word is over: `cross_entropy` leaves it out."""


def build_rows(
    words: Sequence[str], vocabulary: Vocabulary, context: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """One row for every word, X, its letters after the boundary, and Y, what follows each: (rows, context).

    A word with more than `context` targets goes on in a row of its own. What is left of a row is 0 in X and
    `IGNORED` in Y. Raises ValueError for a context below 1 and DataError for an unknown character.
    """
    if context < 1:
        raise ValueError(f"context must be at least 1, not {context}")
    pieces = []
    for word in words:
        letters = [0, *vocabulary.encode(word), 0]
        pieces += [letters[start : start + context + 1] for start in range(0, len(letters) - 1, context)]
    X = np.zeros((len(pieces), context), dtype=np.int64)
    Y = np.full((len(pieces), context), IGNORED, dtype=np.int64)
    for row, piece in enumerate(pieces):
        X[row, : len(piece) - 1], Y[row, : len(piece) - 1] = piece[:-1], piece[1:]
    return X, Y


class Block(Module):
    """Attention to the letters so far, then a layer of 4 · width units, each added to what it is given.

    Both see their input normalized, as in GPT-2 (Radford et al. 2019).
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = LayerNorm(width)
        self.attention = MultiheadAttention(width, heads, batch_first=True)
        self.norm2 = LayerNorm(width)
        self.mlp = Sequential(Linear(width, 4 * width), GELU(approximate="tanh"), Linear(4 * width, width))

    def forward(self, x: Tensor, later: Tensor, thinned: Callable[[Tensor], Tensor]) -> Tensor:
        """x: (n, t, width); later: (t, t), true where the column comes after the row; thinned: dropout."""
        h = self.norm1(x)
        x = x + thinned(self.attention(h, h, h, attn_mask=later, need_weights=False, is_causal=True)[0])
        return x + thinned(self.mlp(self.norm2(x)))


class GPT(Model):
    """Embeddings of the letters and of their positions, added, through `layers` blocks of `heads` heads.

    Every matrix is drawn from N(0, 0.02²), in the order of `parameters`; biases are 0, the norms' weights 1.
    """

    # The sizes and the batch are makemore's; dropout and schedule are ours, to arrive in 45,000 steps.
    recipe = Recipe(
        context=16, embedding=64, layers=4, heads=4, dropout=0.1, steps=45_000,
        optimizer="adamw", lr=2e-3, weight_decay=0.1, schedule="cosine", warmup=300,
    )  # fmt: skip

    examples = staticmethod(build_rows)

    def __init__(self, vocab_size: int, recipe: Recipe, generator: Generator) -> None:
        super().__init__(vocab_size, recipe, generator)
        width, self.dropout = recipe.embedding, recipe.dropout
        if width % recipe.heads:
            raise ValueError(f"gpt's heads share its embedding: {width} is no multiple of {recipe.heads}")
        self.token_embedding = Embedding(vocab_size, width)
        self.position_embedding = Embedding(self.context, width)
        self.blocks = ModuleList(Block(width, recipe.heads) for _ in range(recipe.layers))
        self.norm = LayerNorm(width)
        self.head = Linear(width, vocab_size, bias=False)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                init.normal_(parameter, std=0.02, generator=generator)
            elif name.endswith("bias"):
                init.zeros_(parameter)

    def forward(self, X: Tensor) -> Tensor:
        """The logits, (n, t, vocab_size), of what follows each letter of X, (n, t), where t <= context."""
        t = X.shape[1]
        later = ones((t, t), dtype=bool, device=X.device).triu(1)
        x = self.token_embedding(X) + self.position_embedding(arange(t, device=X.device))
        for block in self.blocks:
            x = block(x, later, self._thinned)
        return self.head(self.norm(x))

    def _thinned(self, x: Tensor) -> Tensor:
        """Dropout (Srivastava et al. 2014). Its draws are the training's, so that one that is resumed repeats
        them."""
        if not self.training or not self.dropout:
            return x
        kept = bernoulli(full(x.shape, 1 - self.dropout), generator=self.generator)
        return x * (kept / (1 - self.dropout)).to(x.device)

    def next_logits(self, letters: Sequence[int]) -> Tensor:
        return self(tensor([[0, *letters][-self.context :]]))[:, -1]
