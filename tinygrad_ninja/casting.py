"""Which operations compute in which precision while `autocast` is on, and the casts that this takes.

The lists are those of PyTorch for the operations that there are here. An operation is replaced by one that
casts first while some thread is within an autocast, and only then: without one it costs nothing. What PyTorch
lists and is made of several operations here says so itself, by `cast`.

Source: the "Autocast Op Reference" of PyTorch's `amp` page.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock, get_ident
from typing import Any

from . import dtypes
from .ops import TABLE
from .tensors import Tensor

casting: dict[int, dict[str, dtypes.dtype]] = {}
"""The threads within an autocast: the half precision of each device. Empty nearly always."""

HALF = frozenset(("matmul", "linear"))
FLOAT32 = {
    "torch": frozenset(("prod", "cross_entropy", "nll_loss", "mse_loss")),
    "cuda": frozenset((
        "cross_entropy", "cumsum", "exp", "layer_norm", "log", "log_softmax", "logsumexp", "mse_loss",
        "nll_loss", "norm", "pow", "prod", "rdiv", "reciprocal", "softmax", "sum",
    )),
}  # fmt: skip
FLOAT32["cpu"] = FLOAT32["torch"]

_replaced: dict[str, Callable[..., Any]] = {}  # what the operations call otherwise
_lock = Lock()


def cast(name: str, *args: Any) -> tuple[Any, ...]:
    """The arguments of a function in the precision that this thread's autocast has for it: Tensors of a
    floating point dtype other than float64 are cast, by a recorded operation, on the devices that it is
    for."""
    halves = casting.get(get_ident())
    if halves is None:
        return args
    return tuple(_in_precision(name, each, halves) if isinstance(each, Tensor) else each for each in args)


def _in_precision(name: str, x: Tensor, halves: dict[str, dtypes.dtype]) -> Tensor:
    d, device = x.dtype, x.device.type
    if device not in halves or not d.is_floating_point or d is dtypes.float64:
        return x
    wanted = halves[device] if name in HALF else dtypes.float32 if name in FLOAT32[device] else d
    return x if wanted is d else x.to(wanted)


def say(halves: dict[str, dtypes.dtype]) -> dict[str, dtypes.dtype]:
    """Let this thread cast so from here on; what it did before."""
    with _lock:
        before = casting.pop(get_ident(), {})
        if halves:
            casting[get_ident()] = halves
        if casting and not _replaced:
            for name in HALF.union(*FLOAT32.values()) | {"div"}:
                if name in TABLE:
                    _replaced[name] = TABLE[name].call
                    _replace(name, _casting(name, TABLE[name].call))
        elif _replaced and not casting:
            for name, plain in _replaced.items():
                _replace(name, plain)
            _replaced.clear()
    return before


def _replace(name: str, call: Callable[..., Any]) -> None:
    """Let the operation do this, also as a method of Tensor."""
    plain = TABLE[name].call
    for attribute, value in list(vars(Tensor).items()):
        if value is plain:
            setattr(Tensor, attribute, call)
    TABLE[name].call = call


def _casting(name: str, plain: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        if name == "div":  # a number over a Tensor is its reciprocal
            return plain(*args) if isinstance(args[0], Tensor) else plain(*cast("rdiv", *args))
        return plain(*cast(name, *args))

    return call
