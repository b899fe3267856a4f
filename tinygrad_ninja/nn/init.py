"""The initial numbers of parameters: each function writes into a Tensor, unrecorded, and returns it.

Random ones are drawn from `generator`, or else the default generator, and are PyTorch's. Sources: Glorot and
Bengio (2010) for Xavier's, He et al. (2015) for Kaiming's.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

from ..api.arithmetic import where
from ..api.creation import empty_like
from ..api.missing import explain
from ..engine.grad_mode import no_grad
from ..engine.tensor import Tensor
from ..rng.generator import Generator

__all__ = [
    "calculate_gain", "constant_", "kaiming_normal_", "kaiming_uniform_", "normal_", "ones_", "trunc_normal_",
    "uniform_", "xavier_normal_", "xavier_uniform_", "zeros_",
]  # fmt: skip


def calculate_gain(nonlinearity: str, param: int | float | None = None) -> float:
    """Return the factor by which weights must make up for the spread that a nonlinearity takes away.

    It is 5/3 for tanh, √2 for relu, √(2 / (1 + param²)) for leaky_relu (param: its slope, 0.01), 3/4 for
    selu, else 1. Raises ValueError for another name.
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, (int, float)):
            raise ValueError(f"negative_slope {param!r} not a valid number")
        return math.sqrt(2 / (1 + slope**2))
    gains = {"tanh": 5 / 3, "relu": math.sqrt(2), "selu": 3 / 4, "sigmoid": 1.0, "linear": 1.0}
    convolutions = {f"conv{variant}{n}d": 1.0 for variant in ("", "_transpose") for n in (1, 2, 3)}
    if nonlinearity not in gains | convolutions:
        raise ValueError(f"Unsupported nonlinearity {nonlinearity}: one of {', '.join(gains)} or leaky_relu")
    return (gains | convolutions)[nonlinearity]


@no_grad()
def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Fill the Tensor with numbers uniform on [a, b), and return it."""
    return tensor.uniform_(a, b, generator=generator)


@no_grad()
def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Fill the Tensor with numbers of the normal distribution with this mean and deviation, and return it."""
    return tensor.normal_(mean, std, generator=generator)


@no_grad()
def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """Fill the Tensor with numbers of the normal distribution within [a, b], and return it: those outside are
    drawn again, and where these would be many, uniform ones are kept with the probability of their density.
    """
    if not a - 2 * std <= mean <= b + 2 * std:
        warnings.warn(
            "mean is more than 2 std from [a, b] in nn.init.trunc_normal_. The distribution of values may be "
            "incorrect.",
            stacklevel=3,
        )
    refused: Any
    below_b, below_a = (math.erf((bound - mean) / std / math.sqrt(2.0)) / 2 for bound in (b, a))
    if below_b - below_a > 0.3:
        low, high = tensor.new_tensor(a).item(), tensor.new_tensor(b).item()
        result = tensor.normal_(mean, std, generator=generator)
        while (refused := (result < low) | (result > high)).any():
            result = where(refused, empty_like(result).normal_(mean, std, generator=generator), result)
    else:
        peak = -0.5 * ((max(a, min(mean, b)) - mean) / std) ** 2

        def is_refused(drawn: Tensor) -> Tensor:
            density = ((drawn - mean) / std) ** 2 * -0.5 - peak
            return empty_like(tensor).uniform_(generator=generator).log_() > density

        result = tensor.uniform_(a, b, generator=generator)
        refused = is_refused(result)
        while refused.any():
            drawn = empty_like(tensor).uniform_(a, b, generator=generator)
            result, refused = where(refused, drawn, result), refused & is_refused(drawn)
    return tensor if result is tensor else tensor.copy_(result)


@no_grad()
def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill the Tensor with the number val, and return it."""
    return tensor.fill_(val)


def ones_(tensor: Tensor) -> Tensor:
    """Fill the Tensor with 1, and return it."""
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """Fill the Tensor with 0, and return it."""
    return constant_(tensor, 0.0)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Fill the Tensor with numbers uniform within ±√3 · gain / √fan, and return it.

    a: the slope of a leaky_relu; mode: "fan_in" or "fan_out". Raises ValueError for another mode or
    nonlinearity, and for a Tensor of fewer than two dimensions.
    """
    if _warned_of_nothing(tensor):
        return tensor
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Fill the Tensor with normal numbers of deviation gain / √fan, and return it.

    Arguments and errors as for `kaiming_uniform_`.
    """
    if _warned_of_nothing(tensor):
        return tensor
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Fill the Tensor with numbers uniform within ±gain · √(6 / (fan_in + fan_out)), and return it.

    Raises ValueError for fewer than two dimensions.
    """
    bound = math.sqrt(3.0) * _xavier_std(tensor, gain)
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Fill the Tensor with normal numbers of deviation gain · √(2 / (fan_in + fan_out)), and return it.

    Raises ValueError for fewer than two dimensions.
    """
    return normal_(tensor, 0.0, _xavier_std(tensor, gain), generator)


def _fans(tensor: Tensor) -> dict[str, int]:
    if tensor.ndim < 2:
        raise ValueError("Fan in and fan out can not be computed for tensor with fewer than 2 dimensions")
    outputs, inputs, *field = tensor.shape
    return {"fan_in": inputs * math.prod(field), "fan_out": outputs * math.prod(field)}


def _warned_of_nothing(tensor: Tensor) -> bool:
    """Return whether there are no elements to fill, with PyTorch's warning."""
    if 0 in tensor.shape:
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=3)
        return True
    return False


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    fans = _fans(tensor)
    if mode.lower() not in fans:
        raise ValueError(f"Mode {mode} not supported, please use one of {list(fans)}")
    fan = fans[mode.lower()]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan) if fan else 0.0


def _xavier_std(tensor: Tensor, gain: float) -> float:
    fan = sum(_fans(tensor).values())
    return gain * math.sqrt(2.0 / fan) if fan else 0.0


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    raise AttributeError(explain("nn.init", name, __all__))
