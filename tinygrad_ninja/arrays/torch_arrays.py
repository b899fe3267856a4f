"""torch tensors, on the CPU or a GPU: torch's functions under the array API standard's names. What is not
here is `array_api_compat`'s function of that name, which includes those of torch.

torch computes; the rules and the record of operations are the engine's. torch's autograd records nothing,
since no tensor that comes here requires a gradient.
"""

from __future__ import annotations

import builtins
from copy import deepcopy  # noqa: F401 - the namespace has it
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np

from . import dtypes
from .torch_library import import_torch

torch: Any = import_torch()  # first, since the next lines import whatever is called torch

from array_api_compat import torch as standard  # noqa: E402
from array_api_compat.torch import broadcast_to  # noqa: E402

Array: TypeAlias = Any  # a torch.Tensor, which the type checker does not know


def __getattr__(name: str) -> Any:
    """Return the function of that name in `array_api_compat`."""
    if name.startswith("_") or not hasattr(standard, name):
        raise AttributeError(f"PyTorch has no function {name}")
    function = globals()[name] = getattr(standard, name)
    return function


@lru_cache(maxsize=256)
def arange(n: int) -> Array:
    return torch.arange(n)


def sum(x: Array, axis: tuple[int, ...] | None, keepdims: bool) -> Array:
    return torch.sum(x) if axis is None and not keepdims else torch.sum(x, _axes(x, axis), keepdim=keepdims)


def max(x: Array, axis: tuple[int, ...] | None, keepdims: bool) -> Array:
    return torch.amax(x, _axes(x, axis), keepdim=keepdims)


def min(x: Array, axis: tuple[int, ...] | None, keepdims: bool) -> Array:
    return torch.amin(x, _axes(x, axis), keepdim=keepdims)


def prod(x: Array, axis: tuple[int, ...] | None, keepdims: bool) -> Array:
    if not x.ndim:
        return torch.prod(x)
    for dimension in sorted(_axes(x, axis), reverse=True):  # torch.prod takes one dimension at a time
        x = torch.prod(x, dimension, keepdim=keepdims)
    return x


def all(x: Array, axis: tuple[int, ...] | None, keepdims: bool) -> Array:
    return torch.all(x, _axes(x, axis), keepdim=keepdims)


def any(x: Array, axis: tuple[int, ...] | None, keepdims: bool) -> Array:
    return torch.any(x, _axes(x, axis), keepdim=keepdims)


def _axes(x: Array, axis: tuple[int, ...] | None) -> tuple[int, ...]:
    """Return the dimensions of `axis`, which is None for all."""
    return tuple(range(x.ndim)) if axis is None else axis


def cumulative_sum(x: Array, axis: int) -> Array:
    return torch.cumsum(x, axis)


def pow(x: Any, y: Any) -> Any:
    return x**y


def trunc_divide(x: Any, y: Any) -> Array:
    return torch.div(x, y, rounding_mode="trunc")


def maximum(x: Any, y: Any) -> Array:
    return _bounded("min", torch.maximum, x, y)


def minimum(x: Any, y: Any) -> Array:
    return _bounded("max", torch.minimum, x, y)


def _bounded(bound: str, function: Any, x: Any, y: Any) -> Array:
    """Return `function` of both; of a number, which it does not take, as a bound of the other."""
    number, other = (x, y) if isinstance(x, (int, float)) else (y, x)
    return torch.clamp(other, **{bound: number}) if isinstance(number, (int, float)) else function(x, y)


def where(condition: Any, x: Any, y: Any) -> Array:
    return torch.where(condition, x, y)


def argsort(x: Array, axis: int) -> Array:
    return torch.argsort(x, dim=axis, stable=True)


_WIDER = {torch.float32: torch.float64, torch.float16: torch.float32, torch.bfloat16: torch.float32}


def one_minus_square(y: Array) -> Array:
    """Return 1 - y², rounded once as torch does by a fused multiply-add: in the next precision the product is
    exact."""
    wider = _WIDER.get(y.dtype)
    return 1 - y * y if wider is None else (1 - y.to(wider) ** 2).to(y.dtype)


expand = broadcast_to
erf = torch.erf


def copy(x: Array, ordered: bool = False) -> Array:
    return x.clone(memory_format=torch.contiguous_format if ordered else torch.preserve_format)


def diagonal(x: Array, offset: int, axis1: int, axis2: int) -> Array:
    return torch.diagonal(x, offset, axis1, axis2)


def diag_embed(x: Array, offset: int) -> Array:
    return torch.diag_embed(x, offset)


def index(x: Array, key: tuple[Any, ...]) -> Array:
    return x[key]


def select_at(x: Array, axis: int, place: Any) -> Array:
    return x.select(axis, int(place))


def scatter(values: Array, shape: tuple[int, ...], key: tuple[Any, ...]) -> Array:
    out = torch.zeros(shape, dtype=values.dtype, device=values.device)
    if builtins.any(isinstance(item, torch.Tensor) for item in key):
        indices = [None if isinstance(item, slice) else item for item in key]
        return torch.ops.aten.index_put_(out, indices, values, True)
    out[key] = values
    return out


def put(x: Array, value: Any, key: tuple[Any, ...]) -> Array:
    out = copy(x)
    out[key] = value
    return out


def gather(x: Array, axis: int, index: Array) -> Array:
    return torch.gather(x, axis, index)


def scatter_along(values: Array, shape: tuple[int, ...], axis: int, index: Array) -> Array:
    out = torch.zeros(shape, dtype=values.dtype, device=values.device)
    return out.scatter_add_(axis, index, values)


def scatter_prod(x: Array, values: Array, axis: int, index: Array, include_self: bool) -> Array:
    return x.scatter_reduce(axis, index, values, "prod", include_self=include_self)


def scatter_amax(x: Array, values: Array, axis: int, index: Array, include_self: bool) -> Array:
    return x.scatter_reduce(axis, index, values, "amax", include_self=include_self)


def scatter_amin(x: Array, values: Array, axis: int, index: Array, include_self: bool) -> Array:
    return x.scatter_reduce(axis, index, values, "amin", include_self=include_self)


def is_integral(x: Array) -> bool:
    return not x.dtype.is_floating_point


def device(x: Array) -> str:
    return "torch" if x.device.type == "cpu" else str(x.device)


def to_numpy(x: Array) -> Any:
    """Return the numbers as a NumPy array; those of bfloat16 in float32, which represents each exactly."""
    return np.asarray(_Shown((x.float() if x.dtype == torch.bfloat16 else x).cpu()))


class _Shown:
    """The memory of a tensor on the CPU, for NumPy, whose arrays of it hold this: who looks whether anybody
    holds the tensor sees it, which torch's own arrays hide."""

    def __init__(self, x: Array) -> None:
        self.tensor = x
        array = x.detach().numpy()
        self.__array_interface__ = {**array.__array_interface__, "strides": array.strides}


def move(x: Array, device: str) -> Any:
    """Return `x` on another device. Raise TypeError for bfloat16, which NumPy lacks, and the errors of
    `from_numpy`."""
    if device == "float":
        return x.item()
    if device == "cpu":
        return to_numpy(x).astype(dtypes.BY_NAME[str(x.dtype).removeprefix("torch.")].numpy, copy=False)
    if device != "torch":
        _require_cuda(device)
    return x.to("cpu" if device == "torch" else device)


def from_numpy(x: Any, device: str) -> Array:
    """Return the NumPy array as a torch tensor on "torch" or "cuda". Raise RuntimeError where there is no
    such device."""
    if device != "torch":
        _require_cuda(device)
    return torch.from_numpy(x.copy("K")).to("cpu" if device == "torch" else device)


def _require_cuda(device: str) -> None:
    """Raise RuntimeError, which says how to get one, where PyTorch has no such GPU."""
    number = int(device.partition(":")[2] or 0)
    if number < torch.cuda.device_count():
        return
    if torch.version.cuda is None and torch.version.hip is None:
        how = f"PyTorch {torch.__version__} has no CUDA; https://pytorch.org/get-started has a build with it"
    elif number:
        how = f"PyTorch sees {torch.cuda.device_count()} GPU here: the first is cuda:0"
    else:
        how = "PyTorch sees no GPU here: it takes an NVIDIA GPU and its driver"
    raise RuntimeError(f'device {device} is not available: {how} (device "torch" is PyTorch on the CPU)')


def storage(x: Array) -> Any:
    return x.untyped_storage()
