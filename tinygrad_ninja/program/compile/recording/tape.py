"""The tape of a step: what is computed with recorded arrays, and the memory that changes.

It is that of `program.trace`, with what a whole step needs in addition. What can't be recorded closes the
tape; the step goes on, and nothing is recorded any more.
"""

from __future__ import annotations

from collections.abc import Callable
from sys import _getframe
from types import FrameType
from typing import Any
from weakref import ref

import numpy as np

from .... import ops
from ....arrays import python_floats
from ....arrays.dispatch import NAMESPACES, array_dtype, namespace_of
from ....arrays.dtypes import from_numpy_dtype
from ....engine.apply import laid_out
from ....engine.tensor import Tensor
from ....ops import Operation
from ...instructions import Array, Var, evaluate, flatten, known_number, substitute
from ...trace import XP, Tape, Traced, operation_of, plain
from ..guards.owners import is_a
from ..refusals import UnsupportedError, placed
from .recorded import Handle, Memory, Recorded, real, write
from .shapes import is_torch, stand_in_for


def _running(code: Any) -> FrameType | None:
    """Return the frame in which a function's code runs; None where it does not run."""
    frame: FrameType | None = _getframe(1)
    while frame is not None and frame.f_code is not code:
        frame = frame.f_back
    return frame


class StepTape(Tape):
    """A tape on which memory can change. at_once: raise UnsupportedError where something can't be recorded,
    in place of closing the tape."""

    def __init__(self, at_once: bool = False) -> None:
        super().__init__()
        self.at_once = at_once
        self.reason = ""  # why it was closed
        self.line = ""  # where the function begins, once it has returned
        self.on_close: Callable[[], None] = lambda: None
        self.code: Any = None  # that of the function being recorded
        self._frame: FrameType | None = None  # its frame, kept for the names of its local variables
        self.fixed: set[Var] = set()  # those that depend on nothing but arrays that the step makes itself
        self.place = "cpu"  # the device of the torch tensors that the step meets; "cpu" where it meets none
        self.places: dict[Var, str] = {}  # the devices of variables that are torch tensors
        self._handles: dict[int, tuple[ref[Any], Handle]] = {}  # what each real array shows, by its id
        self._shown: list[ref[Recorded]] = []

    def take_variables(self) -> dict[str, Tensor]:
        """Return the Tensors among the local variables of the function, which has returned, and let go of its
        frame. That holds what functions within it use, too, which would seem to be kept."""
        frame, self._frame, self.code = self._frame, None, None
        held = frame.f_locals if frame is not None else {}
        return {name: value for name, value in held.items() if is_a(value, Tensor)}

    def stop(self, what: str) -> None:
        """Record nothing any more: the step does `what`, at the line that runs now."""
        if self.closed:
            return
        self.reason = f"{self.line}: {what}" if self.line else placed(what)
        self.closed = True
        self.on_close()
        if self.at_once:
            raise UnsupportedError(self.reason)

    # -- arrays ----------------------------------------------------------------------------------------------

    def handle_of(self, array: Any) -> Handle | None:
        """Return what a real array shows; None where the tape has not met it."""
        known = self._handles.get(id(array))
        return known[1] if known is not None and known[0]() is array else None

    def know(self, array: Any, handle: Handle) -> None:
        """Remember what a real array shows."""
        self._handles[id(array)] = ref(array), handle

    def shown(self, array: Any, handle: Handle) -> Recorded:
        """Return the recorded array that stands for a real one."""
        recorded = (handle.var(self).value if is_torch(array) else array).view(Recorded)
        recorded.tape, recorded.handle, recorded.held = self, handle, array
        self._shown.append(ref(recorded))
        return recorded

    def left(self) -> list[Recorded]:
        """Return the recorded arrays, but those of numbers, that something holds still."""
        arrays = (array() for array in self._shown)
        return [array for array in arrays if array is not None and not array.number]

    def array(self, var: Var) -> Recorded:
        """Return a new array of a variable, in memory of its own."""
        value = np.asarray(var.value)
        return self.fresh(var, value)

    def fresh(self, var: Var, array: Any) -> Recorded:
        """Return the recorded array of a variable that is now in the memory of a real array."""
        handle = Handle(Memory(var), (), var)
        self.know(array, handle)
        return self.shown(array, handle)

    def born(self, array: Any) -> Recorded:
        """Return the recorded array of one that the step has made itself: it is the same at every call."""
        handle = self.handle_of(array)
        if handle is None:
            var = self._fixed(array)
            handle = Handle(Memory(var), (), var)
            self.know(array, handle)
        return self.shown(array, handle)

    def _fixed(self, array: Any) -> Var:
        """Return a variable for an array that is the same at every call: its values are kept, since the step
        may change the array later."""
        values = np.array(namespace_of(array).to_numpy(array) if is_torch(array) else array)
        var = Var(values, constant=values.ndim == 0)
        self.fixed.add(var)
        if is_torch(array):
            self.put(var, namespace_of(array).device(array))
        return var

    def seen_through(self, memory: Memory, chain: tuple[Any, ...]) -> Var:
        """Return what a chain of views shows of a memory as it is now."""
        base: Any = self.shown(memory.array, Handle(memory, (), memory.var))
        for operation, parameters in chain:
            base = self.apply(operation, (base,), parameters)
        return base.var

    def variable(self, x: Any) -> Any:
        """Return the variable of an array as it is now; anything else unchanged."""
        if isinstance(x, Recorded):
            if x.handle is None:
                self.stop("a function of NumPy's was applied to a Tensor's values, which is not recorded")
                return Var(plain(x))
            return x.var
        if isinstance(x, np.ndarray) or is_torch(x):
            return self.born(x).var
        return x

    def constant(self, value: Array, like: Any = None) -> Any:
        """Return the array of a value that is the same at every call. like: an array of the kind wanted."""
        array = real(like)
        array = NAMESPACES[type(array)].from_numpy(value, self.place) if is_torch(array) else value
        if self.closed:
            return array
        if value.size:
            return self.fresh(Var(value.copy(), constant=True), array)
        self.places[var := self._fixed(value)] = self.place  # it has no number that all its elements equal
        return self.fresh(var, array)

    def device(self, x: Traced) -> str:
        """Return the device of a traced array."""
        array = real(x)
        if isinstance(x, Recorded) and (getattr(x, "number", False) or (x._open() and x.var.constant)):
            return self.place  # a number can be used on every device
        place: str = namespace_of(array).device(array)
        return place

    # -- computing -------------------------------------------------------------------------------------------

    def entry(self, ufunc: Any, closed: bool = False) -> Any:
        """Return the operation that a function of NumPy's, or a Python operator, is, with further operands.
        None, and the tape is closed, where there is none."""
        if self.closed and not closed:
            return None
        if not (entry := operation_of(ufunc)):
            self.stop(f"numpy.{ufunc.__name__} is not compiled; use the Tensor's own functions")
        return entry or None

    def compute(self, operation: Operation, inputs: tuple[Any, ...], parameters: tuple[Any, ...]) -> Any:
        """Return the result of the operation on real arrays, as eager code computes it."""
        if all(getattr(x, "number", isinstance(x, (int, float))) for x in inputs):
            numbers = [real(x).item() if isinstance(x, Recorded) else x for x in inputs]
            if not any(isinstance(x, Recorded) for x in flatten(parameters)) and not parameters:
                return np.asarray(evaluate(operation, python_floats, numbers, ()))
        operands = [real(x) for x in inputs]
        known = substitute(parameters, real)
        foreign = next((x for x in flatten((*operands, *known)) if is_torch(x)), None)
        if foreign is None:
            with np.errstate(all="ignore"):
                xp: Any = namespace_of(next((x for x in operands if isinstance(x, np.ndarray)), operands[0]))
                value = evaluate(operation, xp, operands, known)
            if is_torch(value):  # it was moved there
                return value
            value = np.asarray(value)
            return value if operation.view else laid_out(operation, value, (*operands, *known))
        kind = namespace_of(foreign)
        place = kind.device(foreign)
        operands, known = substitute((tuple(operands), known), lambda x: _for_torch(x, foreign, place))
        result = evaluate(operation, kind, operands, known)
        return result if isinstance(result, np.ndarray) else kind.asarray(result)

    def apply(self, operation: Operation, inputs: tuple[Any, ...], parameters: tuple[Any, ...]) -> Any:
        """Compute an operation and record it, and return its result as a recorded array."""
        if operation is ops.elementwise.pow:  # how a power is computed depends on the exponent
            inputs = inputs[0], _settled(inputs[1])
        inputs, parameters = substitute((inputs, parameters), _number)
        array = self.compute(operation, inputs, parameters)
        if self.closed:
            return array
        if self._frame is None and self.code is not None:
            self._frame = _running(self.code)
        foreign = is_torch(array)
        fixed = self._depends_on_fixed(inputs, parameters)
        value = (
            array if not foreign else namespace_of(array).to_numpy(array) if fixed else stand_in_for(array)
        )
        var = self.record(operation, inputs, parameters, value)
        if self.closed:
            return array
        if fixed and var.value is value:
            var.value = np.array(value)  # a copy: the step may change the memory later
            self.fixed.add(var)
        if foreign:
            self.put(var, namespace_of(array).device(array))
        base = inputs[0] if operation.view else None
        if isinstance(base, Recorded) and base.handle is not None and _share(array, real(base)):
            handle = base.handle
            if handle.memory.array is None:
                handle.memory.array = real(base)
            result = self.shown(array, Handle(handle.memory, (*handle.chain, (operation, parameters)), var))
            self.know(array, result.handle)  # type: ignore[arg-type]  # it has one
        else:
            result = self.fresh(var, array)
        assert result.handle is not None
        result.handle.number = all(getattr(x, "number", isinstance(x, (int, float))) for x in inputs)
        return result

    def depends_on_constants(self, variables: tuple[Any, ...], parameters: tuple[Any, ...]) -> bool:
        read = flatten((*variables, *substitute(parameters, self.variable)))
        return all(not isinstance(x, Var) or x.constant for x in read)

    def _depends_on_fixed(self, inputs: tuple[Any, ...], parameters: tuple[Any, ...]) -> bool:
        """Return whether the operands depend on nothing but arrays that the step makes itself."""
        arrays = [x for x in flatten((*inputs, *parameters)) if isinstance(x, np.ndarray) or is_torch(x)]
        return all(var.constant or var in self.fixed for var in map(self.variable, arrays))

    def either(self, condition: Traced, a: Callable[[], Any], b: Callable[[], Any]) -> Any:
        """Return a() where the condition holds, else b(): chosen at each call, if the condition depends on
        values."""
        if not isinstance(condition, Recorded) or condition.is_known():
            return a() if condition else b()
        return XP.where(condition, a(), b())

    def is_neutral(self, operation: Operation, x: Any) -> bool:
        """Return whether this is the operation's neutral element, bit for bit: neither 0 in a sum, since
        1 / x and 1 / (x + 0) are different infinities where x is -0, nor -0 in a difference."""
        if not super().is_neutral(operation, x) or operation is ops.elementwise.add:
            return False
        return operation is not ops.elementwise.sub or not np.signbit(float(known_number(x)))

    def put(self, var: Var, place: str) -> None:
        """Record on which device a variable is. Close the tape where torch tensors are on several."""
        self.places[var] = place
        if place != "cpu" and self.place not in ("cpu", place):
            self.stop(f"Tensors on {self.place} and on {place} are not compiled together")
        self.place = place if place != "cpu" else self.place

    # -- changes in place ------------------------------------------------------------------------------------

    def write(self, target: Recorded, key: Any, value: Any) -> None:
        """Write to the target's memory, at the key, broadcast and in its dtype."""
        if target.handle is None:
            self.stop("NumPy writes to a part of a Tensor's memory, which is not recorded")
        if self.closed:
            write(target, key, value)
            return
        memory, chain = target.handle.memory, target.handle.chain  # type: ignore[union-attr]  # see above
        if memory.array is None:
            memory.array = real(target)
        shown = self._written(target, key, value)
        whole = shown
        if chain:
            base = self.shown(memory.array, Handle(memory, (), memory.var))
            whole = self.apply(ops.indexing.put_view, (base, shown), (chain,))
        if self.closed:
            write(target, key, value)
            return
        old = memory.var
        if old.constant or old in self.fixed:
            old.value = old.value.copy()
        write(target, key, value)
        memory.var = whole.var
        memory.version += 1
        target.handle.show(shown.var)  # type: ignore[union-attr]  # see above

    def _written(self, target: Recorded, key: Any, value: Any) -> Any:
        """Return what the target shows once `value` is written to it."""
        whole = key is Ellipsis or key == (Ellipsis,) if not hasattr(key, "shape") else False
        if not whole:
            key = key if isinstance(key, tuple) else (key,)
            return self.apply(ops.indexing.put, (target, value), (key,))
        if not isinstance(value, Recorded):
            if np.ndim(value) == 0 and not is_torch(value):
                value = self.constant(np.full(target.shape, value, target.dtype), target)
            else:
                value = self.born(value if is_torch(value) else np.asarray(value))
        if value.dtype != target.dtype:
            value = XP.astype(value, target.dtype)
        if value.shape != target.shape:
            value = XP.broadcast_to(value, target.shape)
        return value


def _number(x: Any) -> Any:
    """Return the number that a Symbol stands for, as Python's own, which is a guard by value then; anything
    else unchanged."""
    return x.settle_plain() if hasattr(type(x), "settle_plain") else x


def _settled(x: Any) -> Any:
    """Return the number that a recorded one stands for; anything else unchanged."""
    number = x.settled if isinstance(x, Recorded) else None
    return x if number is None else number


def _for_torch(x: Any, tensor: Any, place: str) -> Any:
    """Return what NumPy knows as an operand or a parameter beside a torch tensor."""
    if isinstance(x, np.ndarray):
        return namespace_of(tensor).from_numpy(x, place) if x.ndim else x.item()
    if isinstance(x, type) and issubclass(x, (np.generic, bool)):
        x = np.dtype(x)
    return array_dtype(tensor, from_numpy_dtype(x)) if isinstance(x, np.dtype) else x


def _share(view: Any, base: Any) -> bool:
    """Return whether two arrays lie in the same memory."""
    storage = namespace_of(base).storage
    return type(view) is type(base) and storage(view) is storage(base)
