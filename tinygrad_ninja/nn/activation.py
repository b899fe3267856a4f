"""Elementwise functions, and softmax, as layers."""

from __future__ import annotations

from ..engine.tensor import Tensor
from . import functional as F
from .module import Module


class ReLU(Module):
    """max(x, 0) of each element, in the input's own memory where `inplace` is true."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Return max(x, 0) of each element, in the input's shape."""
        return F.relu(input, self.inplace)

    def extra_repr(self) -> str:
        """Return the settings, for `repr`."""
        return "inplace=True" if self.inplace else ""


class GELU(Module):
    """x Φ(x) of each element; approximate: "none" or "tanh", see `functional.gelu`."""

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:
        """Return x Φ(x) of each element, in the input's shape."""
        return F.gelu(input, approximate=self.approximate)

    def extra_repr(self) -> str:
        """Return the settings, for `repr`."""
        return f"approximate={self.approximate!r}"


class Tanh(Module):
    """tanh of each element."""

    def forward(self, input: Tensor) -> Tensor:
        """Return tanh of each element, in the input's shape."""
        return input.tanh()


class Sigmoid(Module):
    """1 / (1 + e⁻ˣ) of each element."""

    def forward(self, input: Tensor) -> Tensor:
        """Return 1 / (1 + e⁻ˣ) of each element, in the input's shape."""
        return input.sigmoid()


class Softmax(Module):
    """eˣ / Σ eˣ along `dim`, which must be given."""

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """Return eˣ / Σ eˣ, in the input's shape. TypeError without `dim`."""
        return F.softmax(input, self.dim)

    def extra_repr(self) -> str:
        """Return the settings, for `repr`."""
        return f"dim={self.dim}"


class LogSoftmax(Module):
    """ln softmax along `dim`, which must be given."""

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """Return ln softmax, in the input's shape. TypeError without `dim`."""
        return F.log_softmax(input, self.dim)

    def extra_repr(self) -> str:
        """Return the settings, for `repr`."""
        return f"dim={self.dim}"
