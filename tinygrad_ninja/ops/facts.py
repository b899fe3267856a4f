"""What is true of an operation, beside its rules: said once, on its entry, and asked by whoever serves it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from functools import cached_property
from string import Formatter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from .table import Operation


class Category(Enum):
    """How the elements of an operation's output come from those of its inputs."""

    COMPOSED = auto()
    """As those of the operations that its forward function calls."""
    ELEMENTWISE = auto()
    """Each is computed of the elements in the same place, the inputs broadcast against each other."""
    MASK = auto()
    """Each is the element in the same place, or 0, as the place says."""
    MOVEMENT = auto()
    """Each is an element of the input, of a place that is known without reading anything."""
    REDUCTION = auto()
    """Each is what many elements are folded to, along `axis`, a parameter."""
    SCAN = auto()
    """Each is what the elements up to its place are folded to."""
    GATHER = auto()
    """Each is an element of the input, of a place that is read from an index."""
    SCATTER = auto()
    """The elements of an input are written, or added, to places of zeros or of another input."""
    JOIN = auto()
    """Each is an element of one of any number of inputs that lie beside each other."""
    PRODUCT = auto()
    """Each is a sum of products of elements of two inputs."""


class Precision(Enum):
    """What autocast computes an operation in. Source: the "Autocast Op Reference" of PyTorch's `amp` page."""

    HALF = auto()
    """In half precision."""
    FLOAT32 = auto()
    """In float32."""
    FLOAT32_ON_CUDA = auto()
    """In float32 on a GPU, and elsewhere as it is."""


@dataclass(frozen=True)
class C:
    """The C expression of one element of an elementwise operation, in templates.

    In braces stands the name of an input, or of a parameter that is a number or an array. All inputs have
    been converted to one dtype; what takes their place needs no brackets, but may begin with a minus. {F} is
    "f" in float32 and nothing in float64, as in the names of C's own functions (`sin{F}`); {K} is "f", "d",
    or, of integers, "i", as in those of `prelude.h`; {T} is the C type, and {U} the unsigned one, in which
    integers wrap. The whole is in brackets where C may need them.

    text: for every dtype for which there is no other. floats, bools: for these. wraps: for signed integers of
    32 and 64 bits, whose overflow C leaves undefined.
    """

    text: str
    floats: str = ""
    bools: str = ""
    wraps: str = ""

    @property
    def texts(self) -> list[str]:
        """Return the templates."""
        return [text for text in (self.text, self.floats, self.bools, self.wraps) if text]

    @cached_property
    def repeats(self) -> bool:
        """Return whether some template names an operand more than once, so that it must not be an expression
        that is computed each time."""
        for text in self.texts:
            operands = [name for _, name, _, _ in Formatter().parse(text) if name and name not in "FKTU"]
            if len(set(operands)) < len(operands):
                return True
        return False


@dataclass(kw_only=True, eq=False)
class Facts:
    """The keywords of `@operation` that are no rules, and the attributes of an entry.

    broadcasts: the inputs are broadcast against each other, so each gradient is summed back to its shape.
    floating: integers become floating point numbers first.
    numeric: true and false are no numbers to it, and refused.
    view: the output may share the input's memory.
    contiguous: the output lies in order in memory, however the inputs do.
    keeps: PyTorch refuses a second backward through it, though the rules read no array. On an entry: whether
        the first backward frees its nodes; None where it depends on the node, of which `frees` then says it.
    autocast: what autocast computes it in, where that is not the precision of its inputs.
    torch_name: what PyTorch prints as the `grad_fn`, where that is not the name and "Backward0".

    category: how the elements of the output come from those of the inputs.
    commutative: the two inputs may change places, and no bit of the output changes.
    neutral: the number that leaves an operand as it is: the right one of two, and, of a commutative operation
        or of the larger and the smaller, the left one as well. (0 leaves -0 as 0.)
    predicate: the output is true or false (or 1 or 0), whatever the dtype of the inputs.
    whole: every element of the input is among those of the output.
    folds: the operation of two numbers by which a reduction makes one of many; it begins at its neutral one.
    cost: about how many simple instructions a processor takes for one element.
    c: what C computes for an element. None where it is computed as the forward function says, of other
        operations; what is neither elementwise nor composed of such has loops of its own in the compiler.
    ufunc: the function of NumPy's that computes the same on its arrays, and can write it into a given one.

    standard: the array API standard's name of it, by which a namespace `xp` has it, where that is another.
    operator: Python's sign for it.
    drawn: what a drawing writes into its node, where that is not the name.
    formula: the operator that formulas put before its operand, as LaTeX and as the text of MathML; under that
        of a reduction stand the dimensions.
    named: formulas write the operation by its name, and not what it is composed of.
    in_torch, in_numpy: the call that printed code has for it, where that is not the library's function of its
        name, or what its forward function is composed of. The names of inputs and parameters stand in braces,
        as in "torch.relu({x})".
    light: printed code rather computes it twice than gives it a name, as it does with arithmetic.
    side: of an operation with a kink the forward function of the side that its rule takes, of the same
        arguments: where a comparison decides, it stands as one.
    in_place: PyTorch has it with an underscore, too.
    """

    broadcasts: bool = False
    floating: bool = False
    numeric: bool = False
    view: bool = False
    contiguous: bool = False
    keeps: bool | None = False
    autocast: Precision | None = None
    torch_name: str = ""
    category: Category = Category.COMPOSED
    commutative: bool = False
    neutral: float | None = None
    predicate: bool = False
    whole: bool = False
    folds: Operation | None = None
    cost: int = 1
    c: C | None = None
    ufunc: np.ufunc | None = None
    standard: str = ""
    operator: str = ""
    drawn: str = ""
    formula: tuple[str, str] | None = None
    named: bool = False
    in_torch: str = ""
    in_numpy: str = ""
    light: bool = False
    side: Callable[..., Any] | None = None
    in_place: bool = False
