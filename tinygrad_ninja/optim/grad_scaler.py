"""`GradScaler`: a loss multiplied before backward, so that small gradients are not 0 in float16."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

from ..api.creation import tensor
from ..arrays import dtypes
from ..arrays.dispatch import namespace_of
from ..arrays.torch_library import is_available
from ..engine.hook import note_unrecorded
from ..engine.tensor import Tensor
from . import Optimizer

_LARGEST = 2.0**128  # beyond float32


class GradScaler:
    """The loss times a scale, and the gradients over it again; a step with an infinite or NaN gradient is
    left out, and the scale made smaller. After growth_interval steps without one it is made larger.

    With enabled=False every method passes on what it is given. The scale is float32. device: "cuda", "torch"
    or "cpu", where the gradients are; "cuda" without a GPU turns it off, with a warning, as in PyTorch.
    ValueError for a growth_factor that is not above 1, and a backoff_factor that is not below.

    Source: Micikevicius et al., Mixed Precision Training (2018), 3.2; the schedule is PyTorch's.
    """

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        if enabled and str(device).startswith("cuda") and not is_available():
            warnings.warn("GradScaler is enabled, but CUDA is not available.  Disabling.", stacklevel=2)
            enabled = False
        if enabled and not growth_factor > 1:
            raise ValueError(f"The growth factor must be > 1.0, not {growth_factor}")
        if enabled and not backoff_factor < 1:
            raise ValueError(f"The backoff factor must be < 1.0, not {backoff_factor}")
        self._enabled, self._scale = enabled, float(init_scale)
        self._growth_factor, self._backoff_factor = growth_factor, backoff_factor
        self._growth_interval, self._growth_tracker = growth_interval, 0
        self._overflowed: dict[Optimizer, bool] = {}  # of those unscaled since `update`: an infinity or a NaN
        self._stepped: set[Optimizer] = set()

    def scale(self, outputs: Any) -> Any:
        """Return a Tensor, or each of a list or tuple, times the scale."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, Tensor):
            return outputs * tensor(self._scale, dtype=dtypes.float32, device=outputs.device)
        if isinstance(outputs, Iterable):
            scaled = map(self.scale, outputs)
            return type(outputs)(scaled) if isinstance(outputs, (list, tuple)) else scaled
        raise ValueError("outputs must be a Tensor or an iterable of Tensors")

    def unscale_(self, optimizer: Optimizer) -> None:
        """Divide the gradients of the optimizer's parameters by the scale, in place, as before clipping them.

        RuntimeError where that was done since `update`, or after `step`; ValueError for float16 gradients:
        the parameters are to be float32.
        """
        if not self._enabled:
            return
        note_unrecorded(
            "GradScaler, which leaves out the step of infinite gradients,",
            "let the function end with backward(), and call unscale_(), step() and update() after it",
        )
        if optimizer in self._stepped:
            raise RuntimeError("unscale_() is being called after step().")
        if optimizer in self._overflowed:
            raise RuntimeError(
                "unscale_() has already been called on this optimizer since the last update()."
            )
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        arrays = [p.grad.array for p in parameters if p.grad is not None]
        if any(p.grad.dtype is dtypes.float16 for p in parameters if p.grad is not None):
            raise ValueError("Attempting to unscale FP16 gradients.")
        assert arrays, "No inf checks were recorded for this optimizer."
        overflowed = False
        for array in arrays:
            xp = namespace_of(array)
            overflowed = overflowed or not bool(xp.all(xp.isfinite(array), None, False))
            array *= 1 / self._scale
        self._overflowed[optimizer] = overflowed

    def step(self, optimizer: Optimizer, *args: Any, **kwargs: Any) -> Any:
        """Take `optimizer.step` where no gradient is infinite or NaN; unscale them before, unless that was
        done.

        RuntimeError for a second step since `update`, and for a closure.
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise RuntimeError("Closure use is not currently supported if GradScaler is enabled.")
        if optimizer in self._stepped:
            raise RuntimeError("step() has already been called since the last update().")
        if optimizer not in self._overflowed:
            self.unscale_(optimizer)
        self._stepped.add(optimizer)
        return None if self._overflowed[optimizer] else optimizer.step(*args, **kwargs)

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """Make the scale smaller where a gradient was infinite or NaN since the last `update`, larger after
        growth_interval updates without; or `new_scale`. Once, after the steps of all optimizers."""
        if not self._enabled:
            return
        if new_scale is not None:
            self._scale = float(new_scale)
        else:
            assert self._overflowed, "No inf checks were recorded prior to update."
            if any(self._overflowed.values()):
                self._scale *= self._backoff_factor
                self._growth_tracker = 0
            else:
                self._growth_tracker += 1
                if self._growth_tracker == self._growth_interval:
                    grown = self._scale * self._growth_factor
                    self._scale = grown if grown < _LARGEST else self._scale
                    self._growth_tracker = 0
        self._overflowed.clear()
        self._stepped.clear()

    def get_scale(self) -> float:
        """Return the scale; 1 where it is not enabled."""
        return self._scale if self._enabled else 1.0

    def get_growth_factor(self) -> float:
        """Return the factor that the scale grows by."""
        return self._growth_factor

    def get_backoff_factor(self) -> float:
        """Return the factor that the scale shrinks by."""
        return self._backoff_factor

    def get_growth_interval(self) -> int:
        """After how many updates it grows."""
        return self._growth_interval

    def is_enabled(self) -> bool:
        """Return whether it does anything."""
        return self._enabled

    def state_dict(self) -> dict[str, Any]:
        """Return all that decides how it goes on, in PyTorch's layout; nothing where it is not enabled."""
        if not self._enabled:
            return {}
        return {
            "scale": self._scale,
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._growth_tracker,
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave, here or in PyTorch. RuntimeError for that of one not enabled."""
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError(
                "The source state dict is empty, possibly because it was saved from a disabled instance of "
                "GradScaler."
            )
        for name, value in {name: state_dict[name] for name in self.state_dict()}.items():
            setattr(self, f"_{name.removeprefix('_')}", value)
