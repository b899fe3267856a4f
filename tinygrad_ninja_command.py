"""`ninja`, from its first import to its last flush: Ctrl-C ends it in one line, with status 130.

It is a module of its own, outside the package, whose imports take most of a second: Ctrl-C would end them in
a traceback, wherever it met them.
"""

from __future__ import annotations

import os
import signal
import sys

TYPE_CHECKING = False  # typing's own takes longer to import than all else here
if TYPE_CHECKING:
    from typing import Any, NoReturn

INTERRUPTED = 130


def end(*_: object) -> NoReturn:
    """End the process: a handler of SIGINT for when there is nothing to be tidied up."""
    os.write(2, b"error: interrupted\n")
    os._exit(INTERRUPTED)


def begin_quietly() -> None:
    """Let Ctrl-C end this process at once, where it would raise KeyboardInterrupt: it is `ninja`'s."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, end)


def end_quietly() -> None:
    """Let Ctrl-C end the process at once again, after `raise_again`."""
    if sys.unraisablehook is _end_if_interrupted:
        signal.signal(signal.SIGINT, end)


def raise_again() -> None:
    """Let Ctrl-C raise KeyboardInterrupt, where it ends the process now; it ends it still where Python could
    raise nothing, but would print a traceback and go on: while an object is let go."""
    if signal.getsignal(signal.SIGINT) is end:
        sys.unraisablehook = _end_if_interrupted
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end_if_interrupted(lost: Any) -> None:
    if issubclass(lost.exc_type, KeyboardInterrupt):
        end()
    sys.__unraisablehook__(lost)


def main() -> None:
    """Run `python -m tinygrad_ninja`."""
    begin_quietly()
    import runpy

    runpy.run_module("tinygrad_ninja", run_name="__main__")
