"""What a function reads beside the memory of Tensors: the objects that it can reach.

They are walked before the function is recorded: its closure, its defaults, the globals that its code names,
the functions that it calls, and their attributes and elements. What each of them holds is compared before
every call of the recording. What can't be compared is refused.
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Iterable, Set
from typing import Any

from ....nn.module import Module
from ....ops import elementwise
from ..refusals import UnsupportedError
from .code_names import IDENTITY, Way
from .held import Entry
from .in_words import described, told_of
from .left import leave_schedulers, reads_groups
from .modes import comparison, modes, told
from .owners import is_a, is_ours, is_python_class
from .trusted import STRICT
from .walk import Walk

VALUES_ALONE = (
    "a step of Values is compiled alone, not with Tensors or NumPy's functions; use the Values' own functions"
)


class World:
    """The objects that a function can reach, as they are now.

    fn: a function, a method, a Module or another object that is called. arguments: (name, object) for those
    arguments that are objects. loose: the places whose numbers are left to the caller.

    refusal: why it can't be compiled, where it reaches an object that can't be compared; "" where it can.
    line: of what has changed, the line that names it, after `difference`; numbers: where that is a number of
    an optimizer's group, all that are others. code: that of the function. tensors and arrays: how each is
    reached. values: whether a Value is. left: the places whose numbers are left to the caller, with what to
    call them, and what was held; set_anew: those whose Tensors are, with what to call them. schedulers: those
    of which a step may be repeated. reaches(x): whether an object was among them.
    reads_arrays: whether code may read the array of a Tensor, and not for an operation that it calls.
    asks_for_types: whether code names `type`, or what else no stand-in for a number passes as one before;
    asks_for_classes: whether it may ask that of a Tensor.
    """

    def __init__(
        self, fn: Any, arguments: Iterable[tuple[str, Any]] = (), loose: Set[Entry] = frozenset()
    ) -> None:
        walk = Walk(loose)
        self.code, self.refusal, self.line = code_of(fn), "", ""
        self.numbers: set[str] = set()
        self._watched, self._modes = walk.watched, modes()
        for x, way in _roots(fn, self.code):
            walk.reach(x, way)
        for name, x in arguments:
            walk.reach(x, Way("{}", name, self.code))
        try:
            walk.go()
        except UnsupportedError as error:
            self.refusal = str(error)
            walk.go_past_refusals()
        self.schedulers = [] if self.refusal else leave_schedulers(walk)
        held = walk.contents
        self.tensors, self.arrays = held.tensors, held.arrays
        self.left, self.set_anew = walk.watched.left, walk.watched.tensors
        self.modules, self.optimizers, self.generators = walk.modules, walk.optimizers, walk.generators
        self.values, self.asks_for_types = walk.values, any(map(walk.names, STRICT))
        self._reads_groups, self._compares_identity = reads_groups(walk), walk.names(IDENTITY)
        self._groups = [group for optimizer in walk.optimizers for group in optimizer._param_groups]
        self.asks_for_classes = any(map(walk.names, ("type", "__class__")))
        self.reaches = walk.has_reached
        self.reads_arrays = walk.names("array") and not walk.operations
        if self.values and walk.arrays and not self.refusal:
            self.refusal = VALUES_ALONE
        asked = any(map(walk.names, STRICT - {elementwise.pow.name}))  # which Values have themselves
        if self.values and asked and not self.refusal:
            self.refusal = "it asks for the class of numbers, which Values hold; that is not compiled"

    @functools.cached_property
    def holds(self) -> Callable[[], bool]:
        """Return a function that says whether nothing has changed."""
        return self._watched.compiled(*comparison(self._modes), self._still)

    def difference(self) -> str:
        """Return, in words, what is different now; "" where nothing is."""
        self.line, self.numbers = "", set()
        if self.holds():
            return ""
        now = modes()
        if now != self._modes:
            return told(self._modes, now)
        check = self._watched.first_difference()
        if check is None:
            return ""
        self.line = check.way.line
        if self._watched.is_of_optimizer(check):
            self.numbers = {*self.numbers_changed().values()}
        return told_of(self._watched, check)

    def takes_symbol(self, entry: Entry, is_flag: bool) -> bool:
        """Return whether a stand-in may take the place of a number, or of a bool."""
        if any(entry.holder is group for group in self._groups) and not self._reads_groups:
            return True
        return not self.asks_for_types and not (is_flag and self._compares_identity)

    def numbers_changed(self, by_call: bool = False) -> dict[Entry, str]:
        """Return the places that hold other numbers now, each with what to call it; where it was the function
        itself that has changed them, or other bools or Tensors."""
        changed = self._watched.numbers_changed(by_call)
        return {x: name for x, name in changed.items() if by_call or type(x.number()) is not bool}

    def is_of_others(self) -> bool:
        """Return whether another object, such as another model, is in the place of one that was reached."""
        return self._watched.has_replaced()

    def describe(self) -> list[str]:
        """Return what the function depends on, in words."""
        return described(self._watched)

    def _still(self) -> bool:
        return modes() == self._modes and self._watched.first_difference() is None


def _roots(fn: Any, code: types.CodeType | None) -> Iterable[tuple[Any, Way]]:
    """Yield the objects that the walk begins with: the function, and what it is bound to."""
    while is_ours(type(fn)) and hasattr(fn, "__wrapped__"):  # it is compiled already
        fn = fn.__wrapped__
    first = code.co_varnames[0] if code is not None and code.co_varnames else "self"
    if is_a(fn, types.MethodType):
        yield fn.__self__, Way("{}", first, code)
        yield fn.__func__, Way("{}", getattr(fn.__func__, "__name__", "function"))
    elif is_a(fn, (type, functools.partial)) or not is_python_class(type(fn)):
        yield fn, Way("{}", getattr(fn, "__name__", type(fn).__name__))
    else:
        yield fn, Way("{}", first, code)


def code_of(fn: Any) -> types.CodeType | None:
    """Return the code that runs first when an object is called."""
    while not is_a(fn, types.FunctionType):
        if is_a(fn, types.MethodType):
            fn = fn.__func__
        elif is_a(fn, functools.partial):
            fn = fn.func
        elif is_ours(type(fn)) and hasattr(fn, "__wrapped__"):
            fn = fn.__wrapped__
        elif is_a(fn, Module):
            fn = type(fn).forward
        else:
            fn = type(fn).__call__ if callable(fn) else None
            if not is_a(fn, types.FunctionType):
                return None
    code: types.CodeType = getattr(inspect.unwrap(fn), "__code__", fn.__code__)
    return code
