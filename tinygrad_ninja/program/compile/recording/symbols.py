"""Python numbers that a step reads anew at every call: those among its arguments, and those that Python's
objects hold, such as the groups of optimizers.

A number is a guard by value at first: the recording holds for that number alone. Where a later call differs
in numbers only, it is recorded with Symbols in their place. Arithmetic with a Symbol is recorded; comparing
it with a number is a guard on the outcome; whatever else is done with it turns it back into a guard by value.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ....arrays.dtypes import plain_number
from ....engine.tensor import Tensor
from ....ops import Operation, elementwise, rounding
from ...instructions import Var
from ...trace import source
from ..guards.held import READ_ANEW
from .checks import CheckError
from .recorded import Recorded
from .sources import Condition, Number, Source
from .stand_in import StandIn, standing_for
from .tape import StepTape

MOST = 2**31
"""Integers from here on are guards by value."""
_LARGEST = 2**62
"""What is computed of integers, and could be larger than this, does not fit into 64 bits."""
_STEPS = 200
"""How much arithmetic is done again before every call for the comparisons of numbers."""


_Operand = tuple[int, Any]
"""The place of a Symbol among those known, or -1 and another number."""


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
        self._budget = _STEPS

    def symbol(self, source: Source, value: Any) -> Any:
        """Return a Symbol for the number that is found there."""
        var, symbol = self._made(source, value)
        self.numbers.append(Number(source.read, var, source))
        if type(value) is int:
            self.conditions.append(
                Condition(frozenset([source]), source.read, _is_small, lambda args: MOST, True)
            )
        return symbol

    def late(self, source: Source, value: Any) -> Any:
        """Return a Symbol for a number that is known only after the step."""
        return self._made(source, value)[1]

    def _made(self, source: Source, value: Any) -> tuple[Var, Any]:
        var = _variable(value)
        symbol = _SYMBOLS[type(value)](self, value, self.tape.array(var), frozenset([source]), source)
        return var, symbol

    @property
    def uses(self) -> tuple[int, int, int]:
        """Return how much is computed of numbers, depends on comparisons, and on their values."""
        return len(self.known), len(self.conditions), len(self.turned_back)

    def is_used(self, source: Source) -> bool:
        """Return whether anything depends on a number."""
        symbols = [symbol for symbol in self.known if source in symbol._sources]
        vars_ = {symbol._array.var for symbol in symbols}
        return (
            len(symbols) > 1
            or source in self.turned_back
            or any(source in condition.sources for condition in self.conditions)
            or any(not vars_.isdisjoint(instruction.reads()) for instruction in self.tape.instructions)
        )

    def decide(self, x: Symbol, compare: Callable[[Any, Any], Any], y: Any) -> Any:
        """Return what the comparison of two numbers gives, NumPy's bool for one of NumPy's, which is a guard
        from here on; where it takes too long to compute them before every call, they are guards by value."""
        if self._budget > 0:
            left, right = recipe(x), recipe(y)
            self._budget -= sum(len(each) for each in (left, right) if isinstance(each, _Recipe))
        if self._budget <= 0:
            return compare(x.settle(), number_of(y))
        sources = x._sources | y._sources if is_symbol(y) else x._sources
        outcome = compare(x._value, y._value if is_symbol(y) else y)
        self.conditions.append(Condition(sources, left, compare, right, bool(outcome)))
        return outcome


def is_symbol(x: Any) -> bool:
    """Return whether it is a Symbol, which says that it is a number."""
    return issubclass(type(x), Symbol)


def is_flag(x: Any) -> bool:
    """Return whether it is a Symbol for a bool, which is compared, and no more."""
    return is_symbol(x) and type(x.number) is bool


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
    """A number that is read anew at every call, from the source; or computed of such, by a function and its
    operands, `made`. most: what an int is never larger than, nor its negative.

    No Symbol holds another, which would be searched for what it stands for where the step has kept it."""

    __slots__ = ("_array", "_at", "_made", "_most", "_source", "_sources", "_symbols", "_value")

    def __init__(
        self,
        symbols: Symbols,
        value: Any,
        array: Any,
        sources: frozenset[Source],
        source: Source | None,
        most: float = MOST,
        made: tuple[Callable[..., Any], tuple[_Operand, ...]] | None = None,
    ) -> None:
        self._symbols, self._value, self._array, self._most = symbols, value, array, most
        self._at, self._made = len(symbols.known), made
        self._sources, self._source = sources, source
        symbols.known.append(self)
        array.handle.number, array.handle.settle = True, self.settle_plain

    @property
    def recorded_number(self) -> Any:
        """Return the recorded array of the number; a bool itself."""
        return self.settle() if is_flag(self) else self._array

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

    def settle_plain(self) -> Any:
        """Return the number as Python's own, as what is computed with arrays takes it."""
        return plain_number(self.settle())

    def read_out(self, how: str) -> Any:
        return self.settle()

    def _combined(self, operation: Operation, pair: tuple[Any, ...]) -> Any:
        """Return the result of an operation of numbers."""
        if self._symbols.tape.closed:
            return operation_on_numbers(operation, *map(_value, pair))
        pair = self._without_flags(pair)
        divisor = pair[-1]
        if operation is elementwise.div and is_symbol(divisor) and not divisor:  # Python raises, NumPy warns
            return operation_on_numbers(operation, *map(number_of, pair))
        value = operation_on_numbers(operation, *map(_value, pair))
        bounds = [*map(_most, pair)]
        most = math.prod(bounds) if operation is elementwise.mul else sum(bounds)
        if not any(map(is_symbol, pair)) or (isinstance(value, int) and most > _LARGEST):
            return operation_on_numbers(operation, *map(number_of, pair))
        array = self._symbols.tape.apply(operation, tuple(x._array if is_symbol(x) else x for x in pair), ())
        return self._result(value, array, pair, most, in_python(operation))

    def _result(
        self, value: Any, array: Any, pair: tuple[Any, ...], most: float, compute: Callable[..., Any]
    ) -> Any:
        """Return the Symbol for what is computed of numbers."""
        sources = frozenset().union(*(x._sources for x in pair if is_symbol(x)))
        made = compute, tuple([(x._at, None) if is_symbol(x) else (-1, x) for x in pair])
        return _SYMBOLS[type(value)](self._symbols, value, array, sources, None, most, made)

    def _without_flags(self, pair: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return numbers with a bool, which is a guard by value from here on, as an integer."""
        return tuple([int(x.settle()) if is_flag(x) else x for x in pair])

    def operate(self, operation: Operation, other: Any, swapped: bool = False) -> Any:
        if operation.predicate:
            return self._compared(getattr(operator, operation.name), other)
        pair = (other, self) if swapped else (self, other)
        if isinstance(other, Recorded):
            return operation_of(operation, *(self.recorded_number if x is self else x for x in pair))
        if _is_number(other):
            return self._combined(operation, pair)
        if isinstance(other, Tensor):  # which knows itself what it does with a number
            return NotImplemented
        return operation_on_numbers(operation, *(self.settle() if x is self else x for x in pair))

    def _compared(self, compare: Callable[[Any, Any], Any], other: Any) -> Any:
        """Return what a comparison gives, which is a guard."""
        if not _is_number(other):
            return NotImplemented if isinstance(other, np.ndarray) else compare(self.settle(), other)
        return self._symbols.decide(self, compare, other)

    def __pow__(self, other: Any, *modulus: Any) -> Any:
        if isinstance(other, Recorded) and not modulus:
            return np.power(self._array, other)
        return super().__pow__(other, *modulus)

    def computed(self, compute: Callable[..., Any], pair: tuple[Any, Any]) -> Any:
        if compute not in _BY_PYTHON or self._symbols.tape.closed or not all(map(_is_number, pair)):
            return None
        a, b = pair = self._without_flags(pair)
        if not (is_symbol(a) or is_symbol(b)):
            return None
        value, most = compute(*map(_value, pair)), _BY_PYTHON[compute](*map(_most, pair))
        if (compute is pow and not isinstance(value, float)) or (type(value) is int and most > MOST):
            return None
        if compute is not pow and is_symbol(b):  # Python raises where it is 0
            self._symbols.decide(b, operator.ne, 0)
        var = _variable(value)
        symbol = self._result(
            value, self._symbols.tape.array(var), pair, most, _float_power if compute is pow else compute
        )
        self._symbols.numbers.append(Number(recipe(symbol), var))
        return symbol

    def __neg__(self) -> Any:
        return self._combined(elementwise.neg, (self,))

    def __abs__(self) -> Any:
        return self._combined(rounding.abs, (self,))

    def __bool__(self) -> bool:
        return bool(self._symbols.decide(self, operator.ne, 0))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__array"):  # NumPy asks, and is given `__array__`
            raise AttributeError(name)
        return getattr(self.settle(), name)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        recorded = next((x for x in inputs if isinstance(x, Recorded)), None)
        if recorded is not None:
            return recorded.__array_ufunc__(ufunc, method, *inputs, **options)
        return getattr(ufunc, method)(*map(number_of, inputs), **options)


_SYMBOLS = {kind: standing_for(kind, Symbol) for kind in (*READ_ANEW, bool)}


def _variable(value: Any) -> Var:
    """Return a variable for a number."""
    return Var(np.array(value, np.float64 if isinstance(value, float) else np.int64))


def _value(x: Any) -> Any:
    """Return the number that a Symbol stands for, or a number itself."""
    return x.number if is_symbol(x) else x


def _most(x: Any) -> Any:
    """Return what a number is never larger than, nor its negative."""
    return x._most if is_symbol(x) else abs(x)


def _float_power(a: Any, b: Any) -> float:
    """Return a power that is a float. Raise CheckError for what is none, or can't be computed."""
    try:
        power = a**b
    except ArithmeticError as error:
        raise CheckError(type(error), str(error)) from error
    if not isinstance(power, float):
        raise CheckError(TypeError, "a power of numbers is no float, as it was")
    return power


_BY_PYTHON: dict[Callable[..., Any], Callable[[Any, Any], Any]] = {
    pow: lambda a, b: math.inf,
    operator.mod: lambda a, b: b,
    operator.floordiv: lambda a, b: a,
}
"""What Python itself computes of numbers, before every call, since another library may give other last
digits: with what the results are never larger than."""


def recipe(x: Any) -> Callable[[tuple[Any, ...]], Any]:
    """Return what gives a number for the arguments of a call."""
    if not is_symbol(x):
        return lambda args: x
    return _Recipe(x) if x._source is None else x._source.read


class _Recipe:
    """A function of the arguments that computes a number as Python does, of the numbers that are read
    anew."""

    def __init__(self, x: Symbol) -> None:
        needed, steps = {x._at}, []
        for symbol in reversed(x._symbols.known[: x._at + 1]):  # each comes after its operands
            if symbol._at in needed:
                compute, operands = symbol._made or (None, ())
                needed.update(at for at, _ in operands)
                steps.append((symbol._at, symbol._source, compute, operands))
        self._steps = steps[::-1]

    def __len__(self) -> int:
        return len(self._steps)

    def __call__(self, args: tuple[Any, ...]) -> Any:
        numbers: dict[int, Any] = {}
        for here, found, compute, operands in self._steps:
            if compute is not None:
                numbers[here] = compute(*[numbers.get(at, number) for at, number in operands])
            elif found is not None:
                numbers[here] = found.read(args)
        return numbers[here]


def in_python(operation: Operation) -> Callable[..., Any]:
    """Return what computes an operation of numbers in Python."""
    compute: Callable[..., Any] = getattr(
        operator, "truediv" if operation is elementwise.div else operation.name
    )
    return compute


def operation_on_numbers(operation: Operation, *numbers: Any) -> Any:
    """Return what Python makes of numbers."""
    return in_python(operation)(*numbers)
