"""How a CUDA graph is warmed up, captured and replayed, with a stand-in for it that runs on the CPU: what it
captures it runs again, on the same memory, and what is elsewhere by then it does not see."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch as pytorch
from compiled_steps import close, trained
from test_compile_torch import drawing, reading, wrong_indices

import tinygrad_ninja as torch
from tinygrad_ninja.program.compile import compile
from tinygrad_ninja.program.compile.replay import Replay


class Graph:
    """Calls that were captured, each on other Tensors of the same memory."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], None]] = []

    def replay(self) -> None:
        for each in self.calls:
            each()


@pytest.fixture
def captures(monkeypatch: pytest.MonkeyPatch) -> list[Graph]:
    """The graphs that were captured since the test began."""
    found: list[Graph] = []
    now: list[Graph] = []
    run = Replay._run

    @contextmanager
    def capturing(graph: Graph, **_: Any) -> Iterator[None]:
        found.append(graph)
        now.append(graph)
        yield
        now.pop()

    def run_or_capture(self: Replay, tensors: list[Any]) -> None:
        if now:
            fixed = [each.detach() for each in tensors]
            now[-1].calls.append(lambda: run(self, list(fixed)))
        else:
            run(self, tensors)

    stream = SimpleNamespace(wait_stream=lambda other: None)
    for name, value in {
        "CUDAGraph": Graph, "graph": capturing, "Stream": lambda: stream, "current_stream": lambda: stream,
        "stream": lambda _: nullcontext(), "device": lambda _: nullcontext(),
    }.items():  # fmt: skip
        monkeypatch.setattr(pytorch.cuda, name, value)
    monkeypatch.setattr(Replay, "_run", run_or_capture)
    monkeypatch.setattr(Replay, "__call__", Replay._replay)
    return found


def test_a_step_is_captured_once(captures: list[Graph]) -> None:
    (eager, theirs, _), (recorded, mine, _) = drawing("torch", 8), drawing("torch", 8)
    step = compile(recorded, fullgraph=True, backend="torch")
    for _ in range(12):
        close(step(), eager())
    for p, q in zip(mine, theirs, strict=True):
        close(p, q)
    assert len(captures) == 1


def test_arguments_and_numbers_are_copied_in(captures: list[Graph]) -> None:
    model, chosen, eager = trained(lambda ps: torch.optim.AdamW(ps, lr=0.01), "torch")
    twin, other, recorded = trained(lambda ps: torch.optim.AdamW(ps, lr=0.01), "torch")
    step = compile(recorded, backend="torch")
    rng = np.random.default_rng(0)
    for i in range(8):
        chosen.param_groups[0]["lr"] = other.param_groups[0]["lr"] = 0.01 / (i + 1)
        x = torch.tensor(rng.normal(size=(7, 6)).astype(np.float32), device="torch")
        y = torch.tensor(rng.integers(0, 4, 7), device="torch")
        close(step(x, y)["loss"], eager(x, y)["loss"])
    for name, value in model.state_dict().items():
        close(twin.state_dict()[name], value, 2e-5)
    assert len(captures) == 1


def test_what_is_held_or_replaced_is_captured_again(captures: list[Graph]) -> None:
    recorded, (C, *_), _ = drawing("torch", 4)
    step = compile(recorded, fullgraph=True, backend="torch")
    for _ in range(3):
        step()
    held, kept = C.grad, C.grad.tolist()
    for _ in range(4):
        step()
    assert held.tolist() == kept
    assert len(captures) == 2
    C.data = C.data * 0.5
    for _ in range(4):
        before = C.tolist()
        step()
        np.testing.assert_allclose(C.tolist(), np.array(before) - 0.1 * np.array(C.grad.tolist()), rtol=1e-5)
    assert len(captures) == 3


def test_wrong_indices_change_nothing(captures: list[Graph]) -> None:
    f, C = reading("torch")
    step = compile(lambda ix: f(ix * 2 - ix), fullgraph=True, backend="torch")
    wrong_indices(step, lambda ix: torch.tensor(ix, device="torch"), C)
    assert captures
