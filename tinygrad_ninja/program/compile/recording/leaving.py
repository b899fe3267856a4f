"""What a recording leaves behind: numbers and arrays where the step has kept what stood for them."""

from __future__ import annotations

import functools
import gc
import types
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any

from ..guards.owners import is_a, is_ours
from ..guards.parts import attributes_of, fields_of, slots
from ..guards.watched import filled_slot

Now = Callable[[Any], Any]


def leave(known: list[Any], own: Now) -> None:
    """Put numbers and arrays in the place of the stand-ins that the step has kept, wherever Python finds what
    holds them: in containers, attributes and variables of closures; and in tuples and other objects that
    never change, which are made anew in what holds these. Iterators that have begun keep theirs. known: all
    stand-ins that may be there; own: gives what one of them stands for."""
    olds = {id(x): x for x in known}  # what is to be replaced
    stand_ins, anew = frozenset(olds), dict[int, Any]()

    def now(x: Any) -> Any:
        if id(x) in stand_ins:
            return own(x)
        if id(x) in olds and id(x) not in anew:
            anew[id(x)] = _made_anew(x, now)
        return anew.get(id(x), x)

    waiting = tuple(known)
    while waiting:
        # At once, since it looks through all objects; from Python 3.13 on, at the tuple of its arguments too.
        found = gc.get_referrers(*waiting)
        others = [x for x in found if not (x is known or x is waiting or x is olds or id(x) in olds)]
        del found
        waiting = tuple([x for x in others if _never_changes(x)])
        olds |= {id(x): x for x in waiting}
        for holder in others:
            if id(holder) not in olds:
                _replace(holder, now)
        del others


def _never_changes(x: Any) -> bool:
    return is_a(x, (tuple, frozenset, slice)) or (is_a(x, types.MethodType) and not is_ours(x.__func__))


def _made_anew(x: Any, now: Now) -> Any:
    """Return an object that never changes, with others in it."""
    kind = type(x)
    if kind is slice:
        return slice(now(x.start), now(x.stop), now(x.step))
    if kind is types.MethodType:
        return types.MethodType(x.__func__, now(x.__self__))
    base = tuple if issubclass(kind, tuple) else frozenset
    result = base.__new__(kind, map(now, x))  # whose class may have a constructor of its own
    held = attributes_of(x)
    if held:
        result.__dict__.update(held)
    return result


def _replace(x: Any, now: Now) -> None:
    """Put others in the place of objects that an object holds."""
    if is_a(x, (list, deque)):
        for i, value in enumerate(x):
            if now(value) is not value:
                x[i] = now(value)
    elif is_a(x, dict):
        _replace_in_dict(x, now)
    elif is_a(x, set):
        for value in [*x]:
            if now(value) is not value:
                x.remove(value)
                x.add(now(value))
    elif is_a(x, types.CellType):
        x.cell_contents = now(x.cell_contents)
    elif is_a(x, types.FunctionType):
        _replace_attribute(x, "__defaults__", now)
    elif is_a(x, functools.partial):
        if now(x.func) is not x.func or now(x.args) is not x.args:
            x.__setstate__((now(x.func), now(x.args), x.keywords, x.__dict__))
    elif not is_a(x, (type, types.ModuleType)):
        for name in fields_of(x) if is_a(x, BaseException) else ():
            _replace_attribute(x, name, now)
        for _, slot in slots(type(x)):
            value = filled_slot(slot.__get__, x)
            if now(value) is not value:
                slot.__set__(x, now(value))
        held = attributes_of(x)  # Python 3.13 names an object, and not its dict
        if is_a(held, dict):
            _replace_in_dict(held, now)


def _replace_attribute(x: Any, name: str, now: Now) -> None:
    value = getattr(x, name)
    if now(value) is not value:
        setattr(x, name, now(value))


def _replace_in_dict(x: Any, now: Now) -> None:
    if any(now(key) is not key for key in x):  # an equal key would stay
        items = [(now(key), now(value)) for key, value in x.items()]
        kind = OrderedDict if is_a(x, OrderedDict) else dict  # past the reader's own methods
        kind.clear(x)
        kind.update(x, items)
        return
    changed = {key: now(value) for key, value in x.items() if now(value) is not value}
    owners = gc.get_referrers(x) if changed and "__module__" in x else ()
    for owner in owners:
        if is_a(owner, type):  # which keeps what it has found of its attributes, and learns of a change so
            for name, value in changed.items():
                type.__setattr__(owner, name, value)
            return
    dict.update(x, changed)
