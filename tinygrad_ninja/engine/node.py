"""The graph that was recorded: its nodes, and the way through them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import count
from operator import attrgetter
from traceback import FrameSummary
from typing import TYPE_CHECKING, Any
from weakref import ref

from .hook import note_unrecorded, observers, observing
from .inference import marked, refuse_saved

_READ = "what leads to a grad_fn", "look at it outside"

if TYPE_CHECKING:
    from ..ops.operation import Operation
    from .tensor import Tensor

clock = count()
"""Time, as the record counts it: every node, and every change in place, takes the next number."""


class Hooks(dict[int, Callable[["Tensor"], "Tensor | None"]]):
    """Functions that a gradient is handed to, by number and in order; and whether to keep it afterwards."""

    keep = False


class Node:
    """One recorded operation; or, where `op` is None, a leaf, in which gradients come to rest.

    edges: the nodes of the operation's inputs, None where an input requires no gradient.
    values: (output, *inputs, *parameters) as arrays; None of a leaf, and once backward has freed them.
    order: when it was made. Inputs are made before outputs, so an edge leads to a smaller number.
    hooks: what is done with the gradient on its way; None for most.
    lines: the lines of the program that led to it; there only where `detect_anomaly` watched.
    detached: there only where the Tensor of this result was detached in place.
    assigned: there only where other `.data` was assigned to that Tensor: when, and the Tensor.
    """

    __slots__ = (
        "__weakref__", "_grad", "assigned", "detached", "edges", "hooks", "lines", "op", "order", "values",
    )  # fmt: skip
    lines: list[FrameSummary]
    detached: bool
    assigned: tuple[int, ref[Tensor]]

    def __init__(
        self, op: Operation | None, edges: tuple[Node | None, ...], values: tuple[Any, ...] | None
    ) -> None:
        self.op = op
        self.edges = edges
        self.values = values
        self.order = next(clock)
        self._grad: Tensor | None = None
        self.hooks: Hooks | None = None
        if marked and op is not None and values is not None:
            refuse_saved(tuple(values[place] for place in op.kept(edges)))
        if observers and (observer := observing()):
            observer.recorded(self)

    @property
    def grad(self) -> Tensor | None:
        """Return the gradient kept, for a leaf or where `retain_grad` asked for it."""
        if observers and (observer := observing()):
            grad: Tensor | None = observer.read(self, "_grad")
            return grad
        return self._grad

    @grad.setter
    def grad(self, grad: Tensor | None) -> None:
        if observers and (observer := observing()):
            observer.write(self, "_grad", grad)
        else:
            self._grad = grad

    @property
    def metadata(self) -> dict[str, Any]:
        """Under "traceback_", the lines that led to this operation, where `detect_anomaly` watched."""
        return {"traceback_": self.lines} if hasattr(self, "lines") else {}

    def name(self) -> str:
        """Return the name that PyTorch gives to such a node, as `grad_fn` prints it."""
        note_unrecorded(*_READ)
        return "AccumulateGrad" if self.op is None else self.op.torch_name

    @property
    def next_functions(self) -> tuple[tuple[Node | None, int], ...]:
        """Return the nodes of the inputs, each with 0, as PyTorch numbers the outputs of an operation."""
        note_unrecorded(*_READ)
        return tuple((edge, 0) for edge in self.edges)

    def __repr__(self) -> str:
        return f"<{self.name()}>"


def ancestors(roots: Iterable[Any], edges: Callable[[Any], Iterable[Any]] = attrgetter("edges")) -> list[Any]:
    """Return the roots and all nodes that lead to them, the oldest first; None among them is passed over.

    edges: what leads to a node, by default its `edges`.
    """
    nodes = {root for root in roots if root is not None}
    stack = list(nodes)
    while stack:
        for edge in edges(stack.pop()):
            if edge is not None and edge not in nodes:
                nodes.add(edge)
                stack.append(edge)
    return sorted(nodes, key=attrgetter("order"))


def succeed(old: Node | None, new: Node) -> Node:
    """Return `new`, the history of a Tensor that was changed in place: a gradient that was to be kept is kept
    there from now on. The hooks stay with `old`."""
    if old is not None and old.hooks is not None and old.hooks.keep:
        old.hooks.keep = False
        new.hooks = new.hooks or Hooks()
        new.hooks.keep = True
        new.grad, old.grad = old.grad, None
    return new
