"""From the graph that a loss has recorded to a program, with the reader's names."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import get_ident
from typing import Any

import numpy as np

from ..kinds import move
from ..nn import Module
from ..node import Node, ancestors
from ..ops import TABLE, Operation, elementwise, indexing, reduction, shape
from ..reads import lately
from ..tensors import Tensor
from .instructions import Array, Instruction, Program, Var, substitute
from .trace import ReadOutError, Tape, Traced, plain, source

RESERVED = {"np", "torch"}
"""What the printed scripts call their libraries."""


def unused(name: str, taken: set[str]) -> str:
    """Return "name_1", or the first such name with a higher number that is not taken; from now on it is."""
    number = next(n for n in range(1, len(taken) + 2) if f"{name}_{n}" not in taken)
    taken.add(f"{name}_{number}")
    return f"{name}_{number}"


def gradient_name(name: str) -> str:
    """Return what the gradient of a value is called: d and its name, unless that is a word of Python's (of a
    value `el`, `del`)."""
    called = f"d{name}"
    return f"{called}_" if keyword.iskeyword(called) else called


@dataclass
class Forward:
    """A recorded forward pass. leaves: the variables that gradients are wanted of; numbers: the reader's
    names of whole numbers, such as the batch size."""

    program: Program
    loss: Var
    leaves: list[Var]
    numbers: dict[str, int]


def record(loss: Tensor, names: Any) -> Forward:
    """The forward pass that led to `loss`.

    names: what the values are called, as `locals()` gives it: Tensors, arrays, whole numbers, and Modules,
    whose parameters go by their own names; all else in it is passed over. Values that the loss does not
    depend on need not be left out.
    Raises ValueError where a name is given to two tensors or is none in Python, RuntimeError where there is
    no history, or where backward has freed it, or where an operation has no rule.
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
    final = reading.made[loss.edge]
    program = Program(list(reading.instructions.values()), [final]).needed()
    numbers = reading.give_names(names, program)
    program = _with_divisions(_without_whole_views(program))
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
    leaves = [var for node, var in reading.made.items() if node.op is None]
    taken = {*RESERVED, *(var.name for var in program.variables())}
    final.name = final.name or ("loss" if "loss" not in taken else unused("loss", taken))
    _name_inputs(program, leaves, taken | {final.name})
    return Forward(program, final, leaves, numbers)


def refuse_reads(loss: Tensor) -> None:
    """ReadOutError where this thread, between the first operation that led to the loss and the last, has read
    out a Tensor that requires a gradient, or, as for a branch, a bool: what was done with it, nothing tells.
    """
    if loss.edge is None or not lately:
        return
    history = ancestors([loss.edge])
    first = min((node.order for node in history if node.op is not None), default=loss.edge.order)
    for read in lately:
        if first < read.order < loss.edge.order and read.thread == get_ident():
            raise ReadOutError(
                f"{Path(read.file).name}:{read.line}: item(), or a branch on data, read a value out of a "
                f"Tensor on the way to the loss, and what follows from it is not recorded; keep it a Tensor "
                f"(with torch.where, for instance), or detach() it first if it is only looked at"
            )


def _take_as_inputs(program: Program, recomputed: dict[Var, Array]) -> bool:
    """Make inputs of values that are read past the record (of `detach()`) after their memory was changed in
    place: what they were, no instruction says. Return whether there are any."""
    changed = {
        var: Var(var.value.copy())
        for var in (each.output for each in program.instructions)
        if not np.allclose(recomputed[var], var.value, rtol=1e-4, equal_nan=True)
    }
    before = [each.inputs for each in program.instructions]
    for each in program.instructions if changed else ():
        flows = each.flows or (False,) * len(each.inputs)
        each.inputs = tuple(
            changed.get(x, x) if isinstance(x, Var) and not flow else x
            for x, flow in zip(each.inputs, flows, strict=True)
        )
    return before != [each.inputs for each in program.instructions]


def _without_whole_views(program: Program) -> Program:
    """The program without the views that show the whole of their input as it is, but those with a name."""
    shown: dict[Var, Any] = {}
    kept = []
    for each in program.instructions:
        each.inputs = tuple(shown.get(x, x) if isinstance(x, Var) else x for x in each.inputs)
        each.parameters = substitute(each.parameters, lambda x: shown.get(x, x) if isinstance(x, Var) else x)
        x, out = next(iter(each.inputs), None), each.output
        dispensable = each.operation.view and not out.name and out not in program.outputs
        moves = each.operation is shape.permute
        if dispensable and not moves and isinstance(x, Var) and x.shape == out.shape:
            shown[out] = x
        else:
            kept.append(each)
    return Program(kept, program.outputs)


def _with_divisions(program: Program) -> Program:
    """A number over a value, which is recorded as the reciprocal of the value times the number, as what it
    is, unless the reciprocal has a name of its own."""
    makers = {each.output: each for each in program.instructions}
    for each in program.instructions:
        before = makers.get(each.inputs[0]) if each.operation is elementwise.mul else None  # type: ignore[arg-type]
        number = each.inputs[-1]
        if before is None or before.operation is not elementwise.reciprocal or before.output.name:
            continue
        if number == 1:
            each.operation, each.inputs, each.flows = before.operation, before.inputs, before.flows
        elif not isinstance(number, Var):
            each.operation, each.inputs, each.flows = elementwise.div, (number, *before.inputs), (False, True)
    return program.needed()


def _name_inputs(program: Program, leaves: list[Var], taken: set[str]) -> None:
    """Give each input a name that is not taken; but 0, 1, 2, … as an index is written as a range, and a
    single number that is no leaf as a number."""
    for var in program.inputs:
        var.constant = not (var.shape or var.name or var in leaves) and var.dtype.kind == "f"
    program.inputs = [var for var in program.inputs if not var.constant]
    for kind, inputs in (("leaf", leaves), ("input", [var for var in program.inputs if var not in leaves])):
        for number, var in enumerate(inputs, 1):
            if not var.name and not is_range(var):
                called = f"{kind}_{number}"
                var.name = unused(called, taken) if called in taken else called


def entry_of(operation: Operation) -> Operation:
    """Return the entry of the table that a node's operation is: of one that takes any number of inputs the
    node has what it is of so many."""
    entry = TABLE.get(operation.name)
    return entry if entry is not None and entry.variadic else operation


def is_range(var: Var) -> bool:
    """Whether it holds the integers 0, 1, 2, …"""
    return (
        len(var.shape) == 1 and var.dtype.kind == "i" and np.array_equal(var.value, np.arange(var.shape[0]))
    )


class _Reading:
    """Makes variables of arrays, and instructions of nodes."""

    def __init__(self) -> None:
        self.made: dict[Node, Var] = {}
        self.instructions: dict[Var, Instruction] = {}
        self._arrays: dict[int, tuple[Any, Var]] = {}  # by the array's id; the array is kept so that it stays
        self._traced: dict[Var, Instruction] = {}

    def take(self, node: Node) -> None:
        """A node becomes an instruction; a leaf waits until an operation shows its array."""
        if node.op is None:
            return
        if node.values is None:
            raise RuntimeError(
                f"the values of {node.op.name} were freed by backward(): derive the loss before it, or call "
                f"backward(retain_graph=True)"
            )
        n = len(node.edges)
        result, inputs, parameters = node.values[0], node.values[1 : n + 1], node.values[n + 1 :]
        operands = []
        for edge, array in zip(node.edges, inputs, strict=True):
            if edge is not None and edge not in self.made:
                self.made[edge] = self._variable(_array(array))
            operands.append(self._variable(array) if edge is None else self.made[edge])
        operation = entry_of(node.op)
        if operation is shape.to_device:  # in a program all is in one place
            operation, parameters = shape.clone, (False,)
        flows = tuple(edge is not None for edge in node.edges)
        line = source(node.metadata.get("traceback_", ()))
        where, hint = (f"{line}: ", "") if line else ("", " (detect_anomaly records the line)")
        for name, flowing in zip(operation.inputs, flows, strict=False):
            if flowing and not operation.variadic and name not in operation.sources:
                raise RuntimeError(f"{where}{operation.name} has no rule for its input {name}{hint}")
        parameters = substitute(parameters, self._variable)
        if operation is indexing.gather:
            parameters = self._searched(operands[0], *parameters)
        result = _array(result)
        output = self._variable(result)
        if output in self.instructions or output in operands or output in self.made.values():
            output = Var(output.value)  # the same memory once more: of an identity, or changed in place
            self._arrays[id(result)] = (result, output)
        self.made[node] = output
        self._add(Instruction(operation, tuple(operands), parameters, output, flows, source=line))

    def _add(self, instruction: Instruction) -> None:
        """The instruction, after those that make what it reads and were only traced."""
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
        """The variable of an array; anything else, a Python number among them, as it is."""
        if isinstance(x, Traced) and x.var is not None:
            if x.var not in self._traced:
                self._traced.update((each.output, each) for each in x.tape.instructions)
            return self._arrays.get(id(x), (x, x.var))[1]
        if not hasattr(x, "__array__"):
            return x
        if id(x) not in self._arrays:
            self._arrays[id(x)] = (x, Var(np.asarray(move(x, "cpu"))))
        return self._arrays[id(x)][1]

    def _searched(self, x: Var, axis: int, index: Any) -> tuple[Any, ...]:
        """`max(dim)` leaves a `gather` and an index, not where the index came from: if it is that of the
        largest, or of the smallest, then that is where."""
        tape = Tape()
        for search in (reduction.argmax, reduction.argmin) if index not in self._traced else ():
            found = tape.apply(search, (tape.array(x),), (axis, True))
            if np.array_equal(plain(found), index.value):
                index = found.var
                self._add(tape.instructions[-1])
        return axis, index

    def give_names(self, names: Any, program: Program) -> dict[str, int]:
        """Name the variables of the program. The whole numbers found on the way are returned."""
        variables = {*program.inputs, *(each.output for each in program.instructions)}
        numbers: dict[str, int] = {}
        given: dict[str, Var] = {}
        for name, value in _pairs(names):
            if isinstance(value, int) and not isinstance(value, bool):
                numbers[name] = value
                continue
            array = value.array if isinstance(value, Tensor) else value
            node = value.edge if isinstance(value, Tensor) else None
            var = self.made.get(node) if node is not None else self._variable(array)
            if not isinstance(var, Var):
                continue
            if var not in variables and node is None:  # it may have been reshaped, or moved, and back
                var = next((each for each in program.inputs if not each.name and _equal(each, var)), var)
            if var not in variables:
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


def _equal(a: Var, b: Var) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and np.array_equal(a.value, b.value)


def _array(x: Any) -> Any:
    """What a Tensor holds as an array: it may be a Python float."""
    return np.asarray(x) if isinstance(x, float) else x


def _pairs(names: Any) -> Iterator[tuple[str, Any]]:
    """Names and values. The parameters of a module go by their own names, dots as underscores; names that
    begin with an underscore (IPython keeps results under such) come last."""
    pairs = list(names.items() if isinstance(names, Mapping) else names)
    for name, value in sorted(pairs, key=lambda pair: str(pair[0]).startswith("_")):
        if isinstance(value, Module):
            for inner, each in (*value.named_parameters(), *value.named_buffers()):
                yield re.sub(r"\W", "_", inner if inner[:1].isalpha() else f"{name}_{inner}"), each
        else:
            yield name, value
