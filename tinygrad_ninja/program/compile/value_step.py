"""A recorded step of Values that can be run."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from functools import cached_property
from operator import attrgetter
from typing import Any

import numpy as np

from ...engine.value import Value
from ..instructions import Program
from .c.build import build
from .c.emit_c import ENTRY
from .c.emit_values import emit
from .c.rolled import Rolled, program
from .changes import ChangedError
from .memory import aligned, pointer
from .recording.symbols import is_large
from .recording.values import Output, ValueRecording
from .results import leaves, mapped


class ValueStep:
    """One recording of Values, compiled when it first runs. `source` is its C."""

    def __init__(self, recording: ValueRecording, changed: list[tuple[Value, str, int]], result: Any) -> None:
        """Write the C of the recording. changed: the slots of Values that hold other numbers afterwards, and
        the codes of these; result: what the function returned, with an Output for each number that it
        computed."""
        self._tape, self._result = recording.tape, result
        outputs = [x for x in leaves(result) if isinstance(x, Output)]
        self._kinds = [output.kind for output in outputs]
        codes = [code for output in outputs for code in output.codes]
        self._codes = codes + [code for _, _, code in changed]
        rolled = Rolled(self._tape, self._codes)
        self._emitted = emit(rolled)
        self.source, self.fused = str(self._emitted), [str(turns.stretch) for turns in rolled.turns]
        self._memory = aligned((rolled.size,), np.float64)
        for place, number in rolled.constants.items():
            self._memory[place] = number
        self._places = np.array(rolled.outputs, np.int64)
        self._targets = [(value, name) for value, name, _ in changed]
        self._reads = [_reader(source) for source in recording.sources]
        self._table = np.array(rolled.table, np.int32)
        self._pointers = (ctypes.c_void_p * 2)(pointer(self._memory), pointer(self._table))

    @property
    def program(self) -> Program:
        """Return the operations as instructions on numbers."""
        return program(self._tape, self._codes)

    @cached_property
    def call(self) -> Callable[[tuple[Any, ...]], Any]:
        """Return the function of the arguments that runs the step once. Raise NoCompilerError where the
        compiler fails."""
        run = getattr(build(self._emitted), ENTRY)

        def call(args: tuple[Any, ...]) -> Any:
            self._memory[: len(self._reads)] = [read(args) for read in self._reads]
            run(self._pointers)
            numbers = iter(self._memory[self._places].tolist())
            values = iter([_output(kind, numbers) for kind in self._kinds])
            for (value, name), number in zip(self._targets, numbers, strict=True):
                setattr(value, name, number)
            return mapped(self._result, lambda x: next(values) if isinstance(x, Output) else x)

        return call


def _output(kind: type, numbers: Iterator[float]) -> Any:
    """Return a number that the step has computed, or a Value with its gradient, from those that follow."""
    number = kind(next(numbers))
    if isinstance(number, Value):
        number._grad = next(numbers)
    return number


def _reader(source: tuple[Any, ...]) -> Callable[[tuple[Any, ...]], float]:
    """Return a function of the arguments that reads a number anew: a Value's slot, an argument, or an element
    of one. It raises ChangedError for a whole number that is too large."""
    owner, part, *whole = source
    if isinstance(owner, Value):
        slot = attrgetter(part)
        return lambda _: slot(owner)

    def read(args: tuple[Any, ...]) -> float:
        return args[owner] if part < 0 else args[owner].flat[part]

    def read_whole(args: tuple[Any, ...]) -> float:
        if is_large(number := read(args)):
            raise ChangedError("a larger number")
        return number

    return read_whole if whole == [True] else read
