"""How results that have names for their parts are printed."""

from __future__ import annotations

from typing import Any


def shown(result: Any) -> str:
    """Return a named tuple of Tensors, of a class `NAME_return_type`, as PyTorch prints it."""
    name = type(result).__name__.removesuffix("_return_type")
    parts = ",\n".join(f"{field}={part!r}" for field, part in zip(result._fields, result, strict=True))
    return f"torch.return_types.{name}(\n{parts})"
