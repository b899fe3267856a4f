"""Which operations compute in which precision while `autocast` is on, and the casts that this takes.

The lists are those of PyTorch for the operations that there are here. What PyTorch lists and is made of
several operations here asks by its name for its arguments, as an operation does.

Source: the "Autocast Op Reference" of PyTorch's `amp` page.
"""

from __future__ import annotations

from typing import Any

from . import dtypes
from .hook import Observer, find, observe_alone
from .tensors import Tensor

HALF = frozenset(("matmul", "linear"))
FLOAT32 = {
    "torch": frozenset(("prod", "cross_entropy", "nll_loss", "mse_loss")),
    "cuda": frozenset((
        "cross_entropy", "cumsum", "exp", "layer_norm", "log", "log_softmax", "logsumexp", "mse_loss",
        "nll_loss", "norm", "pow", "prod", "rdiv", "reciprocal", "softmax", "sum",
    )),
}  # fmt: skip
FLOAT32["cpu"] = FLOAT32["torch"]


class Casting(Observer):
    """Casts the arguments of what is on the lists. halves: the half precision of each device."""

    def __init__(self, halves: dict[str, dtypes.dtype]) -> None:
        self.halves = halves

    def arguments(self, name: str, args: tuple[Any, ...]) -> tuple[Any, ...]:
        if name == "div" and not isinstance(args[0], Tensor):  # a number over a Tensor is its reciprocal
            cast = tuple(self._cast("rdiv", each) for each in args)
        else:
            cast = tuple(self._cast(name, each) for each in args)
        return super().arguments(name, cast)

    def _cast(self, name: str, x: Any) -> Any:
        """Return a Tensor in the precision that there is for the operation, cast by a recorded operation.

        Float64 stays, and so do integers, other devices, and what is no Tensor.
        """
        if not isinstance(x, Tensor):
            return x
        d, device = x.dtype, x.device.type
        if device not in self.halves or not d.is_floating_point or d is dtypes.float64:
            return x
        wanted = self.halves[device] if name in HALF else dtypes.float32 if name in FLOAT32[device] else d
        return x if wanted is d else x.to(wanted)


def halves() -> dict[str, dtypes.dtype]:
    """Return the half precision that this thread's autocast has for each device."""
    casting = find(Casting)
    return {} if casting is None else casting.halves


def set_halves(halves: dict[str, dtypes.dtype]) -> None:
    """Let this thread cast so from here on."""
    observe_alone(Casting, Casting(halves) if halves else None)
