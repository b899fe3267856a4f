"""PyTorch, where it is installed: it is not a dependency, and imported only when it is needed."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def require_torch(what: str) -> Any:
    """Return PyTorch's module. Raise ImportError where it is not installed, which says how to get it for
    `what`."""
    try:
        return import_module("torch")
    except ImportError:
        raise ImportError(
            f'{what} needs PyTorch, which is not installed: pip install "tinygrad-ninja[torch]"'
        ) from None


def is_available() -> bool:
    """Return whether the device "cuda" is available: PyTorch, which it needs, is installed and sees a GPU."""
    try:
        torch = import_module("torch")
    except ImportError:
        return False
    available: bool = torch.cuda.is_available()
    return available
