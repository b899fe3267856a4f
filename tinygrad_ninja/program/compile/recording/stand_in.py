"""What Python can do with a number, done with one that a recording has put in its place."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ....engine.tensor import Tensor
from ....engine.value import Value
from ....ops import Operation, comparison, elementwise


def _recorded(operation: Operation) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return the method of an operator that is recorded, and the reflected one."""
    return lambda a, b: a.operate(operation, b), lambda b, a: b.operate(operation, a, True)


def of_one(compute: Callable[..., Any]) -> Callable[..., Any]:
    """Return the method that reads the number out, and does with it what is asked."""
    return lambda self, *args: compute(self.read_out(f"{compute.__name__}()"), *map(_read_out, args))


def _of_two(compute: Callable[..., Any]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return the method of an operator that is not recorded, and the reflected one."""

    def call(self: StandIn, other: Any, *modulus: Any) -> Any:
        if isinstance(other, (Tensor, Value)):  # which know themselves what they do with a number
            return NotImplemented
        if not modulus and (known := self.computed(compute, (self, other))) is not None:
            return known
        return compute(self.read_out(f"{compute.__name__}()"), *map(_read_out, (other, *modulus)))

    def reflected(self: StandIn, other: Any) -> Any:
        if (known := self.computed(compute, (other, self))) is not None:
            return known
        return compute(_read_out(other), self.read_out(f"{compute.__name__}()"))

    return call, reflected


def _read_out(x: Any) -> Any:
    """Return the number that a stand-in stands for; anything else unchanged."""
    return x.read_out("a number") if issubclass(type(x), StandIn) else x


def standing_for(kind: type, base: type) -> type:
    """Return a class of stand-ins for numbers of one class: of its name, which Python's messages give, and
    with an `__index__` where it has one."""
    index = {"__index__": of_one(operator.index)} if hasattr(kind, "__index__") else {}
    return type(kind.__name__, (base,), {"__slots__": (), **index})


class StandIn:
    """A number that is known only when the step runs, in the place of a float or an int. Arithmetic and
    comparisons are recorded; what else is asked of it is asked of the number itself."""

    __slots__ = ()

    def operate(self, operation: Operation, other: Any, swapped: bool = False) -> Any:
        """Return what an operation gives for the number and another one; swapped: for the other first."""
        raise NotImplementedError

    def computed(self, compute: Callable[..., Any], pair: tuple[Any, Any]) -> Any:
        """Return what stands for the result of two numbers, of which it is one; None where it is to be read
        out."""

    def read_out(self, how: str) -> Any:
        """Return the number, on which what follows depends. how: what reads it."""
        raise NotImplementedError

    def __pos__(self) -> Any:
        return self

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.array(self.read_out("numpy.array()"), dtype)

    __add__, __radd__ = _recorded(elementwise.add)
    __sub__, __rsub__ = _recorded(elementwise.sub)
    __mul__, __rmul__ = _recorded(elementwise.mul)
    __truediv__, __rtruediv__ = _recorded(elementwise.div)
    (__eq__, _), (__ne__, _) = map(_recorded, (comparison.eq, comparison.ne))
    (__lt__, _), (__le__, _) = map(_recorded, (comparison.lt, comparison.le))
    (__gt__, _), (__ge__, _) = map(_recorded, (comparison.gt, comparison.ge))
    __float__, __int__ = of_one(float), of_one(int)
    __str__, __repr__, __format__ = of_one(str), of_one(repr), of_one(format)
    __round__, __floor__, __ceil__ = of_one(round), of_one(math.floor), of_one(math.ceil)
    __trunc__, __invert__, __complex__ = of_one(math.trunc), of_one(operator.invert), of_one(complex)
    __hash__, __reduce_ex__ = of_one(hash), of_one(object.__reduce_ex__)
    __pow__, __rpow__ = _of_two(pow)
    __floordiv__, __rfloordiv__ = _of_two(operator.floordiv)
    __mod__, __rmod__ = _of_two(operator.mod)
    __divmod__, __rdivmod__ = _of_two(divmod)
    __and__, __rand__ = _of_two(operator.and_)
    __or__, __ror__ = _of_two(operator.or_)
    __xor__, __rxor__ = _of_two(operator.xor)
    __lshift__, __rlshift__ = _of_two(operator.lshift)
    __rshift__, __rrshift__ = _of_two(operator.rshift)
