"""Large steps run on several threads, and give the same bits with every number of them."""

import ctypes
import multiprocessing
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compiled_steps import ENTRIES, REFUSED, close, drawn_step, same, told_once

import tinygrad_ninja as torch
from tinygrad_ninja.nn import functional as F
from tinygrad_ninja.ops import Operation
from tinygrad_ninja.program.compile import Compiled, compile
from tinygrad_ninja.program.compile.c import build, sharing

pytestmark = pytest.mark.slow

COUNTS = (1, 2, 3, 7)
ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def count() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the smallest loops and products were large."""
    for threshold in ("WORK", "MULTIPLICATIONS", "ELEMENTS", "SUMMED"):
        monkeypatch.setattr(sharing, threshold, 1)


def lecture() -> Callable[[], Any]:
    generator = torch.Generator().manual_seed(0)
    shapes = ((27, 10), (30, 300), (300,), (300, 27), (27,))
    C, W1, b1, W2, b2 = params = [torch.randn(*shape, generator=generator) * 0.3 for shape in shapes]
    for p in params:
        p.requires_grad = True
    X, Y = (torch.randint(0, 27, shape, generator=generator) for shape in ((5000, 3), (5000,)))

    def step() -> Any:
        ix = torch.randint(0, 5000, (2000,), generator=generator)
        h = torch.tanh(C[X[ix]].view(-1, 30) @ W1 + b1)
        loss = F.cross_entropy(h @ W2 + b2, Y[ix])
        for p in params:
            p.grad = None
        loss.backward()
        for p in params:
            p.data += -0.1 * p.grad
        return loss, *(p.detach().clone() for p in params)

    return step


def drawn(*shape: int) -> Any:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def reductions() -> Callable[[], Any]:
    """Of each dimension and of all, by rows of whole vectors and of odd sizes, in several dtypes."""
    x, wide = drawn(203, 117), drawn(77, 256)
    x[5, 7] = float("nan")
    whole = x.nan_to_num(0.0)
    numbers = (wide * 100).long()

    def step() -> Any:
        y = whole * 1.5 - 0.25
        return (
            y.sum(0), y.sum(1), (y * y).sum(), y.amax(0), x.amax(0), x.max(), y.amin(1), (y / 8 + 1).prod(0),
            (y > 1).sum(0), (y > 6).any(0), (y < 9).all(), y.exp().view(29, 7, 117).sum((0, 2)),
            y.max(0).indices, y.argmin(), x.argmax(1), y.cumsum(0), wide.sum(1), wide.double().sum(),
            wide.double().mean(0), numbers.sum(0), numbers.prod(0), numbers.amin(), wide.view(2, -1).sum(0),
        )  # fmt: skip

    return step


def rows() -> Callable[[], Any]:
    """One dimension: whole vectors and a rest, through a step and backwards, and changed in place."""
    a, b, weight = drawn(2**12), drawn(3007), drawn(2**12).requires_grad_()
    b[3006] = 50.0

    def step() -> Any:
        loss = (weight.tanh() * a).mean()
        weight.grad = None
        loss.backward()
        weight.data -= 100 * weight.grad
        return (
            loss, weight.detach().clone(), a.sum(), b.sum(), (b * 2).max(), b.argmax(), b.flip(0) * 2,
            (b > 0).sum(), b.double().sum(), b[7:].exp(), b[::2].sum(), a.view(-1, 2).sum(1),
        )  # fmt: skip

    return step


def products() -> Callable[[], Any]:
    """With each factor transposed, with few rows or columns, in a batch, and where rows are not whole."""
    x, y, z, deep = drawn(140, 301), drawn(301, 99), drawn(3, 50, 70), drawn(1024, 30)

    def step() -> Any:
        return (
            x @ y, x.T @ x, x @ x.T, y.T @ y, (x @ y).tanh(), z @ z.transpose(1, 2), deep.T @ deep.tanh(),
            deep @ deep[:100].T, x.double() @ y.double(), (x @ y)[:, ::2] * 2,
        )  # fmt: skip

    return step


STEPS = {"lecture": lecture, "reductions": reductions, "rows": rows, "products": products}


@pytest.mark.parametrize("name", STEPS)
def test_the_bits_are_the_same_with_every_number_of_threads(name: str, everything: None) -> None:
    answers = []
    for number in COUNTS:
        torch.set_num_threads(number)
        step = compile(STEPS[name](), fullgraph=True, backend="c")
        for _ in range(3):
            results = step()
        assert "omp parallel" in step.source()
        answers.append([result.numpy() for result in results])
    for other in answers[1:]:
        for mine, first in zip(other, answers[0], strict=True):
            np.testing.assert_array_equal(mine, first)
    eager = STEPS[name]()
    for _ in range(3):
        want = eager()
    for mine, theirs in zip(answers[0], want, strict=True):
        np.testing.assert_allclose(mine, theirs.detach().numpy(), rtol=2e-4, atol=2e-4)


@pytest.mark.filterwarnings("ignore:.*degrees of freedom is <= 0")
@ENTRIES
def test_every_operation_may_be_shared(
    entry: Operation, everything: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "CHUNKS", 3)
    torch.set_num_threads(3)
    if entry.name in REFUSED:
        pytest.skip("not compiled to C")
    step, arrays = drawn_step(entry)
    given = [torch.tensor(each, requires_grad=each.dtype.kind == "f") for each in arrays]
    compiled = compile(step, fullgraph=True, backend="c")
    compiled(*given)
    same(compiled(*given), step(*given))


@pytest.mark.parametrize(("rows", "shared"), [(32, False), (4096, True)])
def test_only_a_large_step_knows_threads(rows: int, shared: bool) -> None:
    x, y = drawn(rows, 200), drawn(200, 400)
    step = compile(lambda: (x @ y).tanh().sum(0), fullgraph=True, backend="c")
    step()
    assert step.source().count("#pragma omp parallel") == 2 * shared
    assert (sharing.COUNT in step.source()) == shared


def asked(step: Compiled) -> int:
    """The number of threads that the compiled C was told last."""
    return ctypes.c_int.in_dll(build.build(step.source(), threads=True), sharing.COUNT).value


def test_a_compiled_step_hears_of_another_number(everything: None) -> None:
    step = compile(reductions(), fullgraph=True, backend="c")
    step()
    source = step.source()
    for number in (3, 1, 2):
        torch.set_num_threads(number)
        step()
        assert asked(step) == number
    assert step.source() == source


def test_names_of_the_readers_are_not_those_of_the_loops(everything: None) -> None:
    chunk, begin = drawn(30, 50), drawn(30, 50)

    def f() -> Any:
        end = chunk * begin
        ninja_threads = end.sum(0)
        end_parts0 = ninja_threads.exp() + end.sum(1)[:1]
        return end, ninja_threads, end_parts0, (chunk + begin).sum(0)

    step = compile(f, fullgraph=True, backend="c")
    for have, want in zip((step(), step())[1], f(), strict=True):
        close(have, want, 1e-4)


# -- threads of Python, and compiled functions within others -------------------------------------------------


def test_several_python_threads_share_at_once(everything: None) -> None:
    torch.set_num_threads(2)
    step = compile(lambda x: (x.tanh().sum(0), x @ x.T), fullgraph=True, backend="c")
    other = compile(reductions(), fullgraph=True, backend="c")
    given = [drawn(100, 200) * (i + 1) for i in range(3)]
    want = [[y.numpy() for y in (step(x), step(x))[1]] for x in given]
    still = [y.numpy() for y in (other(), other())[1]]
    wrong: list[Any] = []

    def work(i: int) -> None:
        for round in range(12):
            mine, known = (step(given[i]), want[i]) if round % 2 else (other(), still)
            wrong.extend(
                i
                for y, z in zip(mine, known, strict=True)
                if not np.array_equal(y.numpy(), z, equal_nan=True)
            )

    workers = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert not wrong
    assert not any(worker.is_alive() for worker in workers)


def test_a_large_step_within_another(everything: None) -> None:
    torch.set_num_threads(2)
    inner = compile(lambda x: (x @ x.T).tanh(), fullgraph=True, backend="c")
    outer = compile(lambda x: inner(x).sum(0) + inner(x * 2).sum(1), fullgraph=True, backend="c")
    x = drawn(40, 30)
    inner(x), outer(x)
    close(outer(x), (x @ x.T).tanh().sum(0) + (x * 2 @ (x * 2).T).tanh().sum(1), 1e-4)
    close(inner(x), (x @ x.T).tanh())


def test_a_compiled_function_neither_asks_for_the_number_nor_sets_it() -> None:
    x = torch.ones(2)
    with told_once(r"get_num_threads\(\) is not compiled; call it outside"):
        step = compile(lambda: x * torch.get_num_threads())
        for number in (2, 3):
            torch.set_num_threads(number)
            assert step().tolist() == [number] * 2
    with told_once(r"set_num_threads\(\) is not compiled; call it outside"):
        step = compile(lambda: (torch.set_num_threads(3), x * 2)[1])
        for _ in range(2):
            torch.set_num_threads(2)
            step()
            assert torch.get_num_threads() == 3


# -- other processes -----------------------------------------------------------------------------------------


def _child(step: Any, answer: Any) -> None:
    with pytest.warns(UserWarning, match="stay on one thread"):
        torch.set_num_threads(2)
    answer.put((torch.get_num_threads(), step()[0].sum().item(), compile(reductions())()[0].sum().item()))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_forked_process_runs_on_one_thread(everything: None) -> None:
    torch.set_num_threads(2)
    step = compile(reductions(), fullgraph=True, backend="c")
    step()
    want = step()[0].sum().item()
    context = multiprocessing.get_context("fork")
    answer = context.SimpleQueue()
    process = context.Process(target=_child, args=(step, answer))
    process.start()
    process.join(60)
    if process.exitcode is None:
        process.kill()
    assert process.exitcode == 0
    number, first, second = answer.get()
    assert (number, first) == (1, want)
    assert second == pytest.approx(want, rel=1e-4)
    assert torch.get_num_threads() == 2


LARGE = """
    import os
    import tinygrad_ninja as torch
    from tinygrad_ninja.program.compile.c import build

    x = torch.arange(1200 * 400.0).view(1200, 400) / 480000

    def f():
        return (x.tanh() * x).sum(0), x @ x.T, x.view(-1).sum()

    step = torch.compile(f, fullgraph=True, backend="c")
    tasks = lambda: len(os.listdir("/proc/self/task")) if os.path.exists("/proc/self/task") else 0
    step()
    few = tasks()
    torch.set_num_threads(3)
    for have, want in zip(step(), f(), strict=True):
        assert (have - want).abs().max().item() <= 1e-5 * want.abs().max().item()
    print(build.has_openmp(), tasks() - few, os.environ.get("OMP_WAIT_POLICY"))
"""


def run(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    surroundings = {**os.environ, "PYTHONPATH": f"{os.environ.get('PYTHONPATH', '')}{os.pathsep}{ROOT}"}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**surroundings, **environment},
    )


def has_gcc() -> bool:
    try:
        return subprocess.run(["gcc", "--version"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


GCC = pytest.mark.skipif(sys.platform != "linux" or not has_gcc(), reason="needs gcc, on Linux")


@GCC
@pytest.mark.parametrize("chosen", ["", "active"])
def test_threads_sleep_where_they_wait_unless_another_policy_is_chosen(chosen: str) -> None:
    """What OpenMP has heard it prints itself; the environment is afterwards as it was."""
    choice = {"OMP_WAIT_POLICY": chosen} if chosen else {}
    result = run(LARGE, OMP_DISPLAY_ENV="true", **choice)
    assert result.stdout.split() == ["True", "2", chosen or "None"], result.stderr
    policy = f"OMP_WAIT_POLICY='{(chosen or 'passive').upper()}'"
    assert policy in result.stderr.replace(" ", "")  # gcc's writes blanks, clang's does not


@GCC
def test_without_openmp_one_thread_runs_the_step_until_it_is_installed(tmp_path: Path) -> None:
    """Here by a compiler that refuses it as long as a file is missing."""
    installed, wrapper = tmp_path / "installed", tmp_path / "cc"
    wrapper.write_text(
        f'#!/bin/sh\ncase " $* " in *" -fopenmp "*) [ -e {installed} ] || exit 1;; esac\nexec gcc "$@"\n'
    )
    wrapper.chmod(0o700)
    environment = {"CC": str(wrapper), "TINYGRAD_NINJA_CACHE": str(tmp_path / "cache")}
    before = run(LARGE, **environment)
    assert before.stdout.split()[:2] == ["False", "0"], before.stderr
    installed.touch()
    after = run(LARGE, **environment)
    assert after.stdout.split()[:2] == ["True", "2"], after.stderr


@GCC
def test_sanitizers_find_nothing_in_what_is_shared(sanitizers: dict[str, str]) -> None:
    result = run(LARGE, **sanitizers)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split()[:2] == ["True", "2"]
