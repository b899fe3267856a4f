"""Datasets: what gives an example for an index, or one example after the other."""

from __future__ import annotations

import math
import warnings
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any, Generic, TypeVar

from ...engine.tensor import Tensor
from ...rng.draws import default_generator, randperm
from ...rng.generator import Generator

_T_co = TypeVar("_T_co", covariant=True)


class Dataset(Generic[_T_co]):
    """Examples by their index: a subclass has a `__getitem__`, mostly a `__len__`, and where it can give
    several examples at once a `__getitems__` that takes a list of indices. `a + b` is both, one after the
    other."""

    def __getitem__(self, index: Any) -> _T_co:
        raise NotImplementedError("Subclasses of Dataset should implement __getitem__.")

    def __add__(self, other: Dataset[Any]) -> Dataset[Any]:
        return ConcatDataset([self, other])


class IterableDataset(Dataset[_T_co], Iterable[_T_co]):
    """Examples that come one after the other: a subclass has an `__iter__`."""

    def __add__(self, other: Dataset[Any]) -> ChainDataset:
        return ChainDataset([self, other])


class TensorDataset(Dataset[tuple[Tensor, ...]]):
    """Example i is row i of each Tensor, as a tuple. AssertionError for Tensors of different lengths."""

    def __init__(self, *tensors: Tensor) -> None:
        if any(tensor.size(0) != tensors[0].size(0) for tensor in tensors):
            raise AssertionError("Size mismatch between tensors")
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(tensor[index] for tensor in self.tensors)

    def __len__(self) -> int:
        return int(self.tensors[0].size(0))


class ConcatDataset(Dataset[_T_co]):
    """The examples of several datasets, one dataset after the other; `cumulative_sizes` are their ends.

    Raises AssertionError for no dataset, and for an IterableDataset among them.
    """

    def __init__(self, datasets: Iterable[Dataset[_T_co]]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise AssertionError("datasets should not be an empty iterable")
        if any(isinstance(dataset, IterableDataset) for dataset in self.datasets):
            raise AssertionError("ConcatDataset does not support IterableDataset")
        self.cumulative_sizes = list(accumulate(_length(dataset) for dataset in self.datasets))

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, index: int) -> _T_co:
        place = index + len(self) if index < 0 else index
        if place < 0:
            raise ValueError("absolute value of index should not exceed dataset length")
        which = bisect_right(self.cumulative_sizes, place)
        start = self.cumulative_sizes[which - 1] if which else 0
        return self.datasets[which][place - start]


class ChainDataset(IterableDataset[Any]):
    """The examples of several IterableDatasets, one dataset after the other; AssertionError for another."""

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = datasets

    def __iter__(self) -> Iterator[Any]:
        for dataset in self._checked():
            yield from dataset

    def __len__(self) -> int:
        return sum(_length(dataset) for dataset in self._checked())

    def _checked(self) -> Iterator[IterableDataset[Any]]:
        for dataset in self.datasets:
            if not isinstance(dataset, IterableDataset):
                raise AssertionError("ChainDataset only supports IterableDataset")
            yield dataset


class Subset(Dataset[_T_co]):
    """The examples of a dataset at those indices, in their order.

    Raises NotImplementedError for a subclass that changes `__getitem__` and not `__getitems__`, which the
    loader calls.
    """

    def __init__(self, dataset: Dataset[_T_co], indices: Sequence[int]) -> None:
        kind = type(self)
        if kind.__getitem__ is not Subset.__getitem__ and kind.__getitems__ is Subset.__getitems__:
            raise NotImplementedError(
                f"{kind.__name__} overrides __getitem__ but not __getitems__, which a DataLoader calls"
            )
        self.dataset = dataset
        self.indices = indices

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, list):
            return self.dataset[[self.indices[i] for i in index]]
        return self.dataset[self.indices[index]]

    def __getitems__(self, indices: list[int]) -> list[_T_co]:
        return fetch(self.dataset, [self.indices[i] for i in indices])

    def __len__(self) -> int:
        return len(self.indices)


def fetch(dataset: Any, indices: Iterable[Any]) -> Any:
    """Return the examples at the indices in a list, or what the dataset's own `__getitems__` gives."""
    several = getattr(dataset, "__getitems__", None)
    return several(indices) if several else [dataset[index] for index in indices]


def random_split(
    dataset: Dataset[_T_co],
    lengths: Sequence[float],
    generator: Generator | None = default_generator,
) -> list[Subset[_T_co]]:
    """Return Subsets of those lengths, which share the examples among them by a random permutation.

    lengths: integers whose sum is the dataset's length; or fractions whose sum is 1, each rounded down, and
    what remains is given to the first ones, one each. Raises ValueError where the sum is another, and for a
    fraction out of [0, 1]; warns where a fraction makes an empty Subset.
    """
    size, total = _length(dataset), sum(lengths)
    counts: Sequence[Any] = lengths
    if math.isclose(total, 1) and total <= 1:
        counts = _counts(lengths, size)
    if sum(counts) != size:
        raise ValueError("Sum of input lengths does not equal the length of the input dataset!")
    order = randperm(sum(counts), generator=generator).tolist()
    ends = accumulate(counts)
    return [Subset(dataset, order[end - count : end]) for end, count in zip(ends, counts, strict=True)]


def _counts(fractions: Sequence[float], size: int) -> list[int]:
    for i, fraction in enumerate(fractions):
        if not 0 <= fraction <= 1:
            raise ValueError(f"Fraction at index {i} is not between 0 and 1")
    counts = [math.floor(size * fraction) for fraction in fractions]
    for i in range(size - sum(counts)):
        counts[i % len(counts)] += 1
    for i, count in enumerate(counts):
        if count == 0:
            warnings.warn(f"Length of split at index {i} is 0: that dataset is empty", stacklevel=3)
    return counts


def _length(dataset: Any) -> int:
    return len(dataset)
