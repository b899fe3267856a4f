"""What the things in a graph are called: by the caller's variables, by their paths in a Module, by labels."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import numpy as np

from tinygrad_ninja import Tensor
from tinygrad_ninja.nn import Module
from tinygrad_ninja.node import Node
from tinygrad_ninja.value import Value

AnyNode = Node | Value
"""Of the record: a Value is its own node."""


class Names:
    """The first name of every Tensor and Module among those given; see `graph.extract` for the arguments."""

    def __init__(self, names: Mapping[str, Any] | None, model: Module | None) -> None:
        self._nodes: dict[AnyNode, str] = {}
        self._arrays: dict[Hashable, str] = {}
        self._kept: list[Any] = []  # so that no memory is given to another array meanwhile
        self.modules: dict[Module, str] = {}
        self.paths: set[str] = set()  # the names that are those of a Module's parameters and buffers
        given = [] if model is None else [("", model)]
        for name, thing in [*given, *_things(names or {})]:
            if isinstance(thing, Module):
                self._add_module(name, thing)
            elif isinstance(thing, (Tensor, Value)):
                self.add(name, thing)

    def add(self, name: str, thing: Tensor | Value) -> None:
        """Call the Tensor or Value so, unless it has a name."""
        node = thing if isinstance(thing, Value) else thing.edge
        if node is not None:
            self._nodes.setdefault(node, name)
        elif isinstance(thing, Tensor):
            self._arrays.setdefault(_memory(thing.array), name)
            self._kept.append(thing.array)

    def _add_module(self, prefix: str, module: Module) -> None:
        for path, each in module.named_modules(prefix=prefix):
            self.modules.setdefault(each, path)
        for path, tensor in (*module.named_parameters(), *module.named_buffers()):
            name = f"{prefix}.{path}" if prefix else path
            self.paths.add(name)
            self.add(name, tensor)

    def of(self, node: AnyNode | None, array: Any = None) -> str:
        """The name of what has that node, else its label, or of a constant, which has none; "" if no name."""
        if node is None:
            return self._arrays.get(_memory(array), "")
        return self._nodes.get(node, "") or getattr(node, "label", "")


def _memory(array: Any) -> Hashable:
    """What arrays have in common that are the same numbers, where one is a reshaped view of the other."""
    if isinstance(array, np.ndarray):
        return array.__array_interface__["data"][0], array.nbytes
    return (array.data_ptr(), array.nbytes) if hasattr(array, "data_ptr") else id(array)


def _things(names: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What is named, also inside lists, tuples and dicts: `layers[0]` is "layers.0", as in a Module."""
    for name, thing in names.items():
        if not isinstance(name, str) or name.startswith("_"):  # "_" is what a notebook calls its last output
            continue
        if isinstance(thing, (list, tuple)):
            yield from ((f"{name}.{i}", each) for i, each in enumerate(thing))
        elif isinstance(thing, Mapping):
            yield from ((f"{name}.{key}", each) for key, each in thing.items() if isinstance(key, str))
        else:
            yield name, thing
