"""What the functions of layers say of an argument that is no Tensor, or one of another dtype."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from ...functions.register import no_tensor
from ...tensors import Tensor

_F = TypeVar("_F", bound=Callable[..., Any])


def takes_tensors(f: _F) -> _F:
    """Let `f` raise TypeError, which names the argument, where it fails of one that its hints call a Tensor
    and that is something else, such as a list or a NumPy array. Nothing is looked at while all goes well."""

    names = tuple(inspect.signature(f).parameters)
    kinds = {"Tensor": Tensor, "Tensor | None": (Tensor, type(None))}
    wanted: dict[str, Any] = {name: kinds[hint] for name, hint in f.__annotations__.items() if hint in kinds}

    @functools.wraps(f)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return f(*args, **kwargs)
        except (AttributeError, RuntimeError, TypeError):
            for name, given in [*zip(names, args, strict=False), *kwargs.items()]:
                if not isinstance(given, wanted.get(name, object)):
                    raise no_tensor(f.__name__, name, given) from None
            raise

    return call  # type: ignore[return-value]


def check_floating(name: str, input: Tensor, *others: Tensor | None) -> None:
    """Raise NotImplementedError unless the input is of floating point numbers, RuntimeError unless those of
    the others that are given are of the same dtype."""
    if not input.dtype.is_floating_point:
        raise NotImplementedError(
            f"{name} is not implemented for {input.dtype}: give it floating point numbers"
        )
    for each in others:
        if each is not None and each.dtype is not input.dtype:
            raise RuntimeError(
                f"{name}: mixed dtype: all inputs must share same datatype, not {input.dtype}, {each.dtype}"
            )
