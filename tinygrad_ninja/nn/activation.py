"""Elementwise functions, and softmax, as layers."""

from __future__ import annotations

from typing import Any

from ..api.creation import full
from ..engine.tensor import Tensor
from . import functional as F
from .module import Module, Parameter


class _InPlace(Module):
    """The base of those that may write their result into the input's own memory; `shown` names the other
    settings that `repr` shows."""

    shown: tuple[str, ...] = ()

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def extra_repr(self) -> str:
        """Return the settings, for `repr`."""
        settings = [f"{name}={getattr(self, name)}" for name in self.shown]
        return ", ".join([*settings, *["inplace=True"] * self.inplace])


class ReLU(_InPlace):
    """max(x, 0) of each element, in the input's own memory where `inplace` is true."""

    def forward(self, input: Tensor) -> Tensor:
        """Return max(x, 0) of each element, in the input's shape."""
        return F.relu(input, self.inplace)


class LeakyReLU(_InPlace):
    """x where x > 0, else negative_slope · x, of each element: see `functional.leaky_relu`."""

    shown = ("negative_slope",)

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.negative_slope = negative_slope

    def forward(self, input: Tensor) -> Tensor:
        """Return the layer's output, in the input's shape."""
        return F.leaky_relu(input, self.negative_slope, self.inplace)


class ELU(_InPlace):
    """x where x > 0, else alpha · (eˣ - 1), of each element: see `functional.elu`."""

    shown = ("alpha",)

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.alpha = alpha

    def forward(self, input: Tensor) -> Tensor:
        """Return the layer's output, in the input's shape."""
        return F.elu(input, self.alpha, self.inplace)


class CELU(_InPlace):
    """x where x > 0, else alpha · (e^(x / alpha) - 1), of each element: see `functional.celu`."""

    shown = ("alpha",)

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.alpha = alpha

    def forward(self, input: Tensor) -> Tensor:
        """Return the layer's output, in the input's shape."""
        return F.celu(input, self.alpha, self.inplace)


class SELU(_InPlace):
    """The scaled ELU that keeps mean 0 and variance 1: see `functional.selu`."""

    def forward(self, input: Tensor) -> Tensor:
        """Return the layer's output, in the input's shape."""
        return F.selu(input, self.inplace)


class SiLU(_InPlace):
    """x · sigmoid(x) of each element."""

    def forward(self, input: Tensor) -> Tensor:
        """Return x · sigmoid(x) of each element, in the input's shape."""
        return F.silu(input, self.inplace)


class Mish(_InPlace):
    """x · tanh(ln(1 + eˣ)) of each element."""

    def forward(self, input: Tensor) -> Tensor:
        """Return x · tanh(ln(1 + eˣ)) of each element, in the input's shape."""
        return F.mish(input, self.inplace)


class Hardtanh(_InPlace):
    """x between min_val and max_val, else the nearer bound, of each element: see `functional.hardtanh`.

    min_value and max_value are older names of the two. Raises AssertionError unless min_val < max_val.
    """

    shown: tuple[str, ...] = ("min_val", "max_val")

    def __init__(
        self,
        min_val: float = -1.0,
        max_val: float = 1.0,
        inplace: bool = False,
        min_value: float | None = None,
        max_value: float | None = None,
    ) -> None:
        super().__init__(inplace)
        self.min_val = min_val if min_value is None else min_value
        self.max_val = max_val if max_value is None else max_value
        if not self.max_val > self.min_val:
            raise AssertionError(f"max_val {self.max_val} must be larger than min_val {self.min_val}")

    def forward(self, input: Tensor) -> Tensor:
        """Return the layer's output, in the input's shape."""
        return F.hardtanh(input, self.min_val, self.max_val, self.inplace)


class ReLU6(Hardtanh):
    """min(max(x, 0), 6) of each element."""

    shown = ()

    def __init__(self, inplace: bool = False) -> None:
        super().__init__(0.0, 6.0, inplace)


class Softplus(Module):
    """ln(1 + e^(beta · x)) / beta of each element: see `functional.softplus`."""

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta, self.threshold = beta, threshold

    def forward(self, input: Tensor) -> Tensor:
        """Return the layer's output, in the input's shape."""
        return F.softplus(input, self.beta, self.threshold)

    def extra_repr(self) -> str:
        """Return the settings, for `repr`."""
        return f"beta={self.beta}, threshold={self.threshold}"


class Softsign(Module):
    """x / (1 + |x|) of each element."""

    def forward(self, input: Tensor) -> Tensor:
        """Return x / (1 + |x|) of each element, in the input's shape."""
        return F.softsign(input)


class LogSigmoid(Module):
    """ln(1 / (1 + e⁻ˣ)) of each element."""

    def forward(self, input: Tensor) -> Tensor:
        """Return ln(1 / (1 + e⁻ˣ)) of each element, in the input's shape."""
        return F.logsigmoid(input)


class PReLU(Module):
    """x where x > 0, else weight · x, of each element.

    weight: (num_parameters), `init` at first: one for all, or one for each index of the input's dimension 1.
    """

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.num_parameters, self.init = num_parameters, init
        self.weight = Parameter(full((num_parameters,), float(init), device=device, dtype=dtype))

    def forward(self, input: Tensor) -> Tensor:
        """Return the layer's output, in the input's shape; errors as in `functional.prelu`."""
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        """Return the settings, for `repr`."""
        return f"num_parameters={self.num_parameters}"


class GLU(Module):
    """a · sigmoid(b), where a and b are the first and the second half along `dim`, whose size is halved."""

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """Return the layer's output, half as large along `dim`; errors as in `functional.glu`."""
        return F.glu(input, self.dim)

    def extra_repr(self) -> str:
        """Return the settings, for `repr`."""
        return f"dim={self.dim}"


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
