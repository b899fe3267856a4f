"""The names of PyTorch's that a program uses and the engine lacks, found without running it."""

from __future__ import annotations

import ast
from collections import ChainMap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from .import_hook import find, is_torch

Scope = ChainMap[str, str | None]
"""From the names of a program to what of torch they stand for, as in {"F": "torch.nn.functional"}; None for
what is none of it."""

_Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_Comprehension = ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp


@dataclass(frozen=True, order=True)
class Missing:
    """A name that is missing, where it is used, and the sentence that says so."""

    line: int
    name: str
    sentence: str


@dataclass
class ProgramNames(ast.NodeVisitor):
    """Follows the aliases of imports through a syntax tree.

    Functions are visited last, since they see the names that the program binds below them.
    """

    missing: set[Missing] = field(default_factory=set)
    scope: Scope = field(default_factory=ChainMap)
    outer: Scope | None = None  # what functions see: not the names of the class that they stand in
    defined: set[str] = field(default_factory=set)  # what the program itself puts into torch
    later: list[tuple[_Function, Scope]] = field(default_factory=list)

    def visit_Module(self, node: ast.Module) -> None:
        """Visit the program's lines, then its functions, and the functions in them."""
        self.generic_visit(node)
        while self.later:
            function, scope = self.later.pop(0)
            arguments = function.args
            named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
            named += [argument for argument in (arguments.vararg, arguments.kwarg) if argument]
            self.scope = scope.new_child({argument.arg: None for argument in named})
            for statement in function.body if isinstance(function.body, list) else [function.body]:
                self.visit(statement)

    def visit_FunctionDef(self, node: _Function) -> None:
        """Visit what is evaluated where the function is defined, and keep its body for later."""
        for part in (node.args, *getattr(node, "decorator_list", ()), getattr(node, "returns", None)):
            if part is not None:
                self.visit(part)
        if not isinstance(node, ast.Lambda):
            self.scope[node.name] = None
        self.later.append((node, self.scope if self.outer is None else self.outer))

    visit_AsyncFunctionDef = visit_Lambda = visit_FunctionDef  # noqa: N815

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """Visit a class, whose names its methods do not see."""
        for part in (*node.decorator_list, *node.bases, *node.keywords):
            self.visit(part)
        self.scope[node.name] = None
        outer, self.outer = self.outer, self.outer or self.scope
        with self.inner_scope():
            for statement in node.body:
                self.visit(statement)
        self.outer = outer

    def visit_ListComp(self, node: _Comprehension) -> None:
        """Visit a comprehension, whose names are its own."""
        with self.inner_scope():
            for generator in node.generators:
                self.visit(generator)
            parts = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
            for part in parts:
                self.visit(part)

    visit_SetComp = visit_GeneratorExp = visit_DictComp = visit_ListComp  # noqa: N815

    @contextmanager
    def inner_scope(self) -> Iterator[None]:
        """Bind names in a scope of their own while the block lasts."""
        self.scope = self.scope.new_child()
        yield
        self.scope = self.scope.parents

    def visit_Import(self, node: ast.Import) -> None:
        """Follow `import torch.nn as nn`."""
        for alias in node.names:
            bound = alias.asname or alias.name.partition(".")[0]
            self.scope[bound] = None
            if is_torch(alias.name):
                self.check(node, alias.name)
                self.scope[bound] = alias.name if alias.asname else "torch"

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """Follow `from torch.nn import functional as F`."""
        from_torch = not node.level and is_torch(node.module)
        for alias in node.names:
            path = f"{node.module}.{alias.name}"
            if from_torch:
                self.check(node, path if alias.name != "*" else str(node.module))
            self.scope[alias.asname or alias.name] = path if from_torch else None

    def visit_Assign(self, node: ast.Assign) -> None:
        """Follow `F = torch.nn.functional`."""
        self.visit(node.value)
        for target in node.targets:
            self.visit(target)
            if isinstance(target, ast.Name):
                self.scope[target.id] = self.path(node.value)

    def visit_Name(self, node: ast.Name) -> None:
        """Forget an alias that is bound to something else."""
        if isinstance(node.ctx, ast.Store):
            self.scope[node.id] = None

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """Look up `torch.nn.functional.relu`."""
        path = self.path(node)
        if path is None:
            self.generic_visit(node)
        elif isinstance(node.ctx, ast.Load):
            self.check(node, path)
        else:  # of `torch.backends.x = 1` the owner is read
            self.visit(node.value)
            self.defined.add(path)

    def path(self, node: ast.AST) -> str | None:
        """Return what an expression stands for, as in "torch.nn.Linear"; None where it is not torch's."""
        if isinstance(node, ast.Name):
            return self.scope.get(node.id)
        if isinstance(node, ast.Attribute) and (owner := self.path(node.value)):
            return f"{owner}.{node.attr}"
        return None

    def check(self, node: Any, path: str) -> None:
        """Note the name if it is missing."""
        parts = path.split(".")
        if not self.defined.isdisjoint(".".join(parts[:end]) for end in range(2, len(parts) + 1)):
            return
        try:
            find(path)
        except AttributeError as error:
            self.missing.add(Missing(node.lineno, path, str(error)))


def missing_names(tree: ast.Module) -> list[Missing]:
    """Return the names of torch's that a program uses and the engine lacks, in the order of its lines.

    What is reached through a value, such as a method of a Tensor, is not seen: its class is known only when
    the program runs.
    """
    names = ProgramNames()
    names.visit(tree)
    return sorted(names.missing)


def own_modules(tree: ast.Module, file: Path, folders: list[Path]) -> list[Path]:
    """Return the files of the program's own folders that a file of them imports."""
    files = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            starts, names = folders, [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            starts = [file.parents[node.level - 1]] if node.level else folders
            module = [node.module] if node.module else []
            names = [".".join([*module, alias.name]) for alias in node.names]
        else:
            continue
        for start, name in product(starts, names):
            parts = name.split(".")
            for end in range(1, len(parts) + 1):
                place = start.joinpath(*parts[:end])
                files += [place / "__init__.py", place.with_name(f"{place.name}.py")]
    return [
        path
        for path in dict.fromkeys(files)
        if path.is_file() and any(path.is_relative_to(folder) for folder in folders)
    ]
