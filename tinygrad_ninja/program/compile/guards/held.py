"""Where the reader's code holds numbers and Tensors that are left to the caller: a step reads them anew, and
may set them."""

from __future__ import annotations

import types
from collections import Counter, OrderedDict, defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np

from ....engine.tensor import Tensor
from .owners import is_a, is_ours

READ_ANEW = (float, int, np.float64)
"""The types of the numbers that a step may read anew at every call."""
_NUMBERS = (*READ_ANEW, bool)
_HOLDERS = (dict, list, OrderedDict, defaultdict, Counter, types.CellType)
"""Those of what holds them: an object by its `__dict__`, a module by its globals."""


@dataclass(frozen=True, eq=False)
class Entry:
    """A place in which a number or a Tensor may be held: under a key of a dict, in a list, or in a variable
    of a closure."""

    holder: Any
    key: Any = None

    def __hash__(self) -> int:
        return hash((id(self.holder), self.key))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Entry) and self.holder is other.holder and self.key == other.key

    @property
    def is_cell(self) -> bool:
        """Return whether it is a variable of a closure."""
        return type(self.holder) is types.CellType

    def read(self) -> Any:
        """Return what is held. Raise what Python does where nothing is."""
        if self.is_cell:
            return self.holder.cell_contents
        # A defaultdict would add what is not there.
        if isinstance(self.holder, dict) and self.key not in self.holder:
            raise KeyError(self.key)
        return self.holder[self.key]

    def write(self, x: Any) -> None:
        """Hold something else."""
        if self.is_cell:
            self.holder.cell_contents = x
        else:
            self.holder[self.key] = x

    def held(self) -> Any:
        """Return what is held; None where nothing is."""
        try:
            return self.read()
        except (LookupError, ValueError):
            return None

    def number(self) -> Any:
        """Return the number, or the tuple of numbers, that is held; None for all else."""
        held = self._held_as_usual()
        return held if numbers_of(held) else None

    def tensor(self) -> Tensor | None:
        """Return the Tensor of this package's that is held; None for all else."""
        held = self._held_as_usual()
        return held if is_our_tensor(held) else None

    def _held_as_usual(self) -> Any:
        """Return what is held in a holder that no code of the reader's stands behind; else None."""
        return self.held() if type(self.holder) in _HOLDERS else None

    def holds_other(self, tensor: Tensor) -> bool:
        """Return whether another Tensor is held."""
        held = self.tensor()
        return held is not None and held is not tensor


def is_our_tensor(x: Any) -> bool:
    """Return whether it is a Tensor of a class of this package's."""
    return is_a(x, Tensor) and is_ours(type(x))


def numbers_of(x: Any) -> dict[int, Any]:
    """Return a number or a bool, under -1, or the numbers of a tuple by their places; of all else nothing."""
    numbers = dict(enumerate(x)) if type(x) is tuple else {-1: x}
    return numbers if all(type(number) in _NUMBERS for number in numbers.values()) else {}
