"""Running products, sums that skip NaN, sums of products, distances and covariances."""

from typing import Any

import pytest
from both import Case, assert_same, assert_same_error, cases, gradients
from recordings import BACKENDS, assert_recorded

import tinygrad_ninja

INF, NAN = float("inf"), float("nan")
X = [[1.0, -2.0, 3.0], [4.0, 0.5, -6.0]]
Y = [[0.5, 1.5, -1.0], [2.0, -0.5, 1.0], [1.0, 2.0, 3.0]]
CUBE = [X, [[7.0, 8.0, 9.0], [0.5, 1.0, 2.0]]]
ZEROS = [[1.0, 0.0, 3.0, 0.0, 2.0], [2.0, 3.0, 0.0, 5.0, 0.5]]


@cases(
    gradients(lambda t, x, y: x.cumprod(1), X, Y),
    gradients(lambda t, x, y: x.cumprod(-1), ZEROS, Y),
    gradients(lambda t, x, y: x.logcumsumexp(1), X, Y),
    gradients(lambda t, x, y: t.logcumsumexp(x, dim=0), [[2.0], [2.0], [-1.0]], Y),
    gradients(lambda t, x, y: t.logaddexp(x[0], y), X, Y),
    gradients(lambda t, x, y: t.logaddexp(x, y), [INF, -INF, INF, 1.0, 2.0], [1.0, -INF, INF, -INF, 2.0]),
    gradients(lambda t, x, y: x.diff(), X, Y),
    gradients(lambda t, x, y: x.diff(2, 1, prepend=y[:2], append=y[1:]), X, Y),
    gradients(lambda t, x, y: x.nansum(1), [[1.0, NAN], [NAN, NAN]], Y),
    gradients(lambda t, x, y: x.nanmean(1, keepdim=True), [[1.0, NAN], [3.0, 2.0]], Y),
    gradients(lambda t, x, y: t.nanmean(x), [1.0, NAN, 3.0], Y),
    gradients(lambda t, x, y: t.cdist(x, y), X, Y),
    gradients(lambda t, x, y: t.cdist(x, y, p=1), X, Y),
    gradients(lambda t, x, y: t.cdist(x, y, p=INF), X, Y),
    gradients(lambda t, x, y: t.cdist(x, y, p=INF), [[1.0, 1], [0, 2], [3, -3]], [[0.0, 0], [1, 3], [0, 2]]),
    gradients(lambda t, x, y: t.cdist(x, y, 3.0), X, Y),
    gradients(lambda t, x, y: t.cdist(x, y, 0), X, Y),
    gradients(lambda t, x, y: t.cdist(y, y), X, Y),
    gradients(lambda t, x, y: t.cdist(y, y, 3), X, Y),
    gradients(lambda t, x, y: x.cov(), X, Y),
    gradients(lambda t, x, y: t.cov(x, correction=0, fweights=t.tensor([1, 2, 3])), X, Y),
    gradients(lambda t, x, y: t.cov(x, aweights=t.tensor([0.5, 2.0, 1.0])), X, Y),
    gradients(lambda t, x, y: x[0].cov() + y.corrcoef(), X, Y),
    gradients(lambda t, x, y: t.einsum("ij,jk->ik", x, y), X, Y),
    gradients(lambda t, x, y: t.einsum("ij,jk", [x, y]), X, Y),
    gradients(lambda t, x, y: t.einsum("b i j, k j -> b k i", x, y), CUBE, Y),
    gradients(lambda t, x, y: t.einsum("...ij,jk->...ki", x, y), CUBE, Y),
    gradients(lambda t, x, y: t.einsum("ii->i", y) + t.einsum("ii", y) + x[:, :1].sum(), X, Y),
    gradients(lambda t, x, y: t.einsum("ij,kl->", x, y), X, Y),
    gradients(lambda t, x, y: t.einsum("i,j->ji", x[0], y[1]), X, Y),
    gradients(lambda t, x, y: t.einsum("ij,jk,kl->il", x, y, y), X, Y),
    gradients(lambda t, x, y: t.einsum("bij,bij->bi", x, x) + y[0, 0], CUBE, Y),
    gradients(lambda t, x, y: t.einsum(x, [0, 1], y, [1, 2], [0, 2]), X, Y),
    gradients(lambda t, x, y: t.einsum(x, [..., 1], y, [1, 2]), X, Y),
    gradients(lambda t, x, y: t.einsum("ij->ji", x) @ x + y.sum(), X, Y),
    gradients(lambda t, x, y: t.einsum("bi,bi->b", x[:, :1], y[:2]), X, Y),
)
def test_values_and_gradients(case: Case) -> None:
    assert_same(case, ulps=16, scaled=True)


@cases(
    lambda t: [t.tensor([2, 3]).cumprod(0), t.tensor([True, False]).cumprod(0), t.tensor(3.0).cumprod(0)],
    lambda t: [t.tensor(2).cumsum(0, dtype=t.bool), t.ones(0).cumprod(0, dtype=bool), t.tensor([1]).relu()],
    lambda t: [t.tensor([1, 300]).to(t.uint8).cumsum(0, dtype=t.uint8), t.tensor([1, 2]).int().cumsum_(0)],
    lambda t: [t.ones(0).cumprod(0), t.ones(2, 0).logcumsumexp(1), t.ones(2).cumprod_(0)],
    lambda t: [t.tensor([2, 3]).cumprod(0, dtype=t.float64), t.tensor([INF, 0.0]).cumprod(0)],
    lambda t: [t.tensor([-INF, -INF, 1.0, INF, 2.0]).logcumsumexp(0), t.tensor([NAN, 1.0]).logcumsumexp(0)],
    lambda t: [t.tensor([True, False, False]).diff(), t.tensor([1, 4, 9]).diff(n=2), t.ones(2).diff(5)],
    lambda t: [t.tensor([1, 2]).nansum(), t.tensor([NAN]).nansum(), t.tensor([NAN]).nanmean()],
    lambda t: [t.cdist(t.ones(0, 2), t.ones(3, 2)), t.cdist(t.ones(2, 0), t.ones(3, 0))],
    lambda t: t.cdist(t.ones(2, 0), t.ones(3, 0), p=INF),
    lambda t: [t.tensor([1, 2, 4]).cov(), t.tensor(1.0).cov(), t.ones(2, 1).cov(), t.ones(2, 3).corrcoef()],
    lambda t: [
        t.einsum("ij,jk", t.arange(4).reshape(2, 2), t.arange(4).reshape(2, 2)),
        t.einsum("", t.ones(())),
    ],
    lambda t: [t.einsum("ij,jk->ik", t.ones(2, 0), t.ones(0, 3)), t.einsum("i,i", t.ones(2), t.ones(2))],
)
def test_values(case: Case) -> None:
    assert_same(case)


@cases(
    lambda t: t.ones(2).cumprod(1),
    lambda t: t.cdist(t.ones(2, 2), 1),
    lambda t: t.ones(2, 2).cov(fweights=1),
    lambda t: t.tensor([1]).logcumsumexp(0),
    lambda t: t.tensor([1]).cumsum(0, dtype=t.bool),
    lambda t: t.ones(2).cumprod(0, dtype=t.bool),
    lambda t: t.tensor([True]).relu(),
    lambda t: t.nn.functional.relu(t.tensor([True]), inplace=True),
    lambda t: t.logaddexp(t.tensor([1]), t.tensor([1])),
    lambda t: t.tensor(1.0).diff(),
    lambda t: t.ones(2).diff(-1),
    lambda t: t.tensor([1]).nanmean(),
    lambda t: t.cdist(t.ones(2), t.ones(2, 2)),
    lambda t: t.cdist(t.ones(2, 2), t.ones(2, 3)),
    lambda t: t.cdist(t.ones(2, 2), t.ones(2, 2), p=-1),
    lambda t: t.ones(2, 2, 2).cov(),
    lambda t: t.ones(2, 2).cov(fweights=t.ones(2)),
    lambda t: t.ones(2, 2).cov(aweights=t.ones(3)),
    lambda t: t.einsum("ij,jk->il", t.ones(2, 2), t.ones(2, 2)),
    lambda t: t.einsum("ij,jk->ii", t.ones(2, 2), t.ones(2, 2)),
    lambda t: t.einsum("ij,jk", t.ones(2, 2), t.ones(3, 2)),
    lambda t: t.einsum("ij", t.ones(2)),
    lambda t: t.einsum("ij,jk", t.ones(2, 2)),
    lambda t: t.einsum("i1", t.ones(2, 2)),
    lambda t: t.einsum("i.j", t.ones(2, 2)),
    lambda t: t.einsum("ii", t.ones(2, 3)),
    lambda t: t.einsum("ij"),
    lambda t: t.einsum(t.ones(2), [60]),
)
def test_errors(case: Case) -> None:
    assert_same_error(case)


@BACKENDS
@pytest.mark.parametrize(
    "f",
    [
        lambda x, y: x.cumprod(1) + y[0].logcumsumexp(0),
        lambda x, y: tinygrad_ninja.cdist(x, y),
        lambda x, y: x.cov() + y[:2, :2],
        lambda x, y: tinygrad_ninja.einsum("ij,jk,il->lk", x, y, x),
        lambda x, y: tinygrad_ninja.einsum("ii,ji->j", y, x),
        lambda x, y: x.diff() + x.nansum(0)[:2] * y[0, 0],
    ],
)
def test_what_is_composed_is_recorded(f: Any, backend: str) -> None:
    assert_recorded(f, X, Y, backend=backend)
