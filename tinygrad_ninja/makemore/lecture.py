"""The lecture's model, its forward pass taken apart into 26 named tensors, compared with PyTorch's.

The lecture is "Building makemore Part 4: Becoming a Backprop Ninja" by Andrej Karpathy. The model is an
embedding, a hidden layer with batch normalization and tanh, an output layer and a cross-entropy, step by
step; the gradient of each tensor is one that the viewers derive by hand.
"""

from __future__ import annotations

from typing import Any

import tinygrad_ninja

from ..check.compare import RTOL, Comparison, compare
from .data import Vocabulary, build_dataset, read_words, split

CONTEXT, EMBEDDING, HIDDEN, BATCH = 3, 10, 64, 32
SEED = 2147483647  # the lecture's

ARRAYS = {"cpu": "NumPy arrays", "torch": "torch tensors", "cuda": "the GPU"}

TERMS = {"b1": "hprebn", "logit_maxes": "norm_logits"}
"""Two gradients are zero up to rounding, because batch normalization, and the softmax, undo a shift of
their input. Each is a sum of terms that cancel; it is measured by the gradient that holds the terms."""


def forward(
    module: Any, C: Any, W1: Any, b1: Any, W2: Any, b2: Any, bngain: Any, bnbias: Any, X: Any, Y: Any
) -> dict[str, Any]:
    """Return every step from the letters to the loss, by name.

    C: (letters, 10); W1: (30, 64); b1: (64); W2: (64, letters); b2: (letters); bngain, bnbias: (1, 64); X:
    (32, 3) and Y: (32) integers below `letters`. `module` is the one whose Tensors they are.
    """
    rows = X.shape[0]

    # the first layer, on the embeddings of the context side by side
    emb = C[X]
    embcat = emb.flatten(1)
    hprebn = module.matmul(embcat, W1) + b1

    # batch normalization: over the batch, with the unbiased variance
    bnmeani = hprebn.sum(0, keepdim=True) * (1 / rows)
    bndiff = hprebn - bnmeani
    bndiff2 = bndiff**2
    bnvar = bndiff2.sum(0, keepdim=True) * (1 / (rows - 1))
    bnvar_inv = (bnvar + 1e-5) ** -0.5
    bnraw = bndiff * bnvar_inv
    hpreact = bngain * bnraw + bnbias

    # the second layer
    h = module.tanh(hpreact)
    logits = module.matmul(h, W2) + b2

    # cross-entropy: the largest logit of each row is subtracted so that exp does not overflow
    logit_maxes = logits.max(dim=1, keepdim=True).values
    norm_logits = logits - logit_maxes
    counts = module.exp(norm_logits)
    counts_sum = counts.sum(dim=1, keepdim=True)
    counts_sum_inv = counts_sum**-1
    probs = counts * counts_sum_inv
    logprobs = module.log(probs)
    loss = -logprobs[module.arange(rows, device=X.device), Y].mean()

    return locals()


def numbers(data: str | None = None) -> list[Any]:
    """Return the arguments of `forward` after the module: seven parameters, and a batch of the words of
    `read_words(data)`.

    No parameter is left at 0 or 1, where a wrong gradient might not show.
    """
    words = read_words(data)
    vocabulary = Vocabulary(words)
    X, Y = build_dataset(split(words)[0], vocabulary, CONTEXT)
    letters, inputs = len(vocabulary), CONTEXT * EMBEDDING
    generator = tinygrad_ninja.Generator().manual_seed(SEED)

    def draw(*shape: int) -> Any:
        """Draw a tensor of this shape from the normal distribution."""
        return tinygrad_ninja.randn(*shape, generator=generator)

    C = draw(letters, EMBEDDING)
    W1 = draw(inputs, HIDDEN) * (5 / 3) / inputs**0.5
    b1 = draw(HIDDEN) * 0.1
    W2, b2 = draw(HIDDEN, letters) * 0.1, draw(letters) * 0.1
    bngain, bnbias = draw(1, HIDDEN) * 0.1 + 1, draw(1, HIDDEN) * 0.1
    batch = tinygrad_ninja.randint(0, len(X), (BATCH,), generator=generator).numpy()
    return [C, W1, b1, W2, b2, bngain, bnbias, X[batch], Y[batch]]


def recorded(data: str | None = None) -> dict[str, Any]:
    """Return every step by name, with the history that leads from the loss to the parameters; see
    `numbers`."""
    values = [tinygrad_ninja.tensor(array) for array in numbers(data)]
    for parameter in values[:-2]:
        parameter.requires_grad_()
    return {**forward(tinygrad_ninja, *values), "n": BATCH}


def table(device: str = "cpu", dtype: str = "float32", data: str | None = None) -> Comparison:
    """Return the comparison of the 26 tensors, from the parameters to `logprobs`; see `compare` for the
    errors."""
    rows = compare(forward, *numbers(data), device=device, dtype=dtype)
    return Comparison(tuple(row for row in rows if row.gradient is not None and row.name != "loss"))


def tolerance(device: str, dtype: str) -> float:
    """Return the largest allowed distance from PyTorch's values, relative to the greatest element of the
    tensor.

    It is 0 in float32 on torch tensors, where both engines run the same operations in the same order. NumPy,
    and a GPU, may add up in another order, and in float64 RTOL is enough.
    """
    return 0.0 if (device, dtype) == ("torch", "float32") else RTOL[dtype]


def complaints(comparison: Comparison, device: str, dtype: str) -> list[str]:
    """Return a sentence for each value and gradient of the comparison that is not within the tolerance."""
    return comparison.complaints(tolerance(device, dtype), terms=TERMS)


def claim(device: str, dtype: str) -> str:
    """Return the precision of a comparison without complaints, in words."""
    allowed = tolerance(device, dtype)
    return f"to {allowed:g}" if allowed else "to the last bit"
