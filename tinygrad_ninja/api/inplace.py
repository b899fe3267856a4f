"""Changes in place: `x.add_(y)`, `x += y` and so on, each the operation of that name written into x's
memory."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import ndarray

from ..arrays.dtypes import float64
from ..arrays.numpy_functions import remainder
from ..arrays.numpy_memory import FLOATS, overlap_in_part
from ..engine.grad_mode import is_grad_enabled
from ..engine.inference import marked
from ..engine.tensor import Tensor
from ..ops import TABLE, Operation, comparison, hyperbolic, rounding
from ..ops import elementwise as ops
from .arithmetic import masked_fill
from .creation import tensor
from .forms import ALIASES, IN_PLACE, without_derivative
from .operands import as_element
from .register import OFFERED, method, method_only
from .selection import EVERYWHERE, assign

_NOT_DERIVED = {entry.name for entry in (hyperbolic.acosh, hyperbolic.asinh, hyperbolic.atanh)}
"""The operations of whose changes in place PyTorch has no derivative."""


def _in_place(name: str) -> Callable[..., Tensor]:
    f = compute = getattr(Tensor, name)
    alike = f is masked_fill
    if name in _NOT_DERIVED:

        def compute(before: Tensor) -> Any:
            return without_derivative(f"{name}_", f(before))

    def call(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        operands = (*args, *kwargs.values())
        return self.change(lambda before: compute(before, *args, **kwargs), operands, alike=alike)

    call.__name__ = call.__qualname__ = f"{name}_"
    call.__doc__ = f"Write `{name}` into this Tensor's memory and return it; errors as for `Tensor.change`."
    return method_only(call)


for _name in (*(entry.name for entry in TABLE.values() if entry.in_place), *IN_PLACE):
    _in_place(_name)

for _name, _original in ALIASES.items():
    if f"{_original}_" in vars(Tensor):
        setattr(Tensor, f"{_name}_", vars(Tensor)[f"{_original}_"])


for _name in """
abs_ acos_ acosh_ addmv_ arccos_ arccosh_ arcsin_ arcsinh_ arctan_ arctanh_ asin_ asinh_ atan_ atanh_ ceil_
clamp_ clip_ cos_ cosh_ detach_ erf_ exp2_ exp_ expm1_ fix_ floor_ frac_ index_put_ log10_ log1p_ log2_ log_
nan_to_num_ neg_ negative_ reciprocal_ relu_ round_ rsqrt_ sigmoid_ sin_ sinh_ sqrt_ square_ tan_ tanh_ trunc_
xlogy_
""".split():  # noqa: SIM905 - those which PyTorch has as functions, too
    OFFERED[_name] = vars(Tensor)[_name]


def _remainder(mine: ndarray[Any, Any], theirs: ndarray[Any, Any]) -> None:
    mine[...] = remainder(mine, theirs)  # whose zeros have another sign than those of NumPy's %=


def _operator(dunder: str, entry: Operation) -> None:
    """Define `x += y` and its like; the array's own operator computes it where nothing is recorded, as in an
    optimizer's step."""
    change = getattr(Tensor, f"{entry.name}_")
    on_arrays = _remainder if entry is rounding.remainder else getattr(operator, dunder)

    def call(self: Tensor, other: Any) -> Any:
        if type(other) is Tensor or isinstance(other, Tensor):
            mine, theirs = self.array, other.array
            if (
                type(mine) is ndarray
                and type(theirs) is ndarray
                and (dtype := mine.dtype) is theirs.dtype
                and dtype in FLOATS
                and not marked
                and (mine.base is None or mine.flags.forc)  # no two of its elements share memory
                and not ((self.edge or other.edge) and is_grad_enabled())
                and (mine.base is None is theirs.base or not overlap_in_part(mine, theirs))
            ):
                try:
                    on_arrays(mine, theirs)
                except ValueError:  # the shapes differ; `change` raises the better message
                    return change(self, other)
                self._note_change()
                return self
        elif not isinstance(other, (int, float, np.generic)):
            return NotImplemented
        return change(self, other)

    setattr(Tensor, dunder, call)


for _dunder, _entry in {
    "__iadd__": ops.add, "__isub__": ops.sub, "__imul__": ops.mul, "__itruediv__": ops.div,
    "__ipow__": ops.pow, "__ifloordiv__": rounding.floor_divide, "__imod__": rounding.remainder,
    "__iand__": comparison.bitwise_and, "__ior__": comparison.bitwise_or, "__ixor__": comparison.bitwise_xor,
}.items():  # fmt: skip
    _operator(_dunder, _entry)


@method_only
def copy_(self: Tensor, src: Any) -> Tensor:
    """Write the elements of `src`, broadcast and in this Tensor's dtype, into its memory, and return it.

    Raises TypeError for anything but a Tensor or a number, and the errors of `Tensor.change`.
    """
    if not isinstance(src, (Tensor, int, float)):
        raise TypeError(f"copy_(): argument 'src' must be a Tensor or a number, not {type(src).__name__}")
    if not isinstance(src, Tensor):  # cast like any Tensor, while `fill_` refuses a number beyond the dtype
        src = tensor(src, dtype=float64 if isinstance(src, float) else None, device=self.device)
    return assign(self, src, EVERYWHERE, tuple(self.shape))


@method
def fill_(self: Tensor, value: Any) -> Tensor:
    """Write `value`, a number or a 0-dimensional Tensor, into every element, and return self.

    Raises RuntimeError for a Tensor with dimensions, and the errors of `Tensor.change`.
    """
    if isinstance(value, Tensor) and value.ndim:
        raise RuntimeError(
            f"fill_ only supports a 0-dimensional value tensor, not one of {value.ndim} dimensions"
        )
    return assign(self, as_element(value, self), EVERYWHERE, tuple(self.shape), alike=True)


@method
def zero_(self: Tensor) -> Tensor:
    """Write 0 into every element, and return self; errors as for `Tensor.change`."""
    return fill_(self, 0)
