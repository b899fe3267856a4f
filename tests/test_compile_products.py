"""Matrix products in C: as loops, and through the BLAS that NumPy has loaded."""

import _ctypes
import types
from typing import Any

import numpy as np
import pytest
from compiled_steps import close
from slow_ones import slow_but

import tinygrad_ninja as torch
from tinygrad_ninja.program.compile import Compiled, compile, step
from tinygrad_ninja.program.compile.c import blas

SIZES = [(1, 1, 1), (5, 7, 3), (33, 129, 65), (64, 48, 300), (4100, 70, 70)]


@pytest.fixture(params=["blas", "loops"])
def routed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether products of every size go through BLAS, or none, as where there is none."""
    if request.param == "loops":
        monkeypatch.setattr(step, "loaded", lambda: None)
        return False
    if blas.loaded() is None:
        pytest.skip("NumPy has no OpenBLAS here")
    monkeypatch.setattr(blas.Blas, "pays", lambda *_: True)
    return True


def compiled(f: Any, dtype: str, routed: bool, least: int = 1) -> Compiled:
    """Return the function compiled, when it was seen to call BLAS `least` times or more, or not to."""
    step = compile(f, fullgraph=True, backend="c")
    step()
    gemm = "sgemm" if dtype == "float32" else "dgemm"
    calls = step.source().count(f"ninja_{gemm}(CblasRowMajor")
    assert calls >= least if routed else not calls
    return step


@pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=pytest.mark.slow)])
@pytest.mark.parametrize("transposed", slow_but(["nn", "nt", "tn", "tt"], "nn", "tt"))
def test_products_and_their_gradients_are_those_of_eager_code(
    transposed: str, dtype: str, routed: bool
) -> None:
    """Each transpose of each factor, at sizes of one and odd ones, with NaN and infinity; the gradients are
    products of transposes too."""
    rng = np.random.default_rng(0)

    def drawn(rows: int, columns: int, turned: bool = False) -> Any:
        return torch.tensor(rng.normal(size=(columns, rows) if turned else (rows, columns)).astype(dtype))

    turned = [letter == "t" for letter in transposed]
    factors = [(drawn(m, k, turned[0]), drawn(k, n, turned[1]), drawn(m, n)) for m, n, k in SIZES]

    def f() -> list[Any]:
        products: list[Any] = []
        for a, b, g in factors:
            x, y = (each.T if t else each for each, t in zip((a, b), turned, strict=True))
            products += [x @ y, g @ y.T, x.T @ g]
        return products

    run = compiled(f, dtype, routed, least=3 * len(SIZES) - 2)  # among numbers two are no products
    for have, want in zip(run(), f(), strict=True):
        close(have, want, 1e-5 if dtype == "float32" else 1e-12)
    for a, b, _ in factors:
        a.data[0, -1], b.data[-1, 0] = float("nan"), float("inf")
    for have, want in zip(run(), f(), strict=True):
        odd = [np.where(np.isfinite(each), 0, each) for each in (have.numpy(), want.numpy())]
        np.testing.assert_array_equal(*odd)
        assert odd[0].any()


def test_other_strides_batches_and_sizes_of_zero(routed: bool) -> None:
    """What gemm can't read is left to the loops, and a batch is a call for each matrix."""
    rng = np.random.default_rng(1)
    x, w = (torch.tensor(rng.normal(size=each).astype("float32")) for each in ((3, 6, 10), (10, 9)))

    def f() -> Any:
        return x @ w, x.transpose(1, 2) @ x, x[0, :1].expand(4, 10) @ w.flip(1)

    run = compiled(f, "float32", routed)
    for have, want in zip(run(), f(), strict=True):
        close(have, want)

    def apart() -> Any:
        return x[0, :, ::2] @ w[::2, ::3]

    close(compiled(apart, "float32", False)(), apart())


@pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=pytest.mark.slow)])
def test_rows_of_any_length_are_written_to_the_memory_of_the_result(
    dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a vector holds beyond the end of a row is written over by the next row, and in a batch by the next
    matrix; behind the last one there is room for it."""
    monkeypatch.setattr(step, "loaded", lambda: None)
    rng = np.random.default_rng(0)
    shapes = [((m,), n) for m in (1, 9) for n in (1, 15, 17, 27, 33, 63, 72, 200)] + [
        ((3, 5), 27),
        ((2, 2, 1), 9),
    ]
    drawn = [
        (rng.normal(size=(*rows, 12)).astype(dtype), rng.normal(size=(*rows[:-1], 12, n)).astype(dtype))
        for rows, n in shapes
    ]
    factors = [(torch.tensor(a), torch.tensor(b)) for a, b in drawn]
    fast = compile(lambda: [a @ b for a, b in factors], fullgraph=True, backend="c")
    for _ in range(2):
        for product, (a, b) in zip(fast(), drawn, strict=True):
            np.testing.assert_allclose(product.numpy(), a @ b, rtol=1e-4, atol=1e-5)
    assert "_result" not in fast.source()


def test_only_large_products_go_through_blas_and_where_it_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the rule as it is, for a BLAS with more threads than the vectors of this machine make up for."""
    found = blas.loaded()
    if found is None:
        pytest.skip("NumPy has no OpenBLAS here")
    rng = np.random.default_rng(2)
    x = torch.tensor(rng.normal(size=(256, 256)).astype("float32"))

    def large() -> Any:
        return x @ x.T

    def small() -> Any:
        return x[:255] @ x.T

    empty = torch.tensor(np.zeros((256, 0), "float32"))

    def nothing() -> Any:
        return empty @ empty.T, empty.T @ x

    monkeypatch.setattr(step, "loaded", lambda: found._replace(threads=8))
    first = compiled(large, "float32", True)
    close(first(), large(), 1e-5)
    assert (first().numpy() == first().numpy()).all()
    close(compiled(small, "float32", False)(), small())
    for have, want in zip(compiled(nothing, "float32", False)(), nothing(), strict=True):
        close(have, want)
    monkeypatch.setattr(step, "loaded", lambda: found._replace(core="Haswell", threads=1))
    monkeypatch.setattr(step, "vector_bytes", lambda: 64)
    compiled(large, "float32", False)


def test_a_numpy_without_openblas(monkeypatch: pytest.MonkeyPatch) -> None:
    other = types.SimpleNamespace(__file__=getattr(_ctypes, "__file__", None))
    if other.__file__ is None:
        pytest.skip("there is no other library to look into")
    monkeypatch.setattr(blas.importlib, "import_module", lambda _: other)
    monkeypatch.setattr(blas.sys, "platform", "linux")
    assert blas.loaded.__wrapped__() is None
