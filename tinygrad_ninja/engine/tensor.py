"""Tensor: an array, and the node of the operation that made it. `api` adds most methods."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import dtypes
from ..arrays.dispatch import device_of, dtype_of
from .absent import Offering
from .attributes import Size, device, size_of
from .hook import observers, observing
from .inference import marked, refuse_outside
from .node import Node, succeed
from .versions import note_change, note_writes

_NO_LEAF = (
    "The .grad of a Tensor that is not a leaf is read, and none is kept: call retain_grad() on it first."
)


class Tensor(metaclass=Offering):
    """An n-dimensional array that remembers where it came from.

    `array` is a NumPy array (0-dimensional for a single number), a torch tensor, or a Python float. `edge` is
    the node that gradients for this Tensor go to, None where it requires none. `Tensor(data)` makes a float32
    Tensor as `torch.Tensor(data)` does; `tensor(data)` keeps the type of what it is given.
    """

    __slots__ = {"__weakref__": "", "_array": "", "_parked_grad": "", "edge": "The node of its gradient."}
    _array: Any
    edge: Node | None

    def __init__(self, data: Any = (), *more: int) -> None:
        if isinstance(data, int):
            self.array = np.zeros((data, *more), np.float32)
        else:
            if observers and (observer := observing()):
                data = observer.read_out("Tensor()", data)
            self.array = np.array(
                data.array if isinstance(data, Tensor) else data, dtypes.get_default_dtype().numpy
            )
        self.edge = None

    # -- what it is ------------------------------------------------------------------------------------------

    @property
    def array(self) -> Any:
        """Return the array that holds the elements; another one may be assigned, which is not recorded."""
        if observers and (observer := observing()):
            return observer.read(self, "_array")
        return self._array

    @array.setter
    def array(self, array: Any) -> None:
        if observers and (observer := observing()):
            observer.write(self, "_array", array)
        else:
            self._array = array

    @property
    def shape(self) -> Size:
        """Return the size along each dimension."""
        return size_of(getattr(self.array, "shape", ()))

    @property
    def dtype(self) -> dtypes.dtype:
        """Return the type of the elements."""
        return dtype_of(self.array)

    @property
    def device(self) -> device:
        """Return where the elements are: "cpu" (NumPy), "torch", "cuda:0", or "float" for a Python float."""
        return device(device_of(self.array))

    @property
    def ndim(self) -> int:
        """Return how many dimensions it has."""
        return len(getattr(self.array, "shape", ()))

    def numel(self) -> int:
        """Return how many elements it has."""
        return math.prod(getattr(self.array, "shape", ()))

    # -- its gradient ----------------------------------------------------------------------------------------

    @property
    def requires_grad(self) -> bool:
        """Return whether gradients flow to it. A leaf's may be set; RuntimeError for a result."""
        return self.edge is not None

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if not isinstance(value, bool):
            raise RuntimeError(f"requires_grad must be a bool, not {type(value).__name__}")
        self._require_leaf()
        self.requires_grad_(value)

    def _require_leaf(self) -> None:
        if not self.is_leaf:
            raise RuntimeError(
                "you can only change requires_grad flags of leaf variables; to use this result without its "
                "history, detach() it"
            )

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Return this leaf itself, whose gradient is kept or not. RuntimeError for integers and a result."""
        if not requires_grad:
            self._require_leaf()
        if requires_grad and not self.dtype.is_floating_point:
            raise RuntimeError(
                f"only Tensors of floating point dtype can require gradients, this one is {self.dtype}"
            )
        if requires_grad and marked:
            refuse_outside(self.array, "Setting requires_grad=True on")
        if requires_grad and self.edge is None:
            leaf = Node(None, (), None)
            leaf.grad = getattr(self, "_parked_grad", None)
            self._set_history(leaf)
        elif not requires_grad:
            Tensor.detach_(self)  # a leaf that is a view too, which can't be detached in place otherwise
        return self

    @property
    def is_leaf(self) -> bool:
        """Return whether no recorded operation made it."""
        return self.edge is None or self.edge.op is None

    @property
    def grad_fn(self) -> Node | None:
        """Return the node of the operation that made it; None for a leaf."""
        return None if self.is_leaf else self.edge

    @property
    def grad(self) -> Tensor | None:
        """Return the gradient kept, of this shape and dtype, or None.

        RuntimeError where one of another shape, dtype or device is assigned, TypeError for what is no Tensor.
        """
        edge = self.edge
        if edge is None:
            return getattr(self, "_parked_grad", None)
        grad = edge.grad
        if grad is None and edge.op is not None and not self.retains_grad:
            warnings.warn(_NO_LEAF, stacklevel=2)
        return grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            self._check_grad(value)
        if self.edge is None:
            self._parked_grad = value
        else:
            self.edge.grad = value

    @grad.deleter
    def grad(self) -> None:
        self.grad = None

    def detach(self) -> Tensor:
        """Return a Tensor of the same shape and memory without the history."""
        return wrap(self.array)

    def detach_(self) -> Tensor:
        """Forget the history of this Tensor itself; a gradient that it keeps stays.

        Backward raises RuntimeError where it comes to what was computed of a result before and needs it.
        """
        if self.edge is not None:
            if self.edge.op is not None:
                self.edge.detached = True
                note_writes(())  # backward looks closer at what is older
            parked = self.edge.grad
            self._set_history(None)
            self._parked_grad = parked
        return self

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len() of a 0-d tensor")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if not self.ndim:
            raise TypeError("iteration over a 0-d tensor")
        return iter(self.unbind())

    def __hash__(self) -> int:
        return id(self)

    if TYPE_CHECKING:  # the methods that `api` adds
        data: Any  # in `view`
        backward: Callable[..., None]  # in `backward`

        def __getattr__(self, name: str) -> Any: ...

        __add__: Any
        __radd__: Any
        __sub__: Any
        __rsub__: Any
        __mul__: Any
        __rmul__: Any
        __truediv__: Any
        __rtruediv__: Any
        __matmul__: Any
        __pow__: Any
        __rpow__: Any
        __rmatmul__: Any
        __invert__: Any
        __neg__: Any
        __pos__: Any
        __getitem__: Any
        __setitem__: Any
        _version: Any

    # -- changes in place ------------------------------------------------------------------------------------

    def _write(self, array: Any) -> None:
        mine = self.array
        if isinstance(mine, float):
            self.array = float(array)
            return
        mine[...] = array
        self._note_change()

    def _note_change(self) -> None:
        note_change(self.array)

    def _refuse_change(self) -> None:
        if self.edge is not None and self.edge.op is None:
            raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")

    def _refuse_history(self) -> None:
        """Raise RuntimeError where a change may not be recorded."""

    def _history_before(self) -> Node | None:
        """Return the history of what is about to be changed."""
        return self.edge

    def _rebase(self, edge: Node) -> None:
        """Take `edge` as the history of what is now in this Tensor's memory."""
        before = self.edge
        self._set_history(edge)
        succeed(before, edge)

    def _set_history(self, edge: Node | None) -> None:
        if observers and (observer := observing()):
            observer.write(self, "edge", edge)
        else:
            self.edge = edge


def bare(array: Any) -> Tensor:
    """Return a Tensor around an array as it is, without history."""
    out = object.__new__(Tensor)
    out.array = array
    out.edge = None
    return out


def wrap(array: Any) -> Tensor:
    """Return a Tensor around an array of any kind, without a copy and without history."""
    return bare(np.asarray(array) if isinstance(array, np.generic) else array)
