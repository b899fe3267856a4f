"""What a compiled function changes itself changes once a call; it raises what eager code raises."""

import collections
import functools
import types
from typing import Any

import pytest
from contract import attempt, compiled, refused, same

import tinygrad_ninja as torch
from tinygrad_ninja import nn

X = torch.tensor([1.0, -2.0, 0.5])

# -- what the function changes itself ------------------------------------------------------------------------


@refused("losses|list|changes|grows")
def test_a_list_that_grows(C: Any) -> Any:
    losses: list[Any] = []

    def f(x: Any) -> Any:
        loss = (x * x).sum()
        losses.append(loss)
        return loss

    f = C(f)
    for k in range(6):
        yield f(X * k), losses


@refused("item|reads|value|losses")
def test_a_list_of_numbers_that_grows(C: Any) -> Any:
    losses: list[float] = []

    def f(x: Any) -> Any:
        loss = (x * x).sum()
        losses.append(loss.item())
        return loss

    f = C(f)
    for k in range(6):
        yield f(X * k), losses


@refused("print|stdout|writes")
def test_something_is_printed(C: Any) -> Any:
    def f(x: Any) -> Any:
        print("step", len(x))
        return x * 2

    f = C(f)
    for k in range(5):
        yield f(X * k)


@compiled
def test_an_attribute_that_counts(C: Any) -> Any:
    o = types.SimpleNamespace(count=0)

    def f(x: Any) -> Any:
        o.count += 1
        return x * 2

    f = C(f)
    for _ in range(6):
        yield f(X), o.count


@compiled
def test_a_dict_that_counts(C: Any) -> Any:
    counts = collections.Counter()

    def f(x: Any) -> Any:
        counts["calls"] += 1
        return x * 2

    f = C(f)
    for _ in range(6):
        yield f(X), counts


@compiled
def test_an_attribute_is_set_to_a_tensor(C: Any) -> Any:
    o = types.SimpleNamespace(h=torch.zeros(3))

    def f(x: Any) -> Any:
        o.h = (o.h + x).tanh()
        return o.h * 2

    f = C(f)
    for k in range(7):
        yield f(X), o
        if k == 4:
            o.h = torch.ones(3)


@same
def test_a_dict_holds_the_state(C: Any) -> Any:
    state = {"h": torch.zeros(3), "n": 0}

    def f(x: Any) -> Any:
        state["h"] = (state["h"] + x).tanh()
        return state["h"] * 1

    f = C(f)
    for k in range(6):
        yield f(X * k), state


@same
def test_a_first_call_that_makes_what_later_ones_find(C: Any) -> Any:
    cache: dict[str, Any] = {}

    def f(x: Any) -> Any:
        if "mask" not in cache:
            cache["mask"] = torch.ones(3).tril() if x.ndim > 1 else torch.ones(3)
        return x * cache["mask"]

    f = C(f)
    for k in range(5):
        yield f(X * k), cache
    cache.clear()
    yield f(X), cache


@same
def test_a_module_made_at_the_first_call(C: Any) -> Any:
    o = types.SimpleNamespace(layer=None)

    def f(x: Any) -> Any:
        if o.layer is None:
            o.layer = nn.Linear(3, 2)
        return o.layer(x).detach()

    f = C(f)
    for k in range(6):
        yield f(X * k), o
        if k == 3:
            o.layer = None


@same
def test_memoized(C: Any) -> Any:
    calls = []

    @functools.lru_cache
    def mask(n: int) -> Any:
        calls.append(n)
        return torch.arange(float(n))

    f = C(lambda x: x * mask(len(x)))
    for k in range(5):
        yield f(X * k), calls
    mask.cache_clear()
    yield f(X), f(torch.ones(5)), calls


@same
def test_every_third_call_is_another(C: Any) -> Any:
    calls = [0]

    def f(x: Any) -> Any:
        calls[0] += 1
        return x * 100 if calls[0] % 3 == 0 else x

    f = C(f)
    for k in range(8):
        yield f(X * k) + 0, calls


# -- exceptions ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [0, 1, 3])
@same
def test_an_exception_at_a_call(C: Any, at: int) -> Any:
    w = torch.ones(3)

    def f(x: Any, bad: bool) -> Any:
        w.add_(1.0)
        if bad:
            raise ValueError("the batch is bad")
        w.mul_(2.0)
        return w * x

    f = C(f)
    for k in range(6):
        yield attempt(f, X, k == at), w


@same
def test_an_exception_of_the_engine_at_a_call(C: Any) -> Any:
    w = torch.ones(3)

    def f(x: Any) -> Any:
        w.add_(1.0)
        return w + x

    f = C(f)
    for x in (X, torch.ones(2), X, torch.ones(1), torch.ones(4), X):
        yield attempt(f, x), w


@same
def test_an_exception_that_the_function_catches(C: Any) -> Any:
    def f(x: Any, y: Any) -> Any:
        try:
            return x @ y
        except RuntimeError:
            return x * 0

    f = C(f)
    for n in (3, 2, 3, 4, 3):
        yield f(X, torch.ones(n))


@same
def test_a_division_by_zero_at_a_call(C: Any) -> Any:
    f = C(lambda x, n: x * (10 / n))
    for n in (1, 2, 0, 5, 0, 4):
        yield attempt(f, X, n)


@same
def test_an_index_beyond_the_rows_at_a_call(C: Any) -> Any:
    f = C(lambda table, i: table[i] * 2)
    for i in (0, 2, 3, -1, -4, 1):
        yield attempt(f, X, torch.tensor([i]))
        yield attempt(f, X, i)


@same
def test_an_assertion_of_the_users(C: Any) -> Any:
    def f(x: Any) -> Any:
        assert x.ndim == 1, "one dimension only"
        return x * 2

    f = C(f)
    yield f(X), attempt(f, X[None]), f(X), attempt(f, X[None]), f(X + 1)


@same
def test_recursion(C: Any) -> Any:
    def powers(x: Any, n: int) -> Any:
        return x if n == 0 else powers(x * x, n - 1) + n

    f = C(lambda x, n: powers(x, n))
    for n in (1, 2, 0, 3, 1, 2):
        yield f(X * 1, n) + 0


@same
def test_a_function_that_calls_itself_compiled(C: Any) -> Any:
    def f(x: Any, n: int) -> Any:
        return x * 2 if n == 0 else f(x + 1, n - 1)

    f = C(f)
    for n in (0, 1, 2, 0, 3):
        yield f(X, n)


@same
def test_compiled_within_compiled(C: Any) -> Any:
    k = 2.0
    inner = C(lambda x: x * k)
    outer = C(lambda x: inner(x) + inner(x + 1))
    yield outer(X), inner(X), outer(X)
    k = 3.0
    yield inner(X), outer(X), inner(X), outer(X)
    inner = C(lambda x: x - 1)
    yield outer(X), outer(X)
