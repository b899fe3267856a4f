"""Pictures of what the engine does. This package imports the engine, never the reverse."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .drawing import draw, save
    from .web import page

__all__ = ["draw", "page", "save"]

# A training wants `viz.plots` only, and no drawing.
_LATER = {"draw": ".drawing", "save": ".drawing", "page": ".web"}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(import_module(_LATER[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
