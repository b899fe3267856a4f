"""What a compiled function notices that was changed between its calls: modes, what requires a gradient, the
type of a number, layers that are in training."""

import copy
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
    with torch.autograd.detect_anomaly(), pytest.raises(RuntimeError, match="sqrt"):
        fast()
    assert (
        fast.explain()
        == "step is not recorded yet: call it outside of detect_anomaly() and of other recordings"
    )
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


@BACKENDS
def test_a_hook_that_is_added_and_removed(backend: str) -> None:
    a = torch.ones(2, requires_grad=True)

    def step() -> Any:
        a.grad = None
        (a * a).sum().backward()
        return a.detach().sum()

    fast = compile(step, backend=backend)
    fast()
    handle = a.register_hook(lambda gradient: gradient * 10)
    fast()
    close(a.grad, torch.full((2,), 20.0))
    handle.remove()
    fast()
    close(a.grad, torch.full((2,), 2.0))


@BACKENDS
def test_an_optimizer_whose_state_is_loaded_or_cleared(backend: str) -> None:
    def run(wrap: Any) -> list[Any]:
        torch.manual_seed(0)
        layer, x = nn.Linear(3, 2), torch.randn(4, 3)
        optimizer = torch.optim.Adam(layer.parameters(), lr=0.1)

        def step() -> Any:
            loss = layer(x).pow(2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss.detach()

        fast = wrap(step)
        losses = [fast(), fast()]
        kept = copy.deepcopy(optimizer.state_dict())
        losses += [fast(), fast()]
        optimizer.load_state_dict(kept)
        losses += [fast(), fast()]
        optimizer.param_groups[0]["lr"] = 0.01
        losses += [fast()]
        optimizer.state.clear()
        losses += [fast(), fast(), fast()]
        return [*losses, layer.weight, optimizer.state[layer.weight]["step"]]

    for mine, eager in zip(
        run(lambda step: compile(step, backend=backend)), run(lambda step: step), strict=True
    ):
        close(mine.detach(), eager.detach())


CHANGES = {
    "a layer replaced": lambda model: setattr(model, "0", nn.Linear(3, 4)),
    "a parameter replaced": lambda model: setattr(model[0], "weight", nn.Parameter(torch.ones(4, 3))),
    "a layer appended": lambda model: model.append(nn.Tanh()),
    "momentum": lambda model: setattr(model[1], "momentum", 0.9),
    "eps": lambda model: setattr(model[1], "eps", 0.5),
    "a buffer replaced": lambda model: setattr(model[1], "running_mean", torch.full((4,), 2.0)),
    "a hook": lambda model: model[0].register_forward_hook(lambda module, inputs, output: output * 2),
    "an inner layer's mode": lambda model: model[2][0].eval(),
}


@pytest.mark.parametrize("change", CHANGES)
@BACKENDS
def test_what_a_module_is_made_of(change: str, backend: str) -> None:
    def run(wrap: Any) -> list[Any]:
        torch.manual_seed(0)
        norm = nn.Sequential(nn.BatchNorm1d(4))
        model, x = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), norm), torch.randn(6, 3)

        def step() -> Any:
            with torch.no_grad():
                return model(x) * 1

        fast = wrap(step)
        results = [fast(), fast()]
        CHANGES[change](model)
        return [*results, fast(), fast(), *(each.clone() for each in model.state_dict().values())]

    for mine, eager in zip(
        run(lambda step: compile(step, backend=backend)), run(lambda step: step), strict=True
    ):
        close(mine.detach(), eager.detach())
