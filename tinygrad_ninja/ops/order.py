"""The order of numbers."""

from __future__ import annotations

from typing import Any

from .facts import Category
from .operation import operation


@operation(
    category=Category.ORDER,
    contiguous=True,
    in_torch="torch.argsort({x}, dim={axis}, stable=True)",
    in_numpy="np.argsort({x}, {axis}, kind='stable')",
)
def argsort(xp: Any, x: Any, /, axis: int) -> Any:
    """out = where the elements along axis stand, the smallest first, equals in their order, NaN last."""
    return xp.argsort(x, axis)
