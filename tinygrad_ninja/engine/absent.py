"""The methods that PyTorch's Tensor has and this one lacks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NoReturn


class Absent:
    """Stands on Tensor in the place of a method that PyTorch has and this engine lacks; reading it raises.

    message: from the names that the class has, the message of the AttributeError. A `__getattr__` could raise
    it, too, but would slow down the reading of every other attribute.
    """

    def __init__(self, message: Callable[[Iterable[str]], str]) -> None:
        self.message = message

    def __get__(self, instance: object, owner: type) -> NoReturn:
        raise AttributeError(self.message(dir(owner)))


class Offering(type):
    """The type of Tensor: its `dir` does not list the names that are `Absent`."""

    def __dir__(cls) -> list[str]:
        absent = {
            name for base in cls.__mro__ for name, value in vars(base).items() if isinstance(value, Absent)
        }
        return [name for name in super().__dir__() if name not in absent]
