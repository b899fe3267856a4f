"""Optimizers under PyTorch's names: they change the parameters by their gradients."""

from typing import Any

from ..api.missing import explain
from . import lr_scheduler
from .adam import Adam, AdamW
from .by_squares import Adagrad, RMSprop
from .nadam import NAdam
from .optimizer import Optimizer
from .sgd import SGD

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "NAdam", "Optimizer", "RMSprop", "lr_scheduler"]


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    raise AttributeError(explain("optim", name, __all__))
