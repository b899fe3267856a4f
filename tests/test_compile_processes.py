"""Compiled steps and other programs: sanitizers, a machine without a compiler, two processes, the cache."""

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from compiled_steps import run, second, surroundings

import tinygrad_ninja as torch
from tinygrad_ninja.program.compile import compile

pytestmark = pytest.mark.slow

STEP = """
    import tinygrad_ninja as torch

    g = torch.Generator().manual_seed(1)
    X, Y = torch.randint(0, 7, (40, 3), generator=g), torch.randint(0, 5, (40,), generator=g)
    C, W, V = (torch.randn(each, generator=g).requires_grad_() for each in ((7, 5), (15, 19), (19, 5)))

    @torch.compile
    def step():
        ix = torch.randint(0, 40, (9,), generator=g)
        h = (C[X[ix]].view(9, -1) @ W).tanh()
        loss = torch.nn.functional.cross_entropy((h - h.mean(0)) @ V, Y[ix]) + (h[:0].sum() + h.amax(1).max())
        for p in (C, W, V):
            p.grad = None
        loss.backward()
        for p in (C, W, V):
            p.data += -0.1 * p.grad
        return loss

    for _ in range(90):
        last = step()
    print(f"{last.item():.6f}")
"""


def test_sanitizers_find_nothing(sanitizers: dict[str, str]) -> None:
    """In a step, whose memory is Python's own."""
    sanitized = run(STEP, **sanitizers)
    assert sanitized.returncode == 0, sanitized.stderr
    assert float(sanitized.stdout) == pytest.approx(float(run(STEP).stdout), rel=1e-5)


@pytest.mark.parametrize("file", ["test_compile_operations.py", "test_compile_numbers.py"])
def test_sanitizers_find_nothing_in_any_operation(sanitizers: dict[str, str], file: str) -> None:
    here = Path(__file__).parent
    result = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-m", "slow or not slow", "-x", "--capture=no"),
            *("-p", "no:cacheprovider", here / file),
        ],
        env=surroundings(**sanitizers),
        cwd=here.parent,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]


def test_without_a_compiler_numpy_runs_the_program(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    hidden = "import sys; sys.modules['ziglang'] = None\n" + textwrap.dedent(STEP)
    result = run(hidden, PATH=str(tmp_path / "bin"), CC="")
    assert result.returncode == 0, result.stderr
    assert "there is no C compiler" in result.stderr
    assert float(result.stdout) == pytest.approx(float(run(STEP).stdout), rel=1e-5)


def test_two_processes_compile_at_once(tmp_path: Path) -> None:
    environment = surroundings(TINYGRAD_NINJA_CACHE=str(tmp_path))
    both = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(STEP)], stdout=subprocess.PIPE, text=True, env=environment
        )
        for _ in range(2)
    ]
    answers = [each.communicate(timeout=120)[0] for each in both]
    assert answers[0] == answers[1] != ""
    assert len(list(tmp_path.iterdir())) == 1


def test_the_cache_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that was compiled again would be another file under the same name."""
    monkeypatch.setenv("TINYGRAD_NINJA_CACHE", str(tmp_path))

    def libraries() -> list[tuple[str, int, int]]:
        return [(file.name, file.stat().st_ino, file.stat().st_mtime_ns) for file in tmp_path.iterdir()]

    def f() -> Any:
        return torch.arange(3) * 2 + torch.tensor([1, 2, 3])

    w = torch.ones(3)

    def g() -> Any:
        return w * 2.5

    first = second(g, backend="c")
    compiled_once = libraries()
    assert second(g, backend="c").tolist() == first.tolist() == [2.5, 2.5, 2.5]
    assert libraries() == compiled_once
    assert len(compiled_once) == 1
    with pytest.raises(ValueError, match="backend must be"):
        compile(f, backend="fortran")
