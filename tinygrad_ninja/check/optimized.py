"""A check that every tensor that could be trained was given to an optimizer."""

from __future__ import annotations

from ..engine.node import ancestors
from ..engine.tensor import Tensor
from ..nn import Module
from ..optim import Optimizer


def check_optimized(loss: Tensor, optimizer: Optimizer, model: Module | None = None) -> None:
    """Raise ValueError where `loss`, before its backward, depends on a leaf that requires a gradient and that
    the optimizer was not given: it would accumulate gradients and never change.

    A parameter is easily forgotten where a Module does not list it: a plain Tensor as an attribute, or
    layers in a plain list. With `model`, the message names the attribute.
    """
    optimized = {id(p.edge) for group in optimizer.param_groups for p in group["params"]}
    for node in ancestors([loss.edge]):
        if node.op is None and id(node) not in optimized:
            names = [
                f"{path}.{name}" if path else name
                for path, module in (model.named_modules() if model is not None else ())
                for name, value in {**module._parameters, **vars(module)}.items()
                if isinstance(value, Tensor) and value.edge is node
            ]
            forgotten = names[0] if names else "a tensor"
            raise ValueError(
                f"the loss depends on {forgotten}, which the optimizer was not given: it would not be trained"
            )
