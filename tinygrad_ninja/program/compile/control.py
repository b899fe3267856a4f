"""What a program asks of all that is compiled, or is told."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ...engine.hook import find, note_unrecorded, observers
from ...nn.module import Module
from .compiled import EVERY
from .compiled_module import as_module
from .recording.capture import Recording
from .recording.values import ValueRecording


def is_compiling() -> bool:
    """Return whether the code that asks is being recorded by a compiled function: what follows holds for its
    later calls, too."""
    watching = (find(Recording), find(ValueRecording)) if observers else ()
    return any(x is not None and not x.tape.reason for x in watching)


def disable(
    fn: Callable[..., Any] | None = None, recursive: bool = True, *, reason: str | None = None
) -> Any:
    """Return `fn`, a function or a Module, as one that is not compiled: a compiled function that calls it
    runs as eager code, and says so, with the reason. recursive: what it calls is not compiled either way."""
    if fn is None:
        return functools.partial(disable, recursive=recursive, reason=reason)
    if isinstance(fn, Module):
        return as_module(fn, disable(fn.__call__, reason=reason), functools.partial(disable, reason=reason))
    what = f"{getattr(fn, '__qualname__', type(fn).__name__)}, for which compiler.disable was called,"

    @functools.wraps(fn)
    def call(*args: Any, **kwargs: Any) -> Any:
        note_unrecorded(what, reason or "call it outside")
        return fn(*args, **kwargs)

    return call


def reset() -> None:
    """Forget what compiled functions have recorded, and which of them run as eager code: each begins anew."""
    for compiled in [*EVERY]:
        compiled._recordings.forget()
