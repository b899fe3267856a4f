"""Further forms of a function: PyTorch's other names for it, and the method that changes its Tensor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from ..engine.tensor import Tensor
from .register import OFFERED, no_tensor

_F = TypeVar("_F", bound=Callable[..., Any])

IN_PLACE: list[str] = []
"""The methods that PyTorch has with an underscore, too, and that are no entries of the table."""

ALIASES: dict[str, str] = {}
"""PyTorch's further names, and the name of the function that each is."""


def alias(name: str, *others: str) -> None:
    """Offer the function, and the method, called `name` under PyTorch's other names for it, too."""
    for other in others:
        ALIASES[other] = name
        OFFERED[other] = OFFERED[name]
        if name in vars(Tensor):
            setattr(Tensor, other, vars(Tensor)[name])


def in_place(f: _F) -> _F:
    """Let the method `f` have a form with an underscore, which changes its Tensor; `inplace` makes it."""
    IN_PLACE.append(f.__name__)
    return f


def require_tensors(function: str, **arguments: Any) -> None:
    """Raise TypeError, which names the argument, where one is no Tensor."""
    for argument, given in arguments.items():
        if not isinstance(given, Tensor):
            raise no_tensor(function, argument, given)


def without_derivative(function: str, out: Any) -> Any:
    """Return the result of a function of which PyTorch has no derivative: backward through it raises
    RuntimeError."""

    def refuse(gradient: Tensor) -> NoReturn:
        raise RuntimeError(f"derivative for aten::{function} is not implemented: detach() its result")

    if isinstance(out, Tensor) and out.edge is not None:
        out.register_hook(refuse)
    return out
