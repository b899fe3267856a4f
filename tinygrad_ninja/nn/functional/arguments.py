"""Checks of the arguments of layer functions: that they are Tensors, and of one dtype."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from ...api.register import no_tensor
from ...engine.grad_mode import is_grad_enabled
from ...engine.tensor import Tensor

_F = TypeVar("_F", bound=Callable[..., Any])


def takes_tensors(f: _F) -> _F:
    """Return `f` with a TypeError that names an argument which should be a Tensor and is not.

    It is raised only where `f` fails and such an argument, by its annotation, is something else, such as a
    list or a NumPy array. Calls that succeed are not checked.
    """

    names = tuple(inspect.signature(f).parameters)
    types = {"Tensor": Tensor, "Tensor | None": (Tensor, type(None))}
    expected: dict[str, Any] = {
        name: types[hint] for name, hint in f.__annotations__.items() if hint in types
    }

    @functools.wraps(f)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return f(*args, **kwargs)
        except (AttributeError, RuntimeError, TypeError):
            for name, argument in [*zip(names, args, strict=False), *kwargs.items()]:
                if not isinstance(argument, expected.get(name, object)):
                    raise no_tensor(f.__name__, name, argument) from None
            raise

    return call  # type: ignore[return-value]


def check_floating(name: str, input: Tensor, *others: Tensor | None) -> None:
    """Raise NotImplementedError unless the input has a floating point dtype, RuntimeError unless the others
    that are given have the same dtype."""
    if not input.dtype.is_floating_point:
        raise NotImplementedError(
            f"{name} is not implemented for {input.dtype}: give it floating point numbers"
        )
    for other in others:
        if other is not None and other.dtype is not input.dtype:
            raise RuntimeError(
                f"{name}: mixed dtype: all inputs must share same datatype, not {input.dtype}, {other.dtype}"
            )


def without_gradient(name: str, **constants: Tensor | None) -> None:
    """Raise RuntimeError where one of the arguments, which are constants to the function of this name,
    requires a gradient while operations are recorded."""
    for argument, x in constants.items():
        if x is not None and x.requires_grad and is_grad_enabled():
            raise RuntimeError(
                f"{name} is not differentiable with respect to {argument}: pass {argument}.detach()"
            )
