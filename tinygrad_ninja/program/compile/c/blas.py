"""OpenBLAS where NumPy has loaded it, for large matrix products.

The emitted C has pointers to its `cblas_sgemm` and `cblas_dgemm`, which are set when the C is loaded. Other
libraries (Accelerate, MKL, the reference BLAS) were not measured against the tiled loops of `products`: with
these, and where none is found, the loops stay.
"""

from __future__ import annotations

import ctypes
import importlib
import sys
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .products import CACHE

SIDE, MANY = 128, 2**24
"""The thresholds of `pays`, as measured in benchmarks/README.md, "Products of matrices"."""
WITH_AVX512 = {"SkylakeX", "Cooperlake", "SapphireRapids"}
"""OpenBLAS's names of the processors on which it uses vectors of 64 bytes. On others it uses at most 32, also
where it does not know that the processor has AVX-512."""
GEMM = {"float": "sgemm", "double": "dgemm"}


class Blas(NamedTuple):
    """A library: its name for the processor, its threads, the C type of its integers, and the addresses of
    its gemm by the type of the elements."""

    core: str
    threads: int
    integer: str
    gemm: dict[str, int | None]

    def pays(self, m: int, n: int, k: int, itemsize: int, width: int) -> bool:
        """Return whether this library is faster than loops over vectors of `width` bytes in one thread, as
        measured on x86-64.

        Its threads pay from 2^24 multiply-adds on, unless its vectors are so much shorter that they only make
        up for that. One thread of it pays on AVX2, from where the right factor is larger than 1 MiB: the
        loops read that in columns. With 64 bytes to a vector neither was clearly faster. Nothing is timed
        here, so that a run repeats bit by bit; the number of threads is what it was when this was loaded.
        """
        if min(m, n, k) < SIDE:
            return False
        share = min(1.0, (64 if self.core in WITH_AVX512 else 32) / width)
        if self.threads * share > 1:
            return m * n * k >= MANY
        return self.threads == 1 and width == 32 and n * k * itemsize > CACHE

    def declarations(self, kinds: list[str]) -> str:
        """Return the C declarations of the pointers to the functions for these types of elements."""
        n = self.integer
        return "\n".join(
            [
                f"/* gemm of the OpenBLAS that NumPy has loaded ({self.core}, threads: {self.threads}) */",
                "enum { CblasRowMajor = 101, CblasNoTrans = 111, CblasTrans = 112 };",
                *(
                    f"void (*ninja_{GEMM[kind]})(int, int, int, {n}, {n}, {n}, {kind}, const {kind} *, {n}, "
                    f"const {kind} *, {n}, {kind}, {kind} *, {n});"
                    for kind in kinds
                ),
            ]
        )

    def call(self, kind: str, m: int, n: int, k: int, *strides: tuple[int, ...]) -> str:
        """Return C[m×n] = A[m×k] · B[k×n] as a call in C, with {a}, {b} and {c} for where they begin; "" for
        elements, or strides, that gemm does not take. strides: those of the matrices, in elements."""
        sizes = (m, k), (k, n), (m, n)
        (left, down_a), (right, down_b), (result, down_c) = map(_layout, strides, sizes)
        if kind not in GEMM or not left or not right or result != "CblasNoTrans":
            return ""
        return (
            f"ninja_{GEMM[kind]}(CblasRowMajor, {left}, {right}, {m}, {n}, {k}, "
            f"1, {{a}}, {down_a}, {{b}}, {down_b}, 0, {{c}}, {down_c});"
        )

    def connect(self, library: Any) -> None:
        """Set the pointers that a compiled library has."""
        for kind, name in GEMM.items():
            if hasattr(library, f"ninja_{name}"):
                ctypes.c_void_p.in_dll(library, f"ninja_{name}").value = self.gemm[kind]


def _layout(strides: tuple[int, ...], sizes: tuple[int, int]) -> tuple[str, int]:
    """Return how gemm is told about a matrix: whether it is transposed, and the elements from one row in
    memory to the next; "" for a matrix that it can't read."""
    (down, across), (rows, columns) = strides[-2:], sizes
    if across == 1 and down >= columns:
        return "CblasNoTrans", down
    if down == 1 and across >= rows:
        return "CblasTrans", across
    return "", 0


@lru_cache(maxsize=1)
def loaded() -> Blas | None:
    """Return NumPy's OpenBLAS; None where NumPy uses another library."""
    module = importlib.import_module("numpy._core._multiarray_umath").__file__
    files = [str(module)]  # a name that is looked up in it is found in what it is linked to: not on Windows
    if sys.platform == "win32":
        bundled = Path(np.__file__).parent.with_name("numpy.libs")
        files = [str(path) for path in bundled.glob("*openblas*.dll")]
    for file, before, after in product(files, ("scipy_", ""), ("64_", "")):
        library = ctypes.CDLL(file)
        names = [f"openblas_get_{part}" for part in ("corename", "config", "num_threads")]
        names += [f"cblas_{gemm_name}" for gemm_name in GEMM.values()]
        functions: list[Any] = [getattr(library, f"{before}{name}{after}", None) for name in names]
        if None in functions:
            continue
        core, configuration, threads, *gemm = functions
        core.restype = configuration.restype = ctypes.c_char_p
        return Blas(
            core().decode(),
            threads(),
            "int64_t" if b"USE64BITINT" in configuration().split() else "int",
            {kind: ctypes.cast(f, ctypes.c_void_p).value for kind, f in zip(GEMM, gemm, strict=True)},
        )
    return None
