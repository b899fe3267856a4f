"""Pictures of what the engine does. This package imports the engine, never the reverse."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .drawing import draw, save
    from .web import Film, page

__all__ = ["Film", "draw", "page", "save"]

# Imported when first used: a training run needs `viz.plots` only.
_LAZY = {"draw": ".drawing", "save": ".drawing", "page": ".web", "Film": ".web"}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
