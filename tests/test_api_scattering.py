"""Elements written, added up and read at places of an index."""

from typing import Any

import numpy as np
import pytest
from both import Case, assert_same, assert_same_error, attempt, cases, gradients
from recordings import BACKENDS, assert_recorded

from tinygrad_ninja import float64, tensor
from tinygrad_ninja.check import gradgradcheck

INF, NAN = float("inf"), float("nan")
X = [[1.0, -2.0, 3.0], [4.0, 5.0, -6.0]]
Y = [[0.5, 1.5, -1.0], [2.0, 0.0, 1.0], [1.0, 2.0, 3.0]]
I = [[0, 1, 1], [1, 0, 0]]  # noqa: E741 - an index
J = [[2, 0, 1], [0, 0, 2]]


@cases(
    gradients(lambda t, x, y: x.scatter(1, t.tensor([[2, 0], [1, 2]]), y[:2, :2]), X, Y),
    gradients(lambda t, x, y: x.scatter(0, t.tensor([[1, 0]]), 9.0), X, Y),
    gradients(lambda t, x, y: t.scatter(x, 1, t.tensor([[2]]), value=9.0), X, Y),
    gradients(lambda t, x, y: x.scatter_add(0, t.tensor(I), y[:2]), X, Y),
    gradients(lambda t, x, y: t.scatter_add(x, -1, t.tensor(J), y[:2]), X, Y),
    gradients(lambda t, x, y: x.scatter_reduce(1, t.tensor(J), y[:2], "sum"), X, Y),
    gradients(lambda t, x, y: x.scatter_reduce(1, t.tensor(J), y[:2], "sum", include_self=False), X, Y),
    gradients(lambda t, x, y: x.scatter_reduce(1, t.tensor(J), y[:2], "mean"), X, Y),
    gradients(lambda t, x, y: x.scatter_reduce(1, t.tensor(J), y[:2], "prod"), X, Y),
    gradients(lambda t, x, y: x.scatter_reduce(1, t.tensor(J), y[:2], "prod", include_self=False), X, Y),
    gradients(lambda t, x, y: x.scatter_reduce(1, t.tensor(J), y[:2], "amax"), X, Y),
    gradients(lambda t, x, y: x.scatter_reduce(1, t.tensor(J), y[:2], "amin", include_self=False), X, Y),
    gradients(lambda t, x, y: x.scatter_reduce(0, t.tensor(I), x, "amax"), X, Y),
    gradients(lambda t, x, y: x.take(t.tensor([[0, -1], [3, 3]])), X, Y),
    gradients(lambda t, x, y: x.take_along_dim(t.tensor([[0], [2]]), 1), X, Y),
    gradients(lambda t, x, y: t.take_along_dim(x, t.tensor([[0, 1]]), dim=1), X, Y),
    gradients(lambda t, x, y: x.take_along_dim(t.tensor([5, 0])), X, Y),
    gradients(lambda t, x, y: x.index_put((t.tensor([0, 1]), t.tensor([2, 0])), y[0, :2]), X, Y),
    gradients(lambda t, x, y: x.index_put((t.tensor([1, 1]),), y[:2], accumulate=True), X, Y),
    gradients(lambda t, x, y: x.index_put((t.tensor(1),), y[0], accumulate=True), X, Y),
    gradients(lambda t, x, y: x.index_put((t.tensor(1), t.tensor([0, 2])), y[0, :2], accumulate=True), X, Y),
    gradients(lambda t, x, y: x.index_copy(1, t.tensor([2, 0]), y[:2, :2]), X, Y),
    gradients(lambda t, x, y: x.index_fill(1, t.tensor([2, 2, 0]), y[1, 1]), X, Y),
    gradients(lambda t, x, y: x.masked_scatter(x > 0, y), X, Y),
    gradients(lambda t, x, y: x.masked_scatter(t.tensor([True, False, True]), y), X, Y),
)
def test_values_and_gradients(case: Case) -> None:
    assert_same(case)


@cases(
    lambda t: t.zeros(3).scatter_(0, t.tensor([2, 0]), t.tensor([5.0, 6.0])),
    lambda t: t.zeros(3, 3).scatter_(1, t.tensor([[0], [2], [1]]), 1),
    lambda t: t.ones(2, 2).scatter_(0, t.tensor([[0, 0]]), 3.0, reduce="multiply"),
    lambda t: t.ones(2, 2).scatter(0, t.tensor([[0, 0]]), t.ones(1, 2), reduce="add"),
    lambda t: t.zeros(2, dtype=t.int64).scatter_add_(0, t.tensor([1, 1]), t.tensor([3, 4])),
    lambda t: t.zeros(2).scatter_reduce_(0, t.tensor([1, 1]), t.tensor([3.0, 4.0]), reduce="mean"),
    lambda t: t.tensor([7, 2]).scatter_reduce(0, t.tensor([0, 0]), t.tensor([-3, 4]), "mean"),
    lambda t: t.tensor(1.0).scatter(0, t.tensor(0), t.tensor(3.0)),
    lambda t: [t.tensor(1.0).take(t.tensor([0, 0])), t.tensor(2.0).index_fill(0, t.tensor(0), 1.0)],
    lambda t: t.zeros(3).scatter(0, t.tensor([], dtype=t.int64), t.ones(2)),
    lambda t: t.zeros(3).index_put_((t.tensor([True, False, True]),), t.tensor([1.0, 2.0])),
    lambda t: [
        t.zeros(3).index_copy_(0, t.tensor([1]), t.ones(1)),
        t.zeros(3).index_fill_(0, t.tensor([1]), 5),
    ],
    lambda t: t.zeros(3).masked_scatter_(t.tensor([True, False, True]), t.tensor([1.0, 2.0, 3.0])),
    lambda t: [
        t.argwhere(t.tensor([[1, 0], [0, 2]])),
        t.tensor(3).argwhere(),
        t.tensor([1, 0]).count_nonzero(),
    ],
    lambda t: t.count_nonzero(t.tensor([[1, 0], [2, 2]]), dim=0),
)
def test_values(case: Case) -> None:
    assert_same(case)


@cases(
    lambda t: t.zeros(2, 2).scatter(0, t.tensor([[2]]), 1.0),
    lambda t: t.zeros(2, 2).scatter(0, t.tensor([0]), 1.0),
    lambda t: t.zeros(2, 2).scatter(0, t.tensor([[0]]), t.ones(1, 1).double()),
    lambda t: t.zeros(2, 2).scatter(0, t.tensor([[0, 0, 0]]), 1.0),
    lambda t: t.zeros(2, 2).scatter(0, t.tensor([[0.0]]), 1.0),
    lambda t: t.zeros(2).scatter(0, t.tensor([0]), 1.0, reduce="mean"),
    lambda t: t.zeros(2).scatter_add(0, t.tensor([0, 1]), t.ones(1)),
    lambda t: t.zeros(2).scatter_reduce(0, t.tensor([0]), t.ones(1), "middle"),
    lambda t: t.zeros(2).take(t.tensor([2])),
    lambda t: t.zeros(2).take(0),
    lambda t: t.zeros(2).scatter(0, 0, 1.0),
    lambda t: t.zeros(2).scatter_add(0, t.tensor([0]), 1.0),
    lambda t: t.zeros(2).index_copy(0, t.tensor([0]), 1.0),
    lambda t: t.zeros(2).index_fill(0, [0], 1.0),
    lambda t: t.zeros(2).masked_scatter([True, False], t.ones(2)),
    lambda t: t.zeros(2).take(t.tensor([0.0])),
    lambda t: t.zeros(2, 2).take_along_dim(t.tensor([0]), 0),
    lambda t: t.zeros(2).index_put((t.tensor([0]),), t.tensor([1])),
    lambda t: t.zeros(2).index_copy(0, t.tensor([2]), t.ones(1)),
    lambda t: t.zeros(2).index_copy(0, t.tensor([0]), t.ones(2)),
    lambda t: t.zeros(2).index_fill(0, t.tensor([2]), 1.0),
    lambda t: t.zeros(2).index_fill(0, t.tensor([0]), t.ones(1)),
    lambda t: t.zeros(2).masked_scatter(t.tensor([True, True]), t.ones(1)),
    lambda t: t.zeros(2).masked_scatter(t.tensor([1, 1]), t.ones(2)),
)
def test_errors(case: Case) -> None:
    assert_same_error(case)


@BACKENDS
@pytest.mark.parametrize(
    "f",
    [
        lambda x, y: x.scatter(1, tensor([[2, 0], [1, 2]]), y[:2, :2]),
        lambda x, y: x.scatter_add(1, tensor(J), y),
        lambda x, y: x.scatter_reduce(1, tensor(J), y, "mean"),
        lambda x, y: x.take(tensor([[0, -1], [3, 3]])) + y.sum(),
        lambda x, y: x.index_put((tensor([1, 1]),), y[:2], accumulate=True),
        lambda x, y: x.index_copy(1, tensor([2, 0]), y[:2, :2]),
        lambda x, y: x.index_fill(1, tensor([2, 0]), y[1, 1]),
    ],
)
def test_what_is_composed_is_recorded(f: Any, backend: str) -> None:
    assert_recorded(f, X, Y, backend=backend)


@pytest.mark.parametrize("zeros", [(), (0,), (3,), (0, 2), (0, 1, 2)])
@pytest.mark.parametrize("x", [3.0, 0.0])
def test_second_derivative_of_a_product_with_zeros(x: float, zeros: tuple[int, ...]) -> None:
    """Of several in one cell PyTorch has none."""
    numbers = [0.0 if i in zeros else i + 2.0 for i in range(4)]
    start, src = (tensor(v, dtype=float64, requires_grad=True) for v in ([x, 5.0], numbers))
    index = tensor([0, 0, 0, 1])
    assert gradgradcheck(lambda start, src: start.scatter_reduce(0, index, src, "prod"), (start, src))


EDGES = [0.0, 0.0, 1.0, 1.0, 2.0, INF, -INF, NAN]


@pytest.mark.parametrize("include_self", [True, False])
@pytest.mark.parametrize("reduce", ["sum", "prod", "mean", "amax", "amin"])
@pytest.mark.parametrize("numbers", [5, 7, 8])
def test_reductions_of_ties_zeros_and_infinities(reduce: str, include_self: bool, numbers: int) -> None:
    """Of so many of the numbers: finite ones, infinities too, and NaN."""
    draw = np.random.default_rng(0)
    cells, sources = draw.choice(EDGES[:numbers], (40, 4)), draw.choice(EDGES[:numbers], (40, 5))
    places = draw.integers(0, 4, (40, 5)).tolist()

    def reduced(t: Any, x: Any, y: Any) -> Any:
        return x.scatter_reduce(1, t.tensor(places), y, reduce, include_self=include_self)

    assert_same(gradients(reduced, cells, sources))


@pytest.mark.parametrize("reduce", ["sum", "prod", "mean", "amax", "amin"])
@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool"])
def test_reductions_of_integers_and_bools(reduce: str, dtype: str) -> None:
    def case(t: Any) -> Any:
        x, y = (t.tensor(values).to(getattr(t, dtype)) for values in ([3, 1, 0, 1], [1, 2, 7]))
        return [
            attempt(x.scatter_reduce, 0, t.tensor([0, 0, 1]), y, reduce, include_self=i)
            for i in (True, False)
        ]

    assert_same(case)


def test_addbmm_of_small_integers() -> None:
    assert_same(lambda t: t.ones(2, 2).int().addbmm(t.ones(3, 2, 2).int(), t.ones(3, 2, 2).int()))
    assert_same(lambda t: t.ones(2, 2).byte().addbmm(*[t.full((3, 2, 2), 9, dtype=t.uint8)] * 2, alpha=3))
