"""The walk over the objects that a function can reach: what of each is compared, and what it leads to."""

from __future__ import annotations

import abc
import functools
import types
from collections import Counter, deque
from collections.abc import Callable, Set
from contextlib import suppress
from decimal import Decimal
from operator import attrgetter, methodcaller
from typing import Any

import numpy as np

from ....engine.callers import is_file_of_python
from ....engine.tensor import Tensor
from ....engine.value import Value
from ....engine.view import View
from ....nn.module import Module
from ....nn.tree import KINDS, Parameter
from ....ops import Operation
from ....optim.lr_scheduler import LRScheduler
from ....optim.optimizer import Optimizer
from ....rng.generator import Generator
from ..refusals import UnsupportedError
from .code_names import CodeNames, Way, names_of
from .contents import MOST, Contents, refuse
from .held import Entry
from .named import NamedAttributes
from .owners import a, is_a, is_library, is_ours, is_python_class
from .parts import (
    CONTAINERS,
    DESCRIPTORS,
    PARTS,
    REPLACEABLE,
    Members,
    attributes_of,
    decimal_context,
    fields_of,
    is_native_function,
    is_protocol,
    list_or_dict,
    methods,
    owner_of,
    parts_of_constant,
    put_into,
    reads_its_attributes,
    slots,
    texts_of,
    words_of,
    wraps_another,
)  # fmt: skip
from .reading import Reading
from .refused import METHODS, REFUSED_NAMES, reason_against
from .trusted import (
    MEMORY,
    READING,
    STRICT,
    WRITING,
    is_constant,
    is_dynamic,
    is_for_arrays,
    is_pure,
    strict_names,
)
from .watched import ABSENT, Form, Watched, filled, filled_slot

_NAMES = ("__name__", "__qualname__", "__doc__", "__module__")


class Walk:
    """A walk from the objects that are given to `reach`, when `go` is called.

    Raises UnsupportedError, which says how it is reached, for an object that can't be compared. watched: what
    is to be compared; contents: of it, what is held; the others: what was found, as `World` has it.
    """

    def __init__(self, loose: Set[Entry]) -> None:
        self.watched = Watched(loose)
        self.contents = Contents(self.watched, self.reach)
        self._reading = Reading(self.watched, self.reach)
        self.optimizers: list[Optimizer] = []
        self.generators: list[Generator] = []
        self.schedulers: list[LRScheduler] = []
        self.modules: list[Module] = []
        self.values = self.arrays = self.operations = False
        self._array_way: Way | None = None
        kinds: tuple[type, ...] = (View, Parameter, Tensor)  # which no code names that uses a Tensor
        self._put_into = {*kinds}
        self._put = {name: kind for kind in kinds for name in put_into(kind)}
        self._put_called_by_python = {name for name in self._put if name.startswith("__")}
        self._named = NamedAttributes(self._attribute)
        self._seen: dict[int, Any] = {}  # holds the objects, so that no id is reused
        self.reached = Counter[int]()  # how often each list and dict was, by its id
        self._waiting: deque[tuple[Any, Way]] = deque()
        self._methods: list[tuple[frozenset[str], tuple[str, str], Way]] = []

    def names(self, word: str) -> bool:
        """Return whether the code that was walked names this."""
        return word in self._named.followed

    @property
    def reads_unnamed(self) -> bool:
        """Return whether the code that was walked reads attributes that it does not name."""
        return self._named.dynamic

    def has_reached(self, x: Any) -> bool:
        """Return whether an object was reached."""
        return self._seen.get(id(x)) is x

    def go_past_refusals(self) -> None:
        """Walk on after one was raised, for what else there is; nothing of it can be compared."""
        while self._waiting and len(self.watched) <= MOST:
            with suppress(UnsupportedError):
                self._follow(*self._waiting.popleft())

    def go(self) -> None:
        """Walk on to everything that is reached."""
        while self._waiting:
            self._follow(*self._waiting.popleft())
        for names, reason, way in self._methods:
            for name in sorted(names & self._named.words):
                refuse(way.to(f".{name}"), *reason)
        if self._array_way is not None and not self._named.followed.isdisjoint(WRITING):
            self._hidden(np.get_printoptions, self._array_way, "NumPy's way of writing numbers")

    def reach(self, x: Any, way: Way, read_as: str = "") -> None:
        """Walk to an object later, where there is anything to compare. read_as: the name by which code reads
        it, if any."""
        self.arrays |= is_for_arrays(x)
        if is_constant(x):
            self._note_methods(x, way)
            if is_a(x, (attrgetter, methodcaller)):
                self._named.learn({word for text in texts_of(x) for word in text.split(".")})
            for part in parts_of_constant(x):
                self.reach(part, way)
            if is_a(x, Decimal):
                self._hidden(decimal_context, way, "the context of decimal")
            return
        if is_a(x, type):
            self._named.may_create(x)
            self._reached_class(x, way)
        self._named.learn(strict_names(x))
        if is_dynamic(x) and x.__name__ != read_as:
            self._named.learn({x.__name__})
        self.reached.update(map(id, list_or_dict(x)))
        if id(x) not in self._seen:
            self._waiting.append((x, way))

    def _reached_class(self, x: type, way: Way) -> None:
        """Take notice of a class that code may ask isinstance of."""
        if is_protocol(x):
            refuse(way, "is a protocol, which looks at every attribute", "ask for a class or for attributes")
        if is_a(x, abc.ABCMeta):
            self._hidden(abc.get_cache_token, way, "what is registered with abstract classes")
        if issubclass(x, Decimal):
            self._hidden(decimal_context, way, "the context of decimal")

    def _hidden(self, read: Callable[[], Any], way: Way, what: str) -> None:
        """Compare what a function gives, on which others depend."""
        self.watched.add(Form.EQUAL, read, "{}()", read(), way.named(what), "state")

    def _follow(self, x: Any, way: Way) -> None:
        """Watch an object, and reach for what it leads to."""
        if id(x) in self._seen:
            return
        self._seen[id(x)] = x
        if is_a(x, (Tensor, *MEMORY, np.ndarray)):
            self._memory(x, way)
        elif is_ours(type(x)) and "__wrapped__" in (attributes_of(x) or ()):  # a compiled function
            self.reach(x.__wrapped__, way)
        elif is_a(x, types.ModuleType):
            if is_library(x):
                self._named.offer(x, vars(x), way)
            else:
                self._attributes(x, vars(x), way)
        elif is_a(x, type):
            self._class(x, way)
        elif is_a(x, types.FunctionType):
            self._function(x, way)
        elif is_a(x, Operation):
            self._operation(x, way)
        elif type(x) in PARTS:
            self._parts(x, way)
        elif owner_of(x) is not None:
            self.reach(owner_of(x), way)
        elif not is_a(x, DESCRIPTORS) and not (is_native_function(x) and is_pure(x)):
            self._object(x, way)
        if len(self.watched) > MOST:
            self.contents.refuse_many()

    def _memory(self, x: Any, way: Way) -> None:
        """Watch of what holds numbers all but these."""
        if is_a(x, Tensor):
            self.contents.tensor(x, way)
            if not is_ours(type(x)):
                self._instance(x, way)
        elif is_a(x, np.ndarray):
            self.contents.array(x, way)
            self._array_way = way
            if type(x) is not np.ndarray:  # a masked one has a mask, say
                self._instance(x, way)
        elif is_a(x, Generator):
            self.generators.append(x)
        else:
            self._value(x, way)

    def _value(self, x: Value, way: Way) -> None:
        """Watch of a Value what is no number."""
        self.values = True
        self._named.offer(x, Members(x, {"label": x.label}), way)
        if type(x) is not Value:
            self.watched.add(Form.IS, x, "type({})", type(x), way, "class")
            self._waiting.append((type(x), way))

    def _operation(self, x: Operation, way: Way) -> None:
        """Reach for the functions of an operation of the reader's own."""
        self.operations = True
        for function in (x.function, *x.sources.values()):
            if not is_ours(function):
                self.reach(function, way)

    def _parts(self, x: Any, way: Way) -> None:
        """Reach for the parts of a method, a partial, a property and their like."""
        for name in PARTS[type(x)]:
            if type(x) in REPLACEABLE:
                self.watched.add(Form.IS, x, f"{{}}.{name}", getattr(x, name), way)
            self.reach(getattr(x, name), way.to(f".{name}") if type(x) is slice else way)
        if is_a(x, functools.partial):
            self._attributes(x, vars(x), way)

    def _object(self, x: Any, way: Way) -> None:
        if (reason := reason_against(x)) is not None:
            refuse(way, *reason)
        kind = type(x)
        if kind not in CONTAINERS:
            if not is_python_class(kind):
                refuse(way, f"is {a(kind)}, which can't be compared", "give what it gives as an argument")
            self._instance(x, way)
        if is_a(x, CONTAINERS):
            own = [base for base in kind.__mro__ if not is_pure(base)]
            for name in sorted(READING):
                if any(name in vars(base) for base in own):
                    refuse(way, f"is {a(kind)} with its own {name}", "give what it holds as an argument")
            self.contents.container(x, way)

    def _function(self, x: types.FunctionType, way: Way) -> None:
        known = is_ours(x) or is_pure(x)
        if known and not wraps_another(x):
            return
        if not known and (reason := reason_against(x)) is not None:
            refuse(way, *reason)
        code, names = x.__code__, names_of(x)
        of_python = way.code is not None and is_file_of_python(code.co_filename)
        way_to = functools.partial(Way, code=code, through=(way.through or way) if of_python else None)
        for name in sorted(() if known else REFUSED_NAMES.keys() & names.words):
            refuse(way_to("{}", name), *REFUSED_NAMES[name])
        for name, cell in zip(code.co_freevars, x.__closure__ or (), strict=True):
            here = way if known else way_to(f"`{x.__name__}`'s closure variable {{}}", name)
            value = filled(cell)
            if known and (is_constant(value) or is_protocol(value)):
                continue
            if self.watched.cell(cell, here):
                self._reading.value(value, names.read.get(name, {()}), here)
        if not known:
            self.watched.add(Form.IS, x, "{}.__code__", code, way, "code")
            self._defaults(x, way, way_to)
            self._attributes(x, x.__dict__, way)
            self._words(x, names, way_to)

    def _defaults(self, x: types.FunctionType, way: Way, way_to: Callable[..., Way]) -> None:
        """Watch the defaults of a function's parameters. way_to: the way to what its code names."""
        code, label = x.__code__, f"`{x.__name__}`'s default {{}}"
        used = {"__defaults__": code.co_argcount, "__kwdefaults__": code.co_kwonlyargcount}
        for name in filter(used.get, used):
            self.watched.add(Form.IS, x, f"{{}}.{name}", getattr(x, name), way, "defaults")
        unused = [name for name, parameters in used.items() if not parameters]
        self._named.offer(x, Members(x, {name: getattr(x, name) for name in (*_NAMES, *unused)}), way)
        defaults = zip(code.co_varnames[: code.co_argcount][::-1], (x.__defaults__ or ())[::-1], strict=False)
        for name, value in (*defaults, *(x.__kwdefaults__ or {}).items()):
            self.reach(value, way_to(label, name))
        for name in x.__kwdefaults__ or ():
            self.watched.item(x.__kwdefaults__, name, way_to(label, name))

    def _words(self, x: types.FunctionType, names: CodeNames, way_to: Callable[..., Way]) -> None:
        """Watch what a function's code names: attributes, globals and modules that it imports."""
        self._named.learn(names.words, names.called, names.spelled)
        for name in sorted((self._put.keys() & names.words) | self._put_called_by_python):
            kind = self._put[name]
            here = way_to(f"`{kind.__name__}`'s attribute {{}}", name)
            self.watched.item(vars(kind), name, here)
            self.reach(vars(kind)[name], here)
        for name in sorted(filter(str.isidentifier, names.globals)):  # others are of tools that rewrite code
            self._reading.global_of(x, name, names.read[name], way_to("the global {}", name))
        for name, chains in names.imports.items():
            self._reading.imported(name, chains, way_to("the import {}", name))

    def _class(self, x: type, way: Way) -> None:
        self._note_methods(x, way)
        if is_ours(x):
            self._own_class(x, way)
        if is_ours(x) or is_pure(x):
            return
        if (reason := reason_against(x)) is not None:
            refuse(way, *reason)
        if not is_python_class(x):
            refuse(way, f"is a class of {x.__module__}, which can't be followed", "use it outside")
        self._named.learn(STRICT & vars(x).keys())
        self.watched.add(Form.IS, x, "{}.__mro__", x.__mro__, way, "bases")
        for base in (*x.__mro__[1:], type(x)):
            self._waiting.append((base, way))
            if is_ours(base) or is_pure(base):
                self._named.learn(words_of(base), followed=False)
        self._named.offer(x, Members(x, {"__name__": x.__name__, "__qualname__": x.__qualname__}), way)
        self._attributes(x, vars(x), way)

    def _own_class(self, x: type, way: Way) -> None:
        """Watch what was put into a class of this package, and what may be replaced: a model's forward, and
        the methods of an optimizer."""
        for base in filter(is_ours, x.__mro__):
            if base not in self._put_into:
                self._put_into.add(base)
                self._named.offer(base, vars(base), way, among=put_into(base))
        if issubclass(x, Module) and x.forward is not Module.forward:
            self._attribute(methods(x), "forward", way)  # which no code names
        elif issubclass(x, (Optimizer, LRScheduler)):
            self._named.offer(x, methods(x), way)

    def _instance(self, x: Any, way: Way) -> None:
        """Watch the class and the attributes of an object."""
        kind = type(x)
        self.watched.add(Form.IS, x, "type({})", kind, way, "class")
        self._waiting.append((kind, way))
        if is_a(x, Optimizer):
            self.optimizers.append(x)
            self.contents.leave_rates(x, way)
        elif is_a(x, LRScheduler) and is_ours(kind):
            self.schedulers.append(x)
        held = attributes_of(x)
        if held is not None:
            if "__getattribute__" not in {name for base in kind.__mro__[:-1] for name in vars(base)}:
                self.watched.add(Form.IS, x, "{}.__dict__", held, way, "attributes")
            every = is_ours(kind) or is_pure(kind)
            every = every or any(map(reads_its_attributes, filter(is_pure, kind.__mro__)))
            if is_a(x, Module):
                self._module(x, held, way)
            self._attributes(x, held, way, every)
        for name, slot in slots(kind):
            here = way.to(f".{name}")
            read = self.watched.bind(slot.__get__)
            value = filled_slot(slot.__get__, x)
            self.watched.add(Form.IS, x, f"filled_slot({read}, {{}})", value, here)
            if value is not ABSENT:
                self.reach(value, here)
        if is_a(x, BaseException):
            fields = fields_of(x)
            written = {name for name in fields if not name.startswith("__")}  # by str, which names none
            self._named.offer(x, fields, way, every=True, among=written)
            self._named.offer(x, fields, way, among=fields.keys() - written)

    def _module(self, x: Module, held: dict[str, Any], way: Way) -> None:
        """Watch the parts of a Module under the names by which its code reads them."""
        self.modules.append(x)
        calls = held.get("_calls")  # which pictures alone ask for
        self._seen[id(calls)] = calls
        for kind in KINDS if KINDS[0] in held else ():
            parts = held[kind]
            self.watched.item(held, kind, way)
            self._seen[id(parts)] = parts
            self.watched.keys(parts, way, what="parts")
            for name, part in parts.items():
                here = way.to(f"[{name}]" if name.isdigit() else f".{name}")
                if self.watched.item(parts, name, here):
                    self.reach(part, here)

    def _attributes(self, x: Any, held: Any, way: Way, every: bool = False) -> None:
        """Watch which attributes an object has, and those that code names; every: whether it does or not."""
        self.watched.keys(held, way, set if every else self._named.named)
        self._named.offer(x, held, way, every)

    def _attribute(self, held: Any, name: str, way: Way) -> None:
        here = way if name in KINDS else way.to(f".{name}")
        if is_a(held, Members):
            self.watched.add(Form.IS, held.owner, f"{{}}.{name}", held[name], here)
        elif not self.watched.item(held, name, here):
            return
        self.reach(held[name], here)

    def _note_methods(self, x: Any, way: Way) -> None:
        for kind, (names, reason) in METHODS.items():
            if is_a(x, kind) or (is_a(x, type) and issubclass(x, kind)):
                self._methods.append((names, reason, way))
