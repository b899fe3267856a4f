"""The command `ninja`, run as a person runs it, and what it printed."""

import contextlib
import ctypes
import io
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from unittest import mock

import pytest

from tinygrad_ninja import cli
from tinygrad_ninja.makemore.data import read_words

ROOT = Path(__file__).parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100", "PYTHONIOENCODING": "utf-8"}
SMALL = ("train", "--data", "names.txt", "--hidden", "16", "--steps", "200")
WITHOUT_TORCH = ("-c", "import sys; sys.modules['torch'] = None; from tinygrad_ninja.cli import main; main()")
posix = pytest.mark.skipif(os.name != "posix", reason="signals, limits and terminals as POSIX has them")

linux = pytest.mark.skipif(sys.platform != "linux", reason="rights and limits as Linux has them")

Result = subprocess.CompletedProcess[str]


def with_names(folder: Path) -> Path:
    """The folder, with a thousand names in it."""
    (folder / "names.txt").write_text("\n".join(read_words()[:1000]), encoding="utf-8")
    return folder


def run(
    folder: Path,
    *arguments: str,
    python: tuple[str, ...] = ("-m", "tinygrad_ninja"),
    preexec: Callable[[], None] | None = None,
    environment: Mapping[str, str] = ENVIRONMENT,
) -> Result:
    """Run the command in a process of its own."""
    return subprocess.run(
        [sys.executable, *python, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        stdin=subprocess.DEVNULL,
        preexec_fn=preexec,
    )


def call(folder: Path, *arguments: str) -> Result:
    """Run the command in this process, which spares the time that Python takes to start."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        mock.patch.object(sys, "argv", ["ninja", *arguments]),
        pytest.raises(SystemExit) as exit,
    ):
        cli.main()
    status = exit.value.code or 0
    assert isinstance(status, int)
    return Result(arguments, status, *(stream.buffer.getvalue().decode() for stream in (out, err)))


def obey_permissions() -> None:
    """Take from this process, which is about to start a program, root's right to write where no one may."""
    drop_from_bounding_set, may_override = 24, 1  # PR_CAPBSET_DROP, CAP_DAC_OVERRIDE
    ctypes.CDLL(None).prctl(drop_from_bounding_set, may_override)


def succeeds(result: Result) -> str:
    assert result.returncode == 0, result.stderr
    return result.stdout


def refuses(result: Result) -> str:
    """The one line that the command printed before it exited with status 2."""
    assert (result.returncode, result.stdout) == (2, ""), result.stderr
    assert re.fullmatch(r"error: .+\n", result.stderr), result.stderr
    return result.stderr


def step_losses(output: str) -> dict[int, float]:
    lines = re.findall(r"^ *(\d+)/ *\d+: (\S+)$", output, re.MULTILINE)
    return {int(step): float(loss) for step, loss in lines}


def final_losses(output: str) -> dict[str, float]:
    return {name: float(loss) for name, loss in re.findall(r"(train|dev|test)\W+(\d+\.\d{4})\b", output)}
