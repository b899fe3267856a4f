"""The arguments of a call: what a recording depends on in each, and those within tuples, lists and dicts."""

from __future__ import annotations

from collections.abc import Iterator, Set
from functools import lru_cache
from operator import is_
from typing import Any, NamedTuple

import numpy as np

from ....arrays.dtypes import dtype, is_known
from ....engine.inference import is_marked, marked
from ....engine.tensor import Tensor, wrap
from ....nn.module import Parameter
from ....rng.generator import Generator
from ....rng.torch_generator import TorchGenerator
from ..guards.held import READ_ANEW
from ..guards.owners import a, is_a, is_ours
from ..results import has_fields
from .shapes import is_torch

_PLAIN = {bool, int, float, str, bytes, type(None), dtype, Generator, TorchGenerator}
DEPTH, _SIZE = 8, 64
"""Containers within containers, and elements of one, beyond which it is compared as an object."""


def as_tensor(value: Any) -> Any:
    """Return a NumPy array as a Tensor, as `from_numpy` does; anything else unchanged."""
    return wrap(np.asarray(value)) if _is_array(value) else value


def _is_array(value: Any) -> bool:
    """Return whether an argument is a NumPy array that the function sees as a Tensor: one of text, say, is an
    object as others are."""
    return is_a(value, np.ndarray) and is_known(value.dtype)


def is_plain(value: Any) -> bool:
    """Return whether an argument is memory, or compared by its value."""
    return is_a(value, (Tensor, np.generic)) or type(value) in _PLAIN or _is_array(value)


def is_container(value: Any) -> bool:
    """Return whether an argument may be seen as its elements: a tuple, a list, a dict, a named tuple, or a
    dataclass's object."""
    return type(value) in (tuple, list, dict) or has_fields(value)


def signature(args: tuple[Any, ...], kwargs: dict[str, Any], apart: bool) -> Any:
    """Return what a recording depends on: the kinds of the arguments, and the values of those that have no
    kind. apart: containers are seen as their elements."""
    if not apart:
        kinds = tuple(map(_kind, args))
        if kwargs:
            args = (*args, *kwargs.values())
            kinds = (*kinds, *kwargs, *map(_kind, kwargs.values()))
        if len(args) > 1 and len({*map(id, args)}) < len(args):  # some are one object
            first: dict[int, int] = {}
            tensors = (x for x in args if is_a(x, Tensor))
            kinds = (*kinds, *[first.setdefault(id(x), i) for i, x in enumerate(tensors)])
        return kinds
    met: dict[int, int] = {}
    return (*[_kind(value, DEPTH, met) for value in (*args, *kwargs.values())], *kwargs)


def kinds_of_found(values: tuple[Any, ...], given: int, unread: Set[int]) -> tuple[Any, ...]:
    """Return what a recording depends on in Tensors that it finds in Python's objects: in the values behind
    those given. unread: the positions of those of which it reads no element."""
    first: dict[int, int] = {}
    for i, x in enumerate(values):
        first.setdefault(id(x), i)
    kinds: list[Any] = []
    for i, x in enumerate(values[given:], given):
        kind = _kind_of_tensor(x, None) if is_a(x, Tensor) else type(x)
        if i in unread and is_a(x, Tensor):
            kind = kind[0], x.edge is None or (x.edge.op is None, not x.edge.hooks)
        kinds.append((first[id(x)], kind))
    return tuple(kinds)


def difference(key: Any, before: Any) -> str:
    """Return, in words, in what the arguments of one signature are others than those of another."""
    if isinstance(key, tuple) and isinstance(before, tuple) and len(key) == len(before):
        for i, (now, was) in enumerate(zip(key, before, strict=True)):
            if isinstance(now, _Same) and isinstance(was, _Same) and now != was:
                return f"another object as argument {i}, {a(type(now.thing))}"
    return "arguments of other shapes, dtypes or types"


def objects_in(key: Any) -> list[Any]:
    """Return the objects that a signature stands for, which no other object equals."""
    if isinstance(key, tuple):
        return [x for part in key for x in objects_in(part)]
    return [key.thing] if isinstance(key, _Same) else []


def _kind(value: Any, depth: int = 0, met: dict[int, int] | None = None, inner: bool = False) -> Any:
    """Return what a recording depends on in an argument. depth: of containers that are seen as elements; met:
    numbers them by their ids; inner: it is an element itself."""
    of = type(value)
    if of in READ_ANEW:
        return of
    if of is Tensor or is_a(value, Tensor):
        return _kind_of_tensor(value, met)
    if not inner and _is_array(value):
        return "array", value.shape, value.dtype, value.strides
    if not is_a(value, np.ndarray) and is_plain(value):
        return _plain(value)
    if met is None or not _is_apart(value, depth):
        return _Same(value)
    held = _held(value)
    keys = tuple(map(_key, held)) if isinstance(held, dict) else None
    elements = held.values() if isinstance(held, dict) else held
    number = met.setdefault(id(value), len(met))
    return of, number, keys, tuple([_kind(x, depth - 1, met, True) for x in elements])


def _kind_of_tensor(x: Tensor, met: dict[int, int] | None) -> Any:
    """Return what a recording depends on in a Tensor, as `_kind` does: how its elements lie, and whether it
    has a history."""
    array, edge, of = x.array, x.edge, _class_of(type(x))
    if type(array) is np.ndarray:  # mostly
        layout: tuple[Any, ...] = array.shape, array.dtype, array.strides
    elif is_torch(array):
        layout = array.shape, array.dtype, array.stride(), array.device
    else:
        layout = ()
    if of is None:
        return type(x), *layout, _Same(x)
    number = met if met is None else met.setdefault(id(x), len(met))
    inference = bool(marked) and is_marked(array)
    if edge is None:
        return of, *layout, number, inference
    hooks = edge.hooks
    return of, *layout, number, inference, edge.op is None, hooks is None or (not hooks, hooks.keep)


@lru_cache
def _class_of(of: type) -> type | None:
    """Return the class that a Tensor of this one is seen as; None for a class of the user's."""
    if not is_ours(of):
        return None
    return Parameter if issubclass(of, Parameter) else Tensor


def _plain(value: Any) -> Any:
    """Return a key for a value: 0.0 is not -0.0, and NaN is NaN."""
    return type(value), repr(value) if isinstance(value, (float, np.generic)) else value


def _key(key: Any) -> Any:
    return _plain(key) if type(key) in _PLAIN else _Same(key)


def _is_apart(value: Any, depth: int) -> bool:
    return depth > 0 and is_container(value) and len(_held(value)) <= _SIZE


def _held(value: Any) -> Any:
    """Return what a container consists of: itself, or the attributes of an object."""
    return value if is_a(value, (tuple, list, dict)) else vars(value)


def _parts(value: Any) -> list[tuple[Any, Any]]:
    """Return the keys, positions or names of attributes in a container, each with what is there."""
    held = _held(value)
    return [*(held.items() if isinstance(held, dict) else enumerate(held))]


def flat(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the arguments with the elements of containers in their place."""
    return tuple([leaf.value for value in values for leaf in Leaf(value, "").leaves(DEPTH)])


def rebuilt(value: Any, given: Iterator[Any], depth: int) -> Any:
    """Return an argument with other leaves; a container in which all are the same, as it is. Only leaves of
    tuples are others."""
    if not _is_apart(value, depth):
        return next(given)
    before = [x for _, x in _parts(value)]
    parts = [rebuilt(x, given, depth - 1) for x in before]
    return value if all(map(is_, parts, before)) else tuple.__new__(type(value), parts)


class Leaf(NamedTuple):
    """An argument, or an element of one. name: what to call it; inner: it is an element; fixed: it is one of
    a list or a dict, in which the function could replace it, so that no stand-in may take its place."""

    value: Any
    name: str
    inner: bool = False
    fixed: bool = False

    @property
    def is_object(self) -> bool:
        """Return whether it is neither memory nor compared by its value, or has attributes of its own. Arrays
        that are elements are not seen as Tensors."""
        inner_array = self.inner and is_a(self.value, np.ndarray)
        own = is_a(self.value, Tensor) and not is_ours(type(self.value))
        return not is_plain(self.value) or inner_array or own

    @property
    def tensor(self) -> Tensor | None:
        """Return the Tensor that the function sees here, if it does."""
        value = self.value if self.inner else as_tensor(self.value)
        return value if is_a(value, Tensor) else None

    def leaves(self, depth: int) -> Iterator[Leaf]:
        """Yield its elements' leaves, or itself. depth: of containers that are seen as their elements."""
        if not _is_apart(self.value, depth):
            yield self
            return
        fixed = self.fixed or not is_a(self.value, tuple)
        for key, x in _parts(self.value):
            yield from Leaf(x, f"{self.name}[{key!r}]", True, fixed).leaves(depth - 1)

    def classes(self, depth: int) -> Iterator[Leaf]:
        """Yield the classes of named tuples and objects in it, whose methods the function may call."""
        if _is_apart(self.value, depth):
            if has_fields(self.value):
                yield Leaf(type(self.value), f"the class of {self.name}")
            for key, x in _parts(self.value):
                yield from Leaf(x, f"{self.name}[{key!r}]").classes(depth - 1)


class _Same:
    """A key that equals another one of the same object, which it keeps alive."""

    def __init__(self, thing: Any) -> None:
        self.thing = thing

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.thing is self.thing

    def __hash__(self) -> int:
        return id(self.thing)
