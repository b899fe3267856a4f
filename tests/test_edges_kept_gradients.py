"""The gradients that `.grad` keeps: whose memory they lie in, what is added to them, how long they stay."""

from typing import Any

import pytest
import torch
from both import assert_same, same

import tinygrad_ninja

WEIGHTS = [1.0, 2.0, 3.0]


def leaf(t: Any) -> Any:
    return t.tensor(WEIGHTS, requires_grad=True)


@pytest.mark.parametrize("kept", ["leaf", "result", "inputs"])
@pytest.mark.parametrize("create_graph", [True, False])
def test_what_is_added_to_a_spread_gradient(kept: str, create_graph: bool) -> None:
    """That of a sum is one number for all elements; what comes later is added to each."""

    def case(t: Any) -> Any:
        x = leaf(t)
        h = x * 1 if kept == "result" else x
        h.retain_grad()
        inputs = {"inputs": [x]} if kept == "inputs" else {}
        h.sum().backward(create_graph=create_graph, retain_graph=True, **inputs)
        (h * h).sum().backward()
        return h.grad.detach()

    assert_same(case)


@same
def test_the_gradient_given_to_backward_stays_the_callers(t: Any) -> Any:
    x, given = leaf(t), t.ones(3)
    x.backward(given, create_graph=True)
    x.backward(t.tensor(WEIGHTS))
    return x.grad, given


@same
def test_a_gradient_with_a_history_is_added_to_where_it_lies(t: Any) -> Any:
    x = leaf(t)
    (x**3).sum().backward(create_graph=True)
    gradient = x.grad
    (x * x).sum().backward()
    same_object = x.grad is gradient
    x.grad.sum().backward()
    return same_object, gradient.detach(), x.grad.detach(), x.grad.requires_grad


@same
def test_a_computation_with_a_gradient_that_was_added_to_since(t: Any) -> Any:
    x, w = leaf(t), leaf(t)
    (x * x).sum().backward()
    y = (x.grad * w).sum()
    (x * x).sum().backward()
    try:
        y.backward()
    except RuntimeError as error:
        return error, w.grad
    return w.grad


@same
def test_an_assigned_gradient_whose_elements_are_one_cell(t: Any) -> Any:
    x = leaf(t)
    x.grad = t.ones(1).expand(3)
    try:
        (x * 2).sum().backward()
    except RuntimeError as error:
        return error, x.grad
    return x.grad


@same
def test_detaching_keeps_the_gradient(t: Any) -> Any:
    x, h = leaf(t), leaf(t) * 2
    h.retain_grad()
    (x * h).sum().backward()
    kept = []
    for tensor in (x, h):
        tensor.detach_()
        kept += [tensor.grad, tensor.requires_grad]
        tensor.requires_grad_()
        kept.append(tensor.grad)
    return kept


@same
def test_the_gradient_of_a_result_is_replaced(t: Any) -> Any:
    h = leaf(t) * 2
    h.retain_grad()
    h.sum().backward(retain_graph=True)
    first = h.grad
    h.sum().backward()
    return first, h.grad, first is h.grad


@same
def test_autograd_grad_keeps_what_is_to_be_retained(t: Any) -> Any:
    x = leaf(t)
    h = x.exp()
    h.retain_grad()
    through = t.autograd.grad((h * h).sum(), x, retain_graph=True)
    first = h.grad.clone()
    return through, first, t.autograd.grad((h * h).sum(), h), h.grad, x.grad


@pytest.mark.parametrize("t", [torch, tinygrad_ninja])
def test_the_gradient_of_a_result_that_is_not_kept_is_warned_of(t: Any) -> None:
    x = t.ones(2, requires_grad=True)
    with pytest.warns(UserWarning, match=r"The \.grad .*of a Tensor that is not a leaf"):
        assert (x * 2).grad is None
    kept = x * 2
    kept.retain_grad()
    assert kept.grad is x.grad is (x * 2).detach().grad is None


@pytest.mark.parametrize("inputs", ["h", "hx", "xh", "x"])
@pytest.mark.parametrize("retained", [True, False])
@pytest.mark.parametrize("hooked", [True, False])
def test_backward_keeps_the_gradient_of_results_that_are_inputs(
    inputs: str, retained: bool, hooked: bool
) -> None:
    """Once, and as it is after the hooks; and from then on it is retained."""

    def case(t: Any) -> Any:
        x = leaf(t)
        h = (x * 3).relu()
        if retained:
            h.retain_grad()
        if hooked:
            h.register_hook(lambda g: g * 10)
        h.square().sum().backward(inputs=[{"h": h, "x": x}[name] for name in inputs])
        return x.grad, h.retains_grad, h.grad if h.retains_grad else None

    assert_same(case)
