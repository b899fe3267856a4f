"""The table of operations, one family a file; see `table` for what an entry is."""

from . import elementwise, indexing, linalg, losses, reduction, shape
from .facts import C, Category
from .table import TABLE, Operation, operation

__all__ = [
    "TABLE",
    "C",
    "Category",
    "Operation",
    "elementwise",
    "indexing",
    "linalg",
    "losses",
    "operation",
    "reduction",
    "shape",
]
