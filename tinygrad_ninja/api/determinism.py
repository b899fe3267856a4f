"""Reproducibility: whether the same numbers come out every time, to the last bit.

With NumPy's arrays they do. On a GPU PyTorch adds up scattered values (the gradient of an embedding) in
whatever order its threads finish, unless it is told not to.
"""

from __future__ import annotations

import warnings

from ..arrays.torch_library import import_torch, loaded_torch
from .unreplayed import unreplayed

_mode = False


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Compute on torch's arrays only in ways that give the same bits every time, at the cost of some speed.

    It calls `torch.use_deterministic_algorithms`, for the whole process. PyTorch raises a RuntimeError, or
    with warn_only gives a warning, at an operation that has no such way; on CUDA a matrix product needs the
    environment variable CUBLAS_WORKSPACE_CONFIG=:4096:8. Without PyTorch there is nothing to change.
    """
    global _mode
    _mode = bool(mode)
    try:
        torch = import_torch()
    except ImportError:
        return
    torch.use_deterministic_algorithms(mode, warn_only=warn_only)


def are_deterministic_algorithms_enabled() -> bool:
    """Return the mode that was set last, here or in PyTorch."""
    torch = loaded_torch()
    return _mode if torch is None else torch.are_deterministic_algorithms_enabled()


_PRECISIONS = ("highest", "high", "medium")
_precision = "highest"


@unreplayed
def set_float32_matmul_precision(precision: str) -> None:
    """Let a GPU round the factors of float32 products: "highest" not at all, "high" and "medium" to fewer
    bits, which is faster.

    It calls `torch.set_float32_matmul_precision`, for the whole process; NumPy's products are exact in any
    case. Another word changes nothing, and warns.
    """
    global _precision
    if precision not in _PRECISIONS:
        warnings.warn(
            f"{precision} is not one of {', '.join(_PRECISIONS)}: this call has no effect", stacklevel=2
        )
        return
    _precision = precision
    try:
        torch = import_torch()
    except ImportError:
        return
    torch.set_float32_matmul_precision(precision)


@unreplayed
def get_float32_matmul_precision() -> str:
    """Return the precision that was set last, here or in PyTorch."""
    torch = loaded_torch()
    return _precision if torch is None else str(torch.get_float32_matmul_precision())
