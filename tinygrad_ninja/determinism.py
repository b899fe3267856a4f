"""Whether the same numbers come out every time, to the last bit.

On NumPy's arrays they do. On a GPU PyTorch adds up what is scattered (the gradient of an embedding) in
whatever order its threads finish, unless it is told not to.
"""

from __future__ import annotations

import sys
from importlib import import_module

_wanted = False


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Compute on torch's arrays only in ways that give the same bits every time, at the cost of some speed.

    It is `torch.use_deterministic_algorithms`, of the whole process. PyTorch raises a RuntimeError, or with
    warn_only gives a warning, at an operation that has no such way; on CUDA a matrix product needs the
    environment variable CUBLAS_WORKSPACE_CONFIG=:4096:8. Without PyTorch there is nothing to change.
    """
    global _wanted
    _wanted = bool(mode)
    try:
        torch = import_module("torch")
    except ImportError:
        return
    torch.use_deterministic_algorithms(mode, warn_only=warn_only)


def are_deterministic_algorithms_enabled() -> bool:
    """What was said last, here or to PyTorch."""
    torch = sys.modules.get("torch")
    return _wanted if torch is None else torch.are_deterministic_algorithms_enabled()
