"""Backward: gradients sent back through the graph, from the youngest node to the leaves."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from heapq import heapify, heappop, heappush
from operator import add
from typing import Any

import numpy as np

from ..arrays.dispatch import namespace_of
from ..ops.shape import clone
from . import versions
from .anomaly import check_gradient, is_anomaly_check_nan_enabled
from .apply import quietly
from .change import refuse_repeated
from .devices import same_device
from .grad_mode import enable_grad
from .hook import observers
from .node import Node, ancestors
from .tensor import Tensor, wrap
from .tensor_hooks import call_hooks
from .thread_state import new_lock

_adding = new_lock()  # as in PyTorch, nothing is lost where threads add to one gradient


def backward(
    tensors: Tensor | Iterable[Tensor],
    grad_tensors: Tensor | Iterable[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Tensor | Iterable[Tensor] | None = None,
) -> None:
    """Add the gradients of the tensors, weighted by `grad_tensors`, to the `.grad` of every leaf.

    tensors: one or several, of any shape; grad_tensors: of the same shapes, None for a scalar's 1.
    inputs: the Tensors to whose `.grad` alone to add; results among them retain it from now on.
    retain_graph keeps the recorded values for another backward; create_graph records the walk itself, so that
    it can be differentiated again, and retains the graph unless told otherwise.
    Raises RuntimeError where there is nothing to differentiate, a shape differs, or the graph was freed.
    """
    goals = None if inputs is None else require_history(inputs)
    if create_graph:
        warnings.warn("create_graph keeps .grad in a cycle: autograd.grad has none", stacklevel=3)
    starts = start_from(tensors, grad_tensors, create_graph)
    retain = create_graph if retain_graph is None else retain_graph
    if goals is None:
        run_backward(starts, retain_graph=retain, recorded=create_graph)
        return
    if not goals:
        raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
    for goal in goals:
        goal.retain_grad()
    wanted = dict.fromkeys(goal.edge for goal in goals)  # in their order, and each once
    result = run_backward(
        starts, retain_graph=retain, recorded=create_graph, wanted=set(wanted), through=True
    )
    for node in wanted:
        if node in result and node.op is None:
            accumulate(node, result[node], create_graph)


def _method(
    self: Tensor,
    gradient: Tensor | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Add the gradient of this Tensor to the `.grad` of every leaf it was computed from.

    gradient: of this Tensor's shape, the weight of each element; not needed for a scalar. See
    `autograd.backward` for the other arguments and the errors.
    """
    backward(self, gradient, retain_graph, create_graph, inputs)


_method.__name__ = "backward"
Tensor.backward = _method


def start_from(
    tensors: Tensor | Iterable[Tensor], grads: Tensor | Iterable[Tensor | None] | None, create_graph: bool
) -> dict[Node, Any]:
    """Return the nodes that backward begins at, and the gradient of each: an array, or with `create_graph` a
    Tensor. Errors as of `backward`."""
    roots = as_list(tensors)
    weights = [None] * len(roots) if grads is None else as_list(grads)
    if len(roots) != len(weights):
        raise RuntimeError(f"got {len(roots)} tensors and {len(weights)} gradients")
    starts: dict[Node, Any] = {}
    for tensor, weight in zip(roots, weights, strict=True):
        if not isinstance(tensor, Tensor):
            raise TypeError(f"only a Tensor can be differentiated, not {type(tensor).__name__}")
        edge = tensor.edge
        if edge is None:
            raise RuntimeError("element 0 of tensors does not require grad and does not have a grad_fn")
        start = _first_gradient(tensor) if weight is None else _given_gradient(tensor, weight)
        gradient = start if create_graph else start.array
        starts[edge] = quietly(add, starts[edge], gradient) if edge in starts else gradient
    return starts


def _first_gradient(tensor: Tensor) -> Tensor:
    array = tensor.array
    if type(array) is not float and array.shape and tensor.numel() != 1:
        raise RuntimeError(
            f"grad can be implicitly created only for scalar outputs: this one has shape "
            f"{tuple(tensor.shape)}, so give backward a gradient of that shape"
        )
    return wrap(namespace_of(array).ones_like(array))


def _given_gradient(tensor: Tensor, grad: Any) -> Tensor:
    if not isinstance(grad, Tensor):
        raise TypeError(f"gradients can be either Tensors or None, but got {type(grad).__name__}")
    if tuple(grad.shape) != tuple(tensor.shape):
        raise RuntimeError(
            f"Mismatch in shape: grad_output[0] has a shape of {grad.shape} and "
            f"output[0] has a shape of {tensor.shape}."
        )
    same_device("backward", tensor, grad)
    return grad


def require_history(inputs: Tensor | Iterable[Tensor]) -> list[Any]:
    """Return the Tensors to differentiate with respect to, as a list. TypeError where one is no Tensor,
    RuntimeError where it requires no gradient."""
    tensors = as_list(inputs)
    for x in tensors:
        if not isinstance(x, Tensor):
            raise TypeError(f"only Tensors can be differentiated with respect to, not {type(x).__name__}")
        if x.edge is None:
            raise RuntimeError("One of the differentiated Tensors does not require grad")
    return tensors


def as_list(tensors: Any) -> list[Any]:
    """Return several Tensors, or one, as a list."""
    return [tensors] if isinstance(tensors, Tensor) else list(tensors)


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
    checked = bool(observers) and is_anomaly_check_nan_enabled()
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
            values = versions.values_now(node)
        if recorded:
            values = _as_tensors(node, values)
        # 5. Each rule turns the gradient of the output into that of one input; those of several uses add up.
        for place, edge in enumerate(edges):
            if edge is None:
                continue
            contribution = quietly(op.rules[place], grad, values)
            if contribution is None:  # as a Function of the user's may say
                continue
            if checked:
                lines = node.metadata.get("traceback_")
                check_gradient(op.name, place, contribution, (grad, *values), lines)
            if edge not in received:
                received[edge] = contribution
                heappush(heap, (-edge.order, edge))
            elif edge in own:
                with np.errstate(all="ignore"):  # to try twice might add it twice
                    received[edge] += contribution
            else:
                received[edge] = quietly(add, received[edge], contribution)
                if type(contribution) is np.ndarray:
                    own.add(edge)
        # 6. Free what only this pass needed, and without the edges what lies below.
        if not retain_graph and op.frees(node.edges, values):
            node.values, node.edges = None, ()
    return result


def _as_tensors(node: Node, values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the values as Tensors with their place in the graph, for rules that are to be recorded."""

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
    """Return the gradient after the node's hooks; keep it where that was asked for."""
    if node.hooks is not None:
        grad = call_hooks(node, grad)
        if node.hooks.keep:
            accumulate(node, grad, recorded)
    return grad


def accumulate(node: Node, grad: Any, recorded: bool) -> None:
    """Add to the gradient that the node keeps: that of a leaf in place, in memory that is its alone."""
    with _adding:
        kept = node.grad
        if kept is None:
            node.grad = clone.call(grad, True) if recorded else wrap(namespace_of(grad).copy(grad, True))
        elif recorded:
            node.grad = kept + grad
        elif node.op is not None:  # of a result, whose gradient is replaced as in PyTorch
            node.grad = wrap(quietly(add, kept.array, grad))
        else:
            refuse_repeated(kept.array)  # of one that the user assigned
            with np.errstate(all="ignore"):
                kept.array += grad
            if type(grad) is not float:
                kept._note_change()
