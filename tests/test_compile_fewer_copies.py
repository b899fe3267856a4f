"""What the C does not copy, compute or write twice, with the same results."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_ninja as torch
from tinygrad_ninja import nn
from tinygrad_ninja.program.compile import compile


def source_of(step: Callable[[], Any], tolerance: float = 0.0) -> str:
    """Return the C of a step, whose results are those of eager code."""
    fast = compile(step, fullgraph=True)
    fast()
    for have, want in zip(fast(), step(), strict=True):
        np.testing.assert_allclose(have.numpy(), want.numpy(), rtol=tolerance, atol=tolerance)
        assert tolerance or (np.signbit(have.numpy()) == np.signbit(want.numpy())).all()
    return str(fast.source())


def functions(source: str) -> list[str]:
    """Return the functions of a step, without what stands before them."""
    return re.findall(r"^FUNCTION \w+ (\w+)\(", source, re.M)


def gradient(f: Callable[[Any], Any], x: Any) -> Callable[[], Any]:
    """Return a step that gives the gradient of a function."""
    return lambda: torch.autograd.grad(f(x), [x])


# -- pieces --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dim", [0, 1])
def test_gradients_of_pieces_are_written_beside_each_other(dim: int) -> None:
    weight = torch.tensor([[2.0, -0.0, 3.0], [0.5, -1.0, -0.0], [-0.0, 0.0, 7.0]])

    def f(x: Any) -> Any:
        a, b, c = x.split(3, dim=dim)
        return (a * weight).sum() + (c * -weight).sum() + (b * weight * 2).sum()

    x = torch.randn((9, 3) if dim == 0 else (3, 9), requires_grad=True)
    source = source_of(gradient(f, x))
    assert "memset(out0" not in source
    assert not any("scatter" in name for name in functions(source))


@pytest.mark.parametrize(
    "f",
    [
        lambda x: (x[:, :4] * 2).sum() + (x[:, 3:] * 3).sum(),  # one column in both
        lambda x: (x[:, :3] * 2).sum() + (x[:, 4:] * 3).sum(),  # one in none
        lambda x: (x[:, ::2] * 2).sum() + (x[:, 1::2] * 3).sum(),
        lambda x: (x[:2] * 2).sum() + (x[2:, :3] * 3).sum() + (x[2:, 3:] * 5).sum(),
        lambda x: (x[:, :3] * x[:, 3:]).sum() + (x * 2).sum(),
        lambda x: ((x[:, :3] * 2).sum() + (x[:, 3:] * 3).sum()) * x[0, 0],
    ],
)
def test_other_pieces_are_added(f: Callable[[Any], Any]) -> None:
    torch.manual_seed(0)
    source_of(gradient(f, torch.randn(4, 6, dtype=torch.float64, requires_grad=True)), 1e-14)


# -- products ------------------------------------------------------------------------------------------------


def test_the_gradient_of_a_weight_is_written_once() -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(40, 16), torch.randn(32, 16, requires_grad=True)
    source = source_of(gradient(lambda weight: ((x @ weight.T) ** 2).sum(), weight), 1e-4)
    assert re.search(r"^  step\d+_matmul\(out0,", source, re.M)


@pytest.mark.parametrize("head", [4, 16, 24])
def test_heads_lie_beside_each_other(head: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 5, 2 * head, requires_grad=True)

    def f(x: Any) -> Any:
        heads = x.view(3, 5, 2, head).transpose(1, 2)
        mixed = (heads @ heads.transpose(-2, -1)).tanh() @ heads
        return (mixed.transpose(1, 2).reshape(3, 5, 2 * head) * x).sum()

    assert "%" not in re.sub(r"/\*.*?\*/|^static.*$", "", source_of(gradient(f, x), 1e-4), flags=re.M | re.S)


def test_a_product_that_is_read_in_two_ways() -> None:
    torch.manual_seed(0)
    a, b = (torch.randn(2, 3, n, m, dtype=torch.float64) for n, m in ((4, 5), (5, 8)))

    def step() -> Any:
        product = a @ b
        turned = (a.transpose(2, 3).transpose(2, 3) @ b).transpose(2, 3)
        across = (b.transpose(2, 3) @ a.transpose(2, 3)).permute(3, 1, 0, 2)
        return product.permute(1, 0, 2, 3).reshape(6, 32), product + 1, turned * 2, across.reshape(4, -1)

    source_of(step, 1e-13)


# -- loops ---------------------------------------------------------------------------------------------------


def block(n: int) -> nn.Module:
    """Return residual layers, each with a layer norm."""

    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.linear = nn.LayerNorm(16), nn.Linear(16, 16)

        def forward(self, x: Any) -> Any:
            return x + self.linear(self.norm(x)).tanh()

    return nn.Sequential(*(Layer() for _ in range(n)))


@pytest.mark.slow
def test_more_layers_are_no_more_functions() -> None:
    x, counts = torch.randn(8, 16), []
    for n in (6, 12):
        torch.manual_seed(0)
        model = block(n)
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)

        def step(model: Any = model, optimizer: Any = optimizer) -> Any:
            optimizer.zero_grad()
            loss = model(x).square().mean()
            loss.backward()
            optimizer.step()
            return loss

        fast = compile(step, fullgraph=True)
        losses = [fast().item() for _ in range(4)]
        assert losses == sorted(losses, reverse=True)
        source = str(fast.source())
        assert "new_" not in source  # a parameter is written before the moments that it is computed from
        counts.append(len(functions(source)))
    assert counts[0] == counts[1]


def test_memory_that_is_read_is_replaced_later() -> None:
    torch.manual_seed(0)
    start = [torch.randn(20) for _ in range(5)]

    def train(wrap: Callable[..., Any]) -> list[Any]:
        a, b, c, d, e = (x.clone() for x in start)

        def step() -> None:
            old_a, old_b = a.clone(), b.clone()
            a.copy_(old_b + 1)  # each of two from the other
            b.copy_(old_a * 2)
            c.copy_(c + d)
            d.copy_(d.flip(0) - e)  # each from another element of itself
            e.copy_(e * 0.5)

        fast = wrap(step)
        for _ in range(3):
            fast()
        return [a, b, c, d, e]

    for have, want in zip(train(lambda f: compile(f, fullgraph=True)), train(lambda f: f), strict=True):
        assert have.tolist() == want.tolist()


def test_what_only_its_own_loop_reads_stays_in_registers() -> None:
    torch.manual_seed(0)
    x = torch.randn(6, 40, requires_grad=True)
    f = lambda x: nn.functional.gelu(x, approximate="tanh").sum()  # noqa: E731
    source = source_of(gradient(f, x), 1e-5)
    assert len(functions(source)) == 1
    assert len(re.findall(r"^ +\w+\[.*\] = ", source.split("FUNCTION void step")[1], re.M)) == 1
