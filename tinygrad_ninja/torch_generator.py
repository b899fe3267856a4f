"""PyTorch's own generator, for a GPU: it draws other numbers there than on the CPU, and these are them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .cuda import require_torch
from .generator import Array, Generator, observed
from .kinds import move
from .tensors import Tensor, wrap
from .tensors import device as Device


class TorchGenerator(Generator):
    """What `Generator(device="cuda")` makes: `rand`, `randn`, `normal`, `randint`, `randperm`, `multinomial`,
    `uniform_` and `normal_` draw from it what they draw in PyTorch from `torch.Generator(device="cuda")`.

    The numbers are drawn on that device, and then moved to where they were asked for. ImportError without
    PyTorch, RuntimeError without that device.
    """

    def __init__(self, device: str | Device) -> None:
        self._torch = require_torch(f"a generator on {device}")
        self.device = Device(device)
        self._place = "cpu" if self.device.type == "torch" else str(self.device)
        move(
            np.zeros(0), "torch" if self._place == "cpu" else f"cuda:{self.device.index or 0}"
        )  # is it there?
        self._generator = self._torch.Generator(device=self._place)

    @observed
    def manual_seed(self, seed: int) -> Generator:
        self._generator.manual_seed(seed)
        return self

    @observed
    def seed(self) -> int:
        return int(self._generator.seed())

    def initial_seed(self) -> int:
        return int(self._generator.initial_seed())

    @observed
    def get_state(self) -> Tensor:
        """Where the stream is: a uint8 Tensor that `torch.Generator.set_state` of such a device takes too."""
        return wrap(self._generator.get_state().numpy())

    @observed
    def set_state(self, new_state: Tensor | Array) -> Generator:
        """Continue from a state that `get_state`, here or in PyTorch, gave, and return self. RuntimeError if
        it is no state of such a generator."""
        state = np.asarray(new_state.numpy() if isinstance(new_state, Tensor) else new_state)
        self._generator.set_state(self._torch.from_numpy(state.copy()))
        return self

    @observed
    def uniform(
        self, n: int, dtype: npt.DTypeLike = np.float32, low: float = 0.0, high: float = 1.0
    ) -> Array:
        return self._filled(n, dtype, "uniform_", low, high)

    @observed
    def normal(
        self,
        n: int,
        dtype: npt.DTypeLike = np.float32,
        mean: float = 0.0,
        std: float = 1.0,
        contiguous: bool = True,
    ) -> Array:
        return self._filled(n, dtype, "normal_", mean, std)

    @observed
    def exponential(self, n: int, dtype: npt.DTypeLike = np.float32) -> Array:
        return self._filled(n, dtype, "exponential_", 1.0)

    def _filled(self, n: int, dtype: npt.DTypeLike, method: str, *settings: float) -> Array:
        out = self._torch.empty(n, dtype=getattr(self._torch, np.dtype(dtype).name), device=self._place)
        return self._here(getattr(out, method)(*settings, generator=self._generator))

    @observed
    def integers(self, low: int, high: int, n: int) -> npt.NDArray[np.int64]:
        return self._here(self._torch.randint(low, high, (n,), generator=self._generator, device=self._place))

    @observed
    def permutation(self, n: int) -> npt.NDArray[np.int64]:
        return self._here(self._torch.randperm(n, generator=self._generator, device=self._place))

    @observed
    def multinomial(self, p: Array, num_samples: int, replacement: bool = False) -> npt.NDArray[np.int64]:
        weights = self._torch.from_numpy(np.array(p)).to(self._place)
        return self._here(
            self._torch.multinomial(weights, num_samples, replacement, generator=self._generator)
        )

    def _here(self, drawn: Any) -> Array:
        array: Array = drawn.cpu().numpy()
        return array
