"""Dimensions and sizes as they may be given, made regular."""

from __future__ import annotations

import operator
from typing import Any


def dimension(dim: Any, ndim: int) -> int:
    """Return `dim` counted from the front; a 0-d tensor counts as 1-d. IndexError where there is no such
    dimension."""
    if type(dim) is int and 0 <= dim < ndim:
        return dim
    dim = integer("dim", dim)
    n = ndim or 1
    if not -n <= dim < n:
        raise IndexError(
            f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {dim})"
        )
    return dim % n


def dimensions(dim: Any, ndim: int) -> tuple[int, ...] | None:
    """Return `dim`, an int or several, counted from the front; None where None or none stands for all.

    IndexError where there is no such dimension, RuntimeError where one is named twice.
    """
    return (dim % ndim,) if type(dim) is int and -ndim <= dim < ndim else _dimensions(dim, ndim)


def _dimensions(dim: Any, ndim: int) -> tuple[int, ...] | None:
    if dim is None or (isinstance(dim, (tuple, list)) and not dim):
        return None
    dims = tuple(dimension(d, ndim) for d in (dim if isinstance(dim, (tuple, list)) else [dim]))
    if len(set(dims)) != len(dims):
        raise RuntimeError(f"dim {dim} appears multiple times in the list of dims")
    return dims if ndim else None


def sizes(args: tuple[Any, ...]) -> tuple[int, ...]:
    """Return a shape that was given as several ints or as one tuple, list or Size."""
    if len(args) == 1 and isinstance(args[0], (tuple, list)):
        args = tuple(args[0])
    for size in args:
        if type(size) is not int:
            integer("size", args[0])  # PyTorch takes True for a 1, but not as the first
            return tuple([int(size) if isinstance(size, bool) else integer("size", size) for size in args])
    return args


def required_sizes(function: str, args: tuple[Any, ...], size: Any) -> tuple[int, ...]:
    """Return a shape that was given by position or as `size=`; TypeError for none."""
    if not args and size is None:
        raise TypeError(f'{function}() missing 1 required positional arguments: "size"')
    return sizes(args if size is None else (size,))


def integer(name: str, value: Any) -> int:
    """Return an argument that is an int, NumPy's too, or a Tensor of one; TypeError for bools and others."""
    try:
        if isinstance(value, bool):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an int, not {type(value).__name__} ({value!r})") from None
