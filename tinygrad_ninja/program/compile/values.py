"""Recording a step of Values: Python's own numbers, one operation at a time.

While it runs, every Value holds a `Symbol` in the place of its float; the engine's rules run on these, and
leave a flat list of operations of numbers. Tens of thousands of them make one step, so that nothing is kept
of each but three integers.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from numbers import Real
from typing import Any
from weakref import WeakSet

import numpy as np

from ... import value as values_module
from ...kinds import KINDS, float_kind
from ...value import Value
from ..trace import ReadOutError
from .replacing import Replacing
from .results import mapped
from .tape import refuse, told

COMPUTED, INPUT, CONSTANT, NONE = range(4)
"""What an operand is: its code is four times its number, and this."""
_COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")


class Scalars:
    """Operations of numbers in order. names: the operations'; operands: the codes of up to three of each.

    inputs: how many numbers are read anew at every call; constants: those that never change.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.operands: list[tuple[int, int, int]] = []
        self.inputs = 0
        self.constants: list[float] = []

    def input(self, kind: type = float) -> Symbol:
        self.inputs += 1
        return Symbol(self, 4 * (self.inputs - 1) + INPUT, kind)

    def code(self, x: Any) -> int:
        """That of an operand; a number gets one of its own wherever it stands."""
        if type(x) is Symbol:
            return x.code
        self.constants.append(float(x))
        return 4 * (len(self.constants) - 1) + CONSTANT

    def apply(self, name: str, *operands: Any) -> Symbol:
        codes = [self.code(each) for each in operands]
        self.names.append(name)
        self.operands.append((*codes, *(NONE,) * (3 - len(codes))))  # type: ignore[arg-type]
        kind: type = float
        if name in _COMPARISONS:
            kind = bool
        elif name in ("add", "sub", "mul") and all(_kind(each) is not float for each in operands):
            kind = int
        return Symbol(self, 4 * (len(self.names) - 1) + COMPUTED, kind)


def _kind(x: Any) -> type:
    return x.kind if type(x) is Symbol else float if isinstance(x, float) else int


def _operator(name: str, swapped: bool = False) -> Callable[[Symbol, Any], Symbol]:
    def call(self: Symbol, other: Any) -> Symbol:
        if not isinstance(other, (Real, np.bool)):
            return NotImplemented
        pair = (other, self) if swapped else (self, other)
        return self.tape.apply(name, *pair)

    return call


class Symbol:
    """A number that is known only when the step runs; kind: the type that Python would give it."""

    __slots__ = ("code", "kind", "tape")
    __array_ufunc__ = None  # so that NumPy's numbers leave `number * Symbol` to it
    __hash__ = object.__hash__
    shape = ()

    def __init__(self, tape: Scalars, code: int, kind: type) -> None:
        self.tape, self.code, self.kind = tape, code, kind

    __add__, __radd__ = _operator("add"), _operator("add", True)
    __sub__, __rsub__ = _operator("sub"), _operator("sub", True)
    __mul__, __rmul__ = _operator("mul"), _operator("mul", True)
    __truediv__, __rtruediv__ = _operator("div"), _operator("div", True)
    __pow__, __rpow__ = _operator("pow"), _operator("pow", True)
    __eq__, __ne__ = _operator("eq"), _operator("ne")  # type: ignore[assignment]
    __lt__, __le__ = _operator("lt"), _operator("le")
    __gt__, __ge__ = _operator("gt"), _operator("ge")

    def __neg__(self) -> Symbol:
        return self.tape.apply("neg", self)

    def __abs__(self) -> Symbol:
        return self.tape.apply("abs", self)

    def __bool__(self) -> bool:
        raise ReadOutError(told("a branch on data"))

    def __float__(self) -> float:
        raise ReadOutError(told("float()"))

    __int__ = __index__ = __float__


Real.register(Symbol)


class _Namespace:
    """What a rule may call on Symbols."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *args: _tape(args).apply(name, *args)

    def zeros_like(self, x: Any) -> float:
        return 0.0

    def ones_like(self, x: Any) -> float:
        return 1.0

    def copy(self, x: Any) -> Any:
        return x

    asarray = copy


SYMBOLS = _Namespace()
KINDS[Symbol] = SYMBOLS
_FUNCTIONS = (
    "abs", "cos", "erf", "exp", "floor", "log", "maximum", "minimum", "one_minus_square", "pow", "sign",
    "sin", "sqrt", "tanh", "trunc", "where",
)  # fmt: skip


def _tape(args: tuple[Any, ...]) -> Scalars:
    return next(each.tape for each in args if type(each) is Symbol)


_DATA: Any = Value.__dict__["_data"]
_GRAD: Any = Value.__dict__["_grad"]
_SLOTS = {"_data": _DATA, "_grad": _GRAD}


class ValueRecording(Replacing):
    """A context: the functions that run inside, in this thread, are recorded as operations of numbers.

    leaves: the Values found; changed: (Value, the name of its slot, what it holds afterwards).
    """

    def __init__(self) -> None:
        super().__init__()
        self.tape = Scalars()
        self.found: dict[tuple[Value, str], tuple[float, Symbol | None]] = {}
        self.sources: list[tuple[Value, str] | tuple[int, int]] = []
        self._made: WeakSet[Value] = WeakSet()

    def __enter__(self) -> ValueRecording:
        super().__enter__()
        for name, slot in _SLOTS.items():
            self.replace(Value, name, property(self._getter(name, slot), self._setter(name, slot)))
        original = values_module._number
        self.replace(values_module, "_number", lambda x: x if type(x) is Symbol else original(x))
        for name in _FUNCTIONS:
            self.replace(float_kind, name, _either(name, getattr(float_kind, name)))
        return self

    def put_back(self) -> None:
        for (value, name), (before, _) in self.found.items():
            _SLOTS[name].__set__(value, before)
        super().put_back()  # only now: other threads read these slots

    def _getter(self, name: str, slot: Any) -> Callable[[Value], Any]:
        def get(value: Value) -> Any:
            now = slot.__get__(value)
            if not self.mine():  # another thread is to see what was there before
                return self.found[value, name][0] if type(now) is Symbol else now
            if type(now) is Symbol:
                return now
            made = self.tape.input()
            self.found[value, name] = (now, made)
            self.sources.append((value, name))
            slot.__set__(value, made)
            return made

        return get

    def _setter(self, name: str, slot: Any) -> Callable[[Value, Any], None]:
        def set_(value: Value, x: Any) -> None:
            if self.mine():
                try:
                    before = slot.__get__(value)
                except AttributeError:
                    if slot is _DATA:  # the first that is set
                        self._made.add(value)
                else:
                    if type(before) is not Symbol:
                        self.found[value, name] = (before, None)
                if type(x) is not Symbol:
                    x = Symbol(self.tape, self.tape.code(x), float)
            slot.__set__(value, x)

        return set_

    def argument(self, place: int, x: Any) -> Any:
        """An argument as Symbols: a number, or an array of them; anything else as it is."""
        if isinstance(x, np.ndarray):
            made = np.empty(x.shape, object)
            for i in range(x.size):
                made.reshape(-1)[i] = self._read(place, i)
            return made
        return self._read(place, -1, type(x)) if type(x) in (int, float) else x

    def _read(self, place: int, at: int, kind: type = float) -> Symbol:
        self.sources.append((place, at))
        return self.tape.input(kind)

    def changed(self) -> list[tuple[Value, str, int]]:
        """Each Value's slot that holds another number after the step, and its code; called inside."""
        after = [
            (value, name, _SLOTS[name].__get__(value), read)
            for (value, name), (_, read) in self.found.items()
        ]
        return [(value, name, now.code) for value, name, now, read in after if now is not read]

    def outputs(self, result: Any) -> Any:
        """The result, a Symbol in the place of each number that the step computed."""

        def convert(x: Any) -> Any:
            if isinstance(x, Value):
                if x not in self._made:
                    return x
                return Output(Value, _DATA.__get__(x).code)
            if type(x) is Symbol:
                return Output(x.kind, x.code)
            if x is None or isinstance(x, (bool, int, float, str)):
                return x
            return refuse(f"the function returns a {type(x).__name__}; Values and numbers can be compiled")

        return mapped(result, convert)

    def escaped(self) -> bool:
        """Whether a Value that the step made is still held; asked after it, inside `one_at_a_time`."""
        if self._made:
            gc.collect(0)
        return bool(self._made)


class ValuesMetError(Exception):
    """A function that was recorded as one of Tensors works on Values."""


def watch_for_values(recording: Replacing) -> None:
    """Let ValuesMetError be raised where a Value is made, read, or meets what it can't be computed with."""

    def get(value: Value) -> float:
        if recording.mine():
            raise ValuesMetError
        number: float = _DATA.__get__(value)
        return number

    def set_(value: Value, x: float) -> None:
        if recording.mine():
            raise ValuesMetError
        _DATA.__set__(value, x)

    original = values_module._foreign

    def foreign(other: Any) -> Any:
        if recording.mine():
            raise ValuesMetError
        return original(other)

    recording.replace(Value, "_data", property(get, set_))
    recording.replace(values_module, "_foreign", foreign)


class Output:
    """Where a number that the step computes stands in the result; kind: the type to make of it."""

    def __init__(self, kind: type, code: int) -> None:
        self.kind, self.code = kind, code


def _either(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        symbolic = any(type(each) is Symbol for each in args)
        return getattr(SYMBOLS, name)(*args) if symbolic else original(*args)

    return call
