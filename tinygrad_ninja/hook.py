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
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

if TYPE_CHECKING:
    from .record import Node
    from .tensors import Tensor

_O = TypeVar("_O", bound="Observer")

observers: dict[int, Observer] = {}
"""The innermost observer of each thread that has one, by the thread's number."""


def observing() -> Observer | None:
    """Return the innermost observer of this thread."""
    return observers.get(get_ident())


def find(kind: type[_O]) -> _O | None:
    """Return the innermost observer of this thread that is of that class."""
    observer = observing()
    while observer is not None and not isinstance(observer, kind):
        observer = observer.outer
    return observer


def arguments(name: str, *args: Any) -> tuple[Any, ...]:
    """Return what the function of that name is to compute with in the place of `args`."""
    observer = observing()
    return args if observer is None else observer.arguments(name, args)


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

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        where: TracebackType | None = None,
    ) -> None:
        inner = observing()
        if inner is not self:  # one that was entered later may stay longer
            while inner is not None and inner.outer is not self:
                inner = inner.outer
            if inner is not None:
                inner.outer = self.outer
        elif self.outer is not None:
            observers[get_ident()] = self.outer
        else:
            del observers[get_ident()]

    # -- what is computed ------------------------------------------------------------------------------------

    def arguments(self, name: str, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return what the operation or function of that name is to be applied to in the place of `args`."""
        return args if self.outer is None else self.outer.arguments(name, args)

    def recorded(self, node: Any) -> None:
        """Take notice of a new node of the record, a Node or a Value."""
        if self.outer is not None:
            self.outer.recorded(node)

    def draw(self, generator: Any, method: Callable[..., Any], args: Any, options: Any) -> Any:
        """Return what a method of a random number generator gives."""
        if self.outer is None:
            return method(generator, *args, **options)
        return self.outer.draw(generator, method, args, options)

    # -- what is read and written ----------------------------------------------------------------------------

    def read_array(self, tensor: Tensor) -> Any:
        """Return the array that a Tensor holds."""
        return tensor._array if self.outer is None else self.outer.read_array(tensor)

    def write_array(self, tensor: Tensor, array: Any) -> None:
        """Let a Tensor, which may have none yet, hold this array."""
        if self.outer is None:
            tensor._array = array
        else:
            self.outer.write_array(tensor, array)

    def read_grad(self, node: Node) -> Tensor | None:
        """Return the gradient that a node keeps."""
        return node._grad if self.outer is None else self.outer.read_grad(node)

    def write_grad(self, node: Node, grad: Tensor | None) -> None:
        """Let a node keep this gradient."""
        if self.outer is None:
            node._grad = grad
        else:
            self.outer.write_grad(node, grad)
