"""Where a function becomes part of the package, and a method of Tensor."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from ..engine.tensor import Tensor

_F = TypeVar("_F", bound=Callable[..., Any])

OFFERED: dict[str, Any] = {}
"""What the package exports, by name."""


def function(f: _F) -> _F:
    """Export `f` from the package under its own name. As a function it takes nothing but a Tensor for a first
    parameter that is annotated as one."""
    first = next(iter(inspect.signature(f).parameters), "")
    checked = hasattr(f, "__wrapped__") or f.__annotations__.get(first) != "Tensor"  # `numpy_names` does
    OFFERED[f.__name__] = f if checked else _refusing(f, first)
    return f


def _refusing(f: Callable[..., Any], first: str) -> Callable[..., Any]:
    @functools.wraps(f)
    def call(*args: Any, **kwargs: Any) -> Any:
        _require_tensor(f.__name__, first, args, kwargs)
        return f(*args, **kwargs)

    return call


def _require_tensor(function: str, first: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Raise TypeError where the first argument of a function is no Tensor."""
    given = args[0] if args else kwargs.get(first)
    if not isinstance(given, Tensor):
        raise no_tensor(function, first, given)


def method(f: _F) -> _F:
    """Export `f`, and make it a method of Tensor too: its first argument is the Tensor."""
    setattr(Tensor, f.__name__, f)
    return function(f)


def attribute(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Make `f` an attribute of Tensor under its own name, which is read only."""
    setattr(Tensor, f.__name__, property(f))
    return f


def method_only(f: _F) -> _F:
    """Make `f` a method of Tensor under its own name."""
    setattr(Tensor, f.__name__, f)
    return f


_NUMPY = {"axis": "dim", "keepdims": "keepdim"}
"""NumPy's names of arguments, and PyTorch's."""


def numpy_names(f: _F) -> _F:
    """Let `f` also be called with NumPy's `axis=` and `keepdims=` for `dim=` and `keepdim=`, as PyTorch
    does. TypeError where both are given, and where the first argument is no Tensor."""
    places = {name: place for place, name in enumerate(inspect.signature(f).parameters)}
    renamed = [(theirs, ours, places[ours]) for theirs, ours in _NUMPY.items() if ours in places]

    @functools.wraps(f)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        for theirs, ours, place in renamed:
            if theirs in kwargs:
                if ours in kwargs or len(args) > place:
                    raise TypeError(f"{f.__name__}() got both {ours!r} and {theirs!r}, which are the same")
                kwargs[ours] = kwargs.pop(theirs)
        _require_tensor(f.__name__, "input", args, kwargs)
        return f(*args, **kwargs)

    return wrapper  # type: ignore[return-value]


def no_tensor(function: str, argument: str, given: Any) -> TypeError:
    """Return the error of a function whose argument should be a Tensor and is none."""
    return TypeError(f"{function}(): argument {argument!r} must be Tensor, not {type(given).__name__}")
