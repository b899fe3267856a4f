"""A recorded step of Values that can be run."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Any

import numpy as np

from ...engine.value import Value
from ...ops import comparison
from ..instructions import Instruction, Program, Var
from .c.build import build
from .c.emit_c import ENTRY
from .c.emit_values import ValueEmitter
from .memory import aligned, pointer
from .recording.values import COMPUTED, CONSTANT, NONE, Output, Scalars, ValueRecording
from .results import leaves, mapped


class ValueStep:
    """One recording of Values, compiled; `call` runs it. `source` is its C."""

    def __init__(self, recording: ValueRecording, changed: list[tuple[Value, str, int]], result: Any) -> None:
        """Compile the recording. changed: the slots of Values that hold other numbers afterwards, and the
        codes of these; result: what the function returned, with an Output for each number that it
        computed."""
        self._tape, self._result = recording.tape, result
        outputs = [x for x in leaves(result) if isinstance(x, Output)]
        self._kinds = [output.kind for output in outputs]
        codes = [code for output in outputs for code in output.codes]
        self._codes = codes + [code for _, _, code in changed]
        emitted = ValueEmitter(self._tape, self._codes).emit()
        self.source, self.fused = str(emitted.source), emitted.summary
        self._run = getattr(build(emitted.source), ENTRY)
        self._memory = aligned((emitted.size,), np.float64)
        self._pointers = (ctypes.c_void_p * 1)(pointer(self._memory))
        for place, number in emitted.constants.items():
            self._memory[place] = number
        self._places = np.array(emitted.places, np.int64)
        self._targets = [(value, name) for value, name, _ in changed]
        self._reads = [_reader(source) for source in recording.sources]

    @property
    def program(self) -> Program:
        """Return the operations as instructions on numbers."""
        return program(self._tape, self._codes)

    def call(self, args: tuple[Any, ...]) -> Any:
        """Run the step once, and return its result."""
        self._memory[: len(self._reads)] = [read(args) for read in self._reads]
        self._run(self._pointers)
        numbers = iter(self._memory[self._places].tolist())
        values = iter([_output(kind, numbers) for kind in self._kinds])
        for (value, name), number in zip(self._targets, numbers, strict=True):
            setattr(value, name, number)
        return mapped(self._result, lambda x: next(values) if isinstance(x, Output) else x)


def _output(kind: type, numbers: Iterator[float]) -> Any:
    """Return a number that the step has computed, or a Value with its gradient, from those that follow."""
    number = kind(next(numbers))
    if isinstance(number, Value):
        number._grad = next(numbers)
    return number


def _reader(source: tuple[Any, Any]) -> Callable[[tuple[Any, ...]], float]:
    """Return a function of the arguments that reads a number anew: a Value's slot, an argument, or an element
    of one."""
    owner, part = source
    if isinstance(owner, Value):
        read = attrgetter(part)
        return lambda _: read(owner)
    if part < 0:
        return lambda args: args[owner]
    return lambda args: args[owner].flat[part]


def program(tape: Scalars, outputs: list[int]) -> Program:
    """Return the operations as instructions on arrays without dimensions."""
    inputs = [Var(np.zeros(())) for _ in range(tape.inputs)]
    results: list[Var] = []

    def operand(code: int) -> Var | float:
        kind, number = code & 3, code >> 2
        return (
            tape.constants[number]
            if kind == CONSTANT
            else results[number]
            if kind == COMPUTED
            else inputs[number]
        )

    instructions = []
    for operation, codes in zip(tape.operations, tape.operands, strict=True):
        results.append(Var(np.zeros(())))
        operands = tuple(operand(code) for code in codes if code != NONE)
        # `where` has its condition last in the table, and as a parameter.
        operands, parameters = (
            (operands[1:], operands[:1]) if operation is comparison.where else (operands, ())
        )
        instructions.append(Instruction(operation, operands, parameters, results[-1]))
    wanted = [output for output in map(operand, outputs) if isinstance(output, Var)]
    return Program(instructions, wanted).needed()
