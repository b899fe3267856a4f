"""What backward takes where other `.data` was assigned to a Tensor since it was computed with."""

from typing import Any

import pytest
from both import assert_same, attempt, cases

import tinygrad_ninja


def new_data(t: Any, x: Any) -> None:
    x.data = x.data + 1


def new_data_twice(t: Any, x: Any) -> None:
    new_data(t, x)
    x.data = t.full((2,), 7.0)


def old_data_changed(t: Any, x: Any) -> None:
    old = x.data
    x.data = x.data.clone()
    old.add_(1)
    old.detach().add_(1)


def new_data_changed(t: Any, x: Any) -> None:
    new_data(t, x)
    x.data.add_(1)


def old_memory_changed(t: Any, x: Any) -> None:
    old = x.detach()
    new_data(t, x)
    old.add_(1)


def new_memory_changed(t: Any, x: Any) -> None:
    new_data(t, x)
    with t.no_grad():
        x.add_(1)


def changed_before(t: Any, x: Any) -> None:
    y = t.zeros(2)
    y.add_(3)
    x.data = y


@pytest.mark.parametrize(
    "change",
    [
        new_data,
        new_data_twice,
        old_data_changed,
        new_data_changed,
        old_memory_changed,
        new_memory_changed,
        changed_before,
    ],
)
@pytest.mark.parametrize("leaf", [True, False])
@cases(
    lambda t, x: x * x,
    lambda t, x: x.exp(),
    lambda t, x: x.log() + x,
    lambda t, x: x @ x,
    lambda t, x: x.clone().mul_(x),
)
def test_new_data_is_what_backward_takes(case: Any, leaf: bool, change: Any) -> None:
    """Where an operation kept the Tensor that the data was assigned to; results are kept as they were."""

    def run(t: Any) -> Any:
        x = t.tensor([1.0, 2.0], requires_grad=True)
        y = x if leaf else x * 1
        loss = case(t, y).sum()
        change(t, y)
        return [attempt(t.autograd.grad, loss, x)]

    assert_same(run)


def test_data_of_another_shape_is_not_taken() -> None:
    x = tinygrad_ninja.ones(2, requires_grad=True)
    loss = (x * x).sum()
    x.data = tinygrad_ninja.ones(2, 2)
    with pytest.raises(RuntimeError, match="data of another shape"):
        loss.backward()


def test_a_change_of_what_became_data_is_noticed() -> None:
    """PyTorch counts it as a change of the other Tensor alone."""
    x, y = tinygrad_ninja.ones(2, requires_grad=True), tinygrad_ninja.ones(2)
    x.data = y
    loss = (x * x).sum()
    y.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()
