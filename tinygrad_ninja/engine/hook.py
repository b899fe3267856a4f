"""The hook: how a recording, autocast and anomaly detection watch what a thread does.

Where the engine applies an operation, makes a node, reads or writes memory, draws a random number or hands a
value out, it asks whether its thread is observed:

    if observers and (observer := observing()):
        ...

Nearly always nobody observes, and the truth test of an empty dict is all that eager code pays for it.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import get_ident
from typing import TYPE_CHECKING, Any, Self, TypeVar

from .thread_state import ByThread

if TYPE_CHECKING:
    from ..ops import Operation, Precision
    from .node import Node
    from .value import Value

_O = TypeVar("_O", bound="Observer")

observers: ByThread[Observer] = ByThread()
"""The innermost observer of each thread that has one, by the thread's number."""


def observing() -> Observer | None:
    """Return the innermost observer of this thread."""
    return observers.get(get_ident())


def note_unrecorded(what: str, instead: str = "") -> None:
    """Tell who watches this thread of something that no recording has, and what to do instead."""
    if observers and (observer := observing()):
        observer.unrecorded(what, instead)


def find(kind: type[_O]) -> _O | None:
    """Return the innermost observer of this thread that is of that class."""
    observer = observing()
    while observer is not None and not isinstance(observer, kind):
        observer = observer.outer
    return observer


def arguments(precision: Precision, *args: Any) -> tuple[Any, ...]:
    """Return what a function is to compute with in the place of `args`, which autocast has it do in that
    precision."""
    observer = observing()
    return args if observer is None else observer.arguments(precision, args)


def number(x: Any) -> Any:
    """Return x, of one element, as a Python number that the engine computes with."""
    observer = observing()
    return float(x) if observer is None else observer.number(x)


def observe_alone(kind: type[_O], observer: _O | None) -> None:
    """Let `observer`, or none, be the only one of that class in this thread."""
    before = find(kind)
    if before is not None:
        before.__exit__()
    if observer is not None:
        observer.__enter__()


class Observer:
    """A context: what this thread does inside is told to the observer.

    Observers nest. A method that a subclass does not override passes on to the `outer` one, and the outermost
    does what the engine does when nobody looks.
    """

    outer: Observer | None = None

    def __enter__(self) -> Self:
        self.outer = observing()
        observers[get_ident()] = self
        return self

    def __exit__(self, *exc: object) -> None:
        inner = observing()
        if inner is not self:  # another was entered later, and stays longer
            while inner is not None and inner.outer is not self:
                inner = inner.outer
            if inner is not None:
                inner.outer = self.outer
        elif self.outer is not None:
            observers[get_ident()] = self.outer
        else:
            del observers[get_ident()]

    # -- what is computed ------------------------------------------------------------------------------------

    def arguments(self, precision: Precision | None, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return what an operation is to be applied to in the place of `args`; its entry says the precision
        that autocast computes it in, None where any will do."""
        return args if self.outer is None else self.outer.arguments(precision, args)

    def operand(self, op: Operation, x: Any) -> Any:
        """Return what a number, or a Tensor, is to be as the operand of an operation with a Tensor."""
        return x if self.outer is None else self.outer.operand(op, x)

    def computed(self, array: Any, sources: tuple[Any, ...] = ()) -> None:
        """Take notice of an array that was computed of `sources`, or filled."""
        if self.outer is not None:
            self.outer.computed(array, sources)

    def recorded(self, node: Node | Value) -> None:
        """Take notice of a new node of the record."""
        if self.outer is not None:
            self.outer.recorded(node)

    def draw(self, generator: Any, method: Callable[..., Any], args: Any, options: Any) -> Any:
        """Return what a method of a random number generator, a `Generator`, gives."""
        if self.outer is None:
            return method(generator, *args, **options)
        return self.outer.draw(generator, method, args, options)

    def unrecorded(self, what: str, instead: str = "") -> None:
        """Take notice of a change of the engine's state that no node tells of: what it is, and a way out."""
        if self.outer is not None:
            self.outer.unrecorded(what, instead)

    def repeat(self, owner: Any, call: Callable[[], None]) -> bool:
        """Return whether it has made the call, in which `owner` changes numbers of Python's alone, and makes
        it again where it repeats what it has seen."""
        return self.outer is not None and self.outer.repeat(owner, call)

    # -- what is decided by values ---------------------------------------------------------------------------

    def unknown(self, array: Any) -> bool:
        """Return whether the values may be others the next time, so that nothing else may be decided by
        them."""
        return self.outer is not None and self.outer.unknown(array)

    def check(self, array: Any, low: int, high: int, error: type[Exception], message: str) -> Any:
        """Take notice that each value must be an integer of [low, high), or else error(message) is raised.
        Return the array with the values to look at now."""
        return array if self.outer is None else self.outer.check(array, low, high, error, message)

    def read_out(self, how: str, data: Any) -> Any:
        """Take notice that what calls itself `how` copies the values of data, or of what lists hold; return
        the data to copy."""
        return data if self.outer is None else self.outer.read_out(how, data)

    def number(self, x: Any) -> Any:
        """Return x, of one element, as a Python number that the engine computes with."""
        return float(x) if self.outer is None else self.outer.number(x)

    # -- what is read and written ----------------------------------------------------------------------------

    def read(self, holder: Any, slot: str) -> Any:
        """Return what a Tensor, a Node or a Value holds in a slot: its array, its gradient, its number."""
        return getattr(holder, slot) if self.outer is None else self.outer.read(holder, slot)

    def write(self, holder: Any, slot: str, value: Any) -> None:
        """Let it hold something else there. A Tensor that is just made has nothing yet."""
        if self.outer is None:
            setattr(holder, slot, value)
        else:
            self.outer.write(holder, slot, value)

    def changed(self, array: Any) -> None:
        """Take notice that a change of the memory of an array is counted."""
        if self.outer is not None:
            self.outer.changed(array)
