"""The time of a product of matrices in compiled steps: as tiled loops, and through NumPy's OpenBLAS.

    python benchmarks/products.py [--seconds 0.3] [--float64]

The products are those of the lecture's step (forward and both gradients, with their transposes), those of the
transformer of `trainings.py`, and square ones. Each is emitted both ways and run many times within C, in one
thread; the shortest processor times, and their ratio, are printed. OPENBLAS_CORETYPE=SkylakeX selects
OpenBLAS's loops for AVX-512 on a processor where it does not detect it, CC="gcc -mno-avx512f" ours for AVX2.
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
from tinygrad_ninja.program.compile import compile
from tinygrad_ninja.program.compile.c import blas, build
from tinygrad_ninja.program.compile.c.emit_c import ENTRY

REPEATED = f"\nvoid repeated(void *const *p, int times) {{ while (times--) {ENTRY}(p); }}\n"


def cases() -> Iterator[tuple[str, str, tuple[int, int, int]]]:
    """Yield (name, which factors are transposed in memory, (m, n, k)) of C[m×n] = A[m×k] · B[k×n]."""
    for batch, hidden in ((32, 64), (32, 200), (4096, 1024)):
        for name, fan_in, fan_out in (("W1", 30, hidden), ("W2", hidden, 27)):
            label = f"{batch} × {hidden}, {name}"
            yield label, "nn", (batch, fan_out, fan_in)
            yield f"{label}, gradient of x", "nt", (batch, fan_in, fan_out)
            yield f"{label}, gradient of {name}", "tn", (fan_in, fan_out, batch)
    yield "transformer, up", "nt", (512, 256, 64)
    yield "transformer, down", "nt", (512, 64, 256)
    yield "transformer, gradient", "tn", (64, 256, 512)
    for n in (64, 128, 256, 512, 1024):
        for transposed in ("nn", "nt", "tn"):
            yield f"square {n}", transposed, (n, n, n)


def emitted(product: Callable[[], Any], pays: bool) -> Callable[[int], Any]:
    """Return a function that runs the product so many times: through BLAS where it `pays`."""
    with mock.patch.object(blas.Blas, "pays", return_value=pays):
        compiled = compile(product, fullgraph=True, backend="c")
        compiled()
    step = compiled._recorded()
    if ("gemm(Cblas" in step.source) is not pays:
        raise SystemExit("NumPy has no OpenBLAS here: there is nothing to compare with")
    library = build.build(step.source + REPEATED)
    openblas = blas.loaded()
    if openblas is not None:
        openblas.connect(library)

    def run(times: int) -> None:
        """Run the product so many times."""
        library.repeated(step.table.slots, times)  # the step's slots, since it owns the memory they point to

    return run


def shortest(functions: list[Callable[[int], Any]], seconds: float) -> list[float]:
    """Return the shortest time of each function in microseconds; they are run in turn."""
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
    return [1e6 * seconds for seconds in best]


def main() -> None:
    """Print the times of every product."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=0.3, help="for each product (default 0.3)")
    parser.add_argument("--float64", action="store_true", help="double precision")
    options = parser.parse_args()
    dtype, rng, blas_library = (
        "float64" if options.float64 else "float32",
        np.random.default_rng(0),
        blas.loaded(),
    )
    core = blas_library.core if blas_library else None
    print(f"{dtype}, vectors of {build.vector_bytes()} bytes; OpenBLAS for {core}\n")
    print(f"{'product':<36}{'m × n × k':>20}{'loops':>14}{'BLAS':>14}{'loops / BLAS':>14}")
    for name, transposed, (m, n, k) in cases():
        a, b = (
            torch.tensor(rng.normal(size=shape[::-1] if layout == "t" else shape).astype(dtype))
            for shape, layout in zip(((m, k), (k, n)), transposed, strict=True)
        )

        def product() -> Any:
            """Return the product of the two matrices."""
            return (a.T if transposed[0] == "t" else a) @ (b.T if transposed[1] == "t" else b)  # noqa: B023

        loops, through = shortest([emitted(product, False), emitted(product, True)], options.seconds)
        size = f"{m} × {n} × {k}"
        label = f"{name} ({transposed})"
        print(
            f"{label:<36}{size:>20}{loops:>11,.1f} µs{through:>11,.1f} µs{loops / through:>14.2f}", flush=True
        )


if __name__ == "__main__":
    main()
