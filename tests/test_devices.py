"""Where a Tensor's numbers are: NumPy's arrays ("cpu") or torch's tensors ("torch", and "cuda" where there is
one)."""

from __future__ import annotations

import numpy as np
import torch

import tinygrad_ninja as ninja
from tinygrad_ninja import nn


def test_a_tensor_moves_and_its_gradient_comes_back() -> None:
    x = ninja.tensor([1.0, 2.0, 3.0], requires_grad=True)
    moved = x.to("torch")
    assert type(moved.array) is torch.Tensor
    assert moved.device == ninja.device("torch")
    (moved * moved).sum().backward()
    assert x.grad is not None
    assert type(x.grad.array) is np.ndarray
    assert x.grad.tolist() == [2.0, 4.0, 6.0]
    assert type(moved.to("cpu").array) is np.ndarray


def test_a_module_moves() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).to("torch")
    for each in [*model.parameters(), *model.buffers()]:
        assert type(each.array) is torch.Tensor
    out = model(ninja.randn(5, 3).to("torch"))
    assert type(out.array) is torch.Tensor
    assert out.array.grad_fn is None  # torch's own autograd stays off
