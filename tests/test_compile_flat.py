"""Loops that become one: those over rows that lie one after the other, and a parameter's update with the copy
of its gradient."""

from typing import Any

import numpy as np
import pytest
from compiled_steps import close

import tinygrad_ninja as torch
from tinygrad_ninja import randn
from tinygrad_ninja.program.compile import compile


def source(fast: Any) -> str:
    if fast.runs_by == "numpy":
        pytest.skip("without a compiler there is no C")
    text: str = fast.source()
    return text


SHAPES: dict[str, tuple[tuple[int, ...], str]] = {
    "rows": ((27, 10), "< 270;"),
    "three dimensions": ((2, 3, 5), "< 30;"),
    "with one of size 1": ((7, 1, 3), "< 21;"),
}


@pytest.mark.parametrize("name", SHAPES)
def test_rows_that_lie_one_after_the_other_are_one_loop(name: str) -> None:
    shape, head = SHAPES[name]
    x, y = randn(*shape), randn(*shape)
    fast = compile(lambda x, y: (x * y + 1).tanh(), fullgraph=True)
    for _ in range(2):
        close(fast(x, y), (x * y + 1).tanh())
    assert head in source(fast)


APART: dict[str, Any] = {
    "a transposed operand": (lambda x, y: x * y[:, :4].T, (4, 6)),
    "a row for all rows": (lambda x, y: x * y[0, :6], (4, 6)),
    "a column for all columns": (lambda x, y: x * y[:4, :1], (4, 6)),
    "a part of longer rows": (lambda x, y: x * y[1:5, 2:8], (4, 6)),
    "every other row": (lambda x, y: x * y[::2, :6][:4], (4, 6)),
    "backwards": (lambda x, y: x.flip(0) * y[:4, :6].flip(1), (4, 6)),
    "a triangle": (lambda x, y: x.tril() * y[:4, :6], (4, 6)),
    "chosen rows": (lambda x, y: x * y[torch.tensor([5, 0, 3, 3]), :6], (4, 6)),
    "the middle of three": (lambda x, y: x.view(2, 2, 6) * y[:2, None, :6] + 1, (4, 6)),
}


@pytest.mark.parametrize("name", APART)
def test_what_lies_otherwise_is_computed_as_before(name: str) -> None:
    compute, shape = APART[name]
    x, y = randn(*shape), randn(8, 9)
    if name == "a transposed operand":
        y = randn(6, 9)
    fast = compile(compute, fullgraph=True)
    for _ in range(2):
        close(fast(x, y), compute(x, y))


def test_a_gradient_is_stored_in_the_loop_that_updates_its_parameter() -> None:
    W, x = randn(5, 3, requires_grad=True), randn(4, 5)

    def step() -> torch.Tensor:
        W.grad = None
        loss = ((x @ W) ** 2).sum()
        loss.backward()
        W.data += -0.1 * W.grad
        return loss

    fast = compile(step, fullgraph=True)
    theirs = W.detach().clone().requires_grad_()
    for _ in range(3):
        loss = fast()
        expected = ((x @ theirs) ** 2).sum()
        theirs.grad = None
        expected.backward()
        close(loss, expected.detach())
        close(W.grad, theirs.grad)
        theirs.data += -0.1 * theirs.grad
        close(W.detach(), theirs.detach())
    source(fast)
    assert sum("_store, [5, 3]" in loop for loop in fast.fused) == 1, fast.fused


def test_nothing_is_written_that_a_later_output_reads() -> None:
    """The old value is returned, and read for another result, after the new one is known."""
    W, x = randn(6, 4), randn(6, 4)

    def step() -> tuple[torch.Tensor, torch.Tensor]:
        old = W * 1.0
        W.add_(x)
        return old, old * 2 + x

    fast = compile(step, fullgraph=True)
    for _ in range(3):
        before = np.array(W.numpy())
        old, more = fast()
        np.testing.assert_array_equal(old.numpy(), before)
        np.testing.assert_allclose(more.numpy(), before * 2 + x.numpy(), rtol=1e-6)
        np.testing.assert_array_equal(W.numpy(), before + x.numpy())
