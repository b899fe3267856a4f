"""The availability of a GPU: `device = "cuda" if cuda.is_available() else "cpu"`, as in PyTorch."""

from typing import Any

from .api.missing import explain
from .arrays.torch_library import is_available

__all__ = ["is_available"]


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    raise AttributeError(explain("cuda", name, __all__))
