"""A learning rate that rises and falls once, while the momentum falls and rises."""

from __future__ import annotations

import math
from typing import Any

from .optimizer import Optimizer
from .schedule import LRScheduler


class OneCycleLR(LRScheduler):
    """The rate rises from max_lr / div_factor to max_lr in the first part of the steps, pct_start of them,
    and falls from there to max_lr / div_factor / final_div_factor (Smith and Topin 2018).

    The number of steps is total_steps, or epochs · steps_per_epoch. anneal_strategy: along half a cosine,
    "cos", or a line, "linear". cycle_momentum: the momentum, or Adam's first beta, goes from max_momentum to
    base_momentum and back. three_phase: the rate first falls to where it began, as fast as it rose, and then
    to its end. max_lr, max_momentum, base_momentum: one number, or one for each group. Raises ValueError for
    settings out of their range and for an optimizer that has no momentum to cycle, TypeError for what is no
    optimizer.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        self.total_steps = _number_of_steps(total_steps, epochs, steps_per_epoch)
        if not isinstance(pct_start, float) or not 0 <= pct_start <= 1:
            raise ValueError(f"Expected float between 0 and 1 pct_start, but got {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must be one of 'cos' or 'linear', not {anneal_strategy}")
        self._anneal_func_type = anneal_strategy
        self._schedule_phases = _phases(self.total_steps, pct_start, three_phase)
        groups = optimizer.param_groups
        for group, highest in zip(groups, _each("max_lr", max_lr, groups), strict=True):
            first = highest / div_factor
            group.update(initial_lr=first, max_lr=highest, min_lr=first / final_div_factor)
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            if not {"momentum", "betas"} & optimizer.defaults.keys():
                raise ValueError(
                    "OneCycleLR: the optimizer has no momentum and no betas: give cycle_momentum=False"
                )
            self.use_beta1 = "betas" in optimizer.defaults
            highs = _each("max_momentum", max_momentum, groups)
            lows = _each("base_momentum", base_momentum, groups)
            for group, high, low in zip(groups, highs, lows, strict=True):
                group.update(max_momentum=high, base_momentum=low)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return the rates at `last_epoch`, and set the momentum that goes with them.

        Raises ValueError after the last step.
        """
        step = self.last_epoch
        if step > self.total_steps:
            raise ValueError(
                f"Tried to step {step} times. The specified number of total steps is {self.total_steps}"
            )
        start = 0.0
        for phase in self._schedule_phases:
            end = phase["end_step"]
            if step <= end or phase is self._schedule_phases[-1]:
                break
            start = end
        progress = (step - start) / (end - start)
        rates = []
        for group in self.optimizer.param_groups:
            rates.append(self._between(group[phase["start_lr"]], group[phase["end_lr"]], progress))
            if self.cycle_momentum:
                ends = group[phase["start_momentum"]], group[phase["end_momentum"]]
                momentum = self._between(*ends, progress)
                if self.use_beta1:
                    group["betas"] = (momentum, *group["betas"][1:])
                else:
                    group["momentum"] = momentum
        return rates

    def _between(self, first: float, last: float, progress: float) -> float:
        if self._anneal_func_type == "linear":
            return first + (last - first) * progress
        return last + (first - last) / 2 * (1 + math.cos(math.pi * progress))


def _number_of_steps(total_steps: Any, epochs: Any, steps_per_epoch: Any) -> int:
    given = {"epochs": epochs, "steps_per_epoch": steps_per_epoch}
    if total_steps is not None:
        given = {"total_steps": total_steps}
    elif epochs is None or steps_per_epoch is None:
        raise ValueError("You must define either total_steps OR (epochs AND steps_per_epoch)")
    for name, n in given.items():
        if not isinstance(n, int) or n <= 0:
            raise ValueError(f"Expected positive integer {name}, but got {n}")
    return math.prod(given.values())


def _phases(total_steps: int, pct_start: float, three_phase: bool) -> list[dict[str, Any]]:
    """Return at which step each phase ends, and between which settings of a group it goes."""
    rise = pct_start * total_steps
    ends = [rise - 1, 2 * rise - 2, total_steps - 1] if three_phase else [rise - 1, total_steps - 1]
    rates = ["initial_lr", "max_lr", *["initial_lr"] * three_phase, "min_lr"]
    momenta = ["max_momentum", "base_momentum", "max_momentum", "max_momentum"]
    return [
        {
            "end_step": end,
            "start_lr": rates[i],
            "end_lr": rates[i + 1],
            "start_momentum": momenta[i],
            "end_momentum": momenta[i + 1],
        }
        for i, end in enumerate(ends)
    ]


def _each(name: str, value: float | list[float], groups: list[dict[str, Any]]) -> list[float]:
    """Return a number for each group. ValueError for another number of them."""
    if not isinstance(value, (list, tuple)):
        return [value] * len(groups)
    if len(value) != len(groups):
        raise ValueError(f"{name} must have {len(groups)} values, one for each group, but has {len(value)}")
    return list(value)
