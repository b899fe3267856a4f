"""The graph behind a Tensor, read out of the engine's record into plain objects, for any kind of picture.

    graph = extract(loss, names=locals())
    for step in graph.steps:                     # oldest first: the forward pass
        print(step.operation.name, step.inputs, "->", step.output)
    for step in reversed(graph.steps):           # youngest first: the order in which backward walks
        print(step.output.gradient, [step.contribution(i) for i in range(len(step.inputs))])

A `Value` is one array: a leaf, a constant, or the result of a `Step`, which is one application of an entry of
the table of operations. Everything is in lists, oldest first, and nothing here is recursive.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from traceback import FrameSummary
from typing import Any, Literal

import numpy as np

from tinygrad_ninja import Tensor, autograd
from tinygrad_ninja.arrays.dispatch import dtype_of
from tinygrad_ninja.engine.node import ancestors
from tinygrad_ninja.engine.own_function import refuse_functions
from tinygrad_ninja.engine.tensor import wrap
from tinygrad_ninja.engine.value import Value as Scalar
from tinygrad_ninja.nn import Module
from tinygrad_ninja.ops import Operation

from .names import AnyNode, Names


@dataclass(eq=False, slots=True)
class Value:
    """One array of the graph.

    number: its index in `Graph.values`.
    array: its numbers, in any kind of array (NumPy, torch, a Python float); the record's own, not a copy.
    kind: "leaf" requires a gradient, "constant" does not, "result" is the output of a step.
    name: "" where it has none; owned: whether the name is its path, as of a Module's parameter or buffer.
    gradient: of the root with respect to it, an array of its shape; None where there is none.
    held: the content of its `.grad`, which other backward passes may have added to; None where there is none.
    maker: the step that computed it; uses: the steps that use it, with the index among `step.inputs`;
    read_by: the steps that have it among their parameters, as an index.
    backward: whether it is part of the recorded backward pass, and not of the root's own history.
    """

    number: int
    array: Any
    kind: Literal["leaf", "constant", "result"]
    node: AnyNode | None = None
    name: str = ""
    owned: bool = False
    gradient: Any = None
    held: Any = None
    maker: Step | None = None
    uses: list[tuple[Step, int]] = field(default_factory=list)
    read_by: list[Step] = field(default_factory=list)
    backward: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape of the array; () for a number."""
        return tuple(getattr(self.array, "shape", ()))

    @property
    def dtype(self) -> str:
        """Return the name of the dtype, or "float" for a Python float."""
        return "float" if isinstance(self.array, float) else dtype_of(self.array).name

    def users(self) -> list[Step]:
        """Return the steps that use it, as an input or as a parameter."""
        return [*(step for step, _ in self.uses), *self.read_by]

    def __repr__(self) -> str:
        return f"<value {self.number} {self.name or self.kind} {self.shape}>"


@dataclass(eq=False, slots=True)
class Step:
    """One application of an operation.

    number: its index in `Graph.steps`.
    operation: the entry of the table, with its name, its formulas (`__doc__`) and the names of its inputs.
    inputs: in the order of `operation.inputs`: values, or the plain numbers that an operator was given.
    parameters: by name, as the operation was given them (axes, shapes, an index).
    reads: the arrays among the parameters, such as those of an index: values to which no gradient flows.
    traceback: the lines that led to it, the innermost last; empty unless it was recorded under
    `autograd.detect_anomaly`.
    """

    number: int
    operation: Operation
    node: AnyNode
    output: Value
    inputs: list[Value | float] = field(default_factory=list)
    parameters: dict[str, Any] = field(default_factory=dict)
    reads: list[Value] = field(default_factory=list)

    @property
    def order(self) -> int:
        """Return the engine's count, which falls: of two steps the one with the smaller count is younger."""
        return self.node.order

    @property
    def backward(self) -> bool:
        """Return whether the step is part of the recorded backward pass."""
        return self.output.backward

    @property
    def traceback(self) -> list[FrameSummary]:
        """Return the lines that led to the step, the innermost last; empty unless they were recorded."""
        return list(getattr(self.node, "metadata", {}).get("traceback_", ()))

    def contribution(self, i: int) -> Any:
        """Return what this use adds to the gradient of input `i`, an array of its shape, by the operation's
        rule.

        It is None where no gradient flows, to or from here. The gradient of a value is the sum of the
        contributions of its uses.
        """
        value = self.inputs[i]
        if self.output.gradient is None or not isinstance(value, Value) or value.kind == "constant":
            return None
        assert self.node.values is not None
        with np.errstate(all="ignore"):
            return self.operation.rules[i](self.output.gradient, self.node.values)

    def __repr__(self) -> str:
        return f"<step {self.number} {self.operation.name}>"


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a Module: the steps of an order between `first` and `last`, both exclusive, are its own."""

    path: str
    module: Module
    first: int
    last: int


@dataclass(eq=False, slots=True)
class Graph:
    """The history of `root`: `values` and `steps`, oldest first, and the `calls` of modules that computed any
    of the steps, outer before inner.

    note: a sentence that says why there are no gradients; empty otherwise.
    """

    root: Value
    values: list[Value]
    steps: list[Step]
    calls: list[Call]
    note: str = ""


def extract(
    root: Tensor | Scalar,
    names: Mapping[str, Any] | None = None,
    model: Module | None = None,
    *,
    gradients: bool = True,
    backward: bool | Sequence[Tensor] = False,
) -> Graph:
    """Return the graph of everything that `root`, a Tensor or a `tinygrad_ninja.Value`, was computed from.

    names: the names of objects, such as `locals()`: Tensors, Modules (whose parameters get their paths),
        and lists, tuples and dicts of them. The first name of an object counts; names that begin with "_" are
        skipped.
    model: a Module whose parameters and calls are named without a prefix.
    gradients: whether to compute the gradient of `root`, if that is a single number, at every value. No
        `.grad` is touched; hooks are called, as by `autograd.grad`. For a Value the gradients are read from
        `.grad`.
    backward: whether to include the backward pass itself. True records one from `root` (create_graph=True),
        and names the gradient of x dx; else Tensors that were computed by one, such as `[x.grad]`.

    Raises TypeError where the root is neither, RuntimeError where backward() has freed the graph, and
    ValueError where a backward pass is asked for but `root` has none.
    """
    if not isinstance(root, (Tensor, Scalar)):
        raise TypeError(f"only the graph of a Tensor or a Value can be drawn, not a {type(root).__name__}'s")
    naming = Names(names, model)
    node = root if isinstance(root, Scalar) else root.edge
    nodes = _history([node])
    gradient_of: dict[AnyNode, Tensor] = {}
    note = ""
    if backward is True or (gradients and isinstance(root, Tensor)):
        gradient_of, note = _gradients(root, nodes, record=backward is True)
    if backward is True:
        _name_gradients(naming, gradient_of)
    gradient_tensors = list(gradient_of.values()) if backward is True else list(backward or ())
    everything = _history([node, *(tensor.edge for tensor in gradient_tensors)])
    if backward is not False and len(everything) == len(nodes):
        raise ValueError("no backward pass was recorded: compute the gradients with create_graph=True")
    reader = _Reader(naming)
    for recorded in everything:
        reader.read(recorded)
    calls = _calls(naming, [step.order for step in reader.steps])
    graph = Graph(reader.root(root), reader.values, reader.steps, calls, note)
    forward = set(nodes)
    for step in graph.steps:
        step.output.backward = step.node not in forward
    for value in graph.values:
        if value.node in gradient_of:
            value.gradient = gradient_of[value.node].array
        elif isinstance(value.node, Scalar) and gradients:
            value.gradient = value.node.grad
        if value.maker is None and value is not graph.root:
            value.backward = all(step.backward for step in value.users())
    return graph


def _history(roots: Iterable[AnyNode | None]) -> list[AnyNode]:
    """Return all nodes that lead to the roots, the oldest first. RuntimeError where one was freed."""
    history = ancestors(roots)
    if any(isinstance(node, Scalar) and node.op is None and node.edges for node in history):
        raise RuntimeError(
            "a Value that was made with its children cannot be drawn: its rule is the program's own"
        )
    refuse_functions((node for node in history if not isinstance(node, Scalar)), "draw")
    if any(node.op is not None and node.values is None for node in history):
        raise RuntimeError(
            "backward() has freed this graph, so that nothing is left of it to draw: call "
            "backward(retain_graph=True), or draw before"
        )
    return history


def _gradients(root: Any, nodes: Sequence[AnyNode], record: bool) -> tuple[dict[AnyNode, Tensor], str]:
    """Return the gradient of the root at every node that it reaches, with its own history where it is
    recorded; or none, and a sentence that says why."""
    if record and (isinstance(root, Scalar) or root.edge is None or root.numel() != 1):
        raise ValueError("a backward pass is recorded from a Tensor of one number that requires a gradient")
    if root.edge is None:
        return {}, ""
    if root.numel() != 1:
        return {}, f"Of {root.numel()} numbers together there is no gradient: what is shown is in .grad."
    # `grad` takes Tensors, but reads only their nodes.
    stand_ins: list[Any] = [wrap(0.0) for _ in nodes]
    for node, tensor in zip(nodes, stand_ins, strict=True):
        tensor.edge = node
    # `grad` returns the gradient before a node's hooks, as in PyTorch. The last hook sees what is passed on.
    passed: dict[AnyNode, Tensor] = {}
    hooked = [(node, tensor) for node, tensor in zip(nodes, stand_ins, strict=True) if tensor.edge.hooks]
    handles = [tensor.register_hook(partial(passed.__setitem__, node)) for node, tensor in hooked]
    try:
        gradients = autograd.grad(root, stand_ins, retain_graph=True, create_graph=record, allow_unused=True)
    except RuntimeError as error:
        if record:
            raise
        return {}, f"The gradients cannot be worked out: {error}."
    finally:
        for handle in handles:
            handle.remove()
    of_nodes = ((node, passed.get(node, gradient)) for node, gradient in zip(nodes, gradients, strict=True))
    return {node: gradient for node, gradient in of_nodes if gradient is not None}, ""


def _name_gradients(naming: Names, gradients: dict[AnyNode, Tensor]) -> None:
    """Name the gradient of x dx; where an addition passes one on, so that several share it, by all names."""
    names_of: dict[int, list[str]] = {}
    for node in reversed(gradients):  # the youngest first
        if naming.of(node):
            names_of.setdefault(id(gradients[node].edge or gradients[node].array), []).append(
                f"d{naming.of(node)}"
            )
    for tensor in gradients.values():
        if (names := names_of.get(id(tensor.edge or tensor.array))) is not None:
            naming.add(" = ".join(names), tensor)


class _Reader:
    """Reads nodes, the oldest first, as steps between values."""

    def __init__(self, naming: Names) -> None:
        self.values: list[Value] = []
        self.steps: list[Step] = []
        self._naming = naming
        self._of_node: dict[AnyNode, Value] = {}
        self._constants: dict[int, Value] = {}

    def root(self, root: Any) -> Value:
        """Return the value of what is drawn."""
        node = root if isinstance(root, Scalar) else root.edge
        array = root.data if isinstance(root, Scalar) else root.array
        if node is None:
            return self._add(array, "constant", None)
        return self._of_node.get(node) or self._add(array, "leaf", node)

    def read(self, node: AnyNode) -> None:
        """Add the step that computed a node, if one did, and its values."""
        if node.op is None:
            return
        assert node.values is not None
        op, count = node.op, len(node.op.inputs)
        edges = (*node.edges, *[None] * (count - len(node.edges)))  # a number of a Value has none
        inputs = [self._operand(*pair) for pair in zip(node.values[1 : count + 1], edges, strict=True)]
        parameters = dict(zip(op.parameters, node.values[count + 1 :], strict=True))
        reads = [self._constant(array) for array in _arrays(parameters.values())]
        output = self._of_node[node] = self._add(node.values[0], "result", node)
        step = output.maker = Step(len(self.steps), op, node, output, inputs, parameters, reads)
        self.steps.append(step)
        for i, value in enumerate(inputs):
            if isinstance(value, Value):
                value.uses.append((step, i))
        for value in reads:
            value.read_by.append(step)

    def _add(self, array: Any, kind: Literal["leaf", "constant", "result"], node: AnyNode | None) -> Value:
        """Add a value of the graph for the array."""
        held = getattr(node.grad, "array", None) if node is not None else None
        name = self._naming.of(node, array)
        named = name in self._naming.paths
        self.values.append(Value(len(self.values), array, kind, node, name, named, held=held))
        return self.values[-1]

    def _constant(self, array: Any) -> Value:
        """Return the value of an array that requires no gradient."""
        if id(array) not in self._constants:
            self._constants[id(array)] = self._add(array, "constant", None)
        return self._constants[id(array)]

    def _operand(self, array: Any, edge: AnyNode | None) -> Value | float:
        """Return the value of an input, or the number itself where it is a plain number."""
        if isinstance(edge, Scalar) and edge.is_constant:
            return float(array)
        if edge is None:
            return array if isinstance(array, (int, float)) else self._constant(array)
        if edge not in self._of_node:
            self._of_node[edge] = self._add(array, "leaf", edge)
        return self._of_node[edge]


def _calls(naming: Names, ages: list[int]) -> list[Call]:
    """Return the calls that computed any of the steps, whose `ages` rise; the outer before those inside."""
    calls = [
        Call(path, module, first, last)
        for module, path in naming.modules.items()
        for first, last in module._calls
        if bisect(ages, first) < bisect(ages, last)
    ]
    return sorted(calls, key=lambda call: call.first)


def _arrays(parameters: Iterable[Any]) -> Iterator[Any]:
    """Yield the arrays among an operation's parameters; an index is a tuple, and may hold some."""
    for parameter in parameters:
        for part in parameter if isinstance(parameter, tuple) else (parameter,):
            if getattr(part, "ndim", 0):
                yield part
