"""The types of `Tensor.shape`, `Tensor.device` and of the argument `memory_format`."""

from __future__ import annotations

import math
import operator
from functools import partial
from threading import get_ident
from typing import Any

_item = tuple.__getitem__


class Size(tuple[int, ...]):
    """The shape of a Tensor: a tuple of its sizes, printed as PyTorch prints it. TypeError for others than
    ints."""

    __slots__ = ()

    def __new__(cls, sizes: Any = ()) -> Size:
        sizes = tuple(sizes)
        for place, size in enumerate(sizes):
            try:
                operator.index(size)
            except TypeError:
                raise TypeError(
                    f"torch.Size() takes an iterable of 'int' (item {place} is '{type(size).__name__}')"
                ) from None
        return size_of([operator.index(size) for size in sizes])

    def numel(self) -> int:
        """Return the number of elements of a Tensor of this shape."""
        return math.prod(self)

    def __getitem__(self, index: Any) -> Any:
        sizes = _item(self, index)
        return Size(sizes) if type(sizes) is tuple else sizes

    def __add__(self, other: tuple[int, ...]) -> Size:  # type: ignore[override]
        return Size((*self, *other)) if isinstance(other, tuple) else NotImplemented

    def __radd__(self, other: tuple[int, ...]) -> Size:
        return Size((*other, *self)) if isinstance(other, tuple) else NotImplemented

    def __mul__(self, times: Any) -> Size:
        return Size(super().__mul__(times))

    __rmul__ = __mul__

    def __repr__(self) -> str:
        return f"torch.Size({list(self)})"


size_of = partial(tuple.__new__, Size)
"""Return the Size of ints, as fast as can be."""


class device:  # noqa: N801 - PyTorch's name
    """The place of a Tensor's numbers: "cpu" (NumPy), "torch" (torch tensors on the CPU) or "cuda" (on a
    GPU).

    RuntimeError for any other name.
    """

    __slots__ = ("index", "type")

    def __init__(self, name: str | device, index: int | None = None) -> None:
        type, colon, number = str(name).partition(":")
        numbered = number.isdecimal() and str(int(number)) == number
        if type not in ("cpu", "torch", "cuda", "float") or (colon and not numbered):
            raise RuntimeError(f"device must be cpu, torch or cuda (as in cuda:0), not {str(name)!r}")
        self.type = type
        self.index = int(number) if number else index

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __repr__(self) -> str:
        return f"device(type={self.type!r}" + ("" if self.index is None else f", index={self.index}") + ")"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    def __enter__(self) -> device:
        """Let this thread make Tensors on the device, as `set_default_device` does, while the block lasts."""
        defaults[get_ident()] = (*defaults.get(get_ident(), ()), self)
        return self

    def __exit__(self, *exc: object) -> None:
        _restore(defaults[get_ident()][:-1])


defaults: dict[int, tuple[device | None, ...]] = {}
"""By thread, the devices on which it makes Tensors, the innermost last; a dict, since its lookups need no
lock."""


def set_default_device(device: Any) -> None:
    """Let this thread make Tensors on the device where none is named; None: on the cpu.

    What is made from the memory of others (`from_numpy`, `frombuffer`), or like another Tensor, is where that
    is. Raises RuntimeError for what is no device.
    """
    chosen = None if device is None else _device(device)
    _restore((*defaults.get(get_ident(), ())[:-1], chosen))


def get_default_device() -> device:
    """Return the device on which this thread makes Tensors where none is named."""
    return default_device() or device("cpu")


def default_device() -> device | None:
    """Return the device that was chosen as the default, None where none was."""
    return defaults[get_ident()][-1] if defaults and get_ident() in defaults else None


def _restore(stack: tuple[device | None, ...]) -> None:
    if any(stack):
        defaults[get_ident()] = stack
    else:
        defaults.pop(get_ident(), None)


_device = device  # under a name that no argument has


class memory_format:  # noqa: N801 - PyTorch's name
    """How the elements of a copy lie in memory: in their order (`contiguous_format`), or with the axes as in
    the original (`preserve_format`)."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> str:
        return self.name  # copies as the same object


contiguous_format = memory_format("contiguous_format")
preserve_format = memory_format("preserve_format")


def is_ordered(chosen: Any) -> bool:
    """Return whether a memory format asks for a copy in order. TypeError for what is none."""
    if not isinstance(chosen, memory_format):
        raise TypeError(f"argument 'memory_format' must be torch.memory_format, not {type(chosen).__name__}")
    return chosen is contiguous_format
