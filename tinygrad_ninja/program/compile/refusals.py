"""How a step is refused, or runs slower: by a sentence that names what it does, and where."""

from __future__ import annotations

import sys
import warnings
from functools import cache

from ...engine.callers import PACKAGE
from ..instructions import Instruction
from ..trace import source


class CompileWarning(UserWarning):
    """A function runs slower than it could: it is recorded again, or not compiled at all; the message says
    why."""


class UnsupportedError(RuntimeError):
    """The step does something that only eager code can do; the message says what, and where."""


def placed(what: str) -> str:
    """Return a sentence with the reader's line before it."""
    return f"{source() or 'the compiled function'}: {what}"


def read_out_message(how: str, kind: str = "Tensor") -> str:
    """Return the error text for a value that is read out of a Tensor, or of a Value."""
    instead = "keep it a Tensor (torch.where)" if kind == "Tensor" else "keep to its own operations"
    return (
        f"{how} reads a value out of a {kind}, and what follows would hold for this one value only; return "
        f"the {kind} and read it outside, or {instead}"
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


def uncompiled(instruction: Instruction) -> UnsupportedError:
    """Return the error of an operation for which there is neither a C expression nor a loop."""
    return UnsupportedError(
        f"{instruction.source or 'the step'}: the operation {instruction.operation.name} is not compiled: "
        "its entry says no C, and its forward function calls nothing simpler; call it outside, or compile "
        'with backend="numpy"'
    )


def unviewed(instruction: Instruction) -> UnsupportedError:
    """Return the error of a change through a view that there is of other strides than those of rows."""
    return UnsupportedError(
        f"{instruction.source or 'the step'}: {instruction.operation.name} is not compiled for a view that "
        "only the strides of a Tensor's memory allow: change a part of a contiguous() Tensor"
    )
