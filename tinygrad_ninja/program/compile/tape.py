"""Arrays that record what a step computes, and the memory that it changes.

They are those of `program.trace`, with what a whole step needs in addition: changes in place, Python numbers
that are read anew at each call, values that are the same at every call, and a refusal of everything that
would go unrecorded.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, NoReturn
from weakref import ref

import numpy as np

from ... import ops
from ...arrays.dispatch import NAMESPACES
from ...engine.apply import laid_out
from ...engine.callers import PACKAGE
from ...engine.tensor import Tensor
from ...ops import Operation
from ..instructions import Array, Var, flatten, substitute
from ..trace import XP, ReadOutError, Tape, Traced, plain, source
from .shapes import ShapeTape, is_torch, shaped


class UnsupportedError(RuntimeError):
    """The step does something that only eager code can do; the message says what, and where."""


class UnsettledError(Exception):
    """The function creates something at its first call that later calls find ready, such as an optimizer's
    state."""


def refuse(what: str) -> NoReturn:
    """Raise UnsupportedError, with the reader's line and what it does there."""
    raise UnsupportedError(f"{source() or 'the compiled function'}: {what}")


@dataclass(eq=False)
class Cell:
    """Memory: `var` is its value now, `before` its value when the step began. `owner`: a Tensor that holds
    it, None for memory that the step itself made; `others`: the other Tensors that hold it. `version` counts
    the changes."""

    array: Array
    var: Var
    owner: Tensor | None = None
    version: int = 0
    address: Any = None
    others: list[Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.before = self.var


class Recorded(Traced):
    """A traced array that knows the memory it stands for.

    cell: that memory, None for a result that was never written to. seen: the memory that it is a view of,
    and the version that it shows. number: it stands for a Python number, which adapts to the dtype of the
    other operand. lost: NumPy made it without the tape, and nothing may be computed from it.
    """

    tape: StepTape
    cell: Cell | None = None
    seen: tuple[Cell, int] | None = None
    number = False
    lost = False

    def __array_finalize__(self, source: Any) -> None:
        super().__array_finalize__(source)
        if isinstance(source, Recorded) and (source.var is not None or source.lost):
            self.lost = True

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        traced = [x for x in inputs if isinstance(x, Recorded) and x.var is not None]
        (target,) = options.pop("out", (None,))
        if not traced and not isinstance(target, Recorded):
            return super().__array_ufunc__(ufunc, method, *inputs, **options)
        if method != "__call__":
            if not all(x.is_known() for x in traced):
                raise ReadOutError(read_out_message(f"numpy.{ufunc.__name__}.{method}"))
            return getattr(ufunc, method)(*map(plain, inputs), **options)
        if target is not None and not isinstance(target, Recorded):
            refuse("NumPy writes what was computed into an array that is no Tensor's")
        arrays = [x for x in inputs if isinstance(x, np.ndarray) and not getattr(x, "number", False)]
        if arrays and traced:
            dtype = np.result_type(*(array.dtype for array in arrays))
            inputs = tuple(
                XP.astype(x, dtype) if isinstance(x, Recorded) and x.number and dtype.kind == "f" else x
                for x in inputs
            )
        result = (
            super().__array_ufunc__(ufunc, method, *inputs)
            if traced
            else np.asarray(ufunc(*map(plain, inputs)))
        )
        if target is None:
            return result
        return target.tape.write(target, result)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if self.var is not None and sys._getframe(1).f_globals.get("__name__", "").startswith(
            __package__.split(".")[0]
        ):
            return super().__array_function__(function, types, args, kwargs)  # marks its results as lost
        return refuse(
            f"numpy.{function.__name__} takes a Tensor's values out; use the Tensor's own functions"
        )

    def __setitem__(self, key: Any, value: Any) -> None:
        whole = key is Ellipsis or key == (Ellipsis,)
        if self.var is None or not whole:
            refuse("a part of a Tensor is changed in place, which is not compiled; use torch.where")
        self.tape.write(self, value)

    def memory(self) -> Any:
        """Return the memory that this array stands for. One array may stand for several results, each with
        its own."""
        return self.seen[0] if self.seen is not None else super().memory()

    def is_known(self) -> bool:
        """Return whether the array's values are the same at every call."""
        if self.var is None:
            return not self.lost
        return self.var.constant or self.var in self.tape.fixed

    def __bool__(self) -> bool:
        if self.is_known():
            return bool(plain(self))
        if "_refuse_zero" in _engine_frames():
            return bool(plain(self))  # the compiled code checks this itself
        raise ReadOutError(read_out_message("a branch on data"))

    def item(self, *args: Any) -> Any:
        if self.is_known():
            return plain(self).item(*args)
        raise ReadOutError(read_out_message("item()"))

    def tolist(self) -> Any:
        return plain(self).tolist() if self.is_known() else self.item()

    def __int__(self) -> int:
        return int(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __index__(self) -> int:
        return self.item().__index__()

    def nonzero(self) -> Any:
        return self.item()  # the size of the result depends on the values

    def reshape(self, *shape: Any, **options: Any) -> Any:
        wanted = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
        return XP.reshape(self, plain(self).reshape(wanted, **options).shape)

    def astype(self, dtype: Any, **_: Any) -> Any:  # type: ignore[override]
        return self if np.dtype(dtype) == self.dtype else XP.astype(self, np.dtype(dtype))

    def copy(self, *_: Any) -> Any:
        return XP.copy(self)

    def take(self, index: Any, axis: int = 0) -> Any:  # type: ignore[override]
        return XP.index(self, (slice(None),) * axis + (index,))


NAMESPACES[Recorded] = XP


def _engine_frames() -> set[str]:
    """Return the names of the running functions, up to the caller's own code."""
    names = set()
    frame = sys._getframe(2)
    while frame is not None and frame.f_code.co_filename.startswith((PACKAGE, "<")):
        names.add(frame.f_code.co_name)
        frame = frame.f_back  # type: ignore[assignment]
    return names


def _running(code: Any) -> FrameType | None:
    """Return the frame in which a function's code runs; None where it does not run."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code is not code:
        frame = frame.f_back
    return frame


def _refuse_power(base: Any, exponent: Any) -> None:
    """Refuse a power whose computation depends on a number among the arguments: only with a Python float as
    the base, such as Adam's beta, is it computed in the same way for every number."""
    if getattr(exponent, "number", False) and not isinstance(base, float):
        refuse(
            "a number among the arguments is an exponent, which decides how a power is computed (as a root, "
            "say); give it as a Tensor"
        )
    if getattr(base, "number", False) and not isinstance(exponent, np.ndarray):
        refuse("a number among the arguments is raised to a power, for which Python has no largest number")


def read_out_message(how: str) -> str:
    """Return the error text for a value that is read out, with the caller's line."""
    return (
        f"{source() or 'the compiled function'}: {how} reads a value out of a Tensor, and what follows would "
        f"hold for this one value only; return the Tensor and read it outside, or keep it a Tensor "
        f"(torch.where)"
    )


class StepTape(ShapeTape):
    """A tape on which memory can change."""

    def __init__(self) -> None:
        super().__init__()
        self.arrays: list[ref[Recorded]] = []
        self.code: Any = None  # that of the function being recorded
        self.frame: FrameType | None = None  # its frame, kept for the names of its local variables
        self.fixed: set[Var] = set()  # those that depend on nothing but arrays that the step makes itself
        self.place = "cpu"  # the device of the torch tensors that the step meets; "cpu" where it meets none
        self.places: dict[Var, str] = {}  # the devices of variables that are torch tensors
        self._foreign: dict[int, tuple[Any, Array]] = {}

    def array(self, var: Var) -> Recorded:
        """Return a new array of a variable, which records what is computed from it."""
        array = np.asarray(var.value).view(Recorded)
        array.var, array.tape, array.lost = var, self, False
        self.arrays.append(ref(array))
        return array

    def of(self, cell: Cell) -> Recorded:
        """Return an array that shows a cell's memory as it is now."""
        array = self.array(cell.var)
        array.cell, array.seen = cell, (cell, cell.version)
        return array

    def device(self, x: Traced) -> str:
        """Return the device of a traced array."""
        if x.var.constant or getattr(x, "number", False):
            return self.place  # a number can be used on every device
        return self.places.get(x.var, "cpu")

    def value(self, operation: Operation, inputs: tuple[Any, ...], parameters: tuple[Any, ...]) -> Array:
        """Return the result of the operation, or a stand-in for it where that is a torch tensor."""
        if operation is ops.shape.to_device:
            return plain(inputs[0])
        if self.place == "cpu" or operation.view or self._depends_on_fixed(inputs, parameters):
            known = substitute(parameters, self._known_array)
            value = Tape.value(self, operation, inputs, known)
            return (
                value if operation.view else laid_out(operation, value, tuple(map(plain, (*inputs, *known))))
            )
        return shaped(operation, inputs, parameters)

    def _known_array(self, x: Any) -> Any:
        """Return a torch tensor that the step makes itself as a NumPy array; anything else unchanged."""
        if not is_torch(x):
            return x
        if id(x) not in self._foreign:
            self._foreign[id(x)] = x, NAMESPACES[type(x)].to_numpy(x)  # holds x, so that its id is not reused
        return self._foreign[id(x)][1]

    def _depends_on_fixed(self, inputs: tuple[Any, ...], parameters: tuple[Any, ...]) -> bool:
        """Return whether the operands depend on nothing but arrays that the step makes itself."""
        arrays = [x for x in flatten((*inputs, *parameters)) if isinstance(x, np.ndarray)]
        return all(var.constant or var in self.fixed for var in map(self.variable, arrays))

    def variable(self, x: Any) -> Any:
        """Return the variable of an array. Raise UnsupportedError for one that the tape has lost track of."""
        if is_torch(x):
            var = super().variable(self._known_array(x))
            self.put(var, NAMESPACES[type(x)].device(x))
            self.fixed.add(var)
            return var
        if isinstance(x, Recorded):
            if x.lost:
                refuse("a function of NumPy's was applied to a Tensor's values, which is not recorded")
            if x.seen is not None and x.seen[0].version != x.seen[1]:
                refuse(
                    "a Tensor is used whose memory was changed in place since; clone() it before the change"
                )
        var = super().variable(x)
        if isinstance(x, np.ndarray) and not isinstance(x, Recorded):
            self.fixed.add(var)
            var.constant = x.ndim == 0
        return var

    def constant(self, value: Array) -> Traced:
        """Return the array of a value that is the same at every call."""
        if value.size:
            return super().constant(value)
        var = Var(value)  # an empty array has no number that all its elements equal
        self.fixed.add(var)
        self.places[var] = self.place
        return self.array(var)

    def apply(self, operation: Operation, inputs: tuple[Any, ...], parameters: tuple[Any, ...]) -> Any:
        """Record an operation, and return its result as a traced array."""
        if self.frame is None:
            self.frame = _running(self.code)
        if operation is ops.elementwise.pow and any(getattr(x, "number", False) for x in inputs):
            _refuse_power(*inputs)
        result: Any = super().apply(operation, inputs, parameters)
        result.number = all(getattr(x, "number", isinstance(x, (int, float))) for x in inputs)
        if result.var is not None:
            if self._depends_on_fixed(inputs, parameters):
                self.fixed.add(result.var)
            if self.place != "cpu" or operation is ops.shape.to_device:
                self._settle(result.var, operation, inputs, parameters)
        if operation.view and isinstance(inputs[0], Recorded):
            base = inputs[0]
            if base.cell is None and base.seen is None:  # a result that is viewed becomes memory from now on
                base.cell = Cell(base, base.var)
                base.seen = (base.cell, 0)
            result.seen = base.seen
        return result

    def either(self, condition: Traced, a: Callable[[], Any], b: Callable[[], Any]) -> Any:
        """Return a() where the condition holds, else b(): chosen at each call, if the condition depends on
        values."""
        if not isinstance(condition, Recorded) or condition.is_known():
            return super().either(condition, a, b)
        return XP.where(condition, a(), b())

    def neutral(self, operation: Operation) -> float | None:
        """Return the neutral element of the operation, but None for a sum: 1 / x and 1 / (x + 0) are
        different infinities where x is -0."""
        return None if operation is ops.elementwise.add else super().neutral(operation)

    def put(self, var: Var, place: str) -> None:
        """Record on which device a variable is. Raise UnsupportedError where torch tensors are on several."""
        self.places[var] = place
        if place != "cpu" and self.place not in ("cpu", place):
            refuse(f"Tensors on {self.place} and on {place} are not compiled together")
        self.place = place if place != "cpu" else self.place

    def _settle(self, result: Var, operation: Operation, inputs: Any, parameters: Any) -> None:
        """Record on which device a result is. Raise RuntimeError where its operands are on several."""
        if operation is ops.shape.to_device:
            self.put(result, parameters[0])
            return
        at_home = [x for x in inputs if isinstance(x, Recorded) and not x.number]
        places = list(dict.fromkeys(self.device(x) for x in at_home if not x.var.constant))
        if len(places) > 1:
            raise RuntimeError(
                f"{operation.name}: expected all tensors to be on the same device, but found {places[0]} and "
                f"{places[1]}"
            )
        self.places[result] = places[0] if places else self.place

    def write(self, target: Recorded, value: Any) -> Recorded:
        """Write `value` to the target's memory, broadcast and in its dtype, and return an array of the memory
        as it is from here on. The target itself keeps its old values, which a rule may have kept too, and may
        not be used any more."""
        if target.cell is None:
            if target.seen is not None:
                refuse("a Tensor is changed in place through a view of it, which is not compiled")
            target.cell = Cell(target, target.var)
            target.seen = (target.cell, 0)
        if not isinstance(value, Recorded):
            value = (
                self.constant(np.full(target.shape, value, target.dtype)) if np.ndim(value) == 0 else value
            )
            value = value if isinstance(value, Recorded) else self.array(self.variable(np.asarray(value)))
        if value.dtype != target.dtype:
            value = XP.astype(value, target.dtype)
        if value.shape != target.shape:
            value = XP.broadcast_to(value, target.shape)
        cell = target.cell
        cell.var = self.variable(value)
        cell.version += 1
        return self.of(cell)
