"""The nodes and edges of a drawing, and their look in DOT."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

import graphviz

from tinygrad_ninja.engine.anomaly import described
from tinygrad_ninja.ops import comparison

from . import labels
from .fold import Group, Item
from .graph import Graph, Step, Value

EXTREMES = frozenset((comparison.maximum, comparison.minimum))
"""To these, too, it makes no difference which input is which, but for the sign of a zero."""

MOST_LABELS = 100
"""With more edges than this none has a label: they would be unreadable, and slow `dot` down."""

FONT = "Arial"  # both programs know its widths
FILLS = {"leaf": "#fff3cd", "constant": "#efefef", "result": "#ffffff"}
STEP_FILL, GROUP_FILL, CLUSTER_FILL, BACKWARD_FILL = "#dbe9f6", "#c7dcef", "#f6f8fa", "#fdf1e7"
LINE = "#595959"


class Picture:
    """A graph in which every group that is not `opened` is one node; of groups that are alike the first is
    drawn.

    nodes, edges: how many there are. Values without an edge, such as the leaves of the groups left out, are
    not drawn.
    """

    def __init__(self, graph: Graph, top: Group, opened: Collection[Group]) -> None:
        self._root, self._top, self._opened = graph.root, top, opened
        self._names: dict[Group, str] = {}
        self._where: dict[Step | Value, str] = {}  # the node that represents it
        self._original: dict[Step | Value, Step | Value] = {}  # for items of a group that repeats another
        self._place()
        # (source, target, which of several edges): the values that pass, and in which role.
        self._edges: dict[tuple[str, str, int], list[tuple[Value, str]]] = {}
        for step in graph.steps:
            if step not in self._original:
                self._connect(step)
        if self._node_of(graph.root) != _own(graph.root):
            self._edges[self._node_of(graph.root), _own(graph.root), 0] = [(graph.root, "")]
        self._drawn = {end for edge in self._edges for end in edge[:2]} | {_own(graph.root)}
        self.nodes, self.edges = len(self._drawn), len(self._edges)

    def _place(self) -> None:
        stack = [self._top]
        while stack:
            group = stack.pop()
            name = self._names[group] = f"g{len(self._names)}"
            if group not in self._opened:
                everything = _with_results(group.contents(others=True))
                self._where.update(dict.fromkeys(everything, name))
                continue
            stack += group.groups()
            for item in _with_results(member for member in group.items if not isinstance(member, Group)):
                self._where[item] = _own(item)
            pairs: list[tuple[Item, Item]] = [(group, other) for other in group.others]
            while pairs:
                original, copy = pairs.pop()
                if isinstance(original, Group) and isinstance(copy, Group):
                    pairs += zip(original.items, copy.items, strict=True)
                    pairs += [(original, other) for other in copy.others]
                elif not isinstance(original, Group) and not isinstance(copy, Group):
                    alike = zip(_with_results([copy]), _with_results([original]), strict=True)
                    self._original.update(alike)

    def _node_of(self, item: Step | Value) -> str:
        return self._where[self._original.get(item, item)]

    def _connect(self, step: Step) -> None:
        """Add the edges that end at the step, and the edge to its result."""
        target = self._node_of(step)
        single = target == _own(step)  # not inside a folded group
        operands = sum(isinstance(value, Value) for value in step.inputs)
        alike = step.operation.commutative or step.operation in EXTREMES
        roles = step.operation.inputs if operands > 1 and not alike else ()
        sources = [*step.inputs, *(value for value in step.reads if value.name)]
        for i, value in enumerate(sources):
            if not isinstance(value, Value) or (source := self._node_of(value)) == target:
                continue
            role = roles[i] if single and i < len(roles) else ""
            # Two uses by one step have an edge each; all values between two groups share one.
            place = i if single and source == _own(value) else 0
            self._edges.setdefault((source, target, place), []).append((value, role))
        if single:
            self._edges[target, _own(step.output), 0] = [(step.output, "")]

    # -- as DOT ----------------------------------------------------------------------------------------------

    def write(
        self, dot: graphviz.Digraph, direction: str, show: Collection[str], notes: Sequence[str]
    ) -> None:
        """Write the nodes, clusters and edges into `dot`, with the notes above them; see `draw` for the
        others."""
        dot.attr(rankdir=direction, nodesep="0.12", ranksep="0.3", fontname=FONT, fontsize="11")
        dot.attr("node", shape="box", fontname=FONT, fontsize="11", margin="0.1,0.04", height="0.2")
        dot.attr("node", style="rounded,filled", color=LINE)
        dot.attr("edge", color=LINE, arrowsize="0.6", fontname=FONT, fontsize="9")
        self._write_group(self._top, dot, show)
        if self._node_of(self._root) != _own(self._root):
            self._write_value(self._root, dot, show)
        crowded = len(self._edges) > MOST_LABELS
        for (source, target, _), passed in self._edges.items():
            style = "dashed" if all(value.kind == "constant" for value, _ in passed) else None
            dot.edge(source, target, None if crowded else self._edge_label(source, passed), style=style)
        if notes:
            lines = "".join(f'{labels.text(note, 200)}<BR ALIGN="LEFT"/>' for note in notes)
            dot.attr(label=f"<{lines}>", labelloc="t", labeljust="l")

    def _write_group(self, group: Group, dot: graphviz.Digraph, show: Collection[str]) -> None:
        for item in group.items:
            if isinstance(item, Step):
                self._write_step(item, dot)
                self._write_value(item.output, dot, show)
            elif isinstance(item, Value):
                if _own(item) in self._drawn:
                    self._write_value(item, dot, show)
            elif item in self._opened:
                with dot.subgraph(name=f"cluster_{self._names[item]}") as inner:
                    first = ", the first of which is drawn" if item.others else ""
                    inner.attr(
                        label=f"<{labels.text(labels.group_title(item))}{first}>",
                        labeljust="l",
                        style="rounded,filled",
                        fillcolor=BACKWARD_FILL if item.kind == "backward" else CLUSTER_FILL,
                        color="#b0b0b0",
                        tooltip=_tip(labels.group_title(item)),
                    )
                    self._write_group(item, inner, show)
            else:
                tip = _tip(labels.group_title(item))
                label = labels.group_label(item)
                dot.node(self._names[item], label, fillcolor=GROUP_FILL, peripheries="2", tooltip=tip)

    def _write_value(self, value: Value, dot: graphviz.Digraph, show: Collection[str]) -> None:
        description = (value.name or value.kind, labels.shape_text(value.shape), value.dtype)
        tip = _tip(" ".join(filter(None, description)))
        dot.node(
            _own(value),
            labels.value_label(value, show),
            fillcolor=FILLS[value.kind],
            tooltip=tip,
            penwidth="2" if value is self._root else None,
        )

    def _write_step(self, step: Step, dot: graphviz.Digraph) -> None:
        lines = [" ".join((step.operation.__doc__ or "").split())]
        if step.traceback:
            lines.append(described(step.traceback))
        tip = "\n".join(map(_tip, lines))
        dot.node(_own(step), labels.step_label(step), fillcolor=STEP_FILL, shape="ellipse", tooltip=tip)

    def _edge_label(self, source: str, passed: Sequence[tuple[Value, str]]) -> str | None:
        """Return the input's role, where it matters, and the values that come out of a group, which shows
        none."""
        parts = [role for _, role in passed if role]
        values = {value for value, _ in passed}
        if source in self._names.values() and len(values) > 1:
            parts.append(f"{len(values):,} values")
        elif source in self._names.values():
            parts += filter(None, (value.name or labels.shape_text(value.shape) for value in values))
        return f"< {labels.text(', '.join(parts))} >" if parts else None


def _own(item: Step | Value) -> str:
    """Return the name in DOT of the item's own node."""
    return f"{'s' if isinstance(item, Step) else 'v'}{item.number}"


def _tip(text: str) -> str:
    """Return the text for a tooltip, in which only backslashes have a meaning for DOT."""
    return graphviz.escape(labels.printable(text))


def _with_results(items: Iterable[Step | Value]) -> Iterator[Step | Value]:
    for item in items:
        yield item
        if isinstance(item, Step):
            yield item.output
