"""Tensors repeated, rolled, turned and joined, products of matrices, and Tensors made like another."""

from typing import Any

import pytest
from both import Case, assert_same, assert_same_error, cases, gradients
from recordings import BACKENDS, assert_recorded

X = [[1.0, -2.0, 3.0], [4.0, 5.0, -6.0]]
Y = [[0.5, 1.5, -1.0], [2.0, -0.5, 1.0], [1.0, 2.0, 3.0]]
CUBE = [X, [[7.0, 8.0, 9.0], [0.0, 1.0, 2.0]]]
NAN = float("nan")


@cases(
    gradients(lambda t, x: x.repeat(2, 3), X),
    gradients(lambda t, x: x.repeat(2, 1, 3), X),
    gradients(lambda t, x: x.repeat((1, 1)), X),
    gradients(lambda t, x: x.repeat(3), [5.0]),
    gradients(lambda t, x: x.tile(2), X),
    gradients(lambda t, x: x.repeat_interleave(2, dim=1), X),
    gradients(lambda t, x: t.repeat_interleave(x, t.tensor([2, 0]), 0), X),
    gradients(lambda t, x: x.repeat_interleave(2), X),
    gradients(lambda t, x: x.roll(1, 0), X),
    gradients(lambda t, x: x.roll((1, -5), (0, 1)), X),
    gradients(lambda t, x: t.roll(x, -4), X),
    gradients(lambda t, x: x.narrow(1, -2, 2), X),
    gradients(lambda t, x: x.movedim(0, -1), CUBE),
    gradients(lambda t, x: t.moveaxis(x, (0, 1), (2, 0)), CUBE),
    gradients(lambda t, x: x.swapaxes(0, 1), X),
    gradients(lambda t, x: x.swapdims(0, 1), X),
    gradients(lambda t, x: x.unflatten(1, (-1, 1)), X),
    gradients(lambda t, x: x.rot90(), X),
    gradients(lambda t, x: x.rot90(-1, (1, 0)), X),
    gradients(lambda t, x: x.fliplr() + x.flipud(), X),
    gradients(lambda t, x: x.H + x.mH + x.adjoint(), X),
    gradients(lambda t, x: x.diagonal(), Y),
    gradients(lambda t, x: x.diagonal(-1), X),
    gradients(lambda t, x: t.diagonal(x, 1, 2, 0), CUBE),
    gradients(lambda t, x: x.diagonal(dim1=-2, dim2=-1), CUBE),
    gradients(lambda t, x: x.trace(), X),
    gradients(lambda t, x, y: t.meshgrid(x[0], y[1], indexing="xy")[0], X, Y),
    gradients(lambda t, x, y: t.meshgrid([x[0], y[1]], indexing="ij")[1], X, Y),
    gradients(lambda t, x, y: t.concat([x, y]), X, Y),
    gradients(lambda t, x, y: t.vstack([x[0], y]), X, Y),
    gradients(lambda t, x, y: t.hstack((x[0], y[1])), X, Y),
    gradients(lambda t, x, y: t.column_stack((x[0], y)), X, Y),
    gradients(lambda t, x, y: t.dstack((x[0], y[1])), X, Y),
    gradients(lambda t, x, y: t.outer(x[0], y[1]), X, Y),
    gradients(lambda t, x, y: x.mv(y[1]), X, Y),
    gradients(lambda t, x, y: x.bmm(t.stack([y, y.mT])), CUBE, Y),
    gradients(lambda t, x, y: t.inner(x, y), X, Y),
    gradients(lambda t, x, y: t.addmm(x[0], x, y, beta=2, alpha=0.5), X, Y),
    gradients(lambda t, x, y: t.addmm(x, x, y, beta=0), X, Y),
    gradients(lambda t, x, y: x[:, 0].addmv(x, y[0], alpha=3), X, Y),
    gradients(lambda t, x, y: x.addr(x[:, 0], y[0]), X, Y),
    gradients(lambda t, x, y: x.baddbmm(x, t.stack([y, y.mT])), CUBE, Y),
    gradients(lambda t, x, y: x[0].addbmm(x, t.stack([y, y.mT]), beta=0.5), CUBE, Y),
)
def test_values_and_gradients(case: Case) -> None:
    assert_same(case)


@cases(
    lambda t: [t.ones(2).repeat(repeats=(2, 2)), t.tile(t.ones(2), dims=(2,)), t.tile(t.ones(2), (3,))],
    lambda t: [t.tensor([1, 2]).repeat(0), t.tensor(3).repeat(2), t.zeros(2, 0).repeat(3, 2)],
    lambda t: [t.tensor(1.5).tile(2), t.tensor(1.5).roll(3), t.tensor(1.5).movedim(0, 0)],
    lambda t: [t.repeat_interleave(t.tensor([1, 0, 2])), t.tensor(5).repeat_interleave(2)],
    lambda t: t.tensor([True, False]).roll(1),
    lambda t: [t.atleast_1d(t.tensor(1)), t.atleast_2d(t.ones(2), t.tensor(1)), t.atleast_3d(t.ones(2, 3))],
    lambda t: [t.addmm(t.tensor([[NAN]]), t.ones(1, 1), t.ones(1, 1), beta=0)],
    lambda t: [x.is_contiguous() for x in (t.ones(2, 3).repeat(2, 1), t.ones(2, 3).movedim(0, 1))],
    lambda t: [t.ones(2, 2).diagonal().fill_(3), t.ones(1).repeat(3).detach_()],
    lambda t: [t.ones(2).new_zeros(3), t.ones(2).new_ones((1, 2)), t.arange(2).new_full((2,), 4)],
    lambda t: [t.ones(2).new_tensor([1, 2]), t.ones(2).new_zeros(2, dtype=t.int64)],
    lambda t: [t.ones(1).new_empty(2).shape, t.FloatTensor(2, 3).shape],
    lambda t: [t.ones(1).type(), t.arange(2).type(), t.ones(1).type(t.int64)],
    lambda t: [t.ones(1).type("torch.BoolTensor"), t.ones(1).type(t.DoubleTensor)],
    lambda t: [t.FloatTensor([1, 2]), t.LongTensor([3])],
    lambda t: [isinstance(t.ones(1), t.FloatTensor), isinstance(t.ones(1), t.LongTensor)],
)
def test_values(case: Case) -> None:
    assert_same(case)


@cases(
    lambda t: t.ones(2, 3).repeat(2),
    lambda t: t.bmm(t.ones(2, 2), [1]),
    lambda t: t.ones(2).inner(2.0),
    lambda t: t.ones(2).repeat_interleave(1.5),
    lambda t: t.ones(2, 2).diagonal("a"),
    lambda t: t.ones(2).repeat(-1),
    lambda t: t.ones(2).repeat_interleave(-1),
    lambda t: t.ones(2).repeat_interleave(t.tensor([1, 2, 3])),
    lambda t: t.ones(2).roll((1, 2), 0),
    lambda t: t.ones(2).roll(1, 3),
    lambda t: t.ones(2).narrow(0, 1, 2),
    lambda t: t.tensor(1.0).narrow(0, 0, 0),
    lambda t: t.ones(2, 3).movedim((0, 0), (1, 0)),
    lambda t: t.ones(2, 3).diagonal(0, 1, -1),
    lambda t: t.ones(2).trace(),
    lambda t: t.meshgrid(t.ones(2), t.arange(2)),
    lambda t: t.outer(t.ones(2), t.ones(2, 2)),
    lambda t: t.bmm(t.ones(2, 2), t.ones(2, 2)),
    lambda t: t.bmm(t.ones(1, 2, 2), t.ones(2, 2, 2)),
    lambda t: t.mv(t.ones(2, 2), t.ones(3)),
    lambda t: t.addmm(t.ones(3, 3), t.ones(2, 2), t.ones(2, 2)),
    lambda t: t.addr(t.arange(2), t.arange(2), t.arange(2), alpha=0.5),
    lambda t: t.ones(2).type("torch.NoTensor"),
)
def test_errors(case: Case) -> None:
    assert_same_error(case)


def test_a_change_of_a_diagonal_is_recorded() -> None:
    def case(t: Any) -> Any:
        x = t.tensor(Y, requires_grad=True)
        y = x * 1
        y.diagonal(1).mul_(t.tensor([2.0, 5.0]))
        (y * y).sum().backward()
        return y.detach(), x.grad

    assert_same(case)


@BACKENDS
@pytest.mark.parametrize(
    "f",
    [
        lambda x: x.diagonal(1, 2, 0),
        lambda x: x.repeat(1, 2, 1),
        lambda x: x.repeat_interleave(2, 1),
        lambda x: x.roll((1, 1), (0, 2)),
        lambda x: x.movedim(0, 2),
        lambda x: x.bmm(x.mT),
        lambda x: x[0].addmm(x[1] @ x[0].mT, x[1], beta=0.5),
    ],
)
def test_what_is_composed_is_recorded(f: Any, backend: str) -> None:
    assert_recorded(f, CUBE, backend=backend)
