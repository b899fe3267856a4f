"""Normalization over the batch and over the features, each with a trained weight and bias."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from ..api.creation import ones, tensor, zeros
from ..engine.grad_mode import no_grad
from ..engine.tensor import Tensor
from . import functional as F
from .module import Module, Parameter


class BatchNorm1d(Module):
    """(x - mean) / deviation · weight + bias of each feature, over the batch (Ioffe & Szegedy 2015).

    Input: (n, num_features) or (n, num_features, length). In evaluation the running statistics are used: they
    move by `momentum` (None: their plain average) towards each batch's mean and unbiased variance.
    """

    _version = 2  # the first had no num_batches_tracked

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_features, self.eps, self.momentum, self.affine = num_features, eps, momentum, affine
        self.track_running_stats = track_running_stats
        factory = {"device": device, "dtype": dtype}
        self.register_parameter("weight", Parameter(ones(num_features, **factory)) if affine else None)
        self.register_parameter(
            "bias", Parameter(zeros(num_features, **factory)) if affine and bias else None
        )
        tracked = track_running_stats
        self.register_buffer("running_mean", zeros(num_features, **factory) if tracked else None)
        self.register_buffer("running_var", ones(num_features, **factory) if tracked else None)
        self.register_buffer("num_batches_tracked", tensor(0, device=device) if tracked else None)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, local_metadata: dict[str, Any], *args: Any
    ) -> None:
        """Load as every module does; a state that does not say that it has num_batches_tracked leaves this
        module's as it is."""
        if local_metadata.get("version", 1) < 2 and self.num_batches_tracked is not None:
            state_dict.setdefault(f"{prefix}num_batches_tracked", self.num_batches_tracked)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)

    def forward(self, input: Tensor) -> Tensor:
        """Return the normalized input, in its shape.

        Raises ValueError for an input that is not 2D or 3D, and in training for one value per feature, which
        has no deviation.
        """
        if input.ndim not in (2, 3):
            raise ValueError(f"expected 2D or 3D input (got {input.ndim}D input)")
        momentum: Any = self.momentum or 0.0
        if self.training and self.track_running_stats:
            with no_grad():
                self.num_batches_tracked += 1
                if self.momentum is None:
                    momentum = 1 / self.num_batches_tracked.double()  # a Tensor still: a recording repeats it
        use_batch = self.training or self.running_mean is None
        mean, var = (self.running_mean, self.running_var) if self.track_running_stats else (None, None)
        return F.batch_norm(input, mean, var, self.weight, self.bias, use_batch, momentum, self.eps)

    def extra_repr(self) -> str:
        """Return the settings, for `repr`."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class LayerNorm(Module):
    """(x - mean) / deviation · weight + bias of each example (Ba, Kiros & Hinton 2016).

    normalized_shape: the last dimensions of the input, over which mean and variance (over n) are taken; also
    the shape of weight and bias, which start at 1 and 0.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _as_shape(normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        factory = {"device": device, "dtype": dtype}
        affine, shape = elementwise_affine, self.normalized_shape
        self.register_parameter("weight", Parameter(ones(shape, **factory)) if affine else None)
        self.register_parameter("bias", Parameter(zeros(shape, **factory)) if affine and bias else None)

    def forward(self, input: Tensor) -> Tensor:
        """Return the input, (…, *normalized_shape), normalized."""
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """Return the settings, for `repr`."""
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}, "
            f"bias={self.bias is not None}"
        )


class RMSNorm(Module):
    """x / √(mean of x² + eps) · weight of each example (Zhang and Sennrich 2019).

    normalized_shape: the last dimensions of the input, over which the mean is taken; also the shape of
    weight, which starts at 1. eps: by default the distance from 1 to the next number of the dtype.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _as_shape(normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        weight = Parameter(ones(self.normalized_shape, device=device, dtype=dtype))
        self.register_parameter("weight", weight if elementwise_affine else None)

    def forward(self, x: Tensor) -> Tensor:
        """Return the input, (…, *normalized_shape), normalized."""
        return F.rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        """Return the settings, for `repr`."""
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class GroupNorm(Module):
    """(x - mean) / deviation · weight + bias of each group of channels of each example (Wu and He 2018).

    Input: (n, num_channels, …). weight and bias: (num_channels), 1 and 0 at first. Raises ValueError where
    num_groups does not divide num_channels.
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if num_channels % num_groups:
            raise ValueError(f"num_channels ({num_channels}) must be divisible by num_groups ({num_groups})")
        self.num_groups, self.num_channels, self.eps, self.affine = num_groups, num_channels, eps, affine
        factory = {"device": device, "dtype": dtype}
        self.register_parameter("weight", Parameter(ones(num_channels, **factory)) if affine else None)
        self.register_parameter(
            "bias", Parameter(zeros(num_channels, **factory)) if affine and bias else None
        )

    def forward(self, input: Tensor) -> Tensor:
        """Return the normalized input, in its shape; errors as in `functional.group_norm`."""
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """Return the settings, for `repr`."""
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )


def _as_shape(normalized_shape: int | Sequence[int]) -> tuple[int, ...]:
    if isinstance(normalized_shape, Sequence):
        return tuple(map(operator.index, normalized_shape))
    return (operator.index(normalized_shape),)
