"""The way back from a step's results: what a later `backward()` computes, recorded with the step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from ....engine.backward import run_backward
from ....engine.node import Node, ancestors
from ....engine.own_function import FunctionOperation
from ....engine.tensor import Tensor, wrap
from ...instructions import Instruction, Var, needed
from .outputs import Returned, layout_of
from .recorded import Memory, real

if TYPE_CHECKING:
    from .capture import Recording

MOST = 3
"""How many results may depend on one another, for every choice of those at which a backward may begin to have
a way back of its own; of more it is that of all, and others go back as eager code."""


@dataclass(eq=False)
class WayBack:
    """The way back from some results. upstream: the variables of their gradients; gradients: those of the
    leaves, None where none comes; wanted: these, each once; layouts: their strides, where these are not the
    usual ones. saved: what it reads of what the step has computed or drawn; inputs: the memory of Tensors
    that it reads."""

    upstream: list[Var]
    gradients: list[Var | None] = field(default_factory=list)
    wanted: list[Var] = field(default_factory=list)
    layouts: dict[Var, tuple[int, ...]] = field(default_factory=dict)
    instructions: list[Instruction] = field(default_factory=list)
    saved: list[Var] = field(default_factory=list)
    inputs: list[Memory] = field(default_factory=list)

    @property
    def reads(self) -> list[Var]:
        """Return the variables that are saved, and those of the inputs."""
        return [*self.saved, *(memory.before for memory in self.inputs if memory.before is not None)]


@dataclass(eq=False)
class History:
    """The history of results that depend on one another. leaves: the Tensors to which gradients flow. ways:
    the ways back from choices of the results, by their places."""

    results: list[Returned]
    leaves: list[Tensor]
    ways: dict[tuple[int, ...], WayBack]

    @property
    def kept(self) -> list[Var]:
        """Return what the ways read of what the step has computed or drawn, but for the results."""
        results = {result.var for result in self.results}
        return [var for way in self.ways.values() for var in way.saved if var not in results]


def record_histories(recording: Recording, results: list[Returned]) -> list[History]:
    """Record the ways back from these results, apart where they do not depend on one another. The tape is
    closed where there is none."""
    tape = recording.tape
    forward = [*tape.instructions]
    if results and tape.place != "cpu":
        tape.stop("a result still needs its history; on a device call backward() inside the function")
    pairs = [(result, set(younger(result.tensor.edge, recording.start))) for result in results]
    nodes = set().union(*(ancestry for _, ancestry in pairs))
    if any(node.hooks is not None for node in nodes):
        tape.stop("what still needs its history has hooks, or retains its gradient; do that outside")
    if any(isinstance(node.op, FunctionOperation) for node in nodes):
        tape.stop("the backward of an autograd.Function is code that is to run later; call backward() inside")
    nodes = {node for node in nodes if node.op is not None}  # nobody has the leaves that are made inside
    groups = _groups(pairs)
    with _cut_off(nodes) as ends:
        histories = [_history(recording, group, ends, forward) for group in groups if not tape.closed]
    tape.instructions[:] = forward
    return histories


def younger(edge: Node | None, start: int) -> list[Node]:
    """Return the nodes since a time, of those that lead to one."""
    nodes = ancestors([edge], lambda node: node.edges if node.order >= start else ())
    return [node for node in nodes if node.order >= start]


@contextmanager
def _cut_off(nodes: set[Node]) -> Iterator[dict[Node, Node]]:
    """Let the graph of these nodes end where others begin, in leaves: what is below belongs to the caller,
    with its hooks. Yield the leaf in the place of each node."""
    edges = {node: node.edges for node in nodes}
    below = (edge for several in edges.values() for edge in several if edge is not None and edge not in nodes)
    ends = {edge: Node(None, (), None) for edge in below}
    for edge, end in ends.items():
        end.order = edge.order  # as backward goes from the youngest node to the oldest
    for node in nodes:
        node.edges = tuple(edge if edge is None else ends.get(edge, edge) for edge in node.edges)
    try:
        yield ends
    finally:
        for node in nodes:
            node.edges = edges[node]


def _groups(pairs: Iterable[tuple[Returned, set[Node]]]) -> list[list[Returned]]:
    """Return the results, each given with its nodes, apart where they have no node in common that a backward
    frees."""
    groups: list[tuple[list[Returned], set[Node]]] = []
    for result, nodes in pairs:
        freed = {node for node in nodes if node.op is not None and node.op.kept(node.edges)}
        joined = [group for group in groups if not freed.isdisjoint(group[1])]
        groups = [group for group in groups if freed.isdisjoint(group[1])]
        together = [x for others, _ in joined for x in others]
        groups.append(([*together, result], freed.union(*(others for _, others in joined))))
    return [together for together, _ in groups]


def _history(
    recording: Recording, results: list[Returned], ends: dict[Node, Node], forward: list[Instruction]
) -> History:
    """Record the ways back from results that depend on one another. ends: where the graph ends; forward: the
    step's instructions."""
    holders = [x for cell in recording.cells for x in (cell.owner, *cell.others)]
    older = [x for x in holders if x is not None and not recording.is_own(x)]
    leaves = {ends[x.edge]: x for x in older if x.edge in ends}
    if not leaves:  # it depends on leaves that are made inside, and has a history all the same
        leaves[Node(None, (), None)] = wrap(np.zeros(0)).requires_grad_()
    ways, count = {}, len(results)
    for n in range(1 if count <= MOST else count, count + 1):
        for places in combinations(range(count), n):
            way = _way_back(recording, [results[place] for place in places], [*leaves])
            _look_around(way, recording, forward)
            ways[places] = way
    return History(results, [*leaves.values()], ways)


def _way_back(recording: Recording, results: list[Returned], leaves: list[Node]) -> WayBack:
    """Record the way back from some results."""
    tape = recording.tape
    starts: dict[Any, Any] = {}
    for result in results:
        array = np.ones_like(result.tensor._array)
        starts[result.tensor.edge] = tape.fresh(Var(array), array)
    way = WayBack([array.var for array in starts.values()])
    received: dict[Node, Any] = {}
    try:
        received = run_backward(starts, retain_graph=True, wanted=set(leaves))
    except RuntimeError as error:  # which eager code raises when backward is called, if it is
        tape.stop(f"its history can't be gone back: {error}")
    for leaf in leaves:
        array = received.get(leaf)
        way.gradients.append(None if array is None else tape.variable(array))
        if array is not None and not tape.closed and (layout := layout_of(real(array))):
            way.layouts[array.var] = layout
    way.wanted = [*dict.fromkeys(var for var in way.gradients if var is not None)]
    way.instructions = needed(tape.instructions, way.wanted)
    return way


def _look_around(way: WayBack, recording: Recording, forward: list[Instruction]) -> None:
    """Leave in a way what the step has not computed before, `forward`, and the views of what it has; find
    what else it reads."""
    fixed, views = recording.tape.fixed, set[Var]()
    makers = {instruction.output: instruction for instruction in forward}
    memory = {cell.before: cell for cell in recording.cells}
    given = {draw.var for draw in recording.draws} | {number.var for number in recording.symbols.numbers}
    own = [x for x in way.instructions if x.output not in makers and x.output not in fixed]
    known = {*way.upstream, *(x.output for x in own)}
    waiting = [*way.wanted, *(var for x in own for var in x.reads())][::-1]
    while waiting:
        var = waiting.pop()
        if var in known or var.constant or var in fixed:
            continue
        known.add(var)
        maker = makers.get(var)
        if maker is not None and maker.operation.view:
            views.add(var)
            waiting += maker.reads()
        elif maker is not None or var in given:
            way.saved.append(var)
        elif var in memory:
            way.inputs.append(memory[var])
            if memory[var].is_changed:
                recording.tape.stop("a Tensor is changed in place that backward() would read; clone() it")
    way.instructions = [x for x in forward if x.output in views] + own
