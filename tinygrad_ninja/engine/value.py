"""Value: micrograd's scalar on this engine, with a Python float as data.

What an operation computes, and the rule of each of its inputs, are the entries of `ops` that Tensors use. At
the edges the results are IEEE 754's, as a Tensor's are: 1/0 is infinite, the logarithm of -1 is NaN, and
nothing raises. Neurons, layers and networks of Values are in `micrograd`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection
from functools import partial
from numbers import Real
from threading import get_ident
from traceback import FrameSummary
from typing import Any

import numpy as np

from ..arrays import numpy_arrays, python_floats
from ..arrays.dispatch import NAMESPACES
from ..ops import elementwise as ops
from ..ops import rounding, trigonometry
from ..ops.operation import Operation
from .anomaly import check_gradient, is_anomaly_check_nan_enabled
from .grad_mode import paused
from .hook import number, observers, observing
from .node import ancestors, clock
from .own_value import do_nothing, hand_on

_new = object.__new__
_RAISED = (ArithmeticError, ValueError)
"""Python's errors where IEEE 754 has a result, as for 1/0 and sin ∞; NumPy then computes it."""


def _record(op: Operation, result: float, a: Value, b: Value | None, x: float, y: float | None) -> Value:
    if paused and get_ident() in paused:
        return Value(result)
    out = _new(Value)
    out.op = op
    out.order = next(clock)
    out._data = result
    out._grad = 0.0
    out._a, out._b, out._x, out._y = a, b, x, y
    if observers and (observer := observing()):
        observer.recorded(out)
    return out


def _forward(op: Operation) -> Callable[..., float]:
    """Return what computes the operation on floats."""
    return partial(op.function, python_floats) if op.takes_xp else op.function


def _observed(op: Operation, x: Any, *more: Any) -> Any:
    """Return what the operation makes of what stands for floats where somebody observes."""
    return op.forward(NAMESPACES[type(x)], x, *more)


def _ieee(op: Operation, *numbers: float) -> float:
    return float(op.silently(numpy_arrays, *map(np.asarray, numbers)))


def _named(call: Callable[..., Value], op: Operation) -> Callable[..., Value]:
    call.__name__, call.__qualname__, call.__doc__ = op.name, f"Value.{op.name}", op.__doc__
    return call


def _foreign(mine: Value, other: Any) -> Any:
    """Return NotImplemented, so that Python's error names the two types; raise TypeError for an array."""
    _ = mine.data  # an observer is to hear of it
    if isinstance(other, np.ndarray):
        raise TypeError(_NO_ARRAYS)
    return NotImplemented


def _pair(children: Collection[Any]) -> tuple[Value, Value | None]:
    """Return the one or two Values that a Value was computed from. Raises TypeError for anything else."""
    a, b = (*children, None)[:2]
    if not 1 <= len(children) <= 2 or not isinstance(a, Value) or not isinstance(b, Value | None):
        raise TypeError(
            "the children of a Value are a tuple of one or two Values, from which it was computed"
        )
    return a, b


def _written(real: Any) -> Value:
    """Return a Value for a plain number in an expression: one that has no label, not even an empty one."""
    value = Value(real)
    value._label = None
    return value


def _unary(op: Operation) -> Callable[[Value], Value]:
    forward = _forward(op)

    def call(self: Value) -> Value:
        x = self.data if observers else self._data
        try:
            result = forward(x) if type(x) is float else _observed(op, x)
        except _RAISED:
            result = _ieee(op, x)
        return _record(op, result, self, None, x, None)

    return _named(call, op)


def _binary(op: Operation) -> Callable[[Value, Any], Value]:
    forward = _forward(op)

    def call(self: Value, other: Any) -> Value:
        if type(other) is not Value and not isinstance(other, Value):
            if not isinstance(other, Real):
                return _foreign(self, other)
            other = _written(other)
        x, y = (self.data, other.data) if observers else (self._data, other._data)
        try:
            result = forward(x, y) if type(x) is float else _observed(op, x, y)
        except _RAISED:
            result = _ieee(op, x, y)
        return _record(op, result, self, other, x, y)

    return _named(call, op)


def _reflected(call: Callable[[Value, Any], Value]) -> Callable[[Value, Any], Value]:
    return lambda self, other: (
        call(_written(other), self) if isinstance(other, Real) else _foreign(self, other)
    )


_pow = _binary(ops.pow)
_power = _forward(ops.pow)


def _number(given: Any) -> float:
    if type(given) is float:
        return given
    if not isinstance(given, Real):
        raise TypeError(f"a Value holds a real number, not {type(given).__name__}")
    real: float = number(given)
    return real


_NO_ARRAYS = "a Value and a NumPy array don't mix: use a Value for each number, or Tensors"


class Value:
    """A number, its gradient, and the operation and the Values that it came from.

    data: a float. grad: the sum of the derivatives, with respect to this Value, of all results on which
    `backward` was called. label: a name for drawings. Raises TypeError where `data` is no real number, or the
    label no text.

    The constructor is micrograd's: `_children` are one or two Values from which the program computed `data`
    itself, and `_op` names what it did. It then sets `_backward`, a function without arguments that adds to
    the gradients of the children what they get of this Value's `grad`. A label may also stand in the second
    place.

    A Value is its own node of the record: `op`, `edges`, `values`, `order` and `lines` are those of
    `node.Node`.
    """

    # A graph of Values has many small objects, each of which Python's garbage collector visits several times.
    # So there is only one per node, which has in slots what a Node has in tuples.
    __slots__ = (
        "__weakref__", "_a", "_b", "_data", "_dout", "_grad", "_label", "_own", "_x", "_y", "lines", "op",
        "order",
    )  # fmt: skip
    op: Operation | None
    order: int
    lines: list[FrameSummary]
    _data: float
    _grad: float
    _label: str | None
    _dout: float  # in backward: the sum of the contributions from the Values that use this one, so far
    _a: Any  # the inputs, Values; None where there are fewer
    _b: Value | None
    _own: tuple[str, Callable[[], None]]  # of what a program computed itself: its name, and its `_backward`
    _x: float  # the inputs' data at that time
    _y: float | None

    def __init__(
        self, data: Any, _children: Collection[Value] | str = (), _op: str = "", label: str = ""
    ) -> None:
        self._data = _number(data)
        self._grad = 0.0
        self.op = self._a = self._b = None
        self.label = _children if isinstance(_children, str) and not label else label
        if _children and not isinstance(_children, str):
            self._a, self._b = _pair(_children)
            self._own = _op, do_nothing
        self.order = next(clock)
        if observers and (observer := observing()):
            observer.recorded(self)

    @property
    def data(self) -> float:
        """Return the number; only a leaf's may be assigned.

        Raises RuntimeError for the result of an operation, whose rule reads what was computed, and TypeError
        where the new number is no real number.
        """
        if observers and (observer := observing()):
            return observer.read(self, "_data")
        return self._data

    @data.setter
    def data(self, number: Any) -> None:
        if self.op is not None:
            raise RuntimeError(
                f"the data of what {self.op.name} computed can't be assigned, because backward reads it: "
                f"assign to a leaf's, or make a new Value"
            )
        self._hold("_data", _number(number))

    def _hold(self, slot: str, number: float) -> None:
        if observers and (observer := observing()):
            observer.write(self, slot, number)
        else:
            setattr(self, slot, number)

    @property
    def grad(self) -> float:
        """Return the gradient so far; assign 0 to start again. TypeError where the new number is no real
        number."""
        if observers and (observer := observing()):
            return observer.read(self, "_grad")
        return self._grad

    @grad.setter
    def grad(self, number: Any) -> None:
        self._hold("_grad", _number(number))

    @property
    def label(self) -> str:
        """Return the name for drawings; empty until it is assigned. TypeError where it is no text."""
        return getattr(self, "_label", None) or ""

    @label.setter
    def label(self, text: str) -> None:
        if not isinstance(text, str):
            raise TypeError(f"the label of a Value is text, not {type(text).__name__}")
        self._label = text

    @property
    def is_constant(self) -> bool:
        """Return whether it is a plain number that stood in an expression, as the 2 in `2 * x`."""
        return self.op is None and self._label is None

    @property
    def _backward(self) -> Callable[[], None]:
        """Return what hands the gradient of a Value on that the program computed itself; micrograd's name."""
        return self._own[1] if self._a is not None and self.op is None else do_nothing

    @_backward.setter
    def _backward(self, function: Callable[[], None]) -> None:
        if self.op is not None or self._a is None:
            what = f"what {self.op.name} computed" if self.op is not None else "a leaf, which has no children"
            raise RuntimeError(f"_backward is set of a Value that was made with its children, not of {what}")
        self._own = self._own[0], function

    @property
    def edges(self) -> tuple[Value, ...]:
        """Return the Values that it was computed from, in order."""
        return tuple(value for value in (self._a, self._b) if value is not None)

    @property
    def values(self) -> tuple[float, ...] | None:
        """Return the output, the inputs and the parameters at the time of the computation; None for a
        leaf."""
        if self.op is None:
            return None
        return (self.data, self._x) if self._y is None else (self.data, self._x, self._y)

    @property
    def _prev(self) -> set[Value]:
        """Return the Values that it was computed from."""
        return set(self.edges)

    @property
    def _op(self) -> str:
        """Return the sign or the name of the operation that computed it; empty for a leaf."""
        if self.op is None:
            return self._own[0] if self._a is not None else ""
        sign = "ReLU" if self.op is ops.relu else self.op.operator or self.op.name
        return f"{sign}{self._y:g}" if self._b is None and self._y is not None else sign

    def backward(self) -> None:
        """Add the derivative of this Value with respect to each Value that it was computed from to that
        Value's `grad`.

        Raises RuntimeError for NaN, where `detect_anomaly` checks for it.
        """
        checked = bool(observers) and is_anomaly_check_nan_enabled()
        nodes = ancestors([self], lambda node: (node._a, node._b))
        for node in nodes:
            node._dout = 0.0
        self._dout = 1.0
        for node in reversed(nodes):  # the youngest first: whatever uses a Value is younger than it
            dout = node._dout
            if observers:
                node.grad += dout
            else:
                node._grad += dout
            op, b = node.op, node._b
            if op is None:
                if node._a is not None:
                    hand_on(node, dout)
                continue
            rules = op.rules
            values = (node.data if observers else node._data, node._x, node._y)
            if observers and op.takes_xp and type(node._x) is not float:
                dout = number(dout)  # by its type the rule is given the functions that it calls
            try:
                da = rules[0](dout, values)
                if b is not None:
                    db = rules[1](dout, values)
            except _RAISED:
                with np.errstate(all="ignore"):
                    arrays = np.asarray(dout), tuple(map(np.asarray, values))
                    da = float(rules[0](*arrays))
                    if b is not None:
                        db = float(rules[1](*arrays))
            if checked:
                for i, contribution in enumerate((da,) if b is None else (da, db)):
                    lines = getattr(node, "lines", None)
                    check_gradient(op.name, i, contribution, (dout, *values), lines)
            node._a._dout += da
            if b is not None:
                b._dout += db

    __add__ = _binary(ops.add)
    __sub__ = _binary(ops.sub)
    __mul__ = _binary(ops.mul)
    __truediv__ = _binary(ops.div)
    __radd__ = _reflected(__add__)
    __rsub__ = _reflected(__sub__)
    __rmul__ = _reflected(__mul__)
    __rtruediv__ = _reflected(__truediv__)
    __neg__ = _unary(ops.neg)
    __abs__ = _unary(rounding.abs)

    def __pow__(self, other: Any) -> Value:
        """Return selfᵇ, where b is the other; a number, unlike a Value, is a parameter of the operation and
        gets no gradient."""
        if not isinstance(other, Real):
            return _pow(self, other)
        exponent = float(other)
        x = self.data
        result = _power(x, exponent) if type(x) is float else _observed(ops.pow, x, exponent)
        return _record(ops.pow, result, self, None, x, exponent)

    __rpow__ = _reflected(_pow)

    cos = _unary(trigonometry.cos)
    exp = _unary(ops.exp)
    log = _unary(ops.log)
    relu = _unary(ops.relu)
    sigmoid = _unary(ops.sigmoid)
    sin = _unary(trigonometry.sin)
    sqrt = _unary(ops.sqrt)
    tanh = _unary(ops.tanh)

    def __float__(self) -> float:
        raise TypeError(
            "a Value is no plain number: float() and math's functions, as in math.exp(v), would lose its "
            "history; write v.exp(), v.log(), v.tanh() …, or v.data for the number alone"
        )

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        """Return NumPy's function of Values and numbers as a Value. TypeError for arrays, and where there is
        no such operation."""
        if any(isinstance(x, np.ndarray) for x in inputs):
            raise TypeError(_NO_ARRAYS)
        call = _UFUNCS.get(ufunc)
        if call is None or method != "__call__" or options:
            names = ", ".join(sorted(known.__name__ for known in _UFUNCS))
            raise TypeError(f"np.{ufunc.__name__} of a Value is not offered; offered are {names}")
        return call(*(x if isinstance(x, Value) else _number(x) for x in inputs))

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """Show in a notebook the label, too, which micrograd's `repr` has not."""
        printer.text(f"{self.label}: {self!r}" if self.label else repr(self))

    def __repr__(self) -> str:
        return f"Value(data={self.data}, grad={self.grad})"


_ALIKE = (trigonometry.cos, ops.exp, ops.log, trigonometry.sin, ops.sqrt, ops.tanh)
_UFUNCS: dict[Any, Callable[..., Any]] = {
    np.add: operator.add, np.subtract: operator.sub, np.multiply: operator.mul, np.power: operator.pow,
    np.true_divide: operator.truediv, np.negative: operator.neg, np.absolute: operator.abs,
    **{getattr(np, entry.name): getattr(Value, entry.name) for entry in _ALIKE},
}  # fmt: skip
"""The operations that NumPy has as functions, too."""
