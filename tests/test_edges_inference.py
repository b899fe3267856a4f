"""Inference tensors: what is made under `inference_mode` is refused where PyTorch refuses it, only there."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from both import assert_same, assert_same_error

import tinygrad_ninja


def made(t: Any) -> Any:
    """A leaf that requires a gradient; and under inference_mode a result, a fill, and two views of the
    leaf."""
    w = t.ones(3, requires_grad=True)
    with t.inference_mode():
        return w, w * 2, t.ones(3), w.detach(), w.view(3, 1)


@pytest.mark.parametrize(
    "case",
    [
        lambda t: [x.is_inference() for x in made(t)],
        lambda t: [(made(t)[i] + made(t)[0]).requires_grad for i in (1, 2)],
        lambda t: made(t)[1].clone().requires_grad_().is_inference(),
        lambda t: [made(t)[2].view(3, 1).is_inference(), made(t)[2].detach().is_inference()],
        lambda t: [(made(t)[1] * 2).is_inference(), made(t)[2].sum().is_inference()],
        lambda t: t.autograd.grad((made(t)[3] * (w := made(t)[0])).sum(), w),
        lambda t: t.ones(3).copy_(made(t)[2]),
        lambda t: t.cat([made(t)[1], made(t)[0]]).requires_grad,
        lambda t: made(t)[2].requires_grad_(False).requires_grad,
        lambda t: t.is_inference_mode_enabled(),
        lambda t: made(t)[2].tolist(),
    ],
)
def test_what_may_be_done_outside(case: Callable[[Any], Any]) -> None:
    assert_same(case)


@pytest.mark.parametrize(
    ("case", "sentence"),
    [
        (lambda t: made(t)[1] * made(t)[0], "cannot be saved for backward"),
        (lambda t: made(t)[2] @ made(t)[0], "cannot be saved for backward"),
        (lambda t: t.nn.Linear(3, 2)(made(t)[1]), "cannot be saved for backward"),
        (
            lambda t: made(t)[0][t.inference_mode()(lambda: t.tensor([0, 1]))()],
            "cannot be saved for backward",
        ),
        (lambda t: made(t)[1].view(3, 1) * made(t)[0], "cannot be saved for backward"),
        (lambda t: made(t)[1].requires_grad_(), "Setting requires_grad=True on inference tensor outside"),
        (lambda t: t.nn.Parameter(made(t)[2]), "Setting requires_grad=True on inference tensor outside"),
        (lambda t: made(t)[2].add_(1), "Inplace update to inference tensor outside"),
        (lambda t: made(t)[2].__iadd__(t.ones(3)), "Inplace update to inference tensor outside"),
        (lambda t: made(t)[2].__setitem__(0, 1), "Inplace update to inference tensor outside"),
        (lambda t: made(t)[2][:1].zero_(), "Inplace update to inference tensor outside"),
        (lambda t: made(t)[2].normal_(), "Inplace update to inference tensor outside"),
        (lambda t: made(t)[2].copy_(t.ones(3)), "Inplace update to inference tensor outside"),
    ],
)
def test_what_is_refused_outside(case: Callable[[Any], Any], sentence: str) -> None:
    assert_same_error(case, sentence)


def test_inside_and_in_between() -> None:
    def case(t: Any) -> Any:
        w = t.ones(3, requires_grad=True)
        with t.inference_mode():
            x = t.zeros(3)
            x += w
            x[0] = 7
            enabled = [t.is_inference_mode_enabled()]
            with t.inference_mode(False):
                enabled += [t.is_inference_mode_enabled(), t.is_grad_enabled(), t.ones(1).is_inference()]
                loss = (w * 3).sum()
            with t.inference_mode():
                y = x * 2
            enabled += [t.is_inference_mode_enabled(), y.is_inference()]
            with t.enable_grad():
                enabled += [(w * 2).is_inference()]
        loss.backward()
        return x, y, enabled, t.is_inference_mode_enabled(), w.grad

    assert_same(case)


def test_an_evaluation_between_steps_of_a_training_leaves_no_trace() -> None:
    def case(t: Any) -> Any:
        t.manual_seed(1)
        net = t.nn.Sequential(t.nn.Linear(3, 4), t.nn.BatchNorm1d(4), t.nn.Tanh(), t.nn.Linear(4, 1))
        optimizer = t.optim.SGD(net.parameters(), lr=0.1)
        x, losses = t.randn(6, 3), []
        for _ in range(3):
            loss = (net(x) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with t.inference_mode():
                net.eval()
                losses += [net(x).mean(), net.state_dict()["0.weight"].sum(), net[0].weight.data.sum()]
                losses += [t.from_numpy(net[0].weight.detach().numpy()).sum()]
                net.train()
        return losses

    assert_same(case, ulps=2**8, scaled=True)


def test_memory_of_others_is_not_theirs() -> None:
    array = np.ones(2, np.float32)
    with tinygrad_ninja.inference_mode():
        x, y = tinygrad_ninja.from_numpy(array), tinygrad_ninja.as_tensor(array)
    assert not x.is_inference()
    assert not y.is_inference()


def test_a_compiled_function_is_recorded_as_its_mode_is() -> None:
    w = tinygrad_ninja.ones(3, requires_grad=True)

    def step() -> Any:
        loss = (w * w).sum()
        w.grad = None
        loss.backward()
        return loss

    fast = tinygrad_ninja.compile(step)
    for _ in range(3):
        fast()
    with tinygrad_ninja.inference_mode():
        value = tinygrad_ninja.compile(lambda x: x * 2)
        assert [value(w).tolist() for _ in range(3)] == [[2.0, 2.0, 2.0]] * 3
    fast()
    assert w.grad.tolist() == [2.0, 2.0, 2.0]
