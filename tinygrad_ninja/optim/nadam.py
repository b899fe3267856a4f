"""NAdam: Adam with Nesterov's momentum."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..api.creation import ones, zeros, zeros_like
from ..api.missing import refuse
from ..arrays.dispatch import namespace_of
from ..engine.hook import number
from ..engine.tensor import Tensor
from .adam import check_betas
from .optimizer import Optimizer, check_at_least_0


class NAdam(Optimizer):
    """p -= lr · ((1 - μₜ) / (1 - Πμ) · dp + μₜ₊₁ / (1 - Πμ · μₜ₊₁) · m) / (√v̂ + eps), with m, v and v̂ as in
    `Adam`.

    μₜ = β₁ (1 - 0.96^(t · momentum_decay) / 2), and Πμ is the product of those up to step t. With
    weight_decay, dp += weight_decay · p first, or with decoupled_weight_decay p itself shrinks, by lr ·
    weight_decay · p. maximize: climb instead. foreach chooses among PyTorch's ways to compute the same, and
    changes nothing here. Raises ValueError for a negative setting, and for a beta that is not in [0, 1).

    Source: Dozat, Incorporating Nesterov Momentum into Adam (2016).
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        refuse("NAdam", "a step outside of a CUDA graph", capturable=capturable)
        refuse("NAdam", "p - lr * autograd.grad(…, create_graph=True)", differentiable=differentiable)
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "momentum_decay": momentum_decay,
                "decoupled_weight_decay": decoupled_weight_decay,
                "maximize": maximize,
            },
        )

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        check_at_least_0(group, eps="epsilon", momentum_decay="momentum_decay")
        check_betas(group)

    def _update(self, p: Tensor, gradient: Any, group: dict[str, Any]) -> None:
        xp, lr = namespace_of(gradient), group["lr"]
        beta1, beta2 = group["betas"]
        gradient = self._descending(p, gradient, group)
        state = self.state.get(p) or self._create_state(p)
        mean, square = state["exp_avg"].array, state["exp_avg_sq"].array
        state["step"].array += 1
        t = number(state["step"])
        now, after = (beta1 * (1 - 0.5 * 0.96 ** (at * group["momentum_decay"])) for at in (t, t + 1))
        state["mu_product"].array *= now
        product = number(state["mu_product"])
        mean += (1 - beta1) * (gradient - mean)
        square *= beta2
        square += (1 - beta2) * gradient * gradient
        spread = xp.sqrt(square / (1 - beta2**t)) + group["eps"]
        p.array -= (lr * (1 - now) / (1 - product)) * gradient / spread
        p.array -= (lr * after / (1 - product * after)) * mean / spread

    def _keeps_state(self, group: dict[str, Any]) -> bool:
        return True

    def _create_state(self, p: Tensor) -> dict[str, Any]:
        averages = {name: zeros_like(p) for name in ("exp_avg", "exp_avg_sq")}
        state = self.state[p] = {"step": zeros(()), "mu_product": ones(()), **averages}
        return state
