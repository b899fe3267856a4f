"""New words from a trained model."""

from __future__ import annotations

from .. import Generator, isfinite, multinomial, no_grad
from ..nn.functional import softmax
from .data import Vocabulary
from .models import Model


class SampleError(ArithmeticError):
    """The model's numbers give no probabilities; the message is one sentence."""


@no_grad()
def sample(model: Model, vocabulary: Vocabulary, generator: Generator, longest: int = 100) -> str:
    """Return a new word, drawn letter by letter from `model` (on the CPU) until the boundary is drawn.

    The word is cut at `longest` letters, so that a model that has not learnt to stop comes to an end. Raises
    SampleError where the probability of a letter is no number.
    """
    model.eval()
    letters: list[int] = []
    while len(letters) < longest:
        probs = softmax(model.next_logits(letters), dim=1)
        if not isfinite(probs).all():
            raise SampleError(
                "the model draws no words, since its numbers are NaN or too large: its training diverged, "
                "and a smaller learning rate may help"
            )
        number = multinomial(probs, num_samples=1, generator=generator).item()
        if number == 0:
            break
        letters.append(number)
    model.train()
    return vocabulary.decode(letters)
