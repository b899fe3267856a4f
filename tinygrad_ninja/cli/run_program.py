"""`ninja run`: a program of PyTorch's as it stands, on this engine."""

from __future__ import annotations

import ast
import builtins
import os
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType, TracebackType
from typing import Any

import click

from ..engine.attributes import set_default_device
from ..interop.import_hook import ImportRewriter, compile_program, install, own_folders
from ..interop.notebook_cells import Cell, NotebookError, joined, read_cells
from ..interop.program_names import missing_names, own_modules
from ..makemore.settings import DEVICES
from .options import require

NOTEBOOK = ".ipynb"


@click.command("run", context_settings={"allow_interspersed_args": False})
@click.option(
    "--missing",
    is_flag=True,
    help="Do not run it: list the names of torch that it uses and that are not offered here, and exit with "
    "status 1 if there are any. Methods of tensors are not among them.",
)
@click.option(
    "--device",
    type=click.Choice(DEVICES),
    help="Where the program makes its Tensors unless it says where, by torch.set_default_device: in NumPy "
    "arrays (cpu), in PyTorch's tensors, or in PyTorch's tensors on the GPU.",
)
@click.option(
    "--compile",
    "compiled",
    is_flag=True,
    help="Not offered: torch.compile in the program says what a step is.",
)
@click.argument("file", metavar="FILE", type=click.Path(exists=True, dir_okay=False))
@click.argument("arguments", metavar="[ARGUMENTS]...", nargs=-1, type=click.UNPROCESSED)
def run_command(
    file: str, arguments: tuple[str, ...], missing: bool, device: str | None, compiled: bool
) -> Program | int:
    """Run a program that was written for PyTorch, unchanged.

    FILE is a Python file or a notebook. In it, and in the modules of its folder and of those in PYTHONPATH,
    "import torch" gives this engine, whether PyTorch is installed or not; libraries that import torch
    themselves get PyTorch. All the rest is as with "python FILE". Of a notebook the code cells run in their
    order, without the lines that begin with % or !.
    """
    if compiled:
        raise click.ClickException(
            "ninja run has no --compile: what is compiled is a function, a whole step with its backward, and "
            "where in a program that begins and ends only its author can say, by torch.compile"
        )
    if device is not None:
        require(device)
    try:
        program = Program(
            file, arguments, device, read_cells(Path(file)) if file.endswith(NOTEBOOK) else None
        )
        if not missing:
            return program
        found = list(missing_lines(program))
    except SyntaxError as error:
        raise click.ClickException(f"{error.filename}:{error.lineno}: {error.msg}") from error
    except NotebookError as error:
        raise click.ClickException(str(error)) from error
    for line in found:
        click.echo(line)
    return 1 if found else 0


def note(text: str) -> None:
    """Tell the user what was left out."""
    click.echo(f"note: {text}", err=True)


@dataclass(frozen=True)
class Program:
    """A program of the user's, and the arguments that it is given."""

    file: str
    arguments: tuple[str, ...]
    device: str | None
    """Where it makes its Tensors unless it says where; None: it is not asked."""
    cells: list[Cell] | None
    """Of a notebook; None for a Python file."""

    def run(self) -> None:
        """Run the program as `__main__`, as `python FILE` does. Errors are shown from its own lines on."""
        path = os.path.join(os.getcwd(), self.file)  # noqa: PTH109, PTH118 - as Python writes it: not normalized
        folder = os.path.dirname(os.path.realpath(path))  # noqa: PTH120
        main = ModuleType("__main__")
        vars(main).update(__builtins__=builtins, __annotations__={})
        if self.cells is None:
            vars(main).update(__file__=path, __loader__=SourceFileLoader("__main__", path), __cached__=None)
        sys.modules["__main__"] = main
        sys.argv[:] = [self.file, *self.arguments]
        if not sys.flags.safe_path:
            sys.path[0] = folder
        install(Path(folder))
        set_default_device(self.device)
        try:
            for code in self.codes(path):
                exec(code, vars(main))
        except (Exception, KeyboardInterrupt) as error:
            self.hide_the_start(path, error)
            raise

    def codes(self, path: str) -> Iterator[CodeType]:
        """Return the program's code, of a notebook that of each cell. Raise SyntaxError."""
        if self.cells is None:
            yield compile_program(Path(path).read_bytes(), path)
            return
        for cell in self.cells:
            cell.show_in_tracebacks()
            tree = cell.parse(note)
            shown = tree.body.pop() if cell.displays(tree) else None
            yield compile_program(tree, cell.name)
            if shown is not None:
                last = ast.fix_missing_locations(ImportRewriter().visit(ast.Interactive([shown])))
                yield compile(last, cell.name, "single", dont_inherit=True)

    def hide_the_start(self, path: str, error: BaseException) -> None:
        """Let the traceback begin with the program's first line, as if Python had been started with it."""
        files = {path} if self.cells is None else {cell.name for cell in self.cells}
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename not in files:
            trace = trace.tb_next
        show: Any = sys.excepthook
        if self.cells is not None and show is sys.__excepthook__:
            show = traceback.print_exception  # which knows the lines of cells: they are in no file

        def show_the_program(
            kind: type[BaseException], raised: BaseException, whole: TracebackType | None
        ) -> None:
            show(kind, raised.with_traceback(trace), trace)

        sys.excepthook = show_the_program


def missing_lines(program: Program) -> Iterator[str]:
    """Return a line for each name of torch's that the program, or a module of its folder, uses in vain.

    Raises SyntaxError.
    """
    start = Path(program.file)
    folder = start.resolve().parent
    folders = own_folders(folder)
    files, seen = [start], {start.resolve()}
    for file in files:
        if file is start and program.cells is not None:
            tree, place = joined(program.cells, note)
        else:
            tree, place = ast.parse(file.read_bytes(), str(file)), f"{file}:{{}}".format
        for name in missing_names(tree):
            yield f"{place(name.line)}: {name.name}: {name.sentence}"
        for module in own_modules(tree, file.resolve(), folders):
            if module not in seen:
                seen.add(module)
                beside = module.is_relative_to(folder)
                files.append(start.parent / module.relative_to(folder) if beside else module)
