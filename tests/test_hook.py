"""Who watches a thread: observers nest, change nothing that others see, and each thread has its own."""

import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import tinygrad_ninja as torch
from tinygrad_ninja import Value, nn, optim
from tinygrad_ninja.autograd import Node, detect_anomaly, is_anomaly_enabled, set_detect_anomaly
from tinygrad_ninja.engine.hook import Observer, observers
from tinygrad_ninja.ops import TABLE
from tinygrad_ninja.rng.torch_generator import TorchGenerator

CLASSES = (torch.Tensor, Node, torch.Generator, TorchGenerator, nn.Module, optim.Optimizer, optim.Adam, Value)


@pytest.fixture(autouse=True)
def nobody_stays() -> Iterator[None]:
    yield
    assert not observers


# -- how they nest -------------------------------------------------------------------------------------------


class Doubling(Observer):
    """Notes what is read, and shows twice as much."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def read(self, holder: Any, slot: str) -> Any:
        self.seen.append(holder)
        return super().read(holder, slot) * 2


def test_what_an_observer_does_not_care_about_goes_to_the_outer_one() -> None:
    x = torch.ones(2)
    with Doubling() as outer, Observer(), Doubling() as inner:
        assert (x + x).tolist() == [32.0, 32.0]  # what was read is written, and read again
    assert any(each is x for each in outer.seen)
    assert any(each is x for each in inner.seen)
    assert x.tolist() == [1.0, 1.0]


def test_one_may_stay_longer_than_one_that_came_before() -> None:
    x = torch.ones(2)
    outer, inner = Doubling(), Doubling()
    outer.__enter__()
    inner.__enter__()
    outer.__exit__()
    assert x.array.tolist() == [2.0, 2.0]
    inner.__exit__()
    assert x.array.tolist() == [1.0, 1.0]


def test_a_setting_stays_when_what_it_was_set_in_has_ended() -> None:
    with torch.autocast("torch"):
        set_detect_anomaly(True)
    assert is_anomaly_enabled()
    assert not torch.is_autocast_enabled("torch")
    with torch.autocast("torch"):
        set_detect_anomaly(False)
        assert torch.is_autocast_enabled("torch")
    assert not is_anomaly_enabled()


def test_an_autocast_within_a_recording_and_around_one() -> None:
    x = torch.ones(2, 2, device="torch")

    def product() -> torch.Tensor:
        return x @ x

    def half() -> torch.Tensor:
        with torch.autocast("torch", torch.float16):
            return product()

    within, around = (torch.compile(fn, fullgraph=True, backend="torch") for fn in (half, product))
    for _ in range(2):
        assert within().dtype is torch.float16
        with torch.autocast("torch", torch.float16):
            assert around().dtype is torch.float16


# -- they change nothing -------------------------------------------------------------------------------------


def everything() -> dict[Any, Any]:
    """Return what the classes, the entries of the table and the modules of the package consist of."""
    found: dict[Any, Any] = {cls: {**vars(cls)} for cls in CLASSES}
    found.update((entry, {**vars(entry)}) for entry in TABLE.values())
    for name, module in [*sys.modules.items()]:
        if name.split(".")[0] == "tinygrad_ninja":
            found[name] = {key: each for key, each in vars(module).items() if callable(each)}
    return found


def step_of_tensors() -> Callable[[], Any]:
    g = torch.Generator().manual_seed(1)
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    optimizer = optim.Adam(model.parameters())

    def step() -> torch.Tensor:
        loss = model(torch.randn(4, 3, generator=g)).tanh().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    step()
    return torch.compile(step, fullgraph=True)


def step_of_values() -> Callable[[], Any]:
    w = Value(0.5)

    def step(x: float) -> Value:
        out = (w * x).tanh()
        out.backward()
        return out

    return lambda: torch.compile(step, fullgraph=True)(2.0)


def derivation() -> Callable[[], Any]:
    x = torch.randn(3, requires_grad=True)

    def loss(x: torch.Tensor) -> torch.Tensor:
        return x.exp().sum()

    return lambda: torch.derive(loss, x)


def watched(context: Callable[[], Any]) -> Callable[[], Callable[[], Any]]:
    def case() -> Callable[[], Any]:
        def run() -> None:
            x = torch.randn(2, 2, device="torch", requires_grad=True)
            with context():
                loss = (x @ x).sum()
                loss.backward()

        return run

    return case


CASES = {
    "compile": step_of_tensors,
    "compile Values": step_of_values,
    "derive": derivation,
    "autocast": watched(lambda: torch.autocast("torch")),
    "detect_anomaly": watched(detect_anomaly),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_nothing_is_put_in_the_place_of_anything(
    case: Callable[[], Callable[[], Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looked at when an observer leaves: by then the work is done, and nothing is undone."""
    observed = []
    leave = Observer.__exit__

    def look(self: Observer, *exc: object) -> None:
        observed.append(everything())
        leave(self, *exc)

    monkeypatch.setattr(Observer, "__exit__", look)
    case()()  # imports what it needs
    before = everything()
    observed.clear()
    case()()
    assert observed
    for found in (*observed, everything()):
        assert found == before


# -- each thread has its own ---------------------------------------------------------------------------------


@pytest.fixture
def frequent_switches() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("frequent_switches")
def test_threads_record_at_the_same_time() -> None:
    """They share a parameter; each gets the program that it gets when it is recorded alone, and leaves what
    it leaves then."""
    together = threading.Barrier(4, timeout=60)
    alone = True

    torch.manual_seed(3)
    W, total, g = torch.randn(4, 4, requires_grad=True), torch.zeros(4), torch.Generator()
    x, w = torch.linspace(-1, 1, 8).reshape(2, 4), Value(0.75)

    def sums() -> torch.Tensor:
        h = (x @ W.detach()).tanh()
        total.add_(h.sum(0))
        return h.sum() + total.sum()

    def gradients() -> torch.Tensor:
        W.grad = None
        loss = ((x @ W) ** 2).mean()
        loss.backward()
        return W.grad * 2

    def draws() -> torch.Tensor:
        noise = torch.rand(2, 4, generator=g)
        noise = noise + torch.randn(2, 4, generator=g)
        return x * noise

    def numbers() -> Value:
        out = (w * 0.5).tanh()
        out.backward()
        return out

    functions = (sums, gradients, draws, numbers)
    found: dict[Any, Any] = {}

    def record(function: Callable[[], Any]) -> None:
        compiled = torch.compile(function, fullgraph=True)
        if not alone:
            together.wait()
        result = compiled()
        found[function] = compiled.source(), result.data if isinstance(result, Value) else result.tolist()

    def reset() -> None:
        total.zero_()
        W.grad, w.grad = None, 0.0
        g.manual_seed(5)
        found.clear()

    def left() -> tuple[Any, ...]:
        assert W.grad is not None
        return {**found}, total.tolist(), W.grad.tolist(), g.get_state().tolist(), w.grad

    reset()
    for function in functions:
        record(function)
    want = left()
    alone = False
    reset()
    threads = [threading.Thread(target=record, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert left() == want


@pytest.mark.usefixtures("frequent_switches")
def test_a_thread_is_eager_beside_others_that_are_observed() -> None:
    """It sees no cast or check of another's."""
    W, w = torch.ones(2, 2, requires_grad=True), Value(2.0)
    begun, looked = threading.Event(), threading.Event()

    def casting() -> None:
        with torch.autocast("cpu", torch.float16), detect_anomaly():
            begun.set()
            assert looked.wait(60)

    thread = threading.Thread(target=casting)
    thread.start()
    assert begun.wait(60)
    product = W @ W
    assert product.dtype is torch.float32
    assert product.grad_fn is not None
    assert product.grad_fn.metadata == {}
    assert (w * w).data == 4.0
    looked.set()
    thread.join()
