"""The layers of the lecture's models, initialised as PyTorch initialises them, from the same random
numbers."""

from __future__ import annotations

import math
from typing import Any

from ..autograd import no_grad
from ..functions.creation import full, ones, tensor, zeros
from ..random import rand, randn
from ..tensors import Tensor
from . import functional as F
from .module import Module, Parameter


def _uniform(*size: int, bound: float, device: Any, dtype: Any) -> Parameter:
    """Uniform between -bound and bound. In double precision, so that it is rounded once, as in PyTorch."""
    drawn = rand(*size, dtype=dtype)
    low, high = (full((), each, dtype=drawn.dtype) for each in (-bound, bound))
    spread = (drawn.double() * (high - low).double() + low.double()).to(drawn.dtype)
    return Parameter(spread.to(device=device))


class Linear(Module):
    """y = x Wᵀ + b: (…, in_features) to (…, out_features).

    weight: (out_features, in_features) and bias: (out_features), both uniform within 1/√in_features, which is
    He et al.'s initialisation with a = √5.
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        bound = 1 / math.sqrt(in_features) if in_features > 0 else 0.0
        self.weight = _uniform(out_features, in_features, bound=bound, device=device, dtype=dtype)
        if bias:
            self.bias = _uniform(out_features, bound=bound, device=device, dtype=dtype)
        else:
            self.register_parameter("bias", None)

    def forward(self, input: Tensor) -> Tensor:
        """The input, (…, in_features), through the layer."""
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"
        )


class Embedding(Module):
    """Rows of a table: integers of any shape to (…, embedding_dim). weight: (num_embeddings, embedding_dim),
    standard normal."""

    def __init__(
        self, num_embeddings: int, embedding_dim: int, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.weight = Parameter(randn(num_embeddings, embedding_dim, dtype=dtype).to(device=device))

    def forward(self, input: Tensor) -> Tensor:
        """The row of each integer."""
        return F.embedding(input, self.weight)

    def extra_repr(self) -> str:
        return f"{self.num_embeddings}, {self.embedding_dim}"


class BatchNorm1d(Module):
    """Each feature less its mean over the batch, over its deviation, times weight plus bias (Ioffe & Szegedy
    2015).

    Input: (n, num_features) or (n, num_features, length). In evaluation the running statistics are used: they
    move by `momentum` (None: their plain average) towards each batch's mean and unbiased variance.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.num_features, self.eps, self.momentum, self.affine = num_features, eps, momentum, affine
        self.track_running_stats = track_running_stats
        where = {"device": device, "dtype": dtype}
        self.register_parameter("weight", Parameter(ones(num_features, **where)) if affine else None)
        self.register_parameter("bias", Parameter(zeros(num_features, **where)) if affine else None)
        tracked = track_running_stats
        self.register_buffer("running_mean", zeros(num_features, **where) if tracked else None)
        self.register_buffer("running_var", ones(num_features, **where) if tracked else None)
        self.register_buffer("num_batches_tracked", tensor(0) if tracked else None)

    def forward(self, input: Tensor) -> Tensor:
        """The input, of the shape it came in, normalised. ValueError for another number of dimensions."""
        if input.ndim not in (2, 3):
            raise ValueError(f"expected 2D or 3D input (got {input.ndim}D input)")
        momentum = self.momentum or 0.0
        if self.training and self.track_running_stats:
            with no_grad():
                self.num_batches_tracked += 1
            if self.momentum is None:
                momentum = 1 / self.num_batches_tracked.item()
        use_batch = self.training or self.running_mean is None
        mean, var = (self.running_mean, self.running_var) if self.track_running_stats else (None, None)
        return F.batch_norm(input, mean, var, self.weight, self.bias, use_batch, momentum, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"track_running_stats={self.track_running_stats}"
        )


class Tanh(Module):
    """tanh of each element."""

    def forward(self, input: Tensor) -> Tensor:
        """tanh of each element, in the input's shape."""
        return input.tanh()


class Flatten(Module):
    """The dimensions from start_dim (1: all but the batch) to end_dim as one."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: Tensor) -> Tensor:
        """The input, flattened."""
        return input.flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"
