"""Linear, Embedding, Dropout and layers that reshape, initialised as PyTorch's, from the same random
numbers."""

from __future__ import annotations

import math
from typing import Any, Self

from ..api.creation import empty
from ..api.missing import refuse
from ..engine.grad_mode import no_grad
from ..engine.tensor import Tensor
from . import functional as F
from . import init
from .module import Module, Parameter


class Identity(Module):
    """The input itself; any arguments are accepted, so that it can take the place of another layer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        """Return the input itself."""
        return input


class Linear(Module):
    """y = x Wᵀ + b: (…, in_features) to (…, out_features).

    weight: (out_features, in_features) and bias: (out_features), both uniform within 1/√in_features, which is
    He et al.'s initialisation with a = √5.
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.weight = Parameter(empty(out_features, in_features, device=device, dtype=dtype))
        self.register_parameter(
            "bias", Parameter(empty(out_features, device=device, dtype=dtype)) if bias else None
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias again."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_features) if self.in_features else 0.0
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor) -> Tensor:
        """Return the layer's output, (…, out_features), for an input (…, in_features)."""
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        """Return the settings, for `repr`."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"
        )


class Embedding(Module):
    """Rows of a table: integers of any shape to (…, embedding_dim).

    weight: (num_embeddings, embedding_dim), standard normal. The row padding_idx starts at 0 and gets no
    gradient; AssertionError where there is no such row.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Tensor | None = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        refuse("Embedding", "changing the rows of weight under no_grad", max_norm=max_norm)
        refuse("Embedding", "the plain gradient", scale_grad_by_freq=scale_grad_by_freq, sparse=sparse)
        if padding_idx is not None:
            if not -num_embeddings <= padding_idx < num_embeddings:
                raise AssertionError(
                    f"Padding_idx must be within num_embeddings: {padding_idx} of {num_embeddings}"
                )
            padding_idx %= num_embeddings
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = padding_idx
        if _weight is None:
            table = empty(num_embeddings, embedding_dim, device=device, dtype=dtype)
            self.weight = Parameter(table, requires_grad=not _freeze)
            self.reset_parameters()
        else:
            if tuple(_weight.shape) != (num_embeddings, embedding_dim):
                raise AssertionError("Shape of weight does not match num_embeddings and embedding_dim")
            self.weight = Parameter(_weight, requires_grad=not _freeze)

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Self:
        """Return an Embedding whose table is `embeddings`, (num_embeddings, embedding_dim), in the same
        memory; with `freeze` it gets no gradient. AssertionError for another number of dimensions."""
        if embeddings.ndim != 2:
            raise AssertionError("Embeddings parameter is expected to be 2-dimensional")
        rows, columns = embeddings.shape
        return cls(
            rows, columns, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse,
            _weight=embeddings, _freeze=freeze,
        )  # fmt: skip

    def reset_parameters(self) -> None:
        """Draw the table again."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx] = 0

    def forward(self, input: Tensor) -> Tensor:
        """Return the row of each integer: (…, embedding_dim) for an input (…)."""
        return F.embedding(input, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        """Return the settings, for `repr`."""
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"


class Dropout(Module):
    """In training each element is 0 with probability p, else divided by 1 - p; in evaluation the input is
    unchanged.

    Raises ValueError unless 0 ≤ p ≤ 1. See `functional.dropout` for the source of the random numbers.
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p, self.inplace = p, inplace

    def forward(self, input: Tensor) -> Tensor:
        """Return the input, of any shape, with some elements dropped."""
        return F.dropout(input, self.p, self.training, self.inplace)

    def extra_repr(self) -> str:
        """Return the settings, for `repr`."""
        return f"p={self.p}, inplace={self.inplace}"


class Flatten(Module):
    """The dimensions from start_dim (1: all but the batch) to end_dim as one."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: Tensor) -> Tensor:
        """Return the input, flattened."""
        return input.flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        """Return the settings, for `repr`."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class FlattenConsecutive(Module):
    """Joins each n consecutive vectors: (batch, length, features) to (batch, length / n, n · features), and
    to (batch, n · features) where that leaves one.

    It is no layer of PyTorch's but of the makemore lectures (part 5), where a tree of them makes a WaveNet.
    """

    def __init__(self, n: int) -> None:
        super().__init__()
        self.n = n

    def forward(self, input: Tensor) -> Tensor:
        """Return the input, regrouped. Raises RuntimeError where the length is no multiple of n."""
        if input.ndim != 3 or input.shape[1] % self.n:
            raise RuntimeError(
                f"FlattenConsecutive({self.n}) expects (batch, a multiple of {self.n}, features), "
                f"but got {tuple(input.shape)}"
            )
        batch, length, features = input.shape
        groups = input.reshape(batch, length // self.n, features * self.n)
        return groups.squeeze(1) if length == self.n else groups

    def extra_repr(self) -> str:
        """Return the settings, for `repr`."""
        return f"n={self.n}"
