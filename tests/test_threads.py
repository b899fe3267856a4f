"""What threads share, and what each has of its own, beside real torch."""

import os
import signal
import threading
from contextlib import suppress
from typing import Any

import pytest
import torch as judge
from at_once import THREADS, at_once, in_new_thread, switching
from command import posix

import tinygrad_ninja as ninja
from tinygrad_ninja.makemore.checkpoint import Checkpoint
from tinygrad_ninja.makemore.data import Vocabulary, read_words
from tinygrad_ninja.makemore.models import MODELS
from tinygrad_ninja.makemore.run import load_datasets
from tinygrad_ninja.makemore.settings import Settings
from tinygrad_ninja.makemore.training import Training

BOTH = pytest.mark.parametrize("torch", [judge, ninja], ids=["torch", "ninja"])


@BOTH
def test_a_thread_begins_with_gradients(torch: Any) -> None:
    """Whatever its maker has set, and the thread before, whose number it may have got."""
    for _ in range(3):
        with torch.no_grad():
            assert in_new_thread(torch.is_grad_enabled)
            assert in_new_thread(lambda: (torch.ones(1, requires_grad=True) * 2).requires_grad)
        in_new_thread(lambda: torch.set_grad_enabled(False))
        in_new_thread(lambda: torch.inference_mode().__enter__())
        assert torch.is_grad_enabled()


@BOTH
def test_a_thread_begins_without_autocast(torch: Any) -> None:
    for _ in range(3):
        with torch.autocast("cpu", torch.float16):
            assert not in_new_thread(torch.is_autocast_enabled)
        in_new_thread(lambda: torch.autocast("cpu", torch.float16).__enter__())


@BOTH
def test_the_mode_of_gradients_is_each_threads_own(torch: Any) -> None:
    def work(number: int) -> bool:
        x, answers = torch.ones(1, requires_grad=True), []
        for _ in range(200):
            if number % 2:
                with torch.no_grad():
                    answers.append((x * 2).requires_grad)
            else:
                answers.append(not (x * 2).requires_grad)
        return any(answers)

    assert at_once(work) == [False] * THREADS


@BOTH
def test_the_default_dtype_is_that_of_all(torch: Any) -> None:
    try:
        in_new_thread(lambda: torch.set_default_dtype(torch.float64))
        assert torch.ones(1).dtype is torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert in_new_thread(lambda: torch.ones(1)).dtype is torch.float32


@BOTH
def test_no_gradient_is_lost(torch: Any) -> None:
    w, ones = torch.zeros(100_000, requires_grad=True), torch.ones(100_000)
    at_once(lambda _: [w.backward(ones) for _ in range(20)])
    assert (w.grad == 20 * THREADS).all().item()


@pytest.mark.parametrize("name", ["randint", "rand", "randn", "randperm", "multinomial", "bernoulli"])
def test_each_number_goes_to_one_thread(name: str) -> None:
    """All of them together are those that torch draws in a row."""

    def draw(torch: Any, generator: Any) -> list[float]:
        give = {
            "randint": lambda: torch.randint(0, 10**6, (7,), generator=generator),
            "rand": lambda: torch.rand(5, generator=generator),
            "randn": lambda: torch.randn(3, generator=generator),
            "randperm": lambda: torch.randperm(30, generator=generator),
            "multinomial": lambda: torch.multinomial(torch.ones(900), 4, generator=generator),
            "bernoulli": lambda: torch.bernoulli(torch.full((40,), 0.5), generator=generator),
        }
        numbers: list[float] = give[name]().tolist()
        return numbers

    g, theirs = ninja.Generator().manual_seed(3), judge.Generator().manual_seed(3)
    found = [numbers for each in at_once(lambda _: [draw(ninja, g) for _ in range(50)]) for numbers in each]
    assert sorted(found) == sorted(draw(judge, theirs) for _ in range(50 * THREADS))
    assert g.get_state().tolist() == theirs.get_state().tolist()


def test_a_state_that_is_read_meanwhile_is_one_that_there_was() -> None:
    g, h = (ninja.Generator().manual_seed(5) for _ in range(2))
    known = {h.get_state().array.tobytes()}
    for _ in range(2000):
        ninja.randint(0, 9, (100,), generator=h)
        known.add(h.get_state().array.tobytes())

    def work(number: int) -> bool:
        if number:
            for _ in range(2000 // (THREADS - 1)):
                ninja.randint(0, 9, (100,), generator=g)
            return True
        return all(g.get_state().array.tobytes() in known for _ in range(300))

    assert all(at_once(work))


@pytest.mark.slow
def test_derive_takes_no_notice_of_what_others_read() -> None:
    x, done = ninja.ones(3), threading.Event()

    def read() -> None:
        while not done.is_set():
            x.sum().item()

    readers = [threading.Thread(target=read) for _ in range(THREADS)]
    for reader in readers:
        reader.start()
    try:
        with switching():
            for _ in range(50):
                w = ninja.ones(3, requires_grad=True)
                assert "dw" in str(ninja.derive((w * x).tanh().sum(), names={"w": w, "x": x}))
    finally:
        done.set()
        for reader in readers:
            reader.join()


@posix
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_process_waits_for_no_thread() -> None:
    """That had a lock when the process was forked, and is not there."""
    x, done = ninja.ones(64, 64), threading.Event()
    step = ninja.compile(lambda x: x.tanh().sum(1) + ninja.rand(1), fullgraph=True)
    step(x)
    w = ninja.ones(200_000, requires_grad=True)

    def work() -> None:
        while not done.is_set():
            step(x)
            ninja.rand(1_000_000)
            w.backward(w.detach())

    workers = [threading.Thread(target=work) for _ in range(THREADS)]
    for worker in workers:
        worker.start()
    try:
        for _ in range(20):
            child = os.fork()
            if not child:
                with suppress(BaseException):
                    signal.alarm(10)  # ends it
                    step(x)
                    ninja.rand(2_000)  # more than the generator has ready: NumPy's has a lock, too
                    w.backward(w.detach())
                    os._exit(0)
                os._exit(1)  # and runs no further tests
            assert os.waitpid(child, 0)[1] == 0
    finally:
        done.set()
        for worker in workers:
            worker.join()


@pytest.mark.slow
def test_every_model_trained_at_once_has_the_bits_of_trainings_in_a_row() -> None:
    words = read_words()[:1000]
    vocabulary = Vocabulary(words)

    def trained(model: str) -> tuple[bytes, list[Any]]:
        settings = Settings.of(model=model, steps=12, batch=8)
        generator = ninja.Generator().manual_seed(7)
        result = Checkpoint(settings.build(len(vocabulary), generator), vocabulary, settings, "")
        data = load_datasets(words, result, "cpu")
        training = Training(result.model, settings, generator, data["train"], data["dev"])
        assert [*training.run()][-1] == settings.steps
        return training.losses.tobytes(), [p.tolist() for p in result.model.parameters()]

    models = sorted(MODELS)
    in_a_row = {model: trained(model) for model in models}
    for first in range(0, len(models), THREADS):
        some = [models[(first + i) % len(models)] for i in range(THREADS)]
        assert at_once(lambda i, some=some: trained(some[i])) == [in_a_row[model] for model in some]
