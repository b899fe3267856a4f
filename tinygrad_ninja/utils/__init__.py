"""What PyTorch keeps in its `utils`: `utils.data`."""

from . import data

__all__ = ["data"]
