"""Functions of layers, under the names and with the arguments of `torch.nn.functional`."""

from __future__ import annotations

from typing import Any

from .. import dtypes
from ..autograd import no_grad
from ..functions import OFFERED
from ..functions.indexing import one_hot
from ..functions.reduction import log_softmax as _log_softmax
from ..functions.reduction import softmax as _softmax
from ..kinds import kind_of
from ..missing import explain
from ..ops import losses
from ..tensors import Tensor

__all__ = [
    "batch_norm", "cross_entropy", "embedding", "linear", "log_softmax", "nll_loss", "one_hot", "relu",
    "sigmoid",
    "softmax", "tanh",
]  # fmt: skip

relu, sigmoid, tanh = OFFERED["relu"], OFFERED["sigmoid"], OFFERED["tanh"]


def softmax(input: Tensor, dim: int, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """eˣ / Σ eˣ along `dim`."""
    return _softmax(input, dim, dtype=dtype)


def log_softmax(input: Tensor, dim: int, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """ln softmax along `dim`."""
    return _log_softmax(input, dim, dtype=dtype)


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """input weightᵀ + bias: input (…, n), weight (m, n), bias (m), result (…, m)."""
    out = input @ weight.T
    return out if bias is None else out + bias


def embedding(input: Tensor, weight: Tensor) -> Tensor:
    """The rows of weight, (n, d), at the integers of input: (…, d). IndexError for one that is not below
    n."""
    if input.dtype not in (dtypes.int64, dtypes.int32):
        raise RuntimeError(f"embedding: indices must be int64 or int32, not {input.dtype}")
    return weight[input]


def _targets(input: Tensor, target: Tensor, name: str) -> None:
    if target.dtype is not dtypes.int64:
        raise RuntimeError(f"{name}: expected the target to be int64 class indices, not {target.dtype}")
    if target.ndim != 1 or target.shape[0] != input.shape[0]:
        raise ValueError(
            f"{name}: expected input batch_size ({input.shape[0]}) to match target batch_size: "
            f"the target has shape {tuple(target.shape)}"
        )
    array = target.array
    if target.numel() and not 0 <= int(array.min()) <= int(array.max()) < input.shape[1]:
        wrong = int(array.min()) if int(array.min()) < 0 else int(array.max())
        raise IndexError(f"Target {wrong} is out of bounds: there are {input.shape[1]} classes")


def cross_entropy(input: Tensor, target: Tensor, *, reduction: str = "mean") -> Tensor:
    """-log softmax(input) at the right class, its mean (or "sum", or "none": one number a row).

    input: (n, classes) logits, or (classes) for a single one; target: (n) integers, or a single one.
    IndexError for a class that does not exist, ValueError where n differs.
    """
    if input.ndim == 1:
        input, target = input.reshape(1, -1), target.reshape(1)
        if reduction == "none":
            return cross_entropy(input, target, reduction="none")[0]
    if input.ndim != 2:
        raise ValueError(f"cross_entropy: expected input of shape (n, classes), not {tuple(input.shape)}")
    _targets(input, target, "cross_entropy")
    if reduction != "mean":
        return nll_loss(_log_softmax(input, 1), target, reduction=reduction)
    rows = kind_of(input.array).arange(input.shape[0])
    return losses.cross_entropy.call(input, target.array, rows)


def nll_loss(input: Tensor, target: Tensor, *, reduction: str = "mean") -> Tensor:
    """-input at the right class, its mean (or "sum", or "none"). input: (n, classes) log-probabilities."""
    _targets(input, target, "nll_loss")
    losses = -input[range(input.shape[0]), target]
    if reduction == "none":
        return losses
    if reduction not in ("mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction: mean, sum or none")
    return losses.mean() if reduction == "mean" else losses.sum()


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """The input, (n, features) or (n, features, length), less the mean over √(variance + eps), feature by
    feature.

    In training they are the batch's, over n, and the running ones move by `momentum` towards them (the
    variance over n - 1); otherwise the running ones are used. ValueError in training where there is one value
    a feature.
    """
    axis = (0,) if input.ndim == 2 else (0, 2)
    shape = (1, -1) if input.ndim == 2 else (1, -1, 1)
    if not training:
        if running_mean is None or running_var is None:
            raise RuntimeError("batch_norm: running_mean and running_var are needed where training is False")
        inverse = (running_var.reshape(shape) + eps) ** -0.5
        out = (input - running_mean.reshape(shape)) * inverse
        out = out if weight is None else out * weight.reshape(shape)
        return out if bias is None else out + bias.reshape(shape)
    if input.numel() == input.shape[1]:
        raise ValueError(
            f"Expected more than 1 value per channel when training, got input size {input.shape}"
        )
    if running_mean is not None and running_var is not None:
        with no_grad():
            running_mean.mul_(1 - momentum).add_(momentum * input.mean(axis))
            running_var.mul_(1 - momentum).add_(momentum * input.var(axis))
    w = 1.0 if weight is None else weight.reshape(shape)
    b = 0.0 if bias is None else bias.reshape(shape)
    return losses.batch_norm.call(input, w, b, axis, eps)


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    raise AttributeError(explain("nn.functional", name, __all__))
