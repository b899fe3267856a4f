"""Arrays that record what is computed with them, and the memory in which they lie.

A recorded array computes with real numbers, in the memory that eager code would use, and knows which memory
that is: a view reads it as it is when it is used, and a change in place gives the memory another variable.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from sys import _getframe
from typing import TYPE_CHECKING, Any

import numpy as np

from ....arrays.dispatch import NAMESPACES, namespace_of
from ....engine.tensor import Tensor
from ...instructions import Array, Var, substitute
from ...trace import XP, Traced, plain
from ..refusals import read_out_message
from .shapes import is_torch

if TYPE_CHECKING:
    from .tape import StepTape


@dataclass(eq=False)
class Memory:
    """Memory: `var` is its value now, laid out as the array is. version: how often it was changed.

    before: its value when the step began, None for memory that the step itself made. owner: a Tensor that
    holds it, `others` the other ones, of memory that was there before.
    """

    var: Var
    array: Any = None
    before: Var | None = None
    owner: Tensor | None = None
    others: list[Tensor] = field(default_factory=list)
    version: int = 0
    address: Any = None

    @property
    def is_changed(self) -> bool:
        """Return whether the step has changed it, of memory that was there before."""
        return self.var is not self.before


class Handle:
    """What an array shows: a memory, through a chain of views ((operation, parameters), …).

    number: it stands for a Python number, which adapts to the dtype of the other operand. settle: returns
    that number, which is a guard by value then.
    """

    __slots__ = ("_var", "_version", "chain", "memory", "number", "settle")

    settle: Callable[[], Any] | None

    def __init__(self, memory: Memory, chain: tuple[Any, ...], var: Var) -> None:
        self.memory, self.chain, self._var, self._version = memory, chain, var, memory.version
        self.number, self.settle = False, None

    def var(self, tape: StepTape) -> Var:
        """Return the variable of what it shows now."""
        if self._version != self.memory.version and not tape.closed:
            self.show(self.memory.var if not self.chain else tape.seen_through(self.memory, self.chain))
        return self._var

    def show(self, var: Var) -> None:
        """Take a variable as what it shows of the memory as that is now."""
        self._var, self._version = var, self.memory.version


def _taken_out(function: Any) -> str:
    """Return why what calls a function of NumPy's is not compiled."""
    return (
        f"numpy.{function.__name__}, which is called here or by what is called here, takes a Tensor's values "
        "out; use functions of Tensors that return Tensors"
    )


class Recorded(Traced):
    """A traced array that stands for real numbers.

    held: the array that Tensors hold in its place: of the same memory, or a torch tensor (then this one has
    its shape and dtype, and no numbers).
    """

    __array_priority__ = 2000  # above a torch tensor's: an operator asks this class first
    tape: StepTape
    handle: Handle | None
    held: Any

    def __array_finalize__(self, source: Any) -> None:
        self.handle = self.origin = None
        self.held = None
        if isinstance(source, Recorded) and source.handle is not None:
            self.tape = source.tape  # NumPy made it without the tape

    @property
    def number(self) -> bool:
        """Return whether it stands for a Python number."""
        return self.handle is not None and self.handle.number

    @property
    def settled(self) -> Any:
        """Return the number that it stands for, which is a guard by value from here on; None where it stands
        for none, or for one that is computed."""
        known = self.handle is not None and self.handle.settle is not None
        return self.handle.settle() if known else None  # type: ignore[union-attr, misc]  # it has one

    @property
    def var(self) -> Any:
        """Return the variable of the numbers as they are now; None where NumPy made the array."""
        return None if self.handle is None else self.handle.var(self.tape)

    @var.setter
    def var(self, var: Any) -> None:
        raise AttributeError("what a recorded array shows is decided by its memory")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        arrays = [x for x in (*inputs, *options.get("out", ())) if isinstance(x, Recorded)]
        tape = arrays[0].tape
        inputs = tuple(getattr(x, "recorded_number", x) for x in inputs)
        by_numpy = any(isinstance(x, Tensor) for x in inputs)  # which it makes an array of, and back
        if method != "__call__" or (options.keys() - {"out"}) or by_numpy:
            if not all(x.is_known() for x in arrays):
                tape.stop(_taken_out(ufunc))
            return getattr(ufunc, method)(*map(in_numpy, inputs), **_substitute_options(options))
        entry = tape.entry(ufunc)
        (target,) = options.get("out", (None,))
        if tape.closed or entry is None:
            if all(x.held is None or isinstance(x.held, np.ndarray) for x in arrays):
                return ufunc(*map(real, inputs), **_substitute_options(options))
            value = tape.compute(tape.entry(ufunc, closed=True)[0], (*inputs,), ())
            return value if target is None else write(target, ..., value)
        operation, *more = entry
        result = tape.apply(operation, (*_in_common(inputs), *more), ())
        if target is None:
            return result
        if not isinstance(target, Recorded):
            tape.stop("NumPy writes what was computed into an array that is no Tensor's")
            return ufunc(*map(real, inputs), **options)
        tape.write(target, ..., result)
        return target

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        caller = _getframe(1).f_globals.get("__name__", "")
        ours = self.handle is not None and caller.startswith(__package__.split(".")[0])
        if ours and (function in _OF_SHAPES or not is_torch(self._held())):
            return super().__array_function__(function, types, args, kwargs)  # of shapes, and known values
        self.tape.stop(_taken_out(function))
        bare = substitute((tuple(args),), in_numpy)[0]
        return function(*bare, **{name: in_numpy(value) for name, value in kwargs.items()})

    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__(key) if self._open() else self._held()[substitute((key,), real)[0]]

    def __setitem__(self, key: Any, value: Any) -> None:
        if self._open():
            self.tape.write(self, key, value)
        else:
            write(self, key, value)

    def _open(self) -> bool:
        """Return whether what is done with the array is recorded."""
        return self.handle is not None and not self.tape.closed

    def _held(self) -> Any:
        return self.view(np.ndarray) if self.held is None else self.held

    def memory(self) -> Any:
        """Return the memory that changes where this array is changed in place."""
        array = self._held()
        return namespace_of(array).storage(array)

    def is_known(self) -> bool:
        """Return whether the array's values are the same at every call."""
        return not self._open() or self.var.constant or self.var in self.tape.fixed

    def known(self, how: str) -> Array:
        """Return the values. Where they may be others at the next call, close the tape: `how` reads them."""
        if not self.is_known():
            self.tape.stop(read_out_message(how))
        array = self._held()
        return namespace_of(array).to_numpy(array) if is_torch(array) else array

    def reshape(self, *shape: Any, **options: Any) -> Any:
        wanted = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
        if not self._open():
            return self._held().reshape(wanted, **options)
        return XP.reshape(self, plain(self).reshape(wanted, **options).shape)

    def astype(self, dtype: Any, **_: Any) -> Any:  # type: ignore[override]
        return self if np.dtype(dtype) == self.dtype else XP.astype(self, np.dtype(dtype))

    def copy(self, *_: Any) -> Any:
        return XP.copy(self)

    def take(self, index: Any, axis: int = 0) -> Any:  # type: ignore[override]
        return XP.index(self, (slice(None),) * axis + (index,))


NAMESPACES[Recorded] = XP
Recorded.__name__ = "numpy.ndarray"  # as Python's messages call it
_OF_SHAPES = {np.shape, np.ndim, np.size, np.result_type, np.may_share_memory, np.shares_memory}
"""NumPy's functions that read no values: a recorded torch tensor has none in NumPy's memory."""


def in_numpy(x: Any) -> Any:
    """Return the values of a recorded array in NumPy's memory; anything else unchanged."""
    array = real(x)
    return namespace_of(array).to_numpy(array) if is_torch(array) else array


def real(x: Any) -> Any:
    """Return the array that a recorded one stands for; anything else unchanged."""
    return x._held() if isinstance(x, Recorded) else x


def _substitute_options(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a function of NumPy's, with real arrays in the place of recorded ones."""
    return {
        name: tuple(map(real, value)) if isinstance(value, tuple) else real(value)
        for name, value in options.items()
    }


def write(target: Any, key: Any, value: Any) -> Any:
    """Write to the real memory of an array, and return that."""
    array = real(target)
    array[substitute((key,), real)[0]] = real(value)
    return array


def _in_common(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return operands with Python numbers that were recorded in the dtype of the arrays beside them."""
    arrays = [x for x in inputs if isinstance(x, np.ndarray) and not getattr(x, "number", False)]
    if not arrays:
        return inputs
    dtype = np.result_type(*(array.dtype for array in arrays))
    return tuple(
        XP.astype(x, dtype) if isinstance(x, Recorded) and x.number and dtype.kind == "f" else x
        for x in inputs
    )
