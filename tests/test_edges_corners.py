"""Corners of single functions: sequences of numbers, tensors of no dimension or no element, refusals."""

import copy
from typing import Any

import numpy as np
import pytest
from both import Case, assert_same, assert_same_error, attempt, cases, gradients


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_a_range_has_torchs_bits(dtype: str) -> None:
    """PyTorch adds to a rounded number as many steps as a vector holds, and rounds each sum once."""
    draw = np.random.default_rng(0)
    bounds = []
    for start, step in [(0, 0.001), (0, 0.1), (1, 0.3), (-3.3, 0.1), *draw.normal(size=(40, 2)).tolist()]:
        bounds += [(start, start + step * (n - 0.5), step) for n in (1, 7, 15, 16, 17, 40, 161)]
    assert_same(lambda t: [t.arange(*each, dtype=getattr(t, dtype)) for each in bounds], ulps=0)


@cases(
    lambda t: t.arange(0.0, -8.000001, -4.0, dtype=t.int32),
    lambda t: t.arange(0.5, 5.5, dtype=t.int64),
    lambda t: t.arange(0, 1, 0.1),
    lambda t: t.arange(5, dtype=t.float64),
    lambda t: t.linspace(4.3, 0, 5, dtype=t.uint8),
    lambda t: t.linspace(127, -128, 5, dtype=t.int8),
    lambda t: t.linspace(-3.5, 3.5, 6, dtype=t.int64),
    lambda t: t.linspace(3, 9, 1, dtype=t.int32),
    lambda t: t.zeros(1, 1).squeeze(()),
    lambda t: t.zeros(1, 1, 2).squeeze((0,)),
    lambda t: t.cat([t.zeros(0, requires_grad=True), t.ones(2)]),
    lambda t: t.cat([t.zeros(0), t.ones(2, 3), t.zeros(0)], 1),
    lambda t: t.cat([t.zeros(0), t.zeros(0)], 1),
    lambda t: t.stack([t.ones(2), t.zeros(2)], axis=1),
    lambda t: t.arange(4).reshape(2, 2).flip(dims=(0, 1)),
    lambda t: t.flip(t.arange(3), dims=[0]),
    lambda t: t.ones(3).masked_select(t.tensor([[True, False, True], [True, True, True]])),
    lambda t: t.arange(2.0).reshape(2, 1).masked_select(t.tensor([[True, False, True]])),
    lambda t: t.tensor(5.0).index_select(0, t.tensor([0])),
    lambda t: t.tensor(5.0).index_select(0, t.tensor(0)),
    lambda t: t.tensor(5.0).gather(0, t.tensor(0)),
    lambda t: t.tensor(5.0).gather(0, t.tensor([0, 0])),
    lambda t: t.arange(3.0).gather(0, t.tensor(1)),
    lambda t: t.tensor(5.0).index_add(0, t.tensor([0]), t.tensor(1.0), alpha=3),
    lambda t: t.tensor(5.0).mT,
    lambda t: t.arange(6).reshape(2, 3)[..., ...],
)
def test_answers(case: Case) -> None:
    assert_same(case)


@cases(
    gradients(lambda t, x: x.index_select(0, t.tensor(0)), 2.0),
    gradients(lambda t, x: x.gather(0, t.tensor([0, 0])), 2.0),
    gradients(lambda t, x, y: x.index_add(0, t.tensor(0), y), 2.0, 3.0),
    gradients(lambda t, x: x.masked_select(t.tensor([[True], [True]])), [1.0, 2.0]),
    gradients(lambda t, x, y: t.cat([x, y]), [], [1.0, 2.0]),
)
def test_gradients(case: Case) -> None:
    assert_same(case)


@cases(
    lambda t: t.isclose(t.ones(2), t.ones(2), rtol=-1),
    lambda t: t.allclose(t.ones(2), t.ones(2), atol=-1),
    lambda t: t.ones(2).masked_select(t.tensor([1, 0], dtype=t.uint8)),
    lambda t: t.ones(2).masked_select(t.ones(3) > 0),
    lambda t: t.ones(2, 2, dtype=t.bool) @ t.ones(2, 2, dtype=t.bool),
    lambda t: t.matmul(t.ones(2, dtype=t.bool), t.ones(2, dtype=t.bool)),
    lambda t: t.ones(2, dtype=t.bool).abs(),
    lambda t: abs(t.ones(2, dtype=t.bool)),
    lambda t: t.logical_and(t.ones(2), 1),
    lambda t: t.arange(0, float("inf"), 2),
    lambda t: t.ones(2, 2)[1.5:],
    lambda t: t.ones(2, 2)["0":"1"],
    lambda t: t.tensor(5.0).gather(0, t.tensor([[0]])),
    lambda t: t.tensor(5.0).index_select(0, t.tensor([0, 0])),
    lambda t: t.ones(3).mT,
)
def test_refusals(case: Any) -> None:
    assert_same_error(case)


@cases(
    lambda t: t.nn.Parameter(),
    lambda t: [type(copy.copy(p := t.nn.Parameter(t.ones(2)))) is t.nn.Parameter, p],
    lambda t: [p := t.nn.Parameter(t.ones(2), False), copy.copy(p), copy.deepcopy(p)],
    lambda t: [p := t.nn.Parameter(t.ones(2, 3).T), p.sum().backward(), copy.deepcopy(p).grad, copy.copy(p)],
    lambda t: [
        p := t.nn.Parameter(t.ones(2, 3).T),
        type(copy.deepcopy(p)) is type(p),
        copy.deepcopy(p).stride(),
    ],
    lambda t: [m := t.nn.Linear(2, 1), m(t.ones(1, 2)).sum().backward(), copy.deepcopy(m).bias.grad][2:],
    lambda t: [v := t.arange(3.0), c := copy.deepcopy({"v": v, "w": v[1:]}), c["w"].zero_(), c["v"], v],
    lambda t: [v := t.arange(6.0).reshape(2, 3).T, c := copy.deepcopy([v[1:], v]), c[0].zero_(), c[1], v],
    lambda t: reversed(t.arange(6).reshape(2, 3)),
    lambda t: reversed(t.tensor(3)),
    lambda t: [attempt(t.device, name) and name for name in ("cuda:1", "cpu:0", "cpu", "cuda:10")],
    lambda t: [attempt(t.device, name) for name in ("cuda:", "cpu:-1", "cuda:x", "cuda:01", "", "gpu")],
    lambda t: t.ones(2, device="cpu:0"),
)
def test_copies_devices_and_reversed(case: Case) -> None:
    assert_same(case)
