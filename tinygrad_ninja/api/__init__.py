"""The functions of the package and the methods of Tensor, under PyTorch's names and with its arguments.

Each is written once, brings its arguments into a regular form, and calls the table of operations.
`register.method` makes a function also a method; `OFFERED` is what `tinygrad_ninja` exports.
"""

from ..engine.tensor import Tensor
from . import (
    arithmetic,
    bounds,
    closeness,
    combining,
    converting,
    creation,
    cumulative,
    distances,
    einstein,
    elementary,
    extremes,
    joining,
    layout,
    matrices,
    matrix_products,
    new_tensors,
    numeric_types,
    ranges,
    readout,
    rearranging,
    reshaping,
    scattering,
    selection,
    sets,
    shared_memory,
    sorting,
    statistics,
    sums,
)
from .missing import mark_missing
from .register import OFFERED

# isort: split
from . import inplace, inplace_views, printing  # the first derives in-place methods from those above

__all__ = [
    "OFFERED",
    "arithmetic",
    "bounds",
    "closeness",
    "combining",
    "converting",
    "creation",
    "cumulative",
    "distances",
    "einstein",
    "elementary",
    "extremes",
    "inplace",
    "inplace_views",
    "joining",
    "layout",
    "matrices",
    "matrix_products",
    "new_tensors",
    "numeric_types",
    "printing",
    "ranges",
    "readout",
    "rearranging",
    "reshaping",
    "scattering",
    "selection",
    "sets",
    "shared_memory",
    "sorting",
    "statistics",
    "sums",
]

mark_missing(Tensor)
