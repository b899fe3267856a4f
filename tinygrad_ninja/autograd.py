"""Gradients: `backward`, `grad`, and what PyTorch keeps in its `autograd` beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .anomaly import (
    detect_anomaly,
    is_anomaly_check_nan_enabled,
    is_anomaly_enabled,
    set_detect_anomaly,
)
from .backward import accumulate, run_backward
from .devices import same_device
from .grad_mode import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from .kinds import kind_of
from .node import Node
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


def _start(tensors: Sequence[Tensor], grads: Sequence[Tensor | None], create_graph: bool) -> dict[Node, Any]:
    """The nodes to start from, and the gradient of each, checked."""
    starts: dict[Node, Any] = {}
    if len(tensors) != len(grads):
        raise RuntimeError(f"got {len(tensors)} tensors and {len(grads)} gradients")
    for i in range(len(tensors)):
        tensor = tensors[i]
        if not isinstance(tensor, Tensor):
            raise TypeError(f"only a Tensor can be differentiated, not {type(tensor).__name__}")
        edge = tensor.edge
        if edge is None:
            raise RuntimeError("element 0 of tensors does not require grad and does not have a grad_fn")
        start = _first_gradient(tensor) if grads[i] is None else _given_gradient(tensor, grads[i])
        if not create_graph:
            start = start.array
        starts[edge] = starts[edge] + start if edge in starts else start
    return starts


def _first_gradient(tensor: Tensor) -> Tensor:
    array = tensor.array
    if type(array) is not float and array.shape and tensor.numel() != 1:
        raise RuntimeError(
            f"grad can be implicitly created only for scalar outputs: this one has shape "
            f"{tuple(tensor.shape)}, so give backward a gradient of that shape"
        )
    return wrap(kind_of(array).ones_like(array))


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


def backward(
    tensors: Tensor | Sequence[Tensor],
    grad_tensors: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Tensor | Sequence[Tensor] | None = None,
) -> None:
    """Add the gradients of the tensors, weighted by `grad_tensors`, to the `.grad` of every leaf.

    tensors: one or several, of any shape; grad_tensors: of the same shapes, None for a scalar's 1.
    inputs: the Tensors, results too, to whose `.grad` alone to add.
    retain_graph keeps the recorded values for another backward; create_graph records the walk itself, so that
    it can be differentiated again, and retains the graph unless told otherwise.
    Raises RuntimeError where there is nothing to differentiate, a shape differs, or the graph was freed.
    """
    several = _as_list(tensors)
    weights = [None] * len(several) if grad_tensors is None else _as_list(grad_tensors)
    sought = None if inputs is None else _sought(inputs)
    starts = _start(several, weights, create_graph)
    retain = create_graph if retain_graph is None else retain_graph
    if sought is None:
        run_backward(starts, retain_graph=retain, recorded=create_graph)
        return
    if not sought:
        raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
    wanted = {each.edge: None for each in sought}
    found = run_backward(starts, retain_graph=retain, recorded=create_graph, wanted=set(wanted), through=True)
    for node in wanted:
        if node in found:
            accumulate(node, found[node], create_graph)


def _sought(inputs: Tensor | Sequence[Tensor]) -> list[Any]:
    """The Tensors to differentiate with respect to, checked."""
    sought = _as_list(inputs)
    for each in sought:
        if not isinstance(each, Tensor):
            raise TypeError(f"only Tensors can be differentiated with respect to, not {type(each).__name__}")
        if each.edge is None:
            raise RuntimeError("One of the differentiated Tensors does not require grad")
    return sought


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
    several, sought = _as_list(outputs), _sought(inputs)
    weights = [None] * len(several) if grad_outputs is None else _as_list(grad_outputs)
    found = run_backward(
        _start(several, weights, create_graph),
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
    `autograd.backward` for the other arguments and the errors.
    """
    backward(self, gradient, retain_graph, create_graph, inputs)


_method.__name__ = "backward"
Tensor.backward = _method


def _as_list(tensors: Any) -> list[Any]:
    return list(tensors) if isinstance(tensors, (tuple, list)) else [tensors]


def __getattr__(name: str) -> Any:
    from .missing import explain

    if name.startswith("__"):
        raise AttributeError(name)
    raise AttributeError(explain("autograd", name, __all__))
