"""The house: what each folder may import, and that no two files share a name."""

from __future__ import annotations

import ast
import functools
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

FLOORS = [
    ["tinygrad_ninja_command"],
    ["arrays"],
    ["ops"],
    ["engine"],
    ["api"],
    ["linalg"],
    ["rng"],
    ["nn"],
    ["optim"],
    ["utils"],
    ["program"],
    ["interop"],
    ["the package"],
    ["check"],
    ["viz"],
    ["makemore"],
    ["cli"],
    ["the entrances"],
]
"""From the ground up. A file imports from its own folder and from lower floors, inside functions and for the
checks of types too. "The package" is `tinygrad_ninja` itself, with the modules beside the folders that hold
public names only."""

HEIGHT = {folder: height for height, folders in enumerate(FLOORS) for folder in folders}
ENTRANCES = {"tinygrad_ninja.__main__", "tinygrad_ninja.distributed", "pytest_tinygrad_ninja"}

FILES = [
    *sorted((ROOT / "tinygrad_ninja").rglob("*.py")),
    *sorted((ROOT / "viz").rglob("*.py")),
    ROOT / "tinygrad_ninja_command.py",
    ROOT / "pytest_tinygrad_ninja.py",
]


def module(path: Path) -> str:
    """Return the name by which the file is imported."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module(path) for path in FILES}


def floor(name: str) -> str:
    """Return the folder that a module belongs to, as `FLOORS` calls it."""
    first, *rest = name.split(".")
    if name in ENTRANCES:
        return "the entrances"
    if first in ("viz", "tinygrad_ninja_command"):
        return first
    return rest[0] if rest and rest[0] in HEIGHT else "the package"


@functools.cache
def imported(path: Path) -> list[tuple[int, str]]:
    """Return the modules of the project that the file imports, wherever in it, and those that it names in a
    text, as for `import_module`, each with its line."""
    package = module(path).split(".")
    if path.name != "__init__.py":
        package.pop()
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            start = ".".join([*above, *([node.module] if node.module else [])])
            names = [full if (full := f"{start}.{alias.name}") in MODULES else start for alias in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in MODULES:
            names = [node.value] if "." in node.value else []
        else:
            continue
        found += [(node.lineno, name) for name in names if name.split(".")[0] in ("tinygrad_ninja", "viz")]
    return found


def test_imports_point_downwards() -> None:
    wrong = []
    for path in FILES:
        own = floor(module(path))
        wrong += [
            f"{path.relative_to(ROOT)}:{line}: {own} imports {name}"
            for line, name in imported(path)
            if floor(name) != own and HEIGHT[floor(name)] >= HEIGHT[own]
        ]
    assert not wrong, "\n".join(wrong)


STAGES = ["compile.guards", "compile.recording", "compile.lowering", "compile.c"]
"""The folders of the compiler, each of which imports from itself, from those before it, and of the compiler's
own files only these: what stands in a sentence, and what a function returns."""
SHARED = ["compile.refusals", "compile.results"]


def test_the_stages_of_the_compiler_follow_each_other() -> None:
    wrong = []
    for stage, folder in enumerate(STAGES):
        allowed = tuple(f"tinygrad_ninja.program.{name}" for name in STAGES[: stage + 1] + SHARED)
        paths = sorted((ROOT / "tinygrad_ninja/program" / folder.replace(".", "/")).glob("*.py"))
        assert paths
        wrong += [
            f"{path.relative_to(ROOT)}:{line}: {name}"
            for path in paths
            for line, name in imported(path)
            if name.startswith("tinygrad_ninja.program.compile") and not name.startswith(allowed)
        ]
    assert not wrong, "\n".join(wrong)


def test_every_import_is_one_of_the_project() -> None:
    """Otherwise the test above would overlook it."""
    unknown = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in FILES
        for line, name in imported(path)
        if name not in MODULES
    ]
    assert not unknown, "\n".join(unknown)


def test_every_folder_has_its_floor() -> None:
    folders = {path.parent.name for path in (ROOT / "tinygrad_ninja").glob("*/__init__.py")}
    assert folders | {"tinygrad_ninja_command", "viz", "the package", "the entrances"} == set(HEIGHT)


@pytest.mark.parametrize("suffix", [".py", ".js"])
def test_no_two_files_share_a_name(suffix: str) -> None:
    named = defaultdict(list)
    for folder in ("tinygrad_ninja", "viz"):
        for path in sorted((ROOT / folder).rglob(f"*{suffix}")):
            if path.name not in ("__init__.py", "__main__.py"):
                named[path.name].append(str(path.relative_to(ROOT)))
    shared = [", ".join(paths) for paths in named.values() if len(paths) > 1]
    assert named
    assert not shared, "\n".join(shared)


def test_public_names_stand_in_the_folders() -> None:
    """A module beside the folders offers names, and defines nothing but what says that one is not there."""
    for path in sorted((ROOT / "tinygrad_ninja").glob("*.py")):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        defined = [each.name for each in body if isinstance(each, (ast.FunctionDef, ast.ClassDef))]
        assert set(defined) <= {"__getattr__", "__dir__"}, path.name
