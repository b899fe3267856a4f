"""The time of the lecture's compiled step by its number of threads, alone and beside busy processes.

    python benchmarks/cores.py [--seconds 35]

The busy processes do nothing else, one for each processor that this one may use (`taskset -c 0,1` makes these
two). They are there in every other round, and in each round every number of threads has its turn. Before
anything is timed, the gradients are checked against float64, and the parameters after some steps against
those of one thread, bit for bit. The medians are printed, and their ratio to one thread's beside as many
processes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from typing import Any

# As the package chooses, which is heard only where PyTorch is not loaded before: `eager` loads it.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
from eager import CASES, Step, compare, lecture_step, repeats, time_step

import tinygrad_ninja as torch

PROCESSORS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
THREADS = sorted({1, 2, PROCESSORS})
ROUND = 150_000
"""The microseconds that each number of threads has in a round: many turns of the processes beside it."""


def compiled(batch: int, hidden: int) -> tuple[Step, list[Any]]:
    """Return the lecture's step, compiled, and its parameters."""
    step, weights = lecture_step(torch, batch, hidden)
    return torch.compile(step, fullgraph=True, backend="c"), weights


def check(batch: int, hidden: int) -> None:
    """Check the first gradients against those of eager code in float64, and that the parameters have the same
    bits after some steps with every number of threads; AssertionError where they differ."""
    step, weights = lecture_step(torch, batch, hidden, np.float64)
    step()
    truth = [p.grad.numpy() for p in weights]
    first: list[Any] = []
    for threads in THREADS:
        torch.set_num_threads(threads)
        step, weights = compiled(batch, hidden)
        step()
        compare(f"{threads} threads", truth, [p.grad.numpy() for p in weights])
        for _ in range(5):
            step()
        found = [p.detach().numpy().copy() for p in weights]
        first = first or found
        for i, (mine, other) in enumerate(zip(found, first, strict=True)):
            assert mine.tobytes() == other.tobytes(), f"{threads} threads: parameter {i} has other bits"


@contextmanager
def beside(count: int) -> Iterator[None]:
    """Run so many processes that do nothing but keep a processor busy."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        time.sleep(0.1 if busy else 0)
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def measure(batch: int, hidden: int, seconds: float) -> dict[tuple[int, int], float]:
    """Return the median time of a step in microseconds by (busy processes, threads)."""
    step, _ = compiled(batch, hidden)
    step()
    repeat = repeats(step, ROUND)
    times: dict[tuple[int, int], list[float]] = {case: [] for case in product((0, PROCESSORS), THREADS)}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for processes in (0, PROCESSORS):
            with beside(processes):
                for threads in THREADS:
                    torch.set_num_threads(threads)
                    times[processes, threads].append(time_step(step, repeat))
    return {case: statistics.median(rounds) for case, rounds in times.items()}


def main() -> None:
    """Print the times of every case."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seconds", type=float, default=35.0, help="for each case (default 35)")
    options = parser.parse_args()
    print(f"{PROCESSORS} processors; medians, ratio to one thread\n")
    print(f"{'batch × hidden':>16}{'busy processes':>16}{'threads':>9}{'time':>14}{'ratio':>8}")
    for label, (batch, hidden) in CASES.items():
        check(batch, hidden)
        times = measure(batch, hidden, options.seconds)
        for (processes, threads), time_of_step in times.items():
            ratio = time_of_step / times[processes, 1]
            print(f"{label:>16}{processes:>16}{threads:>9}{time_of_step:>11,.1f} µs{ratio:>8.2f}")
        print(flush=True)


if __name__ == "__main__":
    main()
