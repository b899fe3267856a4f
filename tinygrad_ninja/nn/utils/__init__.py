"""Operations on the parameters or the gradients of a whole model."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from ...api.creation import tensor
from ...api.distances import norm
from ...api.joining import cat, stack
from ...api.missing import explain
from ...engine.grad_mode import no_grad
from ...engine.tensor import Tensor
from . import rnn

__all__ = ["clip_grad_norm_", "clip_grad_value_", "parameters_to_vector", "rnn", "vector_to_parameters"]


@no_grad()
def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale all gradients, in place, so that their joint norm is at most max_norm; return their former norm.

    The norm has the shape (). norm_type: p of (Σ |g|ᵖ)^(1/p), above 0, or infinity; ValueError for another.
    Raises RuntimeError, with error_if_nonfinite, where the norm is infinite or NaN. foreach chooses among
    PyTorch's ways to compute the same, and changes nothing here.
    """
    if not norm_type > 0:
        raise ValueError(f"clip_grad_norm_: norm_type must be above 0, or infinity, not {norm_type}")
    gradients = _gradients(parameters)
    if not gradients:
        return tensor(0.0)
    total = norm(stack([norm(gradient, norm_type) for gradient in gradients]), norm_type)
    if error_if_nonfinite and not math.isfinite(total.item()):
        raise RuntimeError(
            f"The total norm of order {norm_type} for gradients from `parameters` is non-finite, so it "
            "cannot be clipped"
        )
    # PyTorch adds the small number so that no gradient is divided by 0.
    scale = (max_norm / (total + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(scale)
    return total


@no_grad()
def clip_grad_value_(
    parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None
) -> None:
    """Clamp every element of every gradient, in place, to the range from -clip_value to clip_value."""
    for gradient in _gradients(parameters):
        gradient.clamp_(-clip_value, clip_value)


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """Return all elements of all parameters as one vector, recorded."""
    return cat([parameter.reshape(-1) for parameter in parameters])


@no_grad()
def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Copy the result of `parameters_to_vector` back into the parameters.

    Raises ValueError, before anything is written, unless the vector has as many elements as the parameters.
    """
    targets = list(parameters)
    sizes = [target.numel() for target in targets]
    if tuple(vec.shape) != (sum(sizes),):
        raise ValueError(f"the parameters have {sum(sizes)} elements, and the vector {tuple(vec.shape)}")
    for target, part in zip(targets, vec.split(sizes), strict=True):
        target.copy_(part.reshape(target.shape))


def _gradients(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    if isinstance(parameters, Tensor):
        parameters = [parameters]
    return [parameter.grad for parameter in parameters if parameter.grad is not None]


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    raise AttributeError(explain("nn.utils", name, __all__))
