"""Ctrl-C, from the first import to the end: status 130, and one line."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command import ENVIRONMENT, ROOT, SMALL, call, posix, refuses, run, with_names

from tinygrad_ninja import cli

pytestmark = posix

AT_AN_IMPORT = """
import os, signal, sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == os.environ["MODULE"]:
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Finder())
"""
"""Python runs a `sitecustomize` before all else."""

IN_AN_EXTENSION = """
import enum, signal

EnumType, make = enum.EnumType, enum.EnumType.__call__

def call(cls, *arguments, **options):
    if cls is enum.Enum and arguments[0] == "Kerning":  # matplotlib's ft2font makes it, in C++
        signal.raise_signal(signal.SIGINT)
    return make(cls, *arguments, **options)

EnumType.__call__ = call
"""

SCRIPT = "import sys; sys.argv[0] = 'ninja'; from tinygrad_ninja_command import main; main()"
"""What pip writes for the command."""
WAYS = pytest.mark.parametrize("way", [("-c", SCRIPT), ("-m", "tinygrad_ninja")], ids=["ninja", "-m"])


def is_quiet(status: int, stderr: str) -> bool:
    """Whether Ctrl-C ended the command in a line. Python may make a death by SIGINT of the status in the end,
    which the shell calls 130 too: where a text that was executed was interrupted, or the end of Python."""
    told = [line for line in stderr.splitlines() if line and not line.startswith("note: ")]
    return (status == 130 and len(told) == 1) or (status == -signal.SIGINT and len(told) <= 1)


@WAYS
@pytest.mark.parametrize(
    "module",
    [
        "numpy",
        "tinygrad_ninja.cli.train",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("tinygrad_ninja.ops.elementwise", "safetensors", "click", "rich")
        ),
    ],
)
def test_ctrl_c_while_a_module_is_imported(tmp_path: Path, way: tuple[str, ...], module: str) -> None:
    """Also one that the command imports when it needs it."""
    result = trained_with(tmp_path, AT_AN_IMPORT, way, MODULE=module)
    assert result.returncode == 130
    assert is_quiet(result.returncode, result.stderr), result.stderr


@pytest.mark.slow
@WAYS
def test_ctrl_c_while_an_extension_module_is_made(tmp_path: Path, way: tuple[str, ...]) -> None:
    """It becomes ImportError there, and Python's own end would abort the process after it."""
    result = trained_with(tmp_path, IN_AN_EXTENSION, way)
    if result.returncode == 0:
        pytest.skip("this matplotlib makes no class where it is imported")
    assert (result.returncode, result.stderr.count("\n")) == (130, 1), result.stderr


def trained_with(
    folder: Path, customize: str, way: tuple[str, ...], **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a training that starts with code of a test's."""
    (folder / "sitecustomize.py").write_text(customize, encoding="utf-8")
    path = os.pathsep.join([str(folder), str(ROOT)])
    return subprocess.run(
        [sys.executable, *way, *SMALL, "--quiet"],
        cwd=with_names(folder),
        env={**ENVIRONMENT, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )


def test_ctrl_c_where_python_raises_nothing_ends_too(tmp_path: Path) -> None:
    code = """
import signal
import tinygrad_ninja_command as command

class Object:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)

command.begin_quietly()
command.raise_again()
Object()
print("it went on")
"""
    result = run(tmp_path, python=("-c", code))
    assert (result.returncode, result.stdout, result.stderr) == (130, "", "error: interrupted\n")


def test_ctrl_c_that_is_ignored_stays_so(tmp_path: Path) -> None:
    """As it is in the background of a shell."""
    (tmp_path / "sitecustomize.py").write_text(AT_AN_IMPORT, encoding="utf-8")
    result = subprocess.run(
        [sys.executable, "-m", "tinygrad_ninja", "--version"],
        env={**ENVIRONMENT, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]), "MODULE": "numpy"},
        capture_output=True,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN) and None,
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_the_engine_leaves_ctrl_c_to_programs(tmp_path: Path) -> None:
    """That import it, also where they are started by -m."""
    (tmp_path / "program").mkdir()
    (tmp_path / "program" / "__init__.py").write_text("import tinygrad_ninja\n", encoding="utf-8")
    ask = "import signal\nprint(signal.getsignal(signal.SIGINT) is signal.default_int_handler)\n"
    (tmp_path / "program" / "__main__.py").write_text(ask, encoding="utf-8")
    (tmp_path / "program.txt").write_text(ask, encoding="utf-8")
    assert run(tmp_path, python=("-m", "program")).stdout == "True\n"
    assert run(tmp_path, "run", "program.txt").stdout == "True\n"


def test_ctrl_c_while_a_class_names_its_attributes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Interrupted:
        def __set_name__(self, owner: type, name: str) -> None:
            raise KeyboardInterrupt

    monkeypatch.setattr(cli.ninja, "main", lambda **_: type("Axes", (), {"get_xscale": Interrupted()}))
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert is_quiet(ended.value.code, capsys.readouterr().err)


@pytest.mark.slow
@WAYS
def test_ctrl_c_at_any_time(tmp_path: Path, way: tuple[str, ...]) -> None:
    """Of every command. Before the first line of it Python itself is interrupted."""
    with_names(tmp_path)
    assert run(tmp_path, *SMALL, "--quiet").returncode == 0
    (tmp_path / "program.py").write_text("import torch\nprint(torch.ones(2))\n", encoding="utf-8")
    commands = [
        ("--help",), SMALL, (*SMALL, "--plots", "plots"), (*SMALL, "--device", "torch"),
        ("train", "--resume"), ("sample",), ("eval",), ("lr-find", "--data", "names.txt"), ("check",),
        ("draw", "--out", "graph.html"), ("derive", "--out", "derivation.md"),
        ("run", "--missing", "program.py"),
    ]  # fmt: skip
    choose = random.Random(4)
    for i, command in enumerate(2 * commands):
        out = () if command[0] != "train" or "--resume" in command else ("--out", f"out{i}")
        process = subprocess.Popen(
            [sys.executable, *way, *command, *out],
            cwd=tmp_path,
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        time.sleep(choose.uniform(0.3, 2.5))
        process.send_signal(signal.SIGINT)
        stderr = process.communicate(timeout=120)[1]
        if process.returncode != 0:  # it was done
            assert is_quiet(process.returncode, stderr), (command, process.returncode, stderr)


def test_a_program_that_calls_the_command_line_keeps_its_ctrl_c(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT), sys.unraisablehook
    call(tmp_path, "--version")
    refuses(call(tmp_path, "trian"))
    assert (signal.getsignal(signal.SIGINT), sys.unraisablehook) == before


def test_bad_input_is_still_told(tmp_path: Path) -> None:
    assert "No such command" in refuses(run(tmp_path, "trian", python=("-c", SCRIPT)))
