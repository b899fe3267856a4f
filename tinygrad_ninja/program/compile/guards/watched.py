"""What objects hold, as a list of comparisons: each with what it held, and generated as one expression."""

from __future__ import annotations

import datetime
import re
import struct
import types
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum, auto
from itertools import count
from operator import is_
from textwrap import indent
from typing import Any

import numpy as np

from .code_names import Way
from .owners import a
from .trusted import is_constant

ABSENT = type("Absent", (), {"__repr__": lambda self: "nothing"})()
_GONE = (KeyError, IndexError, AttributeError, ValueError, NameError, TypeError)
_SHORT = 40
FEW = 16
"""How many elements are compared one by one, which is faster, and not in a loop."""
_COMPARISON = """
try:
 if ({}): return True
except gone: pass
return otherwise()
"""


class Form(Enum):
    """How what is held now is compared with what was held."""

    IS = auto()  # it is the same object
    EQUAL = auto()  # it is a number, text or bytes of the engine's own making
    EACH = auto()  # it is iterated over, and each is the same object


@dataclass(eq=False, slots=True)
class Check:
    """One comparison. text: the expression for what is held now; owner: the name, in it, of the object that
    holds it; was: the name of what was held.

    what: the sort of thing that is compared, for the words. named: gives those of the keys that matter: in a
    list where their order does too, else in a set.
    """

    form: Form
    owner: str
    text: str
    was: str
    way: Way
    what: str
    named: Callable[[Iterable[Any]], Collection[Any]] | None


class Watched:
    """Comparisons of what objects hold with what they held when each was added."""

    def __init__(self) -> None:
        self._names: dict[str, Any] = {
            "is_": is_, "filled": filled, "filled_slot": filled_slot, "absent": ABSENT,
        }  # fmt: skip
        self._numbers = count()
        self._size = 0
        self._name_of: dict[int, str] = {}
        self._cells: dict[str, types.CellType] = {}
        self._checks: dict[str, Check] = {}
        self._read: Callable[[], tuple[Any, ...]] | None = None

    def __len__(self) -> int:
        return self._size

    def cell(self, cell: types.CellType, way: Way) -> None:
        """Compare what a variable of a closure holds; that it holds nothing, where it does not."""
        if filled(cell) is ABSENT:
            self.add(Form.IS, cell, "filled({})", ABSENT, way)
            return
        # Generated code reads it as a variable of its own closure, which is the fastest.
        name = self.bind(cell)
        self._cells[name] = cell
        self.add(Form.IS, cell, "{}", cell.cell_contents, way)

    def bind(self, x: Any) -> str:
        """Return the name under which the expressions find an object, which is held from now on."""
        name = self._name_of.get(id(x))
        if name is None:
            name = self._name_of[id(x)] = self.slot(x)
        return name

    def slot(self, x: Any) -> str:
        """Return a new name for something that may be replaced by an equal one."""
        name = f"o{next(self._numbers)}"
        self._names[name] = x
        return name

    def add(
        self, form: Form, owner: Any, text: str, was: Any, way: Way, what: str = "",
        named: Callable[[Iterable[Any]], Collection[Any]] | None = None,
    ) -> None:  # fmt: skip
        """Compare from now on; text has {} for the owner."""
        name = self.bind(owner)
        text = text.format(name)
        if text not in self._checks:
            self._size += len(was) if form is Form.EACH else 1
            self._checks[text] = Check(form, name, text, self.slot(was), way, what, named)

    def item(self, owner: Any, key: Any, way: Way) -> None:
        """Compare what a mapping or a sequence holds under a key."""
        self.add(Form.IS, owner, self._element(owner, key), owner[key], way)

    def drop_item(self, owner: Any, key: Any) -> None:
        """Compare it no longer."""
        self._checks.pop(self._element(owner, key).format(self.bind(owner)), None)

    def _element(self, owner: Any, key: Any) -> str:
        """Return the text for what is held under a key, with {} for the owner. To look must add nothing, as a
        defaultdict would."""
        if hasattr(type(owner), "__missing__"):
            return f"dict.get({{}}, {self.bind(key)}, absent)"
        return f"{{}}[{self.bind(key)}]"

    def elements(self, owner: Any, way: Way) -> None:
        """Compare the elements of a list."""
        if len(owner) > FEW:
            self.each(owner, way)
            return
        self.add(Form.EQUAL, owner, "len({})", len(owner), way, "length")
        for i, value in enumerate(owner):
            self.add(Form.IS, owner, f"{{}}[{i}]", value, way.to(f"[{i}]"))

    def absent(self, owner: Any, key: str, way: Way) -> None:
        """Compare that a mapping has nothing under a key."""
        self.add(Form.IS, owner, f"({self.bind(key)} in {{}})", False, way, "presence")

    def each(self, owner: Any, way: Way, text: str = "{}", what: str = "elements") -> None:
        """Compare all elements, or with another text the keys or the values."""
        elements = [*owner.values()] if text.endswith("values()") else [*owner]
        self.add(Form.EACH, owner, text, elements, way, what)

    def keys(
        self,
        owner: Any,
        way: Way,
        named: Callable[[Iterable[Any]], Collection[Any]] | None = None,
        what: str = "keys",
    ) -> None:
        """Compare the keys of a mapping, and their order. named: gives those that matter, as `Check` has
        it."""
        if all(type(key) is str for key in owner):
            self.add(Form.EQUAL, owner, "[*{}]", [*owner], way, what, named)
        else:
            self.each(owner, way, what=what)

    # -- the comparison --------------------------------------------------------------------------------------

    def compiled(self, more: str, names: dict[str, Any], otherwise: Callable[[], bool]) -> Callable[[], bool]:
        """Return a function that makes all comparisons, fast. more: an expression to go first, over `names`;
        otherwise: what to ask where one does not hold."""
        self._names |= {**names, "otherwise": otherwise, "gone": _GONE}
        conditions = [f"({more})", *map(self._condition, self._checks.values())]
        return self._function(_COMPARISON.format(" and\n".join(conditions)))

    def _function(self, body: str) -> Callable[[], Any]:
        """Return a function with that body, over the names and the variables of closures."""
        source = f"def outer({', '.join(self._cells)}):\n def inner():\n{indent(body, '  ')}\n return inner"
        outer = compile(source, "<comparisons>", "exec").co_consts[0]
        (inner,) = (x for x in outer.co_consts if isinstance(x, types.CodeType))
        closure = tuple(self._cells[name] for name in inner.co_freevars)
        return types.FunctionType(inner, self._names, "holds", None, closure)

    def _condition(self, check: Check) -> str:
        """Return the expression for whether what is held is what was held."""
        was = self._names[check.was]
        if check.form is not Form.IS and was == []:
            return f"not {check.owner}"
        if check.form is Form.EACH:
            return f"len({check.owner}) == len({check.was}) and all(map(is_, {check.text}, {check.was}))"
        if check.form is Form.EQUAL:
            return f"{check.text} == {was if type(was) is int else check.was}"
        # What Python has a word for is compared in one instruction.
        return f"{check.text} is {was if was is None or type(was) is bool else check.was}"

    def first_difference(self) -> Check | None:
        """Return the first comparison that does not hold. An equal object is taken as the one to be found
        later."""
        if self._read is None:
            self._read = self._reader(self._checks.values())
        try:
            values: Iterable[Any] = self._read()
        except _GONE:
            values = map(self.now, self._checks.values())
        for check, now in zip(self._checks.values(), values, strict=True):
            if now is not self._names[check.was] and not self._take(check, now):
                return check
        return None

    def _reader(self, checks: Iterable[Check]) -> Callable[[], tuple[Any, ...]]:
        held = "".join(f"{_current(check)},\n" for check in checks)
        return self._function(f"return ({held})")

    def now(self, check: Check) -> Any:
        """Return what is held now."""
        try:
            return self._reader((check,))()[0]
        except _GONE:
            return ABSENT

    def owner(self, check: Check) -> Any:
        """Return the object that holds what is compared."""
        return self._names[check.owner]

    def _take(self, check: Check, now: Any) -> bool:
        """Return whether an object is as good as the one that was held, and hold it from now on."""
        was = self._names[check.was]
        if now is ABSENT or not _as_good(check, was, now):
            return False
        self._names[check.was] = now
        return True

    # -- in words --------------------------------------------------------------------------------------------

    def told(self, check: Check) -> str:
        """Return, in words, what is different now."""
        was, now, way = self._names[check.was], self.now(check), check.way
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
            kind = "" if check.what == "parts" else f" ({a(type(self._names[check.owner]))})"
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

    def described(self) -> list[str]:
        """Return, in words, what is compared."""
        lines = []
        for check in self._checks.values():
            was = self._names[check.was]
            if check.what == "":
                lines.append(f"{check.way}: {short(was)}")
            elif check.what in ("array", "defaults") and check.form is Form.IS and was is not None:
                lines.append(f"{check.way}: its {check.what}")
            elif check.what in ("length", "elements", "values", "set"):
                count = was if check.what == "length" else len(was)
                lines.append(f"{check.way}: {count} {'element' if count == 1 else 'elements'}")
        return sorted({*lines})

    def ways(self) -> list[Way]:
        """Return how all that is compared is reached."""
        return [check.way for check in self._checks.values()]


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


def filled(cell: Any) -> Any:
    """Return what a variable of a closure holds, ABSENT where it holds nothing."""
    try:
        return cell.cell_contents
    except ValueError:
        return ABSENT


def filled_slot(read: Callable[[Any], Any], x: Any) -> Any:
    """Return what a slot of an object holds, ABSENT where it holds nothing."""
    try:
        return read(x)
    except AttributeError:
        return ABSENT


def _current(check: Check) -> str:
    return f"[*{check.text}]" if check.form is Form.EACH else check.text


def _as_good(check: Check, was: Any, now: Any) -> bool:
    if check.form is Form.IS:
        return alike(was, now)
    if check.form is Form.EQUAL:
        if check.named is not None:
            return check.named(was) == check.named(now)
        return bool(was == now)
    return len(was) == len(now) and all(map(alike, was, now))


def alike(was: Any, now: Any) -> bool:
    """Return whether two objects are the same, or two of the same type and value that never change."""
    waiting = [(was, now)]
    while waiting:
        x, y = waiting.pop()
        if x is y:
            continue
        kind = type(x)
        if kind is not type(y):
            return False
        if kind in (tuple, frozenset) or _is_named_tuple(kind):
            if len(x) != len(y):
                return False
            waiting += zip(x, y, strict=True)
        elif kind is slice:
            waiting += ((x.start, y.start), (x.stop, y.stop), (x.step, y.step))
        elif kind is types.MethodType:
            waiting += ((x.__self__, y.__self__), (x.__func__, y.__func__))
        elif not is_constant(x) or not _equal(x, y):
            return False
    return True


def _is_named_tuple(kind: type) -> bool:
    """Return whether it is the class of a namedtuple, which has no attributes but its elements."""
    return issubclass(kind, tuple) and hasattr(kind, "_fields") and not kind.__dictoffset__


def _equal(x: Any, y: Any) -> bool:
    """Return whether two constants of one type are equal to the last bit."""
    if isinstance(x, float):
        return struct.pack("d", x) == struct.pack("d", y)
    if isinstance(x, complex):
        return struct.pack("dd", x.real, x.imag) == struct.pack("dd", y.real, y.imag)
    if isinstance(x, np.generic):
        return x.dtype == y.dtype and x.tobytes() == y.tobytes()
    if isinstance(x, (datetime.datetime, datetime.time)):
        return repr(x) == repr(y) and alike(x.tzinfo, y.tzinfo)
    if isinstance(x, (range, Decimal, re.Pattern, datetime.timezone)):
        return repr(x) == repr(y)
    return bool(x == y)


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
