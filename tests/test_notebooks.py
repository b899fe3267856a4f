"""The notebooks run from top to bottom, and show what they do. What they compute they check themselves."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from lecture_list import LECTURE_LIST, needs_lecture_list
from printed_text import lines, same_text

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
EXERCISE, NUMBERS, TRAINING, SLOPES, DERIVATIONS, TOUR = NOTEBOOKS
QUICK = [EXERCISE, NUMBERS, SLOPES, DERIVATIONS, TOUR]


def run(notebook: Path, out: Path, folder: Path, **variables: str) -> dict[str, Any]:
    """The notebook as it is after its cells ran in `folder`, without the user's own settings of IPython."""
    command = [
        sys.executable,
        ROOT / "scripts" / "run_notebooks.py",
        notebook,
        "--out",
        out,
        "--folder",
        folder,
    ]
    done = subprocess.run(
        command,
        # One thread: on small arrays more only wait for each other, for minutes on a busy machine.
        env=os.environ | {"IPYTHONDIR": str(out / "ipython"), "OMP_NUM_THREADS": "1"} | variables,
        capture_output=True,
        encoding="utf-8",
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return read(out / notebook.name)


def read(notebook: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(notebook.read_text(encoding="utf-8"))
    return content


def printed(notebook: dict[str, Any]) -> list[str]:
    """What each code cell printed and displayed, as text."""
    texts = []
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            parts = [each.get("text") or each["data"]["text/plain"] for each in cell["outputs"]]
            texts.append("\n".join("".join(part) for part in parts))
    return texts


@needs_lecture_list
@pytest.mark.parametrize("notebook", QUICK, ids=lambda notebook: notebook.stem)
def test_what_is_shown_is_what_comes_out(notebook: Path, tmp_path: Path) -> None:
    shown = printed(read(notebook))
    shutil.copy(LECTURE_LIST, tmp_path / "names.txt")
    now = printed(run(notebook, tmp_path, tmp_path, CUDA_VISIBLE_DEVICES=""))
    for before, after in zip(shown, now, strict=True):
        for a, b in zip(lines(before), lines(after), strict=True):
            assert same_text(a, b), (
                f"python scripts/run_notebooks.py {notebook} would show {b} in place of {a}"
            )


@pytest.mark.skipif(LECTURE_LIST.exists(), reason="they run on the lecture's list, which is there")
@pytest.mark.parametrize("notebook", QUICK, ids=lambda notebook: notebook.stem)
def test_on_the_shipped_names(notebook: Path, tmp_path: Path) -> None:
    run(notebook, tmp_path, tmp_path)


def test_the_training_by_hand(tmp_path: Path) -> None:
    """On the lecture's names if they are there. Its losses are not compared with those shown: in 10,000 steps
    the last bit, which differs between machines, grows."""
    if LECTURE_LIST.exists():
        shutil.copy(LECTURE_LIST, tmp_path / "names.txt")
    run(TRAINING, tmp_path, tmp_path)


def test_every_cell_is_shown_with_what_it_printed_in_order() -> None:
    for notebook in NOTEBOOKS:
        code = [cell for cell in read(notebook)["cells"] if cell["cell_type"] == "code"]
        assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1)), notebook


def test_the_exercise_shows_the_lectures_loss() -> None:
    assert any("tensor(3.3482" in text for text in printed(read(EXERCISE)))


@pytest.mark.parametrize("device", ["torch", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_the_derivations_hold_on_other_devices(device: str, tmp_path: Path) -> None:
    pytest.importorskip("nbclient", reason="needs nbclient and ipykernel, which run notebooks")
    text = DERIVATIONS.read_text(encoding="utf-8")
    line = r"device = \"cuda\" if torch.cuda.is_available() else \"cpu\""
    assert text.count(line) == 1
    elsewhere = tmp_path / DERIVATIONS.name
    elsewhere.write_text(text.replace(line, rf"device = \"{device}\""), encoding="utf-8")
    assert f"the engine's, on {device}" in printed(run(elsewhere, tmp_path, tmp_path))[-1]
