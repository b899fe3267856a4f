"""Gradients, and whether they are recorded: what PyTorch keeps in its `autograd`."""

from typing import Any

from .api.func import functional
from .api.missing import explain
from .engine import own_function as function
from .engine.anomaly import (
    detect_anomaly,
    is_anomaly_check_nan_enabled,
    is_anomaly_enabled,
    set_detect_anomaly,
)
from .engine.backward import backward
from .engine.grad_mode import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from .engine.gradients import grad
from .engine.node import Node
from .engine.own_function import Function
from .engine.variable import Variable
from .utils.finite import gradcheck, gradgradcheck

__all__ = [
    "Function",
    "Node",
    "Variable",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "function",
    "functional",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "is_anomaly_check_nan_enabled",
    "is_anomaly_enabled",
    "is_grad_enabled",
    "no_grad",
    "set_detect_anomaly",
    "set_grad_enabled",
]


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    raise AttributeError(explain("autograd", name, __all__))
