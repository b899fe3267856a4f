"""What the guards of a compiled step cost: the lecture's step through `compile`, and the same step with its
guards left out, in turns; and the same with the learning rate as an argument.

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


def lecture(hidden: int = 64) -> tuple[Callable[[float], Any], list[Any]]:
    """Return the step of the makemore MLP, over variables of the function, and its parameters."""
    generator = torch.Generator().manual_seed(1)
    shapes = ((27, 10), (30, hidden), (hidden,), (hidden, 27), (27,))
    C, W1, b1, W2, b2 = params = [torch.randn(*shape, generator=generator) for shape in shapes]
    for p in params:
        p.requires_grad = True
    X, Y = (torch.randint(0, 27, shape, generator=generator) for shape in ((1000, 3), (1000,)))

    def step(lr: float) -> Any:
        ix = torch.randint(0, 1000, (32,), generator=generator)
        h = torch.tanh(C[X[ix]].view(-1, 30) @ W1 + b1)
        loss = F.cross_entropy(h @ W2 + b2, Y[ix])
        for p in params:
            p.grad = None
        loss.backward()
        for p in params:
            p.data += -lr * p.grad
        return loss

    return step, params


def main() -> None:
    """Print the medians, and what the guards add to a call."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()

    (step, params), (given, others), (eager, theirs) = lecture(), lecture(), lecture()
    fast = torch.compile(lambda: step(0.1), fullgraph=True)
    taking = torch.compile(given, fullgraph=True)
    for _ in range(20):
        fast(), taking(0.1), eager(0.1)
    for mine, other in (*zip(params, theirs, strict=True), *zip(others, theirs, strict=True)):
        np.testing.assert_allclose(mine.detach().numpy(), other.detach().numpy(), rtol=1e-4, atol=1e-5)

    bare, bare_taking = fast.unguarded, taking.unguarded
    contenders: dict[str, Callable[[], Any]] = {
        "compiled": lambda: fast(),
        "without guards": lambda: bare(()),
        "compiled, with the rate as an argument": lambda: taking(0.1),
        "without guards, with the rate": lambda: bare_taking((0.1,)),
    }
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(options.rounds):
        for name, call in contenders.items():
            start = time.perf_counter()
            for _ in range(options.calls):
                call()
            times[name].append((time.perf_counter() - start) / options.calls * 1e6)
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, median in medians.items():
        print(f"{name:40} {median:7.2f} µs a call")
    names = [*contenders]
    for guarded, unguarded in (names[:2], names[2:]):
        added = statistics.median(a - b for a, b in zip(times[guarded], times[unguarded], strict=True))
        print(f"{guarded}: guards and lock add {added:.2f} µs, {added / medians[unguarded]:.1%} of the step")


if __name__ == "__main__":
    main()
