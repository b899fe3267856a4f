"""Everything the page knows of a graph, as plain lists and dicts for JSON."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_ninja.value import Value as Scalar

from ..fold import WIDEST, Group, fold
from ..graph import Graph, Step, Value
from ..labels import step_text
from .arrays import Arrays
from .formulas import Formulas

FLAT = 120
"""A graph of no more steps is shown whole; of a longer one stretches are folded."""


def content(graph: Graph) -> dict[str, Any]:
    """The graph as the page has it.

    values: by their numbers, each with the numbers of its arrays; steps: by theirs, each with the formulas of
    its operation; groups: the first holds all, the items of each are "v" or "g" and the number of a value or
    a group; walk: the backward pass in the engine's order, an entry [step, input, contribution, total] for
    each contribution that arrives, the latter two being the numbers of arrays; arrays: see `Arrays`;
    formulas: see `Formulas`.
    """
    steps = [step for step in graph.steps if not step.backward]
    walked = sum(len(value.uses) for value in graph.values if len(value.uses) > 1)
    arrays, formulas = Arrays(2 * len(graph.values) + 2 * walked), Formulas()
    walk = list(_walk(graph, steps, arrays))
    return {
        "note": graph.note,
        "root": graph.root.number,
        "values": [_value(value, arrays) for value in graph.values],
        "steps": [_step(step, formulas) for step in steps],
        "groups": _groups(fold(graph, long=len(steps) > FLAT), graph.root),
        "walk": walk,
        "arrays": arrays.content,
        "formulas": formulas.content,
    }


def _value(value: Value, arrays: Arrays) -> dict[str, Any]:
    told: dict[str, Any] = {
        "name": value.name,
        "kind": value.kind,
        "shape": list(value.shape),
        "dtype": value.dtype,
        "data": arrays.add(value.array),
    }
    if value.gradient is not None:
        told["gradient"] = arrays.add(value.gradient)
    if value.held is not None:
        told["held"] = arrays.add(value.held)
    if value.maker is not None:
        told["maker"] = value.maker.number
    if _is_hooked(value):
        told["hooked"] = True
    return told


def _is_hooked(value: Value) -> bool:
    return bool(getattr(value.node, "hooks", None))


def _step(step: Step, formulas: Formulas) -> dict[str, Any]:
    what, parameters = step_text(step)
    told: dict[str, Any] = {
        "operation": step.operation.name,
        "text": what,
        "parameters": parameters,
        # A plain number, which is no value, stands as text.
        "inputs": [each.number if isinstance(each, Value) else str(each) for each in step.inputs],
        "reads": [value.number for value in step.reads],
        "output": step.output.number,
        "formula": formulas.of(step),
    }
    frames: list[Any] = list(step.traceback)
    lines = [frame for frame in frames if frame.line]  # not of a function without a file
    if lines:
        last = lines[-1]
        told["line"] = {"file": Path(last.filename).name, "number": last.lineno, "code": last.line}
    return told


# -- the backward pass ---------------------------------------------------------------------------------------


def _walk(graph: Graph, steps: list[Step], arrays: Arrays) -> Iterator[list[int]]:
    """Each contribution to a gradient as the engine meets them: the youngest step first, its inputs in order.

    Of a Value expression, whose gradients are worked out here, those of the graph are replaced.
    """
    of_numbers = isinstance(graph.root.node, Scalar)
    if of_numbers:
        for value in graph.values:
            value.gradient = None
        graph.root.gradient = 1.0
    totals: dict[Value, Any] = {}
    for step in reversed(steps):
        if of_numbers and step.output in totals:
            step.output.gradient = totals[step.output]
        for i, given in enumerate(step.inputs):
            if not isinstance(given, Value) or given.kind == "constant" or step.output.gradient is None:
                continue
            if len(given.uses) == 1 and given.gradient is not None and not _is_hooked(given):
                share = total = given.gradient  # nothing is added to it, so that the rule need not run again
            else:
                share = step.contribution(i)
                total = _added(totals[given], share) if given in totals else share
            totals[given] = total
            only = total is share
            numbered = arrays.add(share, lasting=share is given.gradient)
            yield [step.number, i, numbered, numbered if only else arrays.add(total, lasting=False)]
    if of_numbers:
        for value, total in totals.items():
            value.gradient = total


def _added(total: Any, share: Any) -> Any:
    with np.errstate(all="ignore"):
        return total + share


# -- the groups ----------------------------------------------------------------------------------------------


def _groups(top: Group, root: Value) -> list[dict[str, Any]]:
    """The tree of groups as a list, the outer before the inner. What repeats is a group of its repetitions,
    each of which can be opened; many of them are parted further. An array that is only read, as by an index,
    and has no name, is left out."""
    made: list[dict[str, Any]] = []

    def begin(kind: str, name: str, title: str, items: list[Any]) -> str:
        made.append({"kind": kind, "name": name, "title": title, "items": items})
        waiting.append((items, made[-1]))
        return f"g{len(made) - 1}"

    def item(each: Any) -> str:
        if isinstance(each, Step):
            return f"v{each.output.number}"
        if isinstance(each, Value):
            return f"v{each.number}"
        if isinstance(each, list):  # of repetitions
            return begin("stretch", _spanned(each), "", each)
        if each.others and each not in opened:
            opened.add(each)
            repeated = [each, *each.others]
            return begin("repeat", _spanned(repeated), f"× {each.times:,}", _parted(repeated))
        return begin(each.kind, each.name, each.title, each.items)

    waiting: list[tuple[list[Any], dict[str, Any]]] = []
    opened: set[Group] = set()
    item(top)
    for items, group in waiting:  # grows meanwhile
        group["items"] = [item(each) for each in items if each is root or not _is_left_out(each)]
    return made


def _is_left_out(item: Any) -> bool:
    return isinstance(item, Value) and not item.uses and not item.name


def _spanned(items: list[Any]) -> str:
    """What groups that follow one another, or lists of them, are called together."""
    first, last = items[0], items[-1]
    while isinstance(first, list):
        first, last = first[0], last[-1]
    if any(each.kind == "module" for each in (first, *first.groups())):
        ends = first.name.split(" … ")[0], last.name.split(" … ")[-1]
        return " … ".join(dict.fromkeys(ends))  # once, if it is one module that was called several times
    numbers = [
        each.number + 1 for group in (first, last) for each in group.contents() if isinstance(each, Step)
    ]
    return f"operations {min(numbers):,}–{max(numbers):,}"


def _parted(items: list[Any]) -> list[Any]:
    """The items, or lists of them, and lists of those, so that there are never more than WIDEST together."""
    while len(items) > WIDEST:
        items = [items[i : i + WIDEST] for i in range(0, len(items), WIDEST)]
    return items
