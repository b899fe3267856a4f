"""How long a compiled training step takes until it runs: its first three steps, in a new process.

    python benchmarks/first_steps.py [--rounds 3] [MODEL ...]

The lecture's step with batch norm written out (200 hidden units; torch.compile does not take its lines), and
the models of `trainings.py`. The first step may create an optimizer's state, the next is recorded, the one
after is compiled. tinygrad_ninja and torch.compile each begin once with an empty cache and then with what the
first process has left there; torch eager is what the losses of all are compared with. Imports, data and
parameters are not counted. The rounds are interleaved; the steps run on one thread, compilers on all
processors that the process may use; medians are printed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

CACHES = ("TINYGRAD_NINJA_CACHE", "TORCHINDUCTOR_CACHE_DIR")
CONTENDERS = ("torch", "tinygrad_ninja", "torch.compile")
MODELS = ("lecture", "deep", "wavenet", "transformer")
STEPS = 3


def step_of(contender: str, model: str) -> Callable[[], Any]:
    """Return a function that takes a training step and returns its loss."""
    module = import_module("tinygrad_ninja" if contender == "tinygrad_ninja" else "torch")
    if model != "lecture":
        from trainings import step_of

        step: Callable[[], Any] = step_of(module, model, np.float32, contender)[0]
        return step
    from eager import lecture_step

    step, _ = lecture_step(module, 32, 200)
    return module.compile(step, fullgraph=True) if contender == "tinygrad_ninja" else step


def run(contender: str, model: str) -> None:
    """Print, as JSON, the seconds that the first steps take, and their losses."""
    step = step_of(contender, model)
    begin = time.perf_counter()
    losses = [step().item() for _ in range(STEPS)]
    print(json.dumps([time.perf_counter() - begin, losses]))


def first_steps(contender: str, model: str, cache: str) -> tuple[float, list[float]]:
    """Return what a new process says that has its caches in a folder."""
    environment = {**os.environ, **{name: str(Path(cache, name)) for name in CACHES}}
    command = [sys.executable, __file__, "--run", contender, model]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    seconds, losses = json.loads(result.stdout.splitlines()[-1])
    return seconds, losses


def measure(model: str, rounds: int) -> dict[str, float]:
    """Return the median seconds by contender."""
    seconds: dict[str, list[float]] = {}
    for _ in range(rounds):
        truth: list[float] = []
        for contender in CONTENDERS[: 2 if model == "lecture" else 3]:
            with tempfile.TemporaryDirectory() as cache:
                for label in (contender, f"{contender}, in the cache")[: 1 if contender == "torch" else 2]:
                    took, losses = first_steps(contender, model, cache)
                    truth = truth or losses
                    np.testing.assert_allclose(losses, truth, rtol=1e-4, err_msg=f"{model}: {label}")
                    seconds.setdefault(label, []).append(took)
    return {label: statistics.median(times) for label, times in seconds.items()}


def main() -> None:
    """Print the seconds of every model."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--run", nargs=2, metavar=("CONTENDER", "MODEL"), help=argparse.SUPPRESS)
    parser.add_argument("models", nargs="*", default=MODELS, help=f"of {', '.join(MODELS)} (default: all)")
    options = parser.parse_args()
    if options.run:
        run(*options.run)
        return
    for model in options.models:
        for label, seconds in measure(model, options.rounds).items():
            print(f"{model:>12}  {label:<30}{seconds:>8.2f} s", flush=True)
        print(flush=True)


if __name__ == "__main__":
    main()
