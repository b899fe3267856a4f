"""The program as straight-line NumPy: a line for each instruction, in memory that is allocated beforehand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from ... import ops
from ...arrays import numpy_arrays
from ...ops import Category, Operation
from ..instructions import Array, Instruction, Var
from .c.buffers import Address
from .memory import Table
from .recording.checks import Check, by_variable


class Straight:
    """Writes the function that runs the instructions once.

    inputs: the addresses of the variables that no instruction makes; targets: (address, variable) to be
    written at the end, after all checks.
    """

    def __init__(
        self,
        instructions: list[Instruction],
        checks: list[Check],
        inputs: dict[Var, Address],
        targets: list[tuple[Address, Var]],
        table: Table,
    ) -> None:
        self._names: dict[str, Any] = {"arrays": table.arrays, "errstate": np.errstate}
        self._lines: list[str] = []
        self._called: dict[Var, str] = {}
        self._instructions = instructions
        self._free: dict[Any, list[Array]] = {}
        self._held: dict[Var, list[Array]] = {}  # memory that a variable lies in, or is a view of
        self._holders: Counter[int] = Counter()  # how many variables hold a memory, by its id
        for var, at in inputs.items():
            self._called[var] = self._line(_reading(var, at))
        self._checks = by_variable(checks)
        for var in inputs:
            self._look(var)
        last = {var: i for i, instruction in enumerate(instructions) for var in instruction.reads()}
        wanted = {var for _, var in targets}
        for i, instruction in enumerate(instructions):
            self._write(instruction)
            for var in dict.fromkeys((*instruction.reads(), instruction.output)):
                if last.get(var, -1) <= i and var not in wanted:
                    self._give_back(var)
        self._write_out(targets)

    def function(self) -> Callable[[], None]:
        """Return the function, which takes the arrays that the table holds when it is called."""
        head = ["def run():", "    with errstate(all='ignore'):"]
        exec("\n".join([*head, *(f"        {line}" for line in self._lines), "        pass"]), self._names)
        run: Callable[[], None] = self._names["run"]
        return run

    def _bind(self, value: Any) -> str:
        """Return a new name under which the function finds the value."""
        name = f"o{len(self._names)}"
        self._names[name] = value
        return name

    def _line(self, text: str) -> str:
        """Add a line that computes an expression, and return the name of its value."""
        name = f"v{len(self._lines)}"
        self._lines.append(f"{name} = {text}")
        return name

    def _operand(self, x: Any) -> str:
        """Return the name of a variable, or of a number."""
        if not isinstance(x, Var):
            return self._bind(x)
        return self._called.get(x) or self._bind(x.value)

    def _write(self, instruction: Instruction) -> None:
        """Add the line of an instruction."""
        var, read = instruction.output, [*instruction.reads()]
        function: Callable[..., Array] | None = instruction.operation.ufunc
        if function is not None and var.value.size:
            memory = self._memory(var)
            self._hold(var, [memory])
            inputs = [*map(self._operand, instruction.inputs), f"out={self._bind(memory)}"]
        else:
            inputs = [self._operand(operand) for operand in read]
            # The result may be a view of its inputs.
            held = {id(memory): memory for operand in read for memory in self._held.get(operand, ())}
            self._hold(var, list(held.values()))
            function = _calling(instruction, read)
        self._called[var] = self._line(f"{self._bind(function)}({', '.join(inputs)})")
        self._look(var)

    def _look(self, var: Var) -> None:
        """Add the lines that check a variable."""
        for check in self._checks[var]:
            self._lines.append(f"{self._bind(check.look)}({self._called[var]})")

    def _hold(self, var: Var, memories: list[Array]) -> None:
        """Note in which memory a variable lies."""
        self._held[var] = memories
        self._holders.update(map(id, memories))

    def _memory(self, var: Var) -> Array:
        """Return memory for a variable: freed memory, where some has the same shape and dtype."""
        kept = self._free.get((var.shape, var.dtype))
        return kept.pop() if kept else np.empty(var.shape, var.dtype)

    def _give_back(self, var: Var) -> None:
        """Let other variables use the memory in which this was the last one to lie."""
        for memory in self._held.pop(var, ()):
            self._holders[id(memory)] -= 1
            if not self._holders[id(memory)]:
                self._free.setdefault((memory.shape, memory.dtype), []).append(memory)

    def _write_out(self, targets: list[tuple[Address, Var]]) -> None:
        """Add the lines that write the outputs."""
        computed = {step.output for step in self._instructions if not _may_be_view(step.operation)}
        values = []
        for _, var in targets:
            name = self._operand(var)
            # A view of an input is copied: its memory may be overwritten before it is read.
            values.append(name if var in computed or var.constant else self._line(f"{name}.copy()"))
        for (at, _), value in zip(targets, values, strict=True):
            self._lines.append(f"arrays[{at.slot}][...] = {value}")


def _may_be_view(operation: Operation) -> bool:
    """Return whether the operation's result may be a view of its input."""
    return operation.view or operation.category is Category.MOVEMENT


def _reading(var: Var, at: Address) -> str:
    """Return the expression of an input's array, which may be a part of an array that the table holds."""
    whole = f"arrays[{at.slot}]"
    if at.shape == at.buffer.shape:
        return whole
    return f"{whole}.reshape(-1)[{at.offset}:{at.offset + var.value.size}].reshape({var.shape})"


def _overwritten(x: Array, value: Array, chain: tuple[Any, ...]) -> Array:
    """Return a copy of x with the value where a chain of views shows it: in order, as its views need it."""
    out = np.array(x, order="C")
    ops.indexing.read_chain(numpy_arrays, out, chain)[...] = value
    return out


def _calling(instruction: Instruction, read: list[Var]) -> Callable[..., Array]:
    """Return the instruction as a function of the arrays that it reads."""

    def call(*arrays: Array) -> Array:
        values = dict(zip(read, arrays, strict=True))

        def value(x: Any) -> Any:
            return values.get(x, x.value) if isinstance(x, Var) else x

        if instruction.operation is ops.indexing.put_view:
            return _overwritten(*map(value, instruction.inputs), *instruction.parameters)
        return np.asarray(instruction.compute(numpy_arrays, value))

    return call
