"""Recording a step of Values: Python's own numbers, one operation at a time.

While it runs, every Value shows a `Symbol` in place of its float; the engine's rules run on these, and leave
a flat list of operations on numbers. A step may have tens of thousands of them, so only three integers are
kept for each.
"""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import Any
from weakref import WeakSet

import numpy as np

from ...arrays.dispatch import NAMESPACES
from ...engine.hook import Observer
from ...engine.node import Node
from ...engine.value import Value
from ...ops import TABLE, Operation, comparison, rounding
from ...ops import elementwise as ops
from ..trace import ReadOutError
from .collector import still_held
from .results import mapped
from .tape import UnsupportedError, read_out_message, refuse

COMPUTED, INPUT, CONSTANT, NONE = range(4)
"""The kind of an operand: its code is four times its number, plus this."""


class Scalars:
    """Operations on numbers, in order. operands: the codes of each one's operands, at most three.

    inputs: how many numbers are read anew at every call; constants: those that never change.
    """

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.operands: list[tuple[int, int, int]] = []
        self.inputs = 0
        self.constants: list[float] = []

    def input(self, kind: type = float) -> Symbol:
        """Return a new number that is read anew at every call."""
        self.inputs += 1
        return Symbol(self, 4 * (self.inputs - 1) + INPUT, kind)

    def code(self, x: Any) -> int:
        """Return the code of an operand; a number gets one of its own wherever it stands."""
        if type(x) is Symbol:
            return x.code
        self.constants.append(float(x))
        return 4 * (len(self.constants) - 1) + CONSTANT

    def apply(self, operation: Operation, *operands: Any) -> Symbol:
        codes = [self.code(operand) for operand in operands]
        self.operations.append(operation)
        self.operands.append((*codes, *(NONE,) * (3 - len(codes))))  # type: ignore[arg-type]
        kind: type = float
        if operation.predicate:
            kind = bool
        elif operation in (ops.add, ops.sub, ops.mul) and all(
            _kind(operand) is not float for operand in operands
        ):
            kind = int
        return Symbol(self, 4 * (len(self.operations) - 1) + COMPUTED, kind)


def _kind(x: Any) -> type:
    """Return the Python type of a number."""
    return x.kind if type(x) is Symbol else float if isinstance(x, float) else int


def _operator(operation: Operation, swapped: bool = False) -> Callable[[Symbol, Any], Symbol]:
    """Return the method that records an operation."""

    def call(self: Symbol, other: Any) -> Symbol:
        if not isinstance(other, (Real, np.bool)):
            return NotImplemented
        pair = (other, self) if swapped else (self, other)
        return self.tape.apply(operation, *pair)

    return call


class Symbol:
    """A number that is known only when the step runs; kind: the type that Python would give it."""

    __slots__ = ("code", "kind", "tape")
    __array_ufunc__ = None  # so that NumPy's numbers leave `number * Symbol` to this class
    __hash__ = object.__hash__
    shape = ()

    def __init__(self, tape: Scalars, code: int, kind: type) -> None:
        self.tape, self.code, self.kind = tape, code, kind

    __add__, __radd__ = _operator(ops.add), _operator(ops.add, True)
    __sub__, __rsub__ = _operator(ops.sub), _operator(ops.sub, True)
    __mul__, __rmul__ = _operator(ops.mul), _operator(ops.mul, True)
    __truediv__, __rtruediv__ = _operator(ops.div), _operator(ops.div, True)
    __pow__, __rpow__ = _operator(ops.pow), _operator(ops.pow, True)
    __eq__, __ne__ = _operator(comparison.eq), _operator(comparison.ne)  # type: ignore[assignment]
    __lt__, __le__ = _operator(comparison.lt), _operator(comparison.le)
    __gt__, __ge__ = _operator(comparison.gt), _operator(comparison.ge)

    def __neg__(self) -> Symbol:
        return self.tape.apply(ops.neg, self)

    def __abs__(self) -> Symbol:
        return self.tape.apply(rounding.abs, self)

    def __bool__(self) -> bool:
        raise ReadOutError(read_out_message("a branch on data"))

    def __float__(self) -> float:
        raise ReadOutError(read_out_message("float()"))

    __int__ = __index__ = __float__


Real.register(Symbol)


class _Namespace:
    """The namespace that rules call on Symbols."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name not in TABLE:
            raise UnsupportedError(f"the operation {name} is not compiled: it is not in the table")
        return lambda *args: _tape(args).apply(TABLE[name], *args)

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
    position and the position in it.
    """

    def __init__(self) -> None:
        self.tape = Scalars()
        self.sources: list[tuple[Value, str] | tuple[int, int]] = []
        self._inputs: dict[tuple[Value, str], Symbol] = {}  # the value of a slot when it was first read
        self._held: dict[tuple[Value, str], Symbol] = {}  # the current value of a slot
        self._own: WeakSet[Value] = WeakSet()

    def __exit__(self, *exc: Any) -> None:
        super().__exit__()
        self._inputs.clear()
        self._held.clear()

    def recorded(self, node: Node | Value) -> None:
        if isinstance(node, Value):
            self._own.add(node)
        super().recorded(node)

    def read(self, holder: Any, slot: str) -> Any:
        if not isinstance(holder, Value):
            return super().read(holder, slot)
        if holder in self._own:
            return self.number(getattr(holder, slot))
        if (holder, slot) not in self._held:
            self._inputs[holder, slot] = self._held[holder, slot] = self.tape.input()
            self.sources.append((holder, slot))
        return self._held[holder, slot]

    def write(self, holder: Any, slot: str, value: Any) -> None:
        if not isinstance(holder, Value) or holder in self._own:
            super().write(holder, slot, value)
        else:
            self._held[holder, slot] = self.number(value)

    def number(self, x: Any) -> Any:
        """Return a number as a Symbol."""
        return x if type(x) is Symbol else Symbol(self.tape, self.tape.code(x), float)

    def argument(self, place: int, x: Any) -> Any:
        """Return an argument as Symbols: a number, or an array of them; anything else as it is."""
        if isinstance(x, np.ndarray):
            symbols = np.empty(x.shape, object)
            for i in range(x.size):
                symbols.reshape(-1)[i] = self._read(place, i)
            return symbols
        return self._read(place, -1, type(x)) if type(x) in (int, float) else x

    def _read(self, place: int, at: int, kind: type = float) -> Symbol:
        """Return a new input for a number in the arguments."""
        self.sources.append((place, at))
        return self.tape.input(kind)

    def changed(self) -> list[tuple[Value, str, int]]:
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
                if x not in self._own:
                    return x
                return Output(Value, self.number(x._data).code)
            if type(x) is Symbol:
                return Output(x.kind, x.code)
            if x is None or isinstance(x, (bool, int, float, str)):
                return x
            return refuse(f"the function returns a {type(x).__name__}; Values and numbers can be compiled")

        return mapped(result, convert)

    def escaped(self) -> bool:
        """Return whether a Value that the step made is still held; call it after the step, within
        `resting_collector`."""
        return still_held(lambda: bool(self._own))


class ValuesMetError(Exception):
    """A function that was being recorded as one on Tensors works on Values."""


class Output:
    """A placeholder in the result for a number that the step computes; kind: the type of the number."""

    def __init__(self, kind: type, code: int) -> None:
        self.kind, self.code = kind, code
