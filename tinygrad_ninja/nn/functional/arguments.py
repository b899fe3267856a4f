"""What the functions of layers say of an argument that should be a Tensor and is none."""

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
