"""The check that Tensors are on one device."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays.dispatch import check_device
from .tensor import Tensor


def same_device(name: str, *values: Any) -> None:
    """Raise RuntimeError, which names the first two, unless all Tensors among `values` are on one device.

    It is for the operations that take several Tensors and do not align them as `add` does; `name` is the
    operation's.
    """
    arrays = [value.array for value in values if isinstance(value, Tensor)]
    if {type(array) for array in arrays} == {np.ndarray}:
        return
    check_device(name, arrays)
