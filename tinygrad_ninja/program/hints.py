"""Names for what rules compute: those that the rules' own code gives it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from ..ops import comparison
from .trace import Traced

_RULES = (str(Path(comparison.__file__).parent), str(Path(__file__).parent / "derive" / "chains"))
"""Where rules are written: the beginnings of the names of these files."""


@contextmanager
def hinting() -> Iterator[None]:
    """Give the variables that rules compute on this thread, as a hint, the names that the rules' own code
    gives them; not while another profile function, which this would put out, watches the thread."""
    if sys.getprofile() is not None:
        yield
        return

    def look(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event != "return" or not code.co_filename.startswith(_RULES):
            return
        for name in code.co_varnames[code.co_argcount :]:
            value = frame.f_locals.get(name)
            if isinstance(value, Traced) and value.var is not None and len(name) > 1:
                value.var.hint = value.var.hint or name

    sys.setprofile(look)
    try:
        yield
    finally:
        sys.setprofile(None)
