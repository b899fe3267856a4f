"""Programs that were written for PyTorch, run unchanged: `ninja run`, and `%load_ext tinygrad_ninja`."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest
from command import ENVIRONMENT, WITHOUT_TORCH, Result, posix, run

pytestmark = pytest.mark.slow

LECTURE = """
    import torch
    import torch.nn as nn
    from torch.nn import functional as F
    import torch.optim.lr_scheduler
    from torch.optim import SGD

    g = torch.Generator().manual_seed(2147483647)
    X, Y = torch.randint(0, 27, (64, 3), generator=g), torch.randint(0, 27, (64,), generator=g)
    torch.manual_seed(42)
    model = nn.Sequential(nn.Embedding(27, 4), nn.Flatten(), nn.Linear(12, 20), nn.Tanh(), nn.Linear(20, 27))
    optimizer = SGD(model.parameters(), lr=0.5)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 5, 0.5)
    for k in range(10):
        loss = F.cross_entropy(model(X), Y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        print(f"{loss.item():.4f}")
"""


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(dedent(text).lstrip(), encoding="utf-8")


def ninja(folder: Path, *arguments: str, torch: bool = True) -> Result:
    """`ninja run` with the arguments; without `torch` as if PyTorch were not installed."""
    return run(folder, "run", *arguments, python=("-m", "tinygrad_ninja") if torch else WITHOUT_TORCH)


def printed(folder: Path, program: str, *arguments: str, torch: bool = True) -> list[str]:
    """The lines that the program prints, which ends well and says nothing else."""
    write(folder, "program.py", program)
    result = ninja(folder, "program.py", *arguments, torch=torch)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout.splitlines()


def test_a_lecture_has_pytorchs_numbers_with_and_without_it(tmp_path: Path) -> None:
    write(tmp_path, "program.py", LECTURE)
    expected = run(tmp_path, "program.py", python=()).stdout.split()
    assert len(expected) == 10
    for torch in (True, False):
        losses = printed(tmp_path, LECTURE, torch=torch)
        assert [float(x) for x in losses] == pytest.approx([float(x) for x in expected], abs=1.01e-4)


def test_every_form_of_an_import_gives_the_engine(tmp_path: Path) -> None:
    program = """
        from __future__ import annotations
        from torch import *
        import importlib, torch as t, os
        import torch.nn.functional, sys
        import torch.nn.functional as f, torch.nn as n
        from torch import nn, optim as o, Tensor as T
        from importlib import import_module
        from torch.autograd.functional import jacobian
        from torch.autograd.function import Function
        import torch.autograd.functional as AF

        assert AF.jacobian is jacobian and Function is t.autograd.Function

        def inside():
            import torch.optim
            return torch

        assert f is torch.nn.functional is import_module("torch.nn.functional") is nn.functional
        assert t is torch is inside() is __import__("torch.nn") is importlib.import_module("torch")
        assert n is nn and o is torch.optim and T is torch.Tensor and type(ones(2)) is T
        assert importlib.util.find_spec("torch").name == torch.__name__
        assert os.sep and sys.argv
        print(*(module.__name__ for module in (torch, nn, f, o)))
    """
    names = "tinygrad_ninja tinygrad_ninja.nn tinygrad_ninja.nn.functional tinygrad_ninja.optim"
    for torch in (True, False):
        assert printed(tmp_path, program, torch=torch) == [names]


def test_what_stands_before_a_missing_name_is_imported(tmp_path: Path) -> None:
    program = """
        try:
            from torch import nn, qqqqqq, optim
        except ImportError as error:
            print(nn.__name__, error.name, "optim" in globals())
        try:
            import os, torch.nn as layers, torch.qqqqqq, torch.optim
        except ModuleNotFoundError as error:
            print(os.name > "", layers is nn, error.name, "torch" in globals())
    """
    expected = ["tinygrad_ninja.nn torch False", "True True torch.qqqqqq False"]
    assert printed(tmp_path, program) == expected


def test_modules_of_the_folder_see_the_engine_and_libraries_pytorch(tmp_path: Path) -> None:
    write(tmp_path, "helper.py", "import torch\n")
    write(tmp_path, "package/__init__.py", "from .inner import nn\n")
    write(tmp_path, "package/inner.py", "from torch import nn\n")
    write(tmp_path, "venv/site-packages/library.py", "import torch\n")
    program = """
        import sys
        sys.path.append("venv/site-packages")
        import torch
        import helper, library, package
        assert helper.torch is torch and package.nn is torch.nn
        print(torch.__name__, library.torch.__name__, sys.modules["torch"] is library.torch)
    """
    assert printed(tmp_path, program) == ["tinygrad_ninja torch True"]
    assert not [path for path in tmp_path.rglob("*.pyc") if path.stem.startswith(("helper", "inner"))]


def test_modules_in_pythonpath_see_the_engine_unless_they_are_installed(tmp_path: Path) -> None:
    write(tmp_path, "package/__init__.py", "import torch\ntorch.flipp = 3\n")
    write(tmp_path, "venv/site-packages/library.py", "import torch\n")
    write(
        tmp_path,
        "folder/program.py",
        "import library, package\nprint(package.torch.__name__)\nlibrary.torch.Q\n",
    )
    paths = [str(tmp_path), str(tmp_path / "venv" / "site-packages"), ENVIRONMENT["PYTHONPATH"]]
    environment = ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(paths)}
    arguments = ("run", str(Path("folder/program.py")))
    result = run(tmp_path, *arguments, python=("-m", "tinygrad_ninja"), environment=environment)
    assert result.stdout == "tinygrad_ninja\n"
    assert result.stderr.splitlines()[-1] == "AttributeError: module 'torch' has no attribute 'Q'"
    write(tmp_path, "package/__init__.py", "import torch\ntorch.flipp\ntorch.absent.x = 3\n")
    result = run(
        tmp_path, "run", "--missing", *arguments[1:], python=("-m", "tinygrad_ninja"), environment=environment
    )
    names = [line.split(": ")[:2] for line in result.stdout.splitlines()]
    place = str(tmp_path / "package" / "__init__.py")
    assert names == [[f"{place}:2", "torch.flipp"], [f"{place}:3", "torch.absent"]]


def test_the_engines_own_use_of_pytorch_goes_on_beside_it(tmp_path: Path) -> None:
    program = """
        import torch
        import tinygrad_ninja
        from tinygrad_ninja.check import compare

        assert torch is tinygrad_ninja
        x = torch.ones(2, 3, device="torch", requires_grad=True)
        (x * x).sum().backward()
        theirs = torch.to_torch(torch.nn.Linear(2, 2))
        torch.use_deterministic_algorithms(True)
        rows = compare(lambda t, x: t.tanh(x).sum(), [1.0, 2.0])
        print(type(x.grad.array).__module__, type(theirs).__module__, type(torch.cuda.is_available()))
        print(torch.are_deterministic_algorithms_enabled(), "True" in str(rows))
    """
    assert printed(tmp_path, program) == ["torch torch.nn.modules.linear <class 'bool'>", "True True"]


def test_the_engine_in_the_place_of_pytorch_is_refused_where_pytorch_is_needed(tmp_path: Path) -> None:
    program = """
        import sys
        import tinygrad_ninja
        sys.modules["torch"] = tinygrad_ninja
        print(tinygrad_ninja.cuda.is_available(), tinygrad_ninja.are_deterministic_algorithms_enabled())
        try:
            tinygrad_ninja.ones(2).to("torch")
        except RuntimeError as error:
            print(error)
    """
    write(tmp_path, "program.py", program)
    first, second = run(tmp_path, "program.py", python=()).stdout.splitlines()
    assert first == "False False"
    assert second.startswith("device torch needs PyTorch, but sys.modules['torch'] is tinygrad_ninja")


@pytest.mark.parametrize(
    ("line", "kind", "sentence"),
    [
        ("torch.flipp", "AttributeError", "has no 'flipp' here.*; the nearest: .*flip"),
        (
            "torch.qqqqqq",
            "AttributeError",
            "has no 'qqqqqq' here, .* names is offered$",
        ),
        ("from torch.nn import Linea", "ImportError", "cannot import name 'Linea' from 'torch.nn': .*Linear"),
        ("import os, torch.qqqqqq.x", "ModuleNotFoundError", "No module named 'torch.qqqqqq.x': .*'qqqqqq'"),
        ("from torch.qqqqqq import x", "ModuleNotFoundError", "No module named 'torch.qqqqqq': .*'qqqqqq'"),
    ],
)
def test_a_missing_name_is_said_with_the_programs_line(
    tmp_path: Path, line: str, kind: str, sentence: str
) -> None:
    write(tmp_path, "program.py", f"import torch\n\n{line}\n")
    result = ninja(tmp_path, "program.py")
    assert result.returncode == 1
    trace, last = result.stderr.splitlines()[:3], result.stderr.splitlines()[-1]
    assert trace[0] == "Traceback (most recent call last):"
    assert trace[1:] == [f'  File "{tmp_path / "program.py"}", line 3, in <module>', f"    {line}"]
    assert re.match(f"{kind}: .*{sentence}", last)
    # A program that is prepared for it goes on.
    write(tmp_path, "program.py", f"import torch\ntry:\n    {line}\nexcept {kind}:\n    print('else')\n")
    assert ninja(tmp_path, "program.py").stdout == "else\n"


PROGRAMS = {
    "where it is": """
        import sys
        print(__name__, __file__, __package__, __spec__, __doc__, sys.argv, sys.path[0])
        print(sorted(globals()), sys.modules["__main__"].__file__, sys.stdout.errors, sys.stderr.errors)
    """,
    "status": "import sys\nsys.exit(int(sys.argv[1]))\n",
    "status in words": "import sys\nsys.exit('enough')\n",
    "an error in a function": "def f():\n    import absent_module\nf()\n",
    "a chain": "try:\n    1 / 0\nexcept ArithmeticError as e:\n    raise OSError(2, 'no') from e\n",
    "no Python": "import torch\nx = (1\n",
    "a module that is no Python": "import no_python\n",
    "a module with an error": "import an_error\n",
    "a warning": "import warnings\nwarnings.warn('careful')\n",
    "its own hook": "import sys\nsys.excepthook = lambda *e: print(e[0], e[2].tb_lineno)\n1 / 0\n",
    "a last word": "import atexit\natexit.register(print, 'end')\nraise KeyError\n",
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_all_else_is_as_python_does_it(tmp_path: Path, program: str) -> None:
    write(tmp_path, "folder/no_python.py", "import torch\nx = = 2\n")
    write(tmp_path, "folder/an_error.py", "import torch\ndef f():\n    raise ValueError\nf()\n")
    write(tmp_path, "folder/program.py", PROGRAMS[program])
    arguments = ("./folder/program.py", "3", "--missing", "--", "-x")
    expected, result = run(tmp_path, *arguments, python=()), ninja(tmp_path, *arguments)
    assert result.stdout == expected.stdout
    assert result.stderr == expected.stderr
    assert result.returncode == expected.returncode


@posix
def test_ctrl_c_ends_it_as_it_ends_python(tmp_path: Path) -> None:
    write(tmp_path, "program.py", "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    expected, result = run(tmp_path, "program.py", python=()), ninja(tmp_path, "program.py")
    assert result.returncode == expected.returncode == -signal.SIGINT
    assert result.stderr == expected.stderr


def test_missing_lists_the_names_without_running(tmp_path: Path) -> None:
    program = """
        import torch as t, torch.nn as nn
        from torch.nn import functional as F, Linear, Linea
        import torch.qqqqqq.inner as inner
        from folder import module
        print("it runs")
        A = F

        def f(x, t=t.absent1):
            x.absent, t.absent
            return [nn.absent for nn in x], nn.absent2, late.absent3, A.absent4

        class C(nn.Module):
            nn = 3
            y = nn.absent

            def forward(self, x):
                return lambda F: F.absent(nn.absent5(Linear.absent6, t.float32.itemsize))

        from torch import optim as late
        t.mine = 3
        t.mine, t.tanh, nn.Linear.forward, inner.absent
    """
    write(tmp_path, "program.py", program)
    write(tmp_path, "folder/__init__.py", "")
    write(tmp_path, "folder/module.py", "from . import other\n")
    write(tmp_path, "folder/other.py", "import torch\n\ntorch.flipp\n")
    result = ninja(tmp_path, "--missing", "program.py")
    assert (result.returncode, result.stderr) == (1, "")
    found = [line.split(": ")[:2] for line in result.stdout.splitlines()]
    assert found == [
        ["program.py:2", "torch.nn.Linea"],
        ["program.py:3", "torch.qqqqqq.inner"],
        ["program.py:8", "torch.absent1"],
        ["program.py:10", "torch.nn.absent2"],
        ["program.py:10", "torch.nn.functional.absent4"],
        ["program.py:10", "torch.optim.absent3"],
        ["program.py:17", "torch.nn.Linear.absent6"],
        ["program.py:17", "torch.nn.absent5"],
        ["program.py:21", "torch.qqqqqq.inner.absent"],
        [str(Path("folder/other.py:3")), "torch.flipp"],
    ]
    assert "the nearest: flip" in result.stdout

    write(tmp_path, "program.py", LECTURE)
    result = ninja(tmp_path, "--missing", "program.py")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    write(tmp_path, "program.py", "x = (\n")
    result = ninja(tmp_path, "--missing", "program.py")
    assert (result.returncode, result.stderr) == (2, "error: program.py:1: '(' was never closed\n")


def write_notebook(folder: Path, *cells: str) -> None:
    sources = [dedent(cell).strip().splitlines(keepends=True) for cell in cells]
    content = [{"cell_type": "markdown", "source": "import nothing"}]
    content += [{"cell_type": "code", "source": source} for source in sources]
    (folder / "book.ipynb").write_text(json.dumps({"cells": content, "nbformat": 4}), encoding="utf-8")


def test_a_notebook_runs_its_cells_without_their_magics(tmp_path: Path) -> None:
    write_notebook(
        tmp_path,
        """
        %matplotlib inline
        import sys
        import torch, helper
        x = (7
            % 4)
        print(torch.__name__, helper.torch is torch, sys.argv)
        x
        """,
        """
        %%time
        for k in range(1):
            !echo \\
                no
            y = torch.ones(2)
        y
        """,
        "%%bash\nexit 3",
        "y;",
        "def f():\n    return torch.flipp\n",
        "f()",
        "print('too far')",
    )
    write(tmp_path, "helper.py", "import torch\n")
    result = ninja(tmp_path, "book.ipynb", "--x")
    assert result.stdout.splitlines() == [
        "tinygrad_ninja True ['book.ipynb', '--x']",
        "3",
        "tensor([1., 1.])",
    ]
    assert result.stderr.splitlines()[:10] == [
        "note: book.ipynb, cell 1, line 1: skipped: %matplotlib inline",
        "note: book.ipynb, cell 2, line 1: skipped: %%time",
        "note: book.ipynb, cell 2, line 3: skipped: !echo \\",
        "note: book.ipynb, cell 3: skipped, a cell of %%bash",
        "Traceback (most recent call last):",
        '  File "book.ipynb, cell 6", line 1, in <module>',
        "    f()",
        '  File "book.ipynb, cell 5", line 2, in f',
        "    return torch.flipp",
        "           ^^^^^^^^^^^",
    ]
    assert result.returncode == 1
    result = ninja(tmp_path, "--missing", "book.ipynb")
    assert result.stdout.startswith("book.ipynb, cell 5, line 2: torch.flipp: ")
    (tmp_path / "book.ipynb").write_text("{}")
    result = ninja(tmp_path, "book.ipynb")
    assert result.returncode == 2
    assert result.stderr.startswith("error: book.ipynb is not a notebook")


def test_a_notebook_in_jupyter_loads_the_engine(tmp_path: Path) -> None:
    write(tmp_path, "helper.py", "import torch\n")
    program = """
        from IPython.core.interactiveshell import InteractiveShell

        shell = InteractiveShell.instance()
        for cell in (
            "%load_ext tinygrad_ninja",
            "import torch, helper; from torch.nn import functional as F",
            "print(torch.__name__, F.__name__, helper.torch is torch, torch.ones(1, device='torch'))",
            "%reload_ext tinygrad_ninja",
            "from torch import nn; print(nn.__name__)",
            "%unload_ext tinygrad_ninja",
            "import torch; print(torch.__name__)",
        ):
            shell.run_cell(cell).raise_error()
    """
    result = subprocess.run(
        [sys.executable, "-c", dedent(program)],
        cwd=tmp_path,
        env=ENVIRONMENT | {"IPYTHONDIR": str(tmp_path / "ipython")},
        capture_output=True,
        encoding="utf-8",
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [
        "tinygrad_ninja tinygrad_ninja.nn.functional True tensor([1.], device='torch')",
        "tinygrad_ninja.nn",
        "torch",
    ]


def test_compile_is_refused_with_its_reason(tmp_path: Path) -> None:
    write(tmp_path, "program.py", "print('too far')")
    result = ninja(tmp_path, "--compile", "program.py")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ninja run has no --compile: what is compiled is a function")
    result = ninja(tmp_path, "--device", "torch", "program.py", torch=False)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("error: device torch needs PyTorch")


def test_what_is_no_program_is_refused(tmp_path: Path) -> None:
    for arguments, named in [
        ((), "Missing argument 'FILE'"),
        (("absent.py",), "absent.py"),
        (("--flag", "a.py"), "--flag"),
        ((".",), "directory"),
    ]:
        result = ninja(tmp_path, *arguments)
        assert result.returncode == 2
        assert re.fullmatch(f"error: .*{re.escape(named)}.*\n", result.stderr)
