"""A graph as a tree of groups that can be shut: layers, layers that repeat, stretches of what is too long.

A group is an unbroken stretch of the forward pass, in the order in which it was computed. So a group that is
shut, drawn as one node, never makes a cycle.
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
"""Groups that hold more than this are parted, so that each level is one that can be looked at."""

LONGEST_PERIOD = 24


@dataclass(eq=False, slots=True)
class Group:
    """A part of a graph: its items in the order of the forward pass.

    kind: "graph" (all of it), "backward" (the recorded backward pass), "module" (one call of a Module),
    "repeat" (several items that follow one another several times), or "stretch" (of what was too long).
    name: the path of a module, or what stands for one; title: the class of a module.
    others: the groups like this one that follow it. They are alike item by item: operation, shapes, numbers.
    """

    kind: Literal["graph", "backward", "module", "repeat", "stretch"]
    name: str = ""
    title: str = ""
    items: list[Step | Value | Group] = field(default_factory=list)
    others: list[Group] = field(default_factory=list)
    parent: Group | None = None

    @property
    def times(self) -> int:
        return 1 + len(self.others)

    def groups(self) -> list[Group]:
        """The groups among the items."""
        return [each for each in self.items if isinstance(each, Group)]

    def contents(self, others: bool = False) -> Iterator[Step | Value]:
        """The steps, leaves and constants in it, at whatever depth; of what repeats the first, or all."""
        stack: list[Item] = [self]
        while stack:
            item = stack.pop()
            if isinstance(item, Group):
                stack += reversed([*item.items, *(item.others if others else ())])
            else:
                yield item


Item = Step | Value | Group


def fold(graph: Graph, *, repeats: bool = True, long: bool = True) -> Group:
    """The tree of groups over all steps, leaves and constants of the graph.

    Calls of modules are groups, and the recorded backward pass is one. repeats: groups alike that follow one
    another become one with `others`. long: a group with more than `WIDEST` items has what repeats in it
    folded, and is then parted into stretches, and those into stretches.
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
    """Every group, the outer before those in it."""
    found = [top]
    for group in found:  # grows meanwhile
        found.extend(group.groups())
    return found


def _tree(graph: Graph) -> Group:
    """The groups of the calls, and of the backward pass, before anything is folded."""
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
    starts: dict[Group, int] = {top: 0}  # the number of the first step in each
    placed: list[tuple[int, bool, Item, Group]] = []  # with that number; leaves come before what they go into
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
    placed.sort(key=lambda each: each[:2])
    for _, _, item, group in placed:
        group.items.append(item)
    return top


def _was_given(value: Value, fed: bool) -> bool:
    """Whether a module was given the leaf or constant, as far as one can tell, and neither owns nor made it.
    One that is `fed` with results made the constants without a name, such as the mask of dropout."""
    return not value.owned and (bool(value.name) or (value.kind == "constant" and not fed))


def _entered(source: Group, target: Group) -> Iterator[Group]:
    """The groups that one comes into on the way from one group to another."""
    if source is target:
        return
    common = _common((source, target))
    while target is not common:
        yield target
        assert target.parent is not None
        target = target.parent


def _start(inner: Group, step: Step, group: Group, starts: Mapping[Group, int]) -> int:
    """The number of the first step of that item of `group` which holds the step, in the group `inner`."""
    start = step.number
    while inner is not group:
        assert inner.parent is not None
        start, inner = starts[inner], inner.parent
    return start


def _common(groups: Iterable[Group]) -> Group:
    """The innermost group that holds them all."""
    paths = []
    for group in groups:
        path = [group]
        while path[-1].parent is not None:
            path.append(path[-1].parent)
        paths.append(path[::-1])
    return [level[0] for level in zip(*paths, strict=False) if len(set(level)) == 1][-1]


def _contents(item: Item) -> Iterator[Step | Value]:
    return item.contents() if isinstance(item, Group) else iter([item])


# -- what repeats --------------------------------------------------------------------------------------------


class _Signatures:
    """A small number for every item, the same for items that are alike."""

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}
        self._of_groups: dict[Group, int] = {}

    def of(self, item: Item) -> int:
        if isinstance(item, Group) and item in self._of_groups:
            return self._of_groups[item]
        number = self._numbers.setdefault(self._what(item), len(self._numbers))
        if isinstance(item, Group):
            self._of_groups[item] = number
        return number

    def _what(self, item: Item) -> Hashable:
        if isinstance(item, Group):
            return item.title, item.times, *(self.of(each) for each in item.items)
        if isinstance(item, Value):
            return item.kind, item.shape, item.dtype
        inputs = tuple(each.shape if isinstance(each, Value) else each for each in item.inputs)
        plain = tuple(repr(each) for each in item.parameters.values()) if not item.reads else ()
        return item.operation.name, item.output.shape, inputs, plain


def _fold_repeats(group: Group, signatures: _Signatures, *, layers: bool) -> None:
    """Fold what follows itself: with `layers` only what has groups in it, twice or more; else three times."""
    items = group.items
    runs = _runs([signatures.of(each) for each in items], items, least=2 if layers else 3)
    folded: list[Item] = []
    done = 0
    for start, period, times in runs:
        if layers and not any(isinstance(each, Group) for each in items[start : start + period]):
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
    """The items as one group inside `parent`, called by its first and its last item."""
    called = [each.name for each in items if isinstance(each, Group) and each.name]
    numbers = [each.number + 1 for item in items for each in _contents(item) if isinstance(each, Step)]
    if kind == "repeat" and called:
        name = called[0] if len(called) == 1 else f"{called[0]} … {called[-1]}"
    else:
        name = f"operations {min(numbers):,}–{max(numbers):,}" if numbers else f"{len(items)} values"
    made = Group(kind, name, items=items, parent=parent)
    for each in made.groups():
        each.parent = made
    return made


def _runs(marks: Sequence[int], items: Sequence[Item], least: int) -> Iterator[tuple[int, int, int]]:
    """Where stretches repeat `least` times or more: their start, their period, and how many times.

    Of the periods the one that covers most, of those the shortest. Of the places where it may begin, which a
    circle leaves open, the one before most leaves: a layer begins with its weights.
    """
    s = np.asarray(marks)
    covered = np.zeros(len(s), int)
    period = np.ones(len(s), int)
    alike = np.zeros(len(s), int)  # for how many items from here on each is like the one a period later
    for p in range(1, min(LONGEST_PERIOD, len(s) // least) + 1):
        same = np.append(s[:-p] == s[p:], False)
        places = np.arange(len(same))
        ends = np.minimum.accumulate(np.where(same, len(same), places)[::-1])[::-1]
        matches = np.zeros(len(s), int)
        matches[: len(same)] = ends - places
        times = matches // p + 1
        better = (times >= least) & (times * p > covered)
        covered[better], period[better], alike[better] = (times * p)[better], p, matches[better]
    at = 0
    while at < len(s):
        if not covered[at]:
            at += 1
            continue
        length = int(period[at])
        repetitions = int(covered[at]) // length
        begins = range(at, at + int(alike[at]) % length + 1)
        start = max(begins, key=lambda place: _leaves(items[place]))
        yield start, length, repetitions
        at = start + length * repetitions


def _leaves(item: Item) -> int:
    return sum(isinstance(each, Value) for each in _contents(item))


# -- what is too long ----------------------------------------------------------------------------------------


def _part(group: Group) -> None:
    """Put the items into stretches, and those into stretches, each of about as many, and none of too many."""
    levels = math.ceil(math.log(len(group.items), WIDEST))
    for level in range(levels - 1, 0, -1):
        count = round(len(group.items) ** (level / (level + 1)))
        cuts = [len(group.items) * i // count for i in range(count + 1)]
        group.items = [_gathered("stretch", group.items[a:b], group) for a, b in itertools.pairwise(cuts)]


def opened(top: Group, depth: int | None, limit: int | None) -> set[Group]:
    """Which groups to show what is in them.

    depth: how many modules deep, 0 for none; None for all. limit: the greatest number of nodes, where an
    operation and its result are two, a shut group is one; None for any. A level is opened whole or not at
    all.
    """
    result: set[Group] = set()
    level, total = [(top, 0)], 1
    while level:
        total += sum(_nodes(group) - 1 for group, _ in level)
        if limit is not None and total > limit and result:
            break
        result.update(group for group, _ in level)
        inner = [(each, deep + (each.kind == "module")) for group, deep in level for each in group.groups()]
        level = [(each, deep) for each, deep in inner if depth is None or deep <= depth]
    return result


def _nodes(group: Group) -> int:
    return sum(2 if isinstance(each, Step) else 1 for each in group.items)
