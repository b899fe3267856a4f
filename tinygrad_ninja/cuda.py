"""The GPU: `device = "cuda" if cuda.is_available() else "cpu"`, as in PyTorch."""

from typing import Any

from .api.gpu import (
    current_device,
    device_count,
    empty_cache,
    get_device_name,
    is_bf16_supported,
    manual_seed,
    manual_seed_all,
    max_memory_allocated,
    memory_allocated,
    seed,
    seed_all,
    set_device,
    synchronize,
)
from .api.missing import explain
from .arrays.torch_library import is_available

__all__ = [
    "current_device",
    "device_count",
    "empty_cache",
    "get_device_name",
    "is_available",
    "is_bf16_supported",
    "manual_seed",
    "manual_seed_all",
    "max_memory_allocated",
    "memory_allocated",
    "seed",
    "seed_all",
    "set_device",
    "synchronize",
]


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    raise AttributeError(explain("cuda", name, __all__))
