"""Reductions: along `dim` (an int, several, or None for all), the dimension kept as one of size 1 on
request."""

from __future__ import annotations

from typing import Any

from ..arrays import dtypes
from ..arrays.dispatch import namespace_of
from ..engine.tensor import Tensor
from ..ops import product
from ..ops import reduction as ops
from ..ops.operation import Operation
from .dimensions import dimensions
from .register import method, numpy_names


def floating_input(x: Tensor, name: str, dtype: Any) -> Tensor:
    """Return the input of the function `name` in `dtype`, if one is given. RuntimeError for integers."""
    if dtype is not None:
        x = x.to(dtype)
    if namespace_of(x.array).is_integral(x.array):
        raise RuntimeError(
            f"{name}(): could not infer output dtype. Input dtype must be either a floating point or complex "
            f"dtype. Got: {x.dtype}"
        )
    return x


def axes_of(input: Any, dim: Any) -> tuple[int, ...] | None:
    """Return the dimensions that `dim` names, counted from the front; None for all of them."""
    return None if dim is None else dimensions(dim, input.array.ndim)


@method
@numpy_names
def sum(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Return the sum along `dim`, of all elements by default, in `dtype`: int64 for integers and bools.
    The result has no `dim`, or size 1 there with keepdim."""
    if dtype is not None:
        return sum(input.to(dtype), dim, keepdim).to(dtype)
    return ops.sum.call(input, axes_of(input, dim), keepdim)


@method
@numpy_names
def mean(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Return the mean along `dim`, with the shape of `sum`, of all elements by default; NaN for none.

    RuntimeError for integers: give dtype=.
    """
    return ops.mean.call(floating_input(input, "mean", dtype), axes_of(input, dim), keepdim)


@method
@numpy_names
def prod(input: Tensor, dim: int | None = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Return the product along `dim`, as `sum`, of all by default, in `dtype`: int64 for integers, bools."""
    if dtype is not None:
        return prod(input.to(dtype), dim, keepdim).to(dtype)
    return product.prod.call(input, axes_of(input, dim), keepdim)


def _truth(entry: Operation, input: Tensor, dim: Any, keepdim: bool) -> Tensor:
    nothing = isinstance(dim, (tuple, list)) and not dim  # is reduced then, unlike by the other reductions
    truth = entry.call(input, () if nothing else axes_of(input, dim), keepdim)
    return truth.to(dtypes.uint8) if input.dtype is dtypes.uint8 else truth


@method
@numpy_names
def all(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Return whether all elements along `dim`, as `sum`, are true, or not zero: bool, but uint8 of uint8."""
    return _truth(ops.all, input, dim, keepdim)


@method
@numpy_names
def any(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Return whether any element along `dim`, as `sum`, is true, or not zero: bool, but uint8 of uint8."""
    return _truth(ops.any, input, dim, keepdim)
