"""Tracing: arrays that record, on a tape, what is computed with them.

A `Traced` is an array like the others in `arrays`: an operation's forward function and its rules run
on it as they are, and leave instructions behind. It is also a real array, so that a shape, a dtype or a value
never has to be inferred; but it refuses to let the traced code read its values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from traceback import FrameSummary
from typing import Any, NoReturn

import numpy as np

from ..arrays import numpy_arrays
from ..arrays.dispatch import NAMESPACES, array_dtype, namespace_of
from ..arrays.dtypes import from_numpy_dtype
from ..engine.callers import callers, is_file_of_python, place
from ..ops import TABLE, Operation, comparison, elementwise, indexing, reduction, rounding, shape
from ..ops.standard import entry_called
from .instructions import Array, Instruction, Var, evaluate, flatten, known_number, substitute


class ReadOutError(RuntimeError):
    """The traced code used the value of a Tensor as a Python number: what follows from it is not recorded."""


class Tape:
    """A list to which instructions are recorded until it is closed. `answers` is the forward instruction
    whose rule runs now.

    A rule may read a value only to take a shortcut (`prod` without zeros): the values are then those that
    were recorded. Elsewhere that is an error.
    """

    def __init__(self) -> None:
        self.instructions: list[Instruction] = []
        self.answers: Instruction | None = None
        self.closed = False
        self._known: dict[int, Var] = {}
        self._computed: dict[tuple[Operation, str, str], Var] = {}
        self._summed: dict[Var, tuple[Var, tuple[int, ...]]] = {}

    def array(self, var: Var) -> Traced:
        """Return the array of a variable; what is computed with it is recorded here."""
        array = np.asarray(var.value).view(Traced)
        array.var, array.tape = var, self
        return array

    def forget(self) -> None:
        """Let results computed before be computed again: the next rule stands for itself."""
        self._computed.clear()

    def variable(self, x: Any) -> Any:
        """Return the variable of an array, always the same for an array that was not traced; anything else
        unchanged."""
        if isinstance(x, Traced) and x.var is not None:
            return x.var
        if not isinstance(x, np.ndarray):
            return x
        return self._known.setdefault(id(x), Var(plain(x)))  # holds the array, so that its id is not reused

    def operand(self, x: Any) -> Any:
        """Return a variable as its array; anything else unchanged."""
        return self.array(x) if isinstance(x, Var) else x

    def constant(self, value: Array, like: Any = None) -> Traced:
        """Return the array of a constant: all its elements are equal. like: an array of the kind wanted."""
        return self.array(Var(value, constant=True))

    def value(self, operation: Operation, inputs: tuple[Any, ...], parameters: tuple[Any, ...]) -> Array:
        """Return the result of the operation on arrays."""
        with np.errstate(all="ignore"):
            return np.asarray(
                evaluate(operation, numpy_arrays, map(plain, inputs), substitute(parameters, plain))
            )

    def depends_on_constants(self, variables: tuple[Any, ...], parameters: tuple[Any, ...]) -> bool:
        """Return whether a result is the same whatever the inputs of the program are."""
        return all(not isinstance(x, Var) or x.constant for x in variables)

    def is_neutral(self, operation: Operation, x: Any) -> bool:
        """Return whether this is the operation's neutral element, as a reader sees it (-0 + 0 is 0)."""
        return operation.neutral is not None and known_number(x) == operation.neutral

    def either(self, condition: Traced, a: Callable[[], Any], b: Callable[[], Any]) -> Any:
        """Return a() where the condition holds, else b(): as it was when this was recorded."""
        return a() if condition else b()

    def checked(self, condition: Traced) -> Any:
        """Return the truth of what decides only whether an error is raised."""
        return plain(condition)

    def device(self, x: Traced) -> str:
        """Return the device of the numbers that a traced array stands for."""
        return "cpu"

    def to_numpy(self, x: Traced) -> Any:
        """Return the result of `numpy()` for a traced array."""
        return x

    def apply(self, operation: Operation, inputs: tuple[Any, ...], parameters: tuple[Any, ...]) -> Traced:
        """Compute the operation and record it, and return its result."""
        value = self.value(operation, inputs, parameters)
        if self.closed:
            return value.view(Traced)
        array = self.array(self.record(operation, inputs, parameters, value))
        if operation.view:
            array.origin = (inputs[0], operation, parameters)
        return array

    def record(
        self, operation: Operation, inputs: tuple[Any, ...], parameters: tuple[Any, ...], value: Array
    ) -> Var:
        """Record an operation with its result, and return the variable of that: a new one, unless the same
        was computed before, or it is a constant, or one of the inputs."""
        variables = tuple(self.variable(x) for x in inputs)
        if self.depends_on_constants(variables, parameters) and value.size and (value == value.flat[0]).all():
            return Var(value, constant=True)
        if operation.neutral is not None:
            swap = operation.commutative and not self.is_neutral(operation, variables[1])
            x, what = (inputs[1], variables[0]) if swap else (inputs[0], variables[1])
            if (
                self.is_neutral(operation, what)
                and np.shape(x) == value.shape
                and np.asarray(x).dtype == value.dtype
            ):
                var: Var = self.variable(x)
                return var
        if operation is shape.reshape and (summed := self._summed.get(variables[0])) is not None:
            x, axes = summed  # the dimensions of size 1 that the sum kept are dropped now
            if value.shape == tuple(n for i, n in enumerate(x.shape) if i not in axes):
                operation, variables, parameters = reduction.sum, (x,), (axes, False)
        options = substitute(parameters, self.variable)
        same = (operation, repr(tuple(map(_identity, variables))), repr(substitute(options, _identity)))
        result = self._computed.get(same)
        if result is None or operation is shape.clone:  # a clone is always another array
            result = self._computed[same] = Var(value)
            flows = (False,) * len(variables)
            self.instructions.append(
                Instruction(operation, variables, options, result, flows, self.answers, source())
            )
            if operation is reduction.sum and options[0] is not None and options[1]:
                self._summed[result] = variables[0], options[0]
        return result


class Traced(np.ndarray[Any, Any]):
    """An array and the variable whose value it is. Without a variable it is an array like any other."""

    var: Any  # a Var or None; NumPy's own `var` is a method
    tape: Tape
    origin: tuple[Any, Operation, tuple[Any, ...]] | None
    """For a view: the array that it was taken from, the operation and its parameters."""

    def __array_finalize__(self, source: Any) -> None:
        self.var = self.origin = None

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        traced = [x for x in inputs if isinstance(x, Traced) and x.var is not None]
        if method != "__call__" or not traced:
            return getattr(ufunc, method)(*map(plain, inputs), **options)
        entry, *more = operation_of(ufunc) or refuse(f"numpy.{ufunc.__name__}")
        return traced[0].tape.apply(entry, (*inputs, *more), ())

    def __getitem__(self, key: Any) -> Any:
        if self.var is None:
            return super().__getitem__(key)
        key = key if isinstance(key, tuple) else (key,)
        return XP.index(self, key if Ellipsis in [e for e in key if not hasattr(e, "shape")] else (*key, ...))

    @property
    def mT(self) -> Any:  # noqa: N802 - the standard's name
        return XP.permute_dims(self, (*range(self.ndim - 2), self.ndim - 1, self.ndim - 2))

    def memory(self) -> Any:
        """Return the memory that changes where this array is changed in place."""
        return numpy_arrays.storage(self)

    def __setitem__(self, key: Any, value: Any) -> None:
        if self.var is None or self.tape.closed:
            plain(self)[key] = plain(value)
            return
        base: Traced = self
        chain: tuple[Any, ...] = ()
        while base.origin is not None:
            base, *how = base.origin
            chain = (tuple(how), *chain)
        if key is not Ellipsis:
            refuse("a change of a part in place")
        assert base.var is not None
        if chain:
            changed = self.tape.apply(indexing.put_view, (base, value), (chain,))
        else:
            changed = self.tape.apply(indexing.put, (base, value), ((Ellipsis,),))
        base.var.value = base.var.value.copy()  # keeps the old value, for this array now holds the new one
        plain(base)[...] = plain(changed)
        base.var = changed.var

    def known(self, how: str) -> Array:
        """Return the values, which `how` reads. Raise ReadOutError where they may be others."""
        return plain(self) if self.var is None or self.tape.closed else refuse(how)

    def __bool__(self) -> bool:
        # A rule branches on data only to take a shortcut.
        shortcut = self.var is not None and self.tape.answers
        return bool(plain(self) if shortcut else self.known("a branch on data"))

    def item(self, *args: Any) -> Any:
        return self.known("item(), or what else asks for a number,").item(*args)

    def tolist(self) -> Any:
        return self.known("tolist()").tolist()

    def __int__(self) -> int:
        return int(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __index__(self) -> int:
        return self.item().__index__()

    def nonzero(self) -> Any:
        return self.known("an index by a mask").nonzero()  # the result's size depends on the values


def refuse(how: str) -> NoReturn:
    """Raise ReadOutError for the line that runs now. how: the operation that reads a value out of a
    Tensor."""
    raise ReadOutError(
        f"{source() or 'the traced code'}: {how} reads a value out of a Tensor, so that what follows would "
        f"hold for this one value only; keep it a Tensor, for instance with torch.where"
    )


def source(lines: Iterable[FrameSummary] | None = None) -> str:
    """Return the innermost of the caller's own lines, as "file:line": not one of Python's library, nor of
    what that has generated, such as a dataclass's comparison, unless there is no other. lines: those that run
    now, if none are given, the innermost first."""
    waiting = iter(callers() if lines is None else lines)
    line = first = next(waiting, None)
    while line is not None and (is_file_of_python(line.filename) or line.filename == "<string>"):
        line = next(waiting, None)
    line = line or first
    return place(line.filename, line.lineno or 0) if line is not None else ""


def plain(x: Any) -> Any:
    """Return an array without its variable; anything else unchanged."""
    return x.view(np.ndarray) if isinstance(x, Traced) else x


def _identity(x: Any) -> Any:
    """Return a key that distinguishes a variable, or a value, from all others."""
    return id(x) if isinstance(x, Var) else (type(x).__name__, x)


_UFUNCS: dict[np.ufunc, tuple[Any, ...]] = {
    np.power: (elementwise.pow,),
    np.square: (elementwise.pow, 2),
    np.reciprocal: (elementwise.pow, -1),
    np.remainder: (rounding.remainder,),
    np.floor_divide: (rounding.floor_divide,),
    np.sign: (rounding.sign,),
}
"""NumPy's functions, and the operations that equal them but for what they refuse, or their answer to NaN."""


@cache  # each operator of a traced function asks
def operation_of(ufunc: np.ufunc) -> tuple[Any, ...]:
    """Return the operation that NumPy's function, or Python's operator, is, and its further operands; an
    empty tuple where there is none."""
    return _UFUNCS.get(ufunc) or next(((entry,) for entry in TABLE.values() if entry.ufunc is ufunc), ())


class _Namespace:
    """The namespace that rules call: each name of the array API standard is an operation of the table."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        operation = entry_called(name)
        if operation is None:
            raise AttributeError(f"there is no operation {name}, which a recorded function or rule calls")
        return lambda *args, **options: self.apply(operation, *args, *options.values())

    def apply(self, operation: Operation, *args: Any) -> Any:
        """Record a whole operation, which a rule asks for by `Operation.on`, as one instruction."""
        n = len(operation.inputs)
        return _tape(args).apply(operation, args[:n], args[n:])

    def copy(self, x: Any, ordered: bool = False) -> Any:
        return _tape((x,)).apply(shape.clone, (x,), (ordered,))

    def where(self, condition: Any, a: Any, b: Any) -> Any:
        return _tape((condition, a, b)).apply(comparison.where, (a, b), (condition,))

    def either(self, condition: Traced, a: Callable[[], Any], b: Callable[[], Any]) -> Any:
        return _tape((condition,)).either(condition, a, b)

    def checked(self, condition: Any) -> bool:
        return bool(_tape((condition,)).checked(condition))

    def index(self, x: Traced, key: tuple[Any, ...]) -> Any:
        advanced = any(hasattr(item, "shape") for item in key)
        if advanced and key[-1] is Ellipsis:
            key = key[:-1]
        return _tape((x,)).apply(indexing.index if advanced else indexing.slice, (x,), (key,))

    def concat(self, arrays: Any, axis: int) -> Any:
        return _tape(arrays).apply(shape.cat, tuple(arrays), (axis,))

    def stack(self, arrays: Any, axis: int) -> Any:
        return _tape(arrays).apply(shape.stack, tuple(arrays), (axis,))

    def zeros_like(self, x: Traced) -> Any:
        return x.tape.constant(np.zeros(x.shape, x.dtype), x)

    def ones_like(self, x: Traced) -> Any:
        return x.tape.constant(np.ones(x.shape, x.dtype), x)

    def asarray(self, x: Any) -> Any:
        return np.asarray(x).view(Traced) if not isinstance(x, Traced) else x

    def to_numpy(self, x: Traced) -> Any:
        return _tape((x,)).to_numpy(x)

    def is_integral(self, x: Any) -> bool:
        return numpy_arrays.is_integral(x)

    def device(self, x: Traced) -> str:
        return _tape((x,)).device(x)

    def move(self, x: Traced, device: str) -> Any:
        return _tape((x,)).apply(shape.to_device, (x,), (device,))

    def storage(self, x: Any) -> Any:
        return x.memory() if isinstance(x, Traced) else namespace_of(x).storage(x)

    def arange(self, n: int) -> Array:
        return numpy_arrays.arange(n)


class _Untraced(Tape):
    """What stands for the tape where nothing is traced any more."""

    def apply(self, operation: Operation, inputs: tuple[Any, ...], parameters: tuple[Any, ...]) -> Any:
        array = next((x for x in flatten((*inputs, *parameters)) if hasattr(x, "dtype")), None)
        if array is None:  # numbers alone, as in eager code
            return evaluate(operation, numpy_arrays, inputs, parameters)
        kind = plain(array)

        def known(x: Any) -> Any:
            return array_dtype(kind, from_numpy_dtype(x)) if isinstance(x, np.dtype) else plain(x)

        return evaluate(operation, namespace_of(kind), map(plain, inputs), substitute(parameters, known))

    def device(self, x: Any) -> str:
        return namespace_of(plain(x)).device(x)


_UNTRACED = _Untraced()


def _tape(args: Any) -> Tape:
    """Return the tape of the first traced argument; where there is none, one that records
    nothing."""
    return next((x.tape for x in args if isinstance(x, Traced) and x.var is not None), _UNTRACED)


XP = _Namespace()
NAMESPACES[Traced] = XP


def lower(instruction: Instruction, tape: Tape | None = None) -> list[Instruction]:
    """Return the instruction as simpler ones, by its own forward function; where that is one operation of the
    table, the instruction itself. tape: a tape to use instead of an ordinary one."""
    tape = tape or Tape()
    tape.answers = instruction.answers or instruction
    result = instruction.compute(XP, tape.operand)
    made = isinstance(result, Traced) and result.var in [part.output for part in tape.instructions]
    if not made or instruction.operation in [part.operation for part in tape.instructions]:
        return [instruction]
    for part in tape.instructions:
        part.answers = instruction.answers
        if part.output is result.var:
            part.output = instruction.output
    return tape.instructions
