"""The code cells of the documents in ../shared/seeds: found, run, and what they leave recorded."""

import ast
import builtins
import contextlib
import io
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np


def cells(document: str) -> list[str]:
    """The code of each cell of a notebook that was saved as text, without its outputs and the prose."""
    _, *parts = re.split(r"^In \[(?:\d+|None)\]:\n", document, flags=re.MULTILINE)
    return [code for code in map(_code, parts) if code]


def _code(part: str) -> str:
    """The longest run of paragraphs that is Python, less the outputs at its end that happen to be Python too.

    What was never finished, such as `x =`, is no Python and gives nothing.
    """
    paragraphs = re.sub(r"^%.*$", "", part, flags=re.MULTILINE).split("\n\n")
    for end in range(len(paragraphs), 0, -1):
        if _parsed("\n\n".join(paragraphs[:end])) is not None:
            while end > 1 and _is_output(paragraphs[end - 1]):
                end -= 1
            return "\n\n".join(paragraphs[:end])
    return ""


def _parsed(text: str) -> ast.Module | None:
    try:
        return ast.parse(text)
    except SyntaxError:
        return None


def _is_output(paragraph: str) -> bool:
    """Whether it is nothing but numbers, texts, and what Tensors and sizes print as."""
    tree = _parsed(paragraph)
    only_values = tree is not None and all(isinstance(each, ast.Expr) for each in tree.body)
    return only_values and _names(tree) <= {"torch", "tensor"}


def _names(tree: ast.AST | None) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} if tree else set()


@dataclass
class Outcome:
    """What one cell left: the text it printed and displayed, and a copy of every Tensor, and of its gradient,
    that the cell names, also in a list or on an object of a class of the document."""

    text: str
    arrays: dict[str, np.ndarray]


def run(code: list[str], engine: ModuleType) -> list[Outcome]:
    """Run the cells one after the other in one namespace, where `import torch` gives the engine.

    What is drawn from the default generator before the document seeds it starts from seed 42. A set keeps the
    order in which it was made, which in Python changes from process to process: the words, and so the
    numbers, are then the same every time.
    """

    def importer(name: str, *args: Any) -> Any:
        return __import__(re.sub(r"^torch\b", engine.__name__, name), *args)

    space: dict[str, Any] = {
        "__builtins__": {**vars(builtins), "__import__": importer, "set": dict.fromkeys},
        "__name__": "document",
        "display": _display,
    }
    engine.manual_seed(42)
    outcomes = []
    for cell in code:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _execute(cell, space)
            named = sorted(_names(ast.parse(cell)) & space.keys())
            arrays = {path: array for name in named for path, array in _arrays(engine, name, space[name])}
        outcomes.append(Outcome(printed.getvalue(), arrays))
    return outcomes


def _execute(cell: str, space: dict[str, Any]) -> None:
    """Run a cell and, as a notebook does, display what its last line gives unless a semicolon ends it."""
    tree = ast.parse(cell)
    last = tree.body[-1] if tree.body else None
    if isinstance(last, ast.Expr) and not cell.rstrip().endswith(";"):
        last.value = ast.Call(ast.Name("display", ast.Load()), [last.value], [])
    exec(compile(ast.fix_missing_locations(tree), "cell", "exec"), space)


def _display(value: Any) -> None:
    if value is not None:
        print(repr(value))


def _arrays(engine: ModuleType, path: str, value: Any) -> Iterator[tuple[str, np.ndarray]]:
    if isinstance(value, engine.Tensor):
        yield path, value.detach().numpy().copy()
        if value.grad is not None:
            yield f"{path}.grad", value.grad.detach().numpy().copy()
    elif isinstance(value, (list, tuple)):
        for i, each in enumerate(value):
            yield from _arrays(engine, f"{path}[{i}]", each)
    elif type(value).__module__ == "document":
        for name, each in vars(value).items():
            yield from _arrays(engine, f"{path}.{name}", each)
