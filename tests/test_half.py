"""bfloat16 and float16: PyTorch's dtypes, promotion and numbers, for every entry of the table."""

from typing import Any

import numpy as np
import pytest
import torch
from slow_ones import slow_but
from table_calls import NoExampleError, Seeded, draw_call, inside

import tinygrad_ninja as ninja
from tinygrad_ninja import nn
from tinygrad_ninja.arrays import dtypes
from tinygrad_ninja.ops import TABLE, Operation

EPSILON = {"float16": 2.0**-10, "bfloat16": 2.0**-7}
GPU = pytest.mark.gpu
PLACES = [
    ("cpu", "float16"),
    pytest.param("torch", "float16", marks=pytest.mark.slow),
    ("torch", "bfloat16"),
    pytest.param("cuda", "float16", marks=GPU),
    pytest.param("cuda", "bfloat16", marks=GPU),
]


def weighted(out: Any, weight: Any) -> Any:
    """A loss of which no two elements' slopes are alike."""
    return (out.float() * weight).sum()


@pytest.mark.filterwarnings("ignore:.*degrees of freedom is <= 0")
@pytest.mark.parametrize("seeds", slow_but([range(4), range(4, 12)], range(4)), ids=str)
@pytest.mark.parametrize(("device", "name"), PLACES)
@pytest.mark.parametrize("entry", TABLE.values(), ids=lambda entry: entry.name)
def test_every_entry_computes_in_half_precision(
    entry: Operation, device: str, name: str, seeds: range
) -> None:
    """Values and gradients have PyTorch's dtypes and, to some units in the last place, its numbers."""
    if entry.name == "to_device" and name == "bfloat16":
        pytest.skip("there is no bfloat16 on the device cpu")
    place = device if device == "cuda" else "cpu"
    compared = 0
    for seed in seeds:
        try:
            call, inputs = draw_call(Seeded(seed), entry)
            inputs = inside(call, inputs) if entry.sources else inputs
            theirs = [torch.tensor(each, device=place).to(getattr(torch, name)) for each in inputs]
            leaves = [each.requires_grad_() for each in theirs]
            expected = call(torch, *leaves)
        except (NoExampleError, RuntimeError, TypeError):  # what PyTorch does not compute in half precision
            continue
        weight = np.linspace(0.5, 1.5, expected.numel(), dtype=np.float32).reshape(expected.shape)
        ours = {"device": device, "dtype": getattr(ninja, name), "requires_grad": True}
        mine = [ninja.tensor(each, **ours) for each in inputs]
        found = call(ninja, *mine)
        pairs = [(found, expected)]
        if expected.requires_grad:
            weighted(expected, torch.tensor(weight, device=place)).backward()
            weighted(found, ninja.tensor(weight, device=str(found.device))).backward()
            pairs += [(a.grad, b.grad) for a, b in zip(mine, leaves, strict=True)]
        for a, b in pairs:
            assert a.dtype.name == str(b.dtype).removeprefix("torch.")
            want = b.detach().double().cpu().numpy()
            scale = max(1.5, np.abs(want).max(initial=0, where=np.isfinite(want)))
            have = a.detach().double().cpu().numpy()
            np.testing.assert_allclose(have, want, rtol=0, atol=8 * EPSILON[name] * scale)
        compared += 1
    assert compared or entry.name.startswith("bitwise")


@pytest.mark.parametrize("device", ["cpu", "torch", pytest.param("cuda", marks=GPU)])
def test_many_numbers_are_added_in_float32(device: str) -> None:
    """As PyTorch adds them: in half precision 2048 + 1 is 2048."""
    ones = ninja.ones(4096, 3, dtype=ninja.float16, device=device)
    assert ones.sum(0).tolist() == [4096] * 3
    assert ones.mean(0).tolist() == [1] * 3
    assert ones.sum().item() == 12288
    assert ones.cumsum(0)[-1].tolist() == [4096] * 3


@pytest.mark.parametrize("other", [each.name for each in dtypes.ALL])
@pytest.mark.parametrize("name", EPSILON)
def test_promotion_is_pytorchs(name: str, other: str) -> None:
    def named(module: Any) -> str:
        return str(module.promote_types(getattr(module, name), getattr(module, other))).rpartition(".")[2]

    assert named(ninja) == named(torch)
    for first, second in ((2,), (2,)), ((2,), ()), ((), (2,)):
        a = torch.ones(first, dtype=getattr(torch, name))
        b = torch.ones(second, dtype=getattr(torch, other))
        x = ninja.ones(first, dtype=getattr(ninja, name), device="torch")
        y = ninja.ones(second, dtype=getattr(ninja, other), device="torch")
        assert str((x + y).dtype) == str((a + b).dtype)
        assert str((x * 2.5).dtype) == str((a * 2.5).dtype)


@pytest.mark.parametrize("device", ["torch", pytest.param("cuda", marks=GPU)])
def test_bfloat16_data(device: str) -> None:
    """Making, moving, reading, printing, indexing, and a step of training."""
    x = ninja.tensor([[1.0, 2.5], [-3.0, 0.1]], dtype=ninja.bfloat16, device=device, requires_grad=True)
    assert x.dtype is ninja.bfloat16
    assert (x.itemsize, x.nbytes, ninja.bfloat16.is_floating_point) == (2, 8, True)
    assert repr(ninja.bfloat16) == "torch.bfloat16"
    assert x.tolist() == torch.tensor([[1.0, 2.5], [-3.0, 0.1]], dtype=torch.bfloat16).tolist()
    assert "bfloat16" in repr(x)
    assert ninja.zeros_like(x).dtype is ninja.bfloat16
    assert ninja.arange(3, dtype=ninja.bfloat16, device=device).tolist() == [0, 1, 2]
    assert ninja.tensor(x).dtype is ninja.bfloat16
    assert x[0].bfloat16().dtype is x.float().bfloat16().dtype is ninja.bfloat16
    assert x.to("torch").dtype is ninja.bfloat16
    assert x.detach().float().cpu().numpy().dtype == np.float32
    model = nn.Sequential(nn.Linear(2, 4), nn.Dropout(0.5), nn.LayerNorm(4)).to(device)
    model.to(ninja.bfloat16)
    optimizer = ninja.optim.AdamW(model.parameters())
    out = model(x)
    assert out.dtype is ninja.bfloat16
    out.sum().backward()
    optimizer.step()
    assert {each.dtype for p in model.parameters() for each in (p, p.grad)} == {ninja.bfloat16}


@pytest.mark.parametrize(
    "ask",
    [
        lambda: ninja.zeros(2, dtype=ninja.bfloat16),
        lambda: ninja.tensor([1.0], dtype=ninja.bfloat16),
        lambda: ninja.ones(2).bfloat16(),
        lambda: ninja.nn.Linear(2, 2).to(ninja.bfloat16),
        lambda: ninja.ones(2, device="torch").bfloat16().cpu(),
    ],
)
def test_numpys_arrays_hold_no_bfloat16_and_say_so(ask: Any) -> None:
    with pytest.raises((TypeError, RuntimeError), match=r'NumPy.* has no bfloat16: take the device "torch"'):
        ask()
