"""The table of operations, one family a file; see `operation` for what an entry is."""

from . import (
    comparison,
    composed,
    elementwise,
    folding,
    hyperbolic,
    indexing,
    linalg,
    logarithms,
    losses,
    order,
    product,
    reduction,
    rounding,
    shape,
    trigonometry,
)
from .facts import C, Category, Precision
from .operation import TABLE, Operation, operation

__all__ = [
    "TABLE",
    "C",
    "Category",
    "Operation",
    "Precision",
    "comparison",
    "composed",
    "elementwise",
    "folding",
    "hyperbolic",
    "indexing",
    "linalg",
    "logarithms",
    "losses",
    "operation",
    "order",
    "product",
    "reduction",
    "rounding",
    "shape",
    "trigonometry",
]
