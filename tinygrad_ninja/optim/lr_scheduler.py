"""Schedules of the learning rate, under the names of `torch.optim.lr_scheduler`."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from types import FunctionType
from typing import Any

from ..api.missing import explain
from .one_cycle import OneCycleLR
from .optimizer import Optimizer
from .plateau import ReduceLROnPlateau
from .schedule import LRScheduler

__all__ = [
    "ConstantLR", "CosineAnnealingLR", "ExponentialLR", "LRScheduler", "LambdaLR", "LinearLR", "MultiStepLR",
    "OneCycleLR", "PolynomialLR", "ReduceLROnPlateau", "SequentialLR", "StepLR",
]  # fmt: skip


class LambdaLR(LRScheduler):
    """The first rate times lr_lambda(epoch): one function, or a list with one for each group.

    The `state_dict` has the attributes of callable objects, and None for functions. Raises ValueError for a
    list of another length.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | list[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        n = len(optimizer.param_groups) if isinstance(optimizer, Optimizer) else 1
        self.lr_lambdas = list(lr_lambda) if isinstance(lr_lambda, (list, tuple)) else [lr_lambda] * n
        if len(self.lr_lambdas) != n:
            raise ValueError(f"Expected {n} lr_lambdas, but got {len(self.lr_lambdas)}")
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return the rates at `last_epoch`, whatever the optimizer's current rates are."""
        return [base * f(self.last_epoch) for f, base in zip(self.lr_lambdas, self.base_lrs, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        """Return its own state, with a list of the attributes of each function that is an object."""
        states = [
            {**vars(f)} if hasattr(f, "__dict__") and not isinstance(f, FunctionType) else None
            for f in self.lr_lambdas
        ]
        return {**super().state_dict(), "lr_lambdas": states}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue from where `state_dict` was called; ValueError where it is not the state of such a
        schedule."""
        super().load_state_dict({**state_dict, "lr_lambdas": self.lr_lambdas})
        for f, state in zip(self.lr_lambdas, state_dict.get("lr_lambdas", ()), strict=False):
            if state is not None:
                vars(f).update(state)


class _Shaped(LRScheduler):
    """A schedule with a factor for every epoch.

    A step multiplies the optimizer's rate by the ratio of two factors, so that several schedules of one
    optimizer multiply, and a rate that was changed in between stays changed.
    """

    def _factor(self, epoch: int) -> float:
        """Return the factor of the first rate after this many steps."""
        raise NotImplementedError

    def _floor(self) -> float:
        """Return the part of the rate to which the factor does not apply."""
        return 0.0

    def get_lr(self) -> list[float]:
        """Return the rates at `last_epoch`, given that the optimizer has those of the step before."""
        factor = self._factor(self.last_epoch)
        previous_factor = self._factor(self.last_epoch - 1) if self.last_epoch else 1.0
        floor, groups = self._floor(), self.optimizer.param_groups
        if not previous_factor:  # a rate at the floor cannot be scaled: it is computed from the first rate
            return [
                group["lr"] + (base - floor) * factor
                for base, group in zip(self.base_lrs, groups, strict=True)
            ]
        return [floor + (group["lr"] - floor) * (factor / previous_factor) for group in groups]


class StepLR(_Shaped):
    """The rate times gamma, every step_size steps."""

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def _factor(self, epoch: int) -> float:
        """Return gamma to the power of the number of step_sizes that are over."""
        return self.gamma ** (epoch // self.step_size)


class MultiStepLR(_Shaped):
    """The rate times gamma, at each of the milestones, which are numbers of steps."""

    def __init__(
        self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.milestones, self.gamma = sorted(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def _factor(self, epoch: int) -> float:
        """Return gamma to the power of the number of milestones that are over."""
        return self.gamma ** bisect_right(self.milestones, epoch)


class ExponentialLR(_Shaped):
    """The rate times gamma, every step."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def _factor(self, epoch: int) -> float:
        """Return gamma to the power of the steps."""
        return self.gamma**epoch


class LinearLR(_Shaped):
    """A factor that goes from start_factor to end_factor in total_iters even steps, and stays: a warm-up.

    Raises ValueError unless 0 < start_factor ≤ 1 and 0 ≤ end_factor ≤ 1.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0 < start_factor <= 1:
            raise ValueError(f"LinearLR: start_factor must be above 0 and at most 1, not {start_factor}")
        if not 0 <= end_factor <= 1:
            raise ValueError(f"LinearLR: end_factor must be between 0 and 1, not {end_factor}")
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer, last_epoch)

    def _factor(self, epoch: int) -> float:
        """Return the value at `epoch` of the line between the two factors."""
        progress = min(epoch, self.total_iters) / self.total_iters if self.total_iters else 0.0
        return self.start_factor + (self.end_factor - self.start_factor) * progress


class ConstantLR(_Shaped):
    """The rate times `factor` for the first total_iters steps, for ever with 0 of them.

    Raises ValueError unless 0 ≤ factor ≤ 1.
    """

    def __init__(
        self, optimizer: Optimizer, factor: float = 1.0 / 3, total_iters: int = 5, last_epoch: int = -1
    ) -> None:
        if not 0 <= factor <= 1:
            raise ValueError(f"ConstantLR: factor must be between 0 and 1, not {factor}")
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def _factor(self, epoch: int) -> float:
        """Return `factor` before the last of the steps, then 1."""
        return self.factor if epoch < self.total_iters or not self.total_iters else 1.0


class PolynomialLR(_Shaped):
    """The rate falls to 0 in total_iters steps, as (1 - epoch / total_iters)^power; with 0 steps it stays."""

    def __init__(
        self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1
    ) -> None:
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer, last_epoch)

    def _factor(self, epoch: int) -> float:
        """Return (1 - epoch / total_iters)^power, 0 from there on."""
        if not self.total_iters:
            return 1.0
        return float((1 - min(epoch, self.total_iters) / self.total_iters) ** self.power)


class CosineAnnealingLR(_Shaped):
    """The rate falls along half a cosine, from the first one to eta_min in T_max steps (Loshchilov and Hutter
    2017), and would then rise again."""

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def _factor(self, epoch: int) -> float:
        """Return (1 + cos(π epoch / T_max)) / 2, the factor of the part above eta_min."""
        return (1 + math.cos(math.pi * epoch / self.T_max)) / 2

    def _floor(self) -> float:
        """Return eta_min."""
        return self.eta_min


class SequentialLR(LRScheduler):
    """One schedule after the other; the next one starts at each of the milestones, which are numbers of
    steps.

    Raises ValueError for no schedule, unless there is a milestone between each two schedules, and for
    schedules of another optimizer.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: list[LRScheduler],
        milestones: list[int],
        last_epoch: int = -1,
    ) -> None:
        if not schedulers:
            raise ValueError("SequentialLR expects at least one scheduler, but got no scheduler.")
        if any(scheduler.optimizer is not optimizer for scheduler in schedulers):
            raise ValueError(
                "SequentialLR expects all schedulers to belong to the optimizer that it was given"
            )
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                "SequentialLR expects one milestone between each two schedulers, but got "
                f"{len(schedulers)} schedulers and {len(milestones)} milestones"
            )
        self._schedulers, self._milestones = schedulers, milestones
        super().__init__(optimizer, last_epoch)

    def _advance(self) -> None:
        """Advance by one, or start the next schedule."""
        self.last_epoch += 1
        i = bisect_right(self._milestones, self.last_epoch)
        current = self._schedulers[i]
        if self.last_epoch == (self._milestones[i - 1] if i else 0):
            current._restart()
        else:
            current.step()
        self._last_lr = current.get_last_lr()

    def state_dict(self) -> dict[str, Any]:
        """Return its own state, with a list of those of the schedules."""
        states = [scheduler.state_dict() for scheduler in self._schedulers]
        return {**super().state_dict(), "_schedulers": states}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue from where `state_dict` was called; ValueError where it is not the state of such
        schedules."""
        states = state_dict.get("_schedulers", ())
        if len(states) != len(self._schedulers):
            raise ValueError(
                f"the state holds {len(states)} schedules, and there are {len(self._schedulers)}"
            )
        for scheduler, state in zip(self._schedulers, states, strict=True):
            scheduler.load_state_dict(state)
        super().load_state_dict({**state_dict, "_schedulers": self._schedulers})


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    raise AttributeError(explain("optim.lr_scheduler", name, __all__))
