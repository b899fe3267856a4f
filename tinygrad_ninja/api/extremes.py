"""The largest and the smallest: their values, and where they stand."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..arrays import dtypes
from ..arrays.dispatch import namespace_of
from ..engine.tensor import Tensor, wrap
from ..ops import indexing
from ..ops import reduction as ops
from ..ops import shape as shape_ops
from ..ops.operation import Operation
from .arithmetic import maximum as _maximum
from .arithmetic import minimum as _minimum
from .dimensions import dimension, dimensions
from .register import method, numpy_names
from .reshaping import unviewed
from .return_types import shown


class max_return_type(NamedTuple):  # noqa: N801
    """What `max(dim)`, and a function like it, gives: the values, and where along the dimension they
    stood."""

    values: Tensor
    indices: Tensor

    def __repr__(self) -> str:
        return shown(self)


class min_return_type(max_return_type):  # noqa: N801
    """What `min(dim)` gives, as `max(dim)`."""

    __slots__ = ()


def _not_empty(input: Tensor, axis: tuple[int, ...] | None, name: str) -> None:
    shape = input.array.shape
    for i in range(len(shape)) if axis is None else axis:
        if shape[i] == 0:
            raise (RuntimeError if axis is None else IndexError)(
                f"{name}(): there is nothing to reduce along dim {i} of an input of shape {tuple(shape)}"
            )


def _extreme(
    input: Tensor,
    dim: Any,
    keepdim: bool,
    entry: Operation,
    where: Operation,
    pair: type[max_return_type],
) -> Any:
    array = input.array
    if dim is None:
        if keepdim:
            raise TypeError(f"{entry.name[1:]}(): keepdim goes with dim, which is missing")
        _not_empty(input, None, entry.name[1:])
        return entry.call(input, None, False)
    axis = dimension(dim, array.ndim)
    if not array.ndim:
        return pair(shape_ops.clone(input, False), wrap(namespace_of(array).zeros_like(array)).long())
    if not array.shape[axis]:
        _not_empty(input, (axis,), entry.name[1:])
    indices = where.function(namespace_of(array), array, axis, True)
    values = indexing.gather.call(input, axis, indices)
    if not keepdim:
        kept = array.shape[:axis] + array.shape[axis + 1 :]
        values = unviewed(shape_ops.reshape.call(values, kept))
        indices = indices.reshape(kept)
    return tuple.__new__(pair, (values, wrap(indices)))  # its own `__new__` takes three times as long


@method
@numpy_names
def max(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """Return the largest element, a tie sharing its gradient; with `dim` the pair (values, indices), where
    the gradient goes to the index given, the first of equals; with another Tensor `maximum`.

    RuntimeError, or with `dim` IndexError, where there are no elements.
    """
    if isinstance(dim, Tensor) or other is not None:
        return _maximum(input, dim if other is None else other)
    return _extreme(input, dim, keepdim, ops.amax, ops.argmax, max_return_type)


@method
@numpy_names
def min(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """Return the smallest element, as `max` returns the largest."""
    if isinstance(dim, Tensor) or other is not None:
        return _minimum(input, dim if other is None else other)
    return _extreme(input, dim, keepdim, ops.amin, ops.argmin, min_return_type)


@method
@numpy_names
def amax(input: Tensor, dim: Any = (), keepdim: bool = False) -> Tensor:
    """Return the largest along the dimensions, all by default; a tie shares the gradient evenly."""
    axis = dimensions(dim, input.array.ndim)
    _not_empty(input, axis, "amax")
    axis = tuple(range(input.array.ndim)) if axis is None else axis
    return ops.amax.call(input, axis, keepdim)


@method
@numpy_names
def amin(input: Tensor, dim: Any = (), keepdim: bool = False) -> Tensor:
    """Return the smallest along the dimensions, all by default; a tie shares the gradient evenly."""
    axis = dimensions(dim, input.array.ndim)
    _not_empty(input, axis, "amin")
    axis = tuple(range(input.array.ndim)) if axis is None else axis
    return ops.amin.call(input, axis, keepdim)


def _where_extreme(entry: Operation, input: Tensor, dim: Any, keepdim: bool) -> Tensor:
    if input.dtype is dtypes.bool:
        raise RuntimeError(f"{entry.name}(): does not support bool input")
    axis = None if dim is None else dimension(dim, input.array.ndim)
    _not_empty(
        input, tuple(range(input.array.ndim)) if axis is None or not input.array.ndim else (axis,), entry.name
    )
    if not input.array.ndim:
        axis = None
    return entry.call(wrap(input.array), axis, keepdim)


@method
@numpy_names
def argmax(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Return where the largest stands, the first of equals: along `dim`, as `sum`, or in all, flattened."""
    return _where_extreme(ops.argmax, input, dim, keepdim)


@method
@numpy_names
def argmin(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Return where the smallest stands, the first of equals: see `argmax`."""
    return _where_extreme(ops.argmin, input, dim, keepdim)


class aminmax_return_type(NamedTuple):  # noqa: N801
    """What `aminmax` gives: the smallest, and the largest."""

    min: Tensor
    max: Tensor

    def __repr__(self) -> str:
        return shown(self)


@method
@numpy_names
def aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False) -> aminmax_return_type:
    """Return `amin` and `amax` along `dim`, of all elements by default."""
    dims = () if dim is None else dim
    return aminmax_return_type(amin(input, dims, keepdim), amax(input, dims, keepdim))
