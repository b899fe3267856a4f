"""The backward pass written out: as code, as formulas, explained line by line."""

from .derivation import Derivation, derive

__all__ = ["Derivation", "derive"]
