"""Steps compiled on torch's tensors (on the CPU, and on a GPU where there is one): beside eager code, beside
PyTorch's own training, and with input that is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch as pytorch
from compiled_steps import OPTIMIZERS, close, compare_training, second

import tinygrad_ninja as torch
from tinygrad_ninja.nn import functional as F
from tinygrad_ninja.program.compile import CompileWarning, UnsupportedError, compile
from tinygrad_ninja.rng.torch_generator import TorchGenerator

PLAIN = [
    ("torch", "torch"),
    pytest.param("cuda", "torch", marks=pytest.mark.gpu),
    pytest.param("cuda", "inductor", marks=pytest.mark.gpu),
]
DEVICES = pytest.mark.parametrize(("device", "backend"), PLAIN)
FUSED_TOO = pytest.mark.parametrize(
    ("device", "backend"), [*PLAIN, pytest.param("torch", "inductor", marks=pytest.mark.slow)]
)
PLACES = pytest.mark.parametrize("device", ["torch", pytest.param("cuda", marks=pytest.mark.gpu)])

# How inductor's own workers and code caches behave is torch's affair.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")

SHAPES = [(27, 4), (12, 9), (9,), (9, 27), (27,), (1, 9), (1, 9)]


def lecture(xp: Any, device: Any, dtype: type = np.float32) -> tuple[Callable[[Any], Any], list[Any], Any]:
    """The lecture's step in its lines, small, of a batch that is given; its parameters; and its data. `xp` is
    the engine."""
    rng = np.random.default_rng(3)
    X, Y = (xp.tensor(rng.integers(0, 27, n), device=device) for n in ((70, 3), 70))
    parameters = [xp.tensor((rng.normal(size=n) * 0.3).astype(dtype), device=device) for n in SHAPES]
    C, W1, b1, W2, b2, gain, bias = parameters
    for p in parameters:
        p.requires_grad = True

    def step(ix: Any) -> Any:
        emb = C[X[ix]]
        n = emb.shape[0]
        hprebn = emb.view(n, -1) @ W1 + b1
        diff = hprebn - hprebn.mean(0, keepdim=True)
        h = xp.tanh(gain * diff * ((diff**2).mean(0, keepdim=True) + 1e-5) ** -0.5 + bias)
        logits = h @ W2 + b2
        counts = (logits - logits.max(1, keepdim=True).values).exp()
        probs = counts * counts.sum(1, keepdim=True) ** -1
        loss = -probs.log()[range(n), Y[ix]].mean()
        for p in parameters:
            p.grad = None
        loss.backward()
        for p in parameters:
            p.data += -0.1 * p.grad
        return loss

    return step, parameters, (X, Y)


def drawing(device: str, batch: int) -> tuple[Callable[[], Any], list[Any], Any]:
    """The same, with the draw inside; and its generator."""
    step, parameters, (X, _) = lecture(torch, device)
    g = torch.Generator().manual_seed(5)
    return lambda: step(torch.randint(0, X.shape[0], (batch,), generator=g)), parameters, g


@DEVICES
@pytest.mark.parametrize("batch", [1, 5, 32])
def test_the_lectures_step_leaves_what_eager_code_leaves(batch: int, device: str, backend: str) -> None:
    (eager, theirs, g), (recorded, mine, h) = drawing(device, batch), drawing(device, batch)
    step = compile(recorded, fullgraph=True, backend=backend)
    for _ in range(25):
        want, have = eager(), step()
        close(have, want)
        assert not have.requires_grad
    for p, q in zip(mine, theirs, strict=True):
        close(p, q)
        close(p.grad, q.grad)
        assert not p.array.requires_grad
        assert p.grad.array.grad_fn is None  # torch's own autograd stays off
    assert (g.get_state() == h.get_state()).all()


@FUSED_TOO
def test_it_trains_as_pytorch_does(device: str, backend: str) -> None:
    theirs, truth, _ = lecture(pytorch, "cpu", np.float64)
    recorded, mine, _ = lecture(torch, device, np.float64)
    step = compile(recorded, fullgraph=True, backend=backend)
    rng = np.random.default_rng(0)
    for _ in range(20):
        ix = rng.integers(0, 70, 16)
        have, want = step(ix), theirs(pytorch.tensor(ix))
        assert have.item() == pytest.approx(want.item(), rel=1e-12)
    for p, q in zip(mine, truth, strict=True):
        np.testing.assert_allclose(p.numpy(force=True), q.detach().numpy(), rtol=1e-10, atol=1e-12)


def test_the_code_is_straight_lines_in_the_readers_names() -> None:
    g = torch.Generator().manual_seed(5)
    W, x = torch.ones(3, 2, device="torch", requires_grad=True), torch.ones(4, 3, device="torch")

    def step(rate: float) -> Any:
        h = (x @ W + torch.rand(4, 2, generator=g, device="torch")).tanh()
        loss = (h * h).sum()
        W.grad = None
        loss.backward()
        W.data -= rate * W.grad
        return loss

    compiled = compile(step, fullgraph=True, backend="torch")
    for rate in (0.5, 0.25):
        compiled(rate)
    source = compiled.source()
    for line in ("h = torch.tanh(x @ W + ", "loss = ", "W_grad = x.T @ ", "W.copy_(W_new)"):
        assert line in source
    assert "0.5" not in source  # a number that changes is not written into it
    assert "for " not in source
    names: dict[str, Any] = {"torch": pytorch}
    exec(source, names)
    assert callable(names["step"])


@PLACES
def test_numbers_are_drawn_on_the_device(device: str) -> None:
    """By a generator of that device: what it draws, and where it is then, are as in eager code."""
    x = torch.ones(5, device=device)

    def drawing_from(g: Any) -> Callable[[], Any]:
        def f() -> Any:
            ix = torch.randint(0, 5, (3,), generator=g, device=device)
            return x[ix] * torch.rand(3, generator=g, device=device), ix

        return f

    g, h = TorchGenerator(device), TorchGenerator(device)
    for each in (g, h):
        each.manual_seed(7)
    eager, step = drawing_from(g), compile(drawing_from(h), fullgraph=True, backend="torch")
    for _ in range(5):
        for have, want in zip(step(), eager(), strict=True):
            close(have, want)
    assert (g.get_state() == h.get_state()).all()


@FUSED_TOO
@OPTIMIZERS
def test_optimizers_buffers_and_modes(optimizer: Callable[[Any], Any], device: str, backend: str) -> None:
    chosen, other = compare_training(optimizer, backend, device)
    counts = [[kept.get("step") for kept in each.state.values()] for each in (chosen, other)]
    assert str(counts[0]) == str(counts[1])


@DEVICES
def test_arguments_are_read_anew(device: str, backend: str) -> None:
    """Other Tensors, and one that is the same but for its numbers."""
    w = torch.tensor([1.0, 2.0, 3.0], device=device)
    step = compile(lambda x, factor: (w * x) * factor, fullgraph=True, backend=backend)
    same = torch.tensor([1.0, -1.0, 0.5], device=device)
    for x, factor in ((same, 2.0), (same + 1, 2.0), (same, -0.5), (same * 3, 1.5), (same, 4.0)):
        close(step(x, factor), (w * x) * factor)
    same *= 2.0
    close(step(same, 1.0), w * same)
    with pytest.warns(CompileWarning, match="other shapes, dtypes or types"):
        step(same[:1], 1.0)
    w.data = torch.tensor([5.0, 5.0, 5.0], device=device)
    for _ in range(3):
        close(step(same, 1.0), w * same)


@FUSED_TOO
def test_what_a_step_writes_to_an_argument_is_there(device: str, backend: str) -> None:
    def swap(x: Any, y: Any) -> None:
        before = x.clone()
        x.copy_(y)
        y.copy_(before)

    step = compile(swap, fullgraph=True, backend=backend)
    for i in range(4):
        a, b = torch.full((3,), float(i), device=device), torch.ones(3, device=device)
        step(a, b)
        assert a.tolist() == [1.0] * 3
        assert b.tolist() == [float(i)] * 3


# -- bad input -----------------------------------------------------------------------------------------------


def reading(device: str) -> tuple[Callable[[Any], Any], Any]:
    C = torch.tensor(np.arange(15.0, dtype=np.float32).reshape(5, 3), device=device, requires_grad=True)

    def f(ix: Any) -> Any:
        C.grad = None
        loss = C[ix].sum()
        loss.backward()
        C.data += -0.1 * C.grad
        return loss

    return f, C


def wrong_indices(step: Any, given: Callable[[Any], Any], C: Any) -> None:
    """It works; then three calls are refused, and change only what eager code has changed by then; then it
    works again."""
    for _ in range(3):
        step(given([0, 4, -5, 4]))
    before = C.tolist()
    for wrong in ([0, 5, 1, 1], [0, -6, 1, 1], [2**40, 0, 0, 0]):
        with pytest.raises(IndexError, match="out of bounds"):
            step(given(wrong))
    assert C.tolist() == before
    assert C.grad is None
    assert step(given([0, 0, 0, 0])).item() == pytest.approx(4 * sum(before[0]), rel=1e-6)


@FUSED_TOO
def test_an_index_out_of_range_raises_as_in_eager_code(device: str, backend: str) -> None:
    """Given as a Tensor on the device, as an array of the host's, or computed of either."""
    for given in (lambda ix: torch.tensor(ix, device=device), np.array):
        for compute in (lambda ix: ix, lambda ix: ix * 2 - ix):
            f, C = reading(device)
            step = compile(lambda ix, f=f, g=compute: f(g(ix)), fullgraph=True, backend=backend)
            wrong_indices(step, given, C)


@PLACES
def test_an_index_out_of_range_in_data_that_is_read_by_an_index(device: str) -> None:
    """Rows that are not read may hold anything."""
    f, C = reading(device)
    data = torch.tensor([0, 4, -5, 4, 1, 1, 1, 1], device=device)
    step = compile(lambda rows: f(data[rows]), backend="torch")
    step(np.arange(4))
    before = C.tolist()
    data += torch.tensor([0, 0, 0, 0, 9, 0, 0, 0], device=device)
    with pytest.warns(CompileWarning, match=r"recorded again, for an index that is not in \[-5, 5\)"):
        assert step(np.arange(4)).item() != 0
    before = C.tolist()
    with pytest.raises(IndexError, match="out of bounds for dimension 0 with size 5"):
        step(np.arange(4) + 4)
    assert C.tolist() == before


@DEVICES
def test_integers_are_not_divided_by_zero(device: str, backend: str) -> None:
    step = compile(lambda a, b: (a // b, a % b), fullgraph=True, backend=backend)
    a, twos = torch.tensor([7, -7], device=device), torch.tensor([2, 2], device=device)
    for _ in range(3):
        assert [each.tolist() for each in step(a, twos)] == [[3, -4], [1, 1]]
    with pytest.raises(RuntimeError, match="division by zero"):
        step(a, torch.tensor([2, 0], device=device))
    assert [each.tolist() for each in step(a, twos)] == [[3, -4], [1, 1]]


@PLACES
def test_targets_are_looked_at_again(device: str) -> None:
    step = compile(lambda x, y: F.cross_entropy(x, y), fullgraph=True, backend="torch")
    x = torch.tensor([[1.0, 2.0, 0.5]] * 2, device=device)
    for target in ([0, 2], [1, -100]):
        y = torch.tensor(target, device=device)
        close(step(x, y), F.cross_entropy(x, y))
    with pytest.raises(IndexError, match="out of bounds"):
        step(x, torch.tensor([0, 3], device=device))
    known = compile(lambda x: F.cross_entropy(x, torch.arange(2, device=device) ^ 1), backend="torch")
    for _ in range(2):
        close(known(x), F.cross_entropy(x, torch.tensor([1, 0], device=device)))


@PLACES
def test_what_is_not_compiled_says_so(device: str) -> None:
    x = torch.ones(3, device=device)

    def item() -> Any:
        return x * x.sum().item()

    line = item.__code__.co_firstlineno + 1
    said = r"item\(\), or what else asks for a number, reads a value"
    with pytest.raises(UnsupportedError, match=rf"test_compile_torch.py:{line}: {said}"):
        compile(item, fullgraph=True, backend="torch")()
    with pytest.raises(RuntimeError, match="expected all tensors to be on the same device"):
        compile(lambda: x + torch.ones(3), backend="torch")()
    with pytest.raises(UnsupportedError, match=f'the backend "c" is not for Tensors on {x.device}'):
        compile(lambda: x * 2, fullgraph=True, backend="c")()
    with pytest.raises(UnsupportedError, match='the backend "torch" is not for Tensors on cpu'):
        compile(lambda: torch.ones(3) * 2, fullgraph=True, backend="torch")()


@DEVICES
@pytest.mark.filterwarnings("ignore:.*is recorded again")
def test_an_update_that_finds_no_gradients_at_first(device: str, backend: str) -> None:
    def trained(compile_: Callable[[Any], Any]) -> Any:
        w = torch.ones(2, device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=0.1)

        def update() -> None:
            optimizer.step()
            optimizer.zero_grad()

        update = compile_(update)
        for k in range(4):
            update()
            (w * k).sum().backward()
        return w.detach()

    close(trained(lambda f: compile(f, fullgraph=True, backend=backend)), trained(lambda f: f))


@PLACES
def test_memory_that_two_tensors_share_is_not_changed(device: str) -> None:
    x = torch.ones(6, device=device)
    part = x[2:4].detach()

    def f() -> Any:
        x.data += 1.0
        return part * 1

    with pytest.raises(UnsupportedError, match="shares its memory"):
        compile(f, fullgraph=True, backend="torch")()


# -- memory --------------------------------------------------------------------------------------------------


@DEVICES
def test_gradients_and_results_that_somebody_holds_stay_as_they_are(device: str, backend: str) -> None:
    step, (C, *_), _ = drawing(device, 4)
    compiled = compile(step, fullgraph=True, backend=backend)
    compiled()
    compiled()
    loss, held, array, numbers = (
        compiled(),
        C.grad,
        compiled() and C.grad.array,
        compiled() and C.grad.numpy(),
    )
    kept = loss.item(), held.tolist(), array.tolist(), numbers.tolist()
    for _ in range(3):
        compiled()
    assert (loss.item(), held.tolist(), array.tolist(), numbers.tolist()) == kept


@DEVICES
def test_what_the_host_keeps_is_changed_there(device: str, backend: str) -> None:
    """A count in NumPy's memory, which the step changes and the device reads, and a result for each."""
    x, count = torch.ones(3, device=device), torch.zeros(2)

    def f() -> Any:
        count.data += 2.0
        there = x * count.sum().to(device)
        return there, count * 3, there.sum().to("cpu")

    step = compile(f, fullgraph=True, backend=backend)
    for i in range(1, 5):
        there, here, moved = step()
        assert (str(there.device), str(here.device), str(moved.device)) == (str(x.device), "cpu", "cpu")
        assert (there.tolist(), here.tolist(), moved.item()) == ([4.0 * i] * 3, [6.0 * i] * 2, 12.0 * i)
    assert count.tolist() == [8.0, 8.0]


@FUSED_TOO
def test_nan_and_infinity_are_kept(device: str, backend: str) -> None:
    x = torch.tensor([np.nan, np.inf, -np.inf, 0.0, -0.0, 3e38, -1.0], device=device)

    def f(x: Any) -> Any:
        flipped = torch.maximum(x, x.flip(0))
        sums = (x.sum(), x.softmax(0), x.max(), x[1:].max(), x.argmax(), x[1:].argmin())
        made = (x.exp(), x.log(), x.tanh(), x.sqrt(), x**-0.5, 1 / x, x - x, flipped, x.isnan(), *sums)
        return made if backend == "inductor" else (*made, x * 0)  # which torch.compile takes for 0

    for mine, theirs in zip(second(f, x, backend=backend), f(x), strict=True):
        np.testing.assert_allclose(mine.numpy(), theirs.numpy(), rtol=1e-6)


# -- many programs -------------------------------------------------------------------------------------------


@PLACES
@pytest.mark.parametrize("seed", range(4))
def test_random_programs(seed: int, device: str) -> None:
    from test_compile_numbers import random_program

    rng = np.random.default_rng(seed)
    program = random_program(rng)
    dtype, tolerance = [("float32", 1e-4), ("float64", 1e-11)][seed % 2]
    leaves = [
        torch.tensor(rng.normal(size=(4, 6)).astype(dtype), device=device, requires_grad=True)
        for _ in range(3)
    ]
    for mine, theirs in zip(second(program, *leaves, backend="torch"), program(*leaves), strict=True):
        assert (mine is None) == (theirs is None)
        if theirs is not None:
            close(mine, theirs, tolerance)


def test_without_tools_the_lines_run_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    x = torch.ones(3, device="torch")
    step = compile(lambda: x * 2, fullgraph=True)
    with pytest.warns(CompileWarning, match=r"needs a C\+\+ compiler.* straight-line torch code"):
        assert step().tolist() == [2.0, 2.0, 2.0]


def test_half_precision_meets_a_number_unrounded() -> None:
    def f(x: Any, scale: float) -> Any:
        return x * scale, x + scale, x / scale

    fast, x = compile(f, backend="torch"), torch.tensor([1e-3, 1.0], device="torch").half()
    for scale in (2.0, 4.0, 65536.0, 1e-8, 3.0):
        for mine, eager in zip(fast(x, scale), f(x, scale), strict=True):
            np.testing.assert_array_equal(mine.numpy(force=True), eager.numpy(force=True))


def test_functions_that_read_values_see_those_of_the_tensor() -> None:
    def f(i: Any, p: Any) -> Any:
        return F.one_hot(i), torch.multinomial(p, 2)

    i, p = torch.tensor([1, 2], device="torch"), torch.tensor([0.0, 0.5, 0.5], device="torch")
    torch.manual_seed(0)
    want = f(i, p)
    torch.manual_seed(0)
    with pytest.warns(CompileWarning, match="runs as eager code"):
        have = compile(f, backend="torch")(i, p)
    for mine, eager in zip(have, want, strict=True):
        close(mine, eager, 0.0)


PARTS: dict[str, Callable[[Any], Any]] = {
    "an element": lambda x: x[1, 2],
    "a row": lambda x: x[1].sum(),
    "rows": lambda x: x[torch.tensor([0, 2, 0], device=x.device)].sum(),
    "a diagonal": lambda x: x.diagonal().sum(),
    "a triangle": lambda x: x.tril().sum(),
    "one of two": lambda x: x.chunk(2)[1].sum(),
    "padded": lambda x: torch.nn.functional.pad(x, (1, 0)).cumsum(0).sum(),
}


@DEVICES
@pytest.mark.parametrize("part", PARTS)
def test_the_gradient_of_a_part(part: str, device: str, backend: str) -> None:
    """It is 1 there and 0 elsewhere, the same at each call: its values are kept, and not only its shape."""

    def step(x: Any) -> Any:
        y = (x * 2).tanh().requires_grad_()
        (g,) = torch.autograd.grad(PARTS[part](y), y)
        return g, g * x

    compiled = compile(step, fullgraph=True, backend=backend)
    for i in range(3):
        x = torch.arange(12.0, device=device).view(4, 3) + i
        for have, want in zip(compiled(x), step(x), strict=True):
            assert have.tolist() == want.tolist()
