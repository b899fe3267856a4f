"""Hooks of Tensors: functions that are handed a gradient during backward, and gradients that are kept."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any, Self

from .grad_mode import set_grad_enabled
from .node import Hooks, Node
from .tensor import Tensor, wrap

_handles = count()


class RemovableHandle:
    """The handle of a hook that was registered; `remove()`, or the end of a `with` block, takes the hook off
    again."""

    def __init__(self, hooks: dict[int, Any], number: int) -> None:
        self._hooks, self.id = hooks, number

    def remove(self) -> None:
        self._hooks.pop(self.id, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


def retain_grad(self: Tensor) -> None:
    """Keep the gradient of this result in `.grad`, as a leaf keeps its own. RuntimeError where it requires
    none."""
    if self.edge is None:
        raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
    if self.edge.op is not None:
        self.edge.hooks = self.edge.hooks or Hooks()
        self.edge.hooks.keep = True


def retains_grad(self: Tensor) -> bool:
    """Return whether the gradient of this result is kept, as `retain_grad` asks."""
    return self.edge is not None and self.edge.hooks is not None and self.edge.hooks.keep


def check_grad(self: Tensor, value: Any) -> None:
    """Raise TypeError where `value` is no Tensor, RuntimeError where it is none that can be the gradient."""
    if not isinstance(value, Tensor):
        raise TypeError(f"assigned grad expected to be a Tensor or None, not {type(value).__name__}")
    if value is self:
        raise RuntimeError("can't assign Variable as its own grad")
    if value.dtype is not self.dtype:
        raise RuntimeError(
            f"assigned grad has data of a different type: {value.dtype} for a tensor of {self.dtype}"
        )
    if value.device != self.device:
        raise RuntimeError(f"assigned grad is on {value.device}, the tensor on {self.device}")
    if value.shape != self.shape:
        shapes = f"{tuple(value.shape)} for {tuple(self.shape)}"
        raise RuntimeError(f"assigned grad has another shape: {shapes}")


def register_hook(self: Tensor, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
    """Call `hook` with this Tensor's gradient during backward; what it returns, if not None, is used
    instead. RuntimeError where it requires no gradient."""
    if self.edge is None:
        raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
    if self.edge.hooks is None:
        self.edge.hooks = Hooks()
    number = next(_handles)
    self.edge.hooks[number] = hook
    return RemovableHandle(self.edge.hooks, number)


Tensor.retain_grad = retain_grad  # type: ignore[attr-defined]
Tensor.retains_grad = property(retains_grad)  # type: ignore[attr-defined]
Tensor._check_grad = check_grad  # type: ignore[attr-defined]
Tensor.register_hook = register_hook  # type: ignore[attr-defined]


def call_hooks(node: Node, grad: Any) -> Any:
    """Return the gradient, an array or a Tensor, after the node's hooks. TypeError where a hook returns no
    Tensor, RuntimeError where it changes the shape or the dtype."""
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
