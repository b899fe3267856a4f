"""The walk back through the record.

`backward` takes the youngest node first, so that a node has received the contributions of all its uses before
it passes its own gradient on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from heapq import heappop, heappush
from sys import getrefcount
from typing import Any

import numpy as np

from . import record
from .anomaly import (
    check_gradient,
    detect_anomaly,
    is_anomaly_check_nan_enabled,
    is_anomaly_enabled,
    set_detect_anomaly,
)
from .devices import same_device
from .kinds import kind_of
from .ops.apply import bare
from .record import Node, enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from .tensors import Tensor, wrap

__all__ = [
    "Node",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "grad",
    "is_anomaly_check_nan_enabled",
    "is_anomaly_enabled",
    "is_grad_enabled",
    "no_grad",
    "set_detect_anomaly",
    "set_grad_enabled",
]


def run_backward(
    roots: Sequence[Node],
    grads: Sequence[Any],
    *,
    retain_graph: bool,
    recorded: bool = False,
    wanted: set[Node] | None = None,
) -> dict[Node, Any]:
    """Send `grads` from `roots` back through the graph.

    The grads are arrays; or Tensors, and `recorded` is true, when the walk itself is to be differentiated:
    the rules are the same. Gradients are added to the leaves; where `wanted` is given they are returned for
    those nodes instead, and no leaf is touched. Raises RuntimeError where a graph was already freed or a
    value it needs was changed in place.
    """
    if not recorded:  # the rules work on arrays, which leave no record
        return _walk(roots, grads, retain_graph, recorded, wanted)
    with enable_grad():
        return _walk(roots, grads, retain_graph, recorded, wanted)


def _walk(
    roots: Sequence[Node],
    grads: Sequence[Any],
    retain_graph: bool,
    recorded: bool,
    wanted: set[Node] | None,
) -> dict[Node, Any]:
    pending: dict[Node, Any] = {}
    heap: list[tuple[int, Node]] = []
    found: dict[Node, Any] = {}
    for root, start in zip(roots, grads, strict=True):
        if root in pending:
            pending[root] = pending[root] + start
        else:
            pending[root] = start
            heappush(heap, (root.order, root))
    reached = None if wanted is None else _leading_to(roots, wanted)
    checked = is_anomaly_check_nan_enabled()
    to_leaves = wanted is None and not recorded
    plain = to_leaves and not checked
    take = pending.pop

    while heap:
        node = heappop(heap)[1]
        grad = take(node)
        if node.hooks is not None:
            grad = _call_hooks(node, grad)
            if node.hooks.keep and wanted is None:
                _accumulate(node, grad, recorded)
        op: Any = node.op
        values = node.values
        edges = node.edges
        if values is None:
            if op is not None:
                raise RuntimeError(
                    "Trying to backward through the graph a second time: its values were freed by the first; "
                    "call backward with retain_graph=True the first time"
                )
            if wanted is None:
                _accumulate(node, grad, recorded)
            elif node in wanted:
                found[node] = grad
            continue
        if record.last_change < node.order:
            _check_unchanged(node)
        rules = op.rules
        if not plain:
            if wanted is not None and reached is not None:
                if node in wanted:
                    found[node] = grad
                edges = tuple(edge if edge in reached else None for edge in edges)
            if recorded:
                values = _as_tensors(node, values)
            if checked:
                rules = _checked(node)
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
                    mine = type(contribution) is np.ndarray and getrefcount(contribution) == 2
                    if mine and contribution.base is None:
                        edge.grad = bare(contribution)
                    else:
                        edge.grad = wrap(kind_of(contribution).copy(contribution))
                else:
                    pending[edge] = contribution
                    heappush(heap, (edge.order, edge))
            place += 1  # noqa: SIM113
        if op.keeps and not retain_graph:  # without its edges, what lies below it is dropped now
            node.values = None
            node.edges = ()
    return found


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
        value = node.values[place]
        for array in value if isinstance(value, tuple) else (value,):  # an index is a tuple
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
        and total.nbytes > 1 << 16
        and getrefcount(total) == 2
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
        freed = node.op is not None and node.values is None  # the walk is to come here, and to say so
        if freed or node in wanted or any(edge in leading for edge in node.edges):
            leading.add(node)
    return leading


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


def _accumulate(node: Node, grad: Any, recorded: bool) -> None:
    if recorded:
        node.grad = grad if node.grad is None else node.grad + grad
    elif node.grad is None:
        mine = type(grad) is np.ndarray and getrefcount(grad) == 3 and grad.base is None and node.op is None
        node.grad = wrap(grad if mine else kind_of(grad).copy(grad))
    elif node.grad.edge is None:
        node.grad.array += grad
    else:
        node.grad = node.grad + wrap(grad)


def _start(
    tensors: Sequence[Tensor], grads: Sequence[Tensor | None], create_graph: bool
) -> tuple[list[Any], list[Any]]:
    """The nodes to start from and the gradient of each, checked."""
    nodes, starts = [], []
    if len(tensors) != len(grads):
        raise RuntimeError(f"got {len(tensors)} tensors and {len(grads)} gradients")
    for tensor, grad in zip(tensors, grads, strict=True):
        if not isinstance(tensor, Tensor):
            raise TypeError(f"only a Tensor can be differentiated, not {type(tensor).__name__}")
        edge = tensor.edge
        if edge is None:
            raise RuntimeError("element 0 of tensors does not require grad and does not have a grad_fn")
        nodes.append(edge)
        if grad is None:
            array = tensor.array
            if type(array) is not float and array.shape and tensor.numel() != 1:
                raise RuntimeError(
                    f"grad can be implicitly created only for scalar outputs: this one has shape "
                    f"{tuple(tensor.shape)}, so give backward a gradient of that shape"
                )
            one = kind_of(array).ones_like(array)
            starts.append(wrap(one) if create_graph else one)
            continue
        if not isinstance(grad, Tensor):
            raise TypeError(f"gradients can be either Tensors or None, but got {type(grad).__name__}")
        if tuple(grad.shape) != tuple(tensor.shape):
            raise RuntimeError(
                f"Mismatch in shape: grad_output[0] has a shape of {grad.shape} and "
                f"output[0] has a shape of {tensor.shape}."
            )
        same_device("backward", tensor, grad)
        starts.append(grad if create_graph else grad.array)
    return nodes, starts


def backward(
    tensors: Tensor | Sequence[Tensor],
    grad_tensors: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
) -> None:
    """Add the gradients of the tensors, weighted by `grad_tensors`, to the `.grad` of every leaf.

    tensors: one or several, of any shape; grad_tensors: of the same shapes, None for a scalar's 1.
    retain_graph keeps the recorded values for another backward; create_graph records the walk itself, so that
    it can be differentiated again, and retains the graph unless told otherwise.
    Raises RuntimeError where there is nothing to differentiate, a shape differs, or the graph was freed.
    """
    several = _as_list(tensors)
    weights = [None] * len(several) if grad_tensors is None else _as_list(grad_tensors)
    nodes, starts = _start(several, weights, create_graph)
    retain = create_graph if retain_graph is None else retain_graph
    run_backward(nodes, starts, retain_graph=retain, recorded=create_graph)


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool | None = None,
    materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:
    """The gradients of `outputs` with respect to `inputs`, one of each input's shape; no `.grad` is touched.

    The arguments are those of `backward`. An input that the outputs do not depend on raises RuntimeError,
    gives None with allow_unused=True, and zeros with materialize_grads=True.
    """
    several, sought = _as_list(outputs), _as_list(inputs)
    for each in sought:
        if not isinstance(each, Tensor):
            raise TypeError(f"only Tensors can be differentiated with respect to, not {type(each).__name__}")
        if each.edge is None:
            raise RuntimeError("One of the differentiated Tensors does not require grad")
    weights = [None] * len(several) if grad_outputs is None else _as_list(grad_outputs)
    nodes, starts = _start(several, weights, create_graph)
    found = run_backward(
        nodes,
        starts,
        retain_graph=create_graph if retain_graph is None else retain_graph,
        recorded=create_graph,
        wanted={each.edge for each in sought},
    )
    result: list[Tensor | None] = []
    for each in sought:
        value = found.get(each.edge)
        if value is None and materialize_grads:
            value = kind_of(each.array).zeros_like(each.array)
        if value is None and not allow_unused:
            raise RuntimeError(
                "One of the differentiated Tensors appears to not have been used in the graph. "
                "Set allow_unused=True if this is the desired behavior."
            )
        result.append(
            value if value is None or isinstance(value, Tensor) else wrap(kind_of(value).copy(value))
        )
    return tuple(result)


def _method(
    self: Tensor,
    gradient: Tensor | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Add the gradient of this Tensor to the `.grad` of every leaf it was computed from.

    gradient: of this Tensor's shape, the weight of each element; not needed for a scalar. See
    `autograd.backward` for the other arguments and the errors. `inputs` limits the leaves to those given.
    """
    if inputs is None:
        backward(self, gradient, retain_graph, create_graph)
        return
    sought = _as_list(inputs)
    for each, found in zip(
        sought, grad(self, sought, gradient, retain_graph, create_graph, True), strict=True
    ):
        if found is not None:
            each.grad = found if each.grad is None else each.grad + found


_method.__name__ = "backward"
Tensor.backward = _method


def _as_list(tensors: Any) -> list[Any]:
    return list(tensors) if isinstance(tensors, (tuple, list)) else [tensors]


def __getattr__(name: str) -> Any:
    from .missing import explain

    if name.startswith("__"):
        raise AttributeError(name)
    raise AttributeError(explain("autograd", name, __all__))
