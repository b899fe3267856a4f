"""What a function that is composed of existing operations owes: second derivatives, a compiled step, and a
printed backward pass."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from derivations import TARGETS, run
from slow_ones import slow_but

import tinygrad_ninja as torch
from tinygrad_ninja.check import gradgradcheck
from tinygrad_ninja.program import derive

BACKENDS = pytest.mark.parametrize("backend", slow_but(["c", "numpy"], "numpy"))


def assert_recorded(f: Callable[..., Any], *arrays: Any, backend: str) -> None:
    """Compare the compiled step of Σ f² and its gradients with eager code, and the printed scripts, which
    check themselves; the second derivatives with finite differences."""
    leaves = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in arrays]
    assert gradgradcheck(f, leaves)

    def step(*leaves: Any) -> Any:
        loss = (f(*leaves) ** 2).sum()
        return loss, *torch.autograd.grad(loss, leaves)

    wanted = step(*leaves)
    compiled = torch.compile(step, fullgraph=True, backend=backend)
    for _ in range(2):  # the second time from what was recorded
        for have, want in zip(compiled(*leaves), wanted, strict=True):
            np.testing.assert_allclose(have.numpy(force=True), want.numpy(force=True), rtol=1e-10)
    names = {f"x{i}": leaf for i, leaf in enumerate(leaves)}
    for target in TARGETS:
        derived = run(derive((f(*leaves) ** 2).sum(), names=names).source(target))
        for name, want in zip(names, wanted[1:], strict=True):
            np.testing.assert_allclose(derived[f"d{name}"], want.numpy(), rtol=1e-10)
