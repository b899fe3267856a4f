"""Long chains work, and a graph goes the moment it is no longer needed, without the garbage collector."""

import gc
import tracemalloc
import weakref
from collections.abc import Callable, Iterator

import pytest

import tinygrad_ninja as t

CHAIN = 100_000


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.freeze()  # what there is already, garbage or not, is none of the test's
    gc.disable()
    yield
    gc.enable()


def chain(x: t.Tensor, length: int = CHAIN) -> t.Tensor:
    for _ in range(length // 2):
        x = (x * 1.0).tanh()
    return x


def test_long_chain_forward_backward_and_freed() -> None:
    x = t.ones(1, requires_grad=True)
    y = x
    for _ in range(CHAIN):
        y = y + 1.0
    assert y.item() == CHAIN + 1
    y.backward()
    assert x.grad.item() == 1.0
    del y


def test_long_chain_dropped_without_backward(no_collector: None) -> None:
    x = t.ones(1, requires_grad=True)
    first = x.tanh()
    alive = weakref.ref(first.array)
    y = chain(first)
    del first
    assert alive() is not None
    del y
    assert alive() is None


def test_long_chain_through_create_graph_is_freed(no_collector: None) -> None:
    """The graph of the gradient refers to the forward graph: both go together."""
    x = t.full((1,), 0.5, requires_grad=True)
    first = x.tanh()
    alive = weakref.ref(first.array)
    (slope,) = t.autograd.grad(chain(first, CHAIN // 10), x, create_graph=True)
    del first
    slope.backward()
    del slope
    x.grad = None
    assert alive() is None


def test_long_chain_of_in_place_changes() -> None:
    x = t.ones(1, requires_grad=True)
    y = x * 1.0
    for _ in range(CHAIN // 10):
        y += 1.0
    y.backward()
    assert y.item() == CHAIN // 10 + 1
    assert x.grad.item() == 1.0


def test_backward_frees_what_it_kept_while_the_loss_lives(no_collector: None) -> None:
    x = t.ones(3, requires_grad=True)
    hidden = x.exp()
    alive = weakref.ref(hidden.array)
    loss = (hidden * hidden).sum()
    del hidden
    assert alive() is not None, "backward needs it"
    loss.backward()
    assert alive() is None
    assert loss.item() > 0


def test_retain_graph_keeps_it(no_collector: None) -> None:
    x = t.ones(3, requires_grad=True)
    hidden = x.exp()
    alive = weakref.ref(hidden.array)
    loss = (hidden * hidden).sum()
    del hidden
    loss.backward(retain_graph=True)
    assert alive() is not None
    loss.backward()
    assert alive() is None


def test_no_grad_keeps_nothing(no_collector: None) -> None:
    x = t.ones(3, requires_grad=True)
    with t.no_grad():
        hidden = x.exp()
        alive = weakref.ref(hidden.array)
        loss = hidden.tanh()
    del hidden
    assert alive() is None
    assert not loss.requires_grad


STEPS: dict[str, Callable[[t.Tensor], t.Tensor]] = {
    "elementwise": lambda x: ((x * 2).tanh() / (x.exp() + 1) - x**2).relu().sum(),
    "reductions": lambda x: x.max() + x.softmax(0).var() + x.cumsum(0).mean() + x.max(0).values,
    "views": lambda x: (x.view(3, 1).T[0][1:] * t.stack([x, x])[0][[0, 0]]).sum(),
    "in place": lambda x: (x * 1).mul_(2)[1:].add_(1).sum(),
    "assignment": lambda x: [y := x * 2, y.__setitem__(0, x[1]), y.sum()][-1],
    "retained": lambda x: [h := x * 2, h.retain_grad(), (h * h).sum()][-1],
    "hook": lambda x: [h := x * 2, h.register_hook(lambda gradient: gradient * 2), (h * h).sum()][-1],
    "second derivative": lambda x: t.autograd.grad((x**3).sum(), x, create_graph=True)[0].sum(),
}


@pytest.mark.parametrize("backward", [True, False], ids=["backward", "dropped"])
@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_steps_leave_nothing_behind(
    step: Callable[[t.Tensor], t.Tensor], backward: bool, no_collector: None
) -> None:
    """With the collector off, the number of objects it knows does not grow with the number of steps."""
    x = t.tensor([0.5, 1.0, 2.0], requires_grad=True)

    def run(steps: int) -> int:
        for _ in range(steps):
            loss = step(x)
            if backward:
                loss.backward()
                x.grad = None
        return len(gc.get_objects())

    run(10)
    before = run(10)
    assert run(300) - before < 30


@pytest.mark.slow
def test_memory_is_flat_over_ten_thousand_steps(no_collector: None) -> None:
    """Without the garbage collector, and traced by Python itself: what a step leaves behind would show."""
    w = t.ones(4, 3, requires_grad=True)
    x = t.ones(5, 4)

    def steps(n: int) -> int:
        for _ in range(n):
            w.grad = None
            ((x @ w).tanh() ** 2).mean().backward()
            w.data -= 0.01 * w.grad
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before = steps(500)
        after = steps(10_000)
    finally:
        tracemalloc.stop()
    assert after - before < 10_000  # a byte a step
