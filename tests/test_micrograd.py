"""Networks of Values beside micrograd's own, which are the same network where the seed is the same."""

import random
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import micrograd.engine
import micrograd.nn
import pytest
import torch

from tinygrad_ninja import Value, no_grad
from tinygrad_ninja.micrograd import MLP, Layer, Neuron

DEMO = Path(__file__).parents[1] / "examples" / "micrograd_demo.py"
POINTS = [[2.0, 3.0, -1.0], [3.0, -1.0, 0.5], [0.5, 1.0, 1.0], [1.0, 1.0, -1.0]]
TARGETS = [1.0, -1.0, -1.0, 1.0]


def network(mlp: Any) -> Any:
    random.seed(1337)
    return mlp(3, [4, 4, 1])


def trained(model: Any, value: type, steps: int = 5) -> list[float]:
    """Losses of some steps, and all parameters and their gradients after them."""
    losses = []
    for _ in range(steps):
        scores = [model([value(each) for each in point]) for point in POINTS]
        loss = sum((score - target) ** 2 for score, target in zip(scores, TARGETS, strict=True))
        model.zero_grad()
        loss.backward()
        for p in model.parameters():
            p.data -= 0.01 * p.grad
        losses.append(loss.data)
    return [*losses, *(number for p in model.parameters() for number in (p.data, p.grad))]


def test_the_network_is_micrograds() -> None:
    ours, theirs = network(MLP), network(micrograd.nn.MLP)
    assert repr(ours) == repr(theirs)
    assert [p.data for p in ours.parameters()] == [p.data for p in theirs.parameters()]
    expected = trained(theirs, micrograd.engine.Value)
    assert trained(ours, Value) == pytest.approx(expected, rel=1e-12)


def test_micrograds_own_network_runs_on_our_values(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = trained(network(micrograd.nn.MLP), micrograd.engine.Value)
    monkeypatch.setattr(micrograd.nn, "Value", Value)
    model = network(micrograd.nn.MLP)
    assert all(type(p) is Value for p in model.parameters())
    assert trained(model, Value) == pytest.approx(expected, rel=1e-12)


def test_neurons_and_layers() -> None:
    random.seed(1)
    neuron = Neuron(2, nonlin=False)
    w1, w2, b = neuron.parameters()
    b.data = 0.25
    assert neuron([2.0, Value(3.0)]).data == pytest.approx(2 * w1.data + 3 * w2.data + 0.25, rel=1e-15)
    assert repr(neuron) == "LinearNeuron(2)"
    assert type(Layer(2, 1)([1.0, 2.0])) is Value
    assert [type(each) for each in Layer(2, 3)([1.0, 2.0])] == [Value, Value, Value]
    assert type(MLP(2, [1, 1, 2])([1.0, 2.0])) is list  # micrograd's fails after a layer of one neuron


def test_too_many_or_too_few_inputs_are_told() -> None:
    with pytest.raises(ValueError, match="a neuron of 3 inputs was given 2"):
        network(MLP)([1.0, 2.0])


def test_two_threads_train_as_two_runs_in_a_row() -> None:
    random.seed(0)
    seeds = [random.random() for _ in range(2)]
    models = []
    for seed in [*seeds, *seeds]:
        random.seed(seed)
        models.append(MLP(3, [8, 1]))
    expected = [trained(model, Value, 40) for model in models[:2]]
    found: dict[int, list[float]] = {}
    threads = [
        threading.Thread(target=lambda i=i, model=model: found.update({i: trained(model, Value, 40)}))
        for i, model in enumerate(models[2:])
    ]
    with no_grad():  # of this thread alone
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [found[0], found[1]] == expected
    assert expected[0] != expected[1]


def demo(steps: int, script: Path = DEMO) -> dict[int, tuple[float, float]]:
    """The loss and the accuracy that the demo prints for each step."""
    result = subprocess.run(
        [sys.executable, script, "--steps", str(steps)], capture_output=True, check=True, encoding="utf-8"
    )
    lines = re.findall(r"^step (\d+) loss (\S+), accuracy (\d+)%$", result.stdout, re.MULTILINE)
    return {int(step): (float(loss), int(percent) / 100) for step, loss, percent in lines}


def test_the_demo_begins_with_micrograds_losses() -> None:
    printed = demo(2)
    assert printed[0] == (pytest.approx(0.8958441028683222, rel=1e-14), 0.5)
    assert printed[1][0] == pytest.approx(1.7235905336972022, rel=1e-14)


@pytest.mark.slow
def test_the_demo_runs_on_micrograd_with_its_import_changed(tmp_path: Path) -> None:
    ours = "from tinygrad_ninja.micrograd import MLP, Value"
    theirs = "from micrograd.engine import Value\nfrom micrograd.nn import MLP"
    text = DEMO.read_text(encoding="utf-8")
    assert text.count(ours) == 1
    changed = tmp_path / "demo.py"
    changed.write_text(text.replace(ours, theirs), encoding="utf-8")
    expected = demo(2, changed)
    for step, found in demo(2).items():
        assert found == pytest.approx(expected[step], rel=1e-14)


@pytest.mark.slow
def test_the_demo_ends_with_micrograds_loss() -> None:
    assert demo(100)[99] == (pytest.approx(0.010978370135492717, rel=1e-12), 1.0)


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh"])
def test_a_network_has_the_activation_that_it_is_given(activation: str) -> None:
    net = MLP(2, [3, 2], activation=activation)
    x, y = net([0.5, -1.0])
    (x * y).backward()
    weights = torch.tensor([each.data for each in net.parameters()], dtype=torch.float64, requires_grad=True)
    first, second = weights[:9].view(3, 3), weights[9:].view(2, 4)
    hidden = getattr(torch, activation)(first[:, :2] @ torch.tensor([0.5, -1.0]).double() + first[:, 2])
    (second[:, :3] @ hidden + second[:, 3]).prod().backward()
    assert weights.grad is not None
    assert [each.grad for each in net.parameters()] == pytest.approx(weights.grad.tolist(), rel=1e-12)
    assert repr(net.layers[0]).lower().startswith(f"layer of [{activation}neuron(2)")
    with pytest.raises(ValueError, match="activation is one of relu, sigmoid, tanh, not 'swish'"):
        MLP(2, [1], activation="swish")
