"""Where a function becomes part of the package, and a method of Tensor."""

from __future__ import annotations

import functools
import inspect
import math
import operator
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from .. import dtypes
from ..tensors import Tensor

_F = TypeVar("_F", bound=Callable[..., Any])

OFFERED: dict[str, Any] = {}
"""What the package exports, by name."""


def function(f: _F) -> _F:
    """Export `f` from the package under its own name. Called so, it takes nothing but a Tensor for a first
    parameter that is annotated as one."""
    first = next(iter(inspect.signature(f).parameters), "")
    told = hasattr(f, "__wrapped__")  # by `numpy_names`
    OFFERED[f.__name__] = f if told or f.__annotations__.get(first) != "Tensor" else _refusing(f, first)
    return f


def _refusing(f: Callable[..., Any], first: str) -> Callable[..., Any]:
    @functools.wraps(f)
    def call(*args: Any, **kwargs: Any) -> Any:
        given = args[0] if args else kwargs.get(first)
        if not isinstance(given, Tensor):
            raise no_tensor(f.__name__, first, given)
        return f(*args, **kwargs)

    return call


def method(f: _F) -> _F:
    """Export `f`, and make it a method of Tensor too: its first argument is the Tensor."""
    setattr(Tensor, f.__name__, f)
    return function(f)


def method_only(f: _F) -> _F:
    """Make `f` a method of Tensor under its own name."""
    setattr(Tensor, f.__name__, f)
    return f


_NOT_GIVEN: Any = object()


def numpy_names(f: _F) -> _F:
    """Let `f` also be called with NumPy's `axis=` and `keepdims=` for `dim=` and `keepdim=`, as PyTorch
    does."""
    # Generated with the parameters of `f`, as dataclasses generate theirs: to take *args and **kwargs and to
    # pass them on costs as much as a small sum.
    names: dict[str, Any] = {"f": f, "NOT_GIVEN": _NOT_GIVEN, "choose": _choose, "refuse": _refuse_input}
    by_place: list[str] = []
    by_name: list[str] = ["*"]
    handed: list[str] = []
    body: list[str] = []
    for each in inspect.signature(f).parameters.values():
        name, only_by_name = each.name, each.kind is each.KEYWORD_ONLY
        theirs = {"dim": "axis", "keepdim": "keepdims"}.get(name)
        names[f"default_{name}"] = _NOT_GIVEN if theirs and each.default is each.empty else each.default
        taken = name if name == "input" else f"{name}=default_{name}"
        (by_name if only_by_name else by_place).append(taken)
        handed.append(f"{name}={name}" if only_by_name else name)
        if theirs:
            by_name.append(f"{theirs}=NOT_GIVEN")
            body.append(f"if {theirs} is not NOT_GIVEN:")
            body.append(f"    {name} = choose(f, {name!r}, {name} is default_{name}, {theirs!r}, {theirs})")
    body += ["try:", f"    return f({', '.join(handed)})", "except AttributeError:"]
    body += ["    refuse(f, input)", "    raise"]
    text = "\n    ".join([f"def wrapper({', '.join(by_place + by_name)}):", *body])
    exec(compile(text, __file__, "exec"), names)  # under this name `anomaly` knows it for the engine's
    wrapper: Any = functools.wraps(f)(names["wrapper"])
    return wrapper


def _choose(f: Callable[..., Any], ours: str, free: bool, theirs: str, given: Any) -> Any:
    """What was given as `theirs`; TypeError where `ours` was given too."""
    if not free:
        raise TypeError(f"{f.__name__}() got both {ours!r} and {theirs!r}, which are the same")
    return given


def _refuse_input(f: Callable[..., Any], input: Any) -> None:
    if not isinstance(input, Tensor):
        raise no_tensor(f.__name__, "input", input) from None


def no_tensor(function: str, argument: str, given: Any) -> TypeError:
    """What a function says of an argument that should be a Tensor and is none."""
    return TypeError(f"{function}(): argument {argument!r} must be Tensor, not {type(given).__name__}")


def as_tensor_operand(x: Any, like: Tensor) -> Tensor:
    """`x` as a Tensor; a Python number as a 0-dimensional one, on the device of `like` and of the dtype that
    it would have in an operation with it."""
    if isinstance(x, Tensor):
        return x
    from .creation import tensor

    return tensor(
        x, dtype=dtypes.result_dtype([like.dtype], [], [dtypes.scalar_dtype(x)]), device=like.device
    )


def check_fits(value: Any, d: dtypes.dtype) -> None:
    """RuntimeError where the Python number is beyond what `d` holds. As in PyTorch, all is true or false, an
    infinity is a float, and a negative integer wraps around in an unsigned one."""
    if d is dtypes.bool:
        return
    if d.is_floating_point:
        fits = not math.isfinite(value) or abs(value) <= np.finfo(d.carrier).max
    else:
        held = np.iinfo(d.carrier)
        lowest = -held.max if not held.min and isinstance(value, int) else held.min
        fits = lowest <= value <= held.max
    if not fits:
        raise RuntimeError(f"value cannot be converted to type {d.name} without overflow: {value}")


def as_element(x: Any, of: Tensor) -> Tensor:
    """`x` as a Tensor that can be written into `of`; a Python number as a 0-dimensional one of its dtype.

    RuntimeError where that dtype does not reach so far.
    """
    if isinstance(x, Tensor):
        return x
    from .creation import full

    return full((), x, dtype=of.dtype, device=of.device)


def dimension(dim: Any, ndim: int) -> int:
    """`dim` counted from the front; IndexError where there is no such dimension. A 0-d tensor counts as
    1-d."""
    if type(dim) is int and 0 <= dim < ndim:
        return dim
    if not isinstance(dim, int):
        raise TypeError(f"dim must be an int, not {type(dim).__name__}")
    n = ndim or 1
    if not -n <= dim < n:
        raise IndexError(
            f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {dim})"
        )
    return dim % n


def dimensions(dim: Any, ndim: int) -> tuple[int, ...] | None:
    """`dim`, an int or several, counted from the front; None, and an empty tuple, for all of them.

    IndexError where there is no such dimension, RuntimeError where one is named twice.
    """
    return (dim % ndim,) if type(dim) is int and -ndim <= dim < ndim else _dimensions(dim, ndim)


# Apart, as `kinds._sum_to` is.
def _dimensions(dim: Any, ndim: int) -> tuple[int, ...] | None:
    if dim is None or (isinstance(dim, (tuple, list)) and not dim):
        return None
    dims = tuple(dimension(each, ndim) for each in (dim if isinstance(dim, (tuple, list)) else [dim]))
    if len(set(dims)) != len(dims):
        raise RuntimeError(f"dim {dim} appears multiple times in the list of dims")
    return dims if ndim else None


def sizes(args: tuple[Any, ...]) -> tuple[int, ...]:
    """A shape given as several ints or as one tuple, list or Size."""
    if len(args) == 1 and isinstance(args[0], (tuple, list)):
        args = tuple(args[0])
    for each in args:
        if type(each) is not int:
            return tuple([_size(each) for each in args])
    return args


def _size(each: Any) -> int:
    try:
        return operator.index(each)
    except TypeError:
        raise TypeError(f"a size must be an int, not {type(each).__name__} ({each!r})") from None
