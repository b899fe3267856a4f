"""Conversions and the order of copies in memory; norms; arguments that are no Tensors or no real numbers."""

import math

import pytest
from both import assert_same, assert_same_error, attempt, cases, gradients

import tinygrad_ninja


@cases(
    lambda t: t.ones(2, 3).mT.clone().stride(),
    lambda t: t.ones(2, 3).mT.clone(memory_format=t.preserve_format).stride(),
    lambda t: t.ones(2, 3).mT.clone(memory_format=t.contiguous_format).stride(),
    lambda t: t.ones(2, 3).mT.contiguous(memory_format=t.contiguous_format).stride(),
    lambda t: t.ones(2, 3).mT.double(memory_format=t.contiguous_format).stride(),
    lambda t: t.ones(2, 3).mT.double().stride(),
    lambda t: t.ones(2, 3).mT.half(memory_format=t.contiguous_format).stride(),
    lambda t: t.ones(2, 3).mT.to(t.float32, copy=True, memory_format=t.contiguous_format).stride(),
    lambda t: t.ones(2, 3).mT.to(t.float32, False, True).stride(),
    lambda t: t.ones(2, 3).mT.to(t.float64, memory_format=t.contiguous_format).stride(),
    lambda t: t.ones(2, 3).mT.to("cpu", t.float64, True, True, memory_format=t.preserve_format).stride(),
    lambda t: t.zeros_like(t.ones(2, 3).mT, memory_format=t.contiguous_format).stride(),
    lambda t: t.ones_like(t.ones(2, 3).mT, memory_format=t.preserve_format).stride(),
    lambda t: t.empty_like(t.ones(2, 3).mT, memory_format=t.contiguous_format).stride(),
    lambda t: t.full_like(t.ones(2, 3).mT, 7, memory_format=t.contiguous_format).stride(),
    lambda t: repr([t.contiguous_format, t.preserve_format]),
    lambda t: isinstance(t.contiguous_format, t.memory_format),
    lambda t: [getattr(t.tensor([1.7, -3.0, 200.0]), name)() for name in ("short", "int", "long")],
    lambda t: [getattr(t.tensor([1.7, 3.0, 100.0]), name)() for name in ("byte", "char", "bool")],
)
def test_conversions(case):
    assert_same(case)


def test_what_changes_nothing_is_itself():
    x = tinygrad_ninja.ones(2, 3).mT
    assert x.to(tinygrad_ninja.float32, memory_format=tinygrad_ninja.contiguous_format) is x
    assert x.float() is x
    assert x.to(tinygrad_ninja.float32, False, False) is x


@cases(
    lambda t: t.ones(2).clone(memory_format=1),
    lambda t: t.ones(2).clone(memory_format="contiguous_format"),
    lambda t: t.ones(2).to(t.float64, False, False, False),
    lambda t: t.ones(2).double(memory_format=t.float32),
    lambda t: t.ones(2, 3).mT.contiguous(memory_format=t.preserve_format),
    lambda t: t.ones(2).double(t.contiguous_format),
)
def test_conversions_that_are_none(case):
    assert_same_error(case)


NORMS = (0.5, 1, 1.5, 2, 3, -1, -2.5, math.inf, -math.inf, "fro")


@pytest.mark.parametrize("p", NORMS)
@pytest.mark.parametrize("dim", [None, 0, -1, (0, 1), ()])
def test_norm(p, dim):
    numbers = [[3.0, -4.0, 0.5], [1.0, 1.0, -7.0]]
    assert_same(gradients(lambda t, x: x.norm(p, dim), numbers))
    assert_same(gradients(lambda t, x: t.norm(x, p, dim, keepdim=True, dtype=t.float64), numbers))


@pytest.mark.parametrize("p", NORMS)
def test_norm_of_zeros_ties_and_nan(p):
    assert_same(lambda t: t.norm(t.tensor([[math.nan, 1.0], [math.nan, 0.0]]), p, 1))
    for row in [[0.0, 0.0], [0.0, 2.0], [2.0, -2.0]]:
        assert_same(gradients(lambda t, x: t.norm(x, p), row), ulps=8)


@cases(
    lambda t: [t.norm(t.tensor([0.0, 2.0, math.nan, math.inf]), 0), t.norm(t.ones(2, 3), 0, 1)],
    lambda t: t.norm(t.ones(2, 3, requires_grad=True), 0).requires_grad,
    lambda t: [t.norm(t.ones(3)), t.norm(t.ones(3), None), t.norm(t.ones(0)), t.norm(t.ones(0), 0.5)],
    lambda t: [t.norm(t.ones(0, 3), math.inf, 1), t.norm(t.ones(0, 3), -1, 1), t.norm(t.ones(()), -math.inf)],
    lambda t: t.norm(t.ones(3, dtype=t.float16), dtype=t.float32),
)
def test_norms(case):
    assert_same(case)


@cases(
    lambda t: t.norm(t.ones(0), math.inf),
    lambda t: t.norm(t.ones(0), -1),
    lambda t: t.norm(t.ones(2, 0), -math.inf, 1),
    lambda t: t.norm(t.ones(3).long()),
    lambda t: t.norm(t.ones(3).bool(), 1),
    lambda t: t.norm(t.ones(3).long(), dtype=t.float64),
    lambda t: t.norm(t.ones(3).double(), dtype=t.float32),
    lambda t: t.norm(t.ones(3), dtype=t.int64),
    lambda t: t.norm(t.ones(3), "abc"),
    lambda t: t.norm(t.ones(3), [1]),
    lambda t: t.norm(t.ones(3, 3), "fro", (0, 0)),
    lambda t: t.norm(t.ones(3, 3, 3), "fro", (0, 1, 2)),
)
def test_norms_that_are_none(case):
    assert_same_error(case)


def test_the_nuclear_norm_is_refused():
    with pytest.raises(NotImplementedError, match="singular values"):
        tinygrad_ninja.norm(tinygrad_ninja.ones(2, 2), "nuc")


@cases(
    lambda t: [attempt(getattr(t, name), 2, t.ones(2)) for name in ("eq", "ne", "lt", "le", "gt", "ge")],
    lambda t: [attempt(getattr(t, name), 2, t.ones(2)) for name in ("less", "not_equal", "greater_equal")],
    lambda t: [attempt(getattr(t.Tensor, f"__{name}__"), 2, t.ones(2)) for name in ("radd", "rmul", "ror")],
    lambda t: [attempt(f, t.ones(2), 1) for f in (t.isclose, t.allclose, t.equal)],
    lambda t: [attempt(t.ones(2).fill_, 1j), attempt(t.ones(2).masked_fill, t.tensor([True, False]), 1j)],
    lambda t: [attempt(t.ones(2).clamp, 1j), attempt(t.ones(2).index_fill, 0, t.tensor([0]), 1j)],
    lambda t: [attempt(t.where, t.tensor([True, False]), "a", t.ones(2))],
    lambda t: [attempt(t.where, t.tensor([True, False]), t.ones(2), [1, 2])],
    lambda t: [t.Tensor.__rmatmul__(t.ones(3), t.ones(2, 3)), t.Tensor.__rmatmul__(t.ones(3), t.ones(3))],
    lambda t: t.gather(t.ones(5), 0, t.zeros(0, dtype=t.uint8)),
    lambda t: [t.gather(t.ones(5, 5), 0, t.zeros(0, 7)), t.gather(t.tensor(1.0), 0, t.zeros(0, 7).long())],
    lambda t: [t.ones(5).scatter(0, t.zeros(0, 3), t.zeros(0, 3)), t.ones(5).scatter(0, t.zeros(0), 1.0)],
    lambda t: t.ones(5).scatter_add(0, t.zeros(0, 3).bool(), t.zeros(2)),
    lambda t: [attempt(t.ones(5).scatter_add, 0, t.zeros(0, 3).long(), t.zeros(0, 3).double())],
    lambda t: t.nn.functional.batch_norm(t.zeros(0), t.zeros(3), t.zeros(3), training=True),
    lambda t: [t.zero_(t.ones(2)), t.fill_(t.ones(2), 3), t.relu_(t.tensor([-1.0, 2.0])), t.exp_(t.zeros(2))],
)
def test_arguments_at_the_edge(case):
    assert_same(case)
