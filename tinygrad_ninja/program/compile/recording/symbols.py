"""Python numbers that a step reads anew at every call: those among its arguments, and in the groups of
optimizers.

A number is a guard by value at first: the recording holds for that number alone. Where a later call differs
in numbers only, it is recorded with Symbols in their place. Arithmetic with a Symbol is recorded; comparing
it with a number is a guard on the outcome; whatever else is done with it turns it back into a guard by value.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ....engine.tensor import Tensor
from ....ops import Operation, elementwise, rounding
from ...instructions import Var
from ...trace import source
from ..guards.contents import READ_ANEW
from .recorded import Recorded
from .stand_in import StandIn, standing_for
from .tape import StepTape

MOST = 2**31
"""Integers from here on are guards by value."""
_LARGEST = 2**62
"""What is computed of integers, and could be larger than this, does not fit into 64 bits."""


@dataclass(frozen=True, eq=False)
class Source:
    """Where a number is found: at a place among the arguments; or under a key of an optimizer's group, or
    there at a place in a tuple (-1: in none). name: what to call it."""

    name: str
    place: int
    group: dict[str, Any] | None = None
    key: str = ""

    def __hash__(self) -> int:
        return hash((self.place, id(self.group), self.key))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Source):
            return NotImplemented
        return self.group is other.group and (self.place, self.key) == (other.place, other.key)

    def read(self, args: tuple[Any, ...]) -> Any:
        """Return the number."""
        if self.group is None:
            return args[self.place]
        held = self.group[self.key]
        return held if self.place < 0 else held[self.place]


@dataclass(eq=False)
class Number:
    """A number that the step reads anew: from the source, as the variable."""

    source: Source
    var: Var


@dataclass(frozen=True)
class Condition:
    """What a comparison with a number gave: the recording holds where it gives the same."""

    source: Source
    compare: Callable[[Any, Any], bool]
    other: Any
    outcome: bool

    def holds(self, args: tuple[Any, ...]) -> bool:
        """Return whether the comparison gives what it gave."""
        return bool(self.compare(self.source.read(args), self.other)) is self.outcome


def _is_small(value: Any, most: int) -> bool:
    return -most < value < most


def is_large(number: Any) -> bool:
    """Return whether a number is too large an integer to be computed with."""
    return isinstance(number, (int, np.integer)) and not _is_small(number, MOST)


def same(a: Any, b: Any) -> bool:
    """Return whether two numbers are the same: of one type, and 0.0 is not -0.0, and NaN is NaN."""
    if a is b or type(a) is not type(b):
        return a is b
    return repr(a) == repr(b) if a == 0 or a != a else bool(a == b)


class Symbols:
    """The numbers of a recording that are Symbols; turned_back: those that are guards by value after all,
    each with the reader's line that uses more of it than arithmetic."""

    def __init__(self, tape: StepTape) -> None:
        self.tape = tape
        self.numbers: list[Number] = []
        self.conditions: list[Condition] = []
        self.turned_back: dict[Source, str] = {}
        self.known: list[Symbol] = []

    def symbol(self, source: Source, value: Any) -> Any:
        """Return a Symbol for the number that is found there."""
        var = Var(np.array(value, np.float64 if isinstance(value, float) else np.int64))
        self.numbers.append(Number(source, var))
        if isinstance(value, int):
            self.conditions.append(Condition(source, _is_small, MOST, True))
        return _SYMBOLS[type(value)](self, value, self.tape.array(var), frozenset([source]), source)


def is_symbol(x: Any) -> bool:
    """Return whether it is a Symbol, which says that it is a number."""
    return issubclass(type(x), Symbol)


def _is_number(x: Any) -> bool:
    return type(x) in READ_ANEW or is_symbol(x)


def operation_of(operation: Operation, x: Any, y: Any) -> Any:
    """Return what a Python operator makes of two recorded arrays."""
    assert operation.ufunc is not None
    return operation.ufunc(x, y)


def number_of(x: Any) -> Any:
    """Return the number that a Symbol stands for, which is a guard by value from here on; anything else
    unchanged."""
    return x.settle() if is_symbol(x) else x


class Symbol(StandIn):
    """A number that is read anew at every call. most: what an int is never larger than, nor its negative."""

    __slots__ = ("_array", "_most", "_source", "_sources", "_symbols", "_value")

    def __init__(
        self,
        symbols: Symbols,
        value: Any,
        array: Any,
        sources: frozenset[Source],
        source: Source | None,
        most: float = MOST,
    ) -> None:
        self._symbols, self._value, self._array, self._most = symbols, value, array, most
        self._sources, self._source = sources, source
        symbols.known.append(self)
        array.handle.number, array.handle.settle = True, self.settle

    @property
    def recorded_number(self) -> Any:
        """Return the recorded array of the number."""
        return self._array

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # so that isinstance(x, float) holds
        return type(self._value)

    @property
    def number(self) -> Any:
        """Return the number, as it is at this call."""
        return self._value

    def settle(self) -> Any:
        """Return the number itself. It is a guard by value from here on."""
        turned_back = self._symbols.turned_back
        turned_back |= {x: source() for x in self._sources if x not in turned_back}
        return self._value

    def read_out(self, how: str) -> Any:
        return self.settle()

    def _decided(self, compare: Callable[[Any, Any], Any], other: Any) -> bool:
        """Return what the comparison gives, which is a guard from here on."""
        assert self._source is not None
        outcome = bool(compare(self._value, other))
        self._symbols.conditions.append(Condition(self._source, compare, other, outcome))
        return outcome

    def _combined(self, operation: Operation, pair: tuple[Any, ...]) -> Any:
        """Return the result of an operation of numbers."""
        if self._symbols.tape.closed:
            return operation_on_numbers(operation, *(x._value if is_symbol(x) else x for x in pair))
        divisor = pair[-1]
        if operation is elementwise.div and is_symbol(divisor):  # Python raises where it is 0
            if divisor._source is None:
                divisor.settle()
            else:
                divisor._decided(operator.ne, 0)
        values = [x._value if is_symbol(x) else x for x in pair]
        value = operation_on_numbers(operation, *values)
        bounds = [x._most if is_symbol(x) else abs(x) for x in pair]
        most = math.prod(bounds) if operation is elementwise.mul else sum(bounds)
        if isinstance(value, int) and most > _LARGEST:
            return operation_on_numbers(operation, *map(number_of, pair))
        array = self._symbols.tape.apply(operation, tuple(x._array if is_symbol(x) else x for x in pair), ())
        sources = frozenset().union(*(x._sources for x in pair if is_symbol(x)))
        return _SYMBOLS[type(value)](self._symbols, value, array, sources, None, most)

    def operate(self, operation: Operation, other: Any, swapped: bool = False) -> Any:
        if operation.predicate:
            return self._compared(getattr(operator, operation.name), other)
        pair = (other, self) if swapped else (self, other)
        if isinstance(other, Recorded):
            return operation_of(operation, *(self._array if x is self else x for x in pair))
        if _is_number(other):
            return self._combined(operation, pair)
        if isinstance(other, Tensor):  # which knows itself what it does with a number
            return NotImplemented
        return operation_on_numbers(operation, *(self.settle() if x is self else x for x in pair))

    def _compared(self, compare: Callable[[Any, Any], Any], other: Any) -> Any:
        """Return what a comparison gives, which is a guard."""
        if not _is_number(other):
            return NotImplemented if isinstance(other, np.ndarray) else compare(self.settle(), other)
        if is_symbol(other) or self._source is None:
            return compare(self.settle(), number_of(other))
        return self._decided(compare, other)

    def __pow__(self, other: Any, *modulus: Any) -> Any:
        if isinstance(other, Recorded) and not modulus:
            return np.power(self._array, other)
        return super().__pow__(other, *modulus)

    def __neg__(self) -> Any:
        return self._combined(elementwise.neg, (self,))

    def __abs__(self) -> Any:
        return self._combined(rounding.abs, (self,))

    def __bool__(self) -> bool:
        return bool(self.settle()) if self._source is None else self._decided(operator.ne, 0)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__array"):  # NumPy asks, and is given `__array__`
            raise AttributeError(name)
        return getattr(self.settle(), name)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        recorded = next((x for x in inputs if isinstance(x, Recorded)), None)
        if recorded is not None:
            return recorded.__array_ufunc__(ufunc, method, *inputs, **options)
        return getattr(ufunc, method)(*map(number_of, inputs), **options)


_SYMBOLS = {kind: standing_for(kind, Symbol) for kind in READ_ANEW}


def operation_on_numbers(operation: Operation, *numbers: Any) -> Any:
    """Return what Python makes of numbers."""
    return getattr(operator, "truediv" if operation is elementwise.div else operation.name)(*numbers)
