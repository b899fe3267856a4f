"""Functions that do more than compute, which an observer is told of."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

from ..engine.hook import note_unrecorded

_F = TypeVar("_F", bound=Callable[..., Any])


def unreplayed(f: _F) -> _F:
    """Let a function that reads or changes what is outside of Tensors, such as a setting of the process, tell
    an observer, since what is replayed later would do neither."""

    @functools.wraps(f)
    def call(*args: Any, **kwargs: Any) -> Any:
        note_unrecorded(f"{f.__name__}()", "call it outside")
        return f(*args, **kwargs)

    return cast(_F, call)
