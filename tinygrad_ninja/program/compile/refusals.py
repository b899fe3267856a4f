"""How a step is refused, or runs slower: by a sentence that names what it does, and where."""

from __future__ import annotations

import sys
import warnings
from functools import cache
from typing import NoReturn

from ...engine.callers import PACKAGE
from ..trace import source


class CompileWarning(UserWarning):
    """A function runs slower than it could: it is recorded again, or not compiled at all; the message says
    why."""


class UnsupportedError(RuntimeError):
    """The step does something that only eager code can do; the message says what, and where."""


def refuse(what: str) -> NoReturn:
    """Raise UnsupportedError, with the reader's line and what it does there."""
    raise UnsupportedError(placed(what))


def placed(what: str) -> str:
    """Return a sentence with the reader's line before it."""
    return f"{source() or 'the compiled function'}: {what}"


def read_out_message(how: str) -> str:
    """Return the error text for a value that is read out."""
    return (
        f"{how} reads a value out of a Tensor, and what follows would hold for this one value only; return "
        f"the Tensor and read it outside, or keep it a Tensor (torch.where)"
    )


def warn(message: str) -> None:
    """Warn at the line that called the engine."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, CompileWarning, stacklevel=level)


@cache
def warn_once(message: str) -> None:
    """Warn of what holds for the whole process, in which it is said once."""
    warn(message)
