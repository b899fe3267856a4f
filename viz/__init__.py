"""Pictures of what the engine does. This package imports the engine, never the reverse."""

from .drawing import draw, save

__all__ = ["draw", "save"]
