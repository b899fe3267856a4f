"""torch code for a step on one device."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ..expressions import Code, call
from ..languages import Torch

torch: Any = import_module("torch")


class TorchOnDevice(Torch):
    """torch code for tensors on one device."""

    def __init__(self, device: str) -> None:
        self.device = device

    def has(self, function: str) -> bool:
        """Return whether the torch that will run the code has the function."""
        return hasattr(torch, function)

    def full(self, like: str, shape: tuple[int, ...], dtype: Any, number: Any) -> Code:
        return call("torch.full", shape, self.number(number), dtype=self.dtype(dtype), device=self.device)

    def diag_embed(self, x: Code, offset: int) -> Code:
        return call("torch.diag_embed", x, offset)

    def pow(self, a: Any, b: Any) -> Any:
        # torch itself computes such powers as roots, its compiler only where the code says so.
        if isinstance(a, Code) and isinstance(b, float):
            if b == 0.5:
                return self.sqrt(a)
            if b == -0.5:
                return a.method("rsqrt")
        return super().pow(a, b)

    def sign(self, x: Code) -> Code:
        return call("torch.where", x == x, call("torch.sign", x), x)  # torch.sign(NaN) is 0

    def arange(self, n: int) -> Code:
        return call("torch.arange", n, device=self.device).shaped((n,))
