"""Trees: Tensors in tuples, lists and dicts, also nested."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ...engine.tensor import Tensor


def map_tensors(function: Callable[[Tensor], Any], tree: Any) -> Any:
    """Return the tree with each Tensor replaced by the function's value of it; all else is unchanged."""
    if isinstance(tree, Tensor):
        return function(tree)
    if type(tree) in (tuple, list):
        return type(tree)(map_tensors(function, branch) for branch in tree)
    if type(tree) is dict:
        return {key: map_tensors(function, branch) for key, branch in tree.items()}
    return tree


def tensors_of(tree: Any, label: str, error: type[Exception]) -> list[Tensor]:
    """Return the Tensors of the tree in order; raise `error` where it holds anything else."""
    if isinstance(tree, Tensor):
        return [tree]
    if type(tree) in (tuple, list, dict):
        branches = tree.values() if isinstance(tree, dict) else tree
        return [tensor for branch in branches for tensor in tensors_of(branch, label, error)]
    raise error(f"{label} must be a Tensor, or a tuple, list or dict of Tensors, not {type(tree).__name__}")


def filled(tree: Any, values: Iterable[Any]) -> Any:
    """Return the tree with its Tensors replaced, in order, by the values."""
    remaining = iter(values)
    return map_tensors(lambda _: next(remaining), tree)


def matching(tree: Any, pattern: Any, label: str) -> list[Tensor]:
    """Return the Tensors of a tree in the order of `pattern`.

    Raises RuntimeError where the tree has another structure than the pattern, or a Tensor another shape.
    """
    if isinstance(pattern, Tensor):
        if not isinstance(tree, Tensor) or tree.shape != pattern.shape:
            got = f"one of {tuple(tree.shape)}" if isinstance(tree, Tensor) else type(tree).__name__
            raise RuntimeError(f"{label}: a Tensor of shape {tuple(pattern.shape)} is expected, not {got}")
        return [tree]
    if type(tree) is not type(pattern) or len(tree) != len(pattern):
        raise RuntimeError(f"{label} must have the structure of what they belong to")
    keys = list(pattern) if isinstance(pattern, dict) else range(len(pattern))
    if isinstance(tree, dict) and set(tree) != set(keys):
        raise RuntimeError(f"{label} must have the keys {', '.join(map(repr, keys))}")
    return [tensor for key in keys for tensor in matching(tree[key], pattern[key], label)]
