"""How long a product of matrices takes in compiled steps: as tiled loops, and through NumPy's OpenBLAS.

    python benchmarks/products.py [--seconds 0.3] [--float64]

The products are those of the lecture's step (forward and both gradients, with their transposes), those of the
transformer of `trainings.py`, and square ones. Each is emitted both ways and run many times within C, in one
thread; printed are the shortest times of the processor, and their ratio. OPENBLAS_CORETYPE=SkylakeX gives
OpenBLAS's loops for AVX-512 on a processor that it does not know to have it, CC="gcc -mno-avx512f" ours
for AVX2.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before NumPy is loaded

import numpy as np

import tinygrad_ninja as torch
from tinygrad_ninja.program.compile import blas, build, compile
from tinygrad_ninja.program.compile.emit_c import ENTRY

REPEATED = f"\nvoid repeated(void *const *p, int times) {{ while (times--) {ENTRY}(p); }}\n"


def cases() -> Iterator[tuple[str, str, tuple[int, int, int]]]:
    """(name, which factors lie transposed, (m, n, k)) of C[m×n] = A[m×k] · B[k×n]."""
    for batch, hidden in ((32, 64), (32, 200), (4096, 1024)):
        for name, wide, high in (("W1", 30, hidden), ("W2", hidden, 27)):
            label = f"{batch} × {hidden}, {name}"
            yield label, "nn", (batch, high, wide)
            yield f"{label}, gradient of x", "nt", (batch, wide, high)
            yield f"{label}, gradient of {name}", "tn", (wide, high, batch)
    yield "transformer, up", "nt", (512, 256, 64)
    yield "transformer, down", "nt", (512, 64, 256)
    yield "transformer, gradient", "tn", (64, 256, 512)
    for n in (64, 128, 256, 512, 1024):
        for transposed in ("nn", "nt", "tn"):
            yield f"square {n}", transposed, (n, n, n)


def emitted(product: Callable[[], Any], pays: bool) -> Callable[[int], Any]:
    """A function that runs the product so many times: through BLAS where it `pays`."""
    with mock.patch.object(blas.Blas, "pays", return_value=pays):
        compiled = compile(product, fullgraph=True, backend="c")
        compiled()
    step = compiled._recorded()
    if ("gemm(Cblas" in step.source) is not pays:
        raise SystemExit("NumPy has no OpenBLAS here: there is nothing to compare with")
    library = build.build(step.source + REPEATED)
    found = blas.loaded()
    if found is not None:
        found.connect(library)

    def run(times: int) -> None:
        library.repeated(step.table.slots, times)  # of the step: it holds the memory that the slots point to

    return run


def shortest(functions: list[Callable[[int], Any]], seconds: float) -> list[float]:
    """The shortest time of each in microseconds; they are run in turn."""
    begin = time.thread_time()
    functions[0](1)
    times = max(1, round(0.002 / max(time.thread_time() - begin, 1e-7)))
    best = [float("inf")] * len(functions)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for i, run in enumerate(functions):
            begin = time.thread_time()
            run(times)
            best[i] = min(best[i], (time.thread_time() - begin) / times)
    return [1e6 * each for each in best]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=0.3, help="for each product (default 0.3)")
    parser.add_argument("--float64", action="store_true", help="double precision")
    options = parser.parse_args()
    dtype, rng, found = "float64" if options.float64 else "float32", np.random.default_rng(0), blas.loaded()
    print(f"{dtype}, vectors of {build.vector_bytes()} bytes; OpenBLAS for {found.core if found else None}\n")
    print(f"{'product':<36}{'m × n × k':>20}{'loops':>14}{'BLAS':>14}{'loops / BLAS':>14}")
    for name, transposed, (m, n, k) in cases():
        a, b = (
            torch.tensor(rng.normal(size=shape[::-1] if each == "t" else shape).astype(dtype))
            for shape, each in zip(((m, k), (k, n)), transposed, strict=True)
        )

        def product() -> Any:
            return (a.T if transposed[0] == "t" else a) @ (b.T if transposed[1] == "t" else b)  # noqa: B023

        loops, through = shortest([emitted(product, False), emitted(product, True)], options.seconds)
        size = f"{m} × {n} × {k}"
        label = f"{name} ({transposed})"
        print(
            f"{label:<36}{size:>20}{loops:>11,.1f} µs{through:>11,.1f} µs{loops / through:>14.2f}", flush=True
        )


if __name__ == "__main__":
    main()
