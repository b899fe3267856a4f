"""Hooks that see, and may replace, the gradients at a module's boundary: those that go in on the way back,
and those that come out."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..api.creation import zeros
from ..engine.grad_mode import is_grad_enabled
from ..engine.own_function import Function
from ..engine.tensor import Tensor

Hook = Callable[..., Any]
Gradients = tuple[Any, ...]


class _Boundary(Function):
    """Tensors as they are; on the way back their gradients pass `seen`, all at once."""

    @staticmethod
    def forward(ctx: Any, seen: Callable[[Gradients], Gradients], *tensors: Tensor) -> Any:
        """Return the tensors."""
        ctx.seen = seen
        ctx.set_materialize_grads(False)
        outputs = tuple(tensor.view_as(tensor) for tensor in tensors)
        fixed = [y for x, y in zip(tensors, outputs, strict=True) if not x.requires_grad]
        ctx.mark_non_differentiable(*fixed)
        return outputs

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        """Return what `seen` makes of the gradients."""
        return None, *ctx.seen(gradients)


class BackwardHooks:
    """The backward hooks of one call of a module, as they were when it was called.

    The arguments pass `enter` before `forward`, and its result passes `leave`. Of both only Tensors count
    that are an argument, or an element of a tuple that is returned.
    """

    def __init__(self, module: Any, pre_hooks: Sequence[Hook], hooks: Sequence[Hook]) -> None:
        self.module, self.pre_hooks, self.hooks = module, pre_hooks, hooks
        self.arguments = 0
        self.has_inputs = False
        self.grad_output: Gradients | None = None

    def enter(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the arguments, whose gradients the hooks will see."""
        self.arguments = len(args)
        entered = _watched(args, self._go_out, filled=True) if self.hooks else None
        self.has_inputs = entered is not None
        return args if entered is None else entered

    def leave(self, result: Any) -> Any:
        """Return the module's result, whose gradients the hooks will see."""
        outputs = result if isinstance(result, tuple) else (result,)
        left = _watched(outputs, self._come_in, filled=False) if self.hooks or self.pre_hooks else None
        if left is None:
            return result
        if not isinstance(result, tuple):
            return left[0]
        return type(result)(*left) if hasattr(result, "_fields") else left

    def _come_in(self, gradients: Gradients) -> Gradients:
        """Return the gradients of the outputs, after the hooks that come before backward."""
        for hook in self.pre_hooks:
            replacement = hook(self.module, gradients)
            gradients = (
                gradients if replacement is None else _checked("pre ", "output", replacement, gradients)
            )
        if self.has_inputs:
            self.grad_output = gradients
        elif self.hooks:
            warnings.warn(
                "a full backward hook is called for the gradients of the module's outputs, since none of its "
                "inputs requires one",
                stacklevel=2,
            )
            for hook in self.hooks:
                replacement = hook(self.module, (None,) * self.arguments, gradients)
                if replacement is not None and any(gradient is not None for gradient in replacement):
                    raise RuntimeError(
                        "a backward hook of a module of which no input requires a gradient must return None"
                    )
        return gradients

    def _go_out(self, gradients: Gradients) -> Gradients:
        """Return the gradients of the inputs, after the hooks."""
        if self.grad_output is None:  # they have not come through the outputs, as in a second derivative
            return gradients
        for hook in self.hooks:
            replacement = hook(self.module, gradients, self.grad_output)
            if replacement is not None:
                gradients = _checked("", "input", replacement, gradients)
        self.grad_output = None
        return gradients


def _watched(
    values: tuple[Any, ...], seen: Callable[[Gradients], Gradients], filled: bool
) -> tuple[Any, ...] | None:
    """Return the values, the Tensors among them behind a boundary; None where no gradient is required.

    `seen` is given, and returns, a gradient for each of the values, None for those that are no Tensors. What
    leaves a boundary is zeros where there was no gradient: at the arguments (`filled`) the hooks see them, at
    the outputs they see None.
    """
    places = [i for i, value in enumerate(values) if isinstance(value, Tensor)]
    if not is_grad_enabled() or not any(values[i].requires_grad for i in places):
        return None
    likes = [(values[i].shape, {"dtype": values[i].dtype, "device": values[i].device}) for i in places]

    def whole(gradients: Iterable[Any]) -> list[Any]:
        return [
            zeros(shape, **like) if gradient is None else gradient
            for gradient, (shape, like) in zip(gradients, likes, strict=True)
        ]

    def of_all(gradients: Gradients) -> Gradients:
        spread: list[Any] = [None] * len(values)
        for i, gradient in zip(places, whole(gradients) if filled else gradients, strict=True):
            spread[i] = gradient
        answered = seen(tuple(spread))
        return tuple(whole(answered[i] for i in places))

    passed = _Boundary.apply(of_all, *(values[i] for i in places))
    behind = dict(zip(places, passed, strict=True))
    return tuple(behind.get(i, value) for i, value in enumerate(values))


def _checked(which: str, side: str, replacement: Any, before: Gradients) -> Gradients:
    """Return the gradients that a hook returned. Raise RuntimeError for another number of them."""
    gradients = tuple(replacement) if isinstance(replacement, (tuple, list)) else (replacement,)
    if len(gradients) != len(before):
        raise RuntimeError(
            f"Backward {which}hook returned an invalid number of grad_{side}, got {len(gradients)}, but "
            f"expected {len(before)}"
        )
    return gradients
