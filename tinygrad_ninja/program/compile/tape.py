"""Arrays that write down what a step computes, and the memory that it changes.

They are those of `program.trace`, with what a whole step needs beside: changes in place, Python numbers
that are read anew at each call, values that are the same at every call, and a refusal of all that would go
unrecorded.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn
from weakref import ref

import numpy as np

from ... import ops
from ...kinds import KINDS
from ...ops import Operation
from ...ops.apply import laid_out
from ...tensors import Tensor
from ..instructions import Array, Var, flatten, substitute
from ..trace import XP, ReadOutError, Tape, Traced, plain, source
from .shapes import ShapeTape, is_torch, shaped


class UnsupportedError(RuntimeError):
    """The step does something that only eager code can do; the message says what, and where."""


class UnsettledError(Exception):
    """The function makes something at its first call that later ones find made, such as an optimizer's
    state."""


def refuse(what: str) -> NoReturn:
    raise UnsupportedError(f"{source() or 'the compiled function'}: {what}")


@dataclass(eq=False)
class Cell:
    """Memory: `var` is what it holds now, `before` what it held when the step began. `owner`: a Tensor that
    holds it, None for memory that the step itself made; `others`: the Tensors that hold the same. `version`
    counts the changes."""

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

    cell: that memory, None for a result that nothing was written to. seen: the memory that it is a view of,
    and the version it shows. number: it stands for a Python number, and takes the dtype of what it meets.
    lost: it was made by NumPy behind the tape's back, and must not be computed with.
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
        traced = [each for each in inputs if isinstance(each, Recorded) and each.var is not None]
        (target,) = options.pop("out", (None,))
        if not traced and not isinstance(target, Recorded):
            return super().__array_ufunc__(ufunc, method, *inputs, **options)
        if method != "__call__":
            if not all(each.is_known() for each in traced):
                raise ReadOutError(told(f"numpy.{ufunc.__name__}.{method}"))
            return getattr(ufunc, method)(*map(plain, inputs), **options)
        if target is not None and not isinstance(target, Recorded):
            refuse("NumPy writes what was computed into an array that is no Tensor's")
        arrays = [
            each for each in inputs if isinstance(each, np.ndarray) and not getattr(each, "number", False)
        ]
        if arrays and traced:
            dtype = np.result_type(*(each.dtype for each in arrays))
            inputs = tuple(
                XP.astype(each, dtype)
                if isinstance(each, Recorded) and each.number and dtype.kind == "f"
                else each
                for each in inputs
            )
        made = (
            super().__array_ufunc__(ufunc, method, *inputs)
            if traced
            else np.asarray(ufunc(*map(plain, inputs)))
        )
        if target is None:
            return made
        return target.tape.write(target, made)

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
        """Return the memory it stands for. One array may stand for several results, each with its own."""
        return self.seen[0] if self.seen is not None else super().memory()

    def is_known(self) -> bool:
        """Whether its values are the same at every call."""
        if self.var is None:
            return not self.lost
        return self.var.constant or self.var in self.tape.fixed

    def __bool__(self) -> bool:
        if self.is_known():
            return bool(plain(self))
        if "_refuse_zero" in _engine_frames():
            return bool(plain(self))  # the emitted code looks for itself
        raise ReadOutError(told("a branch on data"))

    def item(self, *args: Any) -> Any:
        if self.is_known():
            return plain(self).item(*args)
        raise ReadOutError(told("item()"))

    def tolist(self) -> Any:
        return plain(self).tolist() if self.is_known() else self.item()

    def __int__(self) -> int:
        return int(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __index__(self) -> int:
        return self.item().__index__()

    def nonzero(self) -> Any:
        return self.item()  # how many there are is a value

    def reshape(self, *shape: Any, **options: Any) -> Any:
        wanted = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
        return XP.reshape(self, plain(self).reshape(wanted, **options).shape)

    def astype(self, dtype: Any, **_: Any) -> Any:  # type: ignore[override]
        return self if np.dtype(dtype) == self.dtype else XP.astype(self, np.dtype(dtype))

    def copy(self, *_: Any) -> Any:
        return XP.copy(self)

    def take(self, index: Any, axis: int = 0) -> Any:  # type: ignore[override]
        return XP.index(self, (slice(None),) * axis + (index,))


KINDS[Recorded] = XP


def _engine_frames() -> set[str]:
    """The names of the running functions, up to the caller's own code."""
    names = set()
    frame = sys._getframe(2)
    while frame is not None and frame.f_code.co_filename.startswith((PACKAGE, "<")):
        names.add(frame.f_code.co_name)
        frame = frame.f_back  # type: ignore[assignment]
    return names


def _running(code: Any) -> FrameType | None:
    """The frame of a function that is being run."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code is not code:
        frame = frame.f_back
    return frame


PACKAGE = str(Path(__file__).parents[2])


def _refuse_power(base: Any, exponent: Any) -> None:
    """Refuse a power of which a number among the arguments decides how it is computed: there is one way only
    for a Python float, such as Adam's beta."""
    if getattr(exponent, "number", False) and not isinstance(base, float):
        refuse(
            "a number among the arguments is an exponent, which decides how a power is computed (as a root, "
            "say); give it as a Tensor"
        )
    if getattr(base, "number", False) and not isinstance(exponent, np.ndarray):
        refuse("a number among the arguments is raised to a power, for which Python has no largest number")


def told(how: str) -> str:
    """The sentence about a value that is read out, with the caller's line."""
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
        self.code: Any = None  # the function's
        self.frame: FrameType | None = None  # which keeps its local variables when it has returned
        self.fixed: set[Var] = (
            set()
        )  # the variables that depend on nothing but arrays that the step makes itself
        self.place = "cpu"  # the device of the torch tensors that the step meets; "cpu" where it meets none
        self.places: dict[Var, str] = {}  # those of the variables that are torch tensors
        self._foreign: dict[int, tuple[Any, Array]] = {}

    def array(self, var: Var) -> Recorded:
        made = np.asarray(var.value).view(Recorded)
        made.var, made.tape, made.lost = var, self, False
        self.arrays.append(ref(made))
        return made

    def of(self, cell: Cell) -> Recorded:
        made = self.array(cell.var)
        made.cell, made.seen = cell, (cell, cell.version)
        return made

    def device(self, x: Traced) -> str:
        if x.var.constant or getattr(x, "number", False):
            return self.place  # a number is at home everywhere
        return self.places.get(x.var, "cpu")

    def value(self, operation: Operation, inputs: tuple[Any, ...], parameters: tuple[Any, ...]) -> Array:
        """What the operation makes, or what stands in for it where that is a torch tensor."""
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
        """A torch tensor that the step makes itself as an array of NumPy's; anything else as it is."""
        if not is_torch(x):
            return x
        if id(x) not in self._foreign:
            self._foreign[id(x)] = x, KINDS[type(x)].to_numpy(x)  # with x, so that its id stays its own
        return self._foreign[id(x)][1]

    def _depends_on_fixed(self, inputs: tuple[Any, ...], parameters: tuple[Any, ...]) -> bool:
        arrays = [each for each in flatten((*inputs, *parameters)) if isinstance(each, np.ndarray)]
        return all(each.constant or each in self.fixed for each in map(self.variable, arrays))

    def variable(self, x: Any) -> Any:
        if is_torch(x):
            var = super().variable(self._known_array(x))
            self.put(var, KINDS[type(x)].device(x))
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
        if value.size:
            return super().constant(value)
        var = Var(value)  # of no elements there is no number that they are
        self.fixed.add(var)
        self.places[var] = self.place
        return self.array(var)

    def apply(self, operation: Operation, inputs: tuple[Any, ...], parameters: tuple[Any, ...]) -> Any:
        if self.frame is None:
            self.frame = _running(self.code)
        if operation is ops.elementwise.pow and any(getattr(each, "number", False) for each in inputs):
            _refuse_power(*inputs)
        made: Any = super().apply(operation, inputs, parameters)
        made.number = all(getattr(each, "number", isinstance(each, (int, float))) for each in inputs)
        if made.var is not None:
            if self._depends_on_fixed(inputs, parameters):
                self.fixed.add(made.var)
            if self.place != "cpu" or operation is ops.shape.to_device:
                self._settle(made.var, operation, inputs, parameters)
        if operation.view and isinstance(inputs[0], Recorded):
            base = inputs[0]
            if base.cell is None and base.seen is None:  # a result: from now on it is memory with a view
                base.cell = Cell(base, base.var)
                base.seen = (base.cell, 0)
            made.seen = base.seen
        return made

    def either(self, condition: Traced, a: Callable[[], Any], b: Callable[[], Any]) -> Any:
        """Return what a rule computes where the condition holds, or else: at each call by its own values."""
        if not isinstance(condition, Recorded) or condition.is_known():
            return super().either(condition, a, b)
        return XP.where(condition, a(), b())

    def neutral(self, operation: Operation) -> float | None:
        """As for a reader, but of a sum: 1 / x and 1 / (x + 0) are different infinities where x is -0."""
        return None if operation is ops.elementwise.add else super().neutral(operation)

    def put(self, var: Var, place: str) -> None:
        """Note on which device a variable is. UnsupportedError where torch's tensors are on several."""
        self.places[var] = place
        if place != "cpu" and self.place not in ("cpu", place):
            refuse(f"Tensors on {self.place} and on {place} are not compiled together")
        self.place = place if place != "cpu" else self.place

    def _settle(self, made: Var, operation: Operation, inputs: Any, parameters: Any) -> None:
        """Note on which device a result is. RuntimeError where its operands are on several."""
        if operation is ops.shape.to_device:
            self.put(made, parameters[0])
            return
        at_home = [each for each in inputs if isinstance(each, Recorded) and not each.number]
        places = list(dict.fromkeys(self.device(each) for each in at_home if not each.var.constant))
        if len(places) > 1:
            raise RuntimeError(
                f"{operation.name}: expected all tensors to be on the same device, but found {places[0]} and "
                f"{places[1]}"
            )
        self.places[made] = places[0] if places else self.place

    def write(self, target: Recorded, value: Any) -> Recorded:
        """Return the target's memory as it is from here on: it holds `value`, broadcast and in its dtype. The
        target itself keeps what it was, which a rule may have kept too, and may not be used any more."""
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
