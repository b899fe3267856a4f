"""A learning rate that falls where the loss stays as it is."""

from __future__ import annotations

import math
from typing import Any, SupportsFloat

from ..api.missing import refuse
from ..engine.hook import note_unrecorded
from .optimizer import Optimizer
from .schedule import LRScheduler


class ReduceLROnPlateau(LRScheduler):
    """The rate times `factor`, after more than `patience` steps in a row without a better number.

    `step` is given the number: with mode="min" a lower one is better, with "max" a higher one, by more than
    `threshold`, which with threshold_mode="rel" is a part of the best one so far, with "abs" itself. After a
    reduction `cooldown` steps do not count. min_lr: no rate falls below it; one, or one for each group. eps:
    a reduction by less is left out. Raises ValueError for a factor of 1 or more, another mode, and another
    number of min_lr; TypeError where the first argument is no Optimizer.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: list[float] | float = 0,
        eps: float = 1e-8,
    ) -> None:
        if factor >= 1:
            raise ValueError(f"ReduceLROnPlateau: factor should be below 1, not {factor}")
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        if mode not in ("min", "max"):
            raise ValueError(f"mode {mode} is unknown: min or max")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f"threshold mode {threshold_mode} is unknown: rel or abs")
        groups = optimizer.param_groups
        self.default_min_lr = None if isinstance(min_lr, (list, tuple)) else min_lr
        self.min_lrs = list(min_lr) if isinstance(min_lr, (list, tuple)) else [min_lr] * len(groups)
        if len(self.min_lrs) != len(groups):
            raise ValueError(f"expected {len(groups)} min_lrs, got {len(self.min_lrs)}")
        self.optimizer, self.factor, self.patience, self.cooldown = optimizer, factor, patience, cooldown
        self.mode, self.threshold, self.threshold_mode, self.eps = mode, threshold, threshold_mode, eps
        self.best = self.mode_worse = math.inf if mode == "min" else -math.inf
        self.last_epoch = self.cooldown_counter = self.num_bad_epochs = 0
        self._last_lr = [group["lr"] for group in groups]

    def step(self, metrics: SupportsFloat, epoch: int | None = None) -> None:  # type: ignore[override]
        """Take note of the number that should become better, a float or a Tensor of one element."""
        refuse("ReduceLROnPlateau.step", "counting the steps (the default)", epoch=epoch)
        note_unrecorded(
            "ReduceLROnPlateau.step, which a loss decides,", "call it after the compiled function"
        )
        current = float(metrics)
        self.last_epoch += 1
        self.num_bad_epochs += 1
        if self._is_better(current):
            self.best, self.num_bad_epochs = current, 0
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    @property
    def in_cooldown(self) -> bool:
        """Return whether the steps do not count, after a reduction."""
        return self.cooldown_counter > 0

    def _is_better(self, current: float) -> bool:
        sign = 1 if self.mode == "max" else -1
        relative = self.threshold_mode == "rel"
        needed = self.best * (1 + sign * self.threshold) if relative else self.best + sign * self.threshold
        return sign * current > sign * needed

    def _reduce(self) -> None:
        groups = self.optimizer.param_groups
        if len(groups) != len(self.min_lrs):  # groups were added
            if self.default_min_lr is None:
                raise RuntimeError(
                    f"there are {len(groups)} param groups and {len(self.min_lrs)} min_lrs: append one for "
                    "each group that was added"
                )
            self.min_lrs = [self.default_min_lr] * len(groups)
        for group, lowest in zip(groups, self.min_lrs, strict=True):
            reduced = max(group["lr"] * self.factor, lowest)
            if group["lr"] - reduced > self.eps:
                group["lr"] = reduced

    def load_state_dict(self, state_dict: Any) -> None:
        """Continue from where `state_dict` was called, here or in PyTorch."""
        vars(self).update(state_dict)
