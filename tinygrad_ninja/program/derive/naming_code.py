"""What a program calls its values, watched while it runs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import numpy as np

from ...engine.callers import place
from ...engine.tensor import Tensor
from ...nn import Module, functional
from ..trace import Traced
from .new_names import Called

_COMPOSED = str(Path(functional.__file__).parent)
"""Where the package's own functions are composed of operations: the beginning of the names of these files."""

_SAY_NOTHING = {"given", "input", "out", "output", "result"}
"""Names in the package's code that, as single letters, say nothing about a value."""


class Watched:
    """The names that functions give to Tensors.

    own: the code in which a name may be given to one Tensor only; elsewhere the first one keeps it, but a
    name that every call of a function gives to another one is no name. files: those of the reader's own
    functions; paths: what the reader calls each Module.

    named: the Tensors that functions in these files give names to, by the names; inner: those that the
    Modules' own code does elsewhere, with the names of the Modules in front.
    """

    def __init__(self, own: CodeType | None, files: set[str], paths: dict[Module, str]) -> None:
        self.named: dict[str, Any] = {}
        self.inner: dict[str, Any] = {}
        self._own = own
        self._files = files
        self._paths = paths
        self._giver: dict[str, FrameType] = {}
        self._last: dict[FrameType, int] = {}
        self._stems: dict[int, tuple[Any, Called]] = {}  # by the id of what is kept with it

    def stems(self) -> list[tuple[Any, Called]]:
        """Return every Tensor and array with the first name that it had, and the Module in whose code."""
        return list(self._stems.values())

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch this thread while the block lasts."""
        before = sys.gettrace()
        sys.settrace(self._look)
        try:
            yield
        finally:
            sys.settrace(before)

    def _look(self, frame: FrameType, event: str, _: Any) -> Any:
        """Look at a function's variables before each of its lines: a trace function."""
        code = frame.f_code
        if code.co_filename in self._files:
            self._take(frame)
        elif code.co_name == "forward" or code.co_filename.startswith(_COMPOSED):
            self._take_inner(frame)
        else:
            return None
        return self._look

    def _take_inner(self, frame: FrameType) -> None:
        """Take the names in code that is not the reader's, where arguments have names that fit anything."""
        code, local = frame.f_code, frame.f_locals
        own = local.get("self") if code.co_name == "forward" else None
        path = self._paths.get(own) if isinstance(own, Module) else None
        for name in code.co_varnames[code.co_argcount + code.co_kwonlyargcount :]:
            value = local.get(name)
            if path and isinstance(value, Tensor):
                self.inner.setdefault(f"{path}_{name}", value)
            if len(name) > 1 and name not in _SAY_NOTHING:
                self._keep(value, name, frame)

    def _take(self, frame: FrameType) -> None:
        """Take the names in the reader's own code."""
        for name, value in frame.f_locals.items():
            self._keep(value, name, frame)
            if not isinstance(value, Tensor) or (before := self.named.setdefault(name, value)) is None:
                continue
            self._giver.setdefault(name, frame)
            if before is value:
                continue
            giver = self._giver[name]
            if frame.f_code is giver.f_code is not self._own and frame is not giver:
                self.named[name] = None
            if frame.f_code is self._own:
                where = place(frame.f_code.co_filename, self._last[frame])
                raise ValueError(
                    f"{where}: the name {name} is given to two tensors, of shape {tuple(before.shape)} "
                    f"and {tuple(value.shape)}: give each value a name of its own"
                )
        self._last[frame] = frame.f_lineno

    def _keep(self, value: Any, name: str, frame: FrameType) -> None:
        """Keep the first name of a Tensor or an array."""
        if id(value) not in self._stems and isinstance(value, (Tensor, Traced, np.ndarray)):
            self._stems[id(value)] = value, Called(self._module(frame), name, True)

    def _module(self, frame: FrameType | None) -> str:
        """Return what the reader calls the Module whose `forward` runs the frame; "" for none."""
        while frame is not None:
            own = frame.f_locals.get("self") if frame.f_code.co_name == "forward" else None
            if isinstance(own, Module) and own in self._paths:
                return self._paths[own]
            frame = frame.f_back
        return ""
