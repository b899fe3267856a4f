"""What PyTorch warns of is warned of here, in other words: each case is run in both."""

import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

import tinygrad_ninja


@pytest.fixture(autouse=True)
def every_time() -> Iterator[None]:
    """PyTorch warns of most only once in a process, unless told otherwise."""
    before = torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    yield
    torch.set_warn_always(before)


def warned(case: Callable[[Any, Any], Any], t: Any) -> int:
    """How many warnings the case gives."""
    x = t.tensor([2.0, 3.0], requires_grad=True)
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        case(t, x)
    told = [warning for warning in given if warning.category is UserWarning]  # and not NumPy's, of a division
    if t is tinygrad_ninja:
        assert {warning.filename for warning in told} <= {__file__}
    return len(told)


@pytest.mark.parametrize(
    ("case", "count"),
    [
        (lambda t, x: float(x[0]), 1),
        (lambda t, x: float(x.sum()), 1),
        (lambda t, x: math.exp(x[0]), 1),
        (lambda t, x: float(x[0].detach()), 0),
        (lambda t, x: (x[0].item(), int(x[0]), bool(x[0]), x.tolist()), 0),
        (lambda t, x: float(t.tensor(2.0)), 0),
        (lambda t, x: x[:1].std(), 1),
        (lambda t, x: x.view(2, 1).var(1), 1),
        (lambda t, x: x.var(correction=2), 1),
        (lambda t, x: x.view(1, 2).std(0, keepdim=True), 1),
        (lambda t, x: t.tensor([]).std(), 1),
        (lambda t, x: (x.std(), x.var(correction=1), x[:1].var(unbiased=False)), 0),
        (lambda t, x: (x * x).sum().backward(create_graph=True), 1),
        (lambda t, x: t.autograd.backward((x * x).sum(), create_graph=True), 1),
        (lambda t, x: (x * x).sum().backward(retain_graph=True), 0),
        (lambda t, x: t.autograd.grad((x * x).sum(), x, create_graph=True), 0),
        (lambda t, x: (x * 2).grad, 1),
        (lambda t, x: x.grad, 0),
    ],
)
def test_it_warns_where_pytorch_does(case: Callable[[Any, Any], Any], count: int) -> None:
    assert warned(case, tinygrad_ninja) == warned(case, torch) == count
