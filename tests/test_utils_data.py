"""Datasets, samplers and loaders beside PyTorch's: the same examples in the same order and batches."""

import warnings
from collections import OrderedDict, UserDict, namedtuple
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch
from both import assert_same, assert_same_error, cases, same

import tinygrad_ninja
from tinygrad_ninja.utils.data import DataLoader, Dataset, TensorDataset

Point = namedtuple("Point", ["x", "y"])


def rows(t: Any, n: int) -> Any:
    return t.utils.data.TensorDataset(t.arange(2 * n, dtype=t.float32).reshape(n, 2), t.arange(n))


def stream(t: Any, n: int, sized: bool = True) -> Any:
    """An IterableDataset of 0, …, n - 1."""

    class Stream(t.utils.data.IterableDataset):  # type: ignore[misc]
        def __iter__(self) -> Iterator[int]:
            return iter(range(n))

    if sized:
        Stream.__len__ = lambda self: n
    return Stream()


def passes(t: Any, loader: Any) -> Any:
    """What comes out of a loader twice, and what the generators give afterwards."""
    return [list(loader), list(loader), t.rand(3)]


@pytest.mark.parametrize("own", [False, True], ids=["default", "own"])
@cases(
    lambda d, x, g: d.DataLoader(x, shuffle=True, generator=g),
    lambda d, x, g: d.DataLoader(x, batch_size=4, shuffle=True, generator=g),
    lambda d, x, g: d.DataLoader(x, 4, True, drop_last=True, generator=g),
    lambda d, x, g: d.DataLoader(x, batch_size=4, generator=g),
    lambda d, x, g: d.DataLoader(x, batch_size=None, shuffle=True, generator=g),
    lambda d, x, g: d.DataLoader(x, 3, sampler=d.RandomSampler(x, True, 70, generator=g)),
    lambda d, x, g: d.DataLoader(x, 3, sampler=d.RandomSampler(x, num_samples=25, generator=g)),
    lambda d, x, g: d.DataLoader(x, 3, sampler=d.SubsetRandomSampler([7, 3, 1, 5], g), generator=g),
    lambda d, x, g: d.DataLoader(x, 3, sampler=d.WeightedRandomSampler([1, 2, 0, 4.5], 9, generator=g)),
    lambda d, x, g: d.DataLoader(x, 3, sampler=d.WeightedRandomSampler([1, 2, 3, 4.5], 3, False, g)),
    lambda d, x, g: d.DataLoader(x, batch_sampler=d.BatchSampler(d.RandomSampler(x), 4, False)),
    lambda d, x, g: d.DataLoader(x, batch_sampler=[[3, 1], [0], [9, 9, 9]], generator=g),
    lambda d, x, g: d.DataLoader(d.random_split(x, [0.35, 0.65], g)[1], 2, shuffle=True, generator=g),
    lambda d, x, g: d.DataLoader(d.ConcatDataset([x, x, d.Subset(x, [2])]), 5, shuffle=True),
    lambda d, x, g: d.DataLoader(x, 4, collate_fn=lambda batch: len(batch)),
)
def test_the_batches_and_the_generators_are_the_same(case: Callable[..., Any], own: bool) -> None:
    def seeded(t: Any) -> Any:
        t.manual_seed(2147483647)
        generator = t.Generator().manual_seed(42) if own else None
        loader = case(t.utils.data, rows(t, 11), generator)
        return [len(loader), passes(t, loader), generator and generator.get_state()]

    assert_same(seeded)


@same
def test_a_loader_draws_when_it_is_iterated_over(t: Any) -> Any:
    t.manual_seed(1)
    loader = t.utils.data.DataLoader(rows(t, 5), 2, shuffle=True)
    batches = iter(loader)
    between = t.rand(1)
    return [between, next(batches), t.rand(1), len(batches), next(batches), list(batches), list(batches)]


@pytest.mark.parametrize("sampler", ["RandomSampler", "SequentialSampler"])
@pytest.mark.parametrize("size", [1, 2, 33])
def test_samplers_alone(sampler: str, size: int) -> None:
    def case(t: Any) -> Any:
        t.manual_seed(3)
        chosen = getattr(t.utils.data, sampler)(range(size))
        batched = [t.utils.data.BatchSampler(chosen, 3, drop_last) for drop_last in (False, True)]
        return [list(chosen), len(chosen), *[(list(batches), len(batches)) for batches in batched]]

    assert_same(case)


@pytest.mark.parametrize("replacement", [True, False])
def test_more_indices_than_memory_holds(replacement: bool) -> None:
    """As in makemore.py, which asks for 10¹⁰ of them in order to have an end of its own choice."""

    def case(t: Any) -> Any:
        t.manual_seed(3)
        chosen = t.utils.data.RandomSampler(range(5), replacement, num_samples=10**15)
        return list(islice(chosen, 40)), len(chosen)

    assert_same(case)


@cases(
    lambda t: t.utils.data.DataLoader(stream(t, 10), 4),
    lambda t: t.utils.data.DataLoader(stream(t, 10), 4, drop_last=True),
    lambda t: t.utils.data.DataLoader(stream(t, 10), batch_size=None),
    lambda t: t.utils.data.DataLoader(stream(t, 0), 4),
    lambda t: t.utils.data.DataLoader(stream(t, 4), 4, shuffle=False),
    lambda t: t.utils.data.DataLoader(stream(t, 3) + stream(t, 2), 2),
)
def test_streams(case: Callable[[Any], Any]) -> None:
    assert_same(lambda t: [len(case(t)), list(case(t))])


@same
def test_a_stream_without_a_length(t: Any) -> Any:
    return list(t.utils.data.DataLoader(stream(t, 5, sized=False), 2))


@pytest.mark.parametrize(
    "lengths", [[3, 7], [10], [0, 10], [0.5, 0.5], [0.3, 0.3, 0.4], [0.33, 0.33, 0.34], [1.0], [0.05, 0.95]]
)
def test_random_split(lengths: list[float]) -> None:
    def case(t: Any) -> Any:
        t.manual_seed(5)
        generator = t.Generator().manual_seed(42)
        parts = [
            *t.utils.data.random_split(range(10), lengths),
            *t.utils.data.random_split(range(10), lengths, generator),
        ]
        return [(part.indices, list(part), len(part)) for part in parts]

    assert_same(case)


def test_random_split_warns_of_an_empty_part() -> None:
    with pytest.warns(UserWarning, match="at index 1 is 0"):
        tinygrad_ninja.utils.data.random_split(range(1), [0.5, 0.5])


@cases(
    lambda t, c: c([t.ones(2), t.zeros(2)]),
    lambda t, c: c([t.tensor(1), t.tensor(2)]),
    lambda t, c: c([t.ones(2, requires_grad=True), t.zeros(2)]),
    lambda t, c: c([1, 2]),
    lambda t, c: c([True, False]),
    lambda t, c: c([1.5, 2]),
    lambda t, c: c([np.float32(1.5), np.float32(2)]),
    lambda t, c: c([np.int32(1), np.int32(2)]),
    lambda t, c: c([np.float64(1), np.float64(2)]),
    lambda t, c: c([np.bool_(True), np.bool_(False)]),
    lambda t, c: c([np.ones((2, 1)), np.zeros((2, 1))]),
    lambda t, c: c([np.array(1), np.array(2)]),
    lambda t, c: c([np.empty(0, np.float32)] * 2),
    lambda t, c: c(["a", "b"]),
    lambda t, c: c([b"a", b"b"]),
    lambda t, c: c([(1, "a"), (2, "b")]),
    lambda t, c: c([[1, 2.0], [3, 4.0]]),
    lambda t, c: c([[], []]),
    lambda t, c: c([{"x": 1, "y": [t.ones(1)]}, {"x": 2, "y": [t.zeros(1)]}]),
    lambda t, c: c([OrderedDict(x=1), OrderedDict(x=2)]),
    lambda t, c: c([Point(1, 2.0), Point(3, 4.0)]),
    lambda t, c: c([range(2), range(2)]),
    lambda t, c: type(c([Point(1, 2.0)])).__name__,
    lambda t, c: type(c([OrderedDict(x=1)])).__name__,
    lambda t, c: type(c([UserDict(x=1)])).__name__,
)
def test_default_collate(case: Callable[..., Any]) -> None:
    assert_same(lambda t: case(t, t.utils.data.default_collate))


@cases(
    lambda t, c: c(np.ones(2)),
    lambda t, c: c(np.float32(1)),
    lambda t, c: c(np.array(["a"])).tolist(),
    lambda t, c: str(c(np.str_("a"))),
    lambda t, c: c(1),
    lambda t, c: c("ab"),
    lambda t, c: c((1, np.ones(2), [np.int64(1)])),
    lambda t, c: c({"x": np.ones(1), "y": (1, 2)}),
    lambda t, c: c(Point(np.ones(1), 2)),
    lambda t, c: c(None),
    lambda t, c: c(range(2)),
)
def test_default_convert(case: Callable[..., Any]) -> None:
    assert_same(lambda t: case(t, t.utils.data.default_convert))


@cases(
    lambda t, d: d.default_collate([None]),
    lambda t, d: d.default_collate([{1}, {2}]),
    lambda t, d: d.default_collate([np.array(["a"])]),
    lambda t, d: d.default_collate([[1], [1, 2]]),
    lambda t, d: d.default_collate([t.ones(1), t.ones(2)]),
    lambda t, d: d.default_collate([{"x": 1}, {"y": 1}]),
    lambda t, d: d.TensorDataset(t.ones(2), t.ones(3)),
    lambda t, d: d.ConcatDataset([]),
    lambda t, d: d.ConcatDataset([stream(t, 2)]),
    lambda t, d: d.ConcatDataset([range(2), range(3)])[-6],
    lambda t, d: d.ConcatDataset([range(2), range(3)])[5],
    lambda t, d: list(d.ChainDataset([range(2)])),
    lambda t, d: d.Dataset()[0],
    lambda t, d: len(d.Dataset()),
    lambda t, d: list(d.Sampler()),
    lambda t, d: d.random_split(range(10), [3, 3]),
    lambda t, d: d.random_split(range(10), [1.5, -0.5]),
    lambda t, d: d.random_split(range(10), [0.5, 0.2]),
    lambda t, d: d.RandomSampler([]),
    lambda t, d: d.RandomSampler([1], replacement=1),
    lambda t, d: d.RandomSampler([1], num_samples=0),
    lambda t, d: d.WeightedRandomSampler([1.0], 0),
    lambda t, d: d.WeightedRandomSampler([1.0], 1, 1),
    lambda t, d: d.WeightedRandomSampler([[1.0]], 1),
    lambda t, d: d.BatchSampler([1], 0, False),
    lambda t, d: d.BatchSampler([1], True, False),
    lambda t, d: d.BatchSampler([1], 1, 0),
    lambda t, d: d.DataLoader([1], shuffle=True, sampler=[0]),
    lambda t, d: d.DataLoader([1], batch_sampler=[[0]], shuffle=True),
    lambda t, d: d.DataLoader([1], batch_sampler=[[0]], batch_size=2),
    lambda t, d: d.DataLoader([1], batch_size=None, drop_last=True),
    lambda t, d: d.DataLoader([1], batch_size=0),
    lambda t, d: d.DataLoader([], shuffle=True),
    lambda t, d: d.DataLoader([1], num_workers=-1),
    lambda t, d: d.DataLoader([1], timeout=-1),
    lambda t, d: list(d.DataLoader([1], timeout=1)),
    lambda t, d: d.DataLoader([1], prefetch_factor=2),
    lambda t, d: d.DataLoader([1], persistent_workers=True),
    lambda t, d: d.DataLoader([1], multiprocessing_context="spawn"),
    lambda t, d: d.DataLoader(stream(t, 2), shuffle=True),
    lambda t, d: d.DataLoader(stream(t, 2), sampler=[0]),
    lambda t, d: d.DataLoader(stream(t, 2), batch_sampler=[[0]]),
    lambda t, d: len(d.DataLoader(stream(t, 2, sized=False))),
    lambda t, d: setattr(d.DataLoader([1]), "batch_size", 2),
    lambda t, d: d.DataLoader([1]).no_such_attribute,
)
def test_errors(case: Callable[..., Any]) -> None:
    assert_same_error(lambda t: case(t, t.utils.data))


@same
def test_a_dataset_may_give_a_batch_at_once(t: Any) -> Any:
    class Squares(t.utils.data.Dataset):  # type: ignore[misc]
        def __len__(self) -> int:
            return 6

        def __getitem__(self, index: int) -> int:
            return index**2

        def __getitems__(self, indices: list[int]) -> list[int]:
            return [-(index**2) for index in indices]

    squares = Squares()
    loaders = [t.utils.data.DataLoader(x, 4) for x in (squares, t.utils.data.Subset(squares, [5, 1]))]
    joined = squares + squares
    return [squares[3], *map(list, loaders), len(joined), joined[7], joined[-1], type(joined).__name__]


@same
def test_a_loader_goes_on_after_an_error_of_its_dataset(t: Any) -> Any:
    class Torn(t.utils.data.Dataset):  # type: ignore[misc]
        def __len__(self) -> int:
            return 3

        def __getitem__(self, index: int) -> int:
            return [1, 2, 3][index] // (index != 1)

    batches = iter(t.utils.data.DataLoader(Torn()))
    first = next(batches)
    with pytest.raises(ZeroDivisionError):
        next(batches)
    return [first, *batches]


@same
def test_subsets(t: Any) -> Any:
    subset = t.utils.data.Subset(rows(t, 5), [4, 2, 0])
    return [subset[0], subset[[0, 2]], len(subset), list(t.utils.data.Subset(subset, [1]))]


def test_a_subset_that_changes_only_one_of_two_is_refused() -> None:
    def case(t: Any) -> Any:
        kind = type("Doubled", (t.utils.data.Subset,), {"__getitem__": lambda self, index: 2 * index})
        return kind(range(3), [0])

    assert_same_error(case, "overrides __getitem__ but not __getitems__")


def test_what_is_not_offered_is_refused_by_name() -> None:
    with pytest.raises(NotImplementedError, match=r"dataset='Stream' is not offered here"):
        DataLoader(stream(tinygrad_ninja, 2), num_workers=2)
    with pytest.raises(NotImplementedError, match=r"worker_init_fn=.* is not offered here"):
        DataLoader([1], num_workers=2, worker_init_fn=print)  # type: ignore[arg-type]
    with pytest.raises(AttributeError, match=r"utils\.data has no 'StackDataset'"):
        tinygrad_ninja.utils.data.StackDataset  # noqa: B018
    with pytest.warns(UserWarning, match="pin_memory has no effect"):
        list(DataLoader([1], pin_memory=True))  # type: ignore[arg-type]
    assert tinygrad_ninja.utils.data.get_worker_info() is None


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:num_workers=2", "ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize(
    "settings", [{}, {"prefetch_factor": 1}, {"persistent_workers": True, "timeout": 60}]
)
def test_workers_load_what_this_process_loads(settings: dict[str, Any]) -> None:
    """A random sampler draws ahead, as many batches as the workers were told of."""

    def case(t: Any) -> Any:
        g = t.Generator().manual_seed(3)
        data = t.utils.data.TensorDataset(t.arange(40))
        sampler = t.utils.data.RandomSampler(data, True, 100, generator=g)
        batches = iter(t.utils.data.DataLoader(data, 3, sampler=sampler, num_workers=2, **settings))
        drawn = [t.randint(1000, (1,), generator=g)]
        for _ in range(3):
            drawn += [*next(batches), t.randint(1000, (1,), generator=g), t.rand(1)]
        return drawn

    torch.manual_seed(5)
    tinygrad_ninja.manual_seed(5)
    assert_same(case)


def test_workers_are_told_of() -> None:
    with pytest.warns(UserWarning, match="num_workers=2 starts no processes here"):
        assert list(DataLoader([1, 2, 3], num_workers=2)) == [1, 2, 3]  # type: ignore[arg-type]


def test_names_are_torchs() -> None:
    assert set(tinygrad_ninja.utils.data.__all__) <= set(torch.utils.data.__all__)


def test_a_model_is_trained_from_a_loader() -> None:
    def case(t: Any) -> Any:
        t.manual_seed(0)
        x = t.randn(40, 3, dtype=t.float64)
        y = x @ t.tensor([[1.0], [-2.0], [0.5]], dtype=t.float64)
        model = t.nn.Linear(3, 1, dtype=t.float64)
        optimizer = t.optim.SGD(model.parameters(), lr=0.1)
        loader = t.utils.data.DataLoader(t.utils.data.TensorDataset(x, y), 8, shuffle=True)
        losses = []
        for _ in range(5):
            for xb, yb in loader:
                loss = ((model(xb) - yb) ** 2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
        return losses[0], losses[-1]

    assert_same(case, ulps=400)
    first, last = case(tinygrad_ninja)
    assert last < first / 100


def test_type_arguments() -> None:
    class Words(Dataset[str]):
        def __getitem__(self, index: Any) -> str:
            return "ab"[index]

        def __len__(self) -> int:
            return 2

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert list(DataLoader(Words(), 2)) == [["a", "b"]]
    assert len(TensorDataset(tinygrad_ninja.ones(3))) == 3
