"""vmap: a function of one example, applied to each of many."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

from ...engine.tensor import Tensor
from ..creation import zeros_like
from ..joining import stack
from ..register import OFFERED
from .nested import map_tensors, tensors_of

Dims = Any
"""A dimension, or None; or a tuple, list or dict of them, as the arguments or the outputs are nested."""


def vmap(
    func: Callable[..., Any],
    in_dims: Dims = 0,
    out_dims: Dims = 0,
    randomness: str = "error",
    *,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """Return a function that calls `func` for each example, and stacks what it returns.

    in_dims: along which dimension of each argument the examples lie, None where each gets all of it, as of
    arguments by name. out_dims: along which dimension of each output they are stacked.
    randomness: whether a draw from the default generator is an "error" (RuntimeError), or "different" or the
    "same" for each. Calling the result raises ValueError where the arguments do not fit `in_dims` or each
    other, or func returns others than Tensors.

    `func` is called once for each example, in Python: the numbers and the derivatives are PyTorch's, the
    speed is not, and `chunk_size` changes nothing. It may do what PyTorch refuses there, such as branch on a
    Tensor.
    """
    if randomness not in ("error", "different", "same"):
        raise RuntimeError(
            f"Only allowed values for randomness are 'error', 'different', or 'same'. Got {randomness}"
        )

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        mapped = _paired(args, in_dims)
        lengths = {_length(x, dim) for x, dim in _pairs(mapped) if dim is not None}
        if len(lengths) != 1:
            what = f"got sizes {sorted(lengths)}" if lengths else "got none to map over"
            raise ValueError(
                f"vmap: Expected all tensors to have the same size in the mapped dimension, {what}"
            )
        (count,) = lengths
        results = []
        for i in range(count or 1):
            example = functools.partial(func, *_example(mapped, i, empty=not count), **kwargs)
            results.append(_call(example, randomness, last=i + 1 >= count))
        joined = _stacked(results, out_dims)
        return joined if count else map_tensors(lambda x: x[:0], joined)

    return wrapper


class _Pair:
    """A Tensor among the arguments, and the dimension along which its examples lie, if it has any."""

    def __init__(self, x: Any, dim: int | None) -> None:
        self.x, self.dim = x, dim

    def __iter__(self) -> Iterator[Any]:
        return iter((self.x, self.dim))


def _paired(tree: Any, dims: Dims) -> Any:
    """Return the arguments with a `_Pair` for everything that is no tuple, list or dict. Raise ValueError
    where the dims are nested in another way."""
    if type(tree) in (tuple, list):
        if not isinstance(dims, (tuple, list)):
            return type(tree)(_paired(branch, dims) for branch in tree)
        if len(dims) != len(tree):
            raise ValueError("vmap: in_dims is not compatible with the structure of the arguments")
        return type(tree)(_paired(branch, dim) for branch, dim in zip(tree, dims, strict=True))
    if type(tree) is dict:
        if isinstance(dims, dict) and dims.keys() != tree.keys():
            raise ValueError("vmap: in_dims is not compatible with the structure of the arguments")
        return {
            key: _paired(branch, dims[key] if isinstance(dims, dict) else dims)
            for key, branch in tree.items()
        }
    if dims is not None and not isinstance(dims, int):
        raise ValueError("vmap: in_dims is not compatible with the structure of the arguments")
    if dims is not None and not isinstance(tree, Tensor):
        raise ValueError(
            f"vmap: got in_dims={dims} for {type(tree).__name__}, which is no Tensor and needs None"
        )
    return _Pair(tree, dims)


def _pairs(tree: Any) -> Iterator[_Pair]:
    if isinstance(tree, _Pair):
        yield tree
    else:
        for branch in tree.values() if isinstance(tree, dict) else tree:
            yield from _pairs(branch)


def _length(x: Tensor, dim: int) -> int:
    if not -x.ndim <= dim < x.ndim:
        raise ValueError(f"vmap: got in_dim={dim} for an input that has {x.ndim} dimensions")
    return x.shape[dim]


def _example(tree: Any, i: int, empty: bool) -> Any:
    """Return the arguments of one call; where there is no example, zeros."""
    if isinstance(tree, _Pair):
        x, dim = tree
        if dim is None:
            return x
        return zeros_like(x.sum(dim)) if empty else x.select(dim, i)
    if isinstance(tree, dict):
        return {key: _example(branch, i, empty) for key, branch in tree.items()}
    return type(tree)(_example(branch, i, empty) for branch in tree)


def _call(func: Callable[[], Any], randomness: str, last: bool) -> Any:
    """Return what `func` returns. Raise RuntimeError where it draws and must not."""
    generator = OFFERED["default_generator"]
    before = generator.mark() if randomness != "different" else None
    result = func()
    if randomness == "error" and not generator.is_at(before):
        raise RuntimeError(
            "vmap: called random operation while in randomness error mode: say 'same' or 'different'"
        )
    if randomness == "same" and not last:
        generator.return_to(before)
    return result


def _stacked(results: list[Any], out_dims: Dims) -> Any:
    """Return the results, alike in structure, as one, stacked along out_dims."""
    first = results[0]
    tensors_of(first, "vmap: the function's output", ValueError)
    if isinstance(first, Tensor):
        if not isinstance(out_dims, int):
            raise ValueError("vmap: out_dims is not compatible with the structure of the outputs")
        return stack(results, out_dims)
    keys = list(first) if isinstance(first, dict) else range(len(first))
    if isinstance(out_dims, (tuple, list)) and len(out_dims) != len(first):
        raise ValueError("vmap: out_dims is not compatible with the structure of the outputs")
    joined = [
        _stacked(
            [result[key] for result in results],
            out_dims[key] if isinstance(out_dims, (tuple, list, dict)) else out_dims,
        )
        for key in keys
    ]
    return dict(zip(keys, joined, strict=True)) if isinstance(first, dict) else type(first)(joined)
