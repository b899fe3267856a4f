"""Inference tensors: those of memory that was made under `inference_mode`, which backward may not rely on."""

from __future__ import annotations

from typing import Any
from weakref import ref

from ..arrays.dispatch import NAMESPACES
from ..ops.operation import parts
from .hook import Observer, find

marked: dict[int, ref[Any]] = {}
"""The storages that were made under it, by their ids, and no longer than they live."""


class Inference(Observer):
    """Marks the memory of what is computed or filled while it observes."""

    def computed(self, array: Any, sources: tuple[Any, ...] = ()) -> None:
        """Mark the memory of an array, unless it is that of one of its sources, which may be anything."""
        storage = _storage(array)
        if storage is not None and all(storage is not _storage(source) for source in sources):
            as_inference(array)
        super().computed(array, sources)


def _storage(x: Any) -> Any:
    """Return what owns the memory of an array; None for anything else."""
    storage = getattr(NAMESPACES.get(type(x)), "storage", None)
    return None if storage is None or isinstance(x, float) else storage(x)


def as_inference(array: Any) -> Any:
    """Return an array, whose memory is an inference tensor's from now on."""
    storage = _storage(array)
    key = id(storage)
    marked[key] = ref(storage, lambda _: marked.pop(key, None))
    return array


def is_marked(array: Any) -> bool:
    """Return whether the memory of an array was made under `inference_mode`."""
    return bool(marked) and id(_storage(array)) in marked


def is_inference_mode_enabled() -> bool:
    """Return whether this thread is in `inference_mode`."""
    return find(Inference) is not None


def refuse_saved(values: tuple[Any, ...]) -> None:
    """Raise RuntimeError where one of the values, which backward is to read, is an inference tensor's."""
    if any(is_marked(array) for value in values for array in parts(value)):
        raise RuntimeError(
            "Inference tensors cannot be saved for backward. To work around you can make a clone to get a "
            "normal tensor and use it in autograd."
        )


def refuse_outside(array: Any, what: str) -> None:
    """Raise RuntimeError where an inference tensor would be changed outside of `inference_mode`."""
    if is_marked(array) and not is_inference_mode_enabled():
        raise RuntimeError(
            f"{what} inference tensor outside InferenceMode is not allowed. You can make a clone to get a "
            "normal tensor before."
        )
