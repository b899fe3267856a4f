"""Whether Tensors that meet are in the same place."""

from __future__ import annotations

from typing import Any

import numpy as np

from .kinds import check_device
from .tensors import Tensor


def same_device(name: str, *given: Any) -> None:
    """RuntimeError, which names the first two, unless all Tensors among `given` are on one device.

    For the operations that take several Tensors and do not align them as `add` does: `name` is such a one's.
    """
    arrays = [each.array for each in given if isinstance(each, Tensor)]
    if {type(each) for each in arrays} == {np.ndarray}:
        return
    check_device(name, arrays)
