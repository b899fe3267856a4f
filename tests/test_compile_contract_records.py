"""Named tuples and dataclasses among the arguments: each call brings others, as batches of data do; and those
that are returned."""

from collections import namedtuple
from dataclasses import dataclass, field, fields, make_dataclass, replace
from typing import Any, NamedTuple

import pytest
from contract import attempt, compiled, same

import tinygrad_ninja as torch
from tinygrad_ninja import nn

Pair = namedtuple("Pair", "x y")


class Batch(NamedTuple):
    x: Any
    y: Any
    scale: float = 1.0

    def scaled(self) -> Any:
        return self.x * self.scale


@dataclass
class Example:
    x: Any
    y: Any
    scale: float = 1.0
    names: list[str] = field(default_factory=list)

    def scaled(self) -> Any:
        return self.x * self.scale


@dataclass(frozen=True)
class Nested:
    inner: Example
    pair: Pair

    def scaled(self) -> Any:
        return self.inner.scaled()

    @property
    def x(self) -> Any:
        return self.pair.x

    @property
    def y(self) -> Any:
        return self.pair.y


KINDS: dict[str, Any] = {
    "namedtuple": Pair,
    "NamedTuple": Batch,
    "dataclass": Example,
    "frozen and nested": lambda x, y: Nested(Example(x, y), Pair(x, y)),
    "made": make_dataclass("Made", ["x", "y"]),
}


def batches(n: int) -> list[tuple[Any, Any]]:
    generator = torch.Generator().manual_seed(1)
    return [(torch.randn(4, 3, generator=generator), torch.randn(4, generator=generator)) for _ in range(n)]


@pytest.mark.parametrize("kind", KINDS)
@compiled
def test_a_training(C: Any, kind: str) -> Any:
    model = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)

    def step(batch: Any) -> Any:
        loss = (model(batch.x).view(-1) - batch.y).pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    step = C(step)
    for pair in batches(12):
        yield step(KINDS[kind](*pair)), model, optimizer


@pytest.mark.parametrize("kind", ["NamedTuple", "dataclass", "frozen and nested"])
@compiled
def test_its_methods(C: Any, kind: str) -> Any:
    f = C(lambda batch: batch.scaled() + 1)
    for pair in batches(12):
        yield f(KINDS[kind](*pair))


@same
def test_numbers_in_it(C: Any) -> Any:
    f = C(lambda batch: (batch.scaled() * (2 if batch.scale > 1.5 else 1), batch.scale))
    for kind in (Batch, Example):
        for (x, y), scale in zip(batches(6), (1.0, 1.0, 2.5, -0.0, float("nan"), 3), strict=True):
            yield f(kind(x, y, scale))


@same
def test_a_method_of_its_class_is_replaced(C: Any) -> Any:
    @dataclass
    class Own:
        x: Any

        def twice(self) -> Any:
            return self.x * 2

    class Two(NamedTuple):
        x: Any

        def twice(self) -> Any:
            return self.x * 2

    for kind in (Own, Two):
        f = C(lambda batch: batch.twice())
        for i, (x, _) in enumerate(batches(8)):
            if i == 4:
                kind.twice = lambda self: self.x * 3
            yield f(kind(x))


@same
def test_a_class_attribute_and_others_of_the_object(C: Any) -> Any:
    @dataclass
    class Own:
        x: Any
        factor = 2.0

    f = C(lambda batch: batch.x * batch.factor * getattr(batch, "more", 1))
    for i, (x, _) in enumerate(batches(10)):
        if i == 4:
            Own.factor = 5.0
        batch = Own(x)
        if i == 6:
            batch.factor = 7.0
        if i > 7:
            batch.more = i
        yield f(batch)


@same
def test_the_function_changes_the_object(C: Any) -> Any:
    def f(batch: Any) -> Any:
        batch.x = batch.x * 2
        batch.names.append("f")
        return batch.x.sum()

    f = C(f)
    for x, y in batches(6):
        batch = Example(x, y)
        yield attempt(f, batch), batch.x, batch.names


@same
def test_the_object_is_returned_or_kept(C: Any) -> Any:
    kept: list[Any] = []

    def f(batch: Any) -> Any:
        kept.append(batch)
        return batch.x * 2

    for function in (C(f), C(lambda batch: batch), C(lambda batch: (batch, batch.x + 1)), C(lambda b: b.x)):
        for kind in (Pair, Example):
            for pair in batches(4):
                batch = kind(*pair)
                result = attempt(function, batch)
                yield result is batch, (result[0] if isinstance(result, tuple) else result) is batch
                yield (result is batch.x), len(kept), not kept or kept[-1] is batch


@same
def test_one_object_at_every_call(C: Any) -> Any:
    """As settings are."""
    settings = Example(torch.ones(4, 3), torch.ones(4), 2.0)
    f = C(lambda x, settings: x * settings.scale + settings.x)
    for i, (x, _) in enumerate(batches(12)):
        if i == 4:
            settings.scale = 3.0
        if i == 6:
            settings.x = torch.zeros(4, 3)
        if i == 8:
            settings = replace(settings, scale=-1.0)
        yield f(x, settings)


@same
def test_equality_order_and_fields(C: Any) -> Any:
    @dataclass(order=True)
    class Point:
        a: float
        b: float

    f = C(lambda x, p, q: x * (2 if p == q else 3) * (1 if p < q else 5) * (hash(p.a) % 7))
    for (x, _), a in zip(batches(8), (1.0, 2.0, 2.0, 3.0, 1.0, 4.0, 2.0, 2.0), strict=True):
        yield attempt(f, x, Point(a, 1.0), Point(2.0, 1.0))


@same
def test_a_subclass_with_its_own_ways(C: Any) -> Any:
    class Loud(Pair):
        def __getitem__(self, i: Any) -> Any:
            return tuple.__getitem__(self, i) * 10

    @dataclass
    class Hidden:
        x: Any

        def __getattribute__(self, name: str) -> Any:
            value = object.__getattribute__(self, name)
            return value * 2 if name == "x" else value

    f, g = C(lambda batch: batch[0] + batch.x), C(lambda batch: batch.x + 1)
    for x, y in batches(5):
        yield attempt(f, Loud(x, y)), attempt(g, Hidden(x))


@dataclass(slots=True)
class Slotted:
    x: Any
    scale: float = 1.0


@dataclass
class PartlySlotted(Slotted):
    y: Any = None


@same
def test_a_dataclass_with_slots(C: Any) -> Any:
    """A part of it is in no __dict__: it is an argument as any other object is."""
    f, g = C(lambda batch: batch.x * batch.scale), C(lambda batch: batch.x * batch.scale + batch.y)
    for i, (x, y) in enumerate(batches(5)):
        yield f(Slotted(x, float(i))), g(PartlySlotted(x, float(i), y))


@compiled
def test_a_dataclass_that_is_returned(C: Any) -> Any:
    """As a model's output often is: each call returns its own, also with attributes that are no fields."""
    w = torch.ones(2, requires_grad=True)

    def f(x: Any, scale: float) -> Any:
        loss = (x * w).sum() * scale
        w.grad = None
        loss.backward()
        batch = Nested(Example(loss, x * 2, scale, ["a"]), Pair(x + 1, len(x)))
        batch.inner.more = x * 3  # type: ignore[attr-defined]
        return batch

    f, results = C(f), []
    for x, _ in batches(5):
        results.append(f(x, float(len(results))))
        yield results
    results[-1].inner.names.append("b")
    results[-1].inner.x.add_(1)
    yield results


@same
def test_a_dataclass_that_is_returned_and_was_there(C: Any) -> Any:
    kept = Example(torch.ones(2), None)

    def change(x: Any) -> Any:
        kept.x = x * 2
        return kept

    for function in (
        C(lambda x: kept),
        C(change),
        C(lambda x: Slotted(x * 2)),
        C(lambda x: (kept.names, kept)),
    ):
        for x, _ in batches(5):
            result = function(x)
            yield result, kept, result is kept


@compiled
def test_the_fields_of_a_dataclass_change(C: Any) -> Any:
    sizes = {"scale": 2.0}
    made: Any = make_dataclass("made", [("k", float, field(default=1.0, metadata=sizes))])
    f = C(lambda x: x * fields(made)[0].metadata["scale"] + fields(made)[0].default)
    for x, _ in batches(3):
        yield f(x)
        sizes["scale"] += 1.0
        made.__dataclass_fields__["k"].default += 1.0


@compiled
def test_an_object_is_not_asked_what_it_is(C: Any) -> Any:
    asked: list[str] = []

    class Careful:
        k = 2.0

        def __getattribute__(self, name: str) -> Any:
            asked.append(name)
            if name != "k":
                raise KeyError(name)
            return object.__getattribute__(self, name)

    class Pretender:
        __class__ = torch.Tensor  # type: ignore[assignment]
        k = 3.0

    careful, pretender = Careful(), Pretender()
    f = C(lambda x: x * pretender.k)
    for x, _ in batches(3):
        yield f(x)
        Pretender.k += 1.0
    yield C(lambda x: x * careful.k)(x), C(lambda x, o: x * o.k)(x, careful), asked
