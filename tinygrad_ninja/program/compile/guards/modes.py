"""The engine's settings, of the process and of a thread, that decide what operations compute and record."""

from __future__ import annotations

from typing import Any, NamedTuple

from ....api import determinism
from ....api.casting import halves
from ....arrays import dtypes
from ....arrays.torch_library import loaded_torch
from ....engine.anomaly import is_anomaly_check_nan_enabled, is_anomaly_enabled
from ....engine.attributes import default_device, defaults, device
from ....engine.grad_mode import is_grad_enabled, paused
from ....engine.hook import observers
from ....engine.inference import is_inference_mode_enabled


class Modes(NamedTuple):
    """What they are set to in this thread; autocast: the half precision that it has for each device."""

    default_dtype: dtypes.dtype
    grad_mode: bool
    autocast: dict[str, dtypes.dtype]
    anomaly_detection: bool
    check_nan: bool
    deterministic_algorithms: bool
    default_device: device | None
    inference_mode: bool


def modes() -> Modes:
    """Return the settings as they are now."""
    return Modes(
        dtypes.get_default_dtype(), is_grad_enabled(), halves(), is_anomaly_enabled(),
        is_anomaly_check_nan_enabled(), determinism.are_deterministic_algorithms_enabled(),
        default_device(), is_inference_mode_enabled(),
    )  # fmt: skip


def comparison(mode: Modes) -> tuple[str, dict[str, Any]]:
    """Return the expression for whether the settings are these, and its names."""
    names: dict[str, Any] = {"modes": modes, "mode": mode}
    if not mode.grad_mode or observers or mode.default_device:
        return "modes() == mode", names
    names |= {"paused": paused, "observers": observers, "defaults": defaults}
    names |= {"dtypes": dtypes, "default": mode.default_dtype}
    # Nobody observes, so that there is neither autocast nor anomaly detection.
    usual = "not paused and not observers and not defaults and dtypes._default is default"
    names["determined"] = mode.deterministic_algorithms
    torch = loaded_torch()
    if torch is None:  # nor are there arrays of PyTorch's, for which its own setting counts
        names["determinism"] = determinism
        return f"{usual} and determinism._mode is determined or modes() == mode", names
    names["enabled"] = torch.are_deterministic_algorithms_enabled
    return f"{usual} and enabled() is determined or modes() == mode", names


def told(was: Modes, now: Modes) -> str:
    """Return, in words, which of the settings is another now."""
    for name, before, after in zip(Modes._fields, was, now, strict=True):
        if before != after:
            return f"the setting of {name.replace('_', ' ')} was {before} and is {after}"
    return ""
