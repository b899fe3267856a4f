"""The walk back through the record.

The youngest node is taken first, so that a node has received the contributions of all its uses before it
passes its own gradient on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from heapq import heappop, heappush, heappushpop
from sys import getrefcount
from typing import Any

import numpy as np

from . import record
from .anomaly import check_gradient, is_anomaly_check_nan_enabled
from .kinds import kind_of
from .ops.apply import bare
from .ops.shape import clone
from .ops.table import parts
from .record import Node, enable_grad, set_grad_enabled
from .tensors import Tensor, refuse_repeated, wrap


def _references_of_one_name() -> int:
    array = np.zeros(0)
    return getrefcount(array)


# What `getrefcount` says of an array that nothing but a local variable holds: that may be written to.
# It is not the same number in every Python.
_ALONE = _references_of_one_name()


def run_backward(
    starts: dict[Node, Any],
    *,
    retain_graph: bool,
    recorded: bool = False,
    wanted: set[Node] | None = None,
    through: bool = False,
) -> dict[Node, Any]:
    """Send gradients back through the graph: `starts` says from which nodes, and what each has received.

    The gradients are arrays; or Tensors, and `recorded` is true, when the walk itself is to be
    differentiated: the rules are the same. They are added to the leaves; where `wanted` is given they are
    returned for those nodes instead, and no leaf is touched. The walk ends at a wanted node below which there
    is no other, and leaves it as it is; where `through` is true it frees that, too. Raises RuntimeError where
    a graph was already freed or a value it needs was changed in place.
    """
    if not recorded:  # the rules work on arrays, which leave no record
        return _walk(starts, retain_graph, recorded, wanted, through)
    with enable_grad():
        return _walk(starts, retain_graph, recorded, wanted, through)


def _walk(
    pending: dict[Node, Any], retain_graph: bool, recorded: bool, wanted: set[Node] | None, through: bool
) -> dict[Node, Any]:
    heap: list[tuple[int, Node]] = []
    for start in pending:
        heappush(heap, (start.order, start))
    found: dict[Node, Any] = {}
    leading: set[Node] = set() if wanted is None else _leading_to(pending, wanted)
    checked = is_anomaly_check_nan_enabled()
    to_leaves = wanted is None and not recorded
    plain = to_leaves and not checked
    take = pending.pop

    # Most graphs are nearly chains: the first node that a node leads to is the next one, unless a younger one
    # waits, and need not go through the heap, which costs as much as the rest of the loop.
    node: Node | None = None
    grad: Any = None
    while True:
        if node is None:
            if not heap:
                return found
            node = heappop(heap)[1]
            grad = take(node)
        elif heap and heap[0][0] < node.order:
            pending[node] = grad
            node = heappushpop(heap, (node.order, node))[1]
            grad = take(node)
        op: Any = node.op
        values = node.values
        edges = node.edges
        if wanted is not None:
            edges = _only(edges, leading)
            if node in wanted:  # where the walk goes on, PyTorch takes the gradient before the hooks
                found[node] = grad
                if not any(edges) and not (through and values) and not _freed_above(node, wanted):
                    found[node] = _after_hooks(node, grad, recorded)
                    node = None
                    continue
        if node.hooks is not None:
            grad = _after_hooks(node, grad, recorded)
        if values is None:
            if op is not None:
                raise RuntimeError(
                    "Trying to backward through the graph a second time: its values were freed by the first; "
                    "call backward with retain_graph=True the first time"
                )
            accumulate(node, grad, recorded)
            node = None
            continue
        if record.last_change < node.order:
            _check_unchanged(node)
        rules = op.rules
        if not plain:
            if recorded:
                values = _as_tensors(node, values)
            if checked:
                rules = _checked(node)
        following: Node | None = None
        carried: Any = None
        place = 0  # counted by hand: zip() and enumerate() cost as much as the rest of the loop
        for edge in edges:
            if edge is not None:
                try:
                    contribution = rules[place](grad, values)
                except (RuntimeWarning, FloatingPointError):  # the caller made errors of NumPy's warnings
                    with np.errstate(all="ignore"):
                        contribution = rules[place](grad, values)
                if edge in pending:
                    pending[edge] = _add(take(edge), contribution)
                elif edge.op is None and to_leaves and edge.grad is None and edge.hooks is None:
                    # A leaf's first: what may follow is added to it.
                    mine = type(contribution) is np.ndarray and getrefcount(contribution) == _ALONE
                    if mine and contribution.base is None and contribution.flags.c_contiguous:
                        edge.grad = bare(contribution)
                    else:
                        edge.grad = wrap(kind_of(contribution).copy(contribution, True))
                elif following is None:
                    following = edge
                    carried = contribution
                elif following is edge:
                    carried = _add(carried, contribution)
                else:
                    pending[edge] = contribution
                    heappush(heap, (edge.order, edge))
            place += 1  # noqa: SIM113
        if not retain_graph and op.keeps is not False and (op.keeps or op.frees(node)):
            node.values = None
            node.edges = ()  # without them, what lies below is dropped now
        node = following
        grad = carried


# Apart, as `kinds._sum_to` is.
def _only(edges: tuple[Node | None, ...], leading: set[Node]) -> tuple[Node | None, ...]:
    return tuple(edge if edge in leading else None for edge in edges)


def _checked(node: Node) -> list[Callable[[Any, Any], Any]]:
    """The rules of the node, which look at what they make."""
    op: Any = node.op

    def looking(place: int) -> Callable[[Any, Any], Any]:
        def rule(grad: Any, values: tuple[Any, ...]) -> Any:
            made = op.rules[place](grad, values)
            check_gradient(op.name, place, made, (grad, *values), node.metadata.get("traceback_"))
            return made

        return rule

    return [looking(place) for place in range(len(op.rules))]


def _check_unchanged(node: Node) -> None:
    assert node.op is not None
    assert node.values is not None
    for place in node.op.kept(node.edges):
        for array in parts(node.values[place]):
            changes = record.changes_of(array) if hasattr(array, "dtype") else None
            if changes is not None and changes.last < node.order:
                what = "output" if place == 0 else f"input {place}"
                raise RuntimeError(
                    f"one of the variables needed for gradient computation has been modified by an inplace "
                    f"operation: the {what} of {node.op.name}, of shape {tuple(array.shape)}; "
                    f"change a clone() of it instead"
                )


def _add(total: Any, contribution: Any) -> Any:
    """total + contribution, written into the memory of the total where that is large and nobody else's."""
    if (
        type(total) is np.ndarray
        and total.nbytes > 1 << 14
        and getrefcount(total) == _ALONE
        and total.base is None
    ):
        total += contribution
        return total
    try:
        return total + contribution
    except (RuntimeWarning, FloatingPointError):
        with np.errstate(all="ignore"):
            return total + contribution


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
    """The nodes on a path from the roots to a wanted node."""
    order: list[Node] = []
    seen: set[Node] = set()
    stack = list(roots)
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            order.append(node)
            stack.extend(edge for edge in node.edges if edge is not None)
    order.sort(key=lambda node: -node.order)  # the oldest first: an edge is always older than its node
    leading: set[Node] = set()
    for node in order:
        if node in wanted or any(edge in leading for edge in node.edges) or _freed_above(node, wanted):
            leading.add(node)
    return leading


def _freed_above(node: Node, wanted: set[Node]) -> bool:
    """Whether the node was freed, with its edges, and may have led to a wanted one: to an older one, that
    is. The walk then comes here and says so."""
    return node.op is not None and node.values is None and any(node.order < each.order for each in wanted)


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
