"""Recording a step of Values while it runs: Python's own numbers, one operation at a time.

The recording is the first call. While it runs, every Value shows a `Symbol` in place of its float, which
computes with the float and leaves a flat list of operations on numbers. A step may have tens of thousands of
them, so only three integers are kept for each. Where something can't be recorded, the list is closed with the
reason, and the call goes on with floats.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from functools import partial
from numbers import Real
from sys import _getframe
from typing import Any
from weakref import WeakSet, WeakValueDictionary

import numpy as np

from ....arrays import numpy_arrays, python_floats
from ....arrays.dispatch import NAMESPACES
from ....engine.callers import PACKAGE
from ....engine.hook import Observer
from ....engine.node import Node
from ....engine.value import Value
from ....ops import TABLE, Operation, comparison, rounding
from ....ops import elementwise as ops
from ..refusals import UnsupportedError, placed, read_out_message
from ..results import mapped
from .stand_in import StandIn, of_one
from .symbols import MOST, is_large, operation_on_numbers

COMPUTED, INPUT, CONSTANT, NONE = range(4)
"""The kind of an operand: its code is four times its number, plus this."""
_EXACT = 2**53
"""Up to here a double holds every whole number."""


class Scalars:
    """Operations on numbers, in order. operands: the codes of each one's operands, at most three.

    inputs: how many numbers are read anew at every call; constants: those that never change. reason: why it
    was closed; at_once: raise UnsupportedError then.
    """

    def __init__(self, at_once: bool = False) -> None:
        self.at_once, self.reason = at_once, ""
        self.operations: list[Operation] = []
        self.operands: list[tuple[int, int, int]] = []
        self.inputs = 0
        self.constants: list[float] = []
        # By their ids. To look for them among all objects would hold tuples that other threads are still
        # building, which then can't be built.
        self.symbols: WeakValueDictionary[int, Symbol] = WeakValueDictionary()
        self._most: dict[int, int] = {}  # what whole numbers never exceed, by the codes of those computed

    def stop(self, what: str) -> None:
        """Record nothing any more: the step does `what`, at the line that runs now."""
        if not self.reason:
            self.reason = placed(what)
            if self.at_once:
                raise UnsupportedError(self.reason)

    def input(self, value: Any) -> Symbol:
        """Return a number, of that value now, that is read anew at every call."""
        self.inputs += 1
        return Symbol(self, 4 * (self.inputs - 1) + INPUT, value)

    def left(self) -> list[Symbol]:
        """Return the Symbols that are still held somewhere."""
        return [*self.symbols.values()]

    def code(self, x: Any) -> int:
        """Return the code of an operand; a number gets one of its own wherever it stands."""
        if type(x) is Symbol:
            return x.code
        self.constants.append(float(x))
        return 4 * (len(self.constants) - 1) + CONSTANT

    def apply(self, operation: Operation, *operands: Any) -> Any:
        """Compute an operation on numbers and record it; return the result as a Symbol."""
        value = _computed(operation, [number_of(x) for x in operands])
        if self.reason:
            return value
        codes = [self.code(operand) for operand in operands]
        if len(codes) == 1 and codes[0] & 3 == CONSTANT:
            return value  # the same at every call
        if type(value) is not float and not self._in_doubles(operation, operands, value):
            self.stop(f"{operation.name} of NumPy's numbers, or of large whole ones, is not compiled")
            return value
        self.operations.append(operation)
        self.operands.append((*codes, *(NONE,) * (3 - len(codes))))  # type: ignore[arg-type]
        return Symbol(self, 4 * (len(self.operations) - 1) + COMPUTED, value)

    def _in_doubles(self, operation: Operation, operands: tuple[Any, ...], value: Any) -> bool:
        """Return whether doubles compute the same, whatever the operands are at another call, where the
        result is of another type than float."""
        if type(value) not in (int, np.int64):
            return isinstance(value, (bool, np.bool, np.float64))

        def bound(x: Any) -> int:
            if type(x) is Symbol:
                return self._most.get(x.code, MOST if x.code & 3 == INPUT else 1)
            return abs(int(x))

        bounds = map(bound, operands)
        most = math.prod(bounds) if operation is ops.mul else sum(bounds)
        self._most[4 * len(self.operations) + COMPUTED] = most
        return most <= _EXACT


def _computed(operation: Operation, numbers: list[Any]) -> Any:
    """Return the result of an operation on numbers: as Python computes it, and where that raises, IEEE
    754's."""
    try:
        return operation.forward(python_floats, *numbers)
    except (ArithmeticError, ValueError):
        return float(operation.silently(numpy_arrays, *map(np.asarray, numbers)))


def number_of(x: Any) -> Any:
    """Return the number that a Symbol stands for now; anything else unchanged."""
    return x.value if type(x) is Symbol else x


class Symbol(StandIn):
    """A number that is known only when the step runs; value: what it is now."""

    __slots__ = ("__weakref__", "code", "tape", "value")
    __array_ufunc__ = None  # so that NumPy's numbers leave `number * Symbol` to this class
    shape = ()
    __index__ = of_one(operator.index)

    def __init__(self, tape: Scalars, code: int, value: Any) -> None:
        self.tape, self.code, self.value = tape, code, value
        tape.symbols[id(self)] = self

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # so that isinstance(x, float) holds, but for the rules, which would branch
        return Symbol if _getframe(1).f_code.co_filename.startswith(PACKAGE) else type(self.value)

    def read_out(self, how: str) -> Any:
        """Return the number, on which what follows depends."""
        self.tape.stop(read_out_message(how, "Value"))
        return self.value

    def operate(self, operation: Operation, other: Any, swapped: bool = False) -> Any:
        if isinstance(other, Value):
            return NotImplemented
        pair = (other, self) if swapped else (self, other)
        if not isinstance(other, (Real, np.bool)):  # what is not recorded, such as an array
            self.read_out(operation.name)
        never_raises = operation is ops.div and type(pair[1]) is not Symbol and pair[1] != 0
        raising = operation in (ops.div, ops.pow) and not never_raises
        if raising and not _getframe(2).f_code.co_filename.startswith(PACKAGE):
            self.tape.stop(f"{operation.name} of numbers, for which Python may raise, is not compiled")
        if self.tape.reason:
            return operation_on_numbers(operation, *map(number_of, pair))
        return self.tape.apply(operation, *pair)

    def __pow__(self, other: Any, *modulus: Any) -> Any:
        return StandIn.__pow__(self, other, *modulus) if modulus else self.operate(ops.pow, other)

    def __rpow__(self, other: Any) -> Any:
        return self.operate(ops.pow, other, True)

    def __neg__(self) -> Any:
        return self.tape.apply(ops.neg, self)

    def __abs__(self) -> Any:
        return self.tape.apply(rounding.abs, self)

    def __bool__(self) -> bool:
        return bool(self.read_out("a branch on data"))

    def __getattr__(self, name: str) -> Any:
        function = getattr(np, name, None)
        if isinstance(function, np.ufunc):  # NumPy asks for these of what an array of objects holds
            return partial(function, self.read_out(name))
        if hasattr(self.value, name):
            self.read_out(name)
        return getattr(self.value, name)


Symbol.__name__ = float.__name__  # as Python's messages call it
Real.register(Symbol)


class _Namespace:
    """The namespace that rules call on Symbols."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name not in TABLE:
            raise UnsupportedError(f"the operation {name} is not compiled: it is not in the table")
        return lambda *args: _tape(args).apply(TABLE[name], *args)

    def where(self, condition: Any, a: Any, b: Any) -> Any:
        return _tape((condition, a, b)).apply(comparison.where, a, b, condition)

    def zeros_like(self, x: Any) -> float:
        return 0.0

    def ones_like(self, x: Any) -> float:
        return 1.0

    def copy(self, x: Any) -> Any:
        return x

    asarray = copy


SYMBOLS = _Namespace()
NAMESPACES[Symbol] = SYMBOLS


def _tape(args: tuple[Any, ...]) -> Scalars:
    return next(x.tape for x in args if type(x) is Symbol)


class ValueRecording(Observer):
    """A context in which the functions that this thread runs are recorded as operations on numbers.

    sources: where the numbers that the step reads are found, in order: a Value's slot, or an argument's
    position, the position in it, and whether that is a whole number. at_once: raise UnsupportedError where
    something can't be recorded.
    """

    def __init__(self, at_once: bool = False) -> None:
        self.tape = Scalars(at_once)
        self.sources: list[tuple[Value, str] | tuple[int, int, bool]] = []
        self._inputs: dict[tuple[Value, str], Symbol] = {}  # the value of a slot when it was first read
        self._held: dict[tuple[Value, str], Symbol] = {}  # the current value of a slot
        self._own: WeakSet[Value] = WeakSet()

    def __exit__(self, *exc: Any) -> None:
        super().__exit__()
        # The Values that the step has made, or has gone back to, hold Symbols.
        for value in {*self._own, *(value for value, _ in self._held)}:
            for slot in _SLOTS:
                if type(getattr(value, slot, None)) is Symbol:
                    setattr(value, slot, number_of(getattr(value, slot)))
        self._inputs.clear()
        self._held.clear()

    def recorded(self, node: Node | Value) -> None:
        if isinstance(node, Value):
            self._own.add(node)
            if any(edge.op is not None and edge not in self._own for edge in node.edges):
                self.tape.stop("a Value with a history from before the step; compute it inside")
        super().recorded(node)

    def read(self, holder: Any, slot: str) -> Any:
        if not isinstance(holder, Value):
            return super().read(holder, slot)
        if self.tape.reason:
            return number_of(getattr(holder, slot))
        if holder in self._own:
            return self.number(getattr(holder, slot))
        if (holder, slot) not in self._held:
            self._inputs[holder, slot] = self._held[holder, slot] = self.tape.input(getattr(holder, slot))
            self.sources.append((holder, slot))
        return self._held[holder, slot]

    def write(self, holder: Any, slot: str, value: Any) -> None:
        if isinstance(holder, Value) and holder not in self._own:
            self._held[holder, slot] = self.number(value)
            value = number_of(value)
        super().write(holder, slot, value)

    def number(self, x: Any) -> Any:
        """Return a number as a Symbol."""
        if self.tape.reason:
            return float(number_of(x))
        if type(x) is Symbol and type(x.value) is float:
            return x
        return Symbol(self.tape, self.tape.code(x), float(number_of(x)))

    def argument(self, place: int, x: Any) -> Any:
        """Return an argument as Symbols: a number, or an array of them; anything else as it is."""
        if isinstance(x, np.ndarray):
            symbols = np.empty(x.shape, object)
            for i in range(x.size):
                symbols.reshape(-1)[i] = self._read(place, i, x.flat[i])
            return symbols
        return self._read(place, -1, x) if type(x) in (int, float) else x

    def _read(self, place: int, at: int, value: Any) -> Any:
        """Return a new input for a number in the arguments."""
        whole = isinstance(value, (int, np.integer))
        if whole and is_large(value):
            self.tape.stop(f"argument {place} is a whole number beyond 32 bits; make it a float")
            return value
        self.sources.append((place, at, whole))
        return self.tape.input(value)

    def numbers_changed(self) -> list[tuple[Value, str, int]]:
        """Return each slot of a Value that holds another number after the step, and its code."""
        return [
            (value, slot, now.code)
            for (value, slot), now in self._held.items()
            if now is not self._inputs.get((value, slot))
        ]

    def outputs(self, result: Any) -> Any:
        """Return the result, with Symbols in the place of the numbers that the step computed."""

        def convert(x: Any) -> Any:
            if isinstance(x, Value):
                if x in self._own and x.edges and type(x._grad) is float and not x._grad:  # no backward yet
                    instead = "call backward() inside the function, or return its data"
                    self.tape.stop(f"the result still needs its history; {instead}")
                if self.tape.reason or x not in self._own:
                    return x
                return Output(Value, *(self.number(number).code for number in (x._data, x._grad)))
            if type(x) is Symbol:
                return Output(type(x.value), x.code)
            if not (x is None or isinstance(x, (bool, int, float, str))):
                kind = type(x).__name__
                self.tape.stop(f"the function returns a {kind}; Values and numbers can be compiled")
            return x

        return mapped(result, convert)


_SLOTS = ("_data", "_grad", "_dout", "_x", "_y")


class Output:
    """A placeholder in the result for a number that the step computes; kind: the type of the number; codes:
    its code, and for a Value that of its gradient."""

    def __init__(self, kind: type, *codes: int) -> None:
        self.kind, self.codes = kind, codes
