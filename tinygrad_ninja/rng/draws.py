"""PyTorch's functions that draw random numbers, and the default generator.

The numbers are drawn on the CPU and then moved to `device`, so that every device sees the same ones. A size
is given as ints or as one sequence of them. A gradient that flows through a draw becomes 0.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from ..api.creation import _finish
from ..api.dimensions import sizes
from ..api.forms import without_derivative
from ..api.register import OFFERED, function, method
from ..api.selection import EVERYWHERE
from ..arrays.dispatch import namespace_of
from ..arrays.dtypes import as_dtype, from_numpy_dtype, get_default_dtype, int64
from ..arrays.dtypes import dtype as Dtype
from ..arrays.numpy_memory import memory_order
from ..engine.grad_mode import is_grad_enabled
from ..engine.tensor import Tensor
from ..ops.indexing import put
from .generator import Array, Generator, require_all
from .in_order import in_memory_order_of

default_generator = Generator()
default_generator.seed()
OFFERED.update(Generator=Generator, default_generator=default_generator)


@function
def manual_seed(seed: Any) -> Generator:
    """Restart the default generator from `int(seed)` and return it; errors as for `Generator.manual_seed`."""
    return default_generator.manual_seed(int(seed))


@function
def seed() -> int:
    """Restart the default generator from a seed that the operating system draws, and return that seed."""
    return default_generator.seed()


@function
def initial_seed() -> int:
    """Return the seed that the default generator started from."""
    return default_generator.initial_seed()


@function
def get_rng_state() -> Tensor:
    """Return the state of the default generator, a uint8 Tensor, (5056,): see `Generator.get_state`."""
    return default_generator.get_state()


@function
def set_rng_state(new_state: Tensor | Array) -> None:
    """Continue the default generator from `new_state`; errors as for `Generator.set_state`."""
    default_generator.set_state(new_state)


@function
def rand(
    *args: Any,
    size: Any = None,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return numbers uniform on [0, 1), of shape `size` and the default dtype or `dtype`.

    Raises NotImplementedError unless it is float32 or float64, TypeError without a size.
    """
    shape = _shape("rand", args, size)
    values = or_default(generator).uniform(math.prod(shape), _floating(dtype).numpy)
    return _finish(values.reshape(shape), device, requires_grad)


@function
def randn(
    *args: Any,
    size: Any = None,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return numbers of the standard normal distribution, of shape `size`; dtype and errors as for `rand`."""
    shape = _shape("randn", args, size)
    values = or_default(generator).normal(math.prod(shape), _floating(dtype).numpy)
    return _finish(values.reshape(shape), device, requires_grad)


@function
def randint(
    *args: Any,
    low: Any = 0,
    high: Any = None,
    size: Any = None,
    generator: Generator | None = None,
    dtype: Any = int64,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return integers of [low, high): `randint(high, size)` or `randint(low, high, size)`, where size, a
    sequence, is the shape.

    Raises RuntimeError unless low < high and the dtype holds every integer between them, TypeError without a
    size or bounds.
    """
    if size is None and args:
        args, size = args[:-1], args[-1]
    if not isinstance(size, (tuple, list)):
        raise TypeError(f"randint needs a size, as a tuple of ints, and got {size!r}")
    shape = _shape("randint", (), size)
    low, high = _bounds("randint", args, low, high)
    values = _integers(generator, low, high, math.prod(shape), dtype)
    return _finish(values if len(shape) == 1 else values.reshape(shape), device, requires_grad)


@function
def randperm(
    n: int,
    *,
    generator: Generator | None = None,
    dtype: Any = int64,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return the integers of [0, n) in random order, of shape (n,); errors as for `Generator.permutation`."""
    n, target = operator.index(n), as_dtype(dtype)
    _check_holds(target, 0, max(n - 1, 0))
    return _finish(
        or_default(generator).permutation(n).astype(target.numpy, copy=False), device, requires_grad
    )


@function
def normal(
    mean: Tensor | float = 0.0,
    std: Tensor | float = 1.0,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return numbers of the normal distribution.

    With numbers for `mean` and `std` they have the shape `size`; where one or both are Tensors, their
    broadcast shape, and each element has its own mean and std. Raises RuntimeError for a negative `std`,
    TypeError unless either a size or a Tensor is given.
    """
    tensors = [parameter for parameter in (mean, std) if isinstance(parameter, Tensor)]
    if bool(tensors) == (size is not None) or isinstance(size, int):
        raise TypeError("normal needs a size, as a tuple of ints, or a Tensor for mean or std")
    if not tensors:
        shape = _shape("normal", (), size)
        values = or_default(generator).normal(math.prod(shape), _floating(dtype).numpy, mean, std)  # type: ignore[arg-type]
        # PyTorch's normal does not hear the default device.
        return _finish(values.reshape(shape), device or "cpu", requires_grad)
    center, spread = map(_without_history, (mean, std))
    if isinstance(std, Tensor):
        require_all((spread >= 0).array, "normal expects all elements of std >= 0.0")
    try:
        shape = np.broadcast_shapes(*(parameter.shape for parameter in tensors))
    except ValueError as error:
        raise RuntimeError(f"normal: mean and std do not fit each other: {error}") from None
    number = 1.0 if isinstance(spread, Tensor) else spread
    drawn = or_default(generator).normal(math.prod(shape), tensors[0].dtype.numpy, 0.0, number)
    result: Any = _finish(drawn.reshape(shape), tensors[0].device, False)
    if isinstance(spread, Tensor):
        result.mul_(spread)
    return _drawn_from(result.add_(center).requires_grad_(requires_grad), *tensors)


def _without_history(parameter: Any) -> Any:
    return parameter.detach() if isinstance(parameter, Tensor) else parameter


@method
def multinomial(
    input: Tensor, num_samples: int, replacement: bool = False, *, generator: Generator | None = None
) -> Tensor:
    """Return `num_samples` classes for each row of weights `input`, which need not sum to 1.

    input: (classes,) or (rows, classes). Result: int64, (num_samples,) or (rows, num_samples). Without
    `replacement` no class is drawn twice in a row. Errors as for `Generator.multinomial`; TypeError where
    input is no Tensor.
    """
    if not isinstance(input, Tensor):
        raise TypeError(f"multinomial needs a Tensor of probabilities, not {type(input).__name__}")
    samples = or_default(generator).multinomial(on_host(input), operator.index(num_samples), replacement)
    return _finish(samples, input.device, False)


@method
def bernoulli(input: Tensor, p: float | None = None, *, generator: Generator | None = None) -> Tensor:
    """Return 1 with the probability in each element of `input`, else 0; with the probability `p` where it is
    given.

    The result has the shape and dtype of `input`. Raises RuntimeError for a probability outside [0, 1].
    """
    probability = _without_history(input if p is None else p)
    message = "bernoulli expects every probability to be in [0, 1]"
    if p is None:
        require_all((probability >= 0).logical_and(probability <= 1).array, message)
    elif not 0 <= p <= 1:
        raise RuntimeError(message)
    numbers = or_default(generator).uniform(input.numel(), np.float64 if p is not None else input.dtype.numpy)
    u: Any = _finish(numbers.reshape(input.shape), input.device, False)
    drawn = _drawn_from((u < probability).to(input.dtype), input)
    return drawn if p is None else without_derivative("bernoulli", drawn)


def _drawn_from(numbers: Tensor, *parameters: Tensor) -> Tensor:
    """Return the numbers with the history of the parameters that they were drawn by, each of which receives a
    gradient of 0."""
    for parameter in parameters:
        if parameter.requires_grad and is_grad_enabled():
            numbers = put.call(parameter.expand(*numbers.shape), numbers, EVERYWHERE)
    return numbers


def bernoulli_like(x: Tensor, p: float) -> Tensor:
    """Return 1 with the probability `p`, else 0, with the shape, dtype, device and layout in memory of
    `x`."""
    like = on_host(x)
    u = in_memory_order_of(default_generator.uniform(like.size, np.float64), like)
    return _finish((u < p).astype(like.dtype), x.device, False, x.dtype)


@function
def rand_like(
    input: Tensor,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return `rand` with the shape, dtype, device and layout in memory of `input`."""
    like, target = on_host(input), _dtype_like(input, dtype)
    values = or_default(generator).uniform(like.size, target)
    return _finish(in_memory_order_of(values, like), device or input.device, requires_grad)


@function
def randn_like(
    input: Tensor,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return `randn` with the shape, dtype, device and layout in memory of `input`."""
    like, target = on_host(input), _dtype_like(input, dtype)
    order = [axis for axis in memory_order(like) if like.shape[axis] != 1]
    values = or_default(generator).normal(like.size, target, contiguous=order == sorted(order))
    return _finish(in_memory_order_of(values, like), device or input.device, requires_grad)


@function
def randint_like(
    input: Tensor,
    *args: Any,
    low: Any = 0,
    high: Any = None,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return `randint` (`high`, or `low` and `high`) with the shape, dtype, device and layout in memory of
    `input`."""
    like, target = on_host(input), from_numpy_dtype(_dtype_like(input, dtype))
    values = _integers(generator, *_bounds("randint_like", args, low, high), like.size, target)
    return _finish(in_memory_order_of(values, like), device or input.device, requires_grad)


def or_default(generator: Generator | None) -> Generator:
    if generator is None:
        return default_generator
    if not isinstance(generator, Generator):
        raise TypeError(f"generator must be a Generator, not {type(generator).__name__}")
    return generator


def _shape(name: str, args: tuple[Any, ...], size: Any) -> tuple[int, ...]:
    """Return the shape that was given by position or as `size=`; TypeError for none, RuntimeError below 0."""
    if not args and size is None:
        raise TypeError(f"{name} needs a size")
    shape = sizes(args if size is None else (size,))
    if shape and min(shape) < 0:
        raise RuntimeError(f"{name} can't make a Tensor with a negative dimension: {list(shape)}")
    return shape


def _bounds(name: str, args: tuple[Any, ...], low: Any, high: Any) -> tuple[int, int]:
    """Return low and high, given as (high), (low, high) or by name."""
    if high is None and args:
        args, high = args[:-1], args[-1]
    if args:
        args, low = args[:-1], args[-1]
    if args or high is None:
        raise TypeError(f"{name} takes high, or low and high")
    return operator.index(low), operator.index(high)


def _integers(generator: Generator | None, low: int, high: int, n: int, dtype: Any) -> Array:
    source = or_default(generator)
    if dtype is int64:
        return source.integers(low, high, n)
    target = as_dtype(dtype)
    _check_holds(target, low, high - 1)
    return source.integers(low, high, n).astype(target.numpy)


def _check_holds(target: Dtype, low: int, high: int) -> None:
    """Raise RuntimeError unless the dtype holds every integer from low to high."""
    if target.is_floating_point:
        last = 2 ** (np.finfo(target.numpy).nmant + 1)
        first = -last
    else:
        first, last = (
            (0, 1) if target.numpy.kind == "b" else (np.iinfo(target.numpy).min, np.iinfo(target.numpy).max)
        )
    if low < first or high > last:
        raise RuntimeError(
            f"{target} doesn't hold every integer from {low} to {high}: only {first} to {last}"
        )


def _floating(dtype: Any) -> Dtype:
    return get_default_dtype() if dtype is None else as_dtype(dtype)


def on_host(x: Tensor) -> Array:
    array: Array = namespace_of(x.array).to_numpy(x.array)
    return array


def _dtype_like(x: Tensor, dtype: Any) -> Any:
    """Return NumPy's dtype of that name, by default that of `x`."""
    return (x.dtype if dtype is None else as_dtype(dtype)).numpy
