"""Compiled functions that several threads call at once, and that call each other."""

import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from compiled_steps import close

import tinygrad_ninja as torch
from tinygrad_ninja import Value
from tinygrad_ninja.program.compile import CompileWarning, compile

THREADS, CALLS = 4, 60
WHERE = pytest.mark.parametrize(("device", "backend"), [("cpu", "c"), ("cpu", "numpy"), ("torch", "torch")])

# A second shape is recorded anew, and says so.
pytestmark = pytest.mark.filterwarnings("ignore:.*is recorded again")


@pytest.fixture(autouse=True)
def switching() -> Iterator[None]:
    """Python goes from thread to thread as often as it can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def at_once(work: Callable[[int], Any]) -> list[Any]:
    """What `work` answers in each of several threads that begin together."""
    together = threading.Barrier(THREADS)

    def begin(number: int) -> Any:
        together.wait()
        return work(number)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(begin, range(THREADS)))


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


def test_each_thread_has_its_own_number_of_values() -> None:
    w = Value(0.5)

    def f(x: float) -> Any:
        return (w * x).tanh() + x

    step = compile(f, fullgraph=True)

    def work(i: int) -> None:
        for _ in range(CALLS):
            assert step(i + 0.5).data == pytest.approx(f(i + 0.5).data, rel=1e-12)

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
