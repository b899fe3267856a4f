"""A Tensor as Python's numbers, as a NumPy array, and as a copy of itself."""

from __future__ import annotations

import warnings
from typing import Any, NoReturn

import numpy as np

from ..arrays.dispatch import namespace_of
from ..engine.grad_mode import is_grad_enabled
from ..engine.hook import note_unrecorded, observers, observing
from ..engine.reads import note_read
from ..engine.tensor import Tensor, wrap
from ..engine.versions import version_of
from ..engine.view import Data, View
from ..ops import comparison
from .register import method_only


@method_only
def item(self: Tensor) -> Any:
    """Return the one element as a Python number; RuntimeError where there is not exactly one."""
    if self.numel() != 1:
        raise RuntimeError(f"a Tensor with {self.numel()} elements cannot be converted to Scalar")
    element = self.array if isinstance(self.array, float) else self.array.item()
    if self.edge is not None or element is True or element is False:  # of a comparison, for a branch
        note_read()
    return element


@method_only
def tolist(self: Tensor) -> Any:
    """Return the elements as nested lists of Python numbers; a number for a 0-d Tensor."""
    if self.edge is not None:
        note_read()
    return self.array if isinstance(self.array, float) else self.array.tolist()


@method_only
def numpy(self: Tensor, *, force: bool = False) -> np.ndarray[Any, Any]:
    """Return the elements as a NumPy array, which shares this Tensor's memory where it is on the CPU.

    RuntimeError where a gradient is required (detach first), unless `force` or nothing is recorded.
    """
    if self.edge is not None and not force and is_grad_enabled():
        raise RuntimeError(
            "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead."
        )
    if observers and (observer := observing()):
        observer.read_out("numpy()", self)
    result: np.ndarray[Any, Any] = namespace_of(self.array).to_numpy(self.array)
    return result


@method_only
def __array__(self: Tensor, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
    if observers and (observer := observing()):
        observer.read_out("numpy.array()", self)
    return np.array(self.numpy(), dtype, copy=copy)


@method_only
def __array_wrap__(
    self: Tensor, array: np.ndarray[Any, Any], context: Any = None, return_scalar: bool = False
) -> Tensor:
    """Return what one of NumPy's functions gives of Tensors, as a Tensor; bools as uint8, as in PyTorch."""
    return wrap(array.astype(np.uint8) if array.dtype.kind == "b" else array)


Tensor.__array_priority__ = 3000  # type: ignore[attr-defined]  # arrays leave `array * x` to Tensor's operators


_WITHOUT_HISTORY = (
    "float() and math's functions of a Tensor that requires a gradient leave its history behind: call "
    "detach() or item() where that is meant, and torch.exp and its like where it is not."
)


def _number(self: Tensor) -> Any:
    if self.numel() != 1:
        raise ValueError("only one element tensors can be converted to Python scalars")
    return self.item()


@method_only
def __bool__(self: Tensor) -> bool:
    if self.numel() != 1:
        values = "no values" if self.numel() == 0 else "more than one value"
        raise RuntimeError(f"Boolean value of Tensor with {values} is ambiguous")
    return bool(self.item())


@method_only
def __int__(self: Tensor) -> int:
    return int(_number(self))


@method_only
def __float__(self: Tensor) -> float:
    number = float(_number(self))
    if self.requires_grad:
        warnings.warn(_WITHOUT_HISTORY, stacklevel=2)
    return number


@method_only
def __index__(self: Tensor) -> int:
    if self.numel() != 1 or self.dtype.is_floating_point:
        raise TypeError("only integer tensors of a single element can be converted to an index")
    return int(self.item())


@method_only
def __contains__(self: Tensor, element: Any) -> bool:
    if not isinstance(element, (Tensor, int, float, np.generic)):
        raise RuntimeError(f"a Tensor contains Tensors and numbers, not {type(element).__name__}")
    return bool(comparison.eq.call(self, element).any())


@method_only
def __format__(self: Tensor, spec: str) -> str:
    return object.__format__(self, spec) if self.ndim else format(self.item(), spec)


def _version(self: Tensor) -> int:
    """Return how often the memory of a Tensor was changed in place."""
    note_unrecorded("_version")
    return version_of(self.array)


Tensor._version = property(_version)  # which the engine itself does not read


@method_only
def __copy__(self: Tensor) -> Tensor:
    copied = wrap(self.array)
    return copied.requires_grad_() if self.requires_grad else copied


@method_only
def __deepcopy__(self: Tensor, memo: dict[int, Any]) -> Tensor:
    if not self.is_leaf:
        raise RuntimeError(
            "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol "
            "at the moment: detach() this one first"
        )
    note_unrecorded("a deep copy of a Tensor", "clone() it")
    copied: Tensor = object.__new__(Tensor if isinstance(self, (View, Data)) else type(self))
    copied.array = namespace_of(self.array).deepcopy(self.array, memo)
    copied.edge = None
    memo[id(self)] = copied
    copied.requires_grad_(self.requires_grad)
    if self.grad is not None:
        copied.grad = wrap(namespace_of(self.grad.array).copy(self.grad.array))
    return copied


@method_only
def __reduce_ex__(self: Tensor, protocol: Any) -> NoReturn:
    raise TypeError("a Tensor is not pickled: save its numpy() array, or a state_dict as safetensors")


@method_only
def __dir__(self: Tensor) -> list[str]:
    return dir(type(self))
