"""Tensors that share another's memory: what a view knows of its base, and what `.data` does not tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import ref

from numpy import ndarray

from ..arrays.dispatch import namespace_of
from ..ops import indexing
from .grad_mode import enable_grad, is_grad_enabled
from .node import Node, clock, succeed
from .tensor import Tensor
from .versions import note_writes

_new = object.__new__


class Data(Tensor):
    """The memory of another Tensor, as `.data` gives it: a change through this one counts as none of that
    one's."""

    __slots__ = ()

    @property
    def _version(self) -> int:
        return 0

    def _note_change(self) -> None:
        """Leave the change unnoted."""

    def detach(self) -> Tensor:
        """Return the same memory and shape, of which no change counts either."""
        return _data(self)


def _data(self: Tensor) -> Tensor:
    """Return the same memory and shape without the history; backward notices no change through it."""
    out = _new(Data)
    out.array = self.array
    out.edge = None
    return out


def _set_data(self: Tensor, value: Tensor) -> None:
    if type(value) is not Data and not isinstance(value, Tensor):  # the common case first
        raise TypeError(f"data must be a Tensor, not {type(value).__name__}")
    array = value.array
    if array is self.array:  # `p.data += …` has changed it already
        return
    if self.edge is not None and not value.dtype.is_floating_point:
        raise RuntimeError("data set to a tensor that requires gradients must be of a floating point dtype")
    self.array = array
    note_assigned(self)


def note_assigned(self: Tensor) -> None:
    """Remember that other memory was assigned to a Tensor: where an operation kept it before, backward takes
    what it is now."""
    if self.edge is not None:
        self.edge.assigned = next(clock), ref(self)
        note_writes(())  # backward looks closer at what is older


Tensor.data = property(_data, _set_data)


class View(Tensor):
    """A Tensor that shows the memory of another, `base`, through the operation and the parameters `how`.

    `root` is the Tensor at the beginning of a chain of views. The history of a View is that of its root: a
    recorded change of either, in place, is a change of both, and the View is from then on a view of what its
    root has become. `one_of_several` are those that one call made (split, unbind), and the views of them:
    PyTorch does not let their change be recorded.
    """

    __slots__ = ("_edge", "_seen", "base", "how", "of_array", "one_of_several", "root")
    base: Tensor
    root: Tensor
    how: tuple[Any, tuple[Any, ...]]
    of_array: Any  # the base's, when this was made of it
    one_of_several: bool
    _edge: Node | None
    _seen: Node | None

    @classmethod
    def of(cls, out: Tensor, operation: Any, base: Tensor, parameters: tuple[Any, ...]) -> Tensor:
        """Return `out`, which the operation made of `base`, as a View; as it is, where nothing is recorded or
        the memory did not allow a view."""
        if not is_grad_enabled():
            return out if base.edge is None else out.requires_grad_()
        if not _share_memory(out.array, base.array):
            return out
        view = _new(cls)
        view.array, view.base, view.how = out._array, base, (operation, parameters)
        view.of_array = base.array
        several = type(base) is cls
        view.root = base.root if several else base
        view.one_of_several = several and base.one_of_several
        view._seen, view._edge = view.root.edge, out.edge
        return view

    @property
    def edge(self) -> Node | None:
        source = self.root.edge
        if source is not self._seen:  # since then the root was changed, or began to require a gradient
            if source is not None and self._shares_memory():
                if self.one_of_several and source.op is not None:
                    raise self._several()
                self._edge = succeed(self._edge, self._shown())
            self._seen = source
        return self._edge

    @edge.setter
    def edge(self, value: Node | None) -> None:
        self._edge = value

    def _chain(self) -> list[View]:
        """Return the views that lead here from the root, the one next to the root first."""
        views = [self]
        while views[-1].base is not self.root:
            views.append(views[-1].base)  # type: ignore[arg-type]  # between a root and a view are views
        for view in views:
            if _layout(view.base.array) != _layout(view.of_array):
                raise RuntimeError(
                    "the base of this view has become a view of itself since, as by t_(), and one of the two "
                    "was changed inplace: take the view anew before"
                )
        return views[::-1]

    def _shown(self) -> Node:
        """Return the history of what this shows of the root as it is now."""
        edge = self.root.edge
        for view in self._chain():
            operation, parameters = view.how
            edge = Node(operation, (edge,), (view.array, view.base.array, *parameters))
        return edge  # type: ignore[return-value]  # of a chain of one view or more

    def _shares_memory(self) -> bool:
        return _share_memory(self.array, self.root.array)

    def _several(self) -> RuntimeError:
        return RuntimeError(
            "this view is one of several that a function returned: neither it nor its base may be modified "
            "inplace; take it by an index instead"
        )

    def detach_(self) -> Tensor:
        """RuntimeError: the history of a view is that of its base."""
        raise RuntimeError("Can't detach views in-place. Use detach() instead.")

    def _note_change(self) -> None:
        if self._shares_memory():
            self.root._note_change()
        else:
            super()._note_change()

    def _refuse_change(self) -> None:
        super()._refuse_change()
        if self._shares_memory():
            self.root._refuse_change()

    def _history_before(self) -> Node | None:
        if self.root.edge is None or not self._shares_memory():
            return self.edge
        return self._shown()  # past the hooks of the views, which a change does not call

    def _refuse_history(self) -> None:
        if self.one_of_several:
            raise self._several()

    def _rebase(self, edge: Node) -> None:
        if self._shares_memory():
            chain = tuple(view.how for view in self._chain())
            root = self.root
            root._rebase(
                Node(indexing.put_view, (root.edge, edge), (root.array, root.array, self.array, chain))
            )
        else:
            super()._rebase(edge)
            self._seen = self.root.edge


def _share_memory(view: Any, base: Any) -> bool:
    if type(base) is ndarray and base.flags.c_contiguous:
        return type(view) is ndarray and (view.base is base or view.base is base.base)
    if isinstance(view, float):
        return False
    storage = namespace_of(view).storage
    return storage(view) is storage(base)


def _layout(array: Any) -> tuple[Any, Any]:
    return array.shape, array.strides if isinstance(array, ndarray) else array.stride()


def become_view(self: Tensor, view_of: Callable[[Tensor], Tensor]) -> Tensor:
    """Let this Tensor itself become the view of it that `view_of` returns, as `t_()` does, and return it.

    RuntimeError for a leaf that requires a gradient, where operations are recorded.
    """
    if is_grad_enabled():
        self._refuse_change()
    before = self
    if isinstance(self, View):  # then it is a view of what it was
        before = _new(View)
        for name in ("_array", *View.__slots__):
            setattr(before, name, getattr(self, name))
    with enable_grad():
        out = view_of(before)
    if isinstance(self, View) and isinstance(out, View):
        self.base, self.how, self.of_array, self._seen = before, out.how, out.of_array, out._seen
    if self.edge is not None and self.edge.op is not None:
        self._set_history(succeed(self.edge, out.edge))  # type: ignore[arg-type]  # which was recorded
    self.array = out.array
    self._note_change()
    return self
