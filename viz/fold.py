"""A graph as a tree of groups that can be folded: layers, repeated layers, parts of long stretches.

A group is an unbroken stretch of the forward pass, in the order of the computation. So a folded group, drawn
as one node, never makes a cycle.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from .graph import Graph, Step, Value

WIDEST = 40
"""Groups that hold more items than this are divided, so that each level is easy to survey."""

LONGEST_PERIOD = 24


@dataclass(eq=False, slots=True)
class Group:
    """A part of a graph: its items in the order of the forward pass.

    kind: "graph" (all of it), "backward" (the recorded backward pass), "module" (one call of a Module),
    "repeat" (several items that follow one another several times), or "stretch" (a part of a long group).
    name: the path of a module, or a description of other groups; title: the class of a module.
    others: the groups that follow and repeat this one: alike item by item in operation, shapes and numbers.
    """

    kind: Literal["graph", "backward", "module", "repeat", "stretch"]
    name: str = ""
    title: str = ""
    items: list[Step | Value | Group] = field(default_factory=list)
    others: list[Group] = field(default_factory=list)
    parent: Group | None = None

    @property
    def times(self) -> int:
        """Return how many times the group occurs."""
        return 1 + len(self.others)

    def groups(self) -> list[Group]:
        """Return the groups among the items."""
        return [item for item in self.items if isinstance(item, Group)]

    def contents(self, others: bool = False) -> Iterator[Step | Value]:
        """Yield the steps, leaves and constants in it, at whatever depth; of repetitions the first, or
        all."""
        stack: list[Item] = [self]
        while stack:
            item = stack.pop()
            if isinstance(item, Group):
                stack += reversed([*item.items, *(item.others if others else ())])
            else:
                yield item


Item = Step | Value | Group


def fold(graph: Graph, *, repeats: bool = True, long: bool = True) -> Group:
    """Return the tree of groups over all steps, leaves and constants of the graph.

    Calls of modules are groups, and the recorded backward pass is one. repeats: equal groups that follow one
    another become one with `others`. long: in a group with more than `WIDEST` items repetitions are folded,
    and then it is divided into stretches, and those into stretches.
    """
    top = _tree(graph)
    signatures = _Signatures()
    for group in reversed(_all_groups(top)):  # the innermost first
        if repeats:
            _fold_repeats(group, signatures, layers=True)
        if long and len(group.items) > WIDEST:
            if repeats:
                _fold_repeats(group, signatures, layers=False)
            _part(group)
    return top


def _all_groups(top: Group) -> list[Group]:
    """Return every group, the outer before those in it."""
    groups = [top]
    for group in groups:  # which grows meanwhile
        groups.extend(group.groups())
    return groups


def _tree(graph: Graph) -> Group:
    """Return the groups of the calls, and of the backward pass, before anything is folded."""
    top = Group("graph")
    behind = Group("backward", "backward pass", parent=top)
    home: dict[Step, Group] = {}
    calls = iter(graph.calls)
    following = next(calls, None)
    running: list[tuple[float, Group]] = [(math.inf, top)]  # the end of each call, by the engine's count
    for step in graph.steps:
        while step.order > running[-1][0]:
            running.pop()
        while following is not None and following.first < step.order:
            if following.last > step.order:
                title = type(following.module).__name__
                group = Group("module", following.path, title, parent=running[-1][1])
                running.append((following.last, group))
            following = next(calls, None)
        home[step] = behind if step.backward else running[-1][1]

    fed = {
        group
        for step in graph.steps
        for value in step.inputs
        if isinstance(value, Value) and value.maker is not None
        for group in _entered(home[value.maker], home[step])
    }
    starts: dict[Group, int] = {top: 0}  # the number of the first step in the group
    placed: list[tuple[int, bool, Item, Group]] = []  # with that number; leaves come before their first use
    for step, group in home.items():
        placed.append((step.number, True, step, group))
        while group not in starts:
            assert group.parent is not None
            starts[group] = step.number
            placed.append((step.number, True, group, group.parent))
            group = group.parent
    for value in graph.values:
        if value.maker is None:
            group = _common({home[step] for step in value.users()} or {top})
            while group.kind == "module" and group.parent is not None and _was_given(value, group in fed):
                group = group.parent
            first = min((_start(home[step], step, group, starts) for step in value.users()), default=0)
            placed.append((first, False, value, group))
    placed.sort(key=lambda entry: entry[:2])
    for _, _, item, group in placed:
        group.items.append(item)
    return top


def _was_given(value: Value, fed: bool) -> bool:
    """Return whether the leaf or constant seems to be an argument of a module, which neither owns nor made
    it.

    One that is `fed` with results made the constants without a name, such as the mask of dropout.
    """
    return not value.owned and (bool(value.name) or (value.kind == "constant" and not fed))


def _entered(source: Group, target: Group) -> Iterator[Group]:
    """Yield the groups that a path from one group to another enters."""
    if source is target:
        return
    common = _common((source, target))
    while target is not common:
        yield target
        assert target.parent is not None
        target = target.parent


def _start(inner: Group, step: Step, group: Group, starts: Mapping[Group, int]) -> int:
    """Return the number of the first step of the item of `group` that holds the step, which is in `inner`."""
    start = step.number
    while inner is not group:
        assert inner.parent is not None
        start, inner = starts[inner], inner.parent
    return start


def _common(groups: Iterable[Group]) -> Group:
    """Return the innermost group that holds them all."""
    paths = []
    for group in groups:
        path = [group]
        while path[-1].parent is not None:
            path.append(path[-1].parent)
        paths.append(path[::-1])
    return [level[0] for level in zip(*paths, strict=False) if len(set(level)) == 1][-1]


def _contents(item: Item) -> Iterator[Step | Value]:
    return item.contents() if isinstance(item, Group) else iter([item])


# -- repetitions ---------------------------------------------------------------------------------------------


class _Signatures:
    """A small number for every item, equal for items that are alike."""

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}
        self._of_groups: dict[Group, int] = {}

    def of(self, item: Item) -> int:
        """Return the item's number."""
        if isinstance(item, Group) and item in self._of_groups:
            return self._of_groups[item]
        number = self._numbers.setdefault(self._description(item), len(self._numbers))
        if isinstance(item, Group):
            self._of_groups[item] = number
        return number

    def _description(self, item: Item) -> Hashable:
        if isinstance(item, Group):
            return item.title, item.times, *(self.of(member) for member in item.items)
        if isinstance(item, Value):
            return item.kind, item.shape, item.dtype
        inputs = tuple(value.shape if isinstance(value, Value) else value for value in item.inputs)
        plain = tuple(repr(parameter) for parameter in item.parameters.values()) if not item.reads else ()
        return item.operation.name, item.output.shape, inputs, plain


def _fold_repeats(group: Group, signatures: _Signatures, *, layers: bool) -> None:
    """Fold repetitions: with `layers` only of items that include groups, twice or more; else three times or
    more."""
    items = group.items
    runs = _runs([signatures.of(item) for item in items], items, least=2 if layers else 3)
    folded: list[Item] = []
    done = 0
    for start, period, times in runs:
        if layers and not any(isinstance(item, Group) for item in items[start : start + period]):
            continue
        folded += items[done:start]
        done = start + period * times
        parts = [items[at : at + period] for at in range(start, done, period)]
        like = [
            part[0] if len(part) == 1 and isinstance(part[0], Group) else _gathered("repeat", part, group)
            for part in parts
        ]
        like[0].others = like[1:]
        folded.append(like[0])
    group.items = folded + items[done:]


def _gathered(kind: Literal["repeat", "stretch"], items: list[Item], parent: Group) -> Group:
    """Return the items as one group inside `parent`, named after its first and its last item."""
    names = [item.name for item in items if isinstance(item, Group) and item.name]
    steps = [step for item in items for step in _contents(item) if isinstance(step, Step)]
    numbers = [step.number + 1 for step in steps]
    if kind == "repeat" and names:
        name = names[0] if len(names) == 1 else f"{names[0]} … {names[-1]}"
    else:
        name = f"operations {min(numbers):,}–{max(numbers):,}" if numbers else f"{len(items)} values"
    group = Group(kind, name, items=items, parent=parent)
    for inner in group.groups():
        inner.parent = group
    return group


def _runs(marks: Sequence[int], items: Sequence[Item], least: int) -> Iterator[tuple[int, int, int]]:
    """Yield the stretches that repeat `least` times or more: their start, their period, and how many times.

    Of the periods the one that covers most is chosen, of those the shortest. Where a run is a circle that may
    begin at several places, it begins before most leaves: a layer begins with its weights.
    """
    s = np.asarray(marks)
    covered = np.zeros(len(s), int)
    period = np.ones(len(s), int)
    matching = np.zeros(len(s), int)  # how many items from here on equal the item a period later
    for p in range(1, min(LONGEST_PERIOD, len(s) // least) + 1):
        same = np.append(s[:-p] == s[p:], False)
        positions = np.arange(len(same))
        ends = np.minimum.accumulate(np.where(same, len(same), positions)[::-1])[::-1]
        matches = np.zeros(len(s), int)
        matches[: len(same)] = ends - positions
        times = matches // p + 1
        better = (times >= least) & (times * p > covered)
        covered[better], period[better], matching[better] = (times * p)[better], p, matches[better]
    position = 0
    while position < len(s):
        if not covered[position]:
            position += 1
            continue
        length = int(period[position])
        repetitions = int(covered[position]) // length
        begins = range(position, position + int(matching[position]) % length + 1)
        start = max(begins, key=lambda candidate: _leaves(items[candidate]))
        yield start, length, repetitions
        position = start + length * repetitions


def _leaves(item: Item) -> int:
    return sum(isinstance(content, Value) for content in _contents(item))


# -- long groups ---------------------------------------------------------------------------------------------


def _part(group: Group) -> None:
    """Divide the items into nested stretches, of about equal length and of no more than WIDEST items."""
    levels = math.ceil(math.log(len(group.items), WIDEST))
    for level in range(levels - 1, 0, -1):
        count = round(len(group.items) ** (level / (level + 1)))
        cuts = [len(group.items) * i // count for i in range(count + 1)]
        group.items = [_gathered("stretch", group.items[a:b], group) for a, b in itertools.pairwise(cuts)]


def opened(top: Group, depth: int | None, limit: int | None) -> set[Group]:
    """Return the groups whose content is to be shown.

    depth: how many levels of modules, 0 for none; None for all. limit: the greatest number of nodes, where an
    operation and its result are two, and a folded group is one; None for no limit. A level is opened whole or
    not at all.
    """
    result: set[Group] = set()
    level, total = [(top, 0)], 1
    while level:
        total += sum(_nodes(group) - 1 for group, _ in level)
        if limit is not None and total > limit and result:
            break
        result.update(group for group, _ in level)
        inner = [
            (child, deep + (child.kind == "module")) for group, deep in level for child in group.groups()
        ]
        level = [(group, deep) for group, deep in inner if depth is None or deep <= depth]
    return result


def _nodes(group: Group) -> int:
    return sum(2 if isinstance(item, Step) else 1 for item in group.items)
