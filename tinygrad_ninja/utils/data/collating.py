"""How the examples of a batch become Tensors."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any

import numpy as np

from ...api.creation import as_tensor, tensor
from ...api.joining import stack
from ...arrays.dtypes import float64
from ...engine.tensor import Tensor


def default_collate(batch: Sequence[Any]) -> Any:
    """Return the examples as one: Tensors and arrays stacked, numbers in a Tensor, texts as they are.

    A mapping stays one, with the collated values of each key; a sequence stays one, with those of each place,
    a tuple becomes a list; a namedtuple stays one. A float counts as float64. Raises TypeError for anything
    else, RuntimeError for sequences of different lengths and Tensors of different shapes.
    """
    first = batch[0]
    if isinstance(first, Tensor):
        return stack(batch)
    if isinstance(first, np.ndarray):
        if first.dtype.kind not in "biuf":
            raise _not_collated(first.dtype)
        return default_collate([as_tensor(array) for array in batch])
    if isinstance(first, (np.bool_, np.number)):
        return as_tensor(batch)
    if isinstance(first, float):
        return tensor(batch, dtype=float64)
    if isinstance(first, int):
        return tensor(batch)
    if isinstance(first, (str, bytes)):
        return batch
    if isinstance(first, Mapping):
        return _mapping(first, lambda key: default_collate([example[key] for example in batch]))
    if isinstance(first, Sequence):
        if not hasattr(first, "_fields") and any(len(example) != len(first) for example in batch):
            raise RuntimeError("each element in list of batch should be of equal size")
        return _sequence(first, [default_collate(values) for values in zip(*batch, strict=False)])
    raise _not_collated(type(first))


def default_convert(data: Any) -> Any:
    """Return data with every array and NumPy number in it as a Tensor, and anything else as it is; a tuple
    becomes a list."""
    if isinstance(data, (Tensor, str, bytes)):
        return data
    if isinstance(data, (np.ndarray, np.generic)):
        return as_tensor(data) if data.dtype.kind in "biuf" else data
    if isinstance(data, Mapping):
        return _mapping(data, lambda key: default_convert(data[key]))
    if isinstance(data, Sequence):
        return _sequence(data, [default_convert(element) for element in data])
    return data


def _mapping(like: Any, value: Callable[[Any], Any]) -> Any:
    """Return a mapping of the class and with the keys of `like`, a dict where that class can't be made."""
    values = {key: value(key) for key in like}
    try:
        if not isinstance(like, MutableMapping):
            return type(like)(values)
        changed = copy.copy(like)  # which keeps what else a class has, such as a default
        changed.update(values)
        return changed
    except TypeError:
        return values


def _sequence(like: Any, values: Iterable[Any]) -> Any:
    """Return a sequence of the class of `like`, a list for a tuple and where that class can't be made."""
    if hasattr(like, "_fields"):
        return type(like)(*values)
    if isinstance(like, tuple):
        return list(values)
    try:
        if not isinstance(like, MutableSequence):
            return type(like)(values)
        changed = copy.copy(like)
        for place, value in enumerate(values):
            changed[place] = value
        return changed
    except TypeError:
        return list(values)


def _not_collated(kind: Any) -> TypeError:
    return TypeError(
        f"default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {kind}"
    )
