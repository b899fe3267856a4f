"""A program's `import torch`, answered by this engine.

The imports of a program, and of its own modules, those of its folder and of the folders in PYTHONPATH, are
rewritten before they are compiled: `import torch.nn as nn` becomes `import tinygrad_ninja.nn as nn`. So it is
decided by who imports. Every other module,
of this package, of PyTorch, or of a library, is compiled as it stands: there `torch` is PyTorch, which keeps
its place in `sys.modules`, and the devices "torch" and "cuda" work as ever.

Import statements are rewritten, and `import_module`, `find_spec` and `__import__` of a name that is written
out; a name that is computed, and code in a string, are not. A process that `multiprocessing` spawns, and does
not fork, begins as Python begins it, and imports PyTorch.
"""

from __future__ import annotations

import ast
import os
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

ENGINE = __package__.partition(".")[0]
_PACKAGE = Path(__file__).parents[1]
_INSTALLED = {"site-packages", "dist-packages"}
_IMPORTERS = {"__import__", "find_spec", "import_module"}


def is_torch(name: str | None) -> bool:
    """Return whether the name of a module is PyTorch's."""
    return name is not None and name.partition(".")[0] == "torch"


def find(path: str) -> Any:
    """Return what the engine has under PyTorch's name `path`, such as "torch.nn.Linear".

    What belongs to a value that is neither a module nor a class is not looked up. Raises AttributeError, in
    the package's words, for a name that is not there.
    """
    value: Any = import_module(ENGINE)
    for name in path.split(".")[1:]:
        if isinstance(value, ModuleType):
            value = _member(value, name)
        elif isinstance(value, type):
            value = getattr(value, name)
        else:
            break
    return value


def _member(module: ModuleType, name: str) -> Any:
    """Return a name of a module, or its submodule of that name."""
    try:
        return getattr(module, name)
    except AttributeError:
        try:
            return import_module(f"{module.__name__}.{name}")
        except ModuleNotFoundError:
            pass
        raise


def _engine_name(name: str) -> str:
    """Return the engine's name of a module of PyTorch's: where it is, which may be in another folder."""
    try:
        return str(find(name).__name__)
    except AttributeError:  # there is none, and the import says so
        return ENGINE + name.removeprefix("torch")


class ImportRewriter(ast.NodeTransformer):
    """Rewrites the imports of torch in a syntax tree, which keeps its lines and columns.

    An import of what the engine lacks becomes the ImportError that says so.
    """

    def visit_Import(self, node: ast.Import) -> list[ast.stmt]:
        """Return the import of the engine's modules."""
        aliases: list[ast.alias] = []
        for alias in node.names:
            if not is_torch(alias.name):
                aliases.append(alias)
                continue
            try:
                find(alias.name)
            except AttributeError as error:
                sentence = f"No module named {alias.name!r}: {error}"
                return [
                    *_imports(node, aliases),
                    _raise(node, "ModuleNotFoundError", sentence, alias.name),
                ]
            aliases.append(ast.alias(_engine_name(alias.name), alias.asname or "torch"))
            if alias.asname is None and alias.name != "torch":  # `import torch.nn` binds torch
                aliases.append(ast.alias(ENGINE, "torch"))
        return _imports(node, aliases)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> list[ast.stmt]:
        """Return the import from the engine's module."""
        module = node.module
        if module is None or node.level or not is_torch(module):
            return [node]
        try:
            find(module)
        except AttributeError as error:
            return [_raise(node, "ModuleNotFoundError", f"No module named {module!r}: {error}", module)]
        aliases: list[ast.alias] = []
        refusal: list[ast.stmt] = []
        for alias in node.names:
            try:
                find(module if alias.name == "*" else f"{module}.{alias.name}")
            except AttributeError as error:
                sentence = f"cannot import name {alias.name!r} from {module!r}: {error}"
                refusal = [_raise(node, "ImportError", sentence, module)]
                break
            aliases.append(alias)
        found = [_placed(ast.ImportFrom(_engine_name(module), aliases, 0), node)] if aliases else []
        return found + refusal

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """Return a call such as `import_module("torch.nn")` with the engine's name in it."""
        self.generic_visit(node)
        called = getattr(node.func, "id", None) or getattr(node.func, "attr", None)
        if called in _IMPORTERS and node.args and isinstance(node.args[0], ast.Constant):
            name = node.args[0].value
            if isinstance(name, str) and is_torch(name):
                node.args[0] = _placed(ast.Constant(_engine_name(name)), node.args[0])
        return node


def _imports(node: ast.Import, aliases: list[ast.alias]) -> list[ast.stmt]:
    """Return, in the place of `node`, the import of the modules, if there are any."""
    return [_placed(ast.Import(aliases), node)] if aliases else []


def _raise(node: ast.stmt, kind: str, sentence: str, module: str) -> ast.stmt:
    """Return, in the place of `node`, the statement that raises an ImportError about the module."""
    named = [ast.keyword("name", ast.Constant(module))]
    call = ast.Call(ast.Name(kind, ast.Load()), [ast.Constant(sentence)], named)
    return _placed(ast.Raise(call, None), node)


def _placed(new: Any, old: ast.AST) -> Any:
    """Return the new node with all its parts, in the place of the old one."""
    for node in ast.walk(new):
        if "lineno" in node._attributes:
            ast.copy_location(node, old)
    return new


def compile_program(source: bytes | str | ast.Module, file: str) -> CodeType:
    """Return the code of a program, or of a module, whose `torch` is this engine. Raise SyntaxError."""
    tree = source if isinstance(source, ast.Module) else ast.parse(source, file)
    return compile(ImportRewriter().visit(tree), file, "exec", dont_inherit=True)


class ProgramLoader(SourceFileLoader):
    """Loads a module of the program's own, with its imports rewritten."""

    def source_to_code(self, data: Any, path: Any, *, _optimize: int = -1) -> CodeType:  # type: ignore[override]
        """Return the code of the module."""
        return compile_program(data, path)

    def path_stats(self, path: Any) -> Any:
        """Raise OSError, so that no .pyc file is read or written: those hold the code as it stands."""
        raise OSError(f"the code of {path} is not kept in a file")


def _mentions_torch(source: bytes) -> bool:
    """Return whether it is Python that may import torch."""
    if b"torch" not in source:
        return False
    try:
        with warnings.catch_warnings(action="ignore"):  # they are given where the module is loaded
            ast.parse(source)
    except (SyntaxError, ValueError):
        return False
    return True


class ProgramFinder:
    """Finds the modules in some folders that speak of torch; they get the engine. An entry of
    `sys.meta_path`."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = folders

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where the module is, or None where it is no concern of the finder's.

        A module with a syntax error is left to Python, which says so as always.
        """
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or type(spec.loader) is not SourceFileLoader or not self.owns(Path(spec.loader.path)):
            return None
        if not _mentions_torch(Path(spec.loader.path).read_bytes()):
            return None
        spec.loader = ProgramLoader(spec.loader.name, spec.loader.path)
        return spec

    def owns(self, file: Path) -> bool:
        """Return whether the file is the program's own: in its folders, not installed, not this package's."""
        return not file.is_relative_to(_PACKAGE) and any(
            _INSTALLED.isdisjoint(parts) and parts[0] != "torch"
            for parts in (
                file.relative_to(folder).parts for folder in self.folders if file.is_relative_to(folder)
            )
        )


def own_folders(folder: Path) -> list[Path]:
    """Return where the modules of a program in `folder` are its own: there, and in the folders of
    PYTHONPATH where nothing is installed."""
    written = "" if sys.flags.ignore_environment else os.environ.get("PYTHONPATH", "")
    others = [Path(entry).resolve() for entry in written.split(os.pathsep) if entry]
    return [folder, *(other for other in others if _INSTALLED.isdisjoint(other.parts))]


def install(folder: Path) -> None:
    """Give the engine to the modules of a program in `folder` that are imported from now on."""
    sys.meta_path.insert(sys.meta_path.index(PathFinder), ProgramFinder(own_folders(folder)))


def load_ipython_extension(shell: Any) -> None:
    """Give the engine to a notebook's cells, and to its own modules: `%load_ext tinygrad_ninja`."""
    shell.ast_transformers.append(ImportRewriter())
    install(Path.cwd())


def unload_ipython_extension(shell: Any) -> None:
    """Leave the cells that run from now on as they stand: `%unload_ext tinygrad_ninja`."""
    shell.ast_transformers[:] = [
        entry for entry in shell.ast_transformers if not isinstance(entry, ImportRewriter)
    ]
    sys.meta_path[:] = [entry for entry in sys.meta_path if not isinstance(entry, ProgramFinder)]
