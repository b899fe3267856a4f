"""What a function returns: dicts, tuples and lists, with Tensors or numbers in them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from operator import is_
from typing import Any

from ...engine.attributes import Size

_CONTAINERS = (tuple, list, dict, OrderedDict, Size)


def is_container(x: Any) -> bool:
    """Return whether an object is a container of the kinds that a result consists of."""
    return type(x) in _CONTAINERS or (isinstance(x, tuple) and hasattr(x, "_fields"))


def mapped(
    result: Any,
    convert: Callable[[Any], Any],
    anew: bool = True,
    key_of: Callable[[Any], Any] = lambda key: key,
) -> Any:
    """Return the result, with `convert` applied to every leaf of its dicts, tuples and lists, and `key_of` to
    the keys of dicts. anew: make new ones of these, also where nothing in them changes."""
    if not is_container(result):
        return convert(result)
    keys = [*map(key_of, result)] if isinstance(result, dict) else []
    elements = [*result.values()] if isinstance(result, dict) else result
    parts = [mapped(value, convert, anew, key_of) for value in elements]
    if not anew and all(map(is_, parts, elements)) and all(map(is_, keys, result)):
        return result
    if isinstance(result, dict):
        return type(result)(zip(keys, parts, strict=True))
    if hasattr(result, "_fields"):  # whose class may have a constructor of its own
        return tuple.__new__(type(result), parts)
    return type(result)(parts)


def leaves(result: Any) -> Iterator[Any]:
    """Yield what is in a result's dicts, tuples and lists."""
    if not is_container(result):
        yield result
        return
    for x in result.values() if isinstance(result, dict) else result:
        yield from leaves(x)


def containers(result: Any) -> tuple[list[Any], Any]:
    """Return the dicts, tuples and lists of a result, each once, and a dict or list that is there twice, and
    may hold itself; None where none is."""
    waiting, known, repeated = [result], dict[int, Any](), None
    while waiting:
        x = waiting.pop()
        if not is_container(x):
            continue
        if id(x) not in known:
            known[id(x)] = x
            waiting.extend(x.values() if isinstance(x, dict) else x)
        elif not isinstance(x, tuple):
            repeated = x
    return [*known.values()], repeated
