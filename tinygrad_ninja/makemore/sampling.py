"""New words from a trained model."""

from __future__ import annotations

from .. import Generator, multinomial, no_grad
from ..nn.functional import softmax
from .data import Vocabulary
from .models import Model


@no_grad()
def sample(model: Model, vocabulary: Vocabulary, generator: Generator, longest: int = 100) -> str:
    """Return a new word, drawn letter by letter from `model` (on the CPU) until the boundary is drawn.

    The word is cut at `longest` letters, so that a model that has not learnt to stop comes to an end.
    """
    model.eval()
    letters: list[int] = []
    while len(letters) < longest:
        probs = softmax(model.next_logits(letters), dim=1)
        number = multinomial(probs, num_samples=1, generator=generator).item()
        if number == 0:
            break
        letters.append(number)
    model.train()
    return vocabulary.decode(letters)
