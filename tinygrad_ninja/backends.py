"""Which libraries compute, and their switches: what PyTorch keeps in its `backends`."""

from typing import Any

from .api.missing import explain
from .api.switches import cuda, cudnn, mps

__all__ = ["cuda", "cudnn", "mps"]


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    raise AttributeError(explain("backends", name, __all__))
