"""The facts about an operation beside its rules: stated once, on its entry, and read by every backend."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from functools import cached_property
from string import Formatter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from .operation import Operation


class Category(Enum):
    """How the elements of an operation's output come from those of its inputs."""

    COMPOSED = auto()
    """In the way of the operations that its forward function calls."""
    ELEMENTWISE = auto()
    """Each is computed from the elements in the same place, with the inputs broadcast against each other."""
    MASK = auto()
    """Each is the element in the same place, or 0, depending on the place."""
    MOVEMENT = auto()
    """Each is an element of the input, at a place that is known without reading anything."""
    REDUCTION = auto()
    """Each is the result of folding many elements along the parameter `axis`."""
    SCAN = auto()
    """Each is the result of folding the elements up to its place."""
    GATHER = auto()
    """Each is an element of the input, at a place that is read from an index."""
    SCATTER = auto()
    """The elements of an input are written, or added, to places of zeros or of another input."""
    JOIN = auto()
    """Each is an element of one of any number of inputs that lie beside each other."""
    ORDER = auto()
    """Each is the place of an element of the input among those along the parameter `axis`."""
    PRODUCT = auto()
    """Each is a sum of products of elements of two inputs."""


class Precision(Enum):
    """The precision in which autocast computes an operation. Source: the "Autocast Op Reference" of PyTorch's
    `amp` page."""

    HALF = auto()
    """In half precision."""
    FLOAT32 = auto()
    """In float32."""
    FLOAT32_ON_CUDA = auto()
    """In float32 on a GPU, and elsewhere in the precision of its inputs."""


@dataclass(frozen=True)
class C:
    """The C expression of one element of an elementwise operation, in templates.

    The names in braces are those of inputs, or of parameters that are numbers or arrays. All inputs have been
    converted to one dtype; what takes their place needs no brackets, but may begin with a minus. {F} is "f"
    in float32 and nothing in float64, as in the names of C's own functions (`sin{F}`); {K} is "f", "d", or
    for integers "i", as in those of `prelude.h`; {T} is the C type, and {U} the unsigned one, in which
    integers wrap. The whole is in brackets where C may need them.

    text: for every dtype without a template of its own. floats, bools: for these. wraps: for signed integers
    of 32 and 64 bits, whose overflow C leaves undefined.
    """

    text: str
    floats: str = ""
    bools: str = ""
    wraps: str = ""

    @property
    def texts(self) -> list[str]:
        """Return the templates that are not empty."""
        return [text for text in (self.text, self.floats, self.bools, self.wraps) if text]

    @cached_property
    def repeats(self) -> bool:
        """Return whether some template names an operand more than once, so that it must not be an expression,
        which would be computed each time."""
        for text in self.texts:
            operands = [name for _, name, _, _ in Formatter().parse(text) if name and name not in "FKTU"]
            if len(set(operands)) < len(operands):
                return True
        return False


@dataclass(kw_only=True, eq=False)
class Facts:
    """The keywords of `@operation` other than the rules, which become attributes of the entry.

    broadcasts: the inputs are broadcast against each other, so each gradient is summed back to its shape.
    floating: integers become floating point numbers first.
    numeric: the operation refuses bool Tensors, which are not numbers to it.
    view: the output may share the input's memory.
    contiguous: the output lies in order in memory, however the inputs lie.
    keeps: PyTorch refuses a second backward through it, though the rules read no array. On an entry: whether
        the first backward frees its nodes; None where it depends on the node, for which `frees` decides.
    autocast: the precision in which autocast computes it, where that is not the precision of its inputs.
    torch_name: the name that PyTorch prints as the `grad_fn`, where that is not the name and "Backward0".

    category: how the elements of the output come from those of the inputs.
    commutative: the two inputs may be exchanged without a bit of the output changing.
    neutral: the number that, as the right operand, leaves the left one as it is; and for a commutative
        operation, maximum and minimum also the other way round. (-0 + 0 is 0.)
    predicate: the output is true or false (or 1 or 0), whatever the dtype of the inputs.
    whole: every element of the input is among those of the output.
    folds: the operation on two numbers by which a reduction makes one of many, beginning at its `neutral`.
    cost: about how many simple instructions a processor takes for one element.
    c: the C expression of an element. None where the forward function composes it of other operations; an
        operation that is neither elementwise nor composed of such has loops of its own in the compiler.
    ufunc: NumPy's function that computes the same on its arrays, and can write it into a given one.

    standard: the name in the array API standard, by which a namespace `xp` has it, where that differs.
    operator: Python's sign for it.
    drawn: the sign of its node in a drawing, where that is not to be its code.
    formula: the operator that formulas put before its operand, as LaTeX and as the text of MathML; a
        reduction has its dimensions below it.
    named: formulas write the operation by its name, and not by what it is composed of.
    in_torch, in_numpy: its call in printed code, where that is neither the library's function of its name
        nor what its forward function is composed of. The names of inputs and parameters stand in braces, as
        in "torch.relu({x})".
    light: printed code computes it twice rather than give it a name, as it does with arithmetic.
    side: for an operation with a kink, a forward function with the same arguments that computes the side
        that its rule takes, with every decision written as a comparison.
    in_place: PyTorch has a version with an underscore that changes its input, too.
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
