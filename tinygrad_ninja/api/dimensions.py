"""Dimensions and sizes as they may be given, made regular."""

from __future__ import annotations

import operator
from typing import Any


def dimension(dim: Any, ndim: int) -> int:
    """Return `dim` counted from the front; a 0-d tensor counts as 1-d. IndexError where there is no such
    dimension."""
    if type(dim) is int and 0 <= dim < ndim:
        return dim
    if not isinstance(dim, int):
        raise TypeError(f"dim must be an int, not {type(dim).__name__}")
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
            return tuple([_size(size) for size in args])
    return args


def _size(size: Any) -> int:
    try:
        return operator.index(size)
    except TypeError:
        raise TypeError(f"a size must be an int, not {type(size).__name__} ({size!r})") from None
