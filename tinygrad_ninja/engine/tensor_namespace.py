"""Tensors: the recorded operations, under the names that rules call, so that a rule is itself recorded."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Sequence
from typing import Any

from ..arrays.dispatch import NAMESPACES, array_dtype, device_of, namespace_of
from ..arrays.dtypes import dtype as Dtype
from ..ops import TABLE, Operation, comparison, elementwise, indexing, shape
from ..ops.standard import entry_called
from .tensor import Tensor, wrap

globals().update({entry.standard or entry.name: entry.call for entry in TABLE.values()})
"""The namespace, except for the functions below, which take other arguments than their entries."""


def __getattr__(name: str) -> Any:
    """Return the call of an entry that was added after this module was imported."""
    entry = entry_called(name)
    if entry is None:
        raise AttributeError(f"there is no operation {name} that could be recorded")
    return entry.call


def apply(operation: Operation, *args: Any) -> Any:
    """Apply an operation as one step of the record."""
    return operation.call(*args)


def astype(x: Tensor, dtype: Dtype) -> Tensor:
    result: Tensor = elementwise.cast(x, array_dtype(x.array, dtype))
    return result


def copy(x: Tensor, ordered: bool = False) -> Tensor:
    result: Tensor = shape.clone.call(x, ordered)
    return result


def reshape(x: Tensor, to: tuple[int, ...]) -> Tensor:
    result: Tensor = shape.reshape(x, to)
    return result


def concat(tensors: Sequence[Tensor], axis: int) -> Tensor:
    result: Tensor = shape.cat(tensors, axis)
    return result


def flip(x: Tensor, *, axis: tuple[int, ...]) -> Tensor:
    result: Tensor = shape.flip(x, axis)
    return result


def tril(x: Tensor, *, k: int) -> Tensor:
    result: Tensor = shape.tril(x, k)
    return result


def triu(x: Tensor, *, k: int) -> Tensor:
    result: Tensor = shape.triu(x, k)
    return result


def index(x: Tensor, key: tuple[Any, ...]) -> Tensor:
    basic = not builtins.any(hasattr(item, "shape") for item in key)
    result: Tensor = (indexing.slice if basic else indexing.index)(x, key)
    return result


def where(condition: Any, x: Any, y: Any) -> Tensor:
    array = condition.array if isinstance(condition, Tensor) else condition
    result: Tensor = comparison.where(x, y, array)
    return result


def device(x: Tensor) -> str:
    return device_of(x.array)


def zeros_like(x: Tensor) -> Tensor:
    return wrap(namespace_of(x.array).zeros_like(x.array))


def ones_like(x: Tensor) -> Tensor:
    return wrap(namespace_of(x.array).ones_like(x.array))


NAMESPACES[Tensor] = sys.modules[__name__]
