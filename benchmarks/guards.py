"""What the guards of a compiled step cost: the lecture's step through `compile`, the same step with guards
that compare nothing, and without guards and lock, in turns; the same with the learning rate as an argument,
and with the batch.

Run: python benchmarks/guards.py [--calls N] [--rounds N]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import tinygrad_ninja as torch
from tinygrad_ninja.nn import functional as F


class Lecture:
    """The makemore MLP, whose steps read it as variables of their closures."""

    def __init__(self, hidden: int = 64) -> None:
        generator = torch.Generator().manual_seed(1)
        shapes = ((27, 10), (30, hidden), (hidden,), (hidden, 27), (27,))
        C, W1, b1, W2, b2 = self.params = [torch.randn(*shape, generator=generator) for shape in shapes]
        for p in self.params:
            p.requires_grad = True
        X, Y = (torch.randint(0, 27, shape, generator=generator) for shape in ((1000, 3), (1000,)))
        params = self.params

        def learn(x: Any, y: Any, lr: float) -> Any:
            h = torch.tanh(C[x].view(-1, 30) @ W1 + b1)
            loss = F.cross_entropy(h @ W2 + b2, y)
            for p in params:
                p.grad = None
            loss.backward()
            for p in params:
                p.data += -lr * p.grad
            return loss

        def drawing(lr: float) -> Any:
            ix = torch.randint(0, 1000, (32,), generator=generator)
            return learn(X[ix], Y[ix], lr)

        self.batch = X[:32], Y[:32]
        self.steps: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
            "no arguments": (lambda: drawing(0.1), ()),
            "the learning rate": (drawing, (0.1,)),
            "the batch": (lambda x, y: learn(x, y, 0.1), self.batch),
        }
        """Each with its arguments."""


def main() -> None:
    """Print the medians, and what the guards add to a call."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=120)
    options = parser.parse_args()
    for name in Lecture().steps:
        measure(name, options.calls, options.rounds)


def measure(name: str, calls: int, rounds: int) -> None:
    """Print what the guards of one of the steps cost."""
    model, other = Lecture(), Lecture()
    (step, args), (eager, given) = model.steps[name], other.steps[name]
    fast = torch.compile(step, fullgraph=True)
    for _ in range(20):
        fast(*args), eager(*given)
    for mine, its in zip(model.params, other.params, strict=True):
        np.testing.assert_allclose(mine.detach().numpy(), its.detach().numpy(), rtol=1e-4, atol=1e-5)

    recording, bare = fast._recordings.last, fast.unguarded
    compare = recording.holds
    ways: dict[str, tuple[Callable[[], Any], Callable[[], bool]]] = {
        "compiled": (lambda: fast(*args), compare),
        "comparing nothing": (lambda: fast(*args), lambda: True),
        "without guards": (lambda: bare(args), compare),
    }
    times: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, (call, recording.holds) in ways.items():
            call()
            start = time.perf_counter()
            for _ in range(calls):
                call()
            times[way].append((time.perf_counter() - start) / calls * 1e6)
    print(f"arguments: {name}")
    for way, values in times.items():
        print(f"    {way:20} {statistics.median(values):7.2f} µs a call")
    guarded, trusting, unguarded = times.values()
    compared = statistics.median(a - b for a, b in zip(guarded, trusting, strict=True))
    added = statistics.median(a - b for a, b in zip(guarded, unguarded, strict=True))
    print(f"    comparisons add {compared:.2f} µs; with the arguments, the lock and the call they are")
    print(f"    {added:.2f} µs, {added / statistics.median(unguarded):.1%} of the step")


if __name__ == "__main__":
    main()
