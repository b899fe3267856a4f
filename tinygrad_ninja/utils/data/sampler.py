"""Samplers: in which order the indices of a dataset come, alone or in batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Sized
from itertools import chain, islice, repeat
from typing import Any, Generic, TypeVar

from ...api.creation import as_tensor
from ...arrays.dtypes import float64
from ...rng.draws import default_generator, multinomial, randint, randperm
from ...rng.generator import Generator

_T_co = TypeVar("_T_co", covariant=True)


class Sampler(Generic[_T_co]):
    """Indices, or lists of them: a subclass has an `__iter__`, and mostly a `__len__`."""

    def __iter__(self) -> Iterator[_T_co]:
        raise NotImplementedError("a subclass of Sampler must have an __iter__")


class SequentialSampler(Sampler[int]):
    """The indices from 0 to the end."""

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler[int]):
    """The indices in random order, or `num_samples` of them: one permutation after the other, and with
    `replacement` each drawn for itself.

    Without a generator they come from one of their own, whose seed the default generator gives. Raises
    TypeError for a `replacement` that is no bool, ValueError for a `num_samples` that is no positive integer.
    """

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Generator | None = None,
    ) -> None:
        self.data_source = data_source
        self.replacement = replacement
        self._num_samples = num_samples
        self.generator = generator
        if not isinstance(replacement, bool):
            raise TypeError(f"replacement should be a boolean value, but got replacement={replacement}")
        if not isinstance(self.num_samples, int) or self.num_samples <= 0:
            raise ValueError(
                f"num_samples should be a positive integer value, but got num_samples={self.num_samples}"
            )

    @property
    def num_samples(self) -> int:
        """Return how many indices there are: by default as many as there are examples now."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        generator = self.generator
        if generator is None:
            generator = Generator().manual_seed(random_seed(None))
        n = len(self.data_source)
        at_once = _DRAWN_AT_ONCE if self.replacement else n
        whole, rest = divmod(self.num_samples, at_once)
        for size in chain(repeat(at_once, whole), (rest,)):  # as many as 10¹⁰ may be asked for
            if self.replacement:
                yield from randint(0, n, (size,), generator=generator).tolist()
            else:
                yield from randperm(n, generator=generator)[:size].tolist()

    def __len__(self) -> int:
        return self.num_samples


_DRAWN_AT_ONCE = 32
"""How many indices PyTorch draws at a time: another generator's user may draw between."""


class SubsetRandomSampler(Sampler[int]):
    """The given indices in random order."""

    def __init__(self, indices: Sequence[int], generator: Generator | None = None) -> None:
        self.indices = indices
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        for place in randperm(len(self.indices), generator=self.generator).tolist():
            yield self.indices[place]

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler[int]):
    """`num_samples` indices, each drawn with its weight; without `replacement` none comes twice.

    Raises ValueError for weights that are no list of numbers, a `num_samples` that is no positive integer, a
    `replacement` that is no bool.
    """

    def __init__(
        self,
        weights: Sequence[float],
        num_samples: int,
        replacement: bool = True,
        generator: Generator | None = None,
    ) -> None:
        _require_count("num_samples", num_samples)
        _require_bool("replacement", replacement)
        self.weights = as_tensor(weights, dtype=float64)
        if self.weights.ndim != 1:
            raise ValueError(f"weights should be a 1d sequence, but have shape {tuple(self.weights.shape)}")
        self.num_samples = num_samples
        self.replacement = replacement
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        drawn = multinomial(self.weights, self.num_samples, self.replacement, generator=self.generator)
        yield from drawn.tolist()

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler[list[int]]):
    """Lists of `batch_size` indices of another sampler; the last may be shorter, unless `drop_last`.

    Raises ValueError for a `batch_size` that is no positive integer, and a `drop_last` that is no bool.
    """

    def __init__(self, sampler: Sampler[int] | Iterable[int], batch_size: int, drop_last: bool) -> None:
        _require_count("batch_size", batch_size)
        _require_bool("drop_last", drop_last)
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[int]]:
        indices = iter(self.sampler)
        shortest = self.batch_size if self.drop_last else 1
        while len(batch := list(islice(indices, self.batch_size))) >= shortest:
            yield batch

    def __len__(self) -> int:
        sampler: Any = self.sampler
        return batches(len(sampler), self.batch_size, self.drop_last)


def batches(examples: int, batch_size: int, drop_last: bool) -> int:
    """Return how many batches there are of so many examples."""
    return examples // batch_size if drop_last else -(-examples // batch_size)


def random_seed(generator: Generator | None) -> int:
    """Return a seed that the generator draws, by default the default one: an integer of [0, 2**63)."""
    # The bounds of `integers` are int64, and 2**63 is none.
    return int((generator or default_generator).integers(-1, 2**63 - 1, 1)[0]) + 1


def _require_count(name: str, value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise ValueError(f"{name} should be a positive integer value, but got {name}={value}")


def _require_bool(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise ValueError(f"{name} should be a boolean value, but got {name}={value}")
