"""Convolution and pooling along a sequence, as layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..api.creation import empty
from ..engine.tensor import Tensor
from . import functional as F
from . import init
from .functional.windows import same_padding, single
from .module import Module, Parameter

_Size = int | Sequence[int]
_MODES = ("zeros", "reflect", "replicate", "circular")


class Conv1d(Module):
    """The products of a weight with each window of a sequence, summed: (n, in_channels, length) to (n,
    out_channels, windows), or both without n.

    weight: (out_channels, in_channels / groups, kernel_size) and bias: (out_channels), both uniform within
    1/√(in_channels / groups · kernel_size). padding: zeros on either side, or by padding_mode "reflect",
    "replicate" or "circular" what `functional.pad` puts there; "same": as many as keep the length; "valid":
    none. Raises ValueError where groups does not divide the channels, for another padding or padding_mode,
    and for "same" with a stride.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: _Size,
        stride: _Size = 1,
        padding: str | _Size = 0,
        dilation: _Size = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if groups <= 0:
            raise ValueError("groups must be a positive integer")
        for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if channels % groups:
                raise ValueError(f"{name} must be divisible by groups")
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size = (single("kernel_size", kernel_size),)
        self.stride = (single("stride", stride),)
        self.dilation = (single("dilation", dilation),)
        if isinstance(padding, str):
            if padding not in ("same", "valid"):
                raise ValueError(f"Invalid padding string {padding!r}, should be one of 'same', 'valid'")
            if padding == "same" and self.stride != (1,):
                raise ValueError("padding='same' is not supported for strided convolutions")
        if padding_mode not in _MODES:
            raise ValueError(f"padding_mode must be one of {_MODES}, but got padding_mode={padding_mode!r}")
        self.padding: str | tuple[int] = (
            padding if isinstance(padding, str) else (single("padding", padding),)
        )
        self.groups, self.padding_mode = groups, padding_mode
        factory = {"device": device, "dtype": dtype}
        shape = (out_channels, in_channels // groups, *self.kernel_size)
        self.weight = Parameter(empty(shape, **factory))
        self.register_parameter("bias", Parameter(empty(out_channels, **factory)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias again."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            inputs = math.prod(self.weight.shape[1:])
            bound = 1 / math.sqrt(inputs) if inputs else 0.0
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor) -> Tensor:
        """Return the layer's output; errors as in `functional.conv1d` and `functional.pad`."""
        padding = self.padding
        if self.padding_mode != "zeros":
            input, padding = F.pad(input, self._sides(), self.padding_mode), (0,)
        return F.conv1d(input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)

    def _sides(self) -> tuple[int, int]:
        if self.padding == "same":
            return same_padding(*self.kernel_size, *self.dilation)
        return (0, 0) if isinstance(self.padding, str) else self.padding * 2

    def extra_repr(self) -> str:
        """Return the settings, for `repr`: those that are not the defaults."""
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        )
        defaults = {"padding": (0,), "dilation": (1,), "groups": 1}
        for name, default in defaults.items():
            if getattr(self, name) != default:
                text += f", {name}={getattr(self, name)}"
        text += "" if self.bias is not None else ", bias=False"
        return text + (f", padding_mode={self.padding_mode}" if self.padding_mode != "zeros" else "")


class AvgPool1d(Module):
    """The mean of each window: see `functional.avg_pool1d`."""

    def __init__(
        self,
        kernel_size: _Size,
        stride: _Size | None = None,
        padding: _Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size = (single("kernel_size", kernel_size),)
        self.stride = self.kernel_size if stride is None else (single("stride", stride),)
        self.padding = (single("padding", padding),)
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        """Return the means, (…, channels, windows); errors as in `functional.avg_pool1d`."""
        return F.avg_pool1d(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad
        )

    def extra_repr(self) -> str:
        """Return the settings, for `repr`."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxPool1d(Module):
    """The largest of each window: see `functional.max_pool1d`."""

    def __init__(
        self,
        kernel_size: _Size,
        stride: _Size | None = None,
        padding: _Size = 0,
        dilation: _Size = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding, self.dilation = padding, dilation
        self.return_indices, self.ceil_mode = return_indices, ceil_mode

    def forward(self, input: Tensor) -> Any:
        """Return the largest, (…, channels, windows), with return_indices also where they stand; errors as in
        `functional.max_pool1d`."""
        return F.max_pool1d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
            self.return_indices,
        )

    def extra_repr(self) -> str:
        """Return the settings, for `repr`."""
        names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
        return ", ".join(f"{name}={getattr(self, name)}" for name in names)
