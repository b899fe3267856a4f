"""The lecture's deeper models, each one `Sequential` of PyTorch's layers, with batch normalization."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ... import Generator, Tensor, no_grad, randn
from ...nn import BatchNorm1d, Embedding, Flatten, FlattenConsecutive, Linear, Module, Sequential, Tanh, init
from ..fields import Slot
from .model import Model, Recipe

if TYPE_CHECKING:
    from ..processes import Ranks


class Stack(Model):
    """The base of both: `layers` from letters to logits, with the lecture's layout and initialization.

    The embedding and every linear layer, first to last, are drawn from the normal distribution. A linear
    layer's weight is drawn transposed, and divided by the square root of its fan-in; biases are 0.
    """

    smallest_batch = 2
    layers: Sequential

    def forward(self, X: Tensor) -> Tensor:
        """Return the logits, (n, vocab_size), of the letter after each of the n contexts of X, (n,
        context)."""
        return self.layers(X)


class Deep(Stack):
    """Embeddings, concatenated, through `layers` tanh layers of `hidden` units, all with batch normalization.

    The output is normalized too, with a gain that starts at 0.1, so that the first guess is nearly uniform.
    """

    recipe = Recipe(context=3, embedding=10, hidden=100, layers=5, milestone=0.75)

    def __init__(self, vocab_size: int, recipe: Recipe, generator: Generator) -> None:
        super().__init__(vocab_size, recipe, generator)
        layers: list[Module] = [_embedding(vocab_size, recipe.embedding, generator), Flatten()]
        fan_in = recipe.context * recipe.embedding
        for _ in range(recipe.layers):
            layers += [*_normalized(fan_in, recipe.hidden, generator, gain=5 / 3), Tanh()]
            fan_in = recipe.hidden
        layers += _normalized(fan_in, vocab_size, generator)
        init.constant_(layers[-1].weight, 0.1)
        self.layers = Sequential(*layers)

    @classmethod
    def layout(cls, vocab_size: int, recipe: Recipe) -> dict[str, Slot]:
        """Return the embedding and each layer's weight and normalization; its tanh has neither."""
        slots = {"layers.0.weight": Slot((vocab_size, recipe.embedding))}
        fan_in, last = recipe.context * recipe.embedding, 2 + 3 * recipe.layers
        for i in range(2, last, 3):
            slots |= _normalized_layout(i, fan_in, recipe.hidden)
            fan_in = recipe.hidden
        return slots | _normalized_layout(last, fan_in, vocab_size)


class WaveNet(Stack):
    """Pairs of neighbours are joined, level by level, until one is left of the context (van den Oord et al.
    2016): at each level a linear layer of `hidden` units, batch normalization and tanh.

    The context is a power of 2, and its logarithm is the number of levels. The last layer starts at a tenth.
    """

    recipe = Recipe(context=8, embedding=24, hidden=128, milestone=0.75)

    def __init__(self, vocab_size: int, recipe: Recipe, generator: Generator) -> None:
        super().__init__(vocab_size, recipe, generator)
        layers: list[Module] = [_embedding(vocab_size, recipe.embedding, generator)]
        width = recipe.embedding
        for _ in range(self._levels(recipe)):
            layers += [FlattenConsecutive(2), *_normalized(2 * width, recipe.hidden, generator), Tanh()]
            width = recipe.hidden
        layers.append(_linear(width, vocab_size, generator, gain=0.1, bias=True))
        self.layers = Sequential(*layers)

    @classmethod
    def layout(cls, vocab_size: int, recipe: Recipe) -> dict[str, Slot]:
        """Return the embedding, each level's weight and normalization, and the last layer.

        Raises ValueError for a context that is no power of 2.
        """
        slots = {"layers.0.weight": Slot((vocab_size, recipe.embedding))}
        width, last = recipe.embedding, 1 + 4 * cls._levels(recipe)
        for i in range(2, last, 4):
            slots |= _normalized_layout(i, 2 * width, recipe.hidden)
            width = recipe.hidden
        return slots | {
            f"layers.{last}.weight": Slot((vocab_size, width)),
            f"layers.{last}.bias": Slot((vocab_size,)),
        }

    @staticmethod
    def _levels(recipe: Recipe) -> int:
        levels = recipe.context.bit_length() - 1
        if levels < 1 or recipe.context != 2**levels:
            raise ValueError(
                f"wavenet joins letters by pairs: its context is 2, 4, 8 ..., not {recipe.context}"
            )
        return levels


class BatchNormLast(BatchNorm1d):
    """BatchNorm1d over all dimensions but the last: (n, features) or (n, length, features).

    This is the lecture's layout, where `BatchNorm1d` itself would take the length for the features.
    """

    ranks: Ranks | None = None

    def forward(self, input: Tensor) -> Tensor:
        """Return the normalized input, in its shape."""
        x = input.flatten(0, -2)
        if self.ranks is None or not self.training:
            return super().forward(x).view(input.shape)
        mean, var, n = self.ranks.moments(x)
        momentum = self.momentum or 0.0
        with no_grad():
            self.num_batches_tracked += 1
            for running, statistic in ((self.running_mean, mean), (self.running_var, var * (n / (n - 1)))):
                running.mul_(1 - momentum).add_(momentum * statistic.view(-1))
        return (self.weight * (x - mean) * (var + self.eps) ** -0.5 + self.bias).view(input.shape)


def _normalized(fan_in: int, fan_out: int, generator: Generator, gain: float = 1.0) -> list[Module]:
    return [_linear(fan_in, fan_out, generator, gain, bias=False), BatchNormLast(fan_out)]


def _normalized_layout(i: int, fan_in: int, fan_out: int) -> dict[str, Slot]:
    norm = dict.fromkeys(("weight", "bias", "running_mean", "running_var"), Slot((fan_out,)))
    norm["num_batches_tracked"] = Slot((), "I64")
    tensors = {f"layers.{i + 1}.{name}": slot for name, slot in norm.items()}
    return {f"layers.{i}.weight": Slot((fan_out, fan_in)), **tensors}


def _linear(fan_in: int, fan_out: int, generator: Generator, gain: float, bias: bool) -> Linear:
    layer = Linear(fan_in, fan_out, bias)
    layer.weight.data.copy_((randn((fan_in, fan_out), generator=generator) * gain / fan_in**0.5).T)
    if bias:
        init.zeros_(layer.bias)
    return layer


def _embedding(vocab_size: int, embedding: int, generator: Generator) -> Embedding:
    layer = Embedding(vocab_size, embedding)
    init.normal_(layer.weight, generator=generator)
    return layer
