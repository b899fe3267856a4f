"""The time of the lecture's whole training step on a GPU, compiled, beside PyTorch and jax.

    python benchmarks/gpu.py [--seconds 2] [--minutes 5]
    python benchmarks/gpu.py --device cpu

It needs PyTorch and the package's own dependencies, and no installation. A step draws a batch on the device,
runs the expanded forward pass, goes backward to seven parameters and updates them. First every contender's
gradients are compared, and the losses and parameters after some steps of those that draw from PyTorch's
generator; then rounds are interleaved. Printed are the medians by the device's own events, their ratios to
PyTorch eager, `torch.compile` and its mode "reduce-overhead", and the share of the roofline: how long the
step's arithmetic, or its traffic to memory if that takes longer, would last at the rates that a product of
matrices and a copy reach on this device.

With --device cpu the same script runs small cases on torch tensors on the CPU: a test of itself, and no
measurement of the GPU path.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
_CPU = "cpu" in sys.argv
os.environ.setdefault("JAX_PLATFORMS", "cpu" if _CPU else "cuda")
os.environ.setdefault("JAX_DEFAULT_MATMUL_PRECISION", "highest")  # as PyTorch's: no TensorFloat-32
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # the others need memory too

import numpy as np  # noqa: E402
import torch  # noqa: E402
from compiled import jax_contender, torch_compile_contender  # noqa: E402
from eager import CONTEXT, EMBEDDING, VOCABULARY, compare, lecture_step  # noqa: E402

import tinygrad_ninja  # noqa: E402

CASES = [(32, 200), (65_536, 4_096), (4_096, 200), (32, 4_096), (65_536, 200), (4_096, 4_096)]
"""Batch and hidden units, the most informative case first."""
CPU_CASES = [(32, 16), (64, 32)]
STEPS = 5
"""The number of steps that are compared, and that warm up."""
TOLERANCE = 1e-4
"""The largest error after those steps in single precision, relative to the largest number."""

PASSES = {
    "the first layer is written, and read for its variance and to be normalised": 3,
    "tanh is written, and read by the second layer": 2,
    "its gradient is written by the second layer's rule": 1,
    "it, tanh and the first layer are read for the sums of batch norm's rule": 3,
    "and again for the rule itself, which is written": 4,
    "that is read for the gradients of the first weights and of the embedding": 2,
    "tanh is read for the gradient of the second weights": 1,
}
"""The number of times that an array of batch × hidden numbers must be written to memory or read from it. A
sum over the batch precedes its uses, and products of matrices read and write their operands; everything else
needs no traffic of its own."""

Step = Callable[[], Any]


class Clock:
    """Times rounds of steps on a device, in microseconds per step.

    It uses the device's events, or for jax, which has a stream of its own, the host's clock.
    """

    def __init__(self, device: str) -> None:
        self.on_gpu = device == "cuda"

    def __call__(self, step: Step, repeat: int) -> float:
        """Return the mean time of `repeat` steps, in microseconds."""
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2)) if self.on_gpu else (None, None)
        began = time.perf_counter()
        if start is not None:
            start.record()
        for _ in range(repeat):
            last = step()
        wait = getattr(last, "block_until_ready", None)
        if wait is not None:
            wait()
        elif start is not None and end is not None:
            end.record()
            end.synchronize()
            return float(start.elapsed_time(end)) / repeat * 1e3
        return (time.perf_counter() - began) / repeat * 1e6


def of_engine(
    module: Any, device: str, wrap: Callable[[Step], Step] = lambda step: step
) -> Callable[[int, int], tuple[Step, list[Any], Any]]:
    """Return a function that runs the lecture's lines themselves.

    It returns the step, its first gradients, and the losses and parameters after STEPS steps.
    """

    def make(batch: int, hidden: int) -> tuple[Step, list[Any], Any]:
        """Return the step, its first gradients, and the losses and parameters after STEPS steps."""
        step, weights = lecture_step(module, batch, hidden, device=device)
        step = wrap(step)
        losses = [step().item()]
        gradients = [_numpy(p.grad) for p in weights]
        losses += [step().item() for _ in range(STEPS - 1)]
        return step, gradients, [np.array(losses), *map(_numpy, weights)]

    return make


def _numpy(x: Any) -> Any:
    return x.detach().cpu().numpy().copy()


def of_peer(make: Callable[[int, int], Any]) -> Callable[[int, int], tuple[Step, list[Any], Any]]:
    """Return a contender of `compiled`, whose steps after the first draw from a generator of its own."""

    def warmed_up(batch: int, hidden: int) -> tuple[Step, list[Any], Any]:
        """Return the step, after STEPS steps, and its first gradients."""
        step, gradients, _ = make(batch, hidden)
        for _ in range(STEPS - 1):
            step()
        return step, gradients, None

    return warmed_up


def contenders(device: str) -> dict[str, Callable[[], Callable[[int, int], tuple[Step, list[Any], Any]]]]:
    """Return the contenders by name, each as a function that creates it."""
    ours = "torch" if device == "cpu" else device

    def compiled(backend: str) -> Callable[[int, int], tuple[Step, list[Any], Any]]:
        """Return this engine's step, compiled for the backend."""
        return of_engine(
            tinygrad_ninja, ours, lambda step: tinygrad_ninja.compile(step, fullgraph=True, backend=backend)
        )

    return {
        "torch eager": lambda: of_engine(torch, device),
        "torch.compile": lambda: of_peer(torch_compile_contender(None, device)),
        "reduce-overhead": lambda: of_peer(torch_compile_contender("reduce-overhead", device)),
        "jax.jit": lambda: of_peer(jax_contender(False, wait=False, device=device)),
        "tinygrad_ninja": lambda: compiled("auto"),
        "… not fused": lambda: compiled("torch"),
        "… not compiled": lambda: of_engine(tinygrad_ninja, ours),
    }


def truth(batch: int, hidden: int, device: str) -> list[Any]:
    """Return the gradients of the first step, in double precision where there is memory for that."""
    dtype = np.float64 if batch * hidden <= 2**24 else np.float32
    step, weights = lecture_step(torch, batch, hidden, dtype, device)
    step()
    return [_numpy(p.grad) for p in weights]


def prepared(
    batch: int, hidden: int, device: str, names: list[str]
) -> tuple[dict[str, Step], dict[str, str]]:
    """Return the contenders whose answers are right, and why the others are left out.

    Raises AssertionError where an answer is wrong.
    """
    expected_gradients = truth(batch, hidden, device)
    reference: list[Any] = []
    running: dict[str, Step] = {}
    absent: dict[str, str] = {}
    for name, make in contenders(device).items():
        if name not in names:
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about modes that a version does not support
                step, gradients, after = make()(batch, hidden)
        except Exception as error:  # any: a peer that does not run here must not stop the others
            if name.startswith(("torch eager", "tinygrad_ninja")):
                raise
            absent[name] = f"{type(error).__name__}: {error}".split("\n")[0][:100]
            continue
        compare(name, expected_gradients, gradients)
        if after is not None:
            reference = reference or after
            for actual, expected in zip(after, reference, strict=True):
                error_ = np.abs(actual - expected).max() / max(1.0, np.abs(expected).max())
                assert error_ < TOLERANCE, f"{name}: after {STEPS} steps a number is off by {error_:.3g}"
        running[name] = step
    return running, absent


def measure(running: dict[str, Step], seconds: float, clock: Clock) -> dict[str, float]:
    """Return the median time of a step in microseconds by contender."""
    times: dict[str, list[float]] = {name: [] for name in running}
    repeat = {name: max(1, round(20_000 / clock(step, 2))) for name, step in running.items()}
    end = time.perf_counter() + seconds
    while not all(times.values()) or time.perf_counter() < end:
        for name, step in running.items():
            times[name].append(clock(step, repeat[name]))
    return {name: statistics.median(rounds) for name, rounds in times.items()}


def rates(device: str, clock: Clock) -> tuple[float, float]:
    """Return the bytes per second of a copy, and the operations per second of a product of matrices in
    float32."""
    small = device == "cpu"
    source = torch.ones(2**20 if small else 2**28, device=device)
    target = torch.empty_like(source)
    n = 256 if small else 8_192
    a, b = torch.ones(n, n, device=device), torch.ones(n, n, device=device)
    out = torch.empty_like(a)

    def best(step: Step) -> float:
        """Return the shortest time of a step, in seconds."""
        step()
        return min(clock(step, 3) for _ in range(5)) / 1e6

    bandwidth = 2 * source.numel() * source.element_size() / best(lambda: target.copy_(source))
    return bandwidth, 2 * n**3 / best(lambda: torch.mm(a, b, out=out))


def roofline(batch: int, hidden: int, bandwidth: float, arithmetic: float) -> float:
    """Return the least time that the step can take at these rates, in microseconds."""
    traffic = 4 * batch * hidden * sum(PASSES.values())
    products = 3 * 2 * batch * hidden * (CONTEXT * EMBEDDING + VOCABULARY)  # one forward, two backward
    return max(traffic / bandwidth, products / arithmetic) * 1e6


def ratio(time: float, other: float | None) -> str:
    """Return the ratio as a column of the table, or a dash."""
    return f"{time / other:>10.3f}" if other else f"{'–':>10}"


def main() -> None:
    """Print the times of every case."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--seconds", type=float, default=2.0, help="of timing, for each case (default 2)")
    parser.add_argument("--minutes", type=float, default=5.0, help="after which no case is begun (default 5)")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these contenders, of: torch eager, …")
    options = parser.parse_args()
    device = options.device
    if device == "cuda" and not torch.cuda.is_available():
        sys.exit("PyTorch sees no CUDA GPU here; --device cpu runs small cases on the CPU")
    began = time.perf_counter()
    clock = Clock(device)
    bandwidth, arithmetic = rates(device, clock)
    where = "CPU figures, which say nothing of a GPU" if device == "cpu" else torch.cuda.get_device_name()
    print(f"{where}; torch {torch.__version__}")
    print(
        f"copy {bandwidth / 1e9:,.0f} GB/s, product of matrices {arithmetic / 1e12:,.1f} TFLOP/s; float32\n"
    )
    head = (
        f"{'batch × hidden':>16}  {'contender':<18}{'time':>14}{'eager':>10}{'compile':>10}{'overhead':>10}"
    )
    print(f"{head}{'roofline':>10}")
    for batch, hidden in CPU_CASES if device == "cpu" else CASES:
        label = f"{batch:,} × {hidden:,}"
        if time.perf_counter() - began > 60 * options.minutes:
            print(f"{label:>16}  left out: {options.minutes:g} minutes are over")
            continue
        running, absent = prepared(batch, hidden, device, options.only or list(contenders(device)))
        times = measure(running, options.seconds, clock)
        for name, time_of_step in times.items():
            ratios = [
                ratio(time_of_step, times.get(n)) for n in ("torch eager", "torch.compile", "reduce-overhead")
            ]
            share = roofline(batch, hidden, bandwidth, arithmetic) / time_of_step
            print(f"{label:>16}  {name:<18}{time_of_step:>11,.1f} µs{''.join(ratios)}{share:>10.1%}")
        for name, why in absent.items():
            print(f"{label:>16}  {name:<18}left out: {why}")
        print(flush=True)
        del running
        torch.compiler.reset()  # it gives up at the eighth shape of one function otherwise
        gc.collect()
        if device == "cuda":
            torch.cuda.empty_cache()
    print(f"answers were equal; {time.perf_counter() - began:,.0f} seconds")


if __name__ == "__main__":
    main()
