"""Which attributes the code that is reached may read, as it becomes known."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from types import ModuleType
from typing import Any

from .code_names import Way, words
from .owners import is_a, is_module_ours
from .trusted import CREATED, CREATING, DYNAMIC, NUMBERS

_NOT_READ = words("""
    __dict__ __weakref__ __doc__ __module__ __name__ __qualname__ __annotations__ __annotate__
    __annotate_func__ __annotations_cache__ __abstractmethods__ __static_attributes__
    __firstlineno__ __classdictcell__ __orig_bases__ __parameters__ __dataclass_fields__ __dataclass_params__
    __match_args__ __cause__ __context__ __traceback__ __type_params__ _abc_impl __builtins__ __loader__
    __spec__ __file__ __cached__ __path__ __package__ __defaults__ __kwdefaults__ __slotnames__
""")
"""Attributes of classes, modules and functions that say nothing about what they compute; the defaults of a
function that has parameters for them are watched as its code is."""
_READ_BY_NAME = words("""
    __match_args__ __doc__ __module__ __name__ __qualname__ __defaults__ __kwdefaults__
    __dataclass_fields__ __cause__ __context__ __traceback__
""")
"""Those among them that count where code that is walked itself names them."""
_CALLED = words("keys values items get close pop append")
"""Methods that Python's own functions call by name."""


class NamedAttributes:
    """The names in the code that is walked. An attribute that none of it names is kept until some does.

    read: is called with what holds an attribute, its name and how its object is reached, where code may read
    it.
    """

    def __init__(self, read: Callable[[Any, str, Way], None]) -> None:
        self._read = read
        self.words: set[str] = {*_CALLED}
        self._plain: set[str] = set()  # those among them that do not only name methods that are called
        self.followed: set[str] = set()  # those in code that is walked itself
        self.dynamic = False  # whether code reads attributes that it does not name
        self._creates = False  # whether it makes objects of any class
        # The attributes that no code names, by their names; of a class, by its id, what makes its objects.
        self._unnamed: dict[str | int, list[tuple[Any, str, Way]]] = {}
        self._creatable: dict[int, type] = {}

    def learn(
        self,
        words: Iterable[str],
        called: Iterable[str] = (),
        spelled: Iterable[str] = (),
        followed: bool = True,
    ) -> None:
        """Take notice that code uses these names. called: those of methods that it only calls; spelled: those
        of functions that it gives the names of attributes as they stand; followed: it is code that is
        walked."""
        read = frozenset(words)
        if "fields" in read:  # of dataclasses
            read |= {"__dataclass_fields__"}
        names: set[str | int] = {*read - self.words, *read.difference(called, self._plain)}
        if followed:
            names |= _READ_BY_NAME & read - self.followed
            self.followed |= read
        self.words |= read
        self._plain |= read.difference(called)
        if followed and not self.dynamic and not DYNAMIC.isdisjoint(read.difference(spelled)):
            self.dynamic = True
            names.update(name for name in self._unnamed if isinstance(name, str))
        if followed and not self._creates and not read.isdisjoint(CREATING):
            self._creates = True
            names.update(name for name in self._unnamed if isinstance(name, int))
        for name in names:
            self._name(name)

    def may_create(self, kind: type) -> None:
        """Take notice that code may make an object of a class."""
        for base in kind.__mro__:
            self._creatable[id(base)] = base
            self._name(id(base))

    def _name(self, name: str | int) -> None:
        """Watch the attributes of that name; of a class, of which the id is given, what makes objects."""
        for held, attribute, way in self._unnamed.pop(name, ()):
            if isinstance(name, int) or self._may_be_read(held, attribute):
                self._read(held, attribute, way)
            else:
                self._unnamed.setdefault(name, []).append((held, attribute, way))

    def is_named(self, name: Any) -> bool:
        """Return whether code that is reached may read an attribute of that name."""
        if not isinstance(name, str):
            return True
        special = name.startswith("__") and name.endswith("__")
        if name in _NOT_READ:
            return name in _READ_BY_NAME and name in self.followed
        return special or self.dynamic or name in self.words

    def named(self, names: Iterable[Any]) -> Collection[Any]:
        """Return those names of attributes that code may read: in a list where it may iterate over them, so
        that their order counts, else in a set."""
        read = filter(self.is_named, names)
        return [*read] if self.dynamic else {*read}

    def _may_be_read(self, held: Any, name: Any) -> bool:
        """Return whether code that is reached may read this attribute. A number is no method to call. Of this
        package, other modules and what is private are read where they are named alone."""
        if name not in self.words and is_module_ours(str(held.get("__name__"))) and "__spec__" in held:
            return self.dynamic and not (name.startswith("_") or is_a(held[name], ModuleType))
        only_called = not self.dynamic and name in self.words and name not in self._plain
        return self.is_named(name) and not (only_called and type(held[name]) in NUMBERS)

    def offer(
        self, x: Any, held: Any, way: Way, every: bool = False, among: Iterable[str] | None = None
    ) -> None:
        """Read those attributes of x that code names, now or later. every: whether it names them or not;
        among: which of them alone."""
        for name in [*(held if among is None else sorted(among))]:
            awaited: str | int = name
            if name in CREATED and is_a(x, type):
                awaited, named = id(x), self._creates or id(x) in self._creatable
            else:
                named = every or self._may_be_read(held, name)
            if named:
                self._read(held, name, way)
            elif name not in _NOT_READ - _READ_BY_NAME:
                self._unnamed.setdefault(awaited, []).append((held, name, way))
