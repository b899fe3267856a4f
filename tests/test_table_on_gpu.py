"""Every entry of the table on a GPU, forward and backward to the third order. `test_operations` does so on
NumPy's and torch's arrays, and draws more, by hypothesis; here nothing is needed but PyTorch and pytest."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from table_calls import Array, Call, NoExampleError, Seeded, answer, draw_call, inside

import tinygrad_ninja as ninja
from tinygrad_ninja.check import assert_matches_torch, gradgradcheck
from tinygrad_ninja.ops import TABLE, Operation

pytestmark = [pytest.mark.gpu, pytest.mark.filterwarnings("ignore:.*degrees of freedom is <= 0")]

ROOT = Path(__file__).parents[1]
FLOATS, INTEGERS = ["float32", "float64"], ["int64", "bool", "uint8"]


def each_entry(entries: Any) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("entry", entries, ids=lambda entry: entry.name)


def examples(entry: Operation, n: int, **how: bool) -> Any:
    """`n` seeded examples of which PyTorch has values and two derivatives, and the source of more choices."""
    found = seed = 0
    while found < n:
        assert seed < 50 * n, f"PyTorch refuses all that is drawn for {entry.name}"
        draw = Seeded(seed)
        seed += 1
        call, inputs = draw_call(draw, entry, **how)
        try:
            yield draw, call, inside(call, inputs) if entry.sources and not how else inputs
            found += 1
        except NoExampleError:
            continue


def matches(call: Call, inputs: list[Array], order: int) -> bool:
    """Whether PyTorch answers these at all; AssertionError where it answers something else."""
    try:
        answer(call, inputs, "cuda")
    except NoExampleError:
        return False
    assert_matches_torch(call, *inputs, device="cuda", order=order)
    return True


@each_entry(TABLE.values())
def test_values_and_gradients_in_every_dtype(entry: Operation) -> None:
    """At ordinary points, at ties and zeros, and of no elements."""
    matched = 0
    for special in (False, True):
        for draw, call, inputs in examples(entry, 4, special=special):
            for dtype in draw.choice(FLOATS), draw.choice(INTEGERS):
                matched += matches(call, [each.astype(dtype) for each in inputs], 1)
    assert matched


@each_entry([entry for entry in TABLE.values() if entry.sources])
def test_second_derivatives(entry: Operation) -> None:
    for _, call, inputs in examples(entry, 2):
        for dtype in FLOATS:
            assert matches(call, [each.astype(dtype) for each in inputs], 2)


@each_entry([entry for entry in TABLE.values() if entry.sources])
def test_third_derivatives(entry: Operation) -> None:
    """Beside finite differences of the second ones."""
    for _, call, inputs in examples(entry, 1):
        leaves = [ninja.tensor(each, device="cuda", requires_grad=True) for each in inputs]

        def gradients(*args: Any, call: Call = call) -> Any:
            out = call(ninja, *args)
            weight = ninja.linspace(0.5, 1.5, out.numel(), dtype=out.dtype).reshape(out.shape)
            weighted = (out.to(args[0].device) * weight.to(args[0].device)).sum()
            total = weighted.double() + sum((each * 0).sum() for each in args)
            return ninja.autograd.grad(total, args, create_graph=True)

        if call(ninja, *leaves).dtype is ninja.float64:
            assert gradgradcheck(gradients, leaves)


def test_the_lectures_26_gradients() -> None:
    """`ninja check --device cuda`, in float32 and in float64."""
    command = [sys.executable, "-m", "tinygrad_ninja", "check", "--device", "cuda"]
    found = subprocess.run(command, capture_output=True, encoding="utf-8", cwd=ROOT, timeout=120)
    assert found.returncode == 0, found.stdout
    assert len(re.findall(r"^\w+ +\(.*(float32|float64) ", found.stdout, re.MULTILINE)) == 2 * 26


def test_what_is_compared_on_the_gpu_is_there() -> None:
    x = ninja.tensor([1.0], device="cuda", requires_grad=True)
    y = (x * 2).exp()
    y.backward()
    assert isinstance(y.array, torch.Tensor)
    assert y.array.is_cuda
    assert x.grad.array.is_cuda
