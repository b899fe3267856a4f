"""The time of the lecture's training step, as lecture code, on this engine and on PyTorch.

    python benchmarks/eager.py

One step draws a batch, runs the expanded forward pass, goes backward to seven parameters and updates them.
The same function runs under both engines; plain NumPy lines of the same arithmetic, without any engine, are
measured beside them. Every contender's gradients are checked against float64 before it is timed. The rounds
are interleaved, in one thread of one process, and the medians and their ratios to PyTorch are printed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"  # before NumPy and torch are loaded

import numpy as np  # noqa: E402
import torch  # noqa: E402
from plain_numpy import numpy_step  # noqa: E402

import tinygrad_ninja  # noqa: E402

Step = Callable[[], Any]

ROWS, VOCABULARY, CONTEXT, EMBEDDING, RATE = 182_625, 27, 3, 10, 0.1
CASES = {"32 × 64": (32, 64), "32 × 200": (32, 200), "4,096 × 1,024": (4096, 1024)}


def parameters(hidden: int, dtype: type = np.float32) -> list[Any]:
    """Return C, W1, b1, W2, b2, bngain and bnbias of the lecture's exercise, as NumPy arrays."""
    rng = np.random.default_rng(2147483647)
    fan_in = EMBEDDING * CONTEXT
    arrays = [
        rng.standard_normal((VOCABULARY, EMBEDDING)),
        rng.standard_normal((fan_in, hidden)) * (5 / 3) / fan_in**0.5,
        rng.standard_normal(hidden) * 0.1,
        rng.standard_normal((hidden, VOCABULARY)) * 0.1,
        rng.standard_normal(VOCABULARY) * 0.1,
        rng.standard_normal((1, hidden)) * 0.1 + 1.0,
        rng.standard_normal((1, hidden)) * 0.1,
    ]
    return [array.astype(np.float32).astype(dtype) for array in arrays]


def dataset() -> tuple[Any, Any]:
    """Return as many rows as the lecture trains on, drawn at random: the time does not depend on the
    letters."""
    rng = np.random.default_rng(0)
    return rng.integers(0, VOCABULARY, (ROWS, CONTEXT)), rng.integers(0, VOCABULARY, ROWS)


def lecture_step(
    torch: Any, batch: int, hidden: int, dtype: type = np.float32, device: str | None = None
) -> tuple[Step, list[Any]]:
    """Return the step as a closure, in the lecture's lines, and the parameters; `torch` is the engine to use.

    On a device that is named, the rows are numbered there, where the lecture writes `range`.
    """
    Xtr, Ytr = (torch.tensor(array, device=device) for array in dataset())
    weights = [torch.tensor(array, device=device) for array in parameters(hidden, dtype)]
    C, W1, b1, W2, b2, bngain, bnbias = weights
    for p in weights:
        p.requires_grad = True
    g = torch.Generator(device or "cpu").manual_seed(2147483647)
    n = batch

    def rows() -> Any:
        """Return the numbers of the batch's rows."""
        return range(n) if device is None else torch.arange(n, device=device)

    def step() -> Any:
        """Take one step of gradient descent and return the loss before it."""
        ix = torch.randint(0, Xtr.shape[0], (batch,), generator=g, device=device)
        Xb, Yb = Xtr[ix], Ytr[ix]
        emb = C[Xb]
        embcat = emb.view(emb.shape[0], -1)
        hprebn = embcat @ W1 + b1
        bnmeani = 1 / n * hprebn.sum(0, keepdim=True)
        bndiff = hprebn - bnmeani
        bndiff2 = bndiff**2
        bnvar = 1 / (n - 1) * (bndiff2).sum(0, keepdim=True)
        bnvar_inv = (bnvar + 1e-5) ** -0.5
        bnraw = bndiff * bnvar_inv
        hpreact = bngain * bnraw + bnbias
        h = torch.tanh(hpreact)
        logits = h @ W2 + b2
        logit_maxes = logits.max(1, keepdim=True).values
        norm_logits = logits - logit_maxes
        counts = norm_logits.exp()
        counts_sum = counts.sum(1, keepdims=True)
        counts_sum_inv = counts_sum**-1
        probs = counts * counts_sum_inv
        logprobs = probs.log()
        loss = -logprobs[rows(), Yb].mean()
        for p in weights:
            p.grad = None
        loss.backward()
        for p in weights:
            p.data += -RATE * p.grad
        return loss

    return step, weights


def check(batch: int, hidden: int) -> None:
    """Check every contender's gradients after one step against PyTorch's in float64; AssertionError where
    they differ."""
    step, weights = lecture_step(torch, batch, hidden, np.float64)
    step()
    truth = [p.grad.numpy() for p in weights]
    for module in (torch, tinygrad_ninja):
        step, weights = lecture_step(module, batch, hidden)
        step()
        compare(module.__name__, truth, [p.grad.numpy() for p in weights])
    step, gradients = numpy_step(parameters(hidden), *dataset(), batch, RATE)
    step()
    compare("plain NumPy", truth, gradients())


def compare(name: str, truth: list[Any], gradients: list[Any]) -> None:
    """Raise AssertionError where a gradient differs from the truth by 1e-5 of the largest number or more."""
    scale = max(np.abs(array).max() for array in truth)
    for i, (expected, actual) in enumerate(zip(truth, gradients, strict=True)):
        assert expected.shape == actual.shape, (
            f"{name}: gradient {i} has shape {actual.shape}, not {expected.shape}"
        )
        worst = np.abs(expected - actual).max()
        assert worst < 1e-5 * scale, f"{name}: gradient {i} is off by {worst:.3g}"


def measure(batch: int, hidden: int, seconds: float) -> dict[str, float]:
    """Return the median time of a step, in microseconds, for each contender."""
    steps: dict[str, Step] = {
        "torch": lecture_step(torch, batch, hidden)[0],
        "tinygrad_ninja": lecture_step(tinygrad_ninja, batch, hidden)[0],
        "plain NumPy": numpy_step(parameters(hidden), *dataset(), batch, RATE)[0],
    }
    times: dict[str, list[float]] = {name: [] for name in steps}
    repeat = repeats(steps["torch"], 20_000)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for name, step in steps.items():
            times[name].append(time_step(step, repeat))
    return {name: statistics.median(rounds) for name, rounds in times.items()}


def time_step(step: Step, repeat: int) -> float:
    """Return the mean time of `repeat` steps, in microseconds."""
    start = time.perf_counter()
    for _ in range(repeat):
        step()
    return (time.perf_counter() - start) / repeat * 1e6


def repeats(step: Step, round_time: float) -> int:
    """Return how many steps fill a round of that many microseconds: the steps after those that compile."""
    time_step(step, 5)
    return max(1, round(round_time / time_step(step, 3)))


def begin(description: str) -> float:
    """Parse the command line, print what is measured, and return the seconds that each case may take."""
    parser = argparse.ArgumentParser(description=description.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="for each case (default 10)")
    seconds: float = parser.parse_args().seconds
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, NumPy {np.__version__}, one thread; medians, ratio to torch eager\n")
    return seconds


def main() -> None:
    """Print the times of every case."""
    seconds = begin(__doc__)
    print(f"{'batch × hidden':>16}  {'contender':<16}{'time':>12}{'ratio':>8}")
    for label, (batch, hidden) in CASES.items():
        check(batch, hidden)
        times = measure(batch, hidden, seconds)
        for name, time_of_step in times.items():
            print(f"{label:>16}  {name:<16}{time_of_step:>9,.0f} µs{time_of_step / times['torch']:>8.2f}")
        print()


if __name__ == "__main__":
    main()
