"""Elements in order, and which there are."""

from typing import Any

import numpy as np
import pytest
from both import Case, assert_same, assert_same_error, cases, gradients
from recordings import assert_recorded

import tinygrad_ninja as ours

INF, NAN = float("inf"), float("nan")
X = [[3.0, -1.0, 2.0, 7.0], [0.5, 4.0, -6.0, 1.0], [9.0, 8.0, -3.0, 5.0]]
TIES = [2.0, NAN, 1.0, 2.0, INF, 1.0, -INF, 2.0]


@cases(
    gradients(lambda t, x: x.sort().values, X),
    gradients(lambda t, x: t.sort(x, 0, True)[0], X),
    gradients(lambda t, x: t.msort(x), X),
    gradients(lambda t, x: x.topk(2).values, X),
    gradients(lambda t, x: t.topk(x, 2, dim=0, largest=False).values, X),
    gradients(lambda t, x: x.kthvalue(2, 1, True).values, X),
    gradients(lambda t, x: x.kthvalue(3, 0).values, X),
    gradients(lambda t, x: x.median(), X),
    gradients(lambda t, x: x.median(1).values, X),
    gradients(lambda t, x: x.median(dim=0, keepdim=True)[0], X),
    gradients(lambda t, x: x.median(), [1.0, 2.0, 2.0, 2.0, 5.0]),
    gradients(lambda t, x: x.median(), TIES),
    gradients(lambda t, x: x.nanmedian(), TIES),
    gradients(lambda t, x: x.nanmedian(0).values, [[1.0, NAN], [NAN, NAN], [3.0, 2.0]]),
)
def test_values_and_gradients(case: Case) -> None:
    assert_same(case)


WAYS = ("linear", "lower", "higher", "midpoint", "nearest")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize("dim", [None, 0, -1])
def test_quantiles(dim: int | None, keepdim: bool, way: str) -> None:
    for x in (X, [[1.0, NAN], [3.0, 2.0]], [5.0], 3.0):
        for q in (0.3, 1, 0.5, [0.25, 0.9, 0.0], []):

            def quantile(t: Any, x: Any, q: Any = q) -> Any:
                shares = t.tensor(q, dtype=x.dtype) if isinstance(q, list) else q
                return t.quantile(x, shares, dim, keepdim, interpolation=way)

            assert_same(gradients(quantile, x))


@cases(
    lambda t: t.quantile(t.arange(4), 0.5),
    lambda t: t.quantile(t.ones(4), 1.5),
    lambda t: t.quantile(t.ones(4), t.tensor([0.5, NAN])),
    lambda t: t.quantile(t.ones(4), t.ones(1, 1)),
    lambda t: t.quantile(t.ones(4), t.ones(1, dtype=t.float64)),
    lambda t: t.quantile(t.ones(2, 0), 0.5, 1),
    lambda t: t.ones(4).quantile(0.5, interpolation="cubic"),
    lambda t: t.ones(4).quantile(0.5, 1),
)
def test_quantiles_that_raise(case: Case) -> None:
    assert_same_error(case)


@cases(
    lambda t: [
        tuple(t.tensor(TIES).sort(stable=True)),
        tuple(t.tensor(TIES).sort(dim=0, descending=True, stable=True)),
    ],
    lambda t: [t.tensor(TIES).argsort(stable=True), t.tensor([2, 1, 2]).argsort(descending=True)],
    lambda t: tuple(t.tensor([True, False, True]).sort(stable=True)),
    lambda t: [tuple(t.tensor(5.0).sort()), t.tensor(5.0).argsort(), tuple(t.tensor(5.0).topk(1))],
    lambda t: [t.ones(2, 0).sort().values, t.ones(2, 0).sort(0).indices, t.ones(3, 2).topk(0).values],
    lambda t: [t.tensor(X).sort(axis=0)[1], t.tensor(X).topk(3, sorted=True).indices],
    lambda t: [t.tensor([]).median(), t.tensor([], dtype=t.int32).median(), t.tensor([3, 1, 2, 4]).median()],
    lambda t: [tuple(t.tensor([[1.0, NAN, 0.0], [3.0, 2.0, 1.0]]).median(1)), t.tensor(TIES).kthvalue(8)[1]],
    lambda t: t.unique(t.tensor([3, 1, 3, 2]), return_inverse=True, return_counts=True),
    lambda t: [t.tensor([[1, 2], [1, 2], [0, 5]]).unique(dim=0), t.tensor([NAN, 1.0, NAN]).unique()],
    lambda t: t.unique_consecutive(t.tensor([1, 1, 2, 2, 1]), return_inverse=True, return_counts=True),
    lambda t: t.tensor([[1, 1, 2], [3, 3, 2]]).unique_consecutive(dim=1),
    lambda t: [t.isin(t.tensor([[1, 2], [3, 4]]), t.tensor([2, 4])), t.isin(t.tensor([1]), 2, invert=True)],
    lambda t: [t.isin(3, t.tensor([1, 3])), t.isin(t.tensor([NAN, 1.0]), t.tensor([NAN]))],
    lambda t: t.searchsorted(t.tensor([1, 3, 3, 5]), t.tensor([[0, 3], [5, 9]]), right=True),
    lambda t: t.searchsorted(t.tensor([1, 3, 3, 5]), t.tensor([[0, 3], [5, 9]])),
    lambda t: t.searchsorted(t.tensor([1.0, 2.0, NAN]), t.tensor([0.0, NAN, 3.0, 2.0])),
    lambda t: t.searchsorted(t.tensor([[1, 2, 3], [4, 5, 6]]), t.tensor([[2], [9]]), side="right"),
    lambda t: t.searchsorted(t.tensor([3, 1]), t.tensor([2, 3]), sorter=t.tensor([1, 0]), out_int32=True),
    lambda t: [
        t.searchsorted(t.tensor([1, 2]), 1.5),
        t.searchsorted(t.tensor([1.5]), t.tensor([2])),
        t.bucketize(2, t.tensor([1, 2, 3])),
    ],
    lambda t: t.bucketize(t.tensor([0.5, 1.0, 9.0]), t.tensor([1.0, 2.0]), right=True),
)
def test_values(case: Case) -> None:
    assert_same(case)


@cases(
    lambda t: t.ones(3).topk(4),
    lambda t: t.ones(3).topk(-1),
    lambda t: t.ones(3).sort(1),
    lambda t: t.ones(3).kthvalue(0),
    lambda t: t.ones(0).kthvalue(1),
    lambda t: t.ones(2, 0).median(1),
    lambda t: t.tensor([True]).median(),
    lambda t: t.tensor([True]).topk(1),
    lambda t: t.isin(1, 2),
    lambda t: t.searchsorted(t.ones(2, 3), t.ones(3, 2)),
    lambda t: t.searchsorted(t.ones(3), t.ones(2), side="middle"),
    lambda t: t.searchsorted(t.ones(3), t.ones(2), side="left", right=True),
    lambda t: t.bucketize(t.ones(3), t.ones(2, 2)),
)
def test_errors(case: Case) -> None:
    assert_same_error(case)


def test_the_names_of_the_pairs() -> None:
    def texts(t: Any) -> list[str]:
        x = t.tensor([2.0, 1.0])
        return [repr(pair) for pair in (x.sort(), x.topk(1), x.kthvalue(1), x.median(0), x.nanmedian(0))]

    import torch

    assert texts(ours) == texts(torch)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x.sort().values,
        lambda x: x.sort(0, descending=True).values,
        lambda x: x.topk(2).values,
        lambda x: x.median(1).values,
        lambda x: x.median(),
    ],
)
def test_what_is_composed_is_recorded(f: Any) -> None:
    """Not in C, for which the order of numbers has no loops."""
    assert_recorded(f, X, backend="numpy")


def test_a_search_is_compiled() -> None:
    """Halving what is left takes as many steps as the length of the sequence asks for."""
    sequence, sought = ours.tensor([1.0, 2.0, 2.0, 5.0]), ours.tensor([[0.0, 2.0], [9.0, NAN]])

    def search(sequence: Any, sought: Any) -> Any:
        return ours.searchsorted(sequence, sought, right=True)

    compiled = ours.compile(search, fullgraph=True)
    for _ in range(2):
        assert ours.equal(compiled(sequence, sought), search(sequence, sought))


NUMBERS = {
    "float32": [0.0, -0.0, NAN, 1.0, -1.0, INF, -INF, 1.0],
    "float16": [0.0, -0.0, NAN, 1.0, -1.0, INF, 1.0],
    "float64": [0.0, -0.0, NAN, 1.0, -2.0, INF, 1.0],
    "int64": [-(2**62), 2**62, 0, 1, 1, -1],
    "int8": [-128, 127, 0, 3, 3],
    "uint8": [255, 0, 128, 3, 3],
    "bool": [True, False],
}


@pytest.mark.parametrize("backend", ["numpy", pytest.param("c", marks=pytest.mark.slow)])
@pytest.mark.parametrize("dtype", NUMBERS)
def test_an_order_is_compiled(dtype: str, backend: str) -> None:
    """In every length of the runs that are merged, along rows and columns, of views and of equals."""

    def step(x: Any) -> Any:
        several = [x.sort(), x.sort(0, descending=True), x.T.sort(stable=True), x[:, 1::2].sort(0)]
        return *several, x.argsort(1), (x + x).argsort(0), x[:, :0].sort(), x[0, 0].sort(), x[0].msort()

    g = ours.Generator().manual_seed(0)
    numbers = ours.tensor(NUMBERS[dtype], dtype=getattr(ours, dtype))
    for shape in ((3, 5), (16, 17), (2, 70), (33, 16), (100, 3)):
        compiled = ours.compile(step, fullgraph=True, backend=backend)
        for _ in range(3):
            x = numbers[ours.randint(0, len(numbers), shape, generator=g)]
            for mine, eager in zip(compiled(x), step(x), strict=True):
                pairs = zip(mine, eager, strict=True) if isinstance(mine, tuple) else ((mine, eager),)
                for a, b in pairs:
                    assert (a.dtype, a.shape) == (b.dtype, b.shape)
                    assert a.numpy().tobytes() == b.numpy().tobytes()


@pytest.mark.parametrize("backend", ["numpy", pytest.param("c", marks=pytest.mark.slow)])
def test_the_greatest_are_chosen_in_a_compiled_step(backend: str) -> None:
    """What nanoGPT samples from, and a loss of the hardest examples with its gradient."""

    def likely(logits: Any) -> Any:
        v, _ = ours.topk(logits, 5)
        logits = logits.masked_fill(logits < v[:, [-1]], -INF)
        return logits.softmax(-1)

    def hardest(w: Any, x: Any) -> Any:
        loss = ((x @ w) ** 2).topk(3).values.mean() + (x @ w).median() + (x @ w).kthvalue(2).values
        (gradient,) = ours.autograd.grad(loss, w)
        w.data -= 0.1 * gradient
        return loss, gradient

    chosen, step = (ours.compile(f, fullgraph=True, backend=backend) for f in (likely, hardest))
    ours.manual_seed(0)
    mine, eager = (ours.ones(4, requires_grad=True) for _ in range(2))
    for _ in range(4):
        logits, x = ours.randn(3, 27), ours.randn(9, 4)
        np.testing.assert_allclose(chosen(logits).numpy(), likely(logits).numpy(), rtol=1e-6)
        for a, b in zip(step(mine, x), hardest(eager, x), strict=True):
            np.testing.assert_allclose(a.numpy(), b.detach().numpy(), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(mine.detach().numpy(), eager.detach().numpy(), rtol=1e-5, atol=1e-6)
