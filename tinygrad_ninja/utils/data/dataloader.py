"""DataLoader: a dataset's examples in batches."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice, repeat
from typing import Any

from ...api.missing import refuse
from ...rng.generator import Generator
from .collating import default_collate, default_convert
from .dataset import Dataset, IterableDataset, fetch
from .sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler, batches, random_seed

_FIXED = ("batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers")


def get_worker_info() -> None:
    """Return None, as in a process that is no worker: a DataLoader starts none here."""


class DataLoader:
    """The examples of a dataset, in batches that `collate_fn` makes of them; a `for` goes through it once.

    batch_size: how many to a batch; None gives the examples alone. shuffle: in random order, from
    `generator`, else the default one. sampler: the indices, in its order; batch_sampler: lists of them.
    drop_last: without a last batch that is shorter. collate_fn: by default `default_collate`, without batches
    `default_convert`. An IterableDataset's examples come in its own order.

    All of it is done in this process, also for num_workers > 0, which warns: the batches are those that so
    many processes would load, unless the examples are drawn at random from a default generator, which there
    is each process's own. Where a dataset would ask in which process it is (IterableDataset, worker_init_fn),
    workers raise NotImplementedError. `pin_memory` has no effect, and warns; the other settings of workers
    have none. Raises ValueError for arguments that contradict each other.
    """

    dataset: Any
    batch_size: int | None
    drop_last: bool

    def __init__(
        self,
        dataset: Dataset[Any],
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Sampler[Any] | Iterable[Any] | None = None,
        batch_sampler: Sampler[list[Any]] | Iterable[list[Any]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: Any = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        of_workers = {
            "prefetch_factor": prefetch_factor is not None,
            "persistent_workers": persistent_workers,
            "multiprocessing_context": multiprocessing_context is not None,
        }
        _check_workers(num_workers, timeout, of_workers)
        if num_workers:
            nearest = "num_workers=0, which loads in this process"
            iterable = isinstance(dataset, IterableDataset) and type(dataset).__name__
            refuse("DataLoader with workers", nearest, dataset=iterable, worker_init_fn=worker_init_fn)
            prefetch_factor = 2 if prefetch_factor is None else prefetch_factor
        if isinstance(dataset, IterableDataset):
            own_order = {"shuffle": shuffle or None, "sampler": sampler, "batch_sampler": batch_sampler}
            for name, value in own_order.items():
                if value is not None:
                    raise ValueError(
                        f"DataLoader with IterableDataset: expected unspecified {name} option, "
                        f"but got {name}={value}"
                    )
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError(
                    "batch_sampler option is mutually exclusive "
                    "with batch_size, shuffle, sampler, and drop_last"
                )
            batch_size = None
        elif batch_size is None and drop_last:
            raise ValueError(
                "batch_size=None option disables auto-batching and is mutually exclusive with drop_last"
            )
        if sampler is None:
            sampler = _order(dataset, bool(shuffle), generator)
        if batch_size is not None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.num_workers, self.timeout, self.worker_init_fn = num_workers, timeout, worker_init_fn
        self.multiprocessing_context, self.prefetch_factor = multiprocessing_context, prefetch_factor
        self.pin_memory, self.pin_memory_device = pin_memory, pin_memory_device
        self.in_order, self.generator = in_order, generator
        self.collate_fn = collate_fn or (default_convert if batch_sampler is None else default_collate)
        fixed = (batch_size, batch_sampler, sampler, drop_last, dataset, persistent_workers)
        self.__dict__.update(zip(_FIXED, fixed, strict=True))

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _FIXED:
            raise ValueError(f"{name} attribute should not be set after {type(self).__name__} is initialized")
        super().__setattr__(name, value)

    def __iter__(self) -> Iterator[Any]:
        return _Pass(self)

    def __len__(self) -> int:
        if not isinstance(self.dataset, IterableDataset):
            return len(_indices(self))
        examples = len(self.dataset)  # type: ignore[arg-type]
        return examples if self.batch_size is None else batches(examples, self.batch_size, self.drop_last)


class _Pass:
    """One way through a DataLoader's batches."""

    def __init__(self, loader: Any) -> None:
        if loader.timeout and not loader.num_workers:
            raise AssertionError("timeout is of workers, and there are none: it must be 0")
        if loader.pin_memory:
            warnings.warn("pin_memory has no effect: no memory is pinned here", stacklevel=3)
        if loader.num_workers:
            warnings.warn(
                f"num_workers={loader.num_workers} starts no processes here: this one loads the batches",
                stacklevel=3,
            )
        self._loader = loader
        self._indices = iter(_indices(loader))
        random_seed(loader.generator)  # PyTorch draws one for its workers, also where there are none
        self._examples = iter(loader.dataset) if isinstance(loader.dataset, IterableDataset) else None
        self._ended = False
        # Workers are told early what to load: the sampler draws when it draws in PyTorch.
        self._ahead = deque(islice(self._indices, loader.num_workers * (loader.prefetch_factor or 0)))

    def __iter__(self) -> Iterator[Any]:
        return self

    def __len__(self) -> int:
        return len(_indices(self._loader))

    def __next__(self) -> Any:
        loader = self._loader
        if self._examples is not None:
            return loader.collate_fn(self._following(loader.batch_size, loader.drop_last))
        self._ahead.extend(islice(self._indices, 1))
        if not self._ahead:
            raise StopIteration
        index = self._ahead.popleft()
        batched = loader.batch_sampler is not None
        return loader.collate_fn(fetch(loader.dataset, index) if batched else loader.dataset[index])

    def _following(self, size: int | None, drop_last: bool) -> Any:
        """Return what an IterableDataset gives next, a list of `size` or, where that is None, one example."""
        assert self._examples is not None
        if size is None:
            return next(self._examples)
        # An iterator that has ended is not asked again.
        examples = [] if self._ended else list(islice(self._examples, size))
        self._ended = len(examples) < size
        if not examples or (drop_last and self._ended):
            raise StopIteration
        return examples


def _order(dataset: Any, shuffle: bool, generator: Generator | None) -> Any:
    if isinstance(dataset, IterableDataset):
        return repeat(None)
    return RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)


def _indices(loader: Any) -> Any:
    """Return what gives the indices: of batches or, where there are none, of examples."""
    return loader.sampler if loader.batch_sampler is None else loader.batch_sampler


def _check_workers(num_workers: int, timeout: float, of_workers: dict[str, bool]) -> None:
    """Raise ValueError for numbers below 0, and for what only workers have where there are none."""
    if num_workers < 0:
        raise ValueError("num_workers option should be non-negative")
    if timeout < 0:
        raise ValueError("timeout option should be non-negative")
    for name, given in of_workers.items():
        if given and not num_workers:
            raise ValueError(f"{name} option needs num_workers > 0")
