"""PyTorch's own generator for a GPU, which draws different numbers there than on the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..arrays.dispatch import move
from ..arrays.torch_library import require_torch
from ..engine.tensor import Tensor, wrap
from ..engine.tensor import device as Device
from .generator import Array, Generator, observed


class TorchGenerator(Generator):
    """The generator that `Generator(device="cuda")` returns.

    `rand`, `randn`, `normal`, `randint`, `randperm`, `multinomial`, `uniform_` and `normal_` draw from it the
    numbers that they draw in PyTorch from `torch.Generator(device="cuda")`. They are drawn on that device,
    and then moved to where they were asked for. Raises ImportError without PyTorch, RuntimeError without that
    device.
    """

    def __init__(self, device: str | Device) -> None:
        self._torch = require_torch(f"a generator on {device}")
        self.device = Device(device)
        self._place = "cpu" if self.device.type == "torch" else str(self.device)
        # Raises where the device does not exist.
        move(np.zeros(0), "torch" if self._place == "cpu" else f"cuda:{self.device.index or 0}")
        self._generator = self._torch.Generator(device=self._place)

    @observed
    def manual_seed(self, seed: int) -> Generator:
        """Restart the stream from `seed` and return self."""
        self._generator.manual_seed(seed)
        return self

    @observed
    def seed(self) -> int:
        """Restart the stream from a seed that PyTorch draws, and return that seed."""
        return int(self._generator.seed())

    @observed
    def initial_seed(self) -> int:
        """Return the seed that the stream started from."""
        return int(self._generator.initial_seed())

    @observed
    def get_state(self) -> Tensor:
        """Return the state of the stream: a uint8 Tensor that `torch.Generator.set_state` of such a device
        takes too."""
        return wrap(self._generator.get_state().numpy())

    @observed
    def set_state(self, new_state: Tensor | Array) -> Generator:
        """Continue from a state that `get_state` returned, here or in PyTorch, and return self.

        Raises RuntimeError if it is no state of such a generator.
        """
        state = np.asarray(new_state.numpy() if isinstance(new_state, Tensor) else new_state)
        self._generator.set_state(self._torch.from_numpy(state.copy()))
        return self

    def mark(self) -> Any:
        """Return where the stream is, for `return_to`."""
        return self._generator.get_state()

    def is_at(self, mark: Any) -> bool:
        """Return whether the stream is where it was when `mark` was called."""
        return bool(self._torch.equal(mark, self._generator.get_state()))

    def return_to(self, mark: Any) -> None:
        """Continue from where the stream was when `mark` was called."""
        self._generator.set_state(mark)

    @observed
    def uniform(
        self, n: int, dtype: npt.DTypeLike = np.float32, low: float = 0.0, high: float = 1.0
    ) -> Array:
        """Return `n` values of [low, high), as an array of `dtype`."""
        return self._draw(n, dtype, "uniform_", low, high)

    @observed
    def normal(
        self,
        n: int,
        dtype: npt.DTypeLike = np.float32,
        mean: float = 0.0,
        std: float = 1.0,
        contiguous: bool = True,
    ) -> Array:
        """Return `n` values of the normal distribution, as an array of `dtype`."""
        return self._draw(n, dtype, "normal_", mean, std)

    @observed
    def exponential(self, n: int, dtype: npt.DTypeLike = np.float32, rate: float = 1.0) -> Array:
        """Return `n` values of the exponential distribution of that rate, as an array of `dtype`."""
        return self._draw(n, dtype, "exponential_", rate)

    def _draw(self, n: int, dtype: npt.DTypeLike, method: str, *settings: float) -> Array:
        """Return `n` values that the method of PyTorch's draws, as an array of `dtype`."""
        out = self._torch.empty(n, dtype=getattr(self._torch, np.dtype(dtype).name), device=self._place)
        return self._to_numpy(getattr(out, method)(*settings, generator=self._generator))

    @observed
    def integers(self, low: int, high: int, n: int) -> npt.NDArray[np.int64]:
        """Return `n` int64 values of [low, high)."""
        return self._to_numpy(
            self._torch.randint(low, high, (n,), generator=self._generator, device=self._place)
        )

    @observed
    def permutation(self, n: int) -> npt.NDArray[np.int64]:
        """Return the integers of [0, n) in random order, int64."""
        return self._to_numpy(self._torch.randperm(n, generator=self._generator, device=self._place))

    @observed
    def multinomial(self, p: Array, num_samples: int, replacement: bool = False) -> npt.NDArray[np.int64]:
        """Return `num_samples` classes for each row of weights `p`: see `Generator.multinomial`."""
        weights = self._torch.from_numpy(np.array(p)).to(self._place)
        return self._to_numpy(
            self._torch.multinomial(weights, num_samples, replacement, generator=self._generator)
        )

    def _to_numpy(self, numbers: Any) -> Array:
        array: Array = numbers.cpu().numpy()
        return array
