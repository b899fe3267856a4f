"""The base of the schedules of the learning rate."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from ..api.missing import refuse
from ..engine.hook import observers, observing
from .optimizer import Optimizer, has_stepped

_BOOKKEEPING = {"_step_count", "_is_initial", "_get_lr_called_within_step"}
"""What PyTorch's schedules have in their state beside what decides their rates."""


class LRScheduler:
    """The base: after every step of the optimizer, `step()` sets the rate of each of its groups.

    A subclass computes the rates in its `get_lr`. The schedule starts at epoch 0 when it is created;
    PyTorch's last_epoch, to start later, is not offered: `load_state_dict` continues from an earlier state.
    Raises TypeError where the first argument is no Optimizer.
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        if last_epoch != -1:
            refuse(type(self).__name__, "load_state_dict", last_epoch=last_epoch)
        self.optimizer = optimizer
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self._start()

    def _start(self) -> None:
        self.last_epoch, self._step_count = -1, 0
        self.step()

    def _restart(self) -> None:
        """Go to epoch 0 and the first rates, whatever the current rates are."""
        for base, group in zip(self.base_lrs, self.optimizer.param_groups, strict=True):
            group["lr"] = base
        self._start()

    def get_lr(self) -> list[float]:
        """Return the rates at `last_epoch`, one per group; NotImplementedError unless a subclass overrides
        it."""
        raise NotImplementedError(f"{type(self).__name__} does not say what its rates are")

    def get_last_lr(self) -> list[float]:
        """Return the rates that the last step set, one per group."""
        return self._last_lr

    def step(self) -> None:
        """Advance by one; to be called after the optimizer's step, and warns where that was not."""
        if self._step_count == 1 and not has_stepped(self.optimizer):
            warnings.warn(
                "Detected call of `lr_scheduler.step()` before `optimizer.step()`: the first value of the "
                "learning rate schedule is skipped. Call them in the opposite order.",
                stacklevel=2,
            )
        if not (observers and (observer := observing()) and observer.repeat(self, self._advance)):
            self._advance()

    def _advance(self) -> None:
        """Go to the next epoch, and set its rates."""
        self._step_count += 1
        self.last_epoch += 1
        self._set(self.get_lr())

    def _set(self, rates: list[float]) -> None:
        self._last_lr = [float(rate) for rate in rates]  # NumPy's numbers would decide the parameters' dtype
        for group, rate in zip(self.optimizer.param_groups, self._last_lr, strict=True):
            group["lr"] = rate

    def state_dict(self) -> dict[str, Any]:
        """Return all attributes but the optimizer: numbers, strings and lists of them."""
        return {name: value for name, value in vars(self).items() if name != "optimizer"}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue from where `state_dict` was called; the rates themselves are in the optimizer's state.

        Raises ValueError where it is not the state of such a schedule.
        """
        if state_dict.keys() - _BOOKKEEPING != self.state_dict().keys() - _BOOKKEEPING:
            raise ValueError(
                f"the state of a {type(self).__name__} consists of {', '.join(self.state_dict())}, "
                f"and not of {', '.join(state_dict)}"
            )
        vars(self).update(state_dict)
