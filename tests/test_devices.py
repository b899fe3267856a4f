"""Where a Tensor's numbers are: NumPy's arrays ("cpu") or torch's tensors ("torch", and "cuda" where there is
one)."""

import functools
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from slow_ones import slow_but
from torch.overrides import TorchFunctionMode

import tinygrad_ninja as ninja
import tinygrad_ninja.nn.functional as F
from tinygrad_ninja import nn
from tinygrad_ninja.makemore.models import MODELS
from tinygrad_ninja.makemore.run import Run
from tinygrad_ninja.rng.torch_generator import TorchGenerator

ROOT = Path(__file__).parents[1]
DEVICES = pytest.mark.parametrize("device", ["torch", pytest.param("cuda", marks=pytest.mark.gpu)])


@DEVICES
def test_a_tensor_moves_and_its_gradient_comes_back(device: str) -> None:
    x = ninja.tensor([1.0, 2.0, 3.0], requires_grad=True)
    moved = x.to(device)
    assert type(moved.array) is torch.Tensor
    assert moved.device.type == device
    (moved * moved).sum().backward()
    assert x.grad is not None
    assert type(x.grad.array) is np.ndarray
    assert x.grad.tolist() == [2.0, 4.0, 6.0]
    assert type(moved.to("cpu").array) is np.ndarray
    assert ninja.tensor([1, 2], device=device).device == moved.device
    assert moved.is_cuda == (device == "cuda")


@DEVICES
def test_a_module_moves(device: str) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).to(device)
    for each in [*model.parameters(), *model.buffers()]:
        assert each.array.device.type == ("cpu" if device == "torch" else device)
    out = model(ninja.randn(5, 3).to(device))
    assert type(out.array) is torch.Tensor
    assert out.device.type == device
    assert type(model.cpu()(ninja.randn(5, 3)).array) is np.ndarray


# -- torch's own autograd ------------------------------------------------------------------------------------


class Unrecorded(TorchFunctionMode):
    """Looks at all that PyTorch computes, and counts it."""

    seen = 0

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = function(*args, **(kwargs or {}))
        for each in [*args, *(out if isinstance(out, (tuple, list)) else [out])]:
            if isinstance(each, torch.Tensor):
                self.seen += 1
                assert not each.requires_grad, function
                assert each.grad_fn is None, function
        return out


@DEVICES
@pytest.mark.parametrize("model", slow_but(MODELS, "bn-mlp", "lstm", "gpt"))
def test_no_grad_fn_appears_in_a_training(model: str, device: str, tmp_path: Path) -> None:
    """`ninja train --device torch`, every operation of it: forward, backward, update, evaluation."""
    options: dict[str, Any] = {"model": model, "steps": 3, "eval_every": 2}
    if model in ("deep", "gpt"):
        options |= {"layers": 1, "embedding": 8}
    with Unrecorded() as unrecorded:
        run = Run.start(tmp_path, options, device)
        assert list(run.training.run()) == [1, 2, 3]
    assert unrecorded.seen > 100
    for each in run.training.model.parameters():
        assert type(each.array) is torch.Tensor
        assert type(each.grad.array) is torch.Tensor


# -- generators ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "draw",
    [
        lambda t, d, g: t.rand(5, device=d, generator=g),
        lambda t, d, g: t.rand(5, 7, device=d, generator=g, dtype=t.float64),
        lambda t, d, g: t.randn(20, device=d, generator=g),
        lambda t, d, g: t.randn(3, 4, device=d, generator=g),
        lambda t, d, g: t.randint(9, (5,), device=d, generator=g),
        lambda t, d, g: t.randint(-3, 9, (5, 2), device=d, generator=g),
        lambda t, d, g: t.randperm(9, device=d, generator=g),
        lambda t, d, g: t.multinomial(t.ones(9, device=d), 2, generator=g),
        lambda t, d, g: t.zeros(8, 3, device=d).normal_(1.0, 2.0, generator=g),
        lambda t, d, g: t.zeros(8, 3, device=d).uniform_(-1, 2, generator=g),
    ],
)
@DEVICES
def test_a_generator_of_torchs_draws_torchs_numbers(draw: Callable[..., Any], device: str) -> None:
    """Twice, and again from the state in between, which PyTorch takes as well."""
    place = "cpu" if device == "torch" else device
    ours, theirs = TorchGenerator(device).manual_seed(42), torch.Generator(place).manual_seed(42)
    assert ours.device.type == device
    assert ours.initial_seed() == 42
    for _ in range(2):
        state = ours.get_state()
        found, expected = draw(ninja, device, ours), draw(torch, place, theirs)
        assert found.device.type == device
        np.testing.assert_array_equal(found.cpu().numpy(), expected.cpu().numpy())
        np.testing.assert_array_equal(ours.get_state().numpy(), theirs.get_state().numpy())
    again = ours.clone_state().set_state(state)
    np.testing.assert_array_equal(draw(ninja, device, again).cpu().numpy(), found.cpu().numpy())


@pytest.mark.gpu
def test_a_generator_on_the_gpu_is_torchs() -> None:
    generator = ninja.Generator(device="cuda")
    assert type(generator) is TorchGenerator
    theirs = torch.Generator(device="cuda")
    theirs.set_state(torch.from_numpy(generator.get_state().numpy()))
    found = ninja.randn(5, 3, device="cuda", generator=generator)
    expected = torch.randn(5, 3, device="cuda", generator=theirs)
    np.testing.assert_array_equal(found.cpu().numpy(), expected.cpu().numpy())


@pytest.mark.gpu
def test_the_gpu_gets_the_numbers_of_a_generator_on_the_cpu() -> None:
    found = ninja.randn(5, 3, device="cuda", generator=ninja.Generator().manual_seed(1))
    assert found.is_cuda
    assert found.tolist() == ninja.randn(5, 3, generator=ninja.Generator().manual_seed(1)).tolist()


# -- devices that meet ---------------------------------------------------------------------------------------

LABELS = [0, 2]


@pytest.mark.parametrize(
    "call",
    [
        lambda a, b, d: a + b,
        lambda a, b, d: b / a,
        lambda a, b, d: a**b,
        lambda a, b, d: a == b,
        lambda a, b, d: a @ b.T,
        lambda a, b, d: a.add_(b),
        lambda a, b, d: ninja.maximum(a, b),
        lambda a, b, d: ninja.cat([a, b]),
        lambda a, b, d: ninja.stack([a, b]),
        lambda a, b, d: ninja.where(a > 0, a, b),
        lambda a, b, d: ninja.where(a > 0, b, b),
        lambda a, b, d: a.masked_fill(b > 0, 0.0),
        lambda a, b, d: a.gather(1, b.long()),
        lambda a, b, d: a.index_select(0, b.long().flatten()),
        lambda a, b, d: a.index_add(0, ninja.tensor(LABELS, device=d), a),
        lambda a, b, d: F.cross_entropy(a, ninja.tensor(LABELS, device=d)),
        lambda a, b, d: F.nll_loss(a, ninja.tensor(LABELS, device=d)),
        lambda a, b, d: F.mse_loss(a, b),
        lambda a, b, d: F.embedding(ninja.tensor(LABELS, device=d), a),
        lambda a, b, d: F.layer_norm(a, (3,), b[0]),
        lambda a, b, d: F.batch_norm(a, b[0], b[1]),
        lambda a, b, d: F.linear(a, b),
        lambda a, b, d: nn.Linear(3, 2).to(d)(a),
        lambda a, b, d: a.clone().requires_grad_().backward(b),
    ],
)
@pytest.mark.parametrize(
    ("here", "there"),
    [
        ("cpu", "torch"),
        ("torch", "cpu"),
        pytest.param("cpu", "cuda", marks=pytest.mark.gpu),
        pytest.param("torch", "cuda", marks=pytest.mark.gpu),
    ],
)
def test_mixed_devices_are_both_named(call: Callable[..., Any], here: str, there: str) -> None:
    a, b = ninja.ones(2, 3).to(here), ninja.ones(2, 3).to(there)
    with pytest.raises(RuntimeError, match="same device") as raised:
        call(a, b, there)
    assert "\n" not in str(raised.value)
    assert str(a.device) in str(raised.value)
    assert str(b.device) in str(raised.value)


@DEVICES
def test_an_index_may_come_from_the_cpu_and_from_nowhere_else(device: str) -> None:
    x, index = ninja.ones(2, 3), ninja.tensor([1, 0])
    assert x.to(device)[index].device == x.to(device).device
    with pytest.raises(RuntimeError, match=f"which is on cpu, but found {device}"):
        x[index.to(device)]


# -- a device that is not there ------------------------------------------------------------------------------


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.parametrize(
    "ask",
    [
        lambda: ninja.tensor([1.0], device="cuda"),
        lambda: ninja.ones(2).to("cuda"),
        lambda: ninja.randn(2, device="cuda:1"),
        lambda: nn.Linear(2, 2).to("cuda"),
        lambda: nn.Linear(2, 2).cuda(),
        lambda: ninja.Generator(device="cuda"),
    ],
)
def test_without_a_gpu_it_says_how_to_get_one(ask: Callable[[], Any]) -> None:
    with pytest.raises(RuntimeError, match=r"^device cuda:\d is not available: PyTorch .*") as raised:
        ask()
    assert "\n" not in str(raised.value)
    assert ("https://pytorch.org" in str(raised.value)) == (torch.version.cuda is None)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.parametrize(
    ("call", "is_answered"),
    [
        (lambda t: (t.cuda.device_count(), t.cuda.is_bf16_supported(), t.cuda.memory_allocated()), True),
        (
            lambda t: (t.cuda.manual_seed(1), t.cuda.manual_seed_all(2), t.cuda.seed(), t.cuda.seed_all()),
            True,
        ),
        (
            lambda t: (t.cuda.empty_cache(), t.cuda.max_memory_allocated(), t.backends.mps.is_available()),
            True,
        ),
        (lambda t: t.cuda.synchronize(), False),
        (lambda t: t.cuda.current_device(), False),
        (lambda t: t.cuda.get_device_name(), False),
    ],
)
def test_what_is_asked_of_a_gpu_that_is_not_there(call: Callable[[Any], Any], is_answered: bool) -> None:
    if is_answered:
        assert call(ninja) == call(torch)
        return
    for t in (torch, ninja):
        with pytest.raises((AssertionError, RuntimeError)):  # of builds of PyTorch without and with CUDA
            call(t)


@pytest.mark.gpu
def test_what_is_asked_of_a_gpu() -> None:
    ninja.cuda.manual_seed_all(5)
    expected = torch.rand(3, device="cuda")
    torch.cuda.manual_seed_all(5)
    assert torch.equal(torch.rand(3, device="cuda"), expected)
    ninja.cuda.synchronize()
    assert ninja.cuda.get_device_name(0) == torch.cuda.get_device_name(0)
    assert ninja.cuda.device_count() == torch.cuda.device_count()


MADE = [
    lambda t: t.tensor(3.0),
    lambda t: t.tensor(t.ones(2, device="cpu")),
    lambda t: t.as_tensor(t.ones(2, device="cpu")),
    lambda t: t.as_tensor(np.ones(2)),
    lambda t: t.asarray([1.0]),
    lambda t: t.from_numpy(np.ones(2)),
    lambda t: t.frombuffer(bytearray(4), dtype=t.float32),
    lambda t: t.FloatTensor([1.0]),
    lambda t: t.Tensor([1.0]),
    lambda t: t.full((2,), 3),
    lambda t: t.arange(3),
    lambda t: t.linspace(0, 1, 3),
    lambda t: t.eye(2),
    lambda t: t.randn(2),
    lambda t: t.randperm(3),
    lambda t: t.normal(0.0, 1.0, (2,)),
    lambda t: t.zeros_like(t.ones(1, device="cpu")),
    lambda t: t.ones(1, device="cpu").new_zeros(2),
    lambda t: t.nn.Linear(2, 2).weight,
]
"""Under PyTorch the other device is "meta", under the engine "torch"."""


@pytest.mark.filterwarnings("ignore:To copy construct")
@pytest.mark.parametrize("make", MADE)
def test_where_tensors_are_made_after_set_default_device(make: Callable[[Any], Any]) -> None:
    places = []
    for t, other in ((torch, "meta"), (ninja, "torch")):
        t.set_default_device(other)
        try:
            assert t.get_default_device() == t.device(other)
            chosen = make(t).device
            with t.device("cpu"):
                assert make(t).device.type == t.get_default_device().type == "cpu"
            assert make(t).device == chosen
        finally:
            t.set_default_device(None)
        assert make(t).device == t.get_default_device() == t.device("cpu")
        places.append(chosen == t.device(other))
    assert places[0] == places[1]


def test_another_default_device_records_a_compiled_function_anew() -> None:
    fast = ninja.compile(lambda x: (x * 2, ninja.ones(2) * 3))
    x = ninja.ones(2)
    assert [y.device.type for y in fast(x)] == ["cpu", "cpu"]
    with ninja.device("torch"), pytest.warns(UserWarning, match="default device was None and is torch"):
        assert [y.device.type for y in fast(x)] == ["cpu", "torch"]
    assert [y.device.type for y in fast(x)] == ["cpu", "cpu"]


def test_the_default_device_is_that_of_a_thread() -> None:
    with ninja.device("torch"), ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: ninja.ones(1).device.type).result() == "cpu"


def test_switches_are_pytorchs() -> None:
    matmul = torch.backends.cuda.matmul
    before = matmul.allow_tf32
    try:
        for value in (True, False):
            ninja.backends.cuda.matmul.allow_tf32 = value
            assert matmul.allow_tf32 is value
            matmul.allow_tf32 = not value
            assert ninja.backends.cuda.matmul.allow_tf32 is not value
    finally:
        matmul.allow_tf32 = before
    assert ninja.backends.cudnn.benchmark == torch.backends.cudnn.benchmark
    for switch in ("cudnn.bench", "cuda.matmull", "mkldnn", "mps.x"):
        with pytest.raises(AttributeError, match=rf"has no '{switch.rpartition('.')[2]}' here"):
            functools.reduce(getattr, switch.split("."), ninja.backends)


def test_without_torch_it_says_how_to_get_it() -> None:
    script = (
        "import sys; sys.modules['torch'] = None; import tinygrad_ninja as t\n"
        "for device in 'torch', 'cuda':\n"
        "    try: t.tensor([1.0], device=device)\n"
        "    except RuntimeError as error: print(error)"
    )
    found = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, encoding="utf-8")
    lines = found.stdout.splitlines()
    assert len(lines) == 2
    for line in lines:
        assert line.endswith('needs PyTorch, which is not installed: pip install "tinygrad-ninja[torch]"')


@pytest.mark.gpu
def test_a_gpu_too_many_is_refused() -> None:
    with pytest.raises(RuntimeError, match=r"PyTorch sees .* here: the first is cuda:0"):
        ninja.ones(1).to(f"cuda:{torch.cuda.device_count()}")
