"""Hooks of modules on the way back: called with PyTorch's gradients, when PyTorch calls them."""

from collections import namedtuple
from collections.abc import Callable
from typing import Any

import pytest
import torch
from both import assert_same, assert_same_error

import tinygrad_ninja

Case = Callable[[Any], Any]
Pair = namedtuple("Pair", "first second")


def layer(t: Any, forward: Callable[..., Any]) -> Any:
    kind = type("Layer", (t.nn.Module,), {"forward": lambda self, *args, **kwargs: forward(*args, **kwargs)})
    return kind()


def copies(gradients: Any) -> list[Any]:
    return [None if gradient is None else gradient.detach().clone() for gradient in gradients]


def noted(
    t: Any, module: Any, name: str, seen: list[Any], answer: Callable[[Any], Any] = lambda _: None
) -> Any:
    """Let the module note its gradients; `answer` makes of those of the inputs what the hook returns."""

    def hook(module: Any, grad_input: Any, grad_output: Any) -> Any:
        seen.append((name, *copies(grad_input), "out", *copies(grad_output)))
        return answer(grad_input)

    return module.register_full_backward_hook(hook)


def model(t: Any) -> Any:
    t.manual_seed(3)
    return t.nn.Sequential(t.nn.Linear(3, 4), t.nn.Tanh(), t.nn.Linear(4, 2))


@pytest.mark.filterwarnings("ignore:.*[Ff]ull backward hook")
@pytest.mark.parametrize("requires_grad", [True, False])
def test_every_layer_of_a_model(requires_grad: bool) -> None:
    def case(t: Any) -> Any:
        net, seen = model(t), []
        for name, module in net.named_modules():
            noted(t, module, name, seen)
        x = t.arange(6.0).view(2, 3).div(7).requires_grad_(requires_grad)
        (net(x) ** 2).sum().backward()
        return seen, x.grad, [p.grad for p in net.parameters()]

    assert_same(case, ulps=20, scaled=True)


@pytest.mark.parametrize(
    "forward",
    [
        lambda x, y: x * y,
        lambda x, y: (x * 2, y + 1),
        lambda x, y: (x * 2, "text", y.detach()),
        lambda x, y: (x * 2, x * 3),
        lambda x, y: Pair(x * 2, y),
        lambda x, y: x,
    ],
)
def test_arguments_and_outputs(forward: Callable[..., Any]) -> None:
    def case(t: Any) -> Any:
        seen: list[Any] = []
        module = layer(t, lambda x, n, y, k=None: forward(x, y))
        noted(t, module, "it", seen)
        x, y = t.arange(3.0).requires_grad_(), t.ones(3).requires_grad_()
        out = module(x, 3, y, k=t.ones(1))
        outs = out if isinstance(out, tuple) else (out,)
        outs[0].sum().backward(retain_graph=True)
        (outs[0] * 3).sum().backward()
        return seen, x.grad, y.grad, type(out).__name__

    assert_same(case)


def test_what_hooks_return_replaces_the_gradients() -> None:
    def case(t: Any) -> Any:
        seen: list[Any] = []
        module = layer(t, lambda x, y: (x * y, y * 2))
        noted(t, module, "second", seen, lambda grads: tuple(g * 10 for g in grads))
        first = noted(t, module, "third", seen)
        module.register_full_backward_hook(lambda m, i, o: seen.append(("first", *copies(i))), prepend=True)
        module.register_full_backward_pre_hook(lambda m, o: (o[0] * 7, *o[1:]))
        removed = module.register_full_backward_pre_hook(lambda m, o: seen.append(copies(o)))
        x, y = t.arange(3.0).requires_grad_(), t.ones(3).requires_grad_()
        sum(out.sum() for out in module(x, y)).backward()
        first.remove()
        removed.remove()
        sum(out.sum() for out in module(x, y)).backward()
        return seen, x.grad, y.grad

    assert_same(case)


def test_no_grad_and_a_second_derivative() -> None:
    def case(t: Any) -> Any:
        seen: list[Any] = []
        module = layer(t, lambda x: x**3)
        noted(t, module, "it", seen)
        x = t.arange(1.0, 4.0).requires_grad_()
        with t.no_grad():
            quiet = module(x)
        (first,) = t.autograd.grad(module(x).sum(), x, create_graph=True)
        (second,) = t.autograd.grad(first.sum(), x)
        return seen, quiet, first.detach(), second

    assert_same(case)


def test_a_module_that_is_called_twice_and_hooks_forward_beside() -> None:
    def case(t: Any) -> Any:
        seen: list[Any] = []
        module = t.nn.Linear(2, 2)
        with t.no_grad():
            module.weight.fill_(0.5)
            module.bias.fill_(0.25)
        module.register_forward_pre_hook(lambda m, args: (args[0] * 2,))
        module.register_forward_hook(lambda m, args, out: out * 3)
        noted(t, module, "it", seen)
        x = t.ones(1, 2).requires_grad_()
        module(module(x)).sum().backward()
        return seen, x.grad, module.weight.grad

    assert_same(case)


@pytest.mark.filterwarnings("ignore:.*[Ff]ull backward hook")
@pytest.mark.parametrize(
    "register",
    [
        lambda m: m.register_full_backward_hook(lambda m, i, o: (i[0], i[0])),
        lambda m: m.register_full_backward_pre_hook(lambda m, o: (o[0], o[0])),
    ],
)
def test_another_number_of_gradients_is_refused(register: Callable[[Any], Any]) -> None:
    def case(t: Any) -> Any:
        module = t.nn.Tanh()
        register(module)
        module(t.ones(2).requires_grad_()).sum().backward()

    assert_same_error(case, "invalid number of grad_")


def test_without_an_input_that_requires_a_gradient_it_is_warned_of() -> None:
    def case(t: Any) -> Any:
        module = t.nn.Linear(2, 2)
        module.register_full_backward_hook(lambda m, i, o: (t.ones(1),))
        module(t.ones(1, 2)).sum().backward()

    for t in (torch, tinygrad_ninja):
        with pytest.warns(UserWarning, match=r"[Ff]ull backward hook"), pytest.raises(RuntimeError):
            case(t)
