"""Compiled functions that several threads call at once, and that call each other."""

import random
import signal
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from at_once import THREADS, at_once, switching
from command import posix
from compiled_steps import close

import tinygrad_ninja as torch
from tinygrad_ninja import Value, nn
from tinygrad_ninja.program.compile import CompileWarning, compile

CALLS = 60
WHERE = pytest.mark.parametrize(("device", "backend"), [("cpu", "c"), ("cpu", "numpy"), ("torch", "torch")])

# A second shape is recorded anew, and says so.
pytestmark = pytest.mark.filterwarnings("ignore:.*is recorded again")


@WHERE
@pytest.mark.slow
def test_each_thread_has_its_own_answer(device: str, backend: str) -> None:
    """From the first call on, which records, and for arguments of different shapes; the products take long
    enough for threads to meet."""
    W = torch.arange(128.0 * 128, device=device).view(128, 128) / 16384

    def f(x: Any, scale: float) -> Any:
        return ((x @ W).tanh() @ W.T).sum(1) * scale

    step = compile(f, fullgraph=True, backend=backend)
    given = [torch.full((128 + i % 2, 128), (i + 1) / 8, device=device) for i in range(THREADS)]
    want = [f(x, i + 1.0) for i, x in enumerate(given)]

    for found, wanted in zip(
        at_once(lambda i: [step(given[i], i + 1.0) for _ in range(3 * CALLS)]), want, strict=True
    ):
        for have in found:
            close(have, wanted)


@WHERE
@pytest.mark.slow
def test_thousands_of_calls_give_the_numbers_of_eager_code(device: str, backend: str) -> None:
    """Of arguments of four shapes, with two numbers, and with a gradient; recorded by whoever comes first."""
    W = torch.randn(32, 16, generator=torch.Generator().manual_seed(1)).to(device).requires_grad_()

    def f(x: Any, scale: float) -> Any:
        loss = ((x @ W).tanh() * scale).square().mean()
        W.grad = None
        loss.backward()
        return loss, W.grad * 1

    step = compile(f, fullgraph=True, backend=backend, recompile_limit=64)
    sizes, scales = (3, 5, 8, 130), (0.5, 1.25)
    given = {n: torch.randn(n, 32, generator=torch.Generator().manual_seed(n)).to(device) for n in sizes}
    want = {(n, scale): [x.detach().tolist() for x in f(given[n], scale)] for n in sizes for scale in scales}

    def work(number: int) -> None:
        choose = random.Random(number)
        for _ in range(1000):
            n, scale = choose.choice(sizes), choose.choice(scales)
            for have, wanted in zip(step(given[n], scale), want[n, scale], strict=True):
                np.testing.assert_allclose(have.detach().tolist(), wanted, rtol=1e-4, atol=1e-6)

    at_once(work)


@WHERE
def test_threads_take_turns_at_a_generator(device: str, backend: str) -> None:
    """Each draw goes to one of them, and together they are those of one thread."""
    g, h = (torch.Generator().manual_seed(3) for _ in range(2))

    def draw(generator: torch.Generator) -> Any:
        ix = torch.randint(0, 10**6, (3,), generator=generator, device=device)
        return ix, torch.rand(2, generator=generator, device=device)

    step = compile(lambda: draw(g), fullgraph=True, backend=backend)
    found = at_once(lambda _: [[x.tolist() for x in step()] for _ in range(CALLS)])
    want = [[x.tolist() for x in draw(h)] for _ in range(THREADS * CALLS)]
    assert sorted(pair for each in found for pair in each) == sorted(want)
    assert (g.get_state() == h.get_state()).all()


@WHERE
def test_several_functions_draw_from_one_generator(device: str, backend: str) -> None:
    """Each number goes to one of them, also where a call raises, and gives back what it drew."""
    g, h = (torch.Generator().manual_seed(3) for _ in range(2))
    table = torch.arange(8, device=device)

    def draw(generator: torch.Generator, row: Any) -> Any:
        return torch.randint(0, 10**6, (5,), generator=generator, device=device), table[row]

    inside, outside = torch.tensor([7], device=device), torch.tensor([8], device=device)

    def work(number: int) -> list[list[int]]:
        step, found = compile(lambda row: draw(g, row), fullgraph=True, backend=backend), []
        for i in range(CALLS):
            if number == 0 and i % 8 == 7:
                with pytest.raises(IndexError):
                    step(outside)
            else:
                found.append(step(inside)[0].tolist())
        return found

    found = [numbers for each in at_once(work) for numbers in each]
    spent = [draw(h, inside)[0].tolist() for _ in range(THREADS * CALLS)]
    assert len({*map(tuple, found)}) == len(found)
    assert {*map(tuple, found)} < {*map(tuple, spent)}
    assert (g.get_state() == h.get_state()).all()  # eager code, too, has drawn before it raises


@WHERE
def test_no_change_of_a_parameter_is_lost(device: str, backend: str) -> None:
    """Nor of an optimizer's state, which the first calls make as eager code."""

    def training() -> tuple[Callable[[], Any], Any]:
        w = torch.tensor([1.0, -2.0], device=device, requires_grad=True)
        optimizer = torch.optim.Adam([w], lr=0.01)

        def step() -> Any:
            loss = (w * w).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        return step, w

    (eager, theirs), (recorded, mine) = training(), training()
    step = compile(recorded, backend=backend)
    found = at_once(lambda _: [step().item() for _ in range(CALLS)])
    want = [eager().item() for _ in range(THREADS * CALLS)]
    assert sorted(loss for each in found for loss in each) == pytest.approx(sorted(want), rel=1e-4)
    close(mine, theirs, 1e-4)


def trained(seed: int, device: str, backend: str) -> tuple[list[float], list[Any]]:
    """The losses and the parameters of a training of its own: its running statistics, and Adam's."""
    g = torch.Generator().manual_seed(seed)
    X, Y = torch.randn(200, 10, generator=g).to(device), torch.randint(0, 5, (200,), generator=g).to(device)
    model = nn.Sequential(nn.Linear(10, 32), nn.BatchNorm1d(32), nn.Tanh(), nn.Linear(32, 5))
    for p in model.parameters():
        p.data = torch.randn(p.shape, generator=g) * 0.1
    optimizer = torch.optim.AdamW(model.to(device).parameters(), lr=0.01)

    def step() -> Any:
        ix = torch.randint(0, 200, (16,), generator=g, device=device)
        loss = nn.functional.cross_entropy(model(X[ix]), Y[ix])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    descend = compile(step, backend=backend)
    return [descend().item() for _ in range(30)], [p.tolist() for p in model.parameters()]


@WHERE
@pytest.mark.slow
def test_trainings_that_are_recorded_at_once_have_the_bits_of_trainings_in_a_row(
    device: str, backend: str
) -> None:
    in_a_row = [trained(seed, device, backend) for seed in range(THREADS)]
    assert at_once(lambda seed: trained(seed, device, backend)) == in_a_row


@posix
@pytest.mark.parametrize("backend", ["c", "numpy"])
@pytest.mark.slow
def test_what_interrupts_a_call_may_call_too(backend: str) -> None:
    """As the handler of a signal does, between the step and the copies of what it has computed."""
    W = torch.ones(32, 32)
    step = compile(lambda x: (x @ W).sum(1), fullgraph=True, backend=backend)
    one, two = torch.ones(32, 32), torch.full((32, 32), 2.0)
    found = []

    def interrupt(number: int, frame: Any) -> None:
        found.append(step(two).tolist())
        signal.setitimer(signal.ITIMER_REAL, 2e-4)  # not periodic: a slow machine would never get out of here

    before = signal.signal(signal.SIGALRM, interrupt)
    step(one)
    signal.setitimer(signal.ITIMER_REAL, 2e-4)
    try:
        ends = time.monotonic() + 1.5
        while time.monotonic() < ends:
            assert step(one).tolist() == [1024.0] * 32
    finally:
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(found) > 100
    assert all(row == [2048.0] * 32 for row in found)


def test_each_thread_has_its_own_number_of_values() -> None:
    w = Value(0.5)

    def f(x: float) -> Any:
        return ((w * x).tanh() + x).data

    step = compile(f, fullgraph=True)

    def work(i: int) -> None:
        for _ in range(CALLS):
            assert step(i + 0.5) == pytest.approx(f(i + 0.5), rel=1e-12)

    at_once(work)
    assert w.data == 0.5


def test_what_can_not_be_compiled_is_told_once() -> None:
    step = compile(lambda x: x * x.sum().item())
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = at_once(lambda i: step(torch.ones(2) * i).tolist())
    assert found == [[2.0 * i * i] * 2 for i in range(THREADS)]
    assert [each.category for each in told] == [CompileWarning]


def test_threads_that_record_at_once_do_not_meet() -> None:
    """Each compiles functions of its own, again and again, and computes as eager code does meanwhile."""
    array = torch.Tensor.__dict__["array"]
    shared, v = torch.ones(3, requires_grad=True), Value(2.0)

    def train(i: int) -> list[list[float]]:
        found = []
        for _ in range(8):
            W = torch.ones(4, requires_grad=True)

            def step(W: Any = W) -> torch.Tensor:
                loss = (W * W).sum() * shared.detach().sum()
                W.grad = None
                loss.backward()
                W.data += -0.125 * (i + 1) / 3 * W.grad
                return loss

            compiled = compile(step, fullgraph=True, backend="numpy")
            for _ in range(3):
                compiled()
                assert (shared * 2).sum().item() == 6.0
                assert (v * v).data == 4.0
            found.append(W.tolist())
        return found

    assert at_once(train) == [[[(1 - 0.25 * (i + 1)) ** 3] * 4] * 8 for i in range(THREADS)]
    assert torch.Tensor.__dict__["array"] is array


def test_another_thread_sees_nothing_of_a_recording() -> None:
    """Neither eager code nor another compiled function finds in a Tensor or a Value what one keeps."""
    W, w = torch.ones(3, requires_grad=True), Value(2.0)
    other = compile(lambda: W.detach() * 2, fullgraph=True, backend="numpy")
    done = threading.Event()

    def record() -> None:
        try:
            for _ in range(40):
                compile(lambda: (W * W).sum().backward(), fullgraph=True, backend="numpy")()
                compile(lambda: ((w * w).backward(), None)[1])()
        finally:
            done.set()

    thread = threading.Thread(target=record)
    thread.start()
    with switching():
        while not done.is_set():
            gradient = W.grad
            assert type(W.array) is np.ndarray
            assert gradient is None or type(gradient.array) is np.ndarray
            assert type(w.data) is type(w.grad) is float
            assert other().tolist() == [2.0, 2.0, 2.0]
    thread.join()
    assert W.grad is not None
    assert (W.grad.tolist(), w.grad) == ([80.0] * 3, 160.0)


# -- one that calls another ----------------------------------------------------------------------------------


def test_a_compiled_function_within_another_is_a_part_of_it() -> None:
    W = torch.ones(2)
    inner = compile(lambda x: x * W + 1, fullgraph=True)
    outer = compile(lambda x: inner(x * 2) * inner(np.ones(2, np.float32)), fullgraph=True)
    for i in range(3):
        assert outer(torch.ones(2) * i).tolist() == [4.0 * i + 2] * 2
    assert inner(torch.ones(2)).tolist() == [2.0, 2.0]


def test_a_compiled_function_may_call_itself() -> None:
    """While it is recorded, and as eager code."""

    def power(x: Any, n: str) -> Any:
        return x if n == "" else x * compiled(x, n[1:])

    compiled = compile(power, fullgraph=True)
    assert compiled(torch.tensor([2.0, 3.0]), "...")[1].item() == 81.0
    assert compiled(torch.tensor([1.0, 2.0]), "...")[1].item() == 16.0

    def halved(x: Any) -> Any:
        return x if x.sum().item() < 1 else again(x / 2)

    again = compile(halved)
    with pytest.warns(CompileWarning, match="halved runs as eager code"):
        assert again(torch.tensor([6.0])).item() == 0.75
