"""The way back from a step's results: what a later `backward()` computes, recorded with the step."""

from __future__ import annotations

from collections.abc import Iterable
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

MOST = 4
"""How many results and parts may depend on one another, for every choice of those at which a backward may
begin to have a way back of its own; of more it is that of all, and others go back as eager code."""


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
    """The history of results that depend on one another, and what one of them has in common with another
    that leads to it: a part, a `Returned` without a variable.

    leaves: the Tensors to which gradients flow, and results and parts, of other histories, at which these go
    on. ways: the ways back from choices of the results, by their places. passed: all results and parts at
    which gradients go on from one history to another, the oldest first.
    """

    results: list[Returned]
    leaves: list[Tensor | Returned]
    ways: dict[tuple[int, ...], WayBack]
    passed: list[Returned]

    @property
    def saved(self) -> list[Var]:
        """Return what the ways read of what the step has computed or drawn."""
        return [var for way in self.ways.values() for var in way.saved]


def record_histories(recording: Recording, results: list[Returned]) -> list[History]:
    """Record the ways back from these results, apart where they do not depend on one another, those first at
    which others end. The tape is closed where there is none."""
    tape = recording.tape
    forward = [*tape.instructions]
    if results and tape.place != "cpu":
        tape.stop("a result still needs its history; on a device call backward() inside the function")
    roots = {node: result for result in results if (node := result.tensor.edge) is not None}
    nodes = younger(roots, recording.start)
    if any(node.hooks is not None for node in nodes):
        tape.stop("what still needs its history has hooks, or retains its gradient; do that outside")
    if any(isinstance(node.op, FunctionOperation) for node in nodes):
        tape.stop("the backward of an autograd.Function is code that is to run later; call backward() inside")
    if tape.closed:
        return []
    levels, passed = levels_of(roots, recording.start)
    between = [roots.get(node) or _part(node) for node in passed]
    edges = {node: node.edges for node in levels}
    ends = cut(levels)
    try:
        reached = {ends[node]: x for node, x in zip(passed, between, strict=True)}
        groups = _groups(roots | dict(zip(passed, between, strict=True)), levels, recording.start)
        histories = [
            _history(recording, group, ends, reached, forward) for group in groups if not tape.closed
        ]
    finally:
        for node in levels:
            node.edges = edges[node]
    tape.instructions[:] = forward
    return histories


def _part(node: Node) -> Returned:
    """Return what stands for the value of a node, of which the shape is known, and which is not returned."""
    array = real(value_of(node))
    return Returned(at(np.zeros(array.shape, array.dtype), node), None, None)


def value_of(node: Node) -> Any:
    """Return the array that an operation has computed."""
    assert node.values is not None
    return node.values[0]


def at(array: Any, edge: Node | None) -> Tensor:
    """Return a Tensor of an array at a place in the graph."""
    tensor = wrap(array)
    tensor.edge = edge
    return tensor


def younger(edges: Iterable[Node | None], start: int) -> list[Node]:
    """Return the nodes since a time, of those that lead to these, the oldest first."""
    nodes = ancestors(edges, lambda node: node.edges if node.order >= start else ())
    return [node for node in nodes if node.order >= start]


def levels_of(results: Iterable[Node | None], start: int) -> tuple[dict[Node, int], list[Node]]:
    """Return the level of each node since a time that leads to one of the results, and the nodes, the oldest
    first, to which an edge leads from a higher level.

    A result is above those that lead to it, and what both have in common is on the lower one's level: so a
    gradient that is on its way from one result to another passes that one, with its hooks. Leaves since that
    time, which nobody has, are on none.
    """
    chosen = {*results}
    nodes = [node for node in younger(chosen, start) if node.op is not None]
    below: dict[Node, int] = {}
    for node in nodes:
        known = [edge for edge in node.edges if edge is not None and edge in below]
        below[node] = max((below[edge] + (edge in chosen) for edge in known), default=0)
    levels: dict[Node, int] = {}
    for node in reversed(nodes):
        if node in chosen:
            levels[node] = below[node]
        for edge in node.edges:
            if edge is not None and edge in below:
                levels[edge] = min(levels.get(edge, levels[node]), levels[node])
    pairs = ((edge, node) for node in nodes for edge in node.edges if edge is not None and edge in levels)
    lower = {edge for edge, node in pairs if levels[edge] < levels[node]}
    return levels, [node for node in nodes if node in lower]


def cut(levels: dict[Node, int]) -> dict[Node, Node]:
    """Let the graph of these nodes end in leaves where those of a lower level begin, and others, which belong
    to the caller, with their hooks. Return the leaf in the place of each node."""
    ends: dict[Node, Node] = {}

    def end(edge: Node | None, level: int) -> Node | None:
        if edge is None or levels.get(edge, -1) == level:
            return edge
        if edge not in ends:
            ends[edge] = Node(None, (), None)
            ends[edge].order = edge.order  # as backward goes from the youngest node to the oldest
        return ends[edge]

    for node, level in levels.items():
        node.edges = tuple([end(edge, level) for edge in node.edges])
    return ends


def _groups(chosen: dict[Node, Returned], levels: dict[Node, int], start: int) -> list[list[Returned]]:
    """Return the results, given by their nodes, those of lower levels first, apart where they have no node in
    common that a backward frees."""
    groups: list[tuple[list[Returned], set[Node]]] = []
    for root in sorted(chosen, key=levels.__getitem__):
        nodes = younger([root], start)
        freed = {node for node in nodes if node.op is not None and node.op.kept(node.edges)}
        joined = [group for group in groups if not freed.isdisjoint(group[1])]
        groups = [group for group in groups if freed.isdisjoint(group[1])]
        together = [x for others, _ in joined for x in others]
        groups.append(([*together, chosen[root]], freed.union(*(others for _, others in joined))))
    return [together for together, _ in groups]


def _history(
    recording: Recording,
    results: list[Returned],
    ends: dict[Node, Node],
    reached: dict[Node, Returned],
    forward: list[Instruction],
) -> History:
    """Record the ways back from results that depend on one another. ends: where the graph ends; reached: the
    results and parts at some of these; forward: the step's instructions."""
    holders = [x for cell in recording.cells for x in (cell.owner, *cell.others)]
    older = [x for x in holders if x is not None and not recording.is_own(x)]
    known: dict[Node, Tensor | Returned]
    known = {ends[x.edge]: x for x in older if x.edge in ends}
    below = {*ancestors(x.tensor.edge for x in results)}
    leaves = {end: x for end, x in (known | reached).items() if end in below}
    if not leaves:  # it depends on leaves that are made inside, and has a history all the same
        leaves[Node(None, (), None)] = wrap(np.zeros(0)).requires_grad_()
    ways, count = {}, len(results)
    for n in range(1 if count <= MOST else count, count + 1):
        for places in combinations(range(count), n):
            way = _way_back(recording, [results[place] for place in places], [*leaves])
            _look_around(way, recording, forward)
            ways[places] = way
    return History(results, [*leaves.values()], ways, [*reached.values()])


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
