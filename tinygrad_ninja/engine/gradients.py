"""`grad`: the gradients with respect to some Tensors, returned and not kept."""

from __future__ import annotations

from collections.abc import Iterable

from ..arrays.dispatch import namespace_of
from .backward import require_history, run_backward, start_from
from .tensor import Tensor, wrap


def grad(
    outputs: Tensor | Iterable[Tensor],
    inputs: Tensor | Iterable[Tensor],
    grad_outputs: Tensor | Iterable[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:
    """Return the gradients of `outputs` with respect to `inputs`, each of its input's shape; no `.grad` is
    touched.

    The arguments are those of `backward`. An input that the outputs do not depend on raises RuntimeError,
    gives None with allow_unused=True, and zeros with materialize_grads=True. only_inputs: ignored, as in
    PyTorch.
    """
    goals = require_history(inputs)
    gradients = run_backward(
        start_from(outputs, grad_outputs, create_graph),
        retain_graph=create_graph if retain_graph is None else retain_graph,
        recorded=create_graph,
        wanted={goal.edge for goal in goals},
    )
    result: list[Tensor | None] = []
    for goal in goals:
        gradient = gradients.get(goal.edge)
        if gradient is None and materialize_grads:
            gradient = namespace_of(goal.array).zeros_like(goal.array)
        if gradient is None and not allow_unused:
            raise RuntimeError(
                "One of the differentiated Tensors appears to not have been used in the graph. "
                "Set allow_unused=True if this is the desired behavior."
            )
        if gradient is not None and not isinstance(gradient, Tensor):
            gradient = wrap(namespace_of(gradient).copy(gradient))
        result.append(gradient)
    return tuple(result)
