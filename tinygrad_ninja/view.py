"""Tensors that share another's memory: what a view knows of its base, and what `.data` does not tell."""

from __future__ import annotations

from typing import Any

from .kinds import kind_of
from .ops import apply, indexing
from .record import Node
from .tensors import Tensor

_new = object.__new__


class Data(Tensor):
    """What `.data` gives: the memory of another Tensor, which is not told of changes made through this
    one."""

    __slots__ = ()
    __class__ = Tensor  # type: ignore[assignment]  # to the user it is a Tensor

    @property
    def _version(self) -> int:
        return 0

    def _note_change(self) -> None:
        """Nobody is told."""


def _data(self: Tensor) -> Tensor:
    """The same memory without the history; a change in place through it goes behind backward's back."""
    out = _new(Data)
    out.array = self.array
    out.edge = None
    return out


def _set_data(self: Tensor, value: Tensor) -> None:
    if type(value) is not Data and not isinstance(value, Tensor):  # the first is told at once
        raise TypeError(f"data must be a Tensor, not {type(value).__name__}")
    self.array = value.array


Tensor.data = property(_data, _set_data)


class View(Tensor):
    """A Tensor that shows another's memory, `base`, through the operation and the parameters `how`.

    Its history is that of its base: a recorded change of either, in place, is a change of both.
    `one_of_several` are those that one call made (split, unbind): PyTorch does not let their change be
    recorded.
    """

    __slots__ = ("_edge", "_seen", "base", "how", "one_of_several")
    __class__ = Tensor  # type: ignore[assignment]  # to the user it is a Tensor

    def __init__(self, tensor: Tensor, base: Tensor, op: Any, parameters: tuple[Any, ...]) -> None:
        self.array = tensor.array
        self.base = base
        self.how = (op, parameters)
        self.one_of_several = False
        self._seen = base.edge
        self._edge = tensor.edge

    @property
    def edge(self) -> Node | None:
        source = self.base.edge
        if source is not self._seen:  # the base was changed, or told to require a gradient, since
            self._seen = source
            if source is not None and self._shares_memory():
                op, parameters = self.how
                self._edge = Node(op, (source,), (self.array, self.base.array, *parameters))
        return self._edge

    @edge.setter
    def edge(self, value: Node | None) -> None:
        self._edge = value

    def _shares_memory(self) -> bool:
        storage = kind_of(self.array).storage
        return storage(self.array) is storage(self.base.array)

    def _root(self) -> tuple[Tensor, tuple[Any, ...]]:
        """The Tensor that this is a view of a view … of, and the chain of operations that leads here from
        it."""
        base = self.base
        chain: tuple[Any, ...] = (self.how,)
        while isinstance(base, View) and base._shares_memory():
            base, chain = base.base, (base.how, *chain)
        return base, chain

    def _note_change(self) -> None:
        if self._shares_memory():
            self._root()[0]._note_change()
        else:
            super()._note_change()

    def _refuse_change(self) -> None:
        super()._refuse_change()
        if self.one_of_several and self.edge is not None:
            raise RuntimeError(
                "this view is one of several that a function returned, which may not be modified inplace; "
                "take it by an index instead"
            )
        if self._shares_memory():
            self._root()[0]._refuse_change()

    def _rebase(self, edge: Node) -> None:
        if self._shares_memory():
            base, chain = self._root()
            base.edge = Node(
                indexing.put_view, (base.edge, edge), (base.array, base.array, self.array, chain)
            )
        self._seen = self.base.edge
        self._edge = edge


apply.attach(Tensor, View)
