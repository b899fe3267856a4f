"""What is asked about the GPU, and of it.

What the device "cuda" computes is computed by PyTorch, and so these functions are its own; where it is not
installed, or sees no GPU, they answer as it does on such a machine. The seeds are those of PyTorch's
generators on the GPU: here numbers are drawn from the default generator of the CPU, unless a
`Generator("cuda")` is given.
"""

from __future__ import annotations

from typing import Any

from ..arrays.torch_library import import_torch, is_available


def device_count() -> int:
    """Return how many GPUs there are."""
    return int(import_torch().cuda.device_count()) if is_available() else 0


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """Return whether the GPU computes in bfloat16."""
    return is_available() and bool(import_torch().cuda.is_bf16_supported(including_emulation))


def manual_seed(seed: int) -> None:
    """Seed PyTorch's generator of the current GPU, if there is one."""
    _if_available("manual_seed", int(seed))


def manual_seed_all(seed: int) -> None:
    """Seed PyTorch's generators of all GPUs, if there are any."""
    _if_available("manual_seed_all", int(seed))


def seed() -> None:
    """Seed PyTorch's generator of the current GPU, if there is one, by a number of its own."""
    _if_available("seed")


def seed_all() -> None:
    """Seed PyTorch's generators of all GPUs, if there are any, by a number of its own."""
    _if_available("seed_all")


def empty_cache() -> None:
    """Give the memory of the GPU that PyTorch keeps for later back to it, if there is one."""
    _if_available("empty_cache")


def memory_allocated(device: Any = None) -> int:
    """Return how many bytes PyTorch uses on the GPU; 0 without one."""
    return int(_if_available("memory_allocated", _named(device)) or 0)


def max_memory_allocated(device: Any = None) -> int:
    """Return how many bytes PyTorch has used on the GPU at most; 0 without one."""
    return int(_if_available("max_memory_allocated", _named(device)) or 0)


def synchronize(device: Any = None) -> None:
    """Wait until the GPU has computed all that it was given. Raise AssertionError without one."""
    _needed("synchronize", _named(device))


def current_device() -> int:
    """Return the number of the GPU that "cuda" stands for. Raise AssertionError without one."""
    return int(_needed("current_device"))


def set_device(device: Any) -> None:
    """Let "cuda" stand for this GPU. Raise AssertionError without one."""
    _needed("set_device", _named(device))


def get_device_name(device: Any = None) -> str:
    """Return the name of the GPU. Raise AssertionError without one."""
    return str(_needed("get_device_name", _named(device)))


def _named(device: Any) -> Any:
    """Return a device as PyTorch takes it: a number, None, or its name."""
    return device if device is None or isinstance(device, int) else str(device)


def _if_available(name: str, *arguments: Any) -> Any:
    """Return what PyTorch's function of that name returns; None without a GPU."""
    return getattr(import_torch().cuda, name)(*arguments) if is_available() else None


def _needed(name: str, *arguments: Any) -> Any:
    if not is_available():
        raise AssertionError(f"cuda.{name} needs a GPU that PyTorch sees: `cuda.is_available()` is False")
    return _if_available(name, *arguments)
