"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..api.missing import refuse
from ..arrays.dispatch import namespace_of
from ..engine.tensor import Tensor, wrap
from .optimizer import Optimizer


class SGD(Optimizer):
    """Stochastic gradient descent: p -= lr · dp, with PyTorch's momentum, weight decay and Nesterov's
    variant.

    With weight_decay, dp += weight_decay · p first. With momentum, v = momentum · v + (1 - dampening) · dp
    (at the first step v = dp) is used for dp; with nesterov, dp + momentum · v. maximize: climb instead.
    foreach and fused choose among PyTorch's ways to compute the same, and change nothing here. Raises
    ValueError for a negative setting, and for nesterov without momentum or with dampening.

    Source: Sutskever et al., On the importance of initialization and momentum in deep learning (2013), in the
    form of PyTorch's documentation of SGD.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        refuse("SGD", "p - lr * autograd.grad(…, create_graph=True)", differentiable=differentiable)
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
                "maximize": maximize,
            },
        )

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        if not group["momentum"] >= 0:
            raise ValueError(f"Invalid momentum value: {group['momentum']}")
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")

    def _update(self, p: Tensor, gradient: Any, group: dict[str, Any]) -> None:
        gradient = self._descending(p, gradient, group)
        momentum = group["momentum"]
        if momentum:
            state = self.state.get(p)
            if state is None or state["momentum_buffer"] is None:  # PyTorch's state before the first step
                velocity = namespace_of(gradient).copy(
                    gradient
                )  # a copy, since the gradient's memory may change later
                self.state[p] = {"momentum_buffer": wrap(velocity)}
            else:
                velocity = state["momentum_buffer"].array
                velocity *= momentum
                velocity += (1 - group["dampening"]) * gradient
            gradient = gradient + momentum * velocity if group["nesterov"] else velocity
        p.array -= group["lr"] * gradient

    def _keeps_state(self, group: dict[str, Any]) -> bool:
        return bool(group.get("momentum"))
