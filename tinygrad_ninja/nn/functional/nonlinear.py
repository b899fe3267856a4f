"""Elementwise nonlinearities as functions, composed of entries of the table, each with its formula.

Where a function takes `inplace`, or ends in an underscore, its result is written into the input's own memory.
They raise NotImplementedError for integers, unless they say otherwise.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

from ...api.arithmetic import where
from ...api.creation import empty_like, zeros_like
from ...api.dimensions import dimension
from ...api.register import function, method
from ...arrays import dtypes
from ...engine.attributes import contiguous_format
from ...engine.devices import same_device
from ...engine.hook import arguments, observers
from ...engine.tensor import Tensor
from ...ops import Precision
from .arguments import check_floating, takes_tensors


def _written(input: Tensor, inplace: bool, compute: Callable[[Tensor], Tensor]) -> Tensor:
    """Return compute(input); with `inplace` it is written into the input's memory, and the input returned."""
    return input.change(compute) if inplace else compute(input)


@takes_tensors
def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """Return x where x > 0, else negative_slope · x, element by element."""
    check_floating("leaky_relu", input)
    return _written(input, inplace, lambda x: where(x.gt(0), x, x * negative_slope))


def _elu(x: Tensor, alpha: float, scale: float = 1.0, width: float = 1.0) -> Tensor:
    """Return scale · (x where x > 0, else alpha · (e^(x / width) - 1))."""
    # Bounded, so that e^x can't overflow where it is not taken: 0 · ∞ would be its gradient.
    negative = (x.clamp(max=0.0) / width).expm1() * (scale * alpha)
    return where(x.gt(0), x if scale == 1 else x * scale, negative.to(x.dtype))


@takes_tensors
def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """Return x where x > 0, else alpha · (eˣ - 1), element by element (Clevert, Unterthiner and Hochreiter
    2016)."""
    check_floating("elu", input)
    return _written(input, inplace, lambda x: _elu(x, alpha))


_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946
"""The two for which mean 0 and variance 1 are a fixed point (Klambauer et al. 2017, theorem 1)."""


@takes_tensors
def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """Return scale · (x where x > 0, else alpha · (eˣ - 1)), element by element, with alpha = 1.67326… and
    scale = 1.05070…, for which mean 0 and variance 1 stay so (Klambauer et al. 2017)."""
    check_floating("selu", input)
    return _written(input, inplace, lambda x: _elu(x, _SELU_ALPHA, _SELU_SCALE))


@takes_tensors
def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """Return x where x > 0, else alpha · (e^(x / alpha) - 1), element by element (Barron 2017).

    Raises RuntimeError where alpha is 0.
    """
    check_floating("celu", input)
    if alpha == 0:
        raise RuntimeError("celu: alpha can't be 0, by which the input is divided (ZeroDivisionError)")
    return _written(input, inplace, lambda x: _elu(x, alpha, width=alpha))


@takes_tensors
def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """Return x · sigmoid(x), element by element (Elfwing, Uchibe and Doya 2017)."""
    check_floating("silu", input)
    return _written(input, inplace, lambda x: x * x.sigmoid())


@takes_tensors
def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """Return x · tanh(ln(1 + eˣ)), element by element (Misra 2019)."""
    check_floating("mish", input)
    return _written(input, inplace, lambda x: x * (-_log_sigmoid(-x)).tanh())


def _log_sigmoid(x: Tensor) -> Tensor:
    """Return -ln(1 + e⁻ˣ), from powers of e that are at most 1: x - ln(1 + eˣ) where x < 0."""
    negative, positive = x.clamp(max=0.0), x.clamp(min=0.0)
    out = where(x.lt(0), negative - negative.exp().log1p(), -(-positive).exp().log1p())
    return out.to(x.dtype)  # autocast may have computed the logarithms in float32


@takes_tensors
def logsigmoid(input: Tensor) -> Tensor:
    """Return ln(1 / (1 + e⁻ˣ)), element by element."""
    check_floating("log_sigmoid", input)
    return _log_sigmoid(input)


@takes_tensors
def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """Return ln(1 + e^(beta · x)) / beta, element by element; x itself where beta · x is above the
    threshold."""
    if observers:
        (input,) = arguments(Precision.FLOAT32_ON_CUDA, input)
    check_floating("softplus", input)
    scaled = input if beta == 1 else input * beta
    curve = -_log_sigmoid(-scaled)
    return where(scaled.gt(threshold), input, curve if beta == 1 else curve / beta)


@takes_tensors
def softsign(input: Tensor) -> Tensor:
    """Return x / (1 + |x|), element by element; integers become floating point numbers."""
    return input / (input.abs() + 1)


@takes_tensors
def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """Return x between min_val and max_val, else the bound that is nearer, element by element, also of
    integers. Unlike that of `clamp` the gradient is 0 at a bound.

    Raises ValueError where min_val is above max_val, RuntimeError for bools, and for uint8 below 0.
    """
    if min_val > max_val:
        raise ValueError(f"hardtanh: min_val cannot be greater than max_val, but {min_val} > {max_val}")
    if input.dtype is dtypes.bool or (input.dtype is dtypes.uint8 and min_val < 0):
        raise RuntimeError(f"hardtanh: {input.dtype} has no numbers between {min_val} and {max_val}")

    def bounded(x: Tensor) -> Tensor:
        clamped = x.detach().clamp(min_val, max_val).to(x.dtype)
        return where(x.le(min_val) | x.ge(max_val), clamped, x)

    return _written(input, inplace, bounded)


@takes_tensors
def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """Return min(max(x, 0), 6), as `hardtanh`, element by element."""
    return hardtanh(input, 0, 6, inplace)


@takes_tensors
def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """Return x where x > 0, else weight · x, element by element (He et al. 2015).

    weight: one number, or (channels), one for each index of the input's dimension 1. Raises RuntimeError for
    another number of weights, and where the dtypes differ.
    """
    same_device("prelu", input, weight)
    if input.dtype is not weight.dtype:
        raise RuntimeError(f"prelu: the input is {input.dtype}, but the weight {weight.dtype}")
    check_floating("prelu", input)
    if weight.ndim > 1:
        raise RuntimeError(f"prelu: expected weight to have at most one dimension, but got {weight.ndim}")
    if weight.numel() != 1:
        if not input.ndim:
            raise RuntimeError("prelu: a single number takes one weight, not several")
        channels = input.shape[1] if input.ndim > 1 else 1
        if weight.numel() != channels:
            raise RuntimeError(
                f"prelu: mismatch of parameter numbers and input channel size: there are {weight.numel()} "
                f"weights and {channels} channels"
            )
    slopes = weight.reshape(-1, *(1 for _ in input.shape[2:])) if input.ndim > 1 else weight.squeeze()
    return where(input.gt(0), input, input * slopes)


@takes_tensors
def glu(input: Tensor, dim: int = -1) -> Tensor:
    """Return a · sigmoid(b), where a and b are the first and the second half along `dim` (Dauphin et al.
    2017).

    The result has half the size along `dim`. Raises RuntimeError where `dim` can't be halved, or for a single
    number.
    """
    if not input.ndim:
        raise RuntimeError("glu does not support 0-dimensional tensors")
    check_floating("glu", input)
    n = input.shape[dimension(dim, input.ndim)]
    if n % 2:
        raise RuntimeError(f"glu: halving dimension must be even, but dimension {dim} is size {n}")
    first, second = input.split(n // 2, dim) if n else (input, input)
    return first * second.sigmoid()


def relu_(input: Tensor) -> Tensor:
    """Write max(x, 0) of each element into the input's memory, and return it."""
    return input.relu_()


def leaky_relu_(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """Write `leaky_relu` into the input's memory, and return it."""
    return leaky_relu(input, negative_slope, inplace=True)


def elu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """Write `elu` into the input's memory, and return it."""
    return elu(input, alpha, inplace=True)


def hardtanh_(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """Write `hardtanh` into the input's memory, and return it."""
    return hardtanh(input, min_val, max_val, inplace=True)


@function
def selu_(input: Tensor) -> Tensor:
    """Write `selu` into the input's memory, and return it."""
    return selu(input, inplace=True)


@function
def celu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """Write `celu` into the input's memory, and return it."""
    return celu(input, alpha, inplace=True)


for _offered in (selu, celu):  # those that PyTorch also offers as torch.selu and so on
    function(_offered)
method(prelu)


@takes_tensors
def gumbel_softmax(
    logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1
) -> Tensor:
    """Return softmax((logits + noise) / tau) along `dim`, in the shape of the logits: a class drawn by its
    probability, softened.

    noise: -log of a number of the exponential distribution (Gumbel's), from the default generator. hard: a
    one-hot result, whose gradient is that of the soft one. `eps` has no effect, and warns. (Jang, Gu and
    Poole, "Categorical reparameterization with Gumbel-softmax", 2017.)
    """
    if eps != 1e-10:
        warnings.warn("`eps` parameter is deprecated and has no effect.", stacklevel=3)
    noise = -empty_like(logits, memory_format=contiguous_format).exponential_().log()
    soft = ((logits + noise) / tau).softmax(dim)
    if not hard:
        return soft
    index = soft.max(dim, keepdim=True)[1]
    one_hot = zeros_like(logits, memory_format=contiguous_format).scatter_(dim, index, 1.0)
    return one_hot - soft.detach() + soft
