"""Gradients with respect to a function's arguments, and to Tensors that it makes itself."""

import types
from dataclasses import dataclass
from typing import Any

import pytest
from contract import attempt, compiled, refused, same

import tinygrad_ninja as torch
from tinygrad_ninja import nn
from tinygrad_ninja.nn import functional as F

Y = torch.tensor([0, 2, 1, 0])


def model() -> Any:
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 3))


@dataclass
class Batch:
    """A batch of rows."""

    x: Any


def batch() -> Any:
    return torch.randn(4, 3)


def attacked(net: Any, x: Any) -> Any:
    loss = F.cross_entropy(net(x), Y)
    loss.backward()
    return loss


ATTACKS: dict[str, Any] = {
    "by backward": lambda net, x: (x.requires_grad_(), attacked(net, x), x + 0.1 * x.grad.sign())[-1],
    "by grad": lambda net, x: (
        x.requires_grad_(),
        x.detach() + 0.1 * torch.autograd.grad(F.cross_entropy(net(x), Y), x)[0].sign(),
    )[-1],
    "of a copy": lambda net, x: (
        x := x.clone().detach().requires_grad_(),
        x.detach() + torch.autograd.grad(F.cross_entropy(net(x), Y), x)[0].sign(),
    )[-1],
    "of a copy, with its history": lambda net, x: (
        x := x.clone().detach().requires_grad_(),
        x + torch.autograd.grad(F.cross_entropy(net(x), Y), x)[0].sign(),
    )[-1],
    "with a loss": lambda net, x: (x.requires_grad_(), attacked(net, x), x.grad),
    "by setting it": lambda net, x: (setattr(x, "requires_grad", True), attacked(net, x), x.grad * 2)[-1],
}


@pytest.mark.parametrize("how", ATTACKS)
@pytest.mark.parametrize("frozen", [False, True])
@compiled
def test_an_argument_that_comes_to_require_a_gradient(C: Any, how: str, frozen: bool) -> Any:
    net = model().requires_grad_(not frozen)

    def f(x: Any) -> Any:
        net.zero_grad()
        return ATTACKS[how](net, x)

    f = C(f)
    for _ in range(4):
        x = batch()
        result = f(x)
        yield [r.detach() if r is not None and how == "of a copy, with its history" else r for r in (result,)]
        yield x, net


@pytest.mark.parametrize("how", ATTACKS)
@same
def test_one_argument_again_and_again(C: Any, how: str) -> Any:
    net = model()

    def f(x: Any) -> Any:
        net.zero_grad()
        return ATTACKS[how](net, x)

    f = C(f)
    a, b = batch(), batch().requires_grad_()
    for x in (a, a, b, a, batch(), b, batch()):
        yield attempt(f, x), x.clone().detach(), x.grad
    a.grad = None
    yield attempt(f, a), a


def accumulates(x: Any) -> None:
    (x * x).sum().backward()


def replaces(x: Any) -> None:
    x.grad = None
    (x * x).sum().backward()


def reads(x: Any) -> Any:
    return x.grad * 2


def takes_away(x: Any) -> Any:
    (x * x).sum().backward()
    g = x.grad
    x.grad = None
    return g


def fills(x: Any) -> Any:
    x.grad.zero_()
    (x * x).sum().backward()
    return x.grad


@pytest.mark.parametrize("f", [accumulates, replaces, reads, takes_away, fills])
@pytest.mark.parametrize("kept", [False, True])
@compiled
def test_the_gradient_of_an_argument_is_that_of_each_calls(C: Any, f: Any, kept: bool) -> Any:
    f = C(f)
    tensors = [torch.full((2,), i, requires_grad=True) for i in (1.0, 3.0)]
    had = []
    for a in (*tensors, *tensors[::-1], *tensors):
        a.grad = a.detach() * 0.5
        had += [a.grad] if kept else []
        yield f(a), a, had[-1:]


@compiled
def test_the_gradients_of_two_arguments(C: Any) -> Any:
    def f(x: Any, y: Any) -> Any:
        (x * y * y).sum().backward()
        return x.grad + y.grad

    f = C(f)
    a, b, c = (torch.full((2,), i, requires_grad=True) for i in (1.0, 3.0, 5.0))
    for x, y in ((a, b), (b, c), (c, a)):
        x.grad = y.grad = None
        yield f(x, y), x, y


@same
def test_arguments_that_are_one_or_views_of_one(C: Any) -> Any:
    def f(x: Any, y: Any) -> Any:
        x.requires_grad_()
        (x * y * y).sum().backward()
        return x.grad * 1.0

    f = C(f)
    for k in range(3):
        x, y = torch.ones(3) + k, torch.ones(3) * 2
        yield f(x, y), x, y
    x = torch.ones(3)
    yield attempt(f, x, x), x
    whole = torch.ones(3, 3)
    yield attempt(f, whole[0], torch.ones(3)), whole
    base = torch.ones(1, 3)
    yield attempt(f, base, base[0]), base
    yield f(torch.ones(3), torch.ones(3))


@same
def test_an_argument_that_is_found_elsewhere_too(C: Any) -> Any:
    world = torch.ones(3)

    def f(x: Any) -> Any:
        x.requires_grad_()
        (x * world).sum().backward()
        return x.grad * 1.0

    f = C(f)
    for x in (torch.ones(3), torch.ones(3) * 2, world, torch.ones(3) * 3, world):
        yield attempt(f, x), x, world


@same
def test_an_argument_with_a_gradient_from_before(C: Any) -> Any:
    def f(x: Any) -> Any:
        x.requires_grad_()
        (x * x).sum().backward()
        return x.grad * 1.0

    f = C(f)
    for k in range(4):
        x = torch.ones(3)
        if k > 1:
            x.grad = torch.ones(3) * 10
        yield f(x), x


@compiled
def test_backward_is_called_outside_on_what_depends_on_an_argument_that_became_a_leaf(C: Any) -> Any:
    w = torch.ones(3, requires_grad=True)

    def f(x: Any) -> Any:
        return (x.requires_grad_() * w) ** 2

    f = C(f)
    for k in range(3):
        x = torch.ones(3) + k
        f(x).sum().backward()
        yield x, w


@compiled
def test_a_penalty_on_gradients(C: Any) -> Any:
    critic = model()

    def f(x: Any) -> Any:
        x = x.detach().clone().requires_grad_()
        (slope,) = torch.autograd.grad(critic(x).sum(), x, create_graph=True)
        return ((slope.norm(dim=1) - 1) ** 2).mean()

    f = C(f)
    for _ in range(3):
        critic.zero_grad()
        f(batch()).backward()
        yield critic


@compiled
def test_what_depends_on_a_leaf_made_inside_alone(C: Any) -> Any:
    f = C(lambda x: torch.ones(3, requires_grad=True) * x)
    for k in range(3):
        result = f(torch.ones(3) + k)
        yield result.requires_grad, result.detach()
        result.sum().backward()


@refused("the function returns a Tensor that requires a gradient and is made inside")
def test_a_leaf_that_is_returned(C: Any) -> Any:
    w = torch.ones(3, requires_grad=True)

    def f() -> Any:
        x = torch.ones(3).requires_grad_()
        (x * w).sum().backward()
        return x

    f = C(f)
    for _ in range(3):
        yield f(), w


@refused("the history of a Tensor that was there before is changed")
def test_an_argument_that_is_a_leaf_for_a_while(C: Any) -> Any:
    def f(x: Any) -> Any:
        x.requires_grad_()
        (x * x).sum().backward()
        g = x.grad * 1.0
        x.requires_grad_(False)
        return g

    f = C(f)
    for _ in range(3):
        x = torch.ones(3)
        yield f(x), x


# -- Tensors that are no arguments themselves ----------------------------------------------------------------


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("kind", ["dict", "list", "tuple", "dataclass"])
@compiled
def test_an_element_of_an_argument_becomes_a_leaf(C: Any, kind: str, frozen: bool) -> Any:
    net = model().requires_grad_(not frozen)

    def f(batch: Any) -> Any:
        x = batch[0] if kind in ("list", "tuple") else batch.x if kind == "dataclass" else batch["x"]
        x.requires_grad_()
        loss = net(x).sum()
        loss.backward()
        return loss, x.grad.sign()

    f = C(f)
    for _ in range(7):
        x = batch()
        given = {"dict": {"x": x, "n": 3}, "list": [x], "tuple": (x, 1), "dataclass": Batch(x)}[kind]
        yield f(given), x, x.grad, x.requires_grad, net


@pytest.mark.parametrize("reads", [False, True])
@compiled
def test_an_attribute_becomes_a_leaf(C: Any, reads: bool) -> Any:
    o = types.SimpleNamespace(x=batch(), net=model())

    def f(k: Any) -> Any:
        o.x.requires_grad_()
        loss = (o.net(o.x) * k).sum()
        loss.backward()
        return o.x.grad * 2 if reads else loss

    f = C(f)
    for i in range(9):
        yield f(torch.ones(1)), o.x, o.x.requires_grad, o.net
        if i == 4:
            o.x = batch()
        if i == 6:
            o.x.requires_grad_(False)


@same
def test_an_element_becomes_a_leaf_and_is_shared(C: Any) -> Any:
    net, shared = model(), batch()

    def f(first: Any, second: Any) -> Any:
        first["x"].requires_grad_()
        loss = (net(first["x"]) * net(second["x"])).sum()
        loss.backward()
        return loss

    f = C(f)
    for i in range(9):
        x = batch()
        others = {0: x, 1: batch(), 2: x[:], 3: shared, 4: x.view(-1).view(x.shape)}
        yield attempt(f, {"x": x}, {"x": others[i % 5]}), x, x.grad, shared
