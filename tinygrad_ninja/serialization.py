"""Tensors in files, as safetensors: a `state_dict`, or a nest of Tensors."""

from .api.weights import (
    FileError,
    load_state_dict,
    save_state_dict,
)
from .utils.saving import load, save

__all__ = [
    "FileError",
    "load",
    "load_state_dict",
    "save",
    "save_state_dict",
]
