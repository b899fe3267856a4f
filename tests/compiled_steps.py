"""What the tests of compiled steps share."""

import os
import re
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from table_calls import Array, Call, NoExampleError, Seeded, answer, draw_call

import tinygrad_ninja as torch
from tinygrad_ninja import nn
from tinygrad_ninja.nn import functional as F
from tinygrad_ninja.ops import TABLE, Operation
from tinygrad_ninja.program.compile import CompileWarning, compile


def close(have: Any, want: Any, tolerance: float = 1e-5) -> None:
    """Two Tensors of one shape, dtype and device, the same to a share of the largest element."""
    assert have.device == want.device
    a, b = (each.numpy(force=True) for each in (have, want))
    assert (a.shape, a.dtype) == (b.shape, b.dtype)
    np.testing.assert_allclose(
        a, b, rtol=tolerance, atol=tolerance * max(1.0, float(np.abs(b).max(initial=0.0)))
    )


def second(f: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Return what the compiled function gives at its second call: the first is eager code."""
    fast = compile(f, fullgraph=True, **options)
    fast(*arguments)
    return fast(*arguments)


@contextmanager
def told_once(sentence: str) -> Iterator[None]:
    """What runs inside warns once, that it is not compiled, and why."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        yield
    assert [each.category for each in told] == [CompileWarning], [str(each.message) for each in told]
    assert re.search(f"runs as eager code.*{sentence}", str(told[0].message)), told[0].message


# -- a training, with an optimizer's state -------------------------------------------------------------------

OPTIMIZERS = pytest.mark.parametrize(
    "optimizer",
    [
        lambda ps: torch.optim.SGD(ps, lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=True),
        pytest.param(lambda ps: torch.optim.AdamW(ps, lr=0.01, amsgrad=True), marks=pytest.mark.slow),
    ],
)


def trained(optimizer: Callable[[Any], Any], device: str) -> tuple[Any, Any, Callable[[Any, Any], Any]]:
    """A small model, its optimizer, and a step."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(6, 9, bias=False), nn.BatchNorm1d(9), nn.ReLU(), nn.Linear(9, 4), nn.LayerNorm(4)
    ).to(device)
    chosen = optimizer(model.parameters())

    def step(x: Any, y: Any) -> Any:
        loss = F.cross_entropy(model(x.to(device)), y.to(device))
        chosen.zero_grad()
        loss.backward()
        chosen.step()
        return {"loss": loss, "rows": len(x)}

    return model, chosen, step


def compare_training(
    optimizer: Callable[[Any], Any], backend: str, device: str = "cpu"
) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
    """Compare a compiled training with an eager one: an optimizer's state, a learning rate that changes,
    running statistics, eval() after train(), and arguments that are NumPy's arrays.

    Returns the optimizers.
    """
    rng = np.random.default_rng(0)
    model, chosen, eager = trained(optimizer, device)
    twin, other, recorded = trained(optimizer, device)
    step = compile(recorded, backend=backend)
    for i in range(8):
        x, y = rng.normal(size=(7, 6)).astype(np.float32), rng.integers(0, 4, 7)
        if i == 4:
            chosen.param_groups[0]["lr"] = other.param_groups[0]["lr"] = 0.003
        if i == 6:
            model.eval()
            twin.eval()
            with pytest.warns(CompileWarning, match="recorded again"):
                have = step(x, y)
        else:
            have = step(x, y)
        want = eager(torch.tensor(x), torch.tensor(y))
        close(have["loss"], want["loss"])
        assert have["rows"] == 7
    for name, value in model.state_dict().items():
        close(twin.state_dict()[name], value, 2e-5)
    return chosen, other


# -- the table of operations ---------------------------------------------------------------------------------

ENTRIES = pytest.mark.parametrize(
    "entry", [e for e in TABLE.values() if e.name != "to_device"], ids=lambda e: e.name
)
REFUSED: dict[str, str] = {
    name: f"the operation {name} is not compiled" for name in ("scatter_amax", "scatter_amin", "scatter_prod")
}
"""What is not compiled to C, and what it is told."""
TOLERANCE = {"float32": 1e-5, "float64": 1e-12}
EXAMPLES = 6


def several(items: list[tuple[Call, int]]) -> Call:
    """A step that makes each call with so many of its arguments, and returns the values and the gradients."""

    def step(*tensors: Any) -> Any:
        results = []
        left = list(tensors)
        for apply, n in items:
            mine, left = left[:n], left[n:]
            out = apply(*mine)
            results.append(out.detach().clone())
            if out.requires_grad:
                weight = (
                    torch.arange(out.numel(), device=out.device).reshape(out.shape).to(out.dtype) * 0.25 + 1
                )
                leaves = [each for each in mine if each.requires_grad]
                results += torch.autograd.grad((out * weight).sum(), leaves, allow_unused=True)
        return [each for each in results if each is not None]

    return step


def drawn_step(entry: Operation) -> tuple[Call, list[Array]]:
    """Return a step of several drawn calls of the entry, in several dtypes, and its arguments.

    They are one compilation, and the same every time.
    """
    draw = Seeded(0)
    items: list[tuple[Call, int]] = []
    arrays: list[Array] = []
    for _ in range(200 * EXAMPLES):
        call, inputs = draw_call(draw, entry, special=draw.choice([False, True]))
        dtype = draw.choice(["float32", "float64", "float32", "int64", "bool"])
        inputs = [array.astype(dtype) for array in inputs]
        try:
            answer(call, inputs)
        except NoExampleError:
            continue
        items.append((call.apply, len(inputs)))  # type: ignore[attr-defined]
        arrays += inputs
        if len(items) == EXAMPLES:
            return several(items), arrays
    raise AssertionError(f"PyTorch refuses too much of what is drawn for {entry.name}")


def same(have: list[Any], want: list[Any]) -> None:
    assert len(have) == len(want)
    for mine, eager in zip(have, want, strict=True):
        assert (mine.shape, mine.dtype) == (eager.shape, eager.dtype)
        a, b = mine.numpy(), eager.numpy()
        if b.dtype.kind != "f":
            np.testing.assert_array_equal(a, b)
            continue
        tolerance = TOLERANCE[b.dtype.name]
        finite = b[np.isfinite(b)]
        scale = max(1.0, np.abs(finite).max(initial=0.0))
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * scale)


def surroundings(**more: str) -> dict[str, str]:
    """This process's environment, in which the package is found, with more variables."""
    root = str(Path(__file__).parent.parent)
    return {**os.environ, "PYTHONPATH": os.pathsep.join([os.environ.get("PYTHONPATH", ""), root]), **more}


def run(
    script: str, folder: Path | None = None, preexec: Callable[[], None] | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a script in a process of its own, in a folder."""
    return subprocess.run(
        [sys.executable, "-W", "always", "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=folder,
        env=surroundings(**environment),
        preexec_fn=preexec,
    )
