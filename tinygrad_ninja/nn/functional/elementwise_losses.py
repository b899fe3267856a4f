"""Losses of an input and a target of one shape: a number for each two elements, and its mean or sum."""

from __future__ import annotations

import warnings

import numpy as np

from ...api.arithmetic import where
from ...api.register import function
from ...arrays import dtypes
from ...arrays.dispatch import namespace_of
from ...engine.grad_mode import no_grad
from ...engine.hook import arguments, observers, observing
from ...engine.tensor import Tensor
from ...ops import Precision
from ...ops import losses as entries
from .arguments import check_floating, takes_tensors, without_gradient
from .loss_functions import check_reduction, reduced
from .nonlinear import logsigmoid


def _difference(input: Tensor, target: Tensor) -> Tensor:
    """Return input - target; with a UserWarning where their shapes differ, and they are broadcast."""
    if input.shape != target.shape:
        warnings.warn(
            f"Using a target size ({target.shape}) that is different to the input size ({input.shape}) "
            "broadcasts them, which is rarely intended: give both the same size",
            stacklevel=4,  # past the loss and `takes_tensors`
        )
    return input - target


def _weighted(losses: Tensor, weight: Tensor | None, input: Tensor) -> Tensor:
    if weight is None:
        return losses
    if weight.shape != input.shape:
        raise ValueError("Weights and input must have the same size.")
    return losses * weight


@takes_tensors
def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """Return (input - target)²: its mean, its sum, or with reduction="none" the square of each element.

    weight: of the same shape, the weight of each square; the mean is then over their sum. Raises ValueError
    for another reduction or a weight of another shape, NotImplementedError for integers;
    UserWarning where the shapes differ and are broadcast.
    """
    check_reduction(reduction, size_average, reduce)
    if observers:
        input, target, weight = arguments(Precision.FLOAT32, input, target, weight)
    difference = _difference(input, target)
    check_floating("mse_loss", difference)
    squares = _weighted(difference**2, weight, input)
    return reduced(squares, reduction, squares.numel() if weight is None else weight.sum())


@takes_tensors
def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """Return |input - target|: its mean, its sum, or with reduction="none" that of each element.

    weight and errors as in `mse_loss`; integers are taken, but not by their mean (RuntimeError).
    """
    check_reduction(reduction, size_average, reduce)
    if observers:
        input, target, weight = arguments(Precision.FLOAT32, input, target, weight)
    distances = _weighted(_difference(input, target).abs(), weight, input)
    if weight is None and reduction == "mean":
        return distances.mean()
    return reduced(distances, reduction, 1 if weight is None else weight.sum())


@takes_tensors
def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """Return d² / (2 beta) where d = |input - target| is below beta, else d - beta / 2, reduced as `l1_loss`.

    Errors as in `mse_loss`; RuntimeError for a negative beta. With beta=0 it is `l1_loss`.
    """
    check_reduction(reduction, size_average, reduce)
    if observers:
        input, target = arguments(Precision.FLOAT32, input, target)
    if beta < 0:
        raise RuntimeError(f"smooth_l1_loss does not support negative values for beta: {beta}")
    if beta == 0:
        return l1_loss(input, target, reduction=reduction)
    difference = _difference(input, target)
    check_floating("smooth_l1_loss", difference)
    distance = difference.abs()
    quadratic = difference * difference * (0.5 / beta)
    losses = where(distance.lt(beta), quadratic, distance - 0.5 * beta)
    return reduced(losses, reduction, losses.numel())


@takes_tensors
def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Tensor | None = None,
) -> Tensor:
    """Return d² / 2 where d = |input - target| is at most delta, else delta · (d - delta / 2) (Huber 1964):
    the mean, the sum, or with reduction="none" that of each element.

    weight: of the input's shape, by which each is multiplied before the mean over all. Errors as in
    `mse_loss`; RuntimeError unless delta is above 0.
    """
    check_reduction(reduction)
    if observers:
        input, target, weight = arguments(Precision.FLOAT32, input, target, weight)
    if not delta > 0:
        raise RuntimeError(f"huber_loss does not support non-positive values for delta: {delta}")
    difference = _difference(input, target)
    check_floating("huber_loss", difference)
    distance = difference.abs()
    losses = where(distance.le(delta), 0.5 * difference * difference, delta * (distance - 0.5 * delta))
    return reduced(_weighted(losses, weight, input), reduction, losses.numel())


@takes_tensors
def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """Return target · (ln target - input), where the input holds log-probabilities, and with log_target the
    target too: the Kullback-Leibler divergence of the input from the target.

    reduction: "batchmean" is the sum over the size of dimension 0, the divergence for each example; "mean",
    with a UserWarning, is over all elements; "sum" and "none" as elsewhere. Where the target is 0, so is the
    result. Raises RuntimeError for an input of integers.
    """
    if reduction == "mean":
        warnings.warn(
            "reduction='mean' divides by the number of all elements; the divergence for each example is "
            "reduction='batchmean'",
            stacklevel=3,  # past `takes_tensors`
        )
    check_reduction("sum" if reduction == "batchmean" else reduction, size_average, reduce)
    if not input.dtype.is_floating_point:
        raise RuntimeError("kl_div: Integral inputs not supported.")
    if observers:
        input, target = arguments(Precision.FLOAT32, input, target)
    if log_target:
        losses = target.exp() * (target - input)
    else:
        losses = where(target.eq(0), 0.0, target * target.log()) - target * input
    if reduction == "batchmean":
        return losses.sum() / input.shape[0] if input.ndim else losses.sum()
    return losses.mean() if reduction == "mean" else reduced(losses, reduction, 1)


@takes_tensors
def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return -(target · ln input + (1 - target) · ln (1 - input)), for probabilities: its mean, its sum, or
    with reduction="none" that of each element.

    No logarithm is below -100. weight: broadcast, by which each is multiplied before the mean over all.
    Raises ValueError for another reduction or where the shapes differ, RuntimeError for an input outside of
    [0, 1], where the dtypes differ and for a weight that requires a gradient, NotImplementedError for
    integers.
    """
    check_reduction(reduction, size_average, reduce)
    if target.shape != input.shape:
        raise ValueError(
            f"binary_cross_entropy: the target's size ({target.shape}) must be that of the input "
            f"({input.shape})"
        )
    if observers:
        input, target, weight = arguments(Precision.FLOAT32, input, target, weight)
    entry = entries.binary_cross_entropy
    check_floating(entry.name, input, target, weight)
    _check_probabilities(input)
    without_gradient(entry.name, weight=weight)
    losses = entry.call(input, target)
    return reduced(losses if weight is None else losses * weight, reduction, losses.numel())


def _check_probabilities(input: Tensor) -> None:
    """Raise RuntimeError where an element is outside of [0, 1], or NaN."""
    message = "binary_cross_entropy: all elements of input should be between 0 and 1"
    with no_grad():
        outside = (input.ge(0) & input.le(1)).logical_not().to(dtypes.int64).array
    if observers and (observer := observing()) and observer.unknown(outside):
        outside = observer.check(outside, 0, 1, RuntimeError, message)
    if bool(namespace_of(outside).any(outside, None, False)):
        raise RuntimeError(message)


@takes_tensors
def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """Return -(pos_weight · target · ln σ(input) + (1 - target) · ln (1 - σ(input))), σ the sigmoid: the
    mean, the sum, or with reduction="none" that of each element.

    It is (1 - target) · input - (1 + (pos_weight - 1) · target) · ln σ(input), which does not overflow.
    pos_weight, weight: broadcast; weight multiplies each before the mean over all. Raises ValueError for
    another reduction or where the shapes differ, NotImplementedError for integers, RuntimeError for a target
    of them and for weights that require a gradient.
    """
    check_reduction(reduction, size_average, reduce)
    if not target.dtype.is_floating_point:
        raise RuntimeError(
            f"binary_cross_entropy_with_logits: the target is {target.dtype}, call float() first"
        )
    if target.shape != input.shape:
        raise ValueError(f"Target size ({target.shape}) must be the same as input size ({input.shape})")
    if observers:
        input, target, weight, pos_weight = arguments(Precision.FLOAT32, input, target, weight, pos_weight)
    without_gradient("binary_cross_entropy_with_logits", weight=weight, pos_weight=pos_weight)
    log_p = logsigmoid(input)
    if pos_weight is not None:
        log_p = (1 + (pos_weight - 1) * target) * log_p
    losses: Tensor = (1 - target) * input - log_p
    if weight is not None:
        losses = losses * weight
    return reduced(losses, reduction, losses.numel())


@function
@takes_tensors
def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """Return Σ x1 · x2 / (‖x1‖ · ‖x2‖) along `dim`, of the two broadcast; no norm counts as less than eps.

    Raises RuntimeError for integers, IndexError where there is no such dimension.
    """
    if observers:
        x1, x2 = arguments(Precision.FLOAT32_ON_CUDA, x1, x2)
    try:
        shape = np.broadcast_shapes(tuple(x1.shape), tuple(x2.shape))
    except ValueError:
        raise RuntimeError(
            f"cosine_similarity: the shapes {tuple(x1.shape)} and {tuple(x2.shape)} do not fit each other"
        ) from None
    x1, x2 = x1.expand(shape), x2.expand(shape)
    return (_directed(x1, dim, eps) * _directed(x2, dim, eps)).sum(dim)


def _directed(x: Tensor, dim: int, eps: float) -> Tensor:
    """Return x over its norm. Where that is raised to eps, the gradient is still that of the norm, as
    PyTorch's is."""
    norm = x.norm(2, dim, True)
    missing = norm.detach().clamp(min=eps) - norm.detach()
    return x / (norm + missing)
