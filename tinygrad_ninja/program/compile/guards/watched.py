"""What objects hold, as a list of comparisons: each with what it held, and generated as one expression."""

from __future__ import annotations

import types
from collections.abc import Callable, Collection, Iterable, Iterator, Set
from dataclasses import dataclass
from enum import Enum, auto
from itertools import count
from operator import is_
from textwrap import indent
from typing import Any

from ....engine.tensor import Tensor
from .alike import alike
from .code_names import Way
from .held import Entry, is_our_tensor, numbers_of
from .owners import is_a
from .trusted import is_constant

ABSENT = type("Absent", (), {"__repr__": lambda self: "nothing"})()
_GONE = (KeyError, IndexError, AttributeError, ValueError, NameError, TypeError)
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
    list where their order does too, else in a set. entry: the place whose content it is.
    """

    form: Form
    owner: str
    text: str
    was: str
    way: Way
    what: str
    named: Callable[[Iterable[Any]], Collection[Any]] | None
    entry: Entry | None = None


class Watched:
    """Comparisons of what objects hold with what they held when each was added.

    loose: the places whose numbers and Tensors are left to the caller, but for their types; left: those of
    them in which numbers were found, each with what to call it, and what was held; tensors: those with
    Tensors.
    """

    def __init__(self, loose: Set[Entry] = frozenset()) -> None:
        self._loose = loose
        self._holders = {id(entry.holder) for entry in loose}  # of all that is left to the caller
        self.left: dict[Entry, tuple[str, Any]] = {}
        self.tensors: dict[Entry, str] = {}
        self._called: dict[Entry, str] = {}
        self._names: dict[str, Any] = {
            "is_": is_, "filled": filled, "filled_slot": filled_slot, "absent": ABSENT,
            "is_our_tensor": is_our_tensor,
        }  # fmt: skip
        self._numbers = count()
        self._size = 0
        self._name_of: dict[int, str] = {}
        self._cells: dict[str, types.CellType] = {}
        self._checks: dict[str, Check] = {}
        self._read: Callable[[], tuple[Any, ...]] | None = None

    def __len__(self) -> int:
        return self._size

    def cell(self, cell: types.CellType, way: Way) -> bool:
        """Compare what a variable of a closure holds; that it holds nothing, where it does not. Return
        whether it holds something but a Tensor that is left to the caller."""
        if filled(cell) is ABSENT:
            self.add(Form.IS, cell, "filled({})", ABSENT, way)
            return False
        # Generated code reads it as a variable of its own closure, which is the fastest.
        name = self.bind(cell)
        self._cells[name] = cell
        return self._entry(Entry(cell), "{}", way)

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
        named: Callable[[Iterable[Any]], Collection[Any]] | None = None, entry: Entry | None = None,
    ) -> None:  # fmt: skip
        """Compare from now on; text has {} for the owner. entry: the place that it reads."""
        name = self.bind(owner)
        text = text.format(name)
        if text not in self._checks:
            self._size += len(was) if form is Form.EACH else 1
            self._checks[text] = Check(form, name, text, self.slot(was), way, what, named, entry)

    def item(self, owner: Any, key: Any, way: Way) -> bool:
        """Compare what a mapping or a sequence holds under a key. Return whether it is no Tensor that is left
        to the caller."""
        return self._entry(Entry(owner, key), self._element(owner, key), way)

    def _entry(self, entry: Entry, text: str, way: Way) -> bool:
        """Compare what is held in a place, unless that is left to the caller. Return whether it is no Tensor
        that is."""
        if entry in self.left or (entry in self._loose and entry.number() is not None):
            self._leave(entry, text, way)
        elif entry in self._loose and entry.tensor() is not None:
            self.tensors[entry] = str(way)
            self.add(Form.IS, entry.holder, f"is_our_tensor({text})", True, way, "type")
            return False
        else:
            self.add(Form.IS, entry.holder, text, entry.read(), way, entry=entry)
        return True

    def leave(self, entry: Entry, way: Way) -> None:
        """Leave the numbers in a place to the caller, where there are numbers."""
        if entry.number() is not None:
            self.drop_item(entry.holder, entry.key)
            self._leave(entry, self._element(entry.holder, entry.key), way)

    def _leave(self, entry: Entry, text: str, way: Way) -> None:
        """Compare the types of numbers alone."""
        held, numbers = entry.read(), numbers_of(entry.read())
        self.left[entry] = self.called(entry, way), held
        self._holders.add(id(entry.holder))
        if -1 not in numbers:
            self.add(Form.IS, entry.holder, f"type({text})", tuple, way, "type")
            self.add(Form.EQUAL, entry.holder, f"len({text})", len(held), way, "length")
        for place, number in numbers.items():
            one = text if place < 0 else f"{text}[{place}]"
            self.add(Form.IS, entry.holder, f"type({one})", type(number), way, "type")

    def is_left_in(self, owner: Any) -> bool:
        """Return whether some of what an object holds is left to the caller."""
        return id(owner) in self._holders

    def name_entry(self, entry: Entry, name: str) -> None:
        """Call what is held in a place by this name."""
        self._called[entry] = name

    def called(self, entry: Entry, way: Way) -> str:
        """Return what to call what is held in a place."""
        return self._called.get(entry, str(way))

    def is_of_optimizer(self, check: Check) -> bool:
        """Return whether a comparison is about a number of an optimizer's group, which is another now."""
        entry = check.entry
        return entry in self._called and entry is not None and entry.number() is not None

    def drop_item(self, owner: Any, key: Any) -> None:
        """Compare it no longer."""
        self._checks.pop(self._element(owner, key).format(self.bind(owner)), None)

    def _element(self, owner: Any, key: Any) -> str:
        """Return the text for what is held under a key, with {} for the owner. To look must add nothing, as a
        defaultdict would."""
        if hasattr(type(owner), "__missing__"):
            return f"dict.get({{}}, {self.bind(key)}, absent)"
        return f"{{}}[{key if type(key) is int else self.bind(key)}]"

    def elements(self, owner: Any, way: Way) -> set[int]:
        """Compare the elements of a list. Return the places of Tensors that are left to the caller."""
        if len(owner) > FEW and not self.is_left_in(owner):
            self.each(owner, way)
            return set()
        self.add(Form.EQUAL, owner, "len({})", len(owner), way, "length")
        return {i for i in range(len(owner)) if not self.item(owner, i, way.to(f"[{i}]"))}

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
        for check, now in self._held_now():
            if now is not self._names[check.was] and not self._take(check, now):
                return check
        return None

    def _held_now(self) -> Iterator[tuple[Check, Any]]:
        """Yield each comparison with what is held now."""
        if self._read is None:
            self._read = self._reader(self._checks.values())
        try:
            values: Iterable[Any] = self._read()
        except _GONE:
            values = map(self.now, self._checks.values())
        return zip(self._checks.values(), values, strict=True)

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

    def numbers_changed(self, or_tensors: bool) -> dict[Entry, str]:
        """Return the places in which other numbers, or Tensors, are held now, each with what to call it."""
        changed = {x: name for x, (name, was) in self.left.items() if not alike(was, x.number())}
        for check in self._checks.values():
            for entry, was, way in self._entries(check):
                now = entry.number()
                numbers = now is not None and numbers_of(was) and not alike(was, now)
                tensors = or_tensors and is_a(was, Tensor) and entry.holds_other(was)
                if numbers or tensors:
                    changed[entry] = self.called(entry, way)
        return changed

    def _entries(self, check: Check) -> Iterator[tuple[Entry, Any, Way]]:
        """Yield the places that a comparison is about, each with what was held, and the way to it."""
        owner, was = self._names[check.owner], self._names[check.was]
        if check.entry is not None:
            yield check.entry, was, check.way
        elif check.what in ("values", "elements") and len(owner) == len(was):
            keys = owner if check.what == "values" else range(len(owner))
            for key, before in zip(keys, was, strict=True):
                yield Entry(owner, key), before, check.way.to(f"[{key!r}]")

    def has_replaced(self) -> bool:
        """Return whether another object is in the place of one, and not only another number, text or the
        like."""
        for check, now in self._held_now():
            was = self._names[check.was]
            if check.form is Form.IS and check.what == "":
                pairs = [(was, now)]
            else:
                pairs = [*zip(was, now, strict=False)] if check.what in ("elements", "values") else []
            for x, y in pairs:
                if not (x is None or y is None or y is ABSENT or is_constant(x) or alike(x, y)):
                    return True
        return False

    def was(self, check: Check) -> Any:
        """Return what was held."""
        return self._names[check.was]

    def __iter__(self) -> Iterator[Check]:
        return iter(self._checks.values())

    def _take(self, check: Check, now: Any) -> bool:
        """Return whether an object is as good as the one that was held, and hold it from now on."""
        was = self._names[check.was]
        if now is ABSENT or not _as_good(check, was, now):
            return False
        self._names[check.was] = now
        return True


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
