"""From the graph that a loss has recorded to a program, with the reader's names."""

from __future__ import annotations

import keyword
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from threading import get_ident
from typing import Any

import numpy as np

from ...arrays.dispatch import move
from ...engine.callers import place
from ...engine.node import Node, ancestors
from ...engine.own_function import refuse_functions
from ...engine.reads import recent_reads
from ...engine.tensor import Tensor
from ...ops import TABLE, Operation, indexing, reduction, shape
from ..instructions import Array, Instruction, Program, Var, substitute
from ..passes import as_the_reader_wrote
from ..trace import ReadOutError, Tape, Traced, plain, source
from .new_names import RESERVED, Called, names_of, unused
from .reader_names import given_names, module_names, modules_of

Names = Sequence[tuple[str, Any]]


@dataclass
class Forward:
    """A recorded forward pass. leaves: the variables whose gradients are wanted; numbers: the reader's names
    of whole numbers, such as the batch size."""

    program: Program
    loss: Var
    leaves: list[Var]
    numbers: dict[str, int]


def record(loss: Tensor, names: Any, inner: Any = (), stems: Iterable[tuple[Any, Called]] = ()) -> Forward:
    """Return the forward pass that led to `loss`.

    names: the names of the values, as `locals()` gives them: Tensors, arrays, whole numbers, and Modules,
    whose parameters go by their own names; anything else in it is ignored. Values that the loss does not
    depend on need not be left out. inner: further names, for values that have none; stems: what the Tensors
    and arrays without a name may be called.
    Raise ValueError where a name is given to two tensors or is no identifier, RuntimeError where there is no
    history, or where backward has freed it, or where an operation has no rule.
    """
    if loss.edge is None or loss.edge.op is None:
        raise RuntimeError(
            "there is nothing to derive: the loss does not come from Tensors that require gradients"
        )
    if loss.numel() != 1:
        raise RuntimeError(f"only a scalar can be derived; the loss has shape {tuple(loss.shape)}")
    reading = _Reading()
    nodes = ancestors([loss.edge])
    for node in nodes:
        reading.take(node)
    final = reading.variables[loss.edge]
    program = Program(list(reading.instructions.values()), [final]).needed()
    pairs, further = list(given_names(names)), list(given_names(inner))
    numbers = reading.give_names(pairs, further, program)
    reading.give_stems(stems, pairs)
    program = as_the_reader_wrote(program, dict(further).keys() - dict(pairs).keys())
    recomputed = program.run({})
    if _take_as_inputs(program, recomputed):
        program = program.needed()
        recomputed = program.run({})
    if not np.allclose(recomputed[final], final.value, rtol=1e-4, equal_nan=True):
        raise RuntimeError(
            "a Tensor that the loss was computed from has been changed since: derive it before"
        )
    for var, value in recomputed.items():
        var.value = value
    leaves = [var for node, var in reading.variables.items() if node.op is None]
    taken = {*RESERVED, *(var.name for var in program.variables())}
    final.name = final.name or ("loss" if "loss" not in taken else unused("loss", taken))
    _name_inputs(program, leaves, taken | {final.name})
    return Forward(program, final, leaves, numbers)


def refuse_reads(loss: Tensor) -> None:
    """Raise ReadOutError where this thread, between the first operation that led to the loss and the last,
    has read out a Tensor that requires a gradient, or, as a branch does, a bool: what was done with it is not
    recorded."""
    if loss.edge is None or not recent_reads:
        return
    history = ancestors([loss.edge])
    first = min((node.order for node in history if node.op is not None), default=loss.edge.order)
    for read in recent_reads.copy():  # other threads read too
        if first < read.order < loss.edge.order and read.thread == get_ident():
            raise ReadOutError(
                f"{place(read.file, read.line)}: item(), or a branch on data, read a value out of a "
                f"Tensor on the way to the loss, and what follows from it is not recorded; keep it a Tensor "
                f"(with torch.where, for instance), or detach() it first if it is only looked at"
            )


def _take_as_inputs(program: Program, recomputed: dict[Var, Array]) -> bool:
    """Make inputs of values that bypass the record (by `detach()`) after their memory was changed in place,
    since no instruction says what they were. Return whether any may have been."""
    changed = {
        var: Var(var.value.copy())
        for var in (instruction.output for instruction in program.instructions)
        if not np.allclose(recomputed[var], var.value, rtol=1e-4, equal_nan=True)
    }
    for instruction in program.instructions if changed else ():
        ways = zip(instruction.inputs, instruction.flows, strict=True)
        instruction.inputs = tuple(x if flow else changed.get(x, x) for x, flow in ways)
    return bool(changed)


def _name_inputs(program: Program, leaves: list[Var], taken: set[str]) -> None:
    """Give each input a name that is not taken; but an index 0, 1, 2, … is written as a range, and a single
    number that is no leaf as a number."""
    for var in program.inputs:
        var.constant = not (var.shape or var.name or var in leaves) and var.dtype.kind == "f"
    program.inputs = [var for var in program.inputs if not var.constant]
    for kind, inputs in (("leaf", leaves), ("input", [var for var in program.inputs if var not in leaves])):
        unnamed = [var for var in inputs if not var.name and not is_range(var)]
        hinted = names_of({var: Called("", var.hint, True) for var in unnamed if var.hint}, taken)
        for number, var in enumerate(inputs, 1):
            called = f"{kind}_{number}"
            if var in unnamed:
                var.name = hinted.get(var) or (unused(called, taken) if called in taken else called)
            taken.add(var.name)


def entry_of(operation: Operation) -> Operation:
    """Return the entry of the table for a node's operation: where an operation takes any number of inputs,
    the node has a version of it for its number."""
    entry = TABLE.get(operation.name)
    return entry if entry is not None and entry.variadic else operation


def is_range(var: Var) -> bool:
    """Return whether a variable holds the integers 0, 1, 2, …"""
    x = var.value
    return x.ndim == 1 and x.dtype.kind == "i" and np.array_equal(x, np.arange(len(x)))


class _Reading:
    """Turns arrays into variables, and nodes into instructions."""

    def __init__(self) -> None:
        self.variables: dict[Node, Var] = {}
        self.instructions: dict[Var, Instruction] = {}
        self._arrays: dict[int, tuple[Any, Var]] = {}  # by the id of the array, which is kept with it
        self._traced: dict[Var, Instruction] = {}
        self._called_again: dict[Var, str] = {}  # what Modules return that are called several times

    def take(self, node: Node) -> None:
        """Add the instruction of a node; a leaf waits until an operation shows its array."""
        if node.op is None:
            return
        refuse_functions([node], "derive")
        if node.values is None:
            raise RuntimeError(
                f"the values of {node.op.name} were freed by backward(): derive the loss before it, or call "
                f"backward(retain_graph=True)"
            )
        n = len(node.edges)
        result, inputs, parameters = node.values[0], node.values[1 : n + 1], node.values[n + 1 :]
        operands = []
        for edge, array in zip(node.edges, inputs, strict=True):
            if edge is not None and edge not in self.variables:
                self.variables[edge] = self._variable(_array(array))
            operands.append(self._variable(array) if edge is None else self.variables[edge])
        operation = entry_of(node.op)
        if operation is shape.to_device:  # a program has one device only
            operation, parameters = shape.clone, (False,)
        flows = tuple(edge is not None for edge in node.edges)
        line = source(reversed(node.metadata.get("traceback_", ())))
        where, hint = (f"{line}: ", "") if line else ("", " (detect_anomaly records the line)")
        for name, flowing in zip(operation.inputs, flows, strict=False):
            if flowing and not operation.variadic and name not in operation.sources:
                raise RuntimeError(f"{where}{operation.name} has no rule for its input {name}{hint}")
        parameters = substitute(parameters, self._variable)
        if operation is indexing.gather:
            parameters = self._searched(operands[0], *parameters)
        result = _array(result)
        output = self._variable(result)
        if output in self.instructions or output in operands or output in self.variables.values():
            output = Var(output.value)  # the same memory again: from an identity, or changed in place
            self._arrays[id(result)] = (result, output)
        self.variables[node] = output
        self._add(Instruction(operation, tuple(operands), parameters, output, flows, source=line))

    def _add(self, instruction: Instruction) -> None:
        """Add the instruction, after those that compute what it reads and were only traced."""
        waiting = [instruction]
        while waiting:
            last = waiting[-1]
            before = [
                self._traced[v] for v in last.reads() if v in self._traced and v not in self.instructions
            ]
            if before and last.output not in self.instructions:
                waiting += before
            else:
                self.instructions.setdefault(last.output, last)
                waiting.pop()

    def _variable(self, x: Any) -> Any:
        """Return the variable of an array; anything else, a Python number among them, unchanged."""
        if isinstance(x, Traced) and x.var is not None:
            if x.var not in self._traced:
                self._traced.update((instruction.output, instruction) for instruction in x.tape.instructions)
            return self._arrays.get(id(x), (x, x.var))[1]
        if not hasattr(x, "__array__"):
            return x
        if id(x) not in self._arrays:
            self._arrays[id(x)] = (x, Var(np.asarray(move(x, "cpu"))))
        return self._arrays[id(x)][1]

    def _searched(self, x: Var, axis: int, index: Any) -> tuple[Any, ...]:
        """Return the parameters of a `gather`, with an instruction for its index where that is the index
        of the largest or of the smallest: `max(dim)` leaves the index in the record, but not where it came
        from."""
        tape = Tape()
        for search in (reduction.argmax, reduction.argmin) if index not in self._traced else ():
            index_found = tape.apply(search, (tape.array(x),), (axis, True))
            if np.array_equal(plain(index_found), index.value):
                index = index_found.var
                self._add(tape.instructions[-1])
        return axis, index

    def give_names(self, names: Names, inner: Names, program: Program) -> dict[str, int]:
        """Name the variables of the program, and return the whole numbers among the names."""
        variables = {*program.inputs, *(instruction.output for instruction in program.instructions)}
        numbers: dict[str, int] = {}
        given: dict[str, Var] = {}
        further = [(name, value.edge) for name, value in inner if value.edge is not None]
        modules = list(module_names(names, list(self.variables)))
        calls = Counter(name for name, value in modules if isinstance(value, Node))
        for name, value in (*names, *modules, *further):
            if isinstance(value, int) and not isinstance(value, bool):
                numbers[name] = value
                continue
            var = self._variable_of(value)
            if var not in variables and var is not None and _node_of(value) is None:
                # It may have been reshaped or moved, and back.
                unnamed = (x for x in program.inputs if not x.name and x.dtype == var.dtype)
                var = next((x for x in unnamed if np.array_equal(x.value, var.value)), None)
            result = isinstance(value, Node)  # in which a call of a Module ended; it may have a name already
            if var is None or var not in variables or (result and (var.name or not name.isidentifier())):
                continue
            if result and calls[name] > 1:
                self._called_again[var] = name
                continue
            if given.setdefault(name, var) is not var:
                raise ValueError(
                    f"the name {name} is given to two tensors, of shape {given[name].shape} and {var.shape}: "
                    f"give each value a name of its own"
                )
            if not name.isidentifier() or keyword.iskeyword(name) or name in RESERVED:
                raise ValueError(f"{name!r} can't be the name of a variable in the printed code")
            var.name = var.name or name
        return numbers

    def give_stems(self, stems: Iterable[tuple[Any, Called]], names: Names) -> None:
        """Say what values without a name may be called: as the code calls them, else by the Module."""
        for value, stem in stems:
            var = self._variable_of(value)
            if var is not None and stem.name.isidentifier() and not keyword.iskeyword(stem.name):
                var.hint, var.module = var.hint or stem.name, var.module or stem.owner
        for var, name in self._called_again.items():
            var.hint = var.hint or name
        for node, module in modules_of(names, list(self.variables)).items():
            var = self.variables[node]
            var.module = var.module or module

    def _variable_of(self, value: Any) -> Var | None:
        """Return the variable of a Tensor, a node or an array; None for anything else."""
        node, array = _node_of(value), value.array if isinstance(value, Tensor) else value
        var = self.variables.get(node) if node is not None else self._variable(array)
        return var if isinstance(var, Var) else None


def _node_of(value: Any) -> Node | None:
    """Return a node, or that of a Tensor; None where there is none."""
    return value if isinstance(value, Node) else value.edge if isinstance(value, Tensor) else None


def _array(x: Any) -> Any:
    """Return the array of a Tensor, which may hold a Python float."""
    return np.asarray(x) if isinstance(x, float) else x
