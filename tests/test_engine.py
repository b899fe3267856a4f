"""The engine is read in an evening: how much code a gradient passes on its way, and of what kind."""

import ast
import re
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import tinygrad_ninja as torch

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "tinygrad_ninja"
LINES, FILES = 2000, 12


def lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def entered() -> set[Path]:
    """The files of the package that are entered from the user's line to the leaf's gradient."""
    x, w, b = torch.randn(4, 3), torch.randn(3, requires_grad=True), torch.zeros(3, requires_grad=True)
    files: set[Path] = set()

    def enter(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            files.add(Path(frame.f_code.co_filename))

    before = sys.getprofile()
    sys.setprofile(enter)
    try:
        (x * w + b).tanh().sum().backward()
        gradient = w.grad
    finally:
        sys.setprofile(before)
    assert gradient is not None
    made_of_text = [path for path in files if not path.is_file() and str(path).startswith("<")]
    assert not made_of_text
    return {path for path in files if path.is_relative_to(PACKAGE)}


def reading_list() -> dict[Path, int]:
    """The files of README's list, with the number of lines that it says."""
    rows = re.findall(r"^\d+\. `([\w/]+\.py)`, (\d+) lines", (ROOT / "README.md").read_text("utf-8"), re.M)
    return {PACKAGE / name: int(count) for name, count in rows}


def test_a_gradient_passes_few_lines_in_few_files() -> None:
    files = entered()
    assert len(files) <= FILES, sorted(files)
    assert sum(map(lines, files)) <= LINES, {path.name: lines(path) for path in files}


def test_the_reading_list_is_what_a_reader_needs() -> None:
    """All that is entered; and no more lines than it promises."""
    listed = reading_list()
    assert entered() <= set(listed)
    assert len(listed) <= FILES
    assert sum(map(lines, listed)) <= LINES
    assert listed == {path: lines(path) for path in listed}


def test_nothing_on_the_way_is_made_of_text_or_found_on_the_stack() -> None:
    """No code from text, no stack frames, no reference counts, no class that reports another one."""
    forbidden = {"exec", "eval", "compile", "getrefcount", "_getframe", "currentframe", "__class__"}
    for path in reading_list():
        names = {
            name
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            for name in (getattr(node, "id", None), getattr(node, "attr", None), getattr(node, "name", None))
        }
        assert not names & forbidden, path
