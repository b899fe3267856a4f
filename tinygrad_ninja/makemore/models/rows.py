"""Models that see a word at once: in one pass, logits of the next letter after every letter of it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ... import Generator, Tensor, tensor
from ...nn import Conv1d, Embedding, Linear, init
from ..data import Vocabulary
from ..fields import Slot
from .model import Model

IGNORED = -100
"""The target after the end of a word: `cross_entropy` leaves it out."""


def build_rows(
    words: Sequence[str], vocabulary: Vocabulary, context: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return one row per word: X, its letters after the boundary, and Y, the letter after each; (rows,
    context), int64.

    A word with more than `context` targets continues in a row of its own. A row is filled up with 0 in X and
    with `IGNORED` in Y. Raises ValueError for a context below 1 and DataError for an unknown character.
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


class RowModel(Model):
    """The base of these models. `forward` returns the logits, (n, t, vocab_size), of the letter after each
    letter of X, (n, t), where t <= context."""

    examples = staticmethod(build_rows)

    def next_logits(self, letters: Sequence[int]) -> Tensor:
        """Return the logits, (1, vocab_size), of the letter after the word's first `letters`; the model is on
        the CPU."""
        return self(tensor([[0, *letters][-self.context :]]))[:, -1]

    def _draw_layers(self, generator: Generator) -> None:
        """Draw the layers again, in their order, as PyTorch's draw themselves."""
        for module in self.modules():
            if isinstance(module, Embedding):
                init.normal_(module.weight, generator=generator)
            elif isinstance(module, (Linear, Conv1d)):
                bound = 1 / math.sqrt(module.weight[0].numel())
                init.kaiming_uniform_(module.weight, a=math.sqrt(5), generator=generator)
                init.uniform_(module.bias, -bound, bound, generator=generator)


def layer_slots(name: str, weight: tuple[int, ...]) -> dict[str, Slot]:
    """Return the weight of that shape, and the bias, of a layer of that name."""
    return {f"{name}.weight": Slot(weight), f"{name}.bias": Slot(weight[:1])}
