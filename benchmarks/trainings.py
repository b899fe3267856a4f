"""The time of a training step of larger models, compiled, beside PyTorch eager and torch.compile.

    python benchmarks/trainings.py [--seconds 10] [MODEL ...]

The lecture's deep model (six layers, batch norm, SGD), its WaveNet (eight letters, joined two by two, SGD)
and a transformer (four layers, 64 wide, causal attention, layer norm, AdamW), each written once and run with
either import, from the same parameters. A step draws a batch, runs forward and backward and updates.
torch.compile gets the loss, and the optimizer's step, each as a function, and so does this engine's compile
as "loss and update". Every contender's gradients are checked against PyTorch's in float64 before it is timed;
the rounds are interleaved in one process and one thread; medians, and their ratios to PyTorch eager, are
printed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"  # before NumPy and torch are loaded

import numpy as np  # noqa: E402
import torch  # noqa: E402
from eager import compare, repeats, time_step  # noqa: E402

import tinygrad_ninja  # noqa: E402

BATCH, ROWS, LETTERS = 32, 100_000, 27


def deep(torch: Any) -> tuple[Any, int]:
    """Return the lecture's deep model, and how many letters it sees."""
    nn, width = torch.nn, 100
    sizes = [30, *[width] * 5]
    layers = [nn.Embedding(LETTERS, 10), nn.Flatten()]
    for fan_in, fan_out in pairwise(sizes):
        layers += [nn.Linear(fan_in, fan_out, bias=False), nn.BatchNorm1d(fan_out), nn.Tanh()]
    return nn.Sequential(*layers, nn.Linear(width, LETTERS, bias=False), nn.BatchNorm1d(LETTERS)), 3


def wavenet(torch: Any) -> tuple[Any, int]:
    """Return the lecture's WaveNet, and how many letters it sees."""
    nn, width = torch.nn, 68

    class Pairs(nn.Module):
        """Joins neighbours: (n, t, c) to (n, t / 2, 2 c)."""

        def forward(self, x: Any) -> Any:
            """Return x with neighbours joined."""
            return x.view(x.shape[0], x.shape[1] // 2, x.shape[2] * 2)

    class Norm(nn.BatchNorm1d):
        """Batch norm over all dimensions but the last."""

        def forward(self, x: Any) -> Any:
            """Return x normalized."""
            return super().forward(x.flatten(0, -2)).view(x.shape)

    layers = [nn.Embedding(LETTERS, 24)]
    for fan_in in (24, width, width):
        layers += [Pairs(), nn.Linear(2 * fan_in, width, bias=False), Norm(width), nn.Tanh()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(width, LETTERS)), 8


def transformer(torch: Any) -> tuple[Any, int]:
    """Return a small causal transformer, and how many letters it sees."""
    nn, width, heads, context = torch.nn, 64, 4, 16

    class Block(nn.Module):
        """Causal attention and two linear layers, each added to its input."""

        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.mlp = nn.Sequential(
                nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width)
            )

        def forward(self, x: Any) -> Any:
            """Return the output of the block, of the shape of x: (n, t, width)."""
            n, t, _ = x.shape
            q, k, v = (
                part.view(n, t, heads, width // heads).transpose(1, 2)
                for part in self.qkv(self.norm1(x)).split(width, dim=2)
            )
            causal_mask = torch.ones(t, t).triu(1) > 0
            scores = (q @ k.transpose(-2, -1)) * (width // heads) ** -0.5
            attended = scores.masked_fill(causal_mask, -float("inf")).softmax(-1) @ v
            x = x + self.out(attended.transpose(1, 2).reshape(n, t, width))
            return x + self.mlp(self.norm2(x))

    class Transformer(nn.Module):
        """Embeddings of letters and positions, four blocks, and a linear layer."""

        def __init__(self) -> None:
            super().__init__()
            self.letters, self.positions = nn.Embedding(LETTERS, width), nn.Embedding(context, width)
            self.blocks = nn.Sequential(*(Block() for _ in range(4)))
            self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, LETTERS, bias=False))

        def forward(self, X: Any) -> Any:
            """Return the logits of the letter after each letter of X."""
            return self.head(self.blocks(self.letters(X) + self.positions(torch.arange(context))))

    return Transformer(), context


MODELS = {"deep": deep, "wavenet": wavenet, "transformer": transformer}


def step_of(module: Any, name: str, dtype: Any, how: str) -> tuple[Callable[[], Any], Any]:
    """Return a function that takes a training step, and the model."""
    model, context = MODELS[name](module)
    rng = np.random.default_rng(0)
    state = {}
    for key, value in model.state_dict().items():
        numbers = rng.normal(size=tuple(value.shape)).astype(np.float32) * 0.1
        if value.ndim == 1 and key.endswith("weight"):  # the weight of a norm
            numbers += 1
        state[key] = value if "running" in key or "tracked" in key else module.tensor(numbers)
    model.load_state_dict(state)
    if dtype is np.float64:
        model.double()
    shape = (ROWS, context)
    X = module.tensor(rng.integers(0, LETTERS, shape))
    Y = module.tensor(rng.integers(0, LETTERS, shape if name == "transformer" else shape[:1]))
    rate = 3e-4 if name == "transformer" else 0.01
    optimizer = (module.optim.AdamW if name == "transformer" else module.optim.SGD)(
        model.parameters(), lr=rate
    )
    g = module.Generator().manual_seed(1)

    def loss_of(x: Any, y: Any) -> Any:
        """Return the mean loss of a batch."""
        return module.nn.functional.cross_entropy(model(x).view(-1, LETTERS), y.view(-1))

    update = optimizer.step
    if how in ("loss and update", "torch.compile"):
        loss_of, update = module.compile(loss_of), module.compile(update)

    def step() -> Any:
        """Take one training step and return its loss."""
        ix = module.randint(0, ROWS, (BATCH,), generator=g)
        loss = loss_of(X[ix], Y[ix])
        optimizer.zero_grad()
        loss.backward()
        update()
        return loss

    return (tinygrad_ninja.compile(step, fullgraph=True) if how == "tinygrad_ninja" else step), model


def measure(name: str, seconds: float) -> dict[str, float]:
    """Return the median time of a step in microseconds by contender."""

    def gradients(model: Any) -> list[Any]:
        """Return copies of the gradients of all parameters."""
        return [p.grad.numpy().copy() for p in model.parameters()]

    step, model = step_of(torch, name, np.float64, "")
    step()
    truth = gradients(model)
    running = {}
    for how in ("torch", "tinygrad_ninja", "loss and update", "torch.compile"):
        step, model = step_of(torch if "torch" in how else tinygrad_ninja, name, np.float32, how)
        step()
        compare(how, truth, gradients(model))
        running[how] = step
    times: dict[str, list[float]] = {how: [] for how in running}
    repeat = {how: repeats(step, 50_000) for how, step in running.items()}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for how, step in running.items():
            times[how].append(time_step(step, repeat[how]))
    return {how: statistics.median(rounds) for how, rounds in times.items()}


def main() -> None:
    """Print the times of every model."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="for each model (default 10)")
    parser.add_argument(
        "models", nargs="*", default=list(MODELS), help=f"of {', '.join(MODELS)} (default: all)"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, NumPy {np.__version__}, one thread; medians, ratio to torch eager\n")
    print(f"{'model':>12}  {'contender':<16}{'time':>13}{'ratio':>8}")
    for name in options.models:
        times = measure(name, options.seconds)
        for how, time_of_step in times.items():
            ratio = time_of_step / times["torch"]
            print(f"{name:>12}  {how:<16}{time_of_step:>10,.0f} µs{ratio:>8.2f}")
        print(flush=True)


if __name__ == "__main__":
    main()
