"""Python's variables and arguments around a compiled function: what it reads decides."""

import collections
import dataclasses
import functools
import types
from typing import Any

import pytest
from contract import attempt, compiled, same

import tinygrad_ninja as torch

X = torch.tensor([1.0, -2.0, 0.5])
SCALE = 1.0
SETTINGS = {"scale": 1.0}


# -- variables -----------------------------------------------------------------------------------------------


@compiled
def test_a_number_in_a_closure(C: Any) -> Any:
    k = 1.0
    f = C(lambda x: x * k)
    for k in (1.0, 2.0, 2.0, -1.0, 1.0):  # noqa: B007 - the function sees it
        yield f(X)


@same
def test_a_number_in_the_closure_of_a_helper_of_a_helper(C: Any) -> Any:
    k = 1.0

    def inner(x: Any) -> Any:
        return x * k

    def outer(x: Any) -> Any:
        return inner(x) + 1

    f = C(lambda x: outer(x))
    for k in (1.0, 2.0, 2.0, -1.0, 1.0):  # noqa: B007 - the function sees it
        yield f(X)


def _scaled(x: Any) -> Any:
    return x * SCALE


def _scaled_further_away(x: Any) -> Any:
    return _scaled(x) + 1


@pytest.mark.parametrize("helper", [_scaled, _scaled_further_away])
@same
def test_a_global_of_a_helper(C: Any, helper: Any) -> Any:
    global SCALE
    f = C(lambda x: helper(x))
    try:
        for k in (1.0, 3.0, 3.0, 1.0, -0.5):
            SCALE = k
            yield f(X)
    finally:
        SCALE = 1.0


@same
def test_a_global_dict(C: Any) -> Any:
    f = C(lambda x: x * SETTINGS["scale"] + SETTINGS.get("shift", 0))
    try:
        for k in (1.0, 2.0, 2.0):
            SETTINGS["scale"] = k
            yield f(X)
        SETTINGS["shift"] = 10
        yield f(X), f(X)
    finally:
        SETTINGS.clear()
        SETTINGS["scale"] = 1.0


@same
def test_a_global_function_is_bound_anew(C: Any) -> Any:
    global _scaled
    f, before = C(lambda x: _scaled_further_away(x)), _scaled
    try:
        yield f(X), f(X)
        _scaled = lambda x: x.tanh()  # noqa: E731
        yield f(X), f(X)
    finally:
        _scaled = before
    yield f(X)


@same
def test_functions_of_the_package_are_bound_anew(C: Any) -> Any:
    act = torch.tanh
    f = C(lambda x: act(x) * 2)
    for act in (torch.tanh, torch.relu, torch.exp, torch.relu, lambda x: x - 1):  # noqa: B007 - the function sees it
        yield f(X)


@same
def test_a_name_that_is_not_bound_yet(C: Any) -> Any:
    def f(x: Any) -> Any:
        return x * later

    f = C(f)
    yield attempt(f, X)
    later = 2.0
    yield attempt(f, X), attempt(f, X)
    del later
    yield attempt(f, X)
    later = 5.0
    yield attempt(f, X)


@same
def test_a_variable_of_the_closure_becomes_another_kind(C: Any) -> Any:
    k: Any = 1
    f = C(lambda x: x * k)
    for k in (1, 1.0, True, torch.tensor(2.0), torch.ones(3, dtype=torch.float64), 2):  # noqa: B007 - the function sees it
        yield f(X), f(torch.arange(3))


@compiled
def test_a_nonlocal_that_counts(C: Any) -> Any:
    count = 0

    def f(x: Any) -> Any:
        nonlocal count
        count += 1
        return x * count

    f = C(f)
    for _ in range(6):
        yield f(X), count
    count = 100
    yield f(X), count


@same
def test_a_nonlocal_tensor_that_is_bound_anew(C: Any) -> Any:
    h = torch.zeros(3)

    def f(x: Any) -> Any:
        nonlocal h
        h = (h + x).tanh()
        return h * 2

    f = C(f)
    for k in range(7):
        yield f(X * k), h
        if k == 4:
            h = torch.ones(3)


@same
def test_the_best_so_far(C: Any) -> Any:
    best = torch.tensor(float("inf"))

    def f(x: Any) -> Any:
        nonlocal best
        best = torch.minimum(best, (x * x).sum())
        return best + 0

    f = C(f)
    for k in (3.0, 2.0, 4.0, 1.0, 5.0, 0.5):
        yield f(X * k), best


# -- defaults and arguments ----------------------------------------------------------------------------------


@same
def test_defaults_are_replaced(C: Any) -> Any:
    def f(x: Any, k: float = 1.0, *, shift: float = 0.0) -> Any:
        return x * k + shift

    fast = C(f)
    yield fast(X)
    f.__defaults__ = (5.0,)
    yield fast(X), fast(X)
    f.__kwdefaults__ = {"shift": 2.0}
    yield fast(X), fast(X, 1.0), fast(X, shift=-1.0)


@same
def test_a_default_is_changed_in_place(C: Any) -> Any:
    def f(x: Any, seen: list[float] = []) -> Any:  # noqa: B006 - that is the scenario
        seen.append(1.0)
        return x * len(seen)

    fast = C(f)
    for _ in range(6):
        yield fast(X), f.__defaults__


@same
def test_defaults_of_a_function_without_parameters(C: Any) -> Any:
    """They mean nothing, until code names them."""

    def scale() -> float:
        return 2.0

    def noted() -> float:
        return len(noted.__defaults__ or ()) + len(noted.__kwdefaults__ or {}) + 1.0

    f, g = C(lambda x: x * scale()), C(lambda x: x * noted())
    yield f(X), g(X)
    scale.__defaults__, scale.__kwdefaults__ = (1.0,), {"a": 1.0}
    noted.__defaults__ = (1.0, 2.0)
    yield f(X), g(X)
    noted.__kwdefaults__ = {"a": 1.0}
    yield f(X), g(X)


@same
def test_a_default_of_a_helper(C: Any) -> Any:
    def helper(x: Any, k: Any = torch.ones(3)) -> Any:  # noqa: B008 - that is the scenario
        return x * k

    f = C(lambda x: helper(x))
    yield f(X), f(X)
    helper.__defaults__ = (torch.full((3,), 4.0),)
    yield f(X)
    helper.__defaults__[0].add_(1.0)
    yield f(X), f(X)


@same
def test_arguments_by_position_and_by_name(C: Any) -> Any:
    f = C(lambda a, b=2.0, *rest, c=1.0, **others: a * b + sum(rest) - c + sum(others.values()))
    yield f(X), f(X, 3.0), f(X, b=3.0), f(b=3.0, a=X), f(a=X, b=3.0)
    yield f(X, 2.0, 1.0, 5.0), f(X, c=4.0), f(X, d=4.0), f(X, d=4.0, c=3.0), f(X, c=3.0, d=4.0)
    yield f(X, 3.0, X, X * 2), f(X, 3.0, X * 2, X)
    yield f(X, self=4.0), f(X, args=4.0), f(X, self=3.0, fn=2.0)


@same
def test_the_order_of_named_arguments(C: Any) -> Any:
    f = C(lambda **given: torch.stack(list(given.values())) * torch.arange(1.0, 1 + len(given))[:, None])
    a, b = X, X * 10
    yield f(a=a, b=b), f(b=b, a=a), f(a=b, b=a), f(b=a, a=b), f(a=a), f(b=a)


@same
def test_arguments_that_do_not_fit(C: Any) -> Any:
    f = C(lambda a, b: a + b)
    yield f(X, X), attempt(f, X), attempt(f, X, X, X), attempt(f, X, c=X), attempt(f, X, a=X), f(X, b=X)


@pytest.mark.parametrize("kind", ["tuple", "list", "dict", "nested", "namedtuple", "dataclass", "namespace"])
@same
def test_containers_as_arguments(C: Any, kind: str) -> Any:
    pair = collections.namedtuple("pair", "a b")

    @dataclasses.dataclass
    class Both:
        a: Any
        b: Any

    make: dict[str, Any] = {
        "tuple": lambda a, b: (a, b),
        "list": lambda a, b: [a, b],
        "dict": lambda a, b: {"a": a, "b": b},
        "nested": lambda a, b: {"inner": [a, (b, {"c": a})]},
        "namedtuple": pair,
        "dataclass": Both,
        "namespace": lambda a, b: types.SimpleNamespace(a=a, b=b),
    }
    take: dict[str, Any] = {
        "dict": lambda both: both["a"] * 2 + both["b"],
        "nested": lambda both: both["inner"][0] * 2 + both["inner"][1][0] - both["inner"][1][1]["c"],
    }
    for name in ("tuple", "list"):
        take[name] = lambda both: both[0] * 2 + both[1]
    f = C(take.get(kind, lambda both: both.a * 2 + both.b))
    for k in range(5):
        yield f(make[kind](X * k, torch.full((3,), float(k))))
    yield f(make[kind](X, 3.0)), f(make[kind](2.0, X)), f(make[kind](X, X))


@same
def test_one_list_as_an_argument_that_changes(C: Any) -> Any:
    f = C(lambda xs: sum(xs) * 1)
    xs = [X, X * 2]
    yield f(xs)
    xs.append(X * 3)
    yield f(xs)
    xs[0] = torch.ones(3)
    yield f(xs)
    xs[1].zero_()
    yield f(xs)
    xs.clear()
    yield f(xs)


@same
def test_new_objects_as_arguments(C: Any) -> Any:
    """Each may lie where another lay."""

    class Scale:
        def __init__(self, k: float) -> None:
            self.k = k

    f = C(lambda x, o: x * o.k)
    for k in (1.0, 2.0, 3.0, 4.0, 2.0, 5.0):
        yield f(X, Scale(k))


@same
def test_functions_as_arguments(C: Any) -> Any:
    f = C(lambda act, x: act(x) * 2)
    for k in range(3):
        yield (
            f(torch.tanh, X),
            f(torch.relu, X),
            f(lambda x, k=k: x * k, X),
            f(functools.partial(torch.mul, X), X),
        )


@same
def test_strings_and_none_as_arguments(C: Any) -> Any:
    f = C(lambda x, how: x if how is None else getattr(x, how)())
    yield f(X, "tanh"), f(X, "exp"), f(X * 1, "abs"), f(X, "tanh"), attempt(f, X, "nothing"), f(X, "exp")
