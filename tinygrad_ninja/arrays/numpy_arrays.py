"""NumPy arrays: NumPy's own functions, and our own kernels where NumPy has none or a slow one. What is not
here is NumPy's function of that name.

Several kernels take a detour because it is faster at the sizes of small networks, as a column sum by a
product with a row of ones. Each says so.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
from numpy import asarray

from .numpy_functions import *  # noqa: F403 - the functions that it lists
from .numpy_indexing import *  # noqa: F403 - as above
from .numpy_memory import FLOATS, HALF, Array, deepcopy, empty_like, storage  # noqa: F401 - as above


def __getattr__(name: str) -> Any:
    """Return NumPy's function of that name."""
    if name.startswith("_") or not hasattr(np, name):
        raise AttributeError(f"NumPy has no function {name}")
    function = globals()[name] = getattr(np, name)
    return function


# torch is silent about log(0) and 0/0: the result says it. The filter names the engine's own modules, so a
# warning about the caller's own NumPy code is still given.
warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"tinygrad_ninja\.")

BLOCK = 512
"""The most rows that a product with a row of ones adds up: more, one after another, would lose digits."""


class _Ones(dict[int, Array]):
    """Read-only vectors of n ones of one dtype, each made once; with `rows` as matrices of one row."""

    def __init__(self, dtype: Any, rows: bool) -> None:
        self._dtype, self._rows = dtype, rows

    def __missing__(self, n: int) -> Array:
        if len(self) >= 256:
            self.clear()
        out = self[n] = np.ones((1, n) if self._rows else n, self._dtype)
        out.flags.writeable = False
        return out


ONES = {dtype: _Ones(dtype, rows=False) for dtype in FLOATS}
ROWS = {dtype: _Ones(dtype, rows=True) for dtype in FLOATS}


def sum(x: Array, axis: tuple[int, ...] | None, keepdims: bool) -> Array:
    dtype = x.dtype
    if x.ndim == 2 and axis is not None and dtype in ONES:
        # A product with ones takes a third of the time of add.reduce on a small matrix.
        if axis == (0,):
            few = x if len(x) <= BLOCK else _few_rows(x)
            return (ROWS if keepdims else ONES)[dtype][len(few)].dot(few)
        if axis == (1,):
            out = x.dot(ONES[dtype][x.shape[1]])
            return out.reshape(-1, 1) if keepdims else out
    if dtype is HALF:  # as PyTorch does: in half precision 2048 + 1 is 2048
        wide = np.add.reduce(x, axis, np.float32, keepdims=keepdims)  # type: ignore[call-overload]
        return asarray(wide).astype(dtype)
    return np.add.reduce(x, axis, np.int64 if dtype.kind in "iub" else None, keepdims=keepdims)  # type: ignore[call-overload]


def _few_rows(x: Array) -> Array:
    """Add up the rows of a tall matrix in blocks, until there are few: adding one row after another, as a
    product with ones does, would lose a digit in 20,000 rows."""
    ones = ONES[x.dtype]
    while len(x) > BLOCK:
        blocks = (x[start : start + BLOCK] for start in range(0, len(x), BLOCK))
        x = np.stack([ones[len(block)].dot(block) for block in blocks])
    return x


def max(x: Array, axis: tuple[int, ...] | None, keepdims: bool) -> Array:
    return np.maximum.reduce(x, axis, keepdims=keepdims)  # type: ignore[call-overload]


def min(x: Array, axis: tuple[int, ...] | None, keepdims: bool) -> Array:
    return np.minimum.reduce(x, axis, keepdims=keepdims)  # type: ignore[call-overload]


def prod(x: Array, axis: tuple[int, ...] | None, keepdims: bool) -> Array:
    dtype = np.int64 if x.dtype.kind in "iub" else None
    return np.multiply.reduce(x, axis, dtype, keepdims=keepdims)  # type: ignore[call-overload]


def any(x: Array, axis: tuple[int, ...] | None, keepdims: bool) -> Array:
    return _truth(np.logical_or.reduce(x, axis, keepdims=keepdims), x)  # type: ignore[call-overload]


def all(x: Array, axis: tuple[int, ...] | None, keepdims: bool) -> Array:
    return _truth(np.logical_and.reduce(x, axis, keepdims=keepdims), x)  # type: ignore[call-overload]


def _truth(truth: Any, x: Array) -> Array:
    """Return a truth value computed from x as a bool; for a uint8 x as 0 or 1, as in PyTorch."""
    return truth.astype(np.uint8) if x.dtype == np.uint8 else truth


def argmax(x: Array, axis: int | None, keepdims: bool) -> Array:
    return asarray(x.argmax(axis, keepdims=keepdims))  # type: ignore[arg-type]


def argmin(x: Array, axis: int | None, keepdims: bool) -> Array:
    return asarray(x.argmin(axis, keepdims=keepdims))  # type: ignore[arg-type]


def zeros_like(x: Array) -> Array:
    return np.zeros(x.shape, x.dtype)


def ones_like(x: Array) -> Array:
    return np.ones(x.shape, x.dtype) if x.shape else np.array(1, x.dtype)


def one_minus_square(y: Array) -> Array:
    square = y * y
    if type(square) is not np.ndarray:
        return 1 - square
    return np.subtract(1, square, out=square)


def astype(x: Array, dtype: Any) -> Array:
    if x.flags.forc:
        return x.astype(dtype)
    out = empty_like(x, dtype)
    np.copyto(out, x, casting="unsafe")
    return out


def copy(x: Array, ordered: bool = False) -> Array:
    """Return a copy with the axes in memory in the same order as those of `x`; or in their own order, where
    `ordered`."""
    x = asarray(x)
    if ordered or x.flags.forc:
        return x.copy("C" if ordered else "K")
    out = empty_like(x)
    out[...] = x
    return out


def put(x: Array, value: Any, key: tuple[Any, ...]) -> Array:
    """Return a copy of `x` with `value` at `key`."""
    out = copy(x)
    out[key] = value
    return out


def reshape(x: Array, shape: tuple[int, ...]) -> Array:
    return x.reshape(shape)


def broadcast_to(x: Array, shape: tuple[int, ...]) -> Array:
    """Repeat `x` to `shape`: a small array is written out, since it is then read faster; a large one is a
    view with stride 0."""
    if math.prod(shape) > 1 << 14:
        return np.broadcast_to(x, shape)
    if not x.ndim:
        return x.repeat(math.prod(shape)).reshape(shape)
    if x.ndim == 2 == len(shape):
        n, m = x.shape
        if n == 1 and m == shape[1]:
            return x.repeat(shape[0], 0)
        if m == 1 and n == shape[0]:
            return x.repeat(shape[1], 1)
    out = np.empty(shape, x.dtype)
    out[...] = x
    return out


def round(x: Array) -> Array:
    return np.rint(x) if x.dtype.kind == "f" else copy(x)


def expand(x: Array, shape: tuple[int, ...]) -> Array:
    """Repeat `x` to `shape` by strides of 0: a view that may be written to where `x` may."""
    out = np.broadcast_to(x, shape)
    out.flags.writeable = x.flags.writeable
    return out


def diag_embed(x: Array, offset: int) -> Array:
    return np.diag(x, offset)


def is_integral(x: Array) -> bool:
    return x.dtype.kind in "iub"


def device(x: Array) -> str:
    return "cpu"


def to_numpy(x: Any) -> Array:
    # NumPy may have turned a gradient into a number. Who sets the shape of what is returned, or makes it
    # read-only, changes no Tensor.
    return asarray(x).view()
