"""Tuples, lists and dicts among the arguments: each call brings others, with Tensors and numbers in them."""

from collections import OrderedDict, defaultdict
from typing import Any, NamedTuple

import numpy as np
from contract import attempt, compiled, refused, same

import tinygrad_ninja as torch
from tinygrad_ninja import nn


def batches(n: int) -> list[tuple[Any, Any]]:
    generator = torch.Generator().manual_seed(1)
    return [(torch.randn(4, 3, generator=generator), torch.randn(4, generator=generator)) for _ in range(n)]


@compiled
def test_batches_as_tuples_lists_and_dicts(C: Any) -> Any:
    for kind in (tuple, list, lambda batch: {"x": batch[0], "y": batch[1]}):
        model = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1))
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)

        def step(batch: Any, model: Any = model, optimizer: Any = optimizer) -> Any:
            x, y = batch.values() if isinstance(batch, dict) else batch
            loss = (model(x).view(-1) - y).pow(2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        fast = C(step)
        for batch in batches(12):
            yield fast(kind(batch)), model, optimizer


@compiled
def test_containers_within_containers_and_by_name(C: Any) -> Any:
    f = C(lambda pair, *, more: (pair[0] * pair[1][0]["w"], more[-1].sum() + pair[1][1]))
    for x, y in batches(12):
        yield f((x, ({"w": y[:3] * 1}, 2.0)), more=[y, x])


@compiled
def test_numbers_in_tuples_are_read_anew(C: Any) -> Any:
    f = C(lambda x, pair: x * pair[0] + pair[1])
    for i in range(12):
        yield f(torch.ones(3), (0.5 * i, i))


@same
def test_numbers_in_lists_and_dicts_are_guards(C: Any) -> Any:
    f = C(lambda x, options, sizes: x[: sizes[0]] * options["scale"])
    for scale, size in ((1.0, 2), (2.0, 2), (2.0, 1), (1, 1), (-0.0, 1), (0.0, 1), (float("nan"), 2)):
        yield f(torch.ones(3), {"scale": scale}, [size])


@same
def test_shapes_keys_kinds_and_lengths_change(C: Any) -> Any:
    f = C(lambda batch: sum(batch.values() if isinstance(batch, dict) else batch))
    a, b = torch.ones(2), torch.arange(4.0).view(2, 2)
    for batch in (
        [a, b], (a, b), [b, a], [a], [a, 3], [a, 3.0], {"a": a}, {"b": a}, {1: a, "1": b}, {"1": b, 1: a},
        [a, a], (a, np.float32(2)), [], (),
    ):  # fmt: skip
        yield attempt(f, batch)


@same
def test_a_tensor_in_two_places_and_views_of_one(C: Any) -> Any:
    def f(pair: Any) -> Any:
        pair[0].add_(1)
        return pair[0] * 2 + pair[1], pair[1] * 1

    f = C(f)
    for kind in (tuple, list):
        base = torch.arange(6.0)
        for a, b in ((torch.ones(3), torch.zeros(3)), (base[:3], base[3:]), (base[:3], base[1:4])):
            yield f(kind((a, b))), a, b
        a = torch.ones(3)
        yield f(kind((a, a))), a


@refused("the function reads|changes what it reads")
def test_a_list_that_the_function_lengthens(C: Any) -> Any:
    def f(x: Any, seen: Any) -> Any:
        seen.append(len(seen))
        return x * len(seen)

    f = C(f)
    for _ in range(6):
        seen = [1]
        yield f(torch.ones(2), seen), seen


@same
def test_a_dict_in_which_the_function_replaces_a_tensor(C: Any) -> Any:
    def f(batch: Any) -> Any:
        batch["x"] = batch["x"] * 2
        return batch["x"] + 1

    f = C(f)
    for x, y in batches(6):
        batch = {"x": x, "y": y}
        yield f(batch), batch


@same
def test_the_container_itself_is_returned_or_kept(C: Any) -> Any:
    kept: list[Any] = []
    returns, keeps = C(lambda batch: batch), C(lambda batch: (kept.append(batch), batch[0] * 2)[1])
    for x, y in batches(6):
        batch = [x, y]
        yield returns(batch) is batch, keeps(batch)
        yield [one is batch for one in kept]


@same
def test_arrays_and_objects_in_containers(C: Any) -> Any:
    class Options:
        scale = 2.0

    f = C(lambda x, rows, options: (x[rows["rows"]] * options[0].scale, type(rows["rows"]).__name__))
    options = Options()
    for i in range(5):
        options.scale = 2.0 + (i > 3)
        yield f(torch.arange(5.0), {"rows": np.array([i % 3, 1])}, [options])


@same
def test_a_container_within_itself(C: Any) -> Any:
    f = C(lambda x, around: x * len(around))
    for _ in range(4):
        around: list[Any] = [1]
        around.append(around)
        yield f(torch.ones(2), around)


@same
def test_one_container_for_two_arguments(C: Any) -> Any:
    f = C(lambda a, b: a[0] * (2 if a is b else 3))
    pair = [torch.ones(2), torch.zeros(2)]
    for other in ([*pair], pair, [*pair], [*pair], pair):
        yield f(pair, other)


class Pair(NamedTuple):
    first: Any
    second: Any


class Tagged(tuple[Any, ...]):
    pass


@compiled
def test_results_in_containers_of_every_kind(C: Any) -> Any:
    f = C(lambda x: [x * 2, (x.shape, Pair(x + 1, 3)), OrderedDict(b=x.sum(), a=None), {"x": x}])
    for x, _ in batches(3):
        result = f(x)
        yield result
        yield [type(part).__name__ for part in (*result, *result[1])], [*result[2]]
        result.append(1)


@refused("the function returns a (Tagged|defaultdict)", times=2)
def test_results_in_containers_of_other_kinds(C: Any) -> Any:
    tagged, counted = C(lambda x: Tagged([x * 2])), C(lambda x: defaultdict(int, {"x": x * 2}))
    for x, _ in batches(3):
        yield type(tagged(x)).__name__, type(counted(x)).__name__


@compiled
def test_a_defaultdict_has_another_factory(C: Any) -> Any:
    held = defaultdict(lambda: 1.0)
    f = C(lambda x: x * held.default_factory())  # type: ignore[misc]
    for x, _ in batches(2):
        yield f(x)
        held.default_factory = lambda: 2.0
