"""C that is compiled in several files side by side: the same functions, whatever file they are in."""

import ctypes
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command import ENVIRONMENT
from compiled_steps import close, second

from tinygrad_ninja import Generator, randn
from tinygrad_ninja.program.compile.c import build
from tinygrad_ninja.program.compile.c.c_source import UNIT, CFunction, CSource

SHARED = build.PRELUDE.read_text(encoding="utf-8")


@pytest.fixture(params=[1, 2, 3])
def files(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(build, "processors", lambda: request.param)
    count: int = request.param
    return count


def source(count: int, wrong: str = "") -> CSource:
    """Functions that each add their number, with a long comment."""
    note = (f"/* {'x' * (3 * UNIT // count)} */",)
    functions = [
        CFunction(f"void add{i}(double *x)", [f"  x[0] += {i};", *([wrong] if i == 3 else [])], note)
        for i in range(count)
    ]
    calls = [f"  add{i}(x);" for i in range(count)]
    return CSource(SHARED, functions, "\n".join(["int run(double *x) {", *calls, "  return 0;", "}"]))


def test_each_function_is_in_one_file_and_known_in_all() -> None:
    parts = source(10).units(3)
    assert len(parts) == 3
    assert max(map(len, parts)) < min(map(len, parts)) + 4 * UNIT / 10 + 500
    for i in range(10):
        assert sum(f"void add{i}(double *x) {{" in part for part in parts) == 1
        assert all(f"void add{i}(double *x);" in part for part in parts)
    assert sum("int run(" in part for part in parts) == 1


def test_little_is_one_file() -> None:
    assert len(CSource(SHARED, source(10).functions[:1], "").units(8)) == 1
    assert source(10).units(1) == [str(source(10))]


def test_the_library_is_the_same(files: int) -> None:
    x = ctypes.c_double(0.5)
    assert build.build(source(10 + files)).run(ctypes.byref(x)) == 0
    assert x.value == 0.5 + sum(range(10 + files))


def test_an_error_in_one_of_the_files_is_said(files: int) -> None:
    with pytest.raises(build.NoCompilerError, match="unknown_name"):
        build.build(source(20 + files, "  unknown_name = 1;"))


@pytest.mark.slow
def test_results_are_the_same_bits(tmp_path: Path) -> None:
    program = """
import numpy as np, sys, tinygrad_ninja as torch
from tinygrad_ninja.makemore.settings import Settings
from tinygrad_ninja.program.compile.c import build
build.processors = lambda: int(sys.argv[1])
g = torch.Generator().manual_seed(1)
model = Settings.of("wavenet", hidden=12).build(27, g)
optimizer = torch.optim.AdamW(model.parameters())
X, Y = torch.randint(0, 27, (64, model.context), generator=g), torch.randint(0, 27, (64,), generator=g)

@torch.compile(fullgraph=True)
def step():
    loss = model.loss(X, Y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss

for _ in range(5):
    step()
np.savez(sys.argv[2], *(p.detach().numpy() for p in model.parameters()))
"""
    digests = []
    for count in (1, 2, 3):
        folder = tmp_path / str(count)
        environment = ENVIRONMENT | {"TINYGRAD_NINJA_CACHE": str(folder)}
        out = tmp_path / f"{count}.npz"
        subprocess.run([sys.executable, "-c", program, str(count), out], env=environment, check=True)
        digests.append(out.read_bytes())
        assert [*folder.glob("*.so"), *folder.glob("*.dll")]
    assert digests[0] == digests[1] == digests[2]


def test_variables_may_be_called_as_macros_functions_and_words_of_c() -> None:
    """Of the compiler, of its headers, and of the emitted code."""
    g = Generator().manual_seed(1)
    NAN, INT64_MIN, M_PI, FUNCTION, ROUND_D, linux, double, exp_d, wrong = randn(9, 4, 4, generator=g)

    def step(x: Any) -> Any:
        return (
            (x @ NAN + INT64_MIN * FUNCTION).exp() @ ROUND_D - M_PI * linux + (exp_d * wrong).tanh() / double
        )

    x = randn(4, 4, generator=g)
    close(second(step, x, backend="c"), step(x))
