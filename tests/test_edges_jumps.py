"""Functions that jump, are bounded, or give zeros: values, gradients and the signs of zeros are PyTorch's."""

import itertools
from typing import Any

import pytest
from both import Case, assert_same, attempt, cases, gradients

INF, NAN = float("inf"), float("nan")
BOUNDED = list(zip(*itertools.product([0.0, 1.0, -1.0, INF, -INF, NAN], repeat=3), strict=True))


@cases(
    gradients(lambda t, x, low, high: x.clamp(low, high), *BOUNDED),
    gradients(lambda t, x, low, high: (x * 1).clamp_(low, high), *BOUNDED),
    gradients(lambda t, x, low, high: x.clip(low, t.maximum(low, high)) ** 2, *BOUNDED),
    gradients(lambda t, x, low: x.clamp(min=low), *BOUNDED[:2]),
    gradients(lambda t, x, high: x.clamp(max=high), *BOUNDED[:2]),
    gradients(lambda t, x, low: x.clamp_min(low), *BOUNDED[:2]),
    gradients(lambda t, x, high: x.clamp_max(high), *BOUNDED[:2]),
    gradients(lambda t, x, low, high: x.clamp(low, high), [[1.0, 2.0, 3.0]], [1.5], [2.0, 2.0, 1.0]),
    gradients(lambda t, x, low: x.clamp(low), [[1.0, 2.0, 3.0]], [[2.0], [1.0]]),
    gradients(lambda t, x: x.clamp(NAN), [1.0, NAN]),
    gradients(lambda t, x: x.clamp(0.5, NAN), [0.0, 1.0, NAN]),
    gradients(lambda t, x: x.clamp(NAN, 0.5), [0.0, 1.0, NAN]),
    gradients(lambda t, x: x.clamp(t.tensor([0, 1]), t.tensor([1.5], dtype=t.float64)), [-1.0, 2.0]),
    lambda t: [
        t.tensor([5, -5]).clamp(t.tensor(0.5)),
        t.tensor([5, -5]).clamp(t.tensor(0), t.tensor([2, 1])),
    ],
    lambda t: [attempt(t.ones(2).clamp, t.ones(2), 1), attempt(t.ones(2).clamp, 0.0, t.ones(2))],
)
def test_bounds_that_are_tensors(case: Case) -> None:
    assert_same(case)


STEEP = list(itertools.product([0.0, -0.0, 1.0, -1.0, 2.5, -2.5, INF, -INF, NAN], repeat=2))


@cases(
    gradients(lambda t, x, y: t.div(x, y, rounding_mode="trunc"), *zip(*STEEP, strict=True)),
    gradients(lambda t, x, y: t.div(x, y, rounding_mode="floor"), *zip(*STEEP, strict=True)),
    gradients(lambda t, x, y: x * t.div(x, y, rounding_mode="trunc"), *zip(*STEEP, strict=True)),
    gradients(lambda t, x, y: x % y, *zip(*STEEP, strict=True)),
    gradients(lambda t, x, y: t.fmod(x, y), *zip(*STEEP, strict=True)),
    gradients(lambda t, x, y: (x * 1).div_(y, rounding_mode="trunc"), *zip(*STEEP, strict=True)),
    gradients(lambda t, x: t.div(2, x, rounding_mode="trunc"), [0.0, -0.0, 0.3, INF, NAN]),
    gradients(lambda t, x: t.div(x, 0, rounding_mode="trunc"), [0.0, -0.0, 0.3, INF, NAN]),
    gradients(lambda t, x: x % 0, [0.0, 0.3, INF, NAN]),
    gradients(lambda t, x: t.fmod(x, INF), [0.0, -0.0, 0.3, INF, NAN]),
    gradients(lambda t, x: x.floor() + x.ceil() + x.trunc() + x.round() + x.sign(), [0.0, INF, -INF, NAN]),
    gradients(lambda t, x: x.frac() + x.round(decimals=1), [0.0, -0.0, 1.5, INF, -INF, NAN]),
)
def test_rounded_quotients_and_remainders(case: Case) -> None:
    assert_same(case, signed_zeros=True)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@cases(
    lambda t, x: [x.relu(), t.nn.functional.relu6(x), t.nn.functional.elu(x), t.nn.functional.selu(x)],
    lambda t, x: [x.clamp(0, 1), x.clamp(-1, 0), x.clamp(min=-0.0), x.clamp(max=0.0)],
    lambda t, x: [x % 2, x % -2, -4 % (x + 8), x % t.full_like(x, -2), x.clone().remainder_(2)],
    lambda t, x: [x.clone().__imod__(t.full_like(x, 2)), t.fmod(x, 2), x // 3],
    lambda t, x: [x.cumsum(0), x.reshape(6, 7).cumsum(0), x.reshape(6, 7).cumsum(1), x.sum(), x.mean()],
    lambda t, x: [t.div(x, 3, rounding_mode="trunc"), x.frac(), x.trunc(), x.floor(), x.round()],
)
def test_the_sign_of_zero(case: Any, dtype: str) -> None:
    values = [-0.0, 0.0, -4.0, 4.0, -1.0, 0.5] * 7  # as many as whole vectors hold, and some more
    assert_same(lambda t: case(t, t.tensor(values, dtype=getattr(t, dtype))), signed_zeros=True)


def sent_back(function: Any, gradient: float) -> Case:
    """The case that returns the gradient for one that is the same number everywhere."""

    def case(t: Any) -> Any:
        x = t.tensor([[1.0, 2.0], [3.0, 0.0], [-1.0, -0.0]], requires_grad=True)
        out = function(t, x)
        out.backward(t.full(out.shape, gradient))
        return x.grad

    return case


@pytest.mark.parametrize("gradient", [0.0, -0.0, 1.0, INF, NAN])
@pytest.mark.parametrize(
    "function",
    [
        lambda t, x: x.max(),
        lambda t, x: x.min(),
        lambda t, x: x.amax(1),
        lambda t, x: x.cumsum(1),
        lambda t, x: x.frac(),
        lambda t, x: x.clamp(0, 1),
        lambda t, x: x.clamp(t.zeros(2), t.ones(2)),
        lambda t, x: x.clamp(max=t.zeros(2)),
        lambda t, x: t.xlogy(x, t.tensor([-1.0, 2.0])),
        lambda t, x: t.div(x, 0, rounding_mode="trunc"),
    ],
)
def test_what_stops_a_gradient(function: Any, gradient: float) -> None:
    """Where nothing is to go, 0 goes, with the sign that PyTorch's has, also of a NaN and an infinity."""
    assert_same(sent_back(function, gradient), signed_zeros=True)


@pytest.mark.parametrize("zero", [0.0, -0.0])
@pytest.mark.parametrize(
    "function",
    [
        lambda t, x: x.index_select(0, t.tensor([0, 2])),
        lambda t, x: x.index_select(0, t.tensor([0, 0])),
        lambda t, x: x.gather(1, t.tensor([[0], [1], [0]])),
        lambda t, x: x.gather(0, t.tensor([[0, 1], [0, 2]])),
        lambda t, x: x.take_along_dim(t.tensor([[0], [1], [0]]), 1),
        lambda t, x: x[t.tensor([0, 1])],
        lambda t, x: t.nn.functional.embedding(t.tensor([0, 1]), x),
        lambda t, x: t.cdist(x, x.detach()),
        lambda t, x: t.cdist(x, x.detach(), p=1),
        lambda t, x: t.cdist(x, x.detach(), p=INF),
    ],
)
def test_the_sign_of_zero_in_a_gradient(function: Any, zero: float) -> None:
    assert_same(sent_back(function, zero), signed_zeros=True)


@pytest.mark.parametrize(
    "function",
    [
        lambda t, x, low, high: x.clamp(low, high),
        lambda t, x, low, high: x.clamp(low) + x.clamp(max=high),
        lambda t, x, low, high: x.floor() * low + x.trunc() * high,
        lambda t, x, low, high: t.fmod(x, low + 2) + t.div(x, high + 2, rounding_mode="trunc"),
    ],
)
@pytest.mark.parametrize("numbers", [*itertools.product([0.5, -0.0, INF, NAN], [0.0, 1.0], [1.0, -1.0])])
def test_python_floats(function: Any, numbers: tuple[float, ...]) -> None:
    def case(t: Any) -> Any:
        device = {} if t.__name__ == "torch" else {"device": "float"}
        leaves = [t.tensor(x, dtype=t.float64, requires_grad=True, **device) for x in numbers]
        out = function(t, *leaves)
        return out.tolist(), [gradient.tolist() for gradient in t.autograd.grad(out, leaves)]

    assert_same(case)
