"""Adam, and AdamW with its weight decay decoupled from the gradient."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..api.creation import zeros, zeros_like
from ..api.missing import refuse
from ..arrays.dispatch import namespace_of
from ..engine.hook import number
from ..engine.tensor import Tensor
from .optimizer import Optimizer, check_at_least_0


def check_betas(group: dict[str, Any]) -> None:
    """Raise ValueError for a beta that is not in [0, 1), or for one Tensor, TypeError for two."""
    tensors = [isinstance(beta, Tensor) for beta in group["betas"]]
    if any(tensors) and not all(tensors):
        raise ValueError("betas must be either both floats or both Tensors")
    if any(tensors):
        raise TypeError("betas must be Python numbers, not Tensors")
    for i, beta in enumerate(group["betas"]):
        if not 0 <= beta < 1:
            raise ValueError(f"Invalid beta parameter at index {i}: {beta}")


class Adam(Optimizer):
    """p -= lr · m̂ / (√v̂ + eps), where m and v are running means of the gradient and of its square, by
    betas.

    m̂ = m / (1 - β₁ᵗ) and v̂ = v / (1 - β₂ᵗ) are m and v at step t with the bias towards their start at 0
    divided out.

    With weight_decay, the gradient grows by weight_decay · p first; with decoupled_weight_decay p itself
    shrinks, by lr · weight_decay · p, as in AdamW. amsgrad: the greatest v so far is used for v. maximize:
    climb instead. foreach and fused choose among PyTorch's ways to compute the same, and change nothing here.
    Raises ValueError for a negative setting, and for a beta that is not in [0, 1).

    Sources: Kingma and Ba, Adam (2015); Loshchilov and Hutter, Decoupled Weight Decay Regularization (2019);
    Reddi et al., On the Convergence of Adam and Beyond (2018); eps is added where PyTorch's documentation
    adds it.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        refuse("Adam", "a step outside of a CUDA graph", capturable=capturable)
        refuse("Adam", "p - lr * autograd.grad(…, create_graph=True)", differentiable=differentiable)
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "amsgrad": amsgrad,
                "maximize": maximize,
                "decoupled_weight_decay": decoupled_weight_decay,
            },
        )

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        check_at_least_0(group, eps="epsilon")
        check_betas(group)

    def _update(self, p: Tensor, gradient: Any, group: dict[str, Any]) -> None:
        xp, lr = namespace_of(gradient), group["lr"]
        beta1, beta2 = group["betas"]
        gradient = self._descending(p, gradient, group)
        state = self.state.get(p) or self._create_state(p, group)
        mean, square = state["exp_avg"].array, state["exp_avg_sq"].array
        state["step"].array += 1
        t = number(state["step"])
        mean += (1 - beta1) * (gradient - mean)
        square *= beta2
        square += (1 - beta2) * gradient * gradient
        if group["amsgrad"]:
            greatest = state["max_exp_avg_sq"].array
            greatest[...] = square = xp.maximum(greatest, square)
        spread = xp.sqrt(square)
        spread /= (1 - beta2**t) ** 0.5
        spread += group["eps"]
        p.array -= (lr / (1 - beta1**t)) * mean / spread

    def _keeps_state(self, group: dict[str, Any]) -> bool:
        return True

    def _create_state(self, p: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        names = ["exp_avg", "exp_avg_sq"] + ["max_exp_avg_sq"] * group["amsgrad"]
        state = self.state[p] = {"step": zeros(()), **{name: zeros_like(p) for name in names}}
        return state


class AdamW(Adam):
    """`Adam` with decoupled_weight_decay, which is 0.01 by default."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            decoupled_weight_decay=True,
        )
