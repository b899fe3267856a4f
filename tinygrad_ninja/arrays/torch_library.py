"""PyTorch, where it is installed: it is not a dependency, and imported only when it is needed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

_ENGINE = __package__.partition(".")[0]
_untold: dict[str, Callable[[Any], object]] = {}


def import_torch() -> Any:
    """Return PyTorch's module, which has been told all settings. Raise ModuleNotFoundError where it is not
    installed, and ImportError where a program has put this engine in its place: PyTorch's own modules need
    that place."""
    torch = import_module("torch")
    if torch.__name__.partition(".")[0] == _ENGINE:
        raise ImportError(
            f"sys.modules['torch'] is {_ENGINE}, and PyTorch cannot be imported beside it: leave it out, and "
            "start the program with `ninja run`",
            name="torch",
        )
    for setting in tuple(_untold):
        _untold.pop(setting)(torch)
    return torch


def loaded_torch() -> Any:
    """Return PyTorch's module if it was imported, else None."""
    try:
        return import_torch() if sys.modules.get("torch") is not None else None
    except ImportError:
        return None


def tell_torch(setting: str, tell: Callable[[Any], object]) -> None:
    """Change a setting of PyTorch's by `tell`, which is given its module: now if it was imported, else when
    it is first needed here. Importing it takes a second or more, and a program that needs nothing else of it
    need not wait."""
    torch = loaded_torch()
    if torch is not None:
        tell(torch)
        return
    _untold.pop(setting, None)  # one setting may change another: PyTorch is told in the order of the calls
    _untold[setting] = tell


def require_torch(what: str) -> Any:
    """Return PyTorch's module. Raise ImportError, which says what `what` lacks: where it is not installed,
    how to get it."""
    try:
        return import_torch()
    except ModuleNotFoundError:
        reason = 'which is not installed: pip install "tinygrad-ninja[torch]"'
    except ImportError as error:
        reason = f"but {error}"
    raise ImportError(f"{what} needs PyTorch, {reason}")


def is_available() -> bool:
    """Return whether the device "cuda" is available: PyTorch, which it needs, is installed and sees a GPU."""
    try:
        torch = import_torch()
    except ImportError:
        return False
    available: bool = torch.cuda.is_available()
    return available
