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
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

import tinygrad_ninja as torch
from tinygrad_ninja.program.compile import compile, torch_step


class Graph(TorchDispatchMode):
    """What torch computes while this is captured: nothing yet; a replay computes it, into the same memory.

    It holds that memory and not the tensors: where somebody else holds one, the step takes another.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Callable[[], Any], Any]] = []  # each with what it gave
        self.before: list[tuple[pytorch.Tensor, pytorch.Tensor]] = []  # what was read, as it was

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        inputs = tree_map_only(pytorch.Tensor, pytorch.Tensor.detach, (args, kwargs or {}))
        self.before += [(x, x.clone()) for x in tree_leaves(inputs) if isinstance(x, pytorch.Tensor)]
        result = function(*args, **(kwargs or {}))
        memory = tree_map_only(pytorch.Tensor, pytorch.Tensor.detach, result)
        self.calls.append((lambda: function(*inputs[0], **inputs[1]), memory))
        return result

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        for x, value in reversed(self.before):
            x.copy_(value)

    def replay(self) -> None:
        for call, memory in self.calls:
            for captured, now in zip(tree_leaves(memory), tree_leaves(call()), strict=True):
                if captured.data_ptr() != now.data_ptr():  # unlike views, and what is written in place
                    captured.copy_(now)


class OnGPU(torch_step.Replay):
    """A Replay that takes the CPU for a GPU."""

    def __init__(self, function: Any, device: Any, *rest: Any) -> None:
        super().__init__(function, SimpleNamespace(type="cuda"), *rest)


@pytest.fixture
def captures(monkeypatch: pytest.MonkeyPatch) -> list[Graph]:
    """The graphs that were captured since the test began."""
    captured: list[Graph] = []

    @contextmanager
    def capturing(graph: Graph, **_: Any) -> Iterator[None]:
        captured.append(graph)
        with graph:
            yield

    stream = SimpleNamespace(wait_stream=lambda other: None)
    for name, value in {
        "CUDAGraph": Graph, "graph": capturing, "Stream": lambda: stream, "current_stream": lambda: stream,
        "stream": lambda _: nullcontext(), "device": lambda _: nullcontext(),
    }.items():  # fmt: skip
        monkeypatch.setattr(pytorch.cuda, name, value)
    monkeypatch.setattr(torch_step, "Replay", OnGPU)
    return captured


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


def test_wrong_indices_raise_as_in_eager_code(captures: list[Graph]) -> None:
    f, C = reading("torch")
    step = compile(lambda ix: f(ix * 2 - ix), fullgraph=True, backend="torch")
    wrong_indices(step, lambda ix: torch.tensor(ix, device="torch"), C)
    assert captures
