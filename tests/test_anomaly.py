"""`detect_anomaly`: which operation made a NaN or an infinity, and which line called it."""

from __future__ import annotations

import threading
from typing import Any

import pytest

import tinygrad_ninja as ninja
from tinygrad_ninja import nn
from tinygrad_ninja.autograd import detect_anomaly, is_anomaly_enabled, set_detect_anomaly

pytestmark = pytest.mark.parametrize("device", ["cpu", "torch"])


def leaf(numbers: Any, device: str) -> ninja.Tensor:
    return ninja.tensor(numbers, device=device, requires_grad=True)


def test_forward(device: str) -> None:
    x = leaf([1.0, 0.0, 2.0], device)
    with detect_anomaly(), pytest.raises(RuntimeError) as told:
        x.log().sum()  # the line
    message = str(told.value)
    assert message.startswith("log made an infinity at ")
    assert __file__ in message
    assert "in test_forward: x.log().sum()  # the line" in message
    with detect_anomaly(), pytest.raises(RuntimeError, match=r"^sqrt made NaN at"):
        (x - 1).sqrt()


def test_backward_names_the_line_of_the_forward_pass(device: str) -> None:
    x = leaf([4.0, 0.0], device)
    with detect_anomaly():
        y = x.sqrt()  # its slope at 0 is infinite
        loss = y.sum()
        with pytest.raises(RuntimeError) as told:
            loss.backward()
    assert "the backward of sqrt made an infinity in the gradient of its input 1" in str(told.value)
    assert "y = x.sqrt()  # its slope at 0 is infinite" in str(told.value)


@pytest.mark.filterwarnings("ignore:create_graph keeps")
def test_a_backward_that_is_recorded_is_checked_too(device: str) -> None:
    x = leaf([4.0, 0.0], device)
    with detect_anomaly():
        loss = x.sqrt().sum()
        with pytest.raises(RuntimeError, match="an infinity"):
            loss.backward(create_graph=True)


def test_the_line_is_the_caller_s_and_not_the_engine_s(device: str) -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Softmax(1)).to(device)
    with ninja.no_grad():
        next(model.parameters()).fill_(3e38)
    x = ninja.ones(4, 2, device=device)
    with detect_anomaly(), pytest.raises(RuntimeError, match=r"made an infinity at .*: model\(x\)"):
        model(x)


def test_what_was_infinite_already_is_no_news(device: str) -> None:
    scores = leaf([[1.0, 2.0], [3.0, 4.0]], device)
    mask = ninja.ones(2, 2, device=device).triu(1).bool()
    with detect_anomaly():  # as attention masks its scores
        loss = scores.masked_fill(mask, float("-inf")).softmax(1).sum()
        loss.backward()
    assert scores.grad is not None


def test_a_nan_that_is_brought_in_is_told_where_it_comes_in(device: str) -> None:
    weight, data = leaf([1.0, 2.0], device), ninja.tensor([1.0, -1.0], device=device).log()
    with detect_anomaly(), pytest.raises(RuntimeError, match=r"^mul passed on a NaN .*: weight \* data$"):
        weight * data
    loss = (weight * data).sum()
    with detect_anomaly(), pytest.raises(RuntimeError, match=r"^the backward of mul passed on a NaN"):
        loss.backward()


def test_lines_without_checks(device: str) -> None:
    x = leaf([0.0], device)
    with detect_anomaly(check_nan=False):
        y = x.log()
        y.sum().backward(retain_graph=True)
    assert y.grad_fn is not None
    lines = y.grad_fn.metadata["traceback_"]
    assert lines[-1].line == "y = x.log()"
    assert lines[-1].name == "test_lines_without_checks"
    assert x.log().grad_fn.metadata == {}


def test_modes_nest_and_belong_to_a_thread(device: str) -> None:
    seen = []
    with detect_anomaly():
        with set_detect_anomaly(False):
            assert not is_anomaly_enabled()
        assert is_anomaly_enabled()
        other = threading.Thread(target=lambda: seen.append(is_anomaly_enabled()))
        other.start()
        other.join()
    assert seen == [False]
    assert not is_anomaly_enabled()
