"""The time of a training step of micrograd's demo, on this engine's Values and on micrograd's own.

    python benchmarks/scalars.py

The same function (of `examples/micrograd_demo.py`) runs with both classes, and this engine's is compiled too,
after the first losses and gradients were compared. The rounds are interleaved, in one process, first with
Python's garbage collector on, as it is by default, then with it off; the medians and their ratios to
micrograd are printed.
"""

from __future__ import annotations

import argparse
import gc
import math
import statistics
import sys
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import micrograd.engine
import micrograd.nn

import tinygrad_ninja.micrograd

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))

from micrograd_demo import STEPS as ALL
from micrograd_demo import loss, start, train_step

STEPS = 2  # per round, so that a contender also pays for the garbage of its own last step


Demo = tuple[Callable[[], float], Any]
"""A function that takes the next step of the demo and returns its loss; and the model."""


def demo(value: type, mlp: type) -> Demo:
    """Return the demo on these classes."""
    model, X, y = start(mlp)
    steps = count()
    return lambda: train_step(model, X, y, next(steps), value)[0].data, model


def compiled_demo() -> Demo:
    """Return the demo compiled, with the rate as an argument, since a comparison decides it."""
    model, X, y = start(tinygrad_ninja.micrograd.MLP)
    steps = count()

    @tinygrad_ninja.compile(fullgraph=True)
    def step(rate: float) -> Any:
        """Take one step of gradient descent and return the loss before it."""
        total, _ = loss(model, X, y)
        model.zero_grad()
        total.backward()
        for p in model.parameters():
            p.data -= rate * p.grad
        return total

    return lambda: step(max(0.1, 1.0 - 0.9 * next(steps) / ALL)).data, model


CONTENDERS: dict[str, Callable[[], Demo]] = {
    "micrograd": lambda: demo(micrograd.engine.Value, micrograd.nn.MLP),
    "tinygrad_ninja": lambda: demo(tinygrad_ninja.Value, tinygrad_ninja.micrograd.MLP),
    "compiled": compiled_demo,
}


def check() -> None:
    """Raise AssertionError where the loss or a gradient of the first step differs."""
    numbers = []
    for make in CONTENDERS.values():
        step, model = make()
        numbers.append([step(), *(p.grad for p in model.parameters())])
    for i, (theirs, *ours) in enumerate(zip(*numbers, strict=True)):
        for number in ours:
            assert math.isclose(theirs, number, rel_tol=1e-12), f"number {i} is {number}, not {theirs}"


def measure(rounds: int, collector: bool) -> dict[str, float]:
    """Return the median time of a step, in milliseconds, for each contender."""
    steps = {name: make()[0] for name, make in CONTENDERS.items()}
    for step in steps.values():
        for _ in range(3):  # of a compiled one: to record it, for another rate once more, and to compile it
            step()
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            gc.collect()  # the garbage of the other contenders
            if not collector:
                gc.disable()
            begin = time.perf_counter()
            for _ in range(STEPS):
                step()
            times[name].append((time.perf_counter() - begin) / STEPS * 1e3)
            gc.enable()
    return {name: statistics.median(rounds) for name, rounds in times.items()}


def main() -> None:
    """Print the times, with the collector on and off."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7, help=f"of {STEPS} steps each (default 7)")
    options = parser.parse_args()
    check()
    print("medians, ratio to micrograd\n")
    print(f"{'garbage collector':>17}  {'contender':<16}{'time':>12}{'ratio':>9}")
    for collector in (True, False):
        times = measure(options.rounds, collector)
        for name, time_of_step in times.items():
            state = "on" if collector else "off"
            print(f"{state:>17}  {name:<16}{time_of_step:>9,.2f} ms{time_of_step / times['micrograd']:>9.5f}")
        print()


if __name__ == "__main__":
    main()
