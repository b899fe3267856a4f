"""Trees: Tensors in tuples, lists and dicts, also nested."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..tensors import Tensor


def map_tensors(function: Callable[[Tensor], Any], tree: Any) -> Any:
    """The tree with each Tensor replaced by what the function makes of it, and all else as it is."""
    if isinstance(tree, Tensor):
        return function(tree)
    if type(tree) in (tuple, list):
        return type(tree)(map_tensors(function, each) for each in tree)
    if type(tree) is dict:
        return {key: map_tensors(function, each) for key, each in tree.items()}
    return tree


def tensors_of(tree: Any, what: str, error: type[Exception]) -> list[Tensor]:
    """The Tensors of the tree in order; `error` where there is anything else in it."""
    if isinstance(tree, Tensor):
        return [tree]
    if type(tree) in (tuple, list, dict):
        branches = tree.values() if isinstance(tree, dict) else tree
        return [found for each in branches for found in tensors_of(each, what, error)]
    raise error(f"{what} must be a Tensor, or a tuple, list or dict of Tensors, not {type(tree).__name__}")


def filled(tree: Any, values: Iterable[Any]) -> Any:
    """The tree with its Tensors replaced, in order, by the values."""
    rest = iter(values)
    return map_tensors(lambda _: next(rest), tree)


def matching(tree: Any, pattern: Any, what: str) -> list[Tensor]:
    """The Tensors of a tree, in the order of the pattern, which it must be built as, with the same shapes."""
    if isinstance(pattern, Tensor):
        if not isinstance(tree, Tensor) or tree.shape != pattern.shape:
            got = f"one of {tuple(tree.shape)}" if isinstance(tree, Tensor) else type(tree).__name__
            raise RuntimeError(f"{what}: a Tensor of shape {tuple(pattern.shape)} is expected, not {got}")
        return [tree]
    if type(tree) is not type(pattern) or len(tree) != len(pattern):
        raise RuntimeError(f"{what} must have the structure of what they belong to")
    keys = list(pattern) if isinstance(pattern, dict) else range(len(pattern))
    if isinstance(tree, dict) and set(tree) != set(keys):
        raise RuntimeError(f"{what} must have the keys {', '.join(map(repr, keys))}")
    return [found for key in keys for found in matching(tree[key], pattern[key], what)]
