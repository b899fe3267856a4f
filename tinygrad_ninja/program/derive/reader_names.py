"""The names that a reader has for values: those given, and those of Modules, their parameters and outputs."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from ...engine.node import Node
from ...nn import Module


def given_names(names: Any) -> Iterator[tuple[str, Any]]:
    """Yield the names and values of a mapping, or of pairs; in the form in which Python reads a name.

    Names that begin with an underscore (IPython keeps results under such) come last.
    """
    pairs = list(names.items() if isinstance(names, Mapping) else names)
    for name, value in sorted(pairs, key=lambda pair: str(pair[0]).startswith("_")):
        yield unicodedata.normalize("NFKC", str(name)), value


def module_names(names: Sequence[tuple[str, Any]], nodes: Sequence[Node]) -> Iterator[tuple[str, Any]]:
    """Yield names for the Tensors of the Modules among `names`, and for the nodes in which their calls ended.

    Of several Modules, each one's names begin with its own. nodes: those of the recorded loss, in order.
    """
    for root, called in _roots(names).items():
        for module, prefix in reader_paths(names, root).items():
            held = module.named_parameters(recurse=False), module.named_buffers(recurse=False)
            for inner, tensor in chain(*held):
                name = re.sub(r"\W", "_", f"{prefix}_{inner}" if prefix else inner)
                yield name if name.isidentifier() else f"{called}_{name}", tensor
            if prefix and prefix.isidentifier():
                yield from ((prefix, node) for node in _ends(module, nodes))


def modules_of(names: Sequence[tuple[str, Any]], nodes: Sequence[Node]) -> dict[Node, str]:
    """Return what the reader calls the innermost Module in whose call each node was recorded."""
    calls = [
        (last - first, first, last, path)
        for module, path in reader_paths(names).items()
        for first, last in module._calls
    ]
    inside: dict[Node, str] = {}
    for _, first, last, path in sorted(calls, key=lambda call: -call[0]):
        inside |= {node: path for node in nodes if node.op is not None and first < node.order < last}
    return inside


def _roots(names: Sequence[tuple[str, Any]]) -> dict[Module, str]:
    """Return the Modules among `names` that are in no other, with their names."""
    modules = {value: name for name, value in reversed(names) if isinstance(value, Module)}
    inside = {child for module in modules for child in module.modules() if child is not module}
    return {module: name for module, name in reversed(modules.items()) if module not in inside}


def reader_paths(names: Sequence[tuple[str, Any]], only: Module | None = None) -> dict[Module, str]:
    """Return what a reader calls each Module that is among `names`, or in one of these. only: the one of
    them in which to look."""
    roots = _roots(names)
    return {
        module: "_".join(filter(None, (called if len(roots) > 1 else "", path)))
        for root, called in roots.items()
        if only in (None, root)
        for module, path in module_paths(root).items()
    }


def module_paths(root: Module) -> dict[Module, str]:
    """Return a name for each Module below `root`, and an empty one for itself.

    A Module that its container only numbers is called by its class and counted among its like: linear1,
    batchnorm1, linear2. The container's own name is left out, unless two names would be the same.
    """
    short, whole, outer = {root: ""}, {root: ""}, {root: ""}
    for parent in root.modules():
        children = [(name, child) for name, child in parent.named_children() if child not in short]
        kinds = Counter(_kind(child) for name, child in children if name.isdigit())
        counted: Counter[str] = Counter()
        for name, child in children:
            if name.isdigit():
                kind = _kind(child)
                counted[kind] += 1
                name = kind if kinds[kind] == 1 else f"{kind}{counted[kind]}"
                short[child] = outer[child] = f"{outer[parent]}_{name}".strip("_")
            else:
                outer[child] = short[parent]
                short[child] = f"{short[parent]}_{name}".strip("_")
            whole[child] = f"{whole[parent]}_{name}".strip("_")
    twice = {name for name, n in Counter(short.values()).items() if n > 1}
    return {module: whole[module] if name in twice else name for module, name in short.items()}


def _kind(module: Module) -> str:
    """Return what a Module is called: its class, without the number of its dimensions."""
    return re.sub(r"\d+d$", "", type(module).__name__.lower()).lstrip("_")


def _ends(module: Module, nodes: Sequence[Node]) -> Iterator[Node]:
    """Yield for each recorded call of a Module the node of its result: the only one that what comes after the
    call reads."""
    for first, last in module._calls:
        within = {node for node in nodes if node.op is not None and first < node.order < last}
        outside = [node for node in nodes if node.order > last]
        read = {edge for node in outside for edge in node.edges if edge in within}
        if len(read) == 1:
            yield from read
