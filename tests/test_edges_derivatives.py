"""First, second and third derivatives through every rule, at ordinary points and at ties, kinks and zeros."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from both import Case, assert_same, cases, same

ORDERS = 3
MATRIX = np.array([[0.5, -1.25, 2.0], [1.5, 0.75, -0.5]])
OTHER = np.array([[1.25, 0.5, -1.5], [-0.25, 2.5, 1.0]])
POSITIVE = np.abs(MATRIX) + 0.25
ROW = np.array([2.0, -0.5, 1.5])
TALL = np.concatenate([MATRIX, OTHER])
TIED = np.array([[0.0, 1.0, 1.0], [0.0, 0.0, 0.0]])


def derivatives(function: Callable[..., Any], *inputs: np.ndarray) -> Case:
    """The case that returns the value and the derivatives of orders one to three with respect to every input.

    Each order differentiates a weighted sum of the order before, so that mixed derivatives have their share.
    """

    def case(t: Any) -> Any:
        leaves = [t.tensor(values, requires_grad=True) for values in inputs]
        # Zero times each leaf: a derivative that is constant is differentiated like any other, to zero.
        parts = [function(t, *leaves), *(leaf * 0 for leaf in leaves)]
        results = []
        for _ in range(ORDERS):
            total = sum((part * t.arange(1.0, part.numel() + 1).reshape(part.shape)).sum() for part in parts)
            slopes = t.autograd.grad(total, leaves, create_graph=True)
            results.append([slope.detach() for slope in slopes])
            parts = [slope + leaf * 0 for slope, leaf in zip(slopes, leaves, strict=True)]
        return results

    case.__wrapped__ = function  # type: ignore[attr-defined]
    return case


@cases(
    derivatives(lambda t, x, y: x + y, MATRIX, ROW),
    derivatives(lambda t, x, y: x - y, MATRIX, ROW),
    derivatives(lambda t, x, y: x * y, MATRIX, ROW),
    derivatives(lambda t, x, y: x / y, MATRIX, ROW),
    derivatives(lambda t, x, y: x**y, POSITIVE, ROW),
    derivatives(lambda t, x: x**3, MATRIX),
    derivatives(lambda t, x: x**2, MATRIX),
    derivatives(lambda t, x: x**-1, MATRIX),
    derivatives(lambda t, x: 1.0 / x, MATRIX),
    derivatives(lambda t, x: 2**x, MATRIX),
    derivatives(lambda t, x: x**0.5, POSITIVE),
    derivatives(lambda t, x, y: t.maximum(x, y) ** 3, MATRIX, OTHER),
    derivatives(lambda t, x, y: t.minimum(x, y) ** 3, MATRIX, OTHER),
    derivatives(lambda t, x, y: t.where(x > 0, x**3, x * y), MATRIX, OTHER),
    derivatives(lambda t, x: -(x**3), MATRIX),
    derivatives(lambda t, x: x.exp(), MATRIX),
    derivatives(lambda t, x: x.log(), POSITIVE),
    derivatives(lambda t, x: x.sqrt(), POSITIVE),
    derivatives(lambda t, x: x.tanh(), MATRIX),
    derivatives(lambda t, x: x.sigmoid(), MATRIX),
    derivatives(lambda t, x: x.relu() ** 3, MATRIX),
    derivatives(lambda t, x: x.abs() ** 3, MATRIX),
    derivatives(lambda t, x: x.clamp(-1, 1) ** 3, MATRIX),
)
def test_elementwise(case: Case) -> None:
    assert_same(case, ulps=32, scaled=True)


@cases(
    derivatives(lambda t, x: x.sum(0) ** 3, MATRIX),
    derivatives(lambda t, x: x.mean(1, keepdim=True) ** 3, MATRIX),
    derivatives(lambda t, x: x.var(1), MATRIX),
    derivatives(lambda t, x: x.std(0), MATRIX),
    derivatives(lambda t, x: x.prod(1), MATRIX),
    derivatives(lambda t, x: x.prod(), MATRIX),
    derivatives(lambda t, x: x.max() ** 3, MATRIX),
    derivatives(lambda t, x: x.max(1).values ** 3, MATRIX),
    derivatives(lambda t, x: x.amin(0) ** 3, MATRIX),
    derivatives(lambda t, x: x.cumsum(1) ** 3, MATRIX),
    derivatives(lambda t, x: x.logsumexp(1), MATRIX),
    derivatives(lambda t, x: x.softmax(1), MATRIX),
    derivatives(lambda t, x: x.log_softmax(0), MATRIX),
    derivatives(lambda t, x: x.norm(), MATRIX),
    derivatives(lambda t, x, y: x @ y.T @ x, MATRIX, OTHER),
    derivatives(lambda t, x, y: x @ y, MATRIX, ROW),
    derivatives(lambda t, x, y: (x @ y) ** 2, ROW, ROW),
    derivatives(lambda t, x, y: x @ y, np.stack([MATRIX, OTHER]), OTHER.T),
)
def test_reductions_and_products(case: Case) -> None:
    assert_same(case, ulps=64, scaled=True)


def batch_norm(t: Any, x: Any, weight: Any, bias: Any) -> Any:
    """torch 2.13's third derivative of batch_norm is not that of its formula: there the formula is judge."""
    if t is torch:
        return (x - x.mean(0)) / (x.var(0, correction=0) + 1e-5).sqrt() * weight + bias
    return t.nn.functional.batch_norm(x, None, None, weight, bias, training=True)


@cases(
    derivatives(lambda t, x: x.T.reshape(-1) ** 3, MATRIX),
    derivatives(lambda t, x: x.view(3, 2).permute(1, 0).flatten() ** 3, MATRIX),
    derivatives(lambda t, x: x.unsqueeze(0).expand(4, 2, 3).squeeze() ** 3, MATRIX),
    derivatives(lambda t, x, y: t.cat([x, y, x], 1) ** 3, MATRIX, OTHER),
    derivatives(lambda t, x, y: t.stack([x, y]) ** 3, MATRIX, OTHER),
    derivatives(lambda t, x: x.split(2, 1)[0] ** 3, MATRIX),
    derivatives(lambda t, x: x.unbind(1)[2] ** 3, MATRIX),
    derivatives(lambda t, x: x.tril() ** 3, MATRIX),
    derivatives(lambda t, x: x.triu(1) ** 3, MATRIX),
    derivatives(lambda t, x: x.diag() ** 3, MATRIX),
    derivatives(lambda t, x: x.diag() ** 3, ROW),
    derivatives(lambda t, x: x.flip(1) ** 3, MATRIX),
    derivatives(lambda t, x: x.masked_fill(x > 1, 0.0) ** 3, MATRIX),
    derivatives(lambda t, x: x.gather(1, t.tensor([[0, 0], [2, 1]])) ** 3, MATRIX),
    derivatives(lambda t, x: x.index_select(1, t.tensor([0, 0, 2])) ** 3, MATRIX),
    derivatives(lambda t, x, y: x.index_add(1, t.tensor([0, 0, 2]), y) ** 3, MATRIX, OTHER),
    derivatives(lambda t, x: t.nn.functional.cross_entropy(x, t.tensor([2, 0])), MATRIX),
    derivatives(lambda t, x: t.nn.functional.embedding(t.tensor([1, 1, 0]), x) ** 3, MATRIX),
    derivatives(lambda t, x, w, b: t.nn.functional.linear(x, w, b) ** 3, MATRIX, OTHER, np.array([1.0, 2.0])),
    derivatives(lambda t, x, w, b: batch_norm(t, x, w, b), TALL, ROW, ROW),
)
def test_shapes_indices_and_composites(case: Case) -> None:
    assert_same(case, ulps=64, scaled=True)


@cases(
    derivatives(lambda t, x: x.max() ** 2, TIED),
    derivatives(lambda t, x: x.amax(1) ** 2, TIED),
    derivatives(lambda t, x: x.max(1).values ** 2, TIED),
    derivatives(lambda t, x, y: t.maximum(x, y) ** 2, TIED, np.ones(3)),
    derivatives(lambda t, x: x.relu() ** 2, TIED),
    derivatives(lambda t, x: x.abs() ** 2, TIED),
    derivatives(lambda t, x: x.abs() * x, TIED),
    derivatives(lambda t, x: x.clamp(0, 1) ** 2, TIED),
    derivatives(lambda t, x: x**2, TIED),
    derivatives(lambda t, x: x**3, TIED),
    derivatives(lambda t, x: x**1, TIED),
    derivatives(lambda t, x: x**0, TIED),
    derivatives(lambda t, x: x * x, TIED),
    derivatives(lambda t, x: x.prod(), np.array([0.0, 2.0, 3.0])),
    derivatives(lambda t, x: x.prod(), np.array([0.0, 2.0, 0.0])),
    derivatives(lambda t, x: x.prod(1), TIED),
    derivatives(lambda t, x: x.tanh(), TIED),
    derivatives(lambda t, x: x.sigmoid(), TIED),
    derivatives(lambda t, x: x.softmax(1), TIED),
    derivatives(lambda t, x: x.var(1), TIED),
    derivatives(lambda t, x: t.where(x > 0, x**2, x**3), TIED),
)
def test_at_ties_kinks_and_zeros(case: Case) -> None:
    assert_same(case, ulps=64, scaled=True)


@pytest.mark.parametrize("base", [0.0, 2.0, -2.0])
@pytest.mark.parametrize("exponent", [0, 1, 2, 3, -1, -2, 0.5, 2.5])
def test_pow_by_a_number(base: float, exponent: float) -> None:
    """PyTorch's second derivatives at the singular points too; the third has no agreed value there."""

    def case(t: Any) -> Any:
        x = t.tensor(base, dtype=t.float64, requires_grad=True)
        (first,) = t.autograd.grad(x**exponent, x, create_graph=True)
        (second,) = t.autograd.grad(first + x * 0, x)
        return first.detach(), second

    assert_same(case)


@same
def test_create_graph_in_backward(t: Any) -> Any:
    """backward(create_graph=True) leaves a gradient that has a history; another backward goes through it."""
    x = t.tensor([1.0, 2.0], dtype=t.float64, requires_grad=True)
    (x**4).sum().backward(create_graph=True)
    first = x.grad
    x.grad = None
    (first**2).sum().backward()
    return first, first.requires_grad, x.grad


def test_gradient_penalty() -> None:
    def case(t: Any) -> Any:
        x = t.tensor(MATRIX, requires_grad=True)
        w = t.tensor(ROW / 4, requires_grad=True)
        (slope,) = t.autograd.grad((x @ w).tanh().sum(), x, create_graph=True)
        ((slope.pow(2).sum(1).sqrt() - 1) ** 2).mean().backward()
        return x.grad, w.grad

    assert_same(case, ulps=32, scaled=True)


@same
def test_second_derivative_with_respect_to_grad_outputs(t: Any) -> Any:
    x = t.tensor(ROW, requires_grad=True)
    v = t.ones_like(x).requires_grad_()
    (slope,) = t.autograd.grad(x.exp(), x, grad_outputs=v, create_graph=True)
    return t.autograd.grad((slope * x).sum(), [x, v])


@same
def test_no_create_graph_gives_a_constant(t: Any) -> Any:
    x = t.tensor(ROW, requires_grad=True)
    (slope,) = t.autograd.grad((x**3).sum(), x)
    (x**3).sum().backward()
    return slope, slope.is_leaf, slope.grad_fn is None, x.grad


@same
def test_the_gradient_of_no_uses_is_a_zero_without_a_sign(t: Any) -> Any:
    p = t.ones(1, 2, requires_grad=True)
    (t.zeros(0, 2) - p).sum().backward()
    return 1 / p.grad
