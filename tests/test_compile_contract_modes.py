"""The engine's modes around and inside of compiled functions."""

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from contract import attempt, compiled, same

import tinygrad_ninja as torch
from tinygrad_ninja.nn import functional as F

X = torch.tensor([[1.0, -2.0, 0.5], [3.0, 0.25, -1.0]])


def step_of(w: Any) -> Callable[[Any], Any]:
    def step(x: Any) -> Any:
        loss = ((w * x) ** 2).sum()
        if loss.requires_grad:
            w.grad = None
            loss.backward()
        return loss.detach(), loss.requires_grad

    return step


# -- grad mode -----------------------------------------------------------------------------------------------


@compiled
def test_no_grad_around_some_calls(C: Any) -> Any:
    w = torch.ones(3, requires_grad=True)
    step = C(step_of(w))
    for without in (False, True, False, True, False):
        w.grad = None
        with torch.no_grad() if without else contextlib.nullcontext():
            yield step(X), w


@same
def test_grad_mode_is_asked_for(C: Any) -> Any:
    f = C(lambda x: x * 2 if torch.is_grad_enabled() else x * 3)
    for on in (True, False, True, False, True):
        with torch.set_grad_enabled(on):
            yield f(X)


@same
def test_grad_mode_is_set_inside(C: Any) -> Any:
    w = torch.ones(3, requires_grad=True)

    def step(x: Any, on: bool) -> Any:
        with torch.set_grad_enabled(on):
            loss = ((w * x) ** 2).sum()
        w.grad = None
        if on:
            loss.backward()
        return loss.detach()

    step = C(step)
    for on in (True, False, False, True, False):
        yield step(X, on), w


@same
def test_grad_mode_is_left_changed(C: Any) -> Any:
    def f(x: Any) -> Any:
        torch.set_grad_enabled(False)
        return x * 2

    f = C(f)
    for _ in range(5):
        torch.set_grad_enabled(True)
        yield f(X), torch.is_grad_enabled()
    torch.set_grad_enabled(True)


@same
def test_decorated_with_no_grad(C: Any) -> Any:
    w = torch.ones(3, requires_grad=True)

    @C
    @torch.no_grad()
    def f(x: Any) -> Any:
        w.mul_(2.0)
        return w * x

    @torch.no_grad()
    @C
    def g(x: Any) -> Any:
        w.add_(1.0)
        return w * x

    for k in range(5):
        yield f(X * k), g(X * k), w


@same
def test_enable_grad_inside_no_grad(C: Any) -> Any:
    w = torch.ones(3, requires_grad=True)

    def f(x: Any) -> Any:
        with torch.enable_grad():
            loss = (w * x).sum()
        loss.backward()
        return loss.detach()

    f = C(f)
    for k in range(5):
        with torch.no_grad() if k % 2 else contextlib.nullcontext():
            yield f(X), w


@compiled
def test_a_history_that_is_recorded_inside_no_grad(C: Any) -> Any:
    w = torch.ones(3, requires_grad=True)

    def f(x: Any) -> Any:
        with torch.enable_grad():
            recorded = (w * x).sum()
        return recorded, w * x

    f = C(f)
    for k in range(6):
        with torch.no_grad() if k % 3 else contextlib.nullcontext():
            recorded, other = f(X * k)
        recorded.backward()
        yield recorded.requires_grad, other.requires_grad, recorded, w.grad


@pytest.mark.parametrize("begin", [True, False])
@same
def test_requires_grad_both_ways(C: Any, begin: bool) -> Any:
    w, v = torch.ones(3).requires_grad_(begin), torch.ones(3, requires_grad=True)

    def step(x: Any) -> Any:
        w.grad = v.grad = None
        loss = (w * x * v).sum()
        loss.backward()
        return loss.detach(), w.requires_grad

    step = C(step)
    for needs in (begin, not begin, begin, not begin, not begin):
        w.requires_grad_(needs)
        yield step(X), w, v
    v.requires_grad_(False)
    w.requires_grad_(True)
    yield step(X), w, v
    w.requires_grad = False
    yield attempt(step, X)


@same
def test_a_buffer_gets_a_history(C: Any) -> Any:
    p, b = torch.ones(2, requires_grad=True), torch.zeros(2)

    def f() -> Any:
        b.sub_(p)
        loss = b.sum()
        p.grad = None
        loss.backward()
        return loss.detach()

    f = C(f)
    for _ in range(4):
        yield attempt(f), p, b.requires_grad


@same
def test_a_loss_whose_backward_is_the_callers(C: Any) -> Any:
    w = torch.ones(3, requires_grad=True)
    f = C(lambda x: (w * x).sum())
    for k in range(5):
        loss = f(X * k)
        yield loss.detach()
        if loss.requires_grad:
            loss.backward()
        w.grad = None


@same
def test_a_graph_that_is_kept_over_calls(C: Any) -> Any:
    w = torch.ones(3, requires_grad=True)
    kept = {}

    def f(x: Any) -> Any:
        if "loss" in kept:
            kept.pop("loss").backward()
        kept["loss"] = (w * x).sum()
        return kept["loss"].detach()

    f = C(f)
    for k in range(6):
        yield f(X * k), w


@same
def test_second_derivatives(C: Any) -> Any:
    w = torch.ones(3, requires_grad=True)

    def f(x: Any) -> Any:
        (g,) = torch.autograd.grad(((w * x) ** 3).sum(), w, create_graph=True)
        w.grad = None
        (g * g).sum().backward()
        return g.detach()

    f = C(f)
    for k in range(5):
        yield f(X * k), w


@same
def test_a_retained_gradient(C: Any) -> Any:
    w = torch.ones(3, requires_grad=True)

    def f(x: Any) -> Any:
        h = (w * x).tanh()
        h.retain_grad()
        h.sum().backward()
        return h.grad * 1

    f = C(f)
    for k in range(5):
        yield f(X * k), w


# -- inference mode ------------------------------------------------------------------------------------------


def in_mode(inference: bool) -> Any:
    return torch.inference_mode() if inference else torch.no_grad()


@compiled
def test_inference_mode_around_some_calls(C: Any) -> Any:
    w = torch.ones(3)
    f = C(lambda x: (w.add_(x.sum(0)) * x, torch.is_inference_mode_enabled(), torch.zeros(2) + 1))
    for inference in (False, True, True, False, False, True):
        with in_mode(inference):
            result = f(X)
        yield result, w, attempt(result[0].add_, 1.0)


@compiled
def test_decorated_with_inference_mode(C: Any) -> Any:
    w = torch.ones(3)
    f = C(torch.inference_mode()(lambda x: (w * x).T))
    for _ in range(3):
        yield f(X), attempt(f(X).add_, 1.0)


@compiled
def test_inference_tensors_among_the_arguments(C: Any) -> Any:
    w = torch.ones(3, requires_grad=True)
    with torch.inference_mode():
        inferred = X * 2

    def step(x: Any) -> Any:
        w.grad = None
        (w * x).sum().backward()
        return w.grad.clone()

    change, step, use = C(lambda x: x.add_(1) * 2), C(step), C(lambda x: x * 3)
    for x in (X.clone(), inferred, X * 3, inferred):
        yield attempt(change, x), attempt(step, x), use(x), w


@compiled
def test_an_inference_tensor_takes_a_place(C: Any) -> Any:
    w = torch.zeros(2, 3)
    with torch.inference_mode():
        inferred = X * 2
    f = C(lambda x: w.add_(x) * 2)
    for data in (torch.zeros(2, 3), torch.ones(2, 3), inferred, inferred, torch.ones(2, 3)):
        w.data = data
        yield attempt(f, X), w


# -- dtypes --------------------------------------------------------------------------------------------------


@same
def test_the_default_dtype(C: Any) -> Any:
    i = torch.tensor([1, 2])
    f = C(lambda: (i / 2, torch.ones(2), torch.tensor(0.5), i * 0.5, torch.rand(2), torch.arange(2.0)))
    for dtype in (torch.float32, torch.float64, torch.float64, torch.float32, torch.float64):
        torch.set_default_dtype(dtype)
        yield f()


@same
def test_the_default_dtype_is_set_inside(C: Any) -> Any:
    def f(x: Any) -> Any:
        torch.set_default_dtype(torch.float64)
        return x.sum() + torch.ones(1)

    f = C(f)
    for _ in range(5):
        torch.set_default_dtype(torch.float32)
        yield f(X), torch.get_default_dtype()


@same
def test_autocast_around_some_calls(C: Any) -> Any:
    y = torch.tensor([[1.0, 2.0], [0.5, -1.0]])
    f = C(lambda: ((y @ y).float(), str((y @ y).dtype), F.softmax(y, 1)))
    for on in (False, True, True, False, True):
        with torch.autocast("cpu", dtype=torch.float16, enabled=on):
            yield f()


@same
def test_autocast_inside(C: Any) -> Any:
    w = torch.ones(3, 2, requires_grad=True)

    def f(x: Any, on: bool) -> Any:
        with torch.autocast("cpu", dtype=torch.float16, enabled=on):
            loss = (x @ w).float().pow(2).mean()
        w.grad = None
        loss.backward()
        return loss.detach()

    f = C(f)
    for on in (True, False, True, True, False):
        yield f(X, on), w


@same
def test_anomaly_detection_around_some_calls(C: Any) -> Any:
    w = torch.zeros(3, requires_grad=True)

    def f(x: Any) -> Any:
        loss = (w * x).abs().sqrt().sum() * 0
        w.grad = None
        loss.backward()
        return loss.detach()

    f = C(f)
    for on in (False, True, False, True, False):
        with torch.autograd.set_detect_anomaly(on):
            result = attempt(f, X)
            yield result[:2] if isinstance(result, tuple) else result
    yield w


@same
def test_deterministic_algorithms(C: Any) -> Any:
    f = C(lambda x: (x * 2, torch.are_deterministic_algorithms_enabled()))
    try:
        for on in (False, True, False, True, True):
            torch.use_deterministic_algorithms(on)
            yield f(X)
    finally:
        torch.use_deterministic_algorithms(False)


@same
def test_numpys_error_state(C: Any) -> Any:
    f = C(lambda x: (x / 0, (x - 3).log(), x.exp() * 1e38))
    for how in ("ignore", "raise", "warn", "ignore", "raise"):
        with np.errstate(all=how):
            yield attempt(f, X)
