"""`compiler`: what a program asks of all that is compiled; and `Module.compile`."""

import copy
from typing import Any

import pytest
from compiled_steps import close, told_once

import tinygrad_ninja as torch
from tinygrad_ninja import Value, nn
from tinygrad_ninja.program.compile import UnsupportedError, compile


def test_code_knows_that_it_is_being_recorded() -> None:
    def f(x: Any) -> Any:
        return x * 2 if torch.compiler.is_compiling() else x * 3

    fast = compile(f, backend="numpy")
    assert [fast(torch.ones(1)).item() for _ in range(3)] == [2.0, 2.0, 2.0]
    assert f(torch.ones(1)).item() == 3.0
    assert not torch.compiler.is_compiling()


def test_it_knows_with_values_too() -> None:
    asked = []

    def f(x: Any) -> Any:
        asked.append(torch.compiler.is_compiling())
        (x * 2).backward()

    compile(f)(Value(2.0))
    assert asked[0] is True


def test_it_knows_that_nothing_is_recorded_any_more() -> None:
    def f(x: Any) -> Any:
        x.sum().item()
        return x * 2 if torch.compiler.is_compiling() else x * 3

    fast = compile(f)
    with told_once("reads a value"):
        assert [fast(torch.ones(1)).item() for _ in range(3)] == [3.0, 3.0, 3.0]


@torch.compiler.disable(reason="it asks a service")
def kept_out(x: Any) -> Any:
    return x + 1


def test_a_function_that_is_not_to_be_compiled() -> None:
    def f(x: Any) -> Any:
        return kept_out(x) * 2

    assert kept_out.__name__ == "kept_out"
    assert kept_out(torch.ones(1)).item() == 2.0
    fast = compile(f)
    with told_once("kept_out, for which compiler.disable was called, is not compiled; it asks a service"):
        assert [fast(torch.ones(1)).item() for _ in range(2)] == [4.0, 4.0]
    with pytest.raises(UnsupportedError, match=r"compiler\.disable"):
        compile(f, fullgraph=True)(torch.ones(1))


def test_a_module_that_is_not_to_be_compiled() -> None:
    layer = nn.Linear(2, 2)
    kept = torch.compiler.disable(layer)
    assert isinstance(kept, nn.Linear)
    assert kept.weight is layer.weight
    fast, x = compile(lambda x: kept(x) * 2), torch.ones(1, 2)
    with told_once("compiler.disable"):
        close(fast(x), layer(x) * 2)


def test_everything_is_forgotten() -> None:
    number = 2.0

    def reads_out(x: Any) -> Any:
        return x * 3 if x.sum().item() > number else x

    def doubles(x: Any) -> Any:
        return x * 2

    eager, fast = compile(reads_out, backend="numpy"), compile(doubles, backend="numpy")
    with told_once("reads a value"):
        eager(torch.ones(2))
    fast(torch.ones(2))
    torch.compiler.reset()
    assert "not recorded yet" in fast.explain()
    assert "not recorded yet" in eager.explain()
    with told_once("reads a value"):
        eager(torch.ones(3))
    assert [fast(torch.ones(2)).tolist() for _ in range(2)] == [[2.0, 2.0]] * 2
    assert "recorded once" in fast.explain()


def test_a_module_compiles_in_place() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Sequential(nn.Linear(3, 4), nn.Tanh())
            self.inner.compile(backend="numpy", fullgraph=True)

        def forward(self, x: Any) -> Any:
            return self.inner(x) * 2

    net: Any = Net()
    twin, x = copy.deepcopy(net.inner[0]), torch.randn(5, 3)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    assert net.compile(backend="numpy", fullgraph=True) is None
    assert isinstance(net, Net)
    for _ in range(3):
        have, want = net(x), torch.tanh(x @ twin.weight.T + twin.bias) * 2
        close(have, want.detach())
        optimizer.zero_grad()
        have.sum().backward()
        optimizer.step()
        twin.load_state_dict(net.inner[0].state_dict())
    assert "recorded once" in net.compiled.explain()
    close(net.inner(x) * 2, net(x))
    other = copy.deepcopy(net)
    assert other.compiled is not net.compiled
    close(other(x), net(x))


def test_a_module_stays_as_it_is() -> None:
    layer = nn.Linear(2, 2)
    layer.compile(backend="eager")
    layer.compile(disable=True)
    assert type(layer) is nn.Linear
    with pytest.raises(ValueError, match="backend"):
        layer.compile(backend="fortran")
