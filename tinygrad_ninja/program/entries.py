"""Operations of the compiler's own, which no Tensor needs, and what it knows of some of the table."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import ops
from ..ops import C, Category, Operation


def words_below(words: Any, /, low: int, span: int) -> Any:
    """out = low + words modulo span: how a Generator makes integers of 32-bit words."""
    return (words % span).view(np.int64) + low


def first_equal(xp: Any, x: Any, best: Any, /, axis: int | None, keepdims: bool) -> Any:
    """out = where along axis the first stands that equals `best`, or is NaN."""
    return xp.argmax((x == best) | (x != x), axis, keepdims)


WORDS_BELOW = Operation(
    words_below,
    {},
    category=Category.ELEMENTWISE,
    c=C("((int64_t)((uint32_t){words} % {span}u) + {low})"),
)
FIRST_EQUAL = Operation(first_equal, {}, category=Category.REDUCTION, folds=ops.comparison.minimum)

RESHAPES = (ops.shape.reshape, ops.shape.unsqueeze, ops.shape.squeeze)
"""The same elements in the same order, in another shape."""
