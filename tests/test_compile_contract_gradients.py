"""Gradients that are there before a compiled call and are others at every call: an optimizer's step alone,
clipping, accumulation; and those that the function knows in another way too."""

from typing import Any

import pytest
from contract import compiled, same
from contract_models import OPTIMIZERS, X, Y

import tinygrad_ninja as torch
from tinygrad_ninja import nn
from tinygrad_ninja.nn import functional as F


def model_and(kind: str) -> tuple[Any, Any]:
    model = nn.Sequential(nn.Linear(X.shape[1], 4), nn.Tanh(), nn.Linear(4, 5))
    return model, OPTIMIZERS[kind](model.parameters())


def go_back(model: Any, factor: float = 1.0) -> None:
    (F.cross_entropy(model(X), Y) * factor).backward()


@pytest.mark.parametrize("kind", OPTIMIZERS)
@compiled
def test_the_step_of_an_optimizer_alone(C: Any, kind: str) -> Any:
    model, optimizer = model_and(kind)
    step = C(lambda: optimizer.step())
    for k in range(6):
        optimizer.zero_grad()
        go_back(model, k + 1.0)
        step()
        yield model, optimizer
        if k == 3:
            step()  # on the same gradients
            yield model, optimizer


@same
def test_clipping_alone(C: Any) -> Any:
    model, optimizer = model_and("SGD")
    clip = C(lambda: nn.utils.clip_grad_norm_(model.parameters(), 0.01))
    for k in range(5):
        optimizer.zero_grad()
        go_back(model, k + 1.0)
        grads = [p.grad for p in model.parameters()]
        yield clip(), grads, model


@compiled
def test_a_backward_that_adds(C: Any) -> Any:
    model, optimizer = model_and("SGD")

    def back(x: Any) -> Any:
        loss = F.cross_entropy(model(x), Y)
        loss.backward()
        return loss

    back = C(back)
    go_back(model)
    for k in range(6):
        yield back(X * (k + 1)), model
        if k % 2:
            optimizer.zero_grad()
            go_back(model)


@compiled
def test_gradients_of_other_shapes_and_none(C: Any) -> Any:
    w = torch.ones(3, requires_grad=True)
    f = C(lambda: w.grad * 2 if w.grad is not None else torch.zeros(1))
    for g in (None, torch.ones(3), torch.arange(3.0), None, torch.arange(6.0)[::2], torch.ones(3)):
        w.grad = g
        yield f()


@same
def test_a_gradient_that_a_list_holds_too(C: Any) -> Any:
    w = torch.ones(3, requires_grad=True)
    held = [torch.ones(3)]
    f = C(lambda: (w.grad * 2, held[0] + 1, held[0] is w.grad))
    for i in range(6):
        if i % 2:
            w.grad = torch.full((3,), float(i))
        if i in (2, 4):
            held[0] = w.grad
        if i == 5:
            w.grad = held[0]
        if w.grad is not None:
            yield f()


@same
def test_a_gradient_becomes_what_a_list_holds(C: Any) -> Any:
    w = torch.ones(3, requires_grad=True)
    held = [torch.full((3,), 7.0)]

    def f() -> Any:
        w.grad.mul_(2)
        return held[0] + 0

    f = C(f)
    for grad in (torch.ones(3), torch.ones(3), held[0], torch.ones(3), held[0]):
        w.grad = grad
        yield f(), w.grad, held


@same
def test_a_gradient_that_is_an_argument(C: Any) -> Any:
    w = torch.ones(3, requires_grad=True)
    f = C(lambda g: (w.grad.mul_(2) + g, w.grad is g))
    for i in range(5):
        w.grad = torch.full((3,), float(i))
        yield f(w.grad if i % 2 else torch.ones(3)), w.grad


@same
def test_one_gradient_of_two(C: Any) -> Any:
    v, w = torch.ones(3, requires_grad=True), torch.ones(3, requires_grad=True)

    def f() -> Any:
        v.grad.mul_(2)
        w.grad.add_(1)

    f = C(f)
    for i in range(6):
        v.grad, w.grad = torch.full((3,), float(i)), torch.ones(3)
        if i in (3, 5):
            w.grad = v.grad
        f()
        yield v, w


@same
def test_a_gradient_that_is_returned_or_rebound(C: Any) -> Any:
    w = torch.ones(3, requires_grad=True)

    def f() -> Any:
        w.grad.data = w.grad * 3
        return w.grad

    for function in (C(f), C(lambda: w.grad), C(lambda: (w.grad.add_(1), w.grad + 1))):
        for i in range(4):
            w.grad = grad = torch.full((3,), float(i))
            result = function()
            yield result, grad, (result[0] if isinstance(result, tuple) else result) is grad


@same
def test_a_gradient_with_a_history(C: Any) -> Any:
    w = torch.ones(3, requires_grad=True)
    f = C(lambda: w.grad * 2)
    for i in range(5):
        w.grad = None
        (grad,) = torch.autograd.grad((w**3).sum() * (i + 1), w, create_graph=i % 2 == 1)
        w.grad = grad
        yield f().detach()


@same
def test_the_version_of_a_gradient(C: Any) -> Any:
    w = torch.ones(3, requires_grad=True)
    f = C(lambda: w.grad.mul_(2))
    for _ in range(4):
        w.grad = torch.ones(3)
        f()
        yield w.grad, w.grad._version


@compiled
def test_data_that_is_assigned_before_backward(C: Any) -> Any:
    """Within the call, and by a call between a forward and its backward."""
    w = torch.tensor([1.0, 2.0], requires_grad=True)

    def double() -> None:
        w.data = w.data * 2

    def step() -> Any:
        loss = (w * w).sum() + w.exp().sum()
        double()
        w.grad = None
        loss.backward()
        return loss

    step, double_alone = C(step), C(double)
    for _ in range(4):
        yield step(), w.grad, w
    w.data = torch.ones(2)
    for _ in range(4):
        loss = (w * w).sum()
        double_alone()
        w.grad = None
        loss.backward()
        yield w.grad, w


@same
def test_gradients_that_are_views_of_one_memory(C: Any) -> Any:
    together, W, b = torch.zeros(6), torch.ones(2, 2, requires_grad=True), torch.ones(2, requires_grad=True)
    W.grad, b.grad = together[:4].view(2, 2), together[4:]
    optimizer = torch.optim.SGD([W, b], lr=0.1)

    def f(x: Any) -> Any:
        optimizer.zero_grad(set_to_none=False)
        ((x @ W + b) ** 2).mean().backward()
        together.mul_(1 / (together.norm() + 1))
        optimizer.step()
        return together.norm()

    f = C(f)
    for k in range(5):
        yield f(torch.tensor([[1.0, -2.0], [0.5, k]])), together, W, b
