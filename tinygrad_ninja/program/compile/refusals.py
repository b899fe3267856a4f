"""How a step is refused: by a sentence that names what it does, and where."""

from __future__ import annotations

from typing import NoReturn

from ..trace import source


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
