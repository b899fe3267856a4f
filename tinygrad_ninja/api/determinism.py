"""Reproducibility: whether the same numbers come out every time, to the last bit.

With NumPy's arrays they do. On a GPU PyTorch adds up scattered values (the gradient of an embedding) in
whatever order its threads finish, unless it is told not to.
"""

from __future__ import annotations

from ..arrays.torch_library import loaded_torch, tell_torch

_mode = False


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Compute on torch's arrays only in ways that give the same bits every time, at the cost of some speed.

    It calls `torch.use_deterministic_algorithms`, for the whole process, once PyTorch is imported. PyTorch
    raises a RuntimeError, or with warn_only gives a warning, at an operation that has no such way; on CUDA a
    matrix product needs the environment variable CUBLAS_WORKSPACE_CONFIG=:4096:8. Without PyTorch there is
    nothing to change. Raise TypeError for what is no bool.
    """
    global _mode
    for name, value in (("mode", mode), ("warn_only", warn_only)):
        if not isinstance(value, bool):
            raise TypeError(f"use_deterministic_algorithms: {name} must be bool, not {type(value).__name__}")
    _mode = mode
    tell_torch(
        "deterministic algorithms",
        lambda torch: torch.use_deterministic_algorithms(mode, warn_only=warn_only),
    )


def are_deterministic_algorithms_enabled() -> bool:
    """Return the mode that was set last, here or in PyTorch."""
    torch = loaded_torch()
    return _mode if torch is None else torch.are_deterministic_algorithms_enabled()
