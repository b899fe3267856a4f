"""The names of the Tensors and Modules of a graph: the caller's variables, paths in a Module, labels."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import numpy as np

from tinygrad_ninja import Tensor
from tinygrad_ninja.engine.node import Node
from tinygrad_ninja.engine.value import Value
from tinygrad_ninja.nn import Module

AnyNode = Node | Value
"""A node of the record: a Value is its own node."""


class Names:
    """The first name of every Tensor and Module among those given; see `graph.extract` for the arguments."""

    def __init__(self, names: Mapping[str, Any] | None, model: Module | None) -> None:
        self._nodes: dict[AnyNode, str] = {}
        self._arrays: dict[Hashable, str] = {}
        self._arrays_in_use: list[Any] = []  # keeps their memory from being reused for another array
        self.modules: dict[Module, str] = {}
        self.paths: set[str] = set()  # the names of the Modules' parameters and buffers
        root_module = [] if model is None else [("", model)]
        for name, value in [*root_module, *_named_objects(names or {})]:
            if isinstance(value, Module):
                self._add_module(name, value)
            elif isinstance(value, (Tensor, Value)):
                self.add(name, value)

    def add(self, name: str, value: Tensor | Value) -> None:
        """Name the Tensor or Value, unless it has a name."""
        node = value if isinstance(value, Value) else value.edge
        if node is not None:
            self._nodes.setdefault(node, name)
        elif isinstance(value, Tensor):
            self._arrays.setdefault(_memory(value.array), name)
            self._arrays_in_use.append(value.array)

    def _add_module(self, prefix: str, module: Module) -> None:
        for path, submodule in module.named_modules(prefix=prefix):
            self.modules.setdefault(submodule, path)
        for path, tensor in (*module.named_parameters(), *module.named_buffers()):
            name = f"{prefix}.{path}" if prefix else path
            self.paths.add(name)
            self.add(name, tensor)

    def of(self, node: AnyNode | None, array: Any = None) -> str:
        """Return the name of the Tensor with that node, else its label; for a constant, which has no node,
        the name of its array. "" where it has no name."""
        if node is None:
            return self._arrays.get(_memory(array), "")
        return self._nodes.get(node, "") or getattr(node, "label", "")


def _memory(array: Any) -> Hashable:
    """Return a key that arrays share that hold the same numbers, where one is a reshaped view of the
    other."""
    if isinstance(array, np.ndarray):
        return array.__array_interface__["data"][0], array.nbytes
    return (array.data_ptr(), array.nbytes) if hasattr(array, "data_ptr") else id(array)


def _named_objects(names: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield every named object, also inside lists, tuples and dicts: `layers[0]` is "layers.0", as in a
    Module."""
    for name, value in names.items():
        if not isinstance(name, str) or name.startswith("_"):  # in a notebook "_" is the last output
            continue
        if isinstance(value, (list, tuple)):
            yield from ((f"{name}.{i}", element) for i, element in enumerate(value))
        elif isinstance(value, Mapping):
            yield from ((f"{name}.{key}", element) for key, element in value.items() if isinstance(key, str))
        else:
            yield name, value
