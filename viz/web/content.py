"""The content of the page for a graph, as plain lists and dicts for JSON."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_ninja.engine.value import Value as Scalar

from ..fold import WIDEST, Group, fold
from ..graph import Graph, Step, Value
from ..step_code import codes, without_operands
from .arrays import Arrays
from .formulas import Formulas

FLAT = 120
"""A graph of at most this many steps is shown whole; a longer one has stretches folded."""


def content(graph: Graph) -> dict[str, Any]:
    """Return the graph as the page reads it.

    scalar: whether it is a graph of Values; values: by their numbers, each with the numbers of its arrays;
    steps: by theirs, each with its code and the formulas of its operation; groups: the first holds all, the
    items of each are "v" or "g" and the number of a value or a group; walk: the backward pass in the engine's
    order, an entry [step, input, contribution, total] for each contribution that arrives, the two last being
    the numbers of arrays; arrays: see `Arrays`; formulas: see `Formulas`.
    """
    steps = [step for step in graph.steps if not step.backward]
    walked = sum(len(value.uses) for value in graph.values if len(value.uses) > 1)
    arrays, formulas = Arrays(2 * len(graph.values) + 2 * walked), Formulas()
    code_of = codes(graph)
    walk = list(_walk(graph, steps, arrays))
    return {
        "note": graph.note,
        "root": graph.root.number,
        "scalar": isinstance(graph.root.node, Scalar),
        "values": [_value(value, arrays) for value in graph.values],
        "steps": [_step(step, code_of[step.output], formulas) for step in steps],
        "groups": _groups(fold(graph, long=len(steps) > FLAT), graph.root),
        "walk": walk,
        "arrays": arrays.content,
        "formulas": formulas.content,
    }


def _value(value: Value, arrays: Arrays) -> dict[str, Any]:
    described: dict[str, Any] = {
        "name": value.name,
        "kind": value.kind,
        "shape": list(value.shape),
        "dtype": value.dtype,
        "data": arrays.add(value.array),
    }
    if value.gradient is not None:
        described["gradient"] = arrays.add(value.gradient)
    if value.held is not None:
        described["held"] = arrays.add(value.held)
    if value.maker is not None:
        described["maker"] = value.maker.number
    if value.kind == "leaf" and value.owned:
        described["parameter"] = True
    if _is_hooked(value):
        described["hooked"] = True
    return described


def _is_hooked(value: Value) -> bool:
    return bool(getattr(value.node, "hooks", None))


def _step(step: Step, code: str, formulas: Formulas) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operation": step.operation.name,
        "text": without_operands(step),
        "code": code,
        # A plain number, which is no value, is written as text.
        "inputs": [value.number if isinstance(value, Value) else str(value) for value in step.inputs],
        "reads": [value.number for value in step.reads],
        "output": step.output.number,
        "formula": formulas.of(step),
    }
    frames: list[Any] = list(step.traceback)
    lines = [frame for frame in frames if frame.line]  # functions without a file have none
    if lines:
        last = lines[-1]
        described["line"] = {"file": Path(last.filename).name, "number": last.lineno, "code": last.line}
    return described


# -- the backward pass ---------------------------------------------------------------------------------------


def _walk(graph: Graph, steps: list[Step], arrays: Arrays) -> Iterator[list[int]]:
    """Yield each contribution to a gradient in the engine's order: the youngest step first, its inputs in
    order.

    For a Value expression the gradients are computed here, and replace those of the graph.
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
        for i, operand in enumerate(step.inputs):
            if not isinstance(operand, Value) or operand.kind == "constant" or step.output.gradient is None:
                continue
            if len(operand.uses) == 1 and operand.gradient is not None and not _is_hooked(operand):
                share = total = operand.gradient  # the only contribution, so the rule need not run again
            else:
                share = step.contribution(i)
                total = _added(totals[operand], share) if operand in totals else share
            totals[operand] = total
            only = total is share
            numbered = arrays.add(share, lasting=share is operand.gradient)
            yield [step.number, i, numbered, numbered if only else arrays.add(total, lasting=False)]
    if of_numbers:
        for value, total in totals.items():
            value.gradient = total


def _added(total: Any, share: Any) -> Any:
    with np.errstate(all="ignore"):
        return total + share


# -- the groups ----------------------------------------------------------------------------------------------


def _groups(top: Group, root: Value) -> list[dict[str, Any]]:
    """Return the tree of groups as a list, the outer before the inner.

    Repetitions form a group of their own, in which each can be opened; many of them are divided further. An
    array that is only read, as by an index, and has no name, is left out.
    """
    descriptions: list[dict[str, Any]] = []

    def begin(kind: str, name: str, title: str, items: list[Any]) -> str:
        """Add a group, whose items are converted later, and return its key."""
        descriptions.append({"kind": kind, "name": name, "title": title, "items": items})
        queue.append((items, descriptions[-1]))
        return f"g{len(descriptions) - 1}"

    def item(entry: Any) -> str:
        """Return the key of an item: of a value, or of a group that is added for it."""
        if isinstance(entry, Step):
            return f"v{entry.output.number}"
        if isinstance(entry, Value):
            return f"v{entry.number}"
        if isinstance(entry, list):  # of repetitions
            return begin("stretch", _common_name(entry), "", entry)
        if entry.others and entry not in opened:
            opened.add(entry)
            repeated = [entry, *entry.others]
            return begin("repeat", _common_name(repeated), f"× {entry.times:,}", _nested(repeated))
        return begin(entry.kind, entry.name, entry.title, entry.items)

    queue: list[tuple[list[Any], dict[str, Any]]] = []
    opened: set[Group] = set()
    item(top)
    for items, group in queue:  # which grows meanwhile
        group["items"] = [item(entry) for entry in items if entry is root or not _is_left_out(entry)]
    return descriptions


def _is_left_out(item: Any) -> bool:
    return isinstance(item, Value) and not item.uses and not item.name


def _common_name(items: list[Any]) -> str:
    """Return a common name for groups that follow one another, or for lists of them."""
    first, last = items[0], items[-1]
    while isinstance(first, list):
        first, last = first[0], last[-1]
    if any(group.kind == "module" for group in (first, *first.groups())):
        ends = first.name.split(" … ")[0], last.name.split(" … ")[-1]
        return " … ".join(dict.fromkeys(ends))  # one name if one module was called several times
    numbers = [
        item.number + 1 for group in (first, last) for item in group.contents() if isinstance(item, Step)
    ]
    if not numbers:
        return f"{sum(1 for group in _flat(items) for _ in group.contents()):,} values"
    return f"operations {min(numbers):,}–{max(numbers):,}"


def _flat(items: list[Any]) -> Iterator[Group]:
    """Yield the groups in nested lists."""
    for item in items:
        yield from _flat(item) if isinstance(item, list) else [item]


def _nested(items: list[Any]) -> list[Any]:
    """Return the items nested in lists, so that no list holds more than WIDEST."""
    while len(items) > WIDEST:
        items = [items[i : i + WIDEST] for i in range(0, len(items), WIDEST)]
    return items
