"""The examples run, and do with PyTorch what they do here."""

import contextlib
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def numbers(script: Path) -> list[float]:
    """What 200 steps of the script print."""
    result = subprocess.run(
        [sys.executable, script, "200"], capture_output=True, check=True, encoding="utf-8", timeout=120
    )
    return [float(each) for each in re.findall(r"\d+\.\d+", result.stdout)]


@pytest.mark.slow
def test_the_lectures_lines_give_pytorchs_numbers(tmp_path: Path) -> None:
    ours = EXAMPLES / "lecture_mlp.py"
    theirs = tmp_path / "lecture_mlp.py"
    text = ours.read_text(encoding="utf-8")
    changed = text.replace("import tinygrad_ninja as torch", "import torch").replace(
        "import tinygrad_ninja.nn.functional as F", "import torch.nn.functional as F"
    )
    assert changed != text
    theirs.write_text(changed, encoding="utf-8")
    found = numbers(ours)
    assert len(found) == 11
    assert found == pytest.approx(numbers(theirs), rel=0, abs=2e-4)  # four digits are printed


@pytest.mark.slow
def test_the_gallery_is_drawn(tmp_path: Path) -> None:
    subprocess.run([sys.executable, EXAMPLES / "gallery.py", tmp_path / "gallery"], check=True, timeout=120)
    drawn = {path.name for path in (tmp_path / "gallery").iterdir()}
    assert drawn == {"neuron.png", "layers.png", "layers.html", "folded.png", "moons.html"}


def blocks() -> list[str]:
    """The README's Python blocks, but for the excerpt of the table."""
    text = (EXAMPLES.parent / "README.md").read_text(encoding="utf-8")
    found = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    return [block for block in found if "@operation" not in block]


@pytest.mark.parametrize("block", blocks())
def test_what_the_readme_shows_runs_and_prints_what_it_says(block: str, tmp_path: Path) -> None:
    printed = io.StringIO()
    with contextlib.chdir(tmp_path), contextlib.redirect_stdout(printed):
        exec(compile(block, "README.md", "exec"), {"__name__": "__main__"})
    for said in re.findall(r"^print\(.*\)  # (.*)$", block, re.MULTILINE):
        for part in said.split("…"):
            assert part.strip() in printed.getvalue()
