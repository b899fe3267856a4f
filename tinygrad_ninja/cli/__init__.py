"""The command line, `ninja`: it parses, reports and saves; the work is done by `makemore`, `check` and `viz`.

rich and matplotlib are imported where they are used, so that `ninja --help` answers at once.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any, NoReturn

import click

from tinygrad_ninja_command import INTERRUPTED, end, end_quietly, raise_again

from .. import __version__
from ..api.weights import FileError
from ..engine.callers import visible
from ..makemore.data import DataError
from ..makemore.processes import DistributedError
from ..makemore.run import RunError
from ..makemore.sampling import SampleError
from ..makemore.settings import SettingsError
from ..makemore.training import TrainingError
from .check import check
from .derive import derive_command
from .draw import draw
from .find import lr_find
from .run_program import Program, run_command
from .train import Stopped, train
from .use import eval_command, sample_command

BAD_INPUT = 2


def main() -> NoReturn:
    """Run the command that `sys.argv` names, and exit.

    The status is 0, 2 after bad input, or 128 and the number of the signal that ended the command, which
    makes 130 for Ctrl-C. A program of the user's runs last, when nothing of the command line is left around
    it.
    """
    handlers = {stream: stream.errors for stream in (sys.stdout, sys.stderr)}
    for stream in handlers:
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # not every terminal shows every letter
    try:
        raise_again()
        with warnings.catch_warnings():
            warnings.showwarning = print_warning
            outcome = ninja.main(prog_name="ninja", standalone_mode=False)
    except (Exception, KeyboardInterrupt) as error:
        line, status = _told(error)
        end_quietly()
        click.echo(visible(line), err=True)
        sys.exit(status)
    if not isinstance(outcome, Program):
        end_quietly()
        sys.exit(outcome)
    for stream, errors in handlers.items():
        stream.reconfigure(errors=errors)  # type: ignore[union-attr]
    sys.unraisablehook = sys.__unraisablehook__
    outcome.run()
    sys.exit()


def _told(error: BaseException) -> tuple[str, int]:
    """Return the line that tells of an error, and the status; raise it where it is a fault of this code."""
    status = BAD_INPUT
    causes = _causes(error)
    match error:
        case Stopped():
            return str(error), error.status
        case KeyboardInterrupt() | click.Abort():
            message, status = "interrupted", INTERRUPTED
        case _ if KeyboardInterrupt in causes:
            # Of one within `__set_name__`, Python 3.11 makes RuntimeError; of one while an extension module
            # is made, its C++ may make ImportError, after which Python's own end would abort the process.
            if ImportError in causes:
                sys.stdout.flush()
                end()
            message, status = "interrupted", INTERRUPTED
        case click.ClickException():
            message = error.format_message()
        case SettingsError():
            message = f"--{error.name.replace('_', '-')}: {error}"
        case MemoryError():
            message = ": ".join(filter(None, ("not enough memory", str(error))))
        case DataError() | DistributedError() | FileError() | RunError() | SampleError() | TrainingError():
            message = str(error)
        case OSError():
            message = str(error)
        case _:
            raise error
    return f"error: {message}", status


def _causes(error: BaseException) -> list[type[BaseException]]:
    """Return the class of an error, and of those that it comes of."""
    causes = []
    cause: BaseException | None = error
    while cause is not None:
        causes.append(type(cause))
        cause = cause.__cause__ or cause.__context__
    return causes


def print_warning(message: Warning | str, *location: Any, **options: Any) -> None:
    """Print a warning as one plain line, for people who do not see the code: a `warnings.showwarning`."""
    click.echo("note: " + "\n".join(map(visible, str(message).split("\n"))), err=True)


class InOrder(click.Group):
    """A group whose help lists the commands in the order of their definition, not of the alphabet."""

    def list_commands(self, context: click.Context) -> list[str]:
        """Return the names of the commands, in the order of their definition."""
        return list(self.commands)


@click.group(cls=InOrder, invoke_without_command=True, context_settings={"show_default": True})
@click.version_option(__version__, message="%(prog)s %(version)s")
@click.pass_context
def ninja(context: click.Context) -> None:
    """Train the lecture's makemore models on an engine that you can read.

    Start with "ninja train": it needs no options, and ends in new names.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


for command in (train, sample_command, eval_command, lr_find, check, draw, derive_command, run_command):
    command.short_help = command.get_short_help_str(limit=1000)  # whole, however narrow the terminal is
    ninja.add_command(command)
