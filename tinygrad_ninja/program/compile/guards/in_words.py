"""What is compared, and what is different, in words."""

from __future__ import annotations

import types
from typing import Any

from .alike import alike
from .owners import a
from .trusted import is_constant
from .watched import ABSENT, Check, Form, Watched

_SHORT = 40
_WORDS = {
    "class": "another class",
    "bases": "other base classes",
    "code": "other code",
    "defaults": "other defaults",
    "edge": "another history",
    "hooks": "other hooks",
    "gradient": "another gradient",
    "attributes": "another __dict__",
    "array": "other elements",
    "type": "another type",
    "state": "another state",
}


def told_of(watched: Watched, check: Check) -> str:
    """Return, in words, what is different now."""
    was, now, way = watched.was(check), watched.now(check), check.way
    if check.what == "presence":
        return f"{way} is there now"
    if now is ABSENT:
        return f"{way} is not there any more"
    if check.what == "edge" and (was is None) != (now is None):
        return f"{way} requires {'a' if was is None else 'no'} gradient now"
    if check.what in _WORDS:
        return f"{way} has {_WORDS[check.what]}"
    if check.named is not None:
        new, old = check.named(now), check.named(was)
        for key in now:
            if key in new and key not in old:
                return f"{way.to('.' + key)} is there now"
        for key in was:
            if key in old and key not in new:
                return f"{way.to('.' + key)} is not there any more"
        return f"{way} has its attributes in another order"
    if check.what:
        count, before = (now, was) if check.what == "length" else (len(now), len(was))
        kind = "" if check.what == "parts" else f" ({a(type(watched.owner(check)))})"
        name = "part" if check.what == "parts" else "element"
        if count != before:
            return f"{way}{kind} has {count} {name}{'' if count == 1 else 's'} and had {before}"
        if check.what in ("keys", "parts"):
            return f"{way}{kind} has other {check.what}, or in another order"
        if check.what == "set":
            return f"{way}{kind} has other elements, or in another order"
        i = next(i for i, (x, y) in enumerate(zip(was, now, strict=True)) if not alike(x, y))
        there = way.to(f"[{i}]") if check.what == "elements" else f"a value of {way}"
        return _changed(str(there), was[i], now[i])
    return _changed(str(way), was, now)


def described(watched: Watched) -> list[str]:
    """Return, in words, what is compared."""
    lines = []
    for check in watched:
        was = watched.was(check)
        if check.what == "":
            lines.append(f"{check.way}: {short(was)}")
        elif check.what in ("array", "defaults") and check.form is Form.IS and was is not None:
            lines.append(f"{check.way}: its {check.what}")
        elif check.what in ("length", "elements", "values", "set"):
            count = was if check.what == "length" else len(was)
            lines.append(f"{check.way}: {count} {'element' if count == 1 else 'elements'}")
    return sorted({*lines})


def _changed(way: str, was: Any, now: Any) -> str:
    if type(was) is type(now):
        if is_constant(now):
            return f"{way} was {short(was)} and is {short(now)}"
        return f"{way} is another {'function' if isinstance(now, types.FunctionType) else type(now).__name__}"
    return f"{way} was {short(was)} and is {short(now)}"


def short(x: Any) -> str:
    """Return an object in a few characters: a constant itself, of another one the type."""
    if isinstance(x, type):
        return f"the class {x.__name__}"
    if isinstance(x, types.FunctionType):
        return f"the function {x.__name__}"
    if not is_constant(x):
        return a(type(x))
    text = repr(x)
    return text if len(text) < _SHORT else text[: _SHORT - 3] + "..."
