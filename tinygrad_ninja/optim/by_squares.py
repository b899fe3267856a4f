"""RMSprop and Adagrad: a rate for each number, by the squares of its gradients."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..api.creation import full_like, zeros, zeros_like
from ..api.missing import refuse
from ..arrays.dispatch import namespace_of
from ..engine.hook import number
from ..engine.tensor import Tensor
from .optimizer import Optimizer, check_at_least_0


class RMSprop(Optimizer):
    """p -= lr · dp / (√v + eps), where v is the running mean of dp², v = alpha · v + (1 - alpha) · dp².

    With weight_decay, dp += weight_decay · p first. With momentum, b = momentum · b + dp / (√v + eps), and
    p -= lr · b. centered: v less the square of the running mean of dp, the variance, takes the place of v.
    maximize: climb instead. foreach chooses among PyTorch's ways to compute the same, and changes nothing
    here. Raises ValueError for a negative setting.

    Sources: Hinton's lecture 6 of "Neural Networks for Machine Learning" (2012); centered: Graves, Generating
    Sequences With Recurrent Neural Networks (2013); in the form of PyTorch's documentation.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        refuse("RMSprop", "a step outside of a CUDA graph", capturable=capturable)
        refuse("RMSprop", "p - lr * autograd.grad(…, create_graph=True)", differentiable=differentiable)
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "alpha": alpha,
                "eps": eps,
                "centered": centered,
                "weight_decay": weight_decay,
                "maximize": maximize,
            },
        )

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        check_at_least_0(group, eps="epsilon", momentum="momentum", alpha="alpha")

    def _update(self, p: Tensor, gradient: Any, group: dict[str, Any]) -> None:
        xp, alpha = namespace_of(gradient), group["alpha"]
        gradient = self._descending(p, gradient, group)
        state = self.state.get(p) or self._create_state(p, group)
        square = state["square_avg"].array
        state["step"].array += 1
        square *= alpha
        square += (1 - alpha) * gradient * gradient
        if group["centered"]:
            mean = state["grad_avg"].array
            mean += (1 - alpha) * (gradient - mean)
            square = square - mean * mean
        change = gradient / (xp.sqrt(square) + group["eps"])
        if group["momentum"] > 0:
            velocity = state["momentum_buffer"].array
            velocity *= group["momentum"]
            velocity += change
            change = velocity
        p.array -= group["lr"] * change

    def _keeps_state(self, group: dict[str, Any]) -> bool:
        return True

    def _create_state(self, p: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        names = [
            "square_avg",
            *["momentum_buffer"] * (group["momentum"] > 0),
            *["grad_avg"] * group["centered"],
        ]
        state = self.state[p] = {"step": zeros(()), **{name: zeros_like(p) for name in names}}
        return state


class Adagrad(Optimizer):
    """p -= lr / (1 + (t - 1) · lr_decay) · dp / (√s + eps) at step t, where s is the sum of all dp² so far.

    s begins at initial_accumulator_value. With weight_decay, dp += weight_decay · p first. maximize: climb
    instead. foreach and fused choose among PyTorch's ways to compute the same, and change nothing here.
    Raises ValueError for a negative setting.

    Source: Duchi, Hazan and Singer, Adaptive Subgradient Methods (2011).
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        refuse("Adagrad", "p - lr * autograd.grad(…, create_graph=True)", differentiable=differentiable)
        super().__init__(
            params,
            {
                "lr": lr,
                "lr_decay": lr_decay,
                "eps": eps,
                "weight_decay": weight_decay,
                "initial_accumulator_value": initial_accumulator_value,
                "maximize": maximize,
            },
        )
        for group in self.param_groups:
            for p in group["params"]:
                self._create_state(p, group)

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        check_at_least_0(
            group,
            lr_decay="lr_decay",
            initial_accumulator_value="initial_accumulator_value",
            eps="epsilon",
        )

    def _update(self, p: Tensor, gradient: Any, group: dict[str, Any]) -> None:
        gradient = self._descending(p, gradient, group)
        state = self.state.get(p) or self._create_state(p, group)
        total = state["sum"].array
        state["step"].array += 1
        rate = group["lr"] / (1 + (number(state["step"]) - 1) * group["lr_decay"])
        total += gradient * gradient
        p.array -= rate * gradient / (namespace_of(total).sqrt(total) + group["eps"])

    def _create_state(self, p: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        start = full_like(p.detach(), group["initial_accumulator_value"])
        state = self.state[p] = {"step": zeros(()), "sum": start}
        return state
