"""What `Tensor.shape` and `Tensor.device` give."""

from __future__ import annotations

import math
from typing import Any

_item = tuple.__getitem__


class Size(tuple[int, ...]):
    """The shape of a Tensor: a tuple of its sizes, printed as PyTorch prints it."""

    __slots__ = ()

    def numel(self) -> int:
        """How many elements a Tensor of this shape has."""
        return math.prod(self)

    def __getitem__(self, index: Any) -> Any:
        found = _item(self, index)
        return Size(found) if type(found) is tuple else found

    def __add__(self, other: tuple[int, ...]) -> Size:  # type: ignore[override]
        return Size((*self, *other))

    def __radd__(self, other: tuple[int, ...]) -> Size:
        return Size((*other, *self))

    def __mul__(self, times: Any) -> Size:
        return Size(super().__mul__(times))

    __rmul__ = __mul__

    def __repr__(self) -> str:
        return f"torch.Size({list(self)})"


class device:  # noqa: N801 - PyTorch's name
    """Where a Tensor's numbers are: "cpu" (NumPy), "torch" (torch tensors on the CPU) or "cuda" (on a
    GPU)."""

    __slots__ = ("index", "type")

    def __init__(self, name: str | device, index: int | None = None) -> None:
        kind, colon, number = str(name).partition(":")
        numbered = number.isdecimal() and str(int(number)) == number
        if kind not in ("cpu", "torch", "cuda", "float") or (colon and not numbered):
            raise RuntimeError(f"device must be cpu, torch or cuda (as in cuda:0), not {str(name)!r}")
        self.type = kind
        self.index = int(number) if number else index

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __repr__(self) -> str:
        return f"device(type={self.type!r}" + ("" if self.index is None else f", index={self.index}") + ")"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))
