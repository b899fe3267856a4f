"""What a function returns: dicts, tuples and lists, with Tensors or numbers in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def mapped(result: Any, convert: Callable[[Any], Any]) -> Any:
    """The result, with `convert` of whatever stands in its dicts, tuples and lists."""
    if isinstance(result, dict):
        return {key: mapped(each, convert) for key, each in result.items()}
    if isinstance(result, tuple) and hasattr(result, "_fields"):
        return type(result)(*(mapped(each, convert) for each in result))
    if isinstance(result, (tuple, list)):
        return type(result)(mapped(each, convert) for each in result)
    return convert(result)
