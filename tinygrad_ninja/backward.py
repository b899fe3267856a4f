"""Backward: gradients sent back through the graph, from the youngest node to the leaves."""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heapify, heappop, heappush
from typing import Any

import numpy as np

from . import versions
from .anomaly import check_gradient, is_anomaly_check_nan_enabled
from .change import refuse_repeated
from .grad_mode import enable_grad, set_grad_enabled
from .kinds import kind_of
from .node import Node, ancestors
from .ops.shape import clone
from .ops.table import parts
from .tensors import Tensor, wrap


def run_backward(
    starts: dict[Node, Any],
    *,
    retain_graph: bool,
    recorded: bool = False,
    wanted: set[Node] | None = None,
    through: bool = False,
) -> dict[Node, Any]:
    """Send gradients back through the graph: `starts` says from which nodes, and what each has received.

    The gradients are arrays; or Tensors, and `recorded` is true, when the pass itself is to be
    differentiated: the rules are the same. They are added to the leaves; where `wanted` is given they are
    returned for those nodes instead, and no leaf is touched. The pass ends at a wanted node below which there
    is no other, and leaves it as it is; where `through` is true it frees that, too. Raises RuntimeError where
    a graph was already freed or a value it needs was changed in place.
    """
    if recorded:
        with enable_grad():
            return _run(starts, retain_graph, recorded, wanted, through)
    return _run(starts, retain_graph, recorded, wanted, through)  # the rules work on arrays: no record


def _run(
    starts: dict[Node, Any], retain_graph: bool, recorded: bool, wanted: set[Node] | None, through: bool
) -> dict[Node, Any]:
    received = dict(starts)  # what has arrived at each node that was not visited yet
    own: set[Node] = set()  # the nodes for which it is a sum, in memory that is nobody else's
    heap = [(-node.order, node) for node in starts]
    heapify(heap)
    leading = None if wanted is None else _leading_to(starts, wanted)
    checked = is_anomaly_check_nan_enabled()
    result: dict[Node, Any] = {}
    while heap:
        # 1. Take the youngest node. An edge leads to an older one, so all that it receives has arrived.
        node = heappop(heap)[1]
        grad = received.pop(node)
        edges = node.edges if leading is None else tuple(e if e in leading else None for e in node.edges)
        # 2. Where gradients are wanted of some nodes only, keep this one's; below the last of them, stop.
        if wanted is not None and node in wanted:
            result[node] = grad  # where the pass goes on, PyTorch takes the gradient before the hooks
            if not any(edges) and not (through and node.values) and not _freed_above(node, wanted):
                result[node] = _after_hooks(node, grad, recorded)
                continue
        if node.hooks is not None:
            grad = _after_hooks(node, grad, recorded)
        # 3. A leaf keeps what it has received: the sum over all of its uses.
        op, values = node.op, node.values
        if op is None:
            accumulate(node, grad, recorded)
            continue
        # 4. The values that the rules need must be there, as they were.
        if values is None:
            raise RuntimeError(
                "Trying to backward through the graph a second time: its values were freed by the first; "
                "call backward with retain_graph=True the first time"
            )
        if versions.last_change > node.order:
            _check_unchanged(node)
        if recorded:
            values = _as_tensors(node, values)
        # 5. Each rule turns the gradient of the output into that of one input; those of several uses add up.
        for place, edge in enumerate(edges):
            if edge is None:
                continue
            try:
                contribution = op.rules[place](grad, values)
            except (RuntimeWarning, FloatingPointError):  # the caller made errors of NumPy's warnings
                with np.errstate(all="ignore"):
                    contribution = op.rules[place](grad, values)
            if checked:
                lines = node.metadata.get("traceback_")
                check_gradient(op.name, place, contribution, (grad, *values), lines)
            if edge not in received:
                received[edge] = contribution
                heappush(heap, (-edge.order, edge))
            elif edge in own:
                received[edge] += contribution
            else:
                received[edge] = received[edge] + contribution
                if type(contribution) is np.ndarray:
                    own.add(edge)
        # 6. Free what only this pass needed, and without the edges what lies below.
        if not retain_graph and op.frees(node):
            node.values, node.edges = None, ()
    return result


def _check_unchanged(node: Node) -> None:
    assert node.op is not None
    assert node.values is not None
    for place in node.op.kept(node.edges):
        for array in parts(node.values[place]):
            if hasattr(array, "dtype") and versions.changed_since(array, node.order):
                what = "output" if place == 0 else f"input {place}"
                raise RuntimeError(
                    f"one of the variables needed for gradient computation has been modified by an inplace "
                    f"operation: the {what} of {node.op.name}, of shape {tuple(array.shape)}; "
                    f"change a clone() of it instead"
                )


def _as_tensors(node: Node, values: tuple[Any, ...]) -> tuple[Any, ...]:
    """The values as Tensors with their place in the graph, for rules that are to be recorded."""

    def placed(array: Any, edge: Node | None) -> Any:
        if isinstance(array, int) or (isinstance(array, float) and edge is None):
            return array  # a number that an operator was given
        tensor = wrap(array)
        tensor.edge = edge
        return tensor

    inputs = [placed(array, edge) for array, edge in zip(values[1:], node.edges, strict=False)]
    return (placed(values[0], node), *inputs, *values[1 + len(inputs) :])


def _leading_to(roots: Iterable[Node], wanted: set[Node]) -> set[Node]:
    """Return the nodes on a path from the roots to a wanted node."""
    leading: set[Node] = set()
    for node in ancestors(roots):
        if node in wanted or not leading.isdisjoint(node.edges) or _freed_above(node, wanted):
            leading.add(node)
    return leading


def _freed_above(node: Node, wanted: set[Node]) -> bool:
    """Return whether the node was freed, with its edges, and may have led to a wanted one, an older one that
    is: the pass then comes here and says so."""
    return node.op is not None and node.values is None and any(node.order > goal.order for goal in wanted)


def _after_hooks(node: Node, grad: Any, recorded: bool) -> Any:
    """The gradient after the node's hooks, and kept where that was asked for."""
    if node.hooks is not None:
        grad = _call_hooks(node, grad)
        if node.hooks.keep:
            accumulate(node, grad, recorded)
    return grad


def _call_hooks(node: Node, grad: Any) -> Any:
    recorded = isinstance(grad, Tensor)
    for hook in list(node.hooks.values()):  # type: ignore[union-attr]  # the caller looked
        before = grad if recorded else wrap(grad)
        with set_grad_enabled(recorded):
            answer = hook(before)
        if answer is None:
            continue
        if not isinstance(answer, Tensor):
            raise TypeError(f"a hook must return a Tensor or None, not {type(answer).__name__}")
        if answer.shape != before.shape:
            raise RuntimeError(
                f"a hook has changed the size of the gradient, from {before.shape} to {answer.shape}"
            )
        if answer.dtype is not before.dtype:
            raise RuntimeError(
                f"a hook has changed the type of the gradient, from {before.dtype} to {answer.dtype}"
            )
        grad = answer if recorded else answer.array
    return grad


def accumulate(node: Node, grad: Any, recorded: bool) -> None:
    """Add to the gradient that the node keeps: that of a leaf in place, in memory that is its alone."""
    if recorded:
        node.grad = clone.call(grad, True) if node.grad is None else node.grad + grad
    elif node.grad is None:
        node.grad = wrap(kind_of(grad).copy(grad, True))
    elif node.op is not None:  # of a result, whose gradient is replaced as in PyTorch
        node.grad = wrap(node.grad.array + grad)
    else:
        refuse_repeated(node.grad.array)  # of one that the user assigned
        node.grad.array += grad
        if type(grad) is not float:
            node.grad._note_change()
