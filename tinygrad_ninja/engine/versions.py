"""How often, and when last, the memory of an array was written to: what backward's check of changes asks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from weakref import ref

from ..arrays.dispatch import dtype_of, namespace_of
from ..ops.operation import parts
from .hook import observers, observing
from .node import Node, clock


class Version:
    """What is known of one storage: how often it was written to, and when last, on the clock of the nodes."""

    __slots__ = ("count", "last", "storage")

    def __init__(self, storage: Any) -> None:
        self.count, self.last = 0, -1
        key, forget = id(storage), _versions.pop
        self.storage = ref(storage, lambda _: forget(key, None))


_versions: dict[int, Version] = {}  # by the id of the storage, and no longer than it lives
last_change = -1
"""When any memory was last written to: a node that is younger need not be checked."""


def note_change(array: Any) -> None:
    """Remember that the memory of `array` has been written to."""
    if observers and (observer := observing()):
        observer.changed(array)
    note_writes((version(array),))


def note_writes(written: Iterable[Version]) -> None:
    """Remember that these storages have been written to."""
    global last_change
    last_change = next(clock)
    for storage in written:
        storage.count += 1
        storage.last = last_change


def version(array: Any) -> Version:
    """Return what is known of the memory of `array`."""
    storage = namespace_of(array).storage(array)
    known = _versions.get(id(storage))
    return _versions.setdefault(id(storage), Version(storage)) if known is None else known


def changed_since(array: Any, time: int) -> bool:
    """Return whether the memory of `array` was written to after `time`."""
    version = _versions.get(id(namespace_of(array).storage(array)))
    return version is not None and version.last > time


def version_of(array: Any) -> int:
    """Return how often the memory of `array` has been written to."""
    version = _versions.get(id(namespace_of(array).storage(array)))
    return 0 if version is None else version.count


def values_now(node: Node) -> tuple[Any, ...]:
    """Return the values of a node, with what `.data` of an input is now where that was assigned since.

    Raise RuntimeError where a value that backward needs was changed in place, or the Tensor that it was the
    value of detached in place.
    """
    assert node.op is not None
    assert node.values is not None
    values = list(node.values)
    for place in node.op.kept(node.edges):
        edge = node.edges[place - 1] if 0 < place <= len(node.edges) else None
        if hasattr(edge, "detached"):
            raise RuntimeError(
                "Trying to use a saved tensor that has been detached in-place, i.e. with .detach_(): use "
                "detach() instead"
            )
        _require_unchanged(node, place, values[place], node.order)
        assigned = getattr(edge, "assigned", None)
        if assigned and assigned[0] > node.order and (tensor := assigned[1]()) is not None:
            if dtype_of(tensor.array) is not dtype_of(values[place]) or tensor.shape != values[place].shape:
                raise RuntimeError(
                    f"data of another shape or dtype was assigned to the input {place} of {node.op.name}"
                )
            values[place] = tensor.array
            _require_unchanged(node, place, values[place], assigned[0])
    return tuple(values)


def _require_unchanged(node: Node, place: int, value: Any, time: int) -> None:
    for array in parts(value):
        if hasattr(array, "dtype") and changed_since(array, time):
            inputs = range(1, len(node.edges) + 1)
            what = "output" if place == 0 else f"input {place}" if place in inputs else "saved Tensor"
            raise RuntimeError(
                f"one of the variables needed for gradient computation has been modified by an inplace "
                f"operation: the {what} of {node.op and node.op.name}, of shape {tuple(array.shape)}; "
                f"change a clone() of it instead"
            )
