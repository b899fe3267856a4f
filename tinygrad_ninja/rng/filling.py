"""Methods that overwrite every element of a Tensor with a random number, as PyTorch's of these names do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..api.creation import _finish
from ..api.register import method_only
from ..api.selection import EVERYWHERE
from ..engine.tensor import Tensor
from ..ops.indexing import put
from .draws import bernoulli, on_host, or_default
from .generator import Array, Generator
from .in_order import in_memory_order_of


@method_only
def uniform_(
    self: Tensor, from_: float = 0.0, to: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Overwrite every element with a number uniform on [from_, to), and return self.

    Errors as for `Tensor.change`; RuntimeError if from_ > to.
    """
    return _draw_into(self, lambda n, target: or_default(generator).uniform(n, target, from_, to))


@method_only
def normal_(
    self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Overwrite every element with a number of the normal distribution, and return self.

    Errors as for `Tensor.change`; RuntimeError if std < 0.
    """
    contiguous = self.is_contiguous()
    return _draw_into(self, lambda n, target: or_default(generator).normal(n, target, mean, std, contiguous))


@method_only
def bernoulli_(self: Tensor, p: Tensor | float = 0.5, *, generator: Generator | None = None) -> Tensor:
    """Overwrite every element with 1 with the probability `p`, which may be a Tensor with one for each
    element, else 0, and return self.

    Errors as for `Tensor.change`; RuntimeError for a probability outside [0, 1], or a `p` that does not
    broadcast to self; NotImplementedError for probabilities that are integers.
    """
    if isinstance(p, Tensor):
        if not p.dtype.is_floating_point:
            raise NotImplementedError(f"bernoulli_ needs floating point probabilities, not {p.dtype}")
        probabilities = p.detach().expand(*self.shape)
        return self.change(
            lambda previous: _overwritten(previous, bernoulli(probabilities, generator=generator))
        )
    if not 0 <= p <= 1:
        raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p}")
    return _draw_into(self, lambda n, target: or_default(generator).uniform(n, np.float64) < p)


@method_only
def exponential_(self: Tensor, lambd: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Overwrite every element with a number of the exponential distribution of rate `lambd`, and return self.

    Errors as for `Tensor.change`; RuntimeError unless lambd > 0, and for integers.
    """
    if not lambd > 0:
        raise RuntimeError(f"exponential_ expects lambda > 0.0, but found lambda={lambd}")
    if not self.dtype.is_floating_point:
        raise RuntimeError(f"exponential_ draws real numbers, which {self.dtype} does not hold")
    return _draw_into(self, lambda n, target: or_default(generator).exponential(n, target, lambd))


def _draw_into(target: Tensor, draw: Callable[[int, Any], Array]) -> Tensor:
    """Overwrite every element of the target by `draw(size, dtype)`; the target's history ends there."""

    def overwrite(previous: Tensor) -> Tensor:
        """Return the previous Tensor with all its elements replaced."""
        like = on_host(target)
        numbers = in_memory_order_of(draw(like.size, like.dtype), like).astype(like.dtype, copy=False)
        return _overwritten(previous, _finish(numbers, target.device, False))

    return target.change(overwrite)


def _overwritten(previous: Tensor, numbers: Tensor) -> Tensor:
    overwritten: Tensor = put.call(previous, numbers.to(previous.dtype), EVERYWHERE)
    return overwritten
