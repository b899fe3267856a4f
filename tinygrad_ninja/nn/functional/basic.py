"""Linear layers, embeddings, activations and dropout as functions."""

from __future__ import annotations

import math
from typing import Any

from ...api import OFFERED, selection
from ...api.arithmetic import where
from ...api.missing import refuse
from ...api.statistics import log_softmax as _log_softmax
from ...api.statistics import softmax as _softmax
from ...arrays import dtypes
from ...engine.devices import same_device
from ...engine.hook import arguments, observers
from ...engine.tensor import Tensor, wrap
from ...ops import Precision, elementwise
from ...rng.draws import bernoulli_like
from .arguments import check_floating, takes_tensors

sigmoid, tanh = OFFERED["sigmoid"], OFFERED["tanh"]


@takes_tensors
def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return input weightᵀ + bias: input (…, n), weight (m, n) or (n), bias (m), result (…, m) or (…).

    Raises RuntimeError where the shapes do not fit, or the dtypes differ.
    """
    if observers:
        input, weight, bias = arguments(Precision.HALF, input, weight, bias)
    if input.ndim > 2 and weight.ndim == 2:  # one product, instead of one for each matrix
        rows = linear(input.reshape(-1, input.shape[-1]), weight, bias)
        return rows.reshape(*input.shape[:-1], weight.shape[0])
    out = input @ weight.T
    if bias is not None and bias.dtype is not out.dtype:
        raise RuntimeError(f"linear: the bias must have the dtype {out.dtype} of the rest, not {bias.dtype}")
    return out if bias is None else out + bias


@takes_tensors
def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Return the rows of weight, (n, d), at the integers of input, int64 or int32, (…): the result is (…, d).

    The row `padding_idx`, counted from the end where it is negative, gets no gradient. Raises IndexError for
    an integer outside of 0 … n - 1, AssertionError for a padding_idx that is no row, RuntimeError for another
    dtype or a weight that is no matrix.
    """
    refuse("embedding", "changing the rows of weight under no_grad", max_norm=max_norm)
    refuse("embedding", "the plain gradient", scale_grad_by_freq=scale_grad_by_freq, sparse=sparse)
    if input.dtype not in (dtypes.int64, dtypes.int32):
        raise RuntimeError(f"embedding: indices must be int64 or int32, not {input.dtype}")
    if weight.ndim != 2:
        raise RuntimeError("'weight' must be 2-D")
    same_device("embedding", weight, input)
    selection.check_bounds(input, weight.shape[0], 0, IndexError)  # negative ones do not count from the end
    rows = weight.contiguous()[input.contiguous()]
    if padding_idx is None:
        return rows
    n = weight.shape[0]
    if not -n <= padding_idx < n:
        raise AssertionError(f"embedding: padding_idx {padding_idx} is not within the {n} rows of weight")
    return where((input == padding_idx % n).unsqueeze(-1), rows.detach(), rows)


@takes_tensors
def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """Return max(input, 0), element by element; written into the input's own memory where `inplace` is
    true."""
    return input.relu_() if inplace else elementwise.relu.call(input)


@takes_tensors
def gelu(input: Tensor, *, approximate: str = "none") -> Tensor:
    """Return x Φ(x) of each element, where Φ is the distribution function of the standard normal
    distribution.

    With approximate="tanh", Φ(x) ≈ (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2. Raises RuntimeError for another
    `approximate`, NotImplementedError for integers.

    Source: Hendrycks and Gimpel, Gaussian Error Linear Units (2016).
    """
    check_floating("gelu", input)
    if approximate == "none":
        return 0.5 * input * (1 + elementwise.erf.call(input * math.sqrt(0.5)))
    if approximate == "tanh":
        cubic = input * (1 + 0.044715 * (input * input))
        return 0.5 * input * (1 + tanh(math.sqrt(2 / math.pi) * cubic))
    raise RuntimeError(f"gelu: approximate must be 'none' or 'tanh', not {approximate!r}")


@takes_tensors
def softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """Return eˣ / Σ eˣ along `dim`, in the input's shape.

    dtype: of the result, to which the input is converted first. Raises TypeError without `dim`: PyTorch would
    guess it, and warn.
    """
    return _softmax(input, _require_dim(dim, "softmax"), dtype=dtype)


@takes_tensors
def log_softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """Return ln softmax along `dim`, in the input's shape; dtype and errors as for `softmax`."""
    return _log_softmax(input, _require_dim(dim, "log_softmax"), dtype=dtype)


def _require_dim(dim: int | None, name: str) -> int:
    if dim is None:
        raise TypeError(f"{name}: say along which dimension, as in dim=-1")
    return dim


@takes_tensors
def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Return the input with each element 0 with probability p, else divided by 1 - p, which keeps its mean.

    Where `training` is false, or p is 0, it is the input itself. Raises ValueError unless 0 ≤ p ≤ 1,
    RuntimeError for integers.

    The random numbers come from the default generator and are PyTorch's where it draws them by itself; on an
    Intel processor PyTorch may take them from Intel's library instead, and they differ.

    Source: Srivastava et al., Dropout (2014).
    """
    if not 0 <= p <= 1:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    if not training or p == 0:
        return input
    if p < 1 and not input.dtype.is_floating_point:
        raise RuntimeError(f"dropout: a result of floating point numbers can't be cast to {input.dtype}")
    p = dtypes.plain_number(p)
    # With p = 1 PyTorch draws nothing, and there is nothing to scale.
    scale = wrap(bernoulli_like(input.detach(), 1 - p).array / (1 - p)) if p < 1 else input.detach() * 0
    return input.mul_(scale) if inplace else input * scale
