"""What a function returns: dicts, tuples, lists and dataclasses, with Tensors or numbers in them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import is_dataclass
from operator import is_
from typing import Any

from ...engine.attributes import Size

_CONTAINERS = (tuple, list, dict, OrderedDict, Size)


def has_fields(x: Any) -> bool:
    """Return whether an object is a named tuple, or of a dataclass without slots: it consists of
    attributes."""
    kind = type(x)
    if issubclass(kind, tuple):
        return kind.__bases__ == (tuple,) and hasattr(kind, "_fields")
    *bases, _ = kind.__mro__
    known = all(
        is_dataclass(base) and vars(base).keys().isdisjoint(("__getattribute__", "__slots__"))
        for base in bases
    )
    return known and hasattr(x, "__dict__")


def is_container(x: Any) -> bool:
    """Return whether an object is a container of the kinds that a result consists of."""
    return type(x) in _CONTAINERS or (issubclass(type(x), tuple) and hasattr(x, "_fields")) or has_fields(x)


def held(x: Any) -> Iterable[Any]:
    """Return what is in a container."""
    if isinstance(x, (tuple, list)):
        return x
    named: dict[Any, Any] = x if isinstance(x, dict) else vars(x)
    return named.values()


def mapped(
    result: Any,
    convert: Callable[[Any], Any],
    anew: bool = True,
    key_of: Callable[[Any], Any] = lambda key: key,
) -> Any:
    """Return the result, with `convert` applied to every leaf of its containers, and `key_of` to the keys of
    dicts. anew: make new ones of these, also where nothing in them changes."""
    if not is_container(result):
        return convert(result)
    before = [*result] if isinstance(result, dict) else []
    keys, elements = [*map(key_of, before)], [*held(result)]
    parts = [mapped(value, convert, anew, key_of) for value in elements]
    if not anew and all(map(is_, parts, elements)) and all(map(is_, keys, before)):
        return result
    return with_parts(result, keys, parts)


def with_parts(result: Any, keys: list[Any], parts: list[Any]) -> Any:
    """Return a container of the kind of `result` with other parts; keys: those of a dict."""
    if isinstance(result, dict):
        return type(result)(zip(keys, parts, strict=True))
    if not isinstance(result, tuple) and has_fields(result):
        made = object.__new__(type(result))  # its constructor has run for the one that was recorded
        made.__dict__.update(zip(vars(result), parts, strict=True))
        return made
    if hasattr(result, "_fields"):  # whose class may have a constructor of its own
        return tuple.__new__(type(result), parts)
    return type(result)(parts)


def leaves(result: Any) -> Iterator[Any]:
    """Yield what is in a result's containers."""
    if not is_container(result):
        yield result
        return
    for x in held(result):
        yield from leaves(x)


def containers(result: Any) -> tuple[list[Any], Any]:
    """Return the containers of a result, each once, and one that is no tuple and is there twice, and may hold
    itself; None where none is."""
    waiting, known, repeated = [result], dict[int, Any](), None
    while waiting:
        x = waiting.pop()
        if not is_container(x):
            continue
        if id(x) not in known:
            known[id(x)] = x
            waiting.extend(held(x))
        elif not isinstance(x, tuple):
            repeated = x
    return [*known.values()], repeated
