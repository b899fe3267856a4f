"""The lines of the program that led to where the engine is, without the engine's own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from traceback import FrameSummary
from types import FrameType

import numpy as np

PACKAGE = str(Path(str(sys.modules[__name__.partition(".")[0]].__file__)).parent)
"""The folder of the whole package; what is called from a file in it was called by the engine."""

_LIBRARY = os.path.dirname(os.__file__)  # noqa: PTH120 - as the names of files in code begin
_OURS = PACKAGE, str(Path(np.__file__).parent)
_MODELS = str(Path(PACKAGE) / "makemore")


def is_file_of_python(file: str) -> bool:
    """Return whether a file, by its name in code or in a module, is of Python's own library."""
    return file.startswith((_LIBRARY, "<frozen ")) and "site-packages" not in file


@lru_cache(maxsize=4096)  # each operation that is recorded asks
def place(file: str, line: int) -> str:
    """Return a line of the program as "file:line", as it is shown, and written into the comments of generated
    code: in one line, without characters that a terminal obeys or that are no text."""
    return f"{visible(Path(file).name)}:{line}"


def visible(text: str) -> str:
    """Return text of any origin with the escapes of Python's literals for what can't be printed: the ends of
    lines, control characters, those that turn the direction of writing, bytes that are no UTF-8."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def callers() -> Iterator[FrameSummary]:
    """Yield the lines that led to this operation, the innermost first, without those of the engine and of
    NumPy."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith(_OURS) or file.startswith(_MODELS):
            yield FrameSummary(file, frame.f_lineno, frame.f_code.co_name, lookup_line=False)
        frame = frame.f_back
