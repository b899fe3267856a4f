"""Layers, under PyTorch's names, with its parameter names and its `state_dict` keys."""

from typing import Any

from ..missing import explain
from . import functional
from .layers import BatchNorm1d, Embedding, Flatten, Linear, Tanh
from .module import Module, Parameter, Sequential

__all__ = [
    "BatchNorm1d",
    "Embedding",
    "Flatten",
    "Linear",
    "Module",
    "Parameter",
    "Sequential",
    "Tanh",
    "functional",
]


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    raise AttributeError(explain("nn", name, __all__))
