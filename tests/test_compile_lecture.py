"""The lecture's whole training, compiled: 200,000 steps of its batch-norm model, in its own lines."""

from typing import Any

import pytest
from lecture_list import LECTURE_LIST, needs_lecture_list

import tinygrad_ninja as torch
from tinygrad_ninja.makemore.data import Vocabulary, build_dataset, read_words, split
from tinygrad_ninja.nn import functional as F

PRINTED = [
    3.3239, 2.0322, 2.5675, 2.0125, 2.2446, 1.8897, 2.0785, 2.3681, 2.2918, 2.0238, 2.3673, 2.3132, 1.6414,
    1.9311, 2.2231, 2.0027, 2.0997, 2.4949, 2.0199, 2.1707,
]  # fmt: skip
"""The lecture's losses, at step 0 and every 10,000 steps after it."""


@pytest.mark.slow
@needs_lecture_list
def test_two_hundred_thousand_steps_print_the_lectures_losses() -> None:
    words = read_words(str(LECTURE_LIST))
    train, dev, _ = split(words)
    X, Y = map(torch.from_numpy, build_dataset(train, Vocabulary(words), 3))
    g = torch.Generator().manual_seed(2147483647)
    C = torch.randn((27, 10), generator=g)
    W1 = torch.randn((30, 200), generator=g) * (5 / 3) / 30**0.5
    W2 = torch.randn((200, 27), generator=g) * 0.01
    b2 = torch.randn(27, generator=g) * 0
    gain, bias = torch.ones((1, 200)), torch.zeros((1, 200))
    running_mean, running_std = torch.zeros((1, 200)), torch.ones((1, 200))
    parameters = [C, W1, W2, gain, bias, b2]
    for p in parameters:
        p.requires_grad = True

    @torch.compile(fullgraph=True)
    def step(lr: float) -> Any:
        ix = torch.randint(0, X.shape[0], (32,), generator=g)
        embedded = C[X[ix]]
        before = embedded.view(embedded.shape[0], -1) @ W1
        mean, std = before.mean(0, keepdim=True), before.std(0, keepdim=True)
        with torch.no_grad():
            running_mean.copy_(0.999 * running_mean + 0.001 * mean)
            running_std.copy_(0.999 * running_std + 0.001 * std)
        h = torch.tanh(gain * (before - mean) / std + bias)
        loss = F.cross_entropy(h @ W2 + b2, Y[ix])
        for p in parameters:
            p.grad = None
        loss.backward()
        for p in parameters:
            p.data += -lr * p.grad
        return loss

    losses = []
    for i in range(200_000):
        loss = step(0.1 if i < 100_000 else 0.01)
        if i % 10_000 == 0:
            losses.append(loss.item())
    assert losses == pytest.approx(PRINTED, abs=2e-3)

    def split_loss(of: list[str]) -> float:
        x, y = map(torch.from_numpy, build_dataset(of, Vocabulary(words), 3))
        with torch.no_grad():
            h = torch.tanh(gain * (C[x].view(len(x), -1) @ W1 - running_mean) / running_std + bias)
            return F.cross_entropy(h @ W2 + b2, y).item()

    assert split_loss(train) == pytest.approx(2.0674, abs=1e-3)
    assert split_loss(dev) == pytest.approx(2.1057, abs=1e-3)
