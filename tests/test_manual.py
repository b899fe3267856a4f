"""The manual: its pages print what they say, its examples what PyTorch prints; it lists every public name."""

import ast
import inspect
import re
import subprocess
import sys
import textwrap
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from manual_examples import examples, examples_of, outputs
from manual_pages import DOCS, ROOT, pages, printed, said
from name_tables import NOWHERE, listed, names_of, offered, taken
from printed_text import same_text
from public_names import MODULES, function_areas, members, methods, public_names, settings
from slow_ones import slow_but

import tinygrad_ninja
from tinygrad_ninja.api import OFFERED
from tinygrad_ninja.nn import Module

PUBLIC = {name.path: name for name in public_names()}


@pytest.mark.parametrize(
    "page", slow_but(pages(), DOCS / "tutorial.md"), ids=lambda page: str(page.relative_to(DOCS))
)
def test_a_page_prints_what_it_says(page: Path, tmp_path: Path) -> None:
    for says, prints in zip(said(page), printed(page, tmp_path), strict=True):
        assert same_text(says, prints), f"run `python scripts/manual_pages.py`; it prints now\n{prints}"


def without_node(text: str) -> str:
    """What was printed, without the names of nodes: what is composed here may be one node of PyTorch's."""
    return re.sub(r",\s+grad_fn=<\w+>", "", text)


@pytest.mark.parametrize("namespace", sorted({path.rpartition(".")[0] for path in examples()}))
@pytest.mark.filterwarnings("ignore")
def test_the_examples_print_what_pytorch_prints(namespace: str) -> None:
    shared = namespace.startswith("torch")
    if shared:
        pytest.importorskip("torch")
    for path, several in examples().items():
        if path.rpartition(".")[0] == namespace:
            for statements in several:
                try:
                    ours = "".join(outputs(statements, "tinygrad_ninja"))
                except ImportError:
                    assert not all(map(find_spec, ("torch", "tensorboard"))), path
                    continue
                assert "Error" not in ours
                if shared:
                    theirs = "".join(outputs(statements, "torch"))
                    assert same_text(without_node(ours), without_node(theirs)), (path, ours, theirs)


def test_every_public_name_has_an_example() -> None:
    assert [path for path in PUBLIC if not examples_of(path)] == []


def test_every_example_is_of_a_name() -> None:
    for path in examples():
        namespace, _, name = path.rpartition(".")
        ours = path.replace("torch", "tinygrad_ninja", 1) if path.startswith("torch") else path
        assert ours in PUBLIC or name in listed()[namespace], path


VERBS = {
    "Add", "Call", "Clamp", "Compute", "Continue", "Convert", "Copy", "Draw", "Drop", "Exchange", "Fill",
    "Forget", "Give", "Insert", "Join", "Keep", "Leave", "Let", "Make", "Move", "Overwrite", "Print",
    "Raise", "Remove", "Reorder", "Repeat", "Restart", "Return", "Run", "Save", "Scale", "Seed", "Set",
    "Take", "Transpose", "Wait", "Write", "Yield"
}  # fmt: skip


def test_docstrings_begin_with_a_verb_and_name_the_errors() -> None:
    complaints = []
    for path, name in PUBLIC.items():
        text = inspect.getdoc(name.value) or ""
        if not text or (inspect.isroutine(name.value) and re.match(r"\w*", text)[0] not in VERBS):
            complaints.append(f"{path}: {text!r} does not begin with a verb")
        if not re.search(r"errors (as|of)", text, re.IGNORECASE):
            complaints += [f"{path} raises {error} too" for error in raised(name.value) if error not in text]
    assert not complaints, "\n".join(complaints)


def raised(value: Any) -> set[str]:
    """The errors that a function, or the constructor of a class, raises by itself."""
    function = value.__dict__.get("__init__") if isinstance(value, type) else value
    function = inspect.unwrap(getattr(function, "__func__", function))
    if not inspect.isfunction(function) or function.__code__.co_filename == "<string>":  # a dataclass's
        return set()
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    errors = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise)]
    classes = [error.func if isinstance(error, ast.Call) else error for error in errors]
    return {name.id for name in classes if isinstance(name, ast.Name) and name.id[0].isupper()}


UNITS = "batch length features channels classes rows size dim windows samples steps outputs"
SIZE = rf"(?:\d+|…|[a-zA-Z]\d?|\w*(?:{UNITS.replace(' ', '|')}))"
SHAPE = re.compile(
    rf"(?<!\w)\({SIZE}(?:,| [·/] {SIZE})(?: {SIZE}(?: [·/] {SIZE})?,?)*\)"  # such as (n, 2 · features)
    r"|\bshapes?\b|\bsizes?\b|\bdimensions?\b|\b[01]-d\b|\brows?\b|\bcolumns?\b|\bmatri(?:x|ces)\b|\bvectors?\b"
    r"|keepdim|\b(?:e(?:ach|very) element|element by element|broadcast\w*|one element)\b"
    r"|\bitself\b|'s memory\b|\bFill the Tensor\b"  # what keeps its shape
)
"""How a docstring says what shape a result has."""

OTHER = re.compile(
    r"(?:^|\b(?:as|as for|as in|see|Write|Return|which is|errors of) )`(?:functional\.)?(\w+)`"
)
"""How it says that another one does."""

HOLDERS = "Module ModuleDict ModuleList ParameterDict ParameterList Sequential"
"""The layers that compute nothing themselves: what they hold has the shapes."""


def says_shape(path: str, asked: tuple[str, ...] = ()) -> bool:
    """Whether a docstring, or that of a layer's `forward`, says what shape the result has, or names another
    function that does. asked: the names that lead here."""
    value = PUBLIC[path].value
    texts = [inspect.getdoc(each) or "" for each in (value, getattr(value, "forward", None)) if each]
    text = " ".join(" ".join(texts).split())
    owner, package = path.rpartition(".")[0], tinygrad_ninja.__name__
    owners = (owner, package, f"{package}.Tensor", f"{package}.nn.functional")
    named = {f"{owner}.{name}" for name in OTHER.findall(text) for owner in owners} & PUBLIC.keys()
    return bool(SHAPE.search(text)) or any(
        says_shape(name, (*asked, path)) for name in named - {*asked, path}
    )


def gives_tensors(value: Any) -> bool:
    """Whether it returns Tensors, by its annotation, or is a layer that does."""
    if isinstance(value, type):
        return issubclass(value, Module) and value.__name__ not in HOLDERS.split()
    function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
    return "Tensor" in str(getattr(inspect.unwrap(function), "__annotations__", {}).get("return"))


def test_docstrings_say_the_shape_of_the_result() -> None:
    silent = [path for path, name in PUBLIC.items() if gives_tensors(name.value) and not says_shape(path)]
    assert not silent, "\n".join(silent)


def test_the_reference_lists_every_public_name() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in (DOCS / "reference").glob("*.md"))
    shown = re.findall(r"^::: (\S+)$", text, re.MULTILINE)
    modules = re.findall(r"^<!-- members (\S+) -->$", text, re.MULTILINE)
    assert Counter(modules) == Counter(MODULES)
    assert "<!-- functions -->" in text
    assert "<!-- methods -->" in text
    shown += [name.definition for module in modules for name in members(module)]
    assert {name.definition for name in settings()} <= {*shown}
    in_areas = [
        name
        for area in function_areas().values()
        for first, others in area.items()
        for name in (first, *others)
    ]
    elsewhere = {name.name for name in (*methods(), *members("tinygrad_ninja.nn.functional"))}
    assert max(Counter(in_areas).values()) == 1
    assert {name for name, value in OFFERED.items() if callable(value)} <= {*in_areas, *elsewhere}


@pytest.mark.slow
def test_the_table_of_names_says_what_is_so() -> None:
    nn, functions = names_of("torch.nn"), names_of("torch.nn.functional")
    assert nn.in_part["Embedding"] == ["max_norm", "scale_grad_by_freq", "sparse"]
    with pytest.raises(NotImplementedError, match="max_norm"):
        tinygrad_ninja.nn.Embedding(2, 2, max_norm=1.0)
    assert "linear" in functions.offered
    assert "conv2d" in functions.absent
    for namespace in ("torch", "torch.Tensor"):
        for name in [*names_of(namespace).offered, *names_of(namespace).in_part]:
            assert not {*NOWHERE} & (taken(offered(f"{namespace}.{name}")) or set()), name


@pytest.mark.slow
def test_the_list_of_names_is_that_of_the_pytorch_that_is_installed() -> None:
    pytest.importorskip("torch")
    command = "import pytorch_names; print(pytorch_names.listed(), end='')"
    result = subprocess.run(
        [sys.executable, "-c", command],
        cwd=ROOT / "scripts",
        check=True,
        capture_output=True,
        encoding="utf-8",
    )
    assert result.stdout == (DOCS / "pytorch_names.txt").read_text(encoding="utf-8")
