"""Changes in place: `x.add_(y)`, `x += y` and so on, each the operation of that name written into x's
memory."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import ndarray

from ..dtypes import float64
from ..grad_mode import is_grad_enabled
from ..kinds.memory import overlap_in_part
from ..kinds.numpy_kind import FLOATS
from ..tensors import Tensor
from .creation import tensor
from .indexing import EVERYWHERE, assign
from .operands import as_element
from .register import method_only

_NAMES = (
    "add", "sub", "mul", "div", "pow", "neg", "exp", "log", "sqrt", "tanh", "relu", "sigmoid", "abs", "clamp",
    "square", "masked_fill", "index_add", "tril", "triu", "floor", "reciprocal", "rsqrt", "floor_divide",
    "remainder", "bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not", "sin", "cos", "erf", "sign",
    "trunc", "clip",
)  # fmt: skip


def _in_place(name: str) -> Callable[..., Tensor]:
    f = getattr(Tensor, name)

    def call(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        operands = (*args, *kwargs.values())
        return self.change(lambda before: f(before, *args, **kwargs), operands, alike=name == "masked_fill")

    call.__name__ = call.__qualname__ = f"{name}_"
    call.__doc__ = f"`{name}`, written into this Tensor's memory; see `Tensor.change` for the errors."
    return method_only(call)


for _name in _NAMES:
    _in_place(_name)


def _operator(plain: str, name: str) -> None:
    """`x += y`. Where nothing is recorded, as in an optimizer's step, the array's own operator does it."""
    change = getattr(Tensor, name)
    on_arrays = getattr(operator, f"i{plain}")

    def call(self: Tensor, other: Any) -> Any:
        if type(other) is Tensor or isinstance(other, Tensor):
            mine, theirs = self.array, other.array
            if (
                type(mine) is ndarray
                and type(theirs) is ndarray
                and (dtype := mine.dtype) is theirs.dtype
                and dtype in FLOATS
                and (mine.base is None or mine.flags.forc)  # no two of its elements are one memory cell
                and not ((self.edge or other.edge) and is_grad_enabled())
                and (mine.base is None is theirs.base or not overlap_in_part(mine, theirs))
            ):
                try:
                    on_arrays(mine, theirs)
                except ValueError:  # the shapes differ, of which `change` says more
                    return change(self, other)
                self._note_change()
                return self
        elif not isinstance(other, (int, float, np.ndarray, np.generic)):
            return NotImplemented
        return change(self, other)

    setattr(Tensor, f"__i{plain}__", call)


for _plain, _name in {
    "add": "add_", "sub": "sub_", "mul": "mul_", "truediv": "div_", "pow": "pow_",
    "floordiv": "floor_divide_",
    "mod": "remainder_", "and": "bitwise_and_", "or": "bitwise_or_", "xor": "bitwise_xor_",
}.items():  # fmt: skip
    _operator(_plain, _name)


@method_only
def copy_(self: Tensor, src: Any) -> Tensor:
    """The elements of `src`, broadcast and in this Tensor's dtype, written into its memory."""
    if not isinstance(src, (Tensor, int, float)):
        raise TypeError(f"copy_(): argument 'src' must be a Tensor or a number, not {type(src).__name__}")
    if not isinstance(src, Tensor):  # cast like any other, where `fill_` refuses a number beyond the dtype
        src = tensor(src, dtype=float64 if isinstance(src, float) else None, device=self.device)
    return assign(self, src, EVERYWHERE, tuple(self.shape))


@method_only
def fill_(self: Tensor, value: Any) -> Tensor:
    """`value`, a number or a 0-d Tensor, in every element."""
    if isinstance(value, Tensor) and value.ndim:
        raise RuntimeError(
            f"fill_ only supports a 0-dimensional value tensor, not one of {value.ndim} dimensions"
        )
    return assign(self, as_element(value, self), EVERYWHERE, tuple(self.shape), alike=True)


@method_only
def zero_(self: Tensor) -> Tensor:
    """0 in every element."""
    return fill_(self, 0)
