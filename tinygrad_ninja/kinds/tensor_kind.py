"""Tensors: the recorded operations under the names that rules call, so that a rule is itself recorded."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Sequence
from typing import Any

from ..dtypes import dtype as Dtype
from ..ops import elementwise, indexing, linalg, reduction, shape
from ..ops.table import Operation
from ..tensors import Tensor, wrap
from . import KINDS, array_dtype, device_of, kind_of

__all__ = [
    "abs", "all", "any", "apply", "astype", "broadcast_to", "concat", "copy", "cos", "cumulative_sum",
    "device", "diag_embed", "diagonal", "exp", "flip", "floor", "gather", "index", "isfinite", "isinf",
    "isnan", "log", "matmul", "max", "maximum", "min", "minimum", "one_minus_square", "ones_like",
    "permute_dims", "pow", "prod", "put", "reshape", "scatter", "scatter_along", "sign", "sin", "sqrt",
    "sum", "tanh", "tril", "triu", "where", "zeros_like",
]  # fmt: skip

abs = elementwise.abs.call
cos = elementwise.cos.call
exp = elementwise.exp.call
floor = elementwise.floor.call
isfinite = elementwise.isfinite.call
isinf = elementwise.isinf.call
isnan = elementwise.isnan.call
log = elementwise.log.call
maximum = elementwise.maximum.call
minimum = elementwise.minimum.call
one_minus_square = elementwise.one_minus_square.call
pow = elementwise.pow.call
sign = elementwise.sign.call
sin = elementwise.sin.call
sqrt = elementwise.sqrt.call
tanh = elementwise.tanh.call

all = reduction.all.call
any = reduction.any.call
cumulative_sum = reduction.cumsum.call
max = reduction.amax.call
min = reduction.amin.call
prod = reduction.prod.call
sum = reduction.sum.call

broadcast_to = shape.expand.call
diag_embed = shape.diag_embed.call
diagonal = shape.diagonal.call
permute_dims = shape.permute.call

gather = indexing.gather.call
put = indexing.put.call
scatter = indexing.scatter.call
scatter_along = indexing.scatter_along.call

matmul = linalg.matmul.call


def apply(operation: Operation, *args: Any) -> Any:
    """An operation as one step of the record."""
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
    basic = not builtins.any(hasattr(each, "shape") for each in key)
    result: Tensor = (indexing.slice if basic else indexing.index)(x, key)
    return result


def where(condition: Any, x: Any, y: Any) -> Tensor:
    array = condition.array if isinstance(condition, Tensor) else condition
    result: Tensor = elementwise.where(x, y, array)
    return result


def device(x: Tensor) -> str:
    return device_of(x.array)


def zeros_like(x: Tensor) -> Tensor:
    return wrap(kind_of(x.array).zeros_like(x.array))


def ones_like(x: Tensor) -> Tensor:
    return wrap(kind_of(x.array).ones_like(x.array))


KINDS[Tensor] = sys.modules[__name__]
