"""Tensor: an array, and the node of the operation that made it.

The operations stand in `ops`, the record of them in `record`; the functions and methods that take PyTorch's
arguments stand in `functions`, which adds them to this class.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from . import dtypes
from .attributes import Size, device
from .hook import observers, observing
from .kinds import device_of, dtype_of, kind_of
from .kinds.memory import overlap_in_part
from .missing import OffersOnly
from .ops import elementwise
from .ops.apply import bare
from .reads import note_read
from .record import Hooks, Node, is_grad_enabled, note_change, succeed, version_of

_handles = itertools.count()


class Tensor(metaclass=OffersOnly):
    """An n-dimensional array that remembers where it came from.

    `array` is a NumPy array (0-dimensional for a single number), a torch tensor, or a Python float. `edge` is
    the node that gradients for this Tensor go to, None where it requires none. `Tensor(data)` makes a float32
    Tensor as `torch.Tensor(data)` does; `tensor(data)` keeps the type of what it is given.
    """

    __slots__ = ("__weakref__", "_array", "_parked_grad", "edge")
    __array_ufunc__ = None  # so that ndarray * Tensor is left to Tensor
    _array: Any
    edge: Node | None

    def __init__(self, data: Any = (), *more: int) -> None:
        if isinstance(data, int):
            self.array = np.zeros((data, *more), np.float32)
        else:
            if observers and (observer := observing()):
                observer.read_out("Tensor()", data)
            self.array = np.array(
                data.array if isinstance(data, Tensor) else data, dtypes.get_default_dtype().numpy
            )
        self.edge = None

    # -- what it is ------------------------------------------------------------------------------------------

    @property
    def array(self) -> Any:
        """What holds the elements; assigning to it makes them others, without a record."""
        if observers and (observer := observing()):
            return observer.read_array(self)
        return self._array

    @array.setter
    def array(self, array: Any) -> None:
        if observers and (observer := observing()):
            observer.write_array(self, array)
        else:
            self._array = array

    @property
    def shape(self) -> Size:
        return Size(getattr(self.array, "shape", ()))

    @property
    def dtype(self) -> dtypes.dtype:
        return dtype_of(self.array)

    @property
    def device(self) -> device:
        return device(device_of(self.array))

    @property
    def ndim(self) -> int:
        return len(getattr(self.array, "shape", ()))

    @property
    def itemsize(self) -> int:
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        return self.numel() * self.itemsize

    @property
    def is_cuda(self) -> bool:
        return self.device.type == "cuda"

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size along `dim`; IndexError where there is no such dimension."""
        if dim is None:
            return self.shape
        n = self.ndim
        if not -n <= dim < n:
            raise IndexError(
                f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {dim})"
            )
        return self.shape[dim]

    def dim(self) -> int:
        """How many dimensions it has."""
        return self.ndim

    def numel(self) -> int:
        """How many elements it has."""
        return math.prod(getattr(self.array, "shape", ()))

    nelement = numel
    ndimension = dim

    def element_size(self) -> int:
        """Bytes an element."""
        return self.itemsize

    def is_floating_point(self) -> bool:
        """Whether its dtype is a floating point one."""
        return self.dtype.is_floating_point

    def is_contiguous(self) -> bool:
        """Whether its elements lie in memory in their order."""
        array = self.array
        return array.flags.c_contiguous if isinstance(array, np.ndarray) else array.is_contiguous()

    def stride(self, dim: int | None = None) -> Any:
        """The step in memory, in elements, from one index to the next along each dimension, or along
        `dim`."""
        array = self.array
        if not isinstance(array, np.ndarray):
            return array.stride() if dim is None else array.stride(dim)
        steps = [step // array.itemsize for step in array.strides]
        for i in reversed(range(array.ndim)):
            # NumPy leaves it open how to step along one element, or where there is none.
            if not array.size or (steps[i] == 0 and array.shape[i] == 1):
                steps[i] = steps[i + 1] * (array.shape[i + 1] or 1) if i + 1 < array.ndim else 1
        return tuple(steps) if dim is None else steps[dim]

    # -- its gradient ----------------------------------------------------------------------------------------

    @property
    def requires_grad(self) -> bool:
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
        """Say whether gradients are to be kept for this leaf. RuntimeError for integers, and for a result."""
        if not requires_grad:
            self._require_leaf()
        if requires_grad and not self.dtype.is_floating_point:
            raise RuntimeError(
                f"only Tensors of floating point dtype can require gradients, this one is {self.dtype}"
            )
        if requires_grad and self.edge is None:
            self.edge = Node(None, (), None)
            self.edge.grad = getattr(self, "_parked_grad", None)
        elif not requires_grad:
            self.detach_()
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded operation made it."""
        return self.edge is None or self.edge.op is None

    @property
    def grad_fn(self) -> Node | None:
        """The node of the operation that made it; None for a leaf."""
        return None if self.is_leaf else self.edge

    @property
    def grad(self) -> Tensor | None:
        edge = self.edge
        return getattr(self, "_parked_grad", None) if edge is None else edge.grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            if not isinstance(value, Tensor):
                raise TypeError(f"assigned grad expected to be a Tensor or None, not {type(value).__name__}")
            if value is self:
                raise RuntimeError("can't assign Variable as its own grad")
            if value.dtype is not self.dtype:
                raise RuntimeError(
                    f"assigned grad has data of a different type: {value.dtype} for a tensor of {self.dtype}"
                )
            if value.device != self.device:
                raise RuntimeError(f"assigned grad is on {value.device}, the tensor on {self.device}")
            if value.shape != self.shape:
                raise RuntimeError(
                    f"assigned grad has another shape: {tuple(value.shape)} for {tuple(self.shape)}"
                )
        if self.edge is None:
            self._parked_grad = value
        else:
            self.edge.grad = value

    @grad.deleter
    def grad(self) -> None:
        self.grad = None

    def retain_grad(self) -> None:
        """Keep the gradient of this result in `.grad`, as a leaf keeps its own."""
        if self.edge is None:
            raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
        if self.edge.op is not None:
            self.edge.hooks = self.edge.hooks or Hooks()
            self.edge.hooks.keep = True

    @property
    def retains_grad(self) -> bool:
        return self.edge is not None and self.edge.hooks is not None and self.edge.hooks.keep

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
        """Call `hook` with this Tensor's gradient during backward; what it returns, if not None, is used
        instead."""
        if self.edge is None:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        if self.edge.hooks is None:
            self.edge.hooks = Hooks()
        number = next(_handles)
        self.edge.hooks[number] = hook
        return RemovableHandle(self.edge.hooks, number)

    def detach(self) -> Tensor:
        """The same memory without the history."""
        return wrap(self.array)

    def detach_(self) -> Tensor:
        """Forget the history of this Tensor itself; a gradient that it keeps stays."""
        if self.edge is not None:
            self._parked_grad = self.edge.grad
            self.edge = None
        return self

    # -- out of it -------------------------------------------------------------------------------------------

    def item(self) -> Any:
        """The one element as a Python number; RuntimeError where there is not exactly one."""
        if self.numel() != 1:
            raise RuntimeError(f"a Tensor with {self.numel()} elements cannot be converted to Scalar")
        element = self.array if isinstance(self.array, float) else self.array.item()
        if self.edge is not None or element is True or element is False:  # of a comparison, for a branch
            note_read()
        return element

    def tolist(self) -> Any:
        """The elements as nested lists of Python numbers; a number for a 0-d Tensor."""
        if self.edge is not None:
            note_read()
        return self.array if isinstance(self.array, float) else self.array.tolist()

    def numpy(self, *, force: bool = False) -> np.ndarray[Any, Any]:
        """The elements as a NumPy array, which shares this Tensor's memory where it is on the CPU.

        RuntimeError where a gradient is required (detach first), unless `force` or nothing is recorded.
        """
        if self.edge is not None and not force and is_grad_enabled():
            raise RuntimeError(
                "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead."
            )
        result: np.ndarray[Any, Any] = kind_of(self.array).to_numpy(self.array)
        return result

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        if observers and (observer := observing()):
            observer.read_out("numpy.array()", self)
        return np.array(self.numpy(), dtype, copy=copy)

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len() of a 0-d tensor")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if not self.ndim:
            raise TypeError("iteration over a 0-d tensor")
        return iter(self.unbind())

    def _number(self) -> Any:
        if self.numel() != 1:
            raise ValueError("only one element tensors can be converted to Python scalars")
        return self.item()

    def __bool__(self) -> bool:
        if self.numel() != 1:
            values = "no values" if self.numel() == 0 else "more than one value"
            raise RuntimeError(f"Boolean value of Tensor with {values} is ambiguous")
        return bool(self.item())

    def __int__(self) -> int:
        return int(self._number())

    def __float__(self) -> float:
        return float(self._number())

    def __index__(self) -> int:
        if self.numel() != 1 or self.dtype.is_floating_point:
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return int(self.item())

    def __contains__(self, element: Any) -> bool:
        if not isinstance(element, (Tensor, int, float, np.generic)):
            raise RuntimeError(f"a Tensor contains Tensors and numbers, not {type(element).__name__}")
        return bool(elementwise.eq.call(self, element).any())

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        from .printing import tensor_text

        return tensor_text(self)

    def __format__(self, spec: str) -> str:
        return object.__format__(self, spec) if self.ndim else format(self.item(), spec)

    def __copy__(self) -> Tensor:
        made = wrap(self.array)
        return made.requires_grad_() if self.requires_grad else made

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if not self.is_leaf:
            raise RuntimeError(
                "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol "
                "at the moment: detach() this one first"
            )
        made = object.__new__(self.__class__)
        made.array = kind_of(self.array).deepcopy(self.array, memo)
        made.edge = None
        memo[id(self)] = made
        made.requires_grad_(self.requires_grad)
        if self.grad is not None:
            made.grad = wrap(kind_of(self.grad.array).copy(self.grad.array))
        return made

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a Tensor is not pickled: save its numpy() array, or a state_dict as safetensors")

    def __dir__(self) -> list[str]:
        return dir(type(self))

    if TYPE_CHECKING:  # the methods that `functions` adds
        data: Any  # in `view`
        backward: Callable[..., None]  # in `autograd`

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

    # -- changes in place ------------------------------------------------------------------------------------

    @property
    def _version(self) -> int:
        """How often its memory was changed in place."""
        return version_of(self.array)

    def change(
        self, compute: Callable[[Tensor], Tensor], operands: Iterable[Any] = (), alike: bool = False
    ) -> Tensor:
        """Write `compute(self)` into this Tensor's memory, and take its history over.

        operands: what it is computed of besides. alike: what several elements that share their memory are
            given is one number, so that they may be written to.
        RuntimeError where this is a leaf that requires a gradient (or a view of one) and the change would be
        recorded, where the result has another shape or a dtype of a higher category, or where an operand
        shows a part of the memory that is written to.
        """
        recording = is_grad_enabled()
        before = self
        mine = self.array
        if isinstance(mine, np.ndarray):
            if not alike:
                refuse_repeated(mine)
            for each in operands:
                if isinstance(each, Tensor) and isinstance(each.array, np.ndarray):
                    _refuse_overlap(mine, each.array)
        if recording:
            self._refuse_change()
            before = wrap(kind_of(self.array).copy(self.array))  # the rule may need what is now written over
            before.edge = self._history_before()
        result = compute(before)
        if result.shape != self.shape:
            raise RuntimeError(
                f"output with shape {list(self.shape)} doesn't match the broadcast shape {list(result.shape)}"
            )
        if result.dtype.category > self.dtype.category:
            raise RuntimeError(
                f"result type {result.dtype} can't be cast to the desired output type {self.dtype}"
            )
        if recording and result.edge is not None:
            if result.dtype is not self.dtype:
                result = elementwise.cast(result, self.array.dtype)
            self._refuse_history()
            self._write(result.array)
            self._rebase(result.edge)  # type: ignore[arg-type]  # a cast keeps the history
        else:
            self._write(result.array)
        return self

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
        """RuntimeError where a change may not be recorded."""

    def _history_before(self) -> Node | None:
        """The history of what is about to be changed."""
        return self.edge

    def _rebase(self, edge: Node) -> None:
        """Take `edge` as the history of what is now in this Tensor's memory."""
        self.edge = succeed(self.edge, edge)


def refuse_repeated(mine: Any) -> None:
    """Raise RuntimeError where several elements are one cell in memory, as `expand` makes them."""
    if not isinstance(mine, np.ndarray):
        return
    if mine.size and any(step == 0 and n > 1 for step, n in zip(mine.strides, mine.shape, strict=True)):
        raise RuntimeError(
            "unsupported operation: more than one element of the written-to tensor refers to a single memory "
            "location. Please clone() the tensor before performing the operation."
        )


def _refuse_overlap(mine: np.ndarray[Any, Any], theirs: np.ndarray[Any, Any]) -> None:
    if (mine.base is not None or theirs.base is not None) and overlap_in_part(mine, theirs):
        raise RuntimeError(
            "unsupported operation: some elements of the input tensor and the written-to tensor refer to a "
            "single memory location. Please clone() the tensor before performing the operation."
        )


class RemovableHandle:
    """What `register_hook` returns; `remove()` takes the hook off again."""

    def __init__(self, hooks: dict[int, Any], number: int) -> None:
        self._hooks, self.id = hooks, number

    def remove(self) -> None:
        self._hooks.pop(self.id, None)


def wrap(array: Any) -> Tensor:
    """A Tensor around an array of any kind, without a copy and without history."""
    made: Tensor = bare(np.asarray(array) if isinstance(array, np.generic) else array)
    return made
