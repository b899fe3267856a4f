"""The casts of `autocast`: each operation's entry says which precision it computes in.

A function that PyTorch lists, and that consists of several operations here, asks for its arguments itself.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ..arrays import dtypes
from ..engine.hook import Observer, find, observe_alone
from ..engine.tensor import Tensor
from ..ops import Precision


class Casting(Observer):
    """Casts what an operation is applied to.

    halves: the half precision of each device; gpus: the devices on which more is computed in float32.
    """

    def __init__(self, halves: dict[str, dtypes.dtype], gpus: Collection[str] = ("cuda",)) -> None:
        self.halves, self.gpus = halves, gpus

    def arguments(self, precision: Precision | None, args: tuple[Any, ...]) -> tuple[Any, ...]:
        if precision is not None:
            args = tuple(self._cast(precision, x) if isinstance(x, Tensor) else x for x in args)
        return super().arguments(precision, args)

    def _cast(self, precision: Precision, x: Tensor) -> Tensor:
        """Return a Tensor in that precision, cast by a recorded operation. Float64 stays, and so do integers
        and what is on other devices."""
        dtype, device = x.dtype, x.device.type
        if device not in self.halves or not dtype.is_floating_point or dtype is dtypes.float64:
            return x
        if precision is Precision.HALF:
            wanted = self.halves[device]
        elif precision is Precision.FLOAT32 or device in self.gpus:
            wanted = dtypes.float32
        else:
            wanted = dtype
        return x if wanted is dtype else x.to(wanted)


def halves() -> dict[str, dtypes.dtype]:
    """Return the half precision that this thread's autocast has for each device."""
    casting = find(Casting)
    return {} if casting is None else casting.halves


def set_halves(halves: dict[str, dtypes.dtype]) -> None:
    """Let this thread cast so from here on."""
    observe_alone(Casting, Casting(halves) if halves else None)
