"""What the compiler simplifies, and that no value changes by it: no NaN, infinity or sign of zero."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch as real
from compiled_steps import close, second

import tinygrad_ninja as torch
from tinygrad_ninja.program.compile import compile
from tinygrad_ninja.program.compile.lowering.lower import parts_for_c, primitives

SPECIAL = np.array([[np.nan, np.inf, -np.inf], [0.0, -0.0, -1.5]], np.float32)
OTHER = np.array([[1.0, -np.inf, -np.inf], [-0.0, 0.0, 0.1]], np.float32)

CASES: dict[str, tuple[Callable[[Any, Any], Any], list[str]]] = {
    "-(-x)": (lambda x, y: x.neg().neg(), []),
    "-(-(-x))": (lambda x, y: x.neg().neg().neg(), ["neg"]),
    "x · -1": (lambda x, y: x * -1, ["neg"]),
    "-1 · x": (lambda x, y: -1 * x, ["neg"]),
    "x · 1": (lambda x, y: x * 1.0, []),
    "the same number twice": (lambda x, y: 0.5 * x + 0.5 * x, ["mul", "add"]),
    "x + (-y)": (lambda x, y: x + (-y), ["sub"]),
    "-x + y": (lambda x, y: -x + y, ["sub"]),
    "x - (-y)": (lambda x, y: x - (-y), ["add"]),
    "-x · -y": (lambda x, y: -x * -y, ["mul"]),
    "-x / -y": (lambda x, y: -x / -y, ["div"]),
    "x · y and y · x": (lambda x, y: x * y - y * x, ["mul", "sub"]),
    "x - y and y - x": (lambda x, y: (x - y) * (y - x), ["sub", "sub", "mul"]),
    "x + 0": (lambda x, y: x + 0, ["add"]),  # 0, where x is -0
    "x - 0": (lambda x, y: x - 0.0, []),
    "x - (-0)": (lambda x, y: x - -0.0, ["sub"]),  # 0, where x is -0
    "transposed twice": (lambda x, y: x.T.T.clone(), []),
    "permuted twice": (lambda x, y: x[None].permute(1, 2, 0).permute(1, 2, 0).clone(), ["slice", "permute"]),
    "reshaped": (lambda x, y: x.view(6).view(3, 2).view(1, 6).clone(), ["reshape"]),
    "reshaped and back": (lambda x, y: x.view(6).unsqueeze(0).view(2, 3).clone(), []),
    "all of it": (lambda x, y: x[:].clone(), []),
    "turned round": (lambda x, y: x.flip(0), ["flip"]),
    "expanded twice": (lambda x, y: x[0].expand(4, 3).expand(5, 4, 3).clone(), ["slice", "expand"]),
    "to double and back": (lambda x, y: x.double().float(), []),
    "by way of int64": (lambda x, y: (x > y).long().float(), ["gt", "cast"]),
    "rounded": (lambda x, y: x.double().sin().float().double(), ["cast", "sin", "cast", "cast"]),
    "what is repeated": (lambda x, y: x[:1].expand(4, 3).exp() * 2, ["slice", "exp", "mul", "expand"]),
    "repeated, and read": (lambda x, y: x[:1].expand(2, 3) * y, ["slice", "mul"]),
    "the sum of what is repeated": (lambda x, y: x[:1].expand(4, 3).sum(0), ["slice", "reshape", "mul"]),
    "of part of it": (lambda x, y: x[:1].expand(4, 2, 3).sum(0), ["slice", "mul", "expand"]),
    "the largest of it": (lambda x, y: x[:1].expand(4, 3).amax(0, keepdim=True), ["slice"]),
    "a sum that is none": (lambda x, y: x[:1].expand(4, 3).sum(1), ["slice", "expand", "sum"]),
    "the largest by its index": (lambda x, y: y[:1].max(1, keepdim=True).values, ["slice", "amax"]),
}  # fmt: skip


def names_of(compiled: Any) -> list[str]:
    """The primitive operations that are left of a recorded step."""
    kept, _ = primitives(compiled.program.instructions, compiled.program.outputs, parts_for_c)
    return [each.operation.name for each in kept]


@pytest.mark.parametrize("case", CASES)
def test_simplified_steps_are_shorter_and_the_same_to_the_bit(case: str) -> None:
    f, left = CASES[case]
    x, y = torch.tensor(SPECIAL), torch.tensor(OTHER)
    want = f(x, y).numpy()
    for backend in ("c", "numpy"):
        compiled = compile(f, fullgraph=True, backend=backend)
        compiled(x, y)
        have = compiled(x, y).numpy()
        assert (have.shape, have.dtype) == (want.shape, want.dtype)
        np.testing.assert_array_equal(have, want)
        number = ~np.isnan(want)
        np.testing.assert_array_equal(np.signbit(have[number]), np.signbit(want[number]))
        assert names_of(compiled) == left


def test_integers_that_double_rounds_are_cast_both_times() -> None:
    x = torch.tensor([2**53 + 1, -3, 0])

    def f(x: Any) -> Any:
        return x.double().long(), x.int().long()

    for mine, eager in zip(second(f, x), f(x), strict=True):
        np.testing.assert_array_equal(mine.numpy(), eager.numpy())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_products_of_repeated_values(dtype: Any) -> None:
    rng = np.random.default_rng(0)
    row, column, square = (
        torch.tensor(rng.standard_normal(s)).to(dtype) for s in ((1, 20), (20, 1), (20, 20))
    )

    def f(row: Any, column: Any, square: Any) -> Any:
        a, b = row.expand(20, 20).exp(), column.expand(20, 20).exp()
        return a @ square, square @ a, b @ square, square @ b, (a @ b).sum(0), a.T @ b.T

    for mine, eager in zip(second(f, row, column, square), f(row, column, square), strict=True):
        close(mine, eager, 1e-5 if dtype is torch.float32 else 1e-12)


def test_names_that_the_emitted_c_uses_itself() -> None:
    x, y = (torch.tensor(np.random.default_rng(0).standard_normal((5, 5))) for _ in range(2))

    def f(a: Any, b: Any) -> Any:
        q, s, exp_d = a.exp(), b.exp(), a + b
        return a @ q.T, b @ s.T, (exp_d.exp() @ b).sum(0)

    for mine, eager in zip(second(f, x, y), f(x, y), strict=True):
        close(mine, eager, 1e-12)


def test_gradients_through_repeated_means() -> None:
    """The gradient of a mean is repeated, and then summed for the bias."""
    rng = np.random.default_rng(0)
    x, b = rng.standard_normal((7, 5, 3)), rng.standard_normal(3)

    def step(module: Any) -> Callable[[Any, Any], Any]:
        def f(x: Any, b: Any) -> Any:
            loss = ((x + b).mean(1).exp().mean(0) ** 2).sum()
            return module.autograd.grad(loss, [x, b])

        return f

    have = second(step(torch), torch.tensor(x, requires_grad=True), torch.tensor(b, requires_grad=True))
    want = step(real)(real.tensor(x, requires_grad=True), real.tensor(b, requires_grad=True))
    for a, exact in zip(have, want, strict=True):
        np.testing.assert_allclose(a.numpy(), exact.numpy(), rtol=1e-12)


# -- what is left as it is written ---------------------------------------------------------------------------


def cross_entropy_gradient(module: Any) -> Callable[[Any, Any], Any]:
    """Of the loss in the lecture's lines."""

    def f(logits: Any, target: Any) -> Any:
        counts = (logits - logits.max(1, keepdim=True).values).exp()
        probs = counts * counts.sum(1, keepdim=True) ** -1
        loss = -probs.log()[range(len(target)), target].mean()
        return module.autograd.grad(loss, [logits])[0]

    return f


@pytest.mark.parametrize("gap", [80.0, 95.0, 105.0])
def test_where_a_probability_underflows_the_gradient_is_what_torch_leaves(gap: float) -> None:
    """NaN, where (softmax - onehot) / n is finite: so that line does not take the place of these."""
    logits, target = np.array([[gap, 0, 1, gap - 1], [0, 1, 2, 3]], np.float32), np.array([0, 1])
    f = cross_entropy_gradient(torch)
    have = second(f, torch.tensor(logits, requires_grad=True), torch.tensor(target)).numpy()
    want = cross_entropy_gradient(real)(real.tensor(logits, requires_grad=True), real.tensor(target)).numpy()
    assert np.isnan(want[0]).all() == (gap == 105.0)
    np.testing.assert_allclose(have, want, rtol=1e-5, atol=1e-7)


def batch_norm_gradient(module: Any) -> Callable[[Any, Any], Any]:
    """Of batch norm in the lecture's lines, for a gradient that is given."""

    def f(x: Any, dout: Any) -> Any:
        n = x.shape[0]
        diff = x - 1 / n * x.sum(0, keepdim=True)
        var = 1 / (n - 1) * (diff**2).sum(0, keepdim=True)
        return module.autograd.grad((diff * (var + 1e-5) ** -0.5 * dout).sum(), [x])[0]

    return f


def test_an_infinite_gradient_leaves_in_batch_norm_what_torch_leaves() -> None:
    """NaN in its whole column, where the one line has infinities."""
    rng = np.random.default_rng(0)
    x, dout = rng.standard_normal((2, 6, 4)).astype(np.float32)
    dout[2, 1] = np.inf
    f = batch_norm_gradient(torch)
    have = second(f, torch.tensor(x, requires_grad=True), torch.tensor(dout)).numpy()
    want = batch_norm_gradient(real)(real.tensor(x, requires_grad=True), real.tensor(dout)).numpy()
    diff = x - x.mean(0)
    inverse = (diff.var(0, ddof=1) + 1e-5) ** -0.5
    with np.errstate(invalid="ignore"):
        xhat, n = diff * inverse, len(x)
        line = inverse / n * (n * dout - dout.sum(0) - n / (n - 1) * xhat * (dout * xhat).sum(0))
    np.testing.assert_allclose(line[:, 2:], want[:, 2:], rtol=1e-4, atol=1e-6)
    assert np.isnan(want[:, 1]).all()
    assert np.isinf(line[:, 1]).any()
    np.testing.assert_allclose(have, want, rtol=1e-5, atol=1e-6)
