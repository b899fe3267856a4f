"""What a function hands out: results that are also elsewhere, their classes and layouts, errors that it
catches, and the function itself as an object."""

import copy
import pickle
from collections import namedtuple
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from contract import attempt, compiled, refused, same

import tinygrad_ninja as torch
from tinygrad_ninja import nn
from tinygrad_ninja.nn import functional as F


@compiled
def test_an_error_that_the_function_catches(C: Any) -> Any:
    table = nn.Embedding(4, 2).requires_grad_(False)

    def tried(x: Any, i: Any) -> Any:
        with suppress(IndexError):
            return x[i] * 2
        return x

    def embedded(i: Any) -> Any:
        try:
            return table(i) * 1
        except IndexError:
            return torch.zeros(1, 2)

    tried, embedded = C(tried), C(embedded)
    for k in (0, 1, 5, 2, -9, 3):
        yield tried(torch.ones(3), torch.tensor([k])), embedded(torch.tensor([k]))


@compiled
def test_random_numbers_after_an_error_go_on_where_eager_code_stopped(C: Any) -> Any:
    generator = torch.Generator().manual_seed(3)

    def step(x: Any, i: Any, n: int) -> Any:
        before = torch.rand(n, generator=generator)
        y = x[i] + before[0]
        return y + torch.rand(1, generator=generator)

    step = C(step)
    for i, n in ((1, 2), (0, 2), (9, 2), (2, 2), (9, 2), (1, 700), (0, 700), (9, 700), (3, 700), (1, 2)):
        yield attempt(step, torch.arange(5.0), torch.tensor([i]), n), generator.get_state()


@compiled
def test_a_gradient_is_returned_itself(C: Any) -> Any:
    model = nn.Linear(2, 1)

    def step(x: Any) -> Any:
        model.zero_grad()
        loss = model(x).sum()
        loss.backward()
        return loss, {name: p.grad for name, p in model.named_parameters()}

    step = C(step)
    for i in range(4):
        loss, gradients = step(torch.ones(1, 2) * i)
        gradients["weight"].mul_(5)
        yield loss, gradients["weight"] is model.weight.grad, model
        yield [p.grad for p in model.parameters()]


@refused("one Tensor is the gradient of two others")
def test_one_gradient_of_two_parameters(C: Any) -> Any:
    a, b = nn.Linear(2, 1), nn.Linear(2, 1)

    def step(x: Any) -> None:
        a.zero_grad()
        a(x).sum().backward()
        b.weight.grad = a.weight.grad

    step = C(step)
    for _ in range(3):
        step(torch.ones(1, 2))
        a.weight.grad.mul_(5)
        yield a, b


@compiled
def test_tensors_that_get_other_memory_are_returned_themselves(C: Any) -> Any:
    w = torch.ones(2)

    def step(x: Any, y: Any) -> Any:
        w.data = x * 2
        y.data = x + w
        return w, y

    step = C(step)
    for i in range(4):
        x, y = torch.ones(2) * i, torch.zeros(2)
        results = step(x, y)
        results[0].add_(1)
        yield results[0] is w, results[1] is y, results, w, y


@compiled
def test_layouts_of_gradients_and_data(C: Any) -> Any:
    w, p = torch.ones(2, 3), nn.Parameter(torch.ones(2, 3))

    def step(x: Any) -> None:
        w.data = x.T * 2
        p.grad = x.T * 3

    step = C(step)
    for i in range(4):
        step(torch.ones(3, 2) * i)
        yield w.stride(), p.grad.stride(), w, p.grad
        yield attempt(lambda: w.view(-1))


@same
def test_classes_of_results(C: Any) -> Any:
    class Doubled(namedtuple("Pair", "a")):
        def __new__(cls, a: Any) -> Any:
            return super().__new__(cls, a * 2)

    functions = [
        lambda x: nn.Parameter(x * 2, requires_grad=False),
        lambda x: Doubled(x),
        lambda x: (x * 2, x.dtype, x.shape, None),
    ]
    for function in map(C, functions):
        for i in range(3):
            result = function(torch.ones(2) * i)
            yield type(result).__name__, result


@same
def test_one_list_in_two_places_and_a_tuple_that_was_there(C: Any) -> Any:
    def twice(x: Any) -> Any:
        y = [x * 2]
        return y, y

    def around(x: Any) -> Any:
        y = [x * 2]
        y.append(y)
        return y

    twice, around, back = C(twice), C(around), C(lambda pair: pair)
    for i in range(3):
        a, b = twice(torch.ones(1) * i)
        ring = around(torch.ones(1) * i)
        pair = (torch.ones(1), 2)
        yield a is b, a, ring[0], ring[1] is ring, back(pair) is pair


KEPT: dict[str, Callable[[Any], Any]] = {
    "a Tensor": lambda y: y,
    "a list": lambda y: [y],
    "a dict": lambda y: {"y": y},
    "a Tensor of several": lambda y: (y, 1),
}


@pytest.mark.parametrize("kind", KEPT)
@same
def test_what_is_kept_is_what_is_returned(C: Any, kind: str) -> Any:
    """The function holds its result, in the calls before it is settled or given up, too."""
    w, last = torch.ones(2, requires_grad=True), {}

    def f(x: Any) -> Any:
        y = x * w
        w.grad = None
        y.sum().backward()
        last["result"] = result = KEPT[kind](y)
        return result

    f = C(f)
    for i in range(5):
        result = f(torch.ones(2) * i)
        yield result, last, result is last["result"]


# -- the function as an object -------------------------------------------------------------------------------


@same
def test_attributes_of_a_decorated_function(C: Any) -> Any:
    @C
    def step(x: Any) -> Any:
        return x * step.scale

    for scale in (0.0, 1.0, 1.0, 2.0):
        step.scale = scale
        yield step(torch.ones(2)), step.scale, step.__name__
    del step.scale
    yield attempt(step, torch.ones(2))


@same
def test_attributes_of_a_callable_object(C: Any) -> Any:
    class Scaled:
        def __init__(self) -> None:
            self.k = 1.0

        def set(self, k: float) -> None:
            self.k = k

        def __call__(self, x: Any) -> Any:
            return x * self.k

    scaled = C(Scaled())
    yield scaled(torch.ones(1))
    scaled.k = 5.0
    yield scaled(torch.ones(1)), scaled.k
    scaled.set(7.0)
    yield scaled(torch.ones(1))


@same
def test_a_copied_model_with_a_compiled_method(C: Any) -> Any:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.ones(1))
            self.forward = C(self.forward)

        def forward(self, x: Any) -> Any:
            with torch.no_grad():
                return x * self.w

    model = Model()
    yield model(torch.ones(1))
    other = copy.deepcopy(model)
    other.w.data.fill_(5.0)
    for _ in range(3):
        yield model(torch.ones(1)), other(torch.ones(1))


def scaled(x: Any) -> Any:
    return x * 2


@torch.compile
def decorated(x: Any) -> Any:
    return x * 2


@pytest.mark.parametrize("function", [torch.compile(scaled), decorated])
def test_a_compiled_function_is_pickled_as_the_function_is(function: Any) -> None:
    again = pickle.loads(pickle.dumps(function))  # noqa: S301 - its own
    assert again(torch.ones(2)).tolist() == [2.0, 2.0]
    assert copy.copy(function) is function


@same
def test_a_function_that_raises_every_time(C: Any) -> Any:
    model = nn.Linear(2, 2)

    def step(x: Any) -> Any:
        F.relu(model(x))
        raise ValueError("no")

    step = C(step)
    for _ in range(12):
        yield attempt(step, torch.ones(1, 2))


@compiled
def test_parts_of_one_memory_that_have_nothing_in_common(C: Any) -> Any:
    w = torch.randn(5, 6, requires_grad=True)
    fast = C(lambda x: (x @ w).chunk(2, 1))
    for _ in range(4):
        mean, spread = fast(torch.randn(3, 5))
        yield mean.detach(), spread.detach(), mean.stride()
        (mean.sin() * spread.exp()).sum().backward()
        yield w.grad
        with torch.no_grad():
            yield fast(torch.randn(3, 5))


@refused("share their memory")
def test_parts_of_one_memory_that_overlap(C: Any) -> Any:
    def f(x: Any) -> Any:
        y = x * 2
        return y[:2], y[1:]

    f = C(f)
    for _ in range(4):
        first, second = f(torch.randn(3))
        first.add_(1)
        yield first, second
