"""Numbers of classes derived from Python's own count as numbers, as in PyTorch."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

import pytest
import torch

import tinygrad_ninja


class Kind(enum.IntEnum):
    """An integer with a name."""

    TWO = 2


class Number(float):
    """A float of a class of its own."""


CASES: dict[str, Callable[[Any, Any, Any], Any]] = {
    "mul": lambda t, x, i: x * Number(2.0),
    "mul of integers": lambda t, x, i: i * Number(2.5),
    "mul by a member": lambda t, x, i: i * Kind.TWO,
    "rsub": lambda t, x, i: Number(2.0) - x,
    "div": lambda t, x, i: Kind.TWO / x,
    "pow": lambda t, x, i: x**Kind.TWO,
    "eq": lambda t, x, i: x == Kind.TWO,
    "add_": lambda t, x, i: x.clone().add_(Number(2.0)),
    "fill_": lambda t, x, i: x.clone().fill_(Kind.TWO),
    "clamp": lambda t, x, i: t.clamp(x, min=Number(3.0)),
    "where": lambda t, x, i: t.where(x > 1, Number(1.0), x),
    "masked_fill": lambda t, x, i: x.masked_fill(x > 1, Number(0.5)),
    "leaky_relu": lambda t, x, i: t.nn.functional.leaky_relu(-x, Number(0.5)),
    "full": lambda t, x, i: t.full((2,), Number(2.0)),
    "full of a member": lambda t, x, i: t.full((2,), Kind.TWO),
    "full_like": lambda t, x, i: t.full_like(i, Kind.TWO),
    "tensor": lambda t, x, i: t.tensor(Number(2.0)),
    "tensor of a list": lambda t, x, i: t.tensor([Number(2.0), 1]),
    "tensor of members": lambda t, x, i: t.tensor([[Kind.TWO, 1]]),
    "zeros": lambda t, x, i: t.zeros(Kind.TWO),
    "sum": lambda t, x, i: x.sum(Kind.TWO - 2),
    "view": lambda t, x, i: x.view(Kind.TWO, 1),
}


@pytest.mark.parametrize("name", CASES)
def test_numbers_of_derived_classes(name: str) -> None:
    def run(library: Any) -> tuple[str, Any]:
        x = library.tensor([1.5, 2.0])
        out = CASES[name](library, x, library.tensor([1, 2]))
        return str(out.dtype), out.tolist()

    assert run(tinygrad_ninja) == run(torch)
