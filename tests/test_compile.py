"""Whole steps compiled, beside the same steps as eager code: what they compute, draw, change, check and
refuse."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from compiled_steps import OPTIMIZERS, close, compare_training
from slow_ones import slow_but

import tinygrad_ninja as torch
from tinygrad_ninja.program.compile import CompileWarning, UnsupportedError, compile

BACKENDS = pytest.mark.parametrize("backend", ["c", "numpy"])


def expanded(batch: int, hidden: int) -> tuple[Callable[[], Any], list[Any], Any]:
    """The lecture's step in its lines, small; its parameters and its generator."""
    g = torch.Generator().manual_seed(5)
    X, Y = torch.randint(0, 27, (70, 3), generator=g), torch.randint(0, 27, (70,), generator=g)
    shapes = [(27, 10), (30, hidden), (hidden,), (hidden, 27), (27,), (1, hidden), (1, hidden)]
    C, W1, b1, W2, b2, gain, bias = parameters = [torch.randn(each, generator=g) * 0.3 for each in shapes]
    for p in parameters:
        p.requires_grad = True

    def step() -> Any:
        ix = torch.randint(0, X.shape[0], (batch,), generator=g)
        emb = C[X[ix]]
        hprebn = emb.view(batch, -1) @ W1 + b1
        diff = hprebn - hprebn.mean(0, keepdim=True)
        h = torch.tanh(gain * diff * ((diff**2).mean(0, keepdim=True) + 1e-5) ** -0.5 + bias)
        logits = h @ W2 + b2
        counts = (logits - logits.max(1, keepdim=True).values).exp()
        probs = counts * counts.sum(1, keepdim=True) ** -1
        loss = -probs.log()[range(batch), Y[ix]].mean()
        for p in parameters:
            p.grad = None
        loss.backward()
        for p in parameters:
            p.data += -0.1 * p.grad
        return loss

    return step, parameters, g


@BACKENDS
@pytest.mark.parametrize("sizes", slow_but([(1, 1), (5, 17), (32, 64)], (5, 17)))
def test_the_lectures_step_leaves_what_eager_code_leaves(sizes: tuple[int, int], backend: str) -> None:
    """Losses, parameters, gradients and the generator's state, at sizes of one and odd ones, through the
    twist of the generator's words."""
    eager, theirs, g = expanded(*sizes)
    recorded, mine, h = expanded(*sizes)
    step = compile(recorded, fullgraph=True, backend=backend)
    for _ in range(25):
        want, have = eager(), step()
        close(have, want)
        assert not have.requires_grad
    for p, q in zip(mine, theirs, strict=True):
        close(p, q)
        close(p.grad, q.grad)
    assert (g.get_state() == h.get_state()).all()


@BACKENDS
@OPTIMIZERS
def test_optimizers_buffers_and_modes(optimizer: Callable[[Any], Any], backend: str) -> None:
    compare_training(optimizer, backend)


class Trainer:
    """Counts its steps, under the name of a method that it calls of something else."""

    def __init__(self) -> None:
        self.w = torch.tensor([1.0, 2.0], requires_grad=True)
        self.optimizer = torch.optim.SGD([self.w], lr=0.1)
        self.step, self.scale = 0, 2.0

    def descend(self) -> Any:
        loss = (self.w * self.w).sum() * self.scale
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss


def test_only_a_methods_own_attributes_are_looked_at() -> None:
    mine, theirs = Trainer(), Trainer()
    step = compile(mine.descend, fullgraph=True)
    for i in range(6):
        close(step(), theirs.descend())
        mine.step += 1
        if i == 3:
            mine.scale = theirs.scale = 3.0
            with pytest.warns(CompileWarning, match="`self.scale` was 2.0 and is 3.0"):
                close(step(), theirs.descend())
    close(mine.w, theirs.w)


def test_it_says_what_is_computed_in_each_loop() -> None:
    def f(x: Any) -> Any:
        scaled = x * 2.0
        h = scaled.tanh()
        return h * h

    step = compile(f, fullgraph=True)
    step(torch.ones(4, 3))
    (loop,) = step.fused
    assert loop.endswith("[4, 3]: scaled = mul, h = tanh, mul")


def test_arguments_are_read_anew_and_shapes_recorded_anew() -> None:
    w = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)

    def f(x: Any, factor: Any, shift: Any) -> Any:
        return ((w.detach() * x) * factor + shift, x.sum())

    step = compile(f, fullgraph=True)
    x = torch.tensor([1.0, -1.0, 0.5])
    for factor, shift in ((2.0, 1), (-0.5, 7)):
        for mine, theirs in zip(step(x, factor, shift), f(x, factor, shift), strict=True):
            close(mine, theirs)
    source = step.source()
    with pytest.warns(CompileWarning, match="other shapes, dtypes or types") as told:  # noqa: PT031 - one for both
        step(x[:1], 2.0, 1)
        step(x.to(torch.float64), 2.0, 1)
    assert len(told) == 1
    assert step(x, 3.0, 0)[0].tolist() == [3.0, -6.0, 4.5]
    assert "w[" in source
    assert "x[" in source
    assert len(step.program.instructions) > 2


def test_a_value_read_out_is_refused_by_its_line_or_runs_as_eager_code() -> None:
    w = torch.tensor([1.0, 2.0], requires_grad=True)

    def f(x: Any) -> Any:
        if (w * x).sum().item() > 3:
            return w.detach() + 1
        return w.detach() - 1

    line = f.__code__.co_firstlineno + 1
    said = r"item\(\), or what else asks for a number, reads a value"
    with pytest.raises(UnsupportedError, match=rf"test_compile.py:{line}: {said}"):
        compile(f, fullgraph=True)(torch.ones(2))
    step = compile(f)
    with pytest.warns(CompileWarning, match=f"eager code.*test_compile.py:{line}"):
        assert step(torch.ones(2)).tolist() == [0.0, 1.0]
    assert step(2 * torch.ones(2)).tolist() == [2.0, 3.0]


def test_what_is_not_compiled_says_so() -> None:
    kept = []
    x = torch.ones(3)

    def keeps() -> Any:
        kept.append(x * 2)
        return x + 1

    def made_inside() -> Any:
        return torch.ones(3, requires_grad=True)

    def numpy_function() -> Any:
        return torch.tensor(np.mean(x.numpy()))

    for f, why in (
        (made_inside, "is made inside"),
        (numpy_function, r"numpy\(\) reads a value"),
    ):
        with pytest.raises(UnsupportedError, match=why):
            compile(f, fullgraph=True)()
    step = compile(keeps)
    with pytest.warns(CompileWarning, match="keeps runs as eager code"):  # noqa: PT031 - the third time
        for _ in range(4):
            step()
    assert x.tolist() == [1.0, 1.0, 1.0]


@BACKENDS
def test_an_index_out_of_range_is_told_before_memory_is_touched(backend: str) -> None:
    C = torch.randn(5, 3, requires_grad=True)

    def f(ix: Any) -> Any:
        C.grad = None
        loss = C[ix].sum()
        loss.backward()
        C.data += -0.1 * C.grad
        return loss

    step = compile(f, fullgraph=True, backend=backend)
    step(torch.tensor([0, 4, -5, 4]))
    before = C.tolist()
    for wrong in ([0, 5, 1, 1], [0, -6, 1, 1], [2**40, 0, 0, 0]):
        with pytest.raises(IndexError, match="out of bounds"):
            step(torch.tensor(wrong))
    assert C.tolist() == before


def test_integers_are_not_divided_by_zero() -> None:
    step = compile(lambda a, b: (a // b, a % b), fullgraph=True)
    a = torch.tensor([7, -7])
    assert [each.tolist() for each in step(a, torch.tensor([2, 2]))] == [[3, -4], [1, 1]]
    with pytest.raises(RuntimeError, match="division by zero"):
        step(a, torch.tensor([2, 0]))


def test_gradients_that_somebody_holds_stay_as_they_are() -> None:
    step, (C, *_), _ = expanded(4, 5)
    compiled = compile(step, fullgraph=True)
    compiled()
    held, array = C.grad, compiled() and C.grad.numpy()
    first, second = held.tolist(), array.tolist()
    compiled()
    compiled()
    assert held.tolist() == first
    assert array.tolist() == second


def test_what_changed_outside_is_seen() -> None:
    """Another array in a parameter, a number in a closure, another object under a name: all recorded or
    read anew."""
    w = torch.ones(3)
    rate = 2.0

    def f() -> Any:
        return w * rate

    step = compile(f, fullgraph=True)
    assert step().tolist() == [2.0, 2.0, 2.0]
    w.data = torch.tensor([1.0, 2.0, 3.0])
    assert step().tolist() == [2.0, 4.0, 6.0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CompileWarning)
        rate = 3.0
        assert step().tolist() == [3.0, 6.0, 9.0]
        w = torch.tensor([1.0, 1.0])
        assert step().tolist() == [3.0, 3.0]


@BACKENDS
@pytest.mark.parametrize(
    "change",
    [
        lambda h: h.tanh().mul_(2),
        lambda h: h.exp().add_(1),
        lambda h: (h * h).sigmoid().zero_(),
        lambda h: h.relu_(),
        lambda h: h.add_(1),
        lambda h: h.sum().mul_(0.9),
        lambda h: h.mul_(h.detach().clone()).tanh_(),
    ],
)
def test_a_change_of_what_backward_needs_raises_and_others_do_not(
    change: Callable[[Any], Any], backend: str
) -> None:
    w = torch.tensor([1.0, -2.0, 0.5], requires_grad=True)

    def f() -> Any:
        loss = change(w * 1.5).sum()
        w.grad = None
        loss.backward()
        return loss

    step = compile(f, fullgraph=True, backend=backend)
    try:
        want, slope = f().detach(), w.grad
    except RuntimeError:
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            step()
        return
    for _ in range(2):
        close(step(), want)
        close(w.grad, slope)


def test_pytorchs_arguments_of_compile() -> None:
    def f(x: Any) -> Any:
        return x * 2

    x = torch.arange(3.0)
    for mode in (None, "default", "reduce-overhead", "max-autotune"):
        fast = compile(f, mode=mode, dynamic=False, fullgraph=True)
        assert fast(x).tolist() == fast(x).tolist() == [0, 2, 4]
        assert fast.runs_by != "eager"
    assert compile(f, disable=True) is compile(disable=True)(f) is compile(f, backend="eager") is f
    with pytest.raises(NotImplementedError, match="options"):
        compile(f, options={"max_autotune": True})
    real: Any = pytest.importorskip("torch")
    messages = []
    for engine in (real, torch):
        with pytest.raises(RuntimeError) as error:
            engine.compile(f, mode="fast")
        messages.append(str(error.value))
    assert messages[0] == messages[1]
