"""The program as straight-line NumPy: a line for each instruction, with memory that is there before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...kinds import numpy_kind
from ...ops import Category, Operation
from ..instructions import Array, Instruction, Var
from .checks import Check
from .lower import reads
from .memory import Table
from .plan import Address


class Straight:
    """Makes the function that runs the instructions once.

    inputs: where the variables lie that no instruction makes; targets: what is written to which address, in
    the end, after everything was looked at.
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
        for var, at in inputs.items():
            self._called[var] = self._line(_reading(var, at))
        self._checks: dict[Var, list[Check]] = {}
        for check in checks:
            self._checks.setdefault(check.var, []).append(check)
        for var in inputs:
            self._look(var)
        last = {var: i for i, each in enumerate(instructions) for var in reads(each)}
        wanted = {var for _, var in targets}
        for i, each in enumerate(instructions):
            self._write(each)
            for var in dict.fromkeys((*reads(each), each.output)):
                if last.get(var, -1) <= i and var not in wanted:
                    self._give_back(var)
        self._write_out(targets)

    def function(self) -> Callable[[], None]:
        """The function; it takes the arrays that the table holds when it is called."""
        head = ["def run():", "    with errstate(all='ignore'):"]
        exec("\n".join([*head, *(f"        {each}" for each in self._lines), "        pass"]), self._names)
        run: Callable[[], None] = self._names["run"]
        return run

    def _bind(self, value: Any) -> str:
        name = f"o{len(self._names)}"
        self._names[name] = value
        return name

    def _line(self, text: str) -> str:
        """The name of what the line computes."""
        name = f"v{len(self._lines)}"
        self._lines.append(f"{name} = {text}")
        return name

    def _operand(self, x: Any) -> str:
        if x not in self._called if isinstance(x, Var) else True:
            return self._bind(x.value if isinstance(x, Var) else x)
        return self._called[x]

    def _write(self, made: Instruction) -> None:
        var, read = made.output, reads(made)
        function: Callable[..., Array] | None = made.operation.ufunc
        if function is not None and var.value.size:
            memory = self._memory(var)
            self._held[var] = [memory]
            inputs = [*map(self._operand, made.inputs), f"out={self._bind(memory)}"]
        else:
            inputs = [self._operand(each) for each in read]
            # It may be a view of what it was made of.
            held = {id(memory): memory for each in read for memory in self._held.get(each, ())}
            self._held[var] = list(held.values())
            function = _calling(made, read)
        self._called[var] = self._line(f"{self._bind(function)}({', '.join(inputs)})")
        self._look(var)

    def _look(self, var: Var) -> None:
        for check in self._checks.get(var, ()):
            self._lines.append(f"{self._bind(check.look)}({self._called[var]})")

    def _memory(self, var: Var) -> Array:
        kept = self._free.get((var.shape, var.dtype))
        return kept.pop() if kept else np.empty(var.shape, var.dtype)

    def _give_back(self, var: Var) -> None:
        """Let others use the memory that no variable lies in any more."""
        held = self._held.pop(var, [])
        for memory in held:
            if not any(memory is each for others in self._held.values() for each in others):
                self._free.setdefault((memory.shape, memory.dtype), []).append(memory)

    def _write_out(self, targets: list[tuple[Address, Var]]) -> None:
        made = {made.output for made in self._instructions if not _shows(made.operation)}
        values = []
        for _, var in targets:
            name = self._operand(var)
            # What an input shows may be written over before it is its turn.
            values.append(name if var in made or var.constant else self._line(f"{name}.copy()"))
        for (at, _), value in zip(targets, values, strict=True):
            self._lines.append(f"arrays[{at.buffer.slot}][...] = {value}")


def _shows(operation: Operation) -> bool:
    """Return whether what it makes may be a view of its input."""
    return operation.view or operation.category is Category.MOVEMENT


def _reading(var: Var, at: Address) -> str:
    """The array of an input, which may be a part of one that the table holds."""
    whole = f"arrays[{at.buffer.slot}]"
    if at.shape == at.buffer.shape:
        return whole
    return f"{whole}.reshape(-1)[{at.offset}:{at.offset + var.value.size}].reshape({var.shape})"


def _calling(made: Instruction, read: list[Var]) -> Callable[..., Array]:
    """The instruction as a function of the arrays that it reads."""

    def call(*arrays: Array) -> Array:
        found = dict(zip(read, arrays, strict=True))
        result = made.compute(numpy_kind, lambda x: found.get(x, x.value) if isinstance(x, Var) else x)
        return np.asarray(result)

    return call
