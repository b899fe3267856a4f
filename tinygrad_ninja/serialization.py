"""Weights in files: a `state_dict` as safetensors."""

from .api.weights import (
    FileError,
    load_state_dict,
    save_state_dict,
)

__all__ = [
    "FileError",
    "load_state_dict",
    "save_state_dict",
]
