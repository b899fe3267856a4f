"""Functions of each element, and softmax, as layers."""

from __future__ import annotations

from ..tensors import Tensor
from . import functional as F
from .module import Module


class ReLU(Module):
    """max(x, 0) of each element, in the input's own memory where `inplace` is true."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """max(x, 0) of each element, in the input's shape."""
        return F.relu(input, self.inplace)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class GELU(Module):
    """x Φ(x) of each element; approximate: "none" or "tanh", as `functional.gelu` says."""

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:
        """x Φ(x) of each element, in the input's shape."""
        return F.gelu(input, approximate=self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class Tanh(Module):
    """tanh of each element."""

    def forward(self, input: Tensor) -> Tensor:
        """tanh of each element, in the input's shape."""
        return input.tanh()


class Sigmoid(Module):
    """1 / (1 + e⁻ˣ) of each element."""

    def forward(self, input: Tensor) -> Tensor:
        """1 / (1 + e⁻ˣ) of each element, in the input's shape."""
        return input.sigmoid()


class Softmax(Module):
    """eˣ / Σ eˣ along `dim`, which has to be given."""

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """eˣ / Σ eˣ, in the input's shape."""
        return F.softmax(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class LogSoftmax(Module):
    """ln softmax along `dim`, which has to be given."""

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """ln softmax, in the input's shape."""
        return F.log_softmax(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"
