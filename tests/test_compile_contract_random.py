"""Random numbers in compiled functions: those of the package are replayed; others are not compiled."""

import itertools
import os
import random
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from contract import attempt, compiled, refused, same

import tinygrad_ninja as torch
from tinygrad_ninja import nn
from tinygrad_ninja.nn import functional as F

X = torch.arange(6.0).view(2, 3)

DRAWS: dict[str, Callable[[], Any]] = {
    "rand": lambda: torch.rand(3),
    "randn": lambda: torch.randn(2, 2),
    "randint": lambda: torch.randint(0, 100, (4,)),
    "randperm": lambda: torch.randperm(7),
    "normal": lambda: torch.normal(1.0, 2.0, (3,)),
    "rand_like": lambda: torch.rand_like(X),
    "rand_like of a transposed one": lambda: torch.rand_like(X.T),
    "randn_like": lambda: torch.randn_like(X),
    "randn_like of what was computed": lambda: torch.randn_like(X * 2 + 1),
    "randint_like": lambda: torch.randint_like(X, 9),
    "randint_like of integers": lambda: torch.randint_like(torch.arange(3), 2, 9),
    "bernoulli": lambda: torch.bernoulli(torch.full((5,), 0.5)),
    "multinomial": lambda: torch.multinomial(torch.tensor([0.2, 0.5, 0.3]), 4, replacement=True),
    "uniform_": lambda: torch.empty(3).uniform_(),
    "normal_": lambda: torch.zeros(3).normal_(),
    "normal_ of a part": lambda: torch.zeros(4)[1:3].normal_() * 2,
    "init.uniform_": lambda: nn.init.uniform_(torch.empty(3)),
    "init.normal_": lambda: nn.init.normal_(torch.empty(2, 2)),
    "init.kaiming_uniform_": lambda: nn.init.kaiming_uniform_(torch.empty(3, 2)),
    "init.xavier_normal_": lambda: nn.init.xavier_normal_(torch.empty(3, 2)),
    "a layer made inside": lambda: nn.Linear(3, 2)(X).detach(),
    "an embedding made inside": lambda: nn.Embedding(5, 2)(torch.tensor([1, 3])).detach(),
    "F.dropout": lambda: F.dropout(X + 1, 0.5),
}


@pytest.mark.parametrize("kind", DRAWS)
@same
def test_every_call_draws_anew(C: Any, kind: str) -> Any:
    f = C(DRAWS[kind])
    for _ in range(5):
        yield f()
    yield torch.rand(2)


@pytest.mark.parametrize(
    "kind", ["rand", "randn", "randint", "randperm", "normal", "F.dropout", "rand_like", "randn_like"]
)
@compiled
def test_ordinary_draws_are_compiled(C: Any, kind: str) -> Any:
    f = C(DRAWS[kind])
    for k in range(6):
        if k == 3:
            torch.manual_seed(5)
        yield f()


CLASSES: dict[str, Callable[[Any], Any]] = {
    "one": lambda p: torch.multinomial(p, 1),
    "one of a row": lambda p: p[0].multinomial(1),
    "one with replacement": lambda p: torch.multinomial(p, 1, replacement=True),
    "several": lambda p: torch.multinomial(p, 3),
    "of what is computed": lambda p: torch.multinomial(F.softmax(p * 3, -1), 2),
    "of its transpose": lambda p: torch.multinomial(p.T, 2),
    "an index by it": lambda p: p[0][torch.multinomial(p[0], 1)],
}


@pytest.mark.parametrize("how", CLASSES)
@compiled
def test_classes_are_drawn(C: Any, how: str) -> Any:
    """Where a weight is none, as eager code says; what was drawn in a call that fails is given back."""
    f = C(CLASSES[how])
    for high in (1.0, 0.5, -1.0, 0.0, float("inf"), 0.7, 2.0):
        p = torch.linspace(0, 1, 15).reshape(3, 5) * high
        yield attempt(f, p), torch.default_generator.get_state()
    yield attempt(f, torch.rand(3, 5).double())


@refused("multinomial of several with replacement")
def test_several_classes_drawn_with_replacement(C: Any) -> Any:
    f = C(lambda p: torch.multinomial(p, 4, replacement=True))
    for _ in range(3):
        yield f(torch.rand(3, 5))


@compiled
def test_draws_with_tensors_of_probabilities_means_and_deviations(C: Any) -> Any:
    """Where one is out of range, as eager code says; what was drawn in a call that fails is given back."""
    bernoulli, normal = torch.bernoulli, torch.normal
    f = C(lambda p, s: (bernoulli(p), bernoulli(p, 0.3), normal(p, 2.0), normal(p, s)))
    for high in (1.0, 0.5, 1.5, 0.9, -0.1, float("nan"), 0.7):
        p = torch.linspace(0, high, 20)
        yield attempt(f, p, p.abs().double() * 3), torch.default_generator.get_state()
    for low in (0.0, -0.5, 1.0):
        yield attempt(f, torch.ones(5, 4) / 3, torch.linspace(low, 2, 4)), torch.rand(2)


@compiled
def test_the_seed_is_set_between_calls(C: Any) -> Any:
    f = C(lambda x: x + torch.randn(3))
    for seed in (1, 1, 2, 1, 3):
        torch.manual_seed(seed)
        yield f(torch.ones(3))
        yield f(torch.zeros(3))


@compiled
def test_the_state_is_set_back_between_calls(C: Any) -> Any:
    f = C(lambda: torch.rand(2) * 2)
    yield f()
    state = torch.get_rng_state()
    for _ in range(5):
        yield f()
        torch.set_rng_state(state)
        yield torch.rand(1)


@compiled
def test_eager_draws_between_calls(C: Any) -> Any:
    f = C(lambda x: x * torch.rand(3))
    for k in range(5):
        yield torch.randn(k)
        yield f(X[0])


@same
def test_a_generator_is_seeded_again(C: Any) -> Any:
    g = torch.Generator().manual_seed(3)
    f = C(lambda: torch.randint(0, 1000, (3,), generator=g))
    for k in range(6):
        yield f()
        if k % 2:
            g.manual_seed(7)
        yield g
    state = g.get_state()
    yield f()
    g.set_state(state)
    yield f(), g


@same
def test_a_generator_is_replaced(C: Any) -> Any:
    g = torch.Generator().manual_seed(3)
    f = C(lambda: torch.rand(3, generator=g))
    for k in range(5):
        yield f()
        g = torch.Generator().manual_seed(3 + k // 2)
        yield g


@same
def test_generators_as_arguments(C: Any) -> Any:
    g, h = torch.Generator().manual_seed(1), torch.Generator().manual_seed(1)
    f = C(lambda a, b: torch.rand(2, generator=a) - torch.rand(2, generator=b))
    for pair in ((g, h), (g, g), (h, g), (h, h), (g, h)):
        yield f(*pair)
        yield g, h


@same
def test_a_generator_made_inside(C: Any) -> Any:
    def f(x: Any) -> Any:
        g = torch.Generator().manual_seed(4)
        return x + torch.rand(3, generator=g)

    f = C(f)
    for k in range(5):
        yield f(X[0] * k)


@same
def test_the_seed_is_set_inside(C: Any) -> Any:
    def f(x: Any) -> Any:
        torch.manual_seed(4)
        return x + torch.rand(3)

    f = C(f)
    for k in range(5):
        yield f(X[0] * k)
        yield torch.rand(1)


@same
def test_the_generator_of_an_object_is_replaced(C: Any) -> Any:
    class Sampler:
        def __init__(self) -> None:
            self.g = torch.Generator().manual_seed(0)

        def batch(self) -> Any:
            return torch.randint(0, 50, (4,), generator=self.g)

    sampler = Sampler()
    f = C(lambda: sampler.batch() * 2)
    for k in range(6):
        if k == 3:
            sampler.g = torch.Generator().manual_seed(99)
        yield f(), sampler


@compiled
def test_dropout_of_a_model(C: Any) -> Any:
    drop = nn.Dropout(0.5)
    f = C(lambda x: drop(x) * 2)
    for k in range(6):
        yield f(X + k)
        if k == 2:
            drop.eval()
        if k == 4:
            drop.train()


@compiled
def test_the_share_that_is_dropped_changes(C: Any) -> Any:
    drop = nn.Sequential(nn.Tanh(), nn.Dropout(0.5))
    f = C(lambda x: drop(x))
    for p in (0.5, 0.1, 0.1, 0.9, 0.5):
        drop[1].p = p
        yield f(X + 1)


@same
def test_the_share_that_is_dropped_is_an_argument(C: Any) -> Any:
    f = C(lambda x, p: F.dropout(x, p))
    for p in (0.5, 0.1, 0.0, 0.9, 1.0, 0.5):
        yield f(X + 1, p)


@same
def test_a_kept_tensor_is_drawn_in_place(C: Any) -> Any:
    w = torch.zeros(4)

    def f(x: Any) -> Any:
        w.normal_()
        return w * x

    f = C(f)
    for k in range(5):
        yield f(torch.full((4,), float(k))), w


@same
def test_a_parameter_is_initialised_inside(C: Any) -> Any:
    layer = nn.Linear(3, 2)

    def f(x: Any) -> Any:
        nn.init.kaiming_normal_(layer.weight)
        nn.init.zeros_(layer.bias)
        return layer(x).detach()

    f = C(f)
    for k in range(5):
        yield f(X + k), layer


@same
def test_bounds_of_a_draw_are_arguments(C: Any) -> Any:
    f = C(lambda n, k: torch.randint(0, n, (k,)))
    for n, k in ((5, 3), (5, 4), (100, 3), (1000, 3), (5, 3)):
        yield f(n, k)


# -- what is not compiled ------------------------------------------------------------------------------------

FOREIGN: dict[str, Callable[[], Any]] = {
    "np.random.rand": lambda: float(np.random.rand()),
    "np.random.randn": lambda: np.random.randn(3).sum(),
    "np.random.randint": lambda: np.random.randint(0, 100),
    "random.random": lambda: random.random(),
    "random.randrange": lambda: random.randrange(100),
    "random.choice": lambda: random.choice([1.0, 2.0, 3.0, 4.0, 5.0]),
}


@pytest.mark.parametrize("kind", FOREIGN)
@refused("random")
def test_random_numbers_of_others(C: Any, kind: str) -> Any:
    f = C(lambda x: x * FOREIGN[kind]())
    for k in range(5):
        yield f(X + k)


@refused("random")
def test_numpys_random_numbers_in_a_helper_of_a_helper(C: Any) -> Any:
    def inner() -> Any:
        return torch.from_numpy(np.random.randn(3).astype("float32"))

    def outer(x: Any) -> Any:
        return x + inner()

    f = C(lambda x: outer(x) * 2)
    for _ in range(5):
        yield f(X)


@refused("random|Generator|generator")
def test_a_numpy_generator_in_the_closure(C: Any) -> Any:
    g = np.random.default_rng(0)
    f = C(lambda x: x * g.random())
    for _ in range(5):
        yield f(X)


@refused("random|Generator|generator")
def test_a_numpy_generator_of_an_object(C: Any) -> Any:
    class Data:
        def __init__(self) -> None:
            self.rng = np.random.default_rng(0)

        def batch(self) -> Any:
            return torch.from_numpy(self.rng.integers(0, 3, 2))

    data = Data()
    f = C(lambda: X[:, data.batch()] * 2)
    for _ in range(5):
        yield f()


@refused("random|Random")
def test_a_stream_of_pythons_own(C: Any) -> Any:
    stream = random.Random(0)
    f = C(lambda x: x * stream.random())
    for _ in range(5):
        yield f(X)


@refused("random|shuffle")
def test_a_list_is_shuffled(C: Any) -> Any:
    order = [0, 1, 2]

    def f() -> Any:
        random.shuffle(order)
        return X[:, order] * 1

    f = C(f)
    for _ in range(5):
        yield f(), order


@refused("iterator")
def test_the_next_of_an_iterator(C: Any) -> Any:
    numbers = iter([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    f = C(lambda x: x * next(numbers))
    for _ in range(5):
        yield f(X)
    yield next(numbers)


@refused("generator|iterator")
def test_the_next_of_a_generator(C: Any) -> Any:
    def batches() -> Any:
        for k in itertools.count():
            yield torch.full((2,), float(k))

    data = batches()
    f = C(lambda: next(data) * 2)
    for _ in range(5):
        yield f()
    yield next(data)


@refused("count|iterator")
def test_a_count_of_itertools(C: Any) -> Any:
    step = itertools.count(1)
    f = C(lambda x: x / next(step))
    for _ in range(5):
        yield f(X)


@refused("iterator|zip|enumerate")
def test_an_iterator_over_batches_in_an_object(C: Any) -> Any:
    class Loader:
        def __init__(self) -> None:
            self.batches = iter(enumerate(torch.arange(12.0).view(6, 2).unbind()))

    loader = Loader()

    def f() -> Any:
        i, x = next(loader.batches)
        return x * i

    f = C(f)
    for _ in range(5):
        yield f()


@refused("environ|time|os")
def test_the_surroundings_decide(C: Any) -> Any:
    f = C(lambda x: x * float(os.environ.get("SCALE_OF_A_TEST", "1")))
    try:
        for k in range(5):
            os.environ["SCALE_OF_A_TEST"] = str(k // 2 + 1)
            yield f(X)
    finally:
        del os.environ["SCALE_OF_A_TEST"]


@pytest.mark.parametrize("clock", ["time", "monotonic", "perf_counter"])
@refused("time|perf_counter|monotonic")
def test_time_decides(C: Any, clock: str) -> Any:
    begin = getattr(time, clock)()

    def f(x: Any) -> Any:
        return x * 0 + (getattr(time, clock)() - begin) * 1000

    f, last = C(f), 0.0
    for _ in range(5):
        time.sleep(0.002)
        now = f(X)[0, 0].item()
        yield now > last
        last = now
