"""The norms of vectors and matrices, by the names of PyTorch's `linalg`."""

from __future__ import annotations

import math
from typing import Any

from ..api.dimensions import dimension
from ..api.distances import vector_norm as _length
from ..api.forms import require_tensors
from ..api.missing import explain as _explain
from ..api.sums import axes_of
from ..arrays.dtypes import as_dtype, promote_types
from ..engine.tensor import Tensor

__all__ = ["matrix_norm", "norm", "vector_norm"]


def vector_norm(
    x: Tensor, ord: float = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """Return (Σ |x|ᵖ)^(1/p), p = ord, along `dim`, of all elements by default; at 0 its gradient is 0.

    The result has no `dim`, or size 1 there with keepdim. ord: any number: infinity for the greatest |x|,
    -infinity for the smallest, 0 for how many are not 0. Raises RuntimeError for integers, a dtype that is
    narrower, and an extreme of nothing.
    """
    x = _numbers("vector_norm", x, dtype)
    return _length(x, float(ord), axes_of(x, dim), keepdim)


def matrix_norm(
    A: Tensor,
    ord: Any = "fro",
    dim: Any = (-2, -1),
    keepdim: bool = False,
    *,
    dtype: Any = None,
) -> Tensor:
    """Return the norm of the matrices in the two dimensions `dim`.

    ord: "fro" for √(Σ a²); 1 and -1 for the greatest and the smallest sum of |a| down a column, infinity and
    -infinity for those along a row; the greatest of nothing is 0. Raises NotImplementedError for "nuc", 2 and
    -2, which need singular values, RuntimeError for another ord, for integers, and where there are not two
    dimensions.
    """
    A = _numbers("matrix_norm", A, dtype)
    if A.ndim < 2:
        raise RuntimeError(f"linalg.matrix_norm: the input must have at least 2 dimensions, and not {A.ndim}")
    if not isinstance(dim, (tuple, list)) or len(dim) != 2:
        raise RuntimeError(f"linalg.matrix_norm: dim must be a 2-tuple, and not {dim}")
    rows, columns = _two_dimensions(A, dim)
    if ord == "fro":
        return _length(A, 2.0, (rows, columns), keepdim)
    if ord in ("nuc", 2, -2):
        raise NotImplementedError(
            f"linalg.matrix_norm with ord={ord!r} is not offered: it needs singular values"
        )
    if isinstance(ord, str) or abs(ord) not in (1, math.inf):
        raise RuntimeError(f"linalg.matrix_norm: {ord!r} is not a norm of matrices")
    along, across = (columns, rows) if math.isinf(ord) else (rows, columns)
    sums = A.abs().sum(along, keepdim=True)
    if ord > 0:
        extreme = sums.amax(across, keepdim=True) if A.shape[across] else sums.sum(across, keepdim=True)
    else:
        extreme = sums.amin(across, keepdim=True)
    return extreme if keepdim else extreme.squeeze((rows, columns))


def norm(A: Tensor, ord: Any = None, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Return `vector_norm` along one dimension, `matrix_norm` in two; without `ord` the length √(Σ a²) along
    `dim`, of all elements by default.

    Raises RuntimeError where there is an ord for other than one or two dimensions, and the errors of those.
    """
    require_tensors("linalg_norm", A=A)
    if ord is None:
        return vector_norm(A, 2, dim, keepdim, dtype=dtype)
    dims = tuple(range(A.ndim)) if dim is None else dim if isinstance(dim, (tuple, list)) else (dim,)
    if len(dims) not in (1, 2):
        raise RuntimeError(f"linalg.norm: ord={ord!r} is for one dimension or two, and not {len(dims)}")
    if len(dims) == 2:
        return matrix_norm(A, ord, dims, keepdim, dtype=dtype)
    if isinstance(ord, str):
        raise RuntimeError(f"linalg.norm: {ord!r} is a norm of matrices, and wants two dimensions")
    return vector_norm(A, ord, dims, keepdim, dtype=dtype)


def _numbers(name: str, x: Tensor, dtype: Any) -> Tensor:
    """Return the input of the function `name` in `dtype`, if one is given."""
    require_tensors(f"linalg_{name}", x=x)
    if not x.dtype.is_floating_point:
        raise RuntimeError(f"linalg.{name} expects floating point numbers, not {x.dtype}")
    if dtype is None:
        return x
    if not as_dtype(dtype).is_floating_point or promote_types(as_dtype(dtype), x.dtype) is not dtype:
        raise RuntimeError(f"linalg.{name}: {x.dtype} is not to be converted to {dtype}")
    return x.to(dtype)


def _two_dimensions(A: Tensor, dim: Any) -> tuple[int, int]:
    """Return two dimensions, counted from the front. RuntimeError where they are one."""
    rows, columns = (dimension(axis, A.ndim) for axis in dim)
    if rows == columns:
        raise RuntimeError("linalg.matrix_norm: dims must be different")
    return rows, columns


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    raise AttributeError(_explain("linalg", name, __all__))
