"""What PyTorch keeps in its `utils`: `utils.data` and `utils.tensorboard`."""

from typing import Any

from ..api.missing import explain
from . import data

__all__ = ["data"]


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    raise AttributeError(explain("utils", name, [*__all__, "tensorboard"]))
