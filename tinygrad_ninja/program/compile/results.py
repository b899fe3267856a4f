"""What a function returns: dicts, tuples and lists, with Tensors or numbers in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def mapped(result: Any, convert: Callable[[Any], Any]) -> Any:
    """Return the result, with `convert` applied to every leaf of its dicts, tuples and lists."""
    if isinstance(result, dict):
        return {key: mapped(value, convert) for key, value in result.items()}
    if isinstance(result, tuple) and hasattr(result, "_fields"):
        return type(result)(*(mapped(value, convert) for value in result))
    if isinstance(result, (tuple, list)):
        return type(result)(mapped(value, convert) for value in result)
    return convert(result)
