"""The time of the lecture's training step, as lecture code, in several versions of this package.

    git worktree add ../before HEAD~1
    python benchmarks/versions.py ../before .

Each folder holds one version. They are loaded into one process, which shows small differences that the noise
between two processes hides: after a check of each one's gradients their steps take turns, in a new order
every round. The medians are printed, and their ratio to PyTorch eager, which takes turns too.
"""

from __future__ import annotations

import argparse
import importlib
import random
import statistics
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import eager  # limits the libraries to one thread, before they are loaded
import numpy as np
import torch

PACKAGES = ("tinygrad_ninja", "viz")
STEPS = 60  # per round


def load(folder: Path) -> ModuleType:
    """Return the package of this folder, loaded beside those that were loaded before."""
    for name in [module for module in sys.modules if module.partition(".")[0] in PACKAGES]:
        del sys.modules[name]
    sys.path.insert(0, str(folder.resolve()))
    package = importlib.import_module("tinygrad_ninja")
    del sys.path[0]
    if not str(package.__file__).startswith(str(folder.resolve())):
        sys.exit(f"{folder} holds no tinygrad_ninja")
    return package


def main() -> None:
    """Print the times of every version."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path, help="a checkout each")
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--hidden", type=int, default=64)
    options = parser.parse_args()
    torch.set_num_threads(1)
    steps: dict[str, eager.Step] = {}
    truth: list[Any] = []
    for name in ["torch", *map(str, options.folders)]:
        module = torch if name == "torch" else load(Path(name))
        steps[name], weights = eager.lecture_step(module, 32, options.hidden)
        steps[name]()  # before the next version is loaded, so that late imports are from this one
        gradients = [np.asarray(p.grad.numpy(), np.float64) for p in weights]
        truth = truth or gradients
        eager.compare(name, truth, gradients)
    times: dict[str, list[float]] = {name: [] for name in steps}
    order = list(steps)
    end = time.perf_counter() + options.seconds
    while time.perf_counter() < end:
        random.shuffle(order)
        for name in order:
            times[name].append(eager.time_step(steps[name], STEPS))
    medians = {name: statistics.median(rounds) for name, rounds in times.items()}
    for name, time_of_step in medians.items():
        print(f"{name:<32}{time_of_step:>8.1f} µs{time_of_step / medians['torch']:>8.4f}")


if __name__ == "__main__":
    main()
