"""A program: what was computed, as a list of instructions in the order in which it was computed.

An instruction is an operation of the table applied to variables, and computes one new variable; nothing is
ever changed in place. What reads a program (the printer, the simplifier, the typesetter, an emitter of C)
needs to know nothing else about where it came from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..arrays import numpy_arrays
from ..ops import Operation, elementwise, indexing, reduction, shape
from .expressions import call, named

Array = np.ndarray[Any, Any]
Number = int | float


@dataclass(eq=False, repr=False)
class Var:
    """A value in a program: an input, or the output of an instruction.

    value: its value when the program was recorded, an array of its shape and dtype.
    name: the reader's own, or one given by the printer; partial sums of a gradient have its name as well.
    constant: every element is the one number `value.flat[0]`, whatever the inputs are.
    hint: the name that the value has in the code that computes it, the program's or a rule's.
    module: what the reader calls the Module in whose code that is.
    """

    value: Array
    name: str = ""
    constant: bool = False
    hint: str = ""
    module: str = ""

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.value.dtype

    @property
    def number(self) -> Number:
        """Return the number that all elements of a constant are; 0 where it has no elements."""
        number: Number = (self.value.flat[0] if self.value.size else self.dtype.type(0)).item()
        return number

    def __repr__(self) -> str:
        return self.name or "_"


def known_number(x: Any) -> Any:
    """Return the number that a constant, or a number, is; None for another variable."""
    return (x.number if x.constant else None) if isinstance(x, Var) else x


@dataclass(eq=False)
class Instruction:
    """output = operation(*inputs, *parameters).

    inputs: variables, or Python numbers, which have no dtype of their own. parameters: shapes, axes, indices
    and the like, which may contain variables, too. flows: for each input whether a gradient flows to it.
    answers: for a backward instruction, the forward instruction whose rule asked for it. source: "file:line"
    where that is known.
    """

    operation: Operation
    inputs: tuple[Any, ...]
    parameters: tuple[Any, ...]
    output: Var
    flows: tuple[bool, ...] = ()
    answers: Instruction | None = None
    source: str = ""

    @property
    def given(self) -> dict[str, Any]:
        """Return the parameters by their names."""
        return dict(zip(self.operation.parameters, self.parameters, strict=True))

    def reads(self) -> Iterator[Var]:
        """Yield the variables among the inputs, and then those in the parameters."""
        for x in (*self.inputs, *self.parameters):
            if isinstance(x, Var):
                yield x
            elif isinstance(x, tuple):
                yield from (item for item in flatten(x) if isinstance(item, Var))

    def sends_to(self) -> Iterator[Any]:
        """Yield the inputs to which a gradient flows back."""
        return (x for x, flow in zip(self.inputs, self.flows, strict=True) if flow)

    def compute(self, xp: Any, value: Callable[[Any], Any]) -> Any:
        """Return the output as an array of the kind `xp`, where `value` gives the array of a variable."""
        return evaluate(
            self.operation, xp, [value(x) for x in self.inputs], substitute(self.parameters, value)
        )

    def recomputed(self) -> Array:
        """Return the output as it is computed from the recorded values."""
        return np.asarray(Program([self], [self.output]).run({})[self.output])


def needed(instructions: list[Instruction], outputs: Iterable[Var]) -> list[Instruction]:
    """Return the instructions without dead code: those that the outputs do not depend on."""
    wanted = set(outputs)
    kept = []
    for instruction in reversed(instructions):
        if instruction.output in wanted:
            wanted.update(instruction.reads())
            kept.append(instruction)
    return kept[::-1]


@dataclass
class Program:
    """Instructions in order. inputs: the variables that none of them computes; outputs: those that are
    wanted."""

    instructions: list[Instruction]
    outputs: list[Var]
    inputs: list[Var] = field(init=False)

    def __post_init__(self) -> None:
        computed = {instruction.output for instruction in self.instructions}
        read = [var for instruction in self.instructions for var in instruction.reads()] + self.outputs
        self.inputs = list(dict.fromkeys(var for var in read if var not in computed and not var.constant))

    def variables(self) -> list[Var]:
        """Return the inputs, and the outputs of the instructions."""
        return self.inputs + [instruction.output for instruction in self.instructions]

    def needed(self) -> Program:
        """Return the program without the instructions that the outputs do not depend on."""
        return Program(needed(self.instructions, self.outputs), self.outputs)

    def run(self, values: dict[Var, Array]) -> dict[Var, Array]:
        """Return every variable's array, with those of `values` for the inputs; where one is missing, the
        recorded one."""
        constants = [var for var in self.outputs if var.constant]
        arrays = {var: var.value for var in (*self.inputs, *constants)} | values
        with np.errstate(all="ignore"):
            for instruction in self.instructions:
                arrays[instruction.output] = instruction.compute(
                    numpy_arrays, lambda x: arrays.get(x, x.value) if isinstance(x, Var) else x
                )
        return arrays

    def __str__(self) -> str:
        """Return a line for each input and each instruction: its name, its expression, its dtype and its
        shape."""
        numbers: dict[Var, int] = {}

        def label(x: Any) -> Any:
            if isinstance(x, Var):
                number = repr(x.number) if x.constant and not x.name else ""
                return named(x.name or number or f"%{numbers.setdefault(x, len(numbers) + 1)}")
            return named(str(x)) if isinstance(x, np.dtype | type) else x

        rows = [(str(label(var)), "input", var) for var in self.inputs]
        for step in self.instructions:
            options = replace(step, parameters=substitute(step.parameters, label)).given
            text = call(step.operation.name, *map(label, step.inputs), **options)
            rows.append((str(label(step.output)), str(text), step.output))
        wide = max((len(name) for name, _, _ in rows), default=0)
        long = max((len(text) for _, text, _ in rows), default=0)
        return "\n".join(
            f"{name:{wide}} = {text:{long}}  {var.dtype} {var.shape}" for name, text, var in rows
        )


def evaluate(operation: Operation, xp: Any, inputs: Iterable[Any], parameters: Iterable[Any]) -> Any:
    """Return the result of the operation's forward function, also where it takes any number of inputs."""
    if operation.variadic:
        return operation.function(xp, *inputs, **dict(zip(operation.parameters, parameters, strict=True)))
    return operation.forward(xp, *inputs, *parameters)


_EXTREMES = {reduction.argmax: reduction.amax, reduction.argmin: reduction.amin}


def extreme(step: Instruction, makers: Mapping[Var, Instruction]) -> Operation | None:
    """Return `amax` or `amin` where an instruction, a `gather`, reads what is largest or smallest along its
    axis, since `argmax` or `argmin` makes its index, which has no name; otherwise None."""
    if step.operation is not indexing.gather:
        return None
    axis, index = step.parameters
    search = makers.get(index)
    if index.name or search is None or search.inputs != step.inputs or search.parameters != (axis, True):
        return None
    return _EXTREMES.get(search.operation)


def called(step: Instruction, makers: Mapping[Var, Instruction]) -> str:
    """Return the name of what an instruction does."""
    return (extreme(step, makers) or step.operation).name


def axes_of(permutation: Instruction) -> tuple[int, ...]:
    """Return the dimensions of what is permuted in their new order, counted from the front."""
    n = len(permutation.output.shape)
    return tuple(axis % n for axis in permutation.parameters[0])


def repeats(instruction: Instruction) -> bool:
    """Return whether an instruction does no more than broadcasting does anyway."""
    if instruction.operation is not shape.reshape:
        return instruction.operation is shape.expand
    after, (x,) = instruction.output.shape, instruction.inputs
    before = x.shape if isinstance(x, Var) else ()
    return len(after) > len(before) and after == (1,) * (len(after) - len(before)) + before


def flatten(parameters: Any) -> Iterator[Any]:
    """Yield the elements of nested tuples of parameters."""
    for item in parameters:
        if isinstance(item, tuple):
            yield from flatten(item)
        else:
            yield item


def substitute(parameters: tuple[Any, ...], value: Callable[[Any], Any]) -> tuple[Any, ...]:
    """Return the parameters, with `value` applied to every element of their nested tuples."""
    return tuple(substitute(item, value) if isinstance(item, tuple) else value(item) for item in parameters)


def identity(x: Any) -> Any:
    """Return a hashable key that is the same for equal operands or parameters: the same variables, and
    constants of the same number, dtype and shape."""
    if isinstance(x, tuple):
        return tuple(map(identity, x))
    if isinstance(x, slice):
        return (slice, x.start, x.stop, x.step)
    if isinstance(x, Var) and x.constant:
        return ("constant", repr(x.number), x.dtype.name, x.shape)
    return id(x) if isinstance(x, Var) else (type(x).__name__, repr(x))


def behind(
    ends: Iterable[Var],
    makers: Mapping[Var, Instruction],
    stops: Callable[[Var], Any],
    reads: Callable[[Instruction], Iterable[Var]] = Instruction.reads,
) -> Iterator[Instruction]:
    """Yield the instructions that compute the ends, and what these read, as far back as the values at which
    it stops. reads: which of the values that an instruction reads count."""
    waiting, seen = [*ends], set[Var]()
    while waiting:
        var = waiting.pop()
        if var in makers and var not in seen:
            yield makers[var]
            waiting += [x for x in reads(makers[var]) if not stops(x)]
        seen.add(var)


def reached(instructions: Iterable[Instruction], leaves: Iterable[Var]) -> set[Var]:
    """Return the leaves, and the values to which a gradient comes on its way to them."""
    variables = set(leaves)
    for instruction in instructions:
        if not variables.isdisjoint(instruction.sends_to()):
            variables.add(instruction.output)
    return variables


def double(value: Array) -> Array:
    """Return an array in double precision, if it holds floating point numbers."""
    return value.astype(np.float64) if value.dtype.kind == "f" else value


def widened(program: Program) -> Program:
    """Return the program without rounding: every cast to a floating point dtype becomes a cast to double."""

    def wide(step: Instruction) -> Instruction:
        rounds = step.operation is elementwise.cast and step.output.dtype.kind == "f"
        return replace(step, parameters=(np.dtype(np.float64),)) if rounds else step

    return Program([wide(instruction) for instruction in program.instructions], program.outputs)
