"""Optimizers: what is done to the parameters once their gradients are known."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .missing import explain
from .record import enable_grad, note_change
from .tensors import Tensor

__all__ = ["SGD", "Optimizer"]


class Optimizer:
    """The base: parameters in groups, each group a dict of its own settings.

    params: Tensors, or dicts with "params" and settings that override the defaults. TypeError for anything
    else, ValueError for none and for a Tensor that an operation made.
    """

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        if isinstance(params, Tensor):
            raise TypeError("params must be Tensors in a list or another iterable, not a single Tensor")
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        self.defaults = defaults
        self.state: dict[Tensor, Any] = {}  # what is remembered of a parameter from step to step
        self.param_groups: list[dict[str, Any]] = []
        for group in groups:
            members = [group["params"]] if isinstance(group["params"], Tensor) else list(group["params"])
            for each in members:
                if not isinstance(each, Tensor):
                    raise TypeError(
                        f"an optimizer changes Tensors, and one of the params is a {type(each).__name__}"
                    )
                if not each.is_leaf:
                    raise ValueError("can't optimize a non-leaf Tensor")
            self.param_groups.append({**defaults, **group, "params": members})

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, or with set_to_none=False fill them with zeros."""
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none or p.grad is None:
                    p.grad = None
                else:
                    p.grad.detach_().zero_()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Change every parameter that has a gradient; `closure`, if given, computes the loss again first."""
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                gradient = p.grad
                if gradient is not None:
                    self._update(p, gradient.array, group)
                    note_change(p.array)
        return loss

    def _update(self, p: Tensor, gradient: Any, group: dict[str, Any]) -> None:
        raise NotImplementedError(f"{type(self).__name__} does not say how it updates a parameter")


class SGD(Optimizer):
    """Stochastic gradient descent: p -= lr · dp, with PyTorch's momentum, weight decay and Nesterov's
    variant.

    With weight_decay, dp += weight_decay · p first. With momentum, v = momentum · v + (1 - dampening) · dp
    (at the first step v = dp) takes the place of dp; with nesterov, dp + momentum · v does. maximize climbs
    instead. ValueError for a negative setting, and for nesterov without momentum or with dampening.

    Source: Sutskever et al., On the importance of initialization and momentum in deep learning (2013), in the
    form that PyTorch's documentation of SGD gives.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        for name, value in (("learning rate", lr), ("momentum", momentum), ("weight_decay", weight_decay)):
            if value < 0:
                raise ValueError(f"Invalid {name}: {value}")
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        defaults = {"lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay}
        super().__init__(params, {**defaults, "nesterov": nesterov, "maximize": maximize})

    def _update(self, p: Tensor, gradient: Any, group: dict[str, Any]) -> None:
        if group["maximize"]:
            gradient = -gradient
        if group["weight_decay"]:
            gradient = gradient + group["weight_decay"] * p.array
        momentum = group["momentum"]
        if momentum:
            velocity = self.state.get(p)
            if velocity is None:
                velocity = gradient * 1  # a copy: the gradient's memory may be written to later
            else:
                velocity = momentum * velocity + (1 - group["dampening"]) * gradient
            self.state[p] = velocity
            gradient = gradient + momentum * velocity if group["nesterov"] else velocity
        p.array -= group["lr"] * gradient


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    raise AttributeError(explain("optim", name, __all__))
