"""Normalization to mean 0 and deviation 1, over the batch or over the features; vectors to length 1."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ...api.distances import norm
from ...api.missing import refuse
from ...api.register import function
from ...engine.devices import same_device
from ...engine.grad_mode import no_grad
from ...engine.hook import arguments, observers
from ...engine.tensor import Tensor
from ...ops import Precision, losses
from .arguments import check_floating, takes_tensors, without_gradient


@takes_tensors
def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Return (input - mean) / √(variance + eps) · weight + bias, feature by feature, in the input's shape.

    input: (n, features) or (n, features, d1, …); the others: (features). In training mean and variance are
    the batch's, over n, and the running ones move towards them by `momentum` (the variance over n - 1);
    otherwise the running ones are used. Raises ValueError in training where there is one value per feature or
    eps is not above 0, RuntimeError for statistics or parameters of another size, IndexError for an input of
    fewer than two dimensions.
    """
    same_device(losses.batch_norm.name, input, running_mean, running_var, weight, bias)
    if _is_half(input) and any(x is not None and not _is_half(x) for x in (running_mean, weight)):
        wide = batch_norm(input.float(), running_mean, running_var, weight, bias, training, momentum, eps)
        return wide.to(input.dtype)
    check_floating(losses.batch_norm.name, input, running_mean, running_var, weight, bias)
    if input.ndim == 1 and not input.numel():
        return input.clone()
    if input.ndim < 2:
        raise IndexError(f"batch_norm: the input is (n, features) or more, and not {tuple(input.shape)}")
    without_gradient(losses.batch_norm.name, running_mean=running_mean, running_var=running_var)
    features = input.shape[1]
    axis = (0, *range(2, input.ndim))
    shape = (1, features, *(1 for _ in axis[1:]))
    named = {"running_mean": running_mean, "running_var": running_var, "weight": weight, "bias": bias}
    for name, x in named.items():
        if x is not None and tuple(x.shape) != (features,):
            raise RuntimeError(f"{name} should contain {features} elements not {x.numel()}")
    if not training:
        if running_mean is None or running_var is None:
            raise RuntimeError("batch_norm: running_mean and running_var are needed where training is False")
        inverse = (running_var.reshape(shape) + eps) ** -0.5
        out = (input - running_mean.reshape(shape)) * inverse
        out = out if weight is None else out * weight.reshape(shape)
        return out if bias is None else out + bias.reshape(shape)
    if input.numel() == features:
        raise ValueError(
            f"Expected more than 1 value per channel when training, got input size {input.shape}"
        )
    if not eps > 0:
        raise ValueError(f"batch_norm eps must be positive during training, but got {eps}")
    if running_mean is not None and running_var is not None and input.numel():
        with no_grad():
            running_mean.mul_(1 - momentum).add_(momentum * input.mean(axis))
            running_var.mul_(1 - momentum).add_(momentum * input.var(axis))
    w = 1.0 if weight is None else weight.reshape(shape)
    b = 0.0 if bias is None else bias.reshape(shape)
    return losses.batch_norm.call(input, w, b, axis, eps, 0)


@takes_tensors
def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Return (input - mean) / √(variance + eps) · weight + bias, example by example, in the input's shape.

    normalized_shape: the last dimensions of the input, over which mean and variance (over n) are taken, and
    the shape of weight and bias. Raises RuntimeError for an input, weight or bias of other dimensions.
    Source: Ba, Kiros, Hinton (2016).
    """
    same_device(losses.layer_norm.name, input, weight, bias)
    if observers:
        input, weight, bias = arguments(Precision.FLOAT32_ON_CUDA, input, weight, bias)
    if _is_half(input) and weight is not None and not _is_half(weight):
        return layer_norm(input.float(), normalized_shape, weight, bias, eps).to(input.dtype)
    check_floating(losses.layer_norm.name, input, weight, bias)
    shape = _normalized_shape(losses.layer_norm.name, input, normalized_shape, weight=weight, bias=bias)
    axis = tuple(range(input.ndim - len(shape), input.ndim))
    return losses.layer_norm.call(
        input, 1.0 if weight is None else weight, 0.0 if bias is None else bias, axis, eps, 0
    )


def _normalized_shape(
    name: str, input: Tensor, normalized_shape: Sequence[int], **parameters: Tensor | None
) -> tuple[int, ...]:
    """Return the last dimensions of the input, which are given; RuntimeError where the input or a parameter
    has others, TypeError for an int."""
    if isinstance(normalized_shape, int):
        raise TypeError(f"{name}(): argument 'normalized_shape' must be a tuple of ints, not an int")
    shape = tuple(normalized_shape)
    if not shape:
        raise RuntimeError(f"{name}: normalized_shape has to name at least one dimension")
    if tuple(input.shape[-len(shape) :]) != shape:
        raise RuntimeError(
            f"Given normalized_shape={list(shape)}, expected input with shape "
            f"[*, {', '.join(map(str, shape))}], but got input of size {list(input.shape)}"
        )
    for name, parameter in parameters.items():
        if parameter is not None and tuple(parameter.shape) != shape:
            raise RuntimeError(
                f"Expected {name} to be of same shape as normalized_shape, but got {name} of shape "
                f"{list(parameter.shape)} and normalized_shape = {list(shape)}"
            )
    return shape


@function
@takes_tensors
def rms_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """Return input / √(mean of input² + eps) · weight, example by example, in the input's shape.

    normalized_shape: the last dimensions of the input, over which the mean is taken, and the shape of weight.
    eps: by default the distance from 1 to the next number of the dtype. Raises RuntimeError for an input or
    a weight of other dimensions, NotImplementedError for integers. Source: Zhang and Sennrich (2019).
    """
    same_device("rms_norm", input, weight)
    shape = _normalized_shape("rms_norm", input, normalized_shape, weight=weight)
    check_floating("rms_norm", input)
    wide = input.float() if _is_half(input) else input
    if eps is None:
        eps = float(np.finfo(wide.dtype.numpy).eps)
    axis = tuple(range(input.ndim - len(shape), input.ndim))
    out = (wide * ((wide * wide).mean(axis, True) + eps).rsqrt()).to(input.dtype)
    return out if weight is None else out * weight.to(input.dtype)


@function
@takes_tensors
def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Return (input - mean) / √(variance + eps) · weight + bias, for each group of channels of each example,
    in the input's shape.

    input: (n, channels, …); each num_groups-th part of the channels is a group, over which, and over the
    dimensions after it, mean and variance (over n) are taken. weight, bias: (channels). Raises RuntimeError
    where num_groups does not divide the channels, or for parameters of another size, ValueError for one value
    in a group of a single example, NotImplementedError for integers. Source: Wu and He (2018).
    """
    same_device("group_norm", input, weight, bias)
    if observers:
        input, weight, bias = arguments(Precision.FLOAT32_ON_CUDA, input, weight, bias)
    if input.ndim < 2:
        raise RuntimeError(f"Expected at least 2 dimensions for input tensor but received {input.ndim}")
    n, channels, *rest = input.shape
    if channels % num_groups:
        raise RuntimeError(
            f"Expected number of channels in input to be divisible by num_groups, but got input of shape "
            f"{list(input.shape)} and num_groups={num_groups}"
        )
    if n * channels // num_groups * math.prod(rest) == 1:
        raise ValueError(
            f"Expected more than 1 value per channel when training, got input size {list(input.shape)}"
        )
    for name, parameter in (("weight", weight), ("bias", bias)):
        if parameter is not None and tuple(parameter.shape) != (channels,):
            raise RuntimeError(
                f"Expected {name} to be a vector of size equal to the number of channels in input, but got "
                f"{name} of shape {list(parameter.shape)} and input of shape {list(input.shape)}"
            )
    if _is_half(input) and weight is not None and not _is_half(weight):
        return group_norm(input.float(), num_groups, weight, bias, eps).to(input.dtype)
    check_floating("group_norm", input, weight, bias)
    size = channels // num_groups * math.prod(rest)
    groups = input.reshape(n, num_groups, size)
    out = losses.layer_norm.call(groups, 1.0, 0.0, (2,), eps, 0).reshape(input.shape)
    each_channel = (channels, *(1 for _ in rest))
    out = out if weight is None else out * weight.reshape(each_channel)
    return out if bias is None else out + bias.reshape(each_channel)


def _is_half(x: Tensor) -> bool:
    """Return whether the dtype has 16 bits: with float32 parameters the result has the input's precision and
    is computed in float32."""
    return x.itemsize == 2


@takes_tensors
def normalize(
    input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out: Tensor | None = None
) -> Tensor:
    """Return the input over its p-norm along `dim`, or over eps where that is larger: vectors of length 1.

    p: any number; infinity for the largest absolute value, -infinity for the smallest, 0 for how many
    elements are not 0. Raises RuntimeError for integers.
    """
    refuse("normalize", "out.copy_(normalize(…))", out=out)
    return input / norm(input, p, dim, True).clamp(min=eps)
