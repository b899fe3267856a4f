"""Changes of a Tensor in place: what they do to its memory and its history."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..arrays.dispatch import namespace_of
from ..arrays.numpy_memory import overlap_in_part
from ..ops import elementwise
from .grad_mode import is_grad_enabled
from .inference import marked, refuse_outside
from .tensor import Tensor, wrap


def change(
    self: Tensor, compute: Callable[[Tensor], Tensor], operands: Iterable[Any] = (), alike: bool = False
) -> Tensor:
    """Write `compute(self)` into this Tensor's memory, and take its history over.

    operands: what it is computed of besides. alike: what several elements that share their memory are
        given is one number, so that they may be written to.
    RuntimeError where this is a leaf that requires a gradient (or a view of one) and the change would be
    recorded, where the result has another shape or a dtype of a higher category, or where an operand
    shows a part of the memory that is written to.
    """
    recording = is_grad_enabled()
    before = self
    mine = self.array
    if marked:
        refuse_outside(mine, "Inplace update to")
    if isinstance(mine, np.ndarray):
        if not alike:
            refuse_repeated(mine)
        for operand in operands:
            if isinstance(operand, Tensor) and isinstance(operand.array, np.ndarray):
                refuse_overlap(_overlap(mine, operand.array))
    if recording:
        self._refuse_change()
        before = wrap(namespace_of(self.array).copy(self.array))  # the rule may need what is now written over
        before.edge = self._history_before()
    result = compute(before)
    if result.shape != self.shape:
        raise RuntimeError(
            f"output with shape {list(self.shape)} doesn't match the broadcast shape {list(result.shape)}"
        )
    if result.dtype.category > self.dtype.category:
        raise RuntimeError(
            f"result type {result.dtype} can't be cast to the desired output type {self.dtype}"
        )
    if recording and result.edge is not None:
        if result.dtype is not self.dtype:
            result = elementwise.cast(result, self.array.dtype)
        self._refuse_history()
        self._write(result.array)
        self._rebase(result.edge)  # type: ignore[arg-type]  # a cast keeps the history
    else:
        self._write(result.array)
    return self


Tensor.change = change  # type: ignore[attr-defined]


def refuse_repeated(mine: Any) -> None:
    """Raise RuntimeError where several elements are one cell in memory, as `expand` makes them."""
    if not isinstance(mine, np.ndarray):
        return
    if mine.size and any(step == 0 and n > 1 for step, n in zip(mine.strides, mine.shape, strict=True)):
        raise RuntimeError(
            "unsupported operation: more than one element of the written-to tensor refers to a single memory "
            "location. Please clone() the tensor before performing the operation."
        )


def _overlap(mine: np.ndarray[Any, Any], theirs: np.ndarray[Any, Any]) -> bool:
    return (mine.base is not None or theirs.base is not None) and overlap_in_part(mine, theirs)


def refuse_overlap(overlap: bool) -> None:
    """Raise RuntimeError where what is written to shows memory that is read."""
    if overlap:
        raise RuntimeError(
            "unsupported operation: some elements of the input tensor and the written-to tensor refer to a "
            "single memory location. Please clone() the tensor before performing the operation."
        )
