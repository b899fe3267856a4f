"""What a compiled function notices that was changed between its calls: modes, what requires a gradient, the
type of a number, layers that are in training."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from compiled_steps import close

import tinygrad_ninja as torch
from tinygrad_ninja import nn
from tinygrad_ninja.program.compile import compile

BACKENDS = pytest.mark.parametrize("backend", ["c", "numpy"])
pytestmark = pytest.mark.filterwarnings("ignore:.*is recorded again")


@pytest.fixture
def default_dtype() -> Iterator[None]:
    before = torch.get_default_dtype()
    yield
    torch.set_default_dtype(before)


@BACKENDS
def test_what_requires_a_gradient(backend: str) -> None:
    a, b = (torch.ones(2, requires_grad=True) for _ in range(2))

    def step() -> Any:
        a.grad = b.grad = None
        loss = (a * b).sum()
        loss.backward()
        return loss.detach()

    fast = compile(step, fullgraph=True, backend=backend)
    fast()
    b.requires_grad_(False)
    fast()
    assert b.grad is None
    close(a.grad, torch.ones(2))
    b.requires_grad_()
    fast()
    close(b.grad, torch.ones(2))


@BACKENDS
def test_the_default_dtype(backend: str, default_dtype: None) -> None:
    x = torch.tensor([1, 2])
    fast = compile(lambda: x / 2, fullgraph=True, backend=backend)
    for dtype in (torch.float32, torch.float64, torch.float32):
        torch.set_default_dtype(dtype)
        assert fast().dtype is dtype


def test_the_grad_mode() -> None:
    w = torch.ones(2, requires_grad=True)

    def step() -> Any:
        return [(w * 2).requires_grad, torch.tensor(float((w * 2).requires_grad))][1]

    fast = compile(step)
    assert fast().item() == 1
    with torch.no_grad():
        assert fast().item() == 0
    assert fast().item() == 1


@pytest.mark.filterwarnings("ignore:.*runs as eager code")
def test_autocast() -> None:
    y = torch.randn(4, 4)
    fast = compile(lambda: y @ y)
    assert fast().dtype is torch.float32
    with torch.autocast("cpu", dtype=torch.float16):
        assert fast().dtype is torch.float16
    assert fast().dtype is torch.float32


def test_anomalies_are_detected() -> None:
    """Within `detect_anomaly` eager code runs, which looks at every number."""
    x = torch.ones(2, requires_grad=True)

    def step() -> Any:
        x.grad = None
        loss = (x - 1).sqrt().sum()
        loss.backward()
        return loss.detach()

    fast = compile(step, fullgraph=True)
    assert fast().item() == 0
    with torch.autograd.detect_anomaly(), pytest.raises(RuntimeError, match="sqrt"):
        fast()


@pytest.mark.parametrize(("before", "after"), [(2, 2.0), (2.0, 2), (1, True), (0.0, -0.0), (-0.0, 0.0)])
def test_the_type_of_a_number(before: Any, after: Any) -> None:
    k, x = before, torch.tensor([1, 2])

    def step() -> Any:
        return 1 / (x * k).to(torch.float32), x * k

    def agree() -> None:
        for mine, eager in zip(fast(), step(), strict=True):
            assert mine.dtype is eager.dtype
            np.testing.assert_array_equal(mine.numpy(), eager.numpy())

    fast = compile(step)
    agree()
    k = after
    agree()


@BACKENDS
def test_one_layer_that_is_not_in_training(backend: str) -> None:
    model, x = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5)), torch.randn(6, 3)

    def step() -> Any:
        with torch.no_grad():
            return model(x)

    fast = compile(step, fullgraph=True, backend=backend)
    fast()
    model[1].eval()
    model[2].eval()
    close(fast(), step())
    model[2].train()
    assert (fast() == 0).any()
