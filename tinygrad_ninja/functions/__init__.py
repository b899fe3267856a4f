"""The functions of the package and the methods of Tensor, under PyTorch's names and with its arguments.

Each is written once, brings its arguments into a regular form, and calls the table of operations.
`register.method` makes a function also a method; `OFFERED` is what `tinygrad_ninja` exports.
"""

from ..missing import mark_missing
from ..ops import apply  # noqa: F401 - the entries can be called from here on
from ..tensors import Tensor
from . import creation, elementwise, extremes, indexing, layout, readout, reduction, shape, statistics
from .register import OFFERED

# isort: split
from .. import printing  # noqa: F401 - it is a method, too
from . import inplace  # it derives in-place methods from those above

__all__ = [
    "OFFERED", "creation", "elementwise", "extremes", "indexing", "inplace", "layout", "readout", "reduction",
    "shape", "statistics",
]  # fmt: skip

mark_missing(Tensor)
