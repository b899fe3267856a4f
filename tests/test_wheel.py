"""The wheel: what it holds, and that it trains where nothing but its dependencies is installed."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.slow


def run(*command: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """What the command prints, started in a folder from which the source tree cannot be imported."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    built = run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", folder, ROOT, folder=folder)
    assert built.returncode == 0, built.stderr
    [wheel] = folder.glob("*.whl")
    return wheel


def test_the_wheel_holds_every_file_of_the_packages_and_no_other(wheel: Path) -> None:
    packaged = {"tinygrad_ninja_command.py", "pytest_tinygrad_ninja.py"} | {
        path.relative_to(ROOT).as_posix()
        for package in ("tinygrad_ninja", "viz")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == packaged
    assert {"tinygrad_ninja/py.typed", "tinygrad_ninja/makemore/names.txt", "viz/__init__.py"} <= held


def test_the_installed_wheel_trains_without_torch(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "environment", with_pip=True)
    programs = tmp_path / "environment" / ("Scripts" if os.name == "nt" else "bin")
    installed = run(programs / "python", "-m", "pip", "install", wheel, folder=tmp_path)
    assert installed.returncode == 0, installed.stderr
    assert "No module named 'torch'" in run(programs / "python", "-c", "import torch", folder=tmp_path).stderr

    out = tmp_path / "out"
    trained = run(programs / "ninja", "train", "--steps", "50", "--quiet", "--out", out, folder=tmp_path)

    assert trained.returncode == 0, trained.stderr
    assert {"model.safetensors", "loss.png"} <= {path.name for path in out.iterdir()}
