"""Numbers given to a compiled function, or read by it: whatever it does with them, they are Python's."""

import math
import operator
from collections.abc import Callable
from decimal import Decimal as Dec
from typing import Any

import numpy as np
import pytest
from contract import attempt, compiled, same
from slow_ones import slow_but

import tinygrad_ninja as torch

X = torch.tensor([1.0, -2.0, 0.5])
D = X.double()
I = torch.tensor([1, 3, -2])  # noqa: E741

kind_of = type

USES: dict[str, Callable[[Any], Any]] = {
    "factor": lambda k: X * k,
    "factor of float64": lambda k: D * k,
    "factor of integers": lambda k: I * k,
    "sum with integers": lambda k: I + k,
    "quotient": lambda k: X / k,
    "inverse": lambda k: D * (1 / k),
    "floor": lambda k: X // k,
    "remainder": lambda k: X % k,
    "integers' floor": lambda k: I // k,
    "exponent": lambda k: X**k,
    "base": lambda k: k**X,
    "power of two": lambda k: X * 2**-k,
    "power of numbers": lambda k: D * k**5,
    "comparison": lambda k: k < X,
    "tensor": lambda k: X * torch.tensor(k),
    "tensor of a list": lambda k: X * torch.tensor([k, k, 1.0]),
    "as_tensor": lambda k: X + torch.as_tensor(k),
    "full": lambda k: torch.full((2,), k),
    "full_like": lambda k: torch.full_like(X, k),
    "fill_": lambda k: torch.empty(2).fill_(k),
    "where": lambda k: torch.where(X > 0, k, 0.0),
    "where with a Tensor": lambda k: torch.where(X > 0, X, k),
    "masked_fill": lambda k: X.masked_fill(X > 0, k),
    "clamp": lambda k: X.clamp(max=k),
    "alpha": lambda k: torch.add(X, X, alpha=k),
    "float32": lambda k: X * np.float32(k),
    "float64": lambda k: X * np.float64(k),
    "array": lambda k: X * torch.from_numpy(np.array([k, k, k])),
    "linspace": lambda k: torch.linspace(0, k, 4),
    "arange": lambda k: torch.arange(0, k, 0.5),
    "math.sqrt": lambda k: X * math.sqrt(abs(k)),
    "math.exp": lambda k: D * math.exp(-k),
    "math.floor": lambda k: X * math.floor(k),
    "int": lambda k: X * int(k),
    "float": lambda k: I * float(k),
    "bool": lambda k: X * bool(k),
    "round": lambda k: X * round(k),
    "abs": lambda k: X * abs(k),
    "negative": lambda k: X * -k,
    "divmod": lambda k: X * divmod(7, k)[1],
    "max": lambda k: X * max(k, 2),
    "sum": lambda k: X * sum([k, 1]),
    "if": lambda k: X if k > 1.5 else -X,
    "if truth": lambda k: X + 1 if k else X - 1,
    "chained": lambda k: X + 1 if 0 < k < 2 else X - 1,
    "isinstance": lambda k: X * (1 if isinstance(k, float) else 100),
    "type": lambda k: X * (1 if type(k) is int else 100),
    "in": lambda k: X * (5 if k in (1, 3.0) else 7),
    "in a set": lambda k: X * (5 if k in {1, 3.0} else 7),
    "key": lambda k: X * {1: 10.0, 2.5: 20.0}.get(k, 0.5),
    "str": lambda k: X * len(str(k)),
    "format": lambda k: X * len(f"{k:.3f}"),
    "hash": lambda k: X * (hash(k) % 7),
    "is": lambda k: X * (2 if k is None else 3),
    "equal": lambda k: X * (k == 1),
    "string's": lambda k: X * float(f"{k}5" if "." in f"{k}" else f"{k}.5"),
    "is_integer": lambda k: X * float(k).is_integer(),
    "operator": lambda k: operator.mul(X, operator.add(k, 1)),
    "numpy's function": lambda k: X * float(np.tanh(k)),
    "returned": lambda k: (X * 2, k),
    "returned, computed": lambda k: {"x": X * 2, "k": k * 2 + 1},
    "loop": lambda k: sum((X * i for i in range(int(k))), X),
    "dropped": lambda k: X * 2,
    "product with True": lambda k: X * (k * True),
    "complex": lambda k: X * (k * 1j).imag,
    "deep arithmetic": lambda k: D * ((k * 3 - 1) / 7 + k % 2) ** 2,
    "if computed": lambda k: X * k if 0 <= (k - 1) / 3 <= 0.5 else -X,
    "if computed truth": lambda k: X * k if k - 1 else -X,
    "max computed": lambda k: X * max(0.25, 1 - k / 4),
    "if of two": lambda k: X * k if k * k < k + 1 else -X,
    "computed divisor": lambda k: D * (k / (k - 1)) if k != 1 else D,
    "compared quotient": lambda k: D * k if k - 3 and k / (k - 3) > 1 else D,
    "computed divisor of 0": lambda k: D * (1 / (k - 3)),
    "much arithmetic": lambda k: D * next(x for x in (k * 0.9**i * 0.9 for i in range(99)) if x < 0.01),
}
SEQUENCES: dict[str, list[Any]] = {
    "floats": [1.0, 2.5, 2.5, 0.5, 1.0, 3.0],
    "integers": [1, 3, 3, 2, 1, 5],
    "mixed": [1, 1.0, True, 2, 2.0, False + 3],
    "NumPy's": [np.float64(x) for x in (1.0, 2.5, 2.5, 0.5, 1.0, 3.0)],
    "both": [np.float64(1), 1.0, np.float64(2), 2.0, np.float32(2), np.int64(3), np.float64(3)],
}


@pytest.mark.parametrize("numbers", slow_but(SEQUENCES, "floats", "mixed", "NumPy's"))
@pytest.mark.parametrize("use", USES)
@same
def test_a_number_as_an_argument(C: Any, use: str, numbers: str) -> Any:
    f = C(USES[use])
    for k in SEQUENCES[numbers]:
        with np.errstate(divide="ignore"):  # the warning of a division would come from another line
            result = attempt(f, k)
        yield result


@pytest.mark.parametrize("numbers", SEQUENCES)
@pytest.mark.parametrize(
    "use", ["factor", "integers' floor", "tensor", "if", "inverse", "isinstance", "exponent"]
)
@same
def test_a_number_in_the_closure(C: Any, use: str, numbers: str) -> Any:
    k: Any = 0
    function = USES[use]
    f = C(lambda: function(k))
    for _ in SEQUENCES[numbers]:
        yield attempt(f)


@pytest.mark.parametrize(
    "use", ["factor", "quotient", "if", "clamp", "where", "inverse", "factor of integers", "max", "in"]
)
@same
def test_strange_numbers(C: Any, use: str) -> Any:
    f = C(USES[use])
    for k in (1.0, float("nan"), float("inf"), -0.0, 0.0, float("-inf"), 5e-324, 1e308, 1e39, float("nan")):
        result = attempt(f, k)
        yield result
        if isinstance(result, torch.Tensor) and result.is_floating_point():
            yield np.signbit(result.numpy()) & ~np.isnan(result.numpy())


@same
def test_zero_of_either_sign_in_a_closure(C: Any) -> Any:
    k = 0.0
    f = C(lambda: 1 / (torch.ones(2) * k))
    for k in (0.0, -0.0, 0.0, -0.0, -0.0):  # noqa: B007 - the function sees it
        yield f()


@compiled
def test_a_learning_rate_as_an_argument(C: Any) -> Any:
    w = torch.ones(3, requires_grad=True)

    def step(lr: float) -> Any:
        loss = ((w * X - 1) ** 2).mean()
        w.grad = None
        loss.backward()
        w.data += -lr * w.grad
        return loss

    step = C(step)
    for i in range(30):
        yield step(0.1 / (i + 1)), w


@compiled
def test_rates_of_numpys(C: Any) -> Any:
    """As an argument, and in an optimizer's group."""
    w = torch.ones(3, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.1, momentum=0.5, weight_decay=0.1)

    def step(factor: Any) -> Any:
        loss = ((w * X - 1) ** 2).mean() * factor
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    step = C(step)
    for rate in np.linspace(0.1, 0.01, 12):
        optimizer.param_groups[0]["lr"] = rate
        yield step(1 - rate), w, optimizer


@compiled
def test_functions_within_use_a_learning_rate(C: Any) -> Any:
    """They hold it as long as the step runs, and so do comprehensions before Python 3.12."""
    weights = [torch.randn(3, 2), torch.randn(2)]

    @C
    def stepped(weights: Any, lr: float) -> Any:
        def descended(weight: Any) -> Any:
            return weight - lr * weight.sin()

        return [*map(descended, weights)], [lr * weight for weight in weights]

    for k in range(12):
        weights, scaled = stepped(weights, 0.1 / (k + 1))
        yield weights, scaled


@compiled
def test_a_learning_rate_that_falls_in_two_steps(C: Any) -> Any:
    w = torch.ones(3, requires_grad=True)

    def step(i: int) -> Any:
        lr = 0.1 if i < 10 else 0.01
        loss = ((w * X - 1) ** 2).mean()
        w.grad = None
        loss.backward()
        w.data -= lr * w.grad
        return loss

    step = C(step)
    for i in range(20):
        yield step(i), w


@same
def test_large_and_negative_integers(C: Any) -> Any:
    f = C(lambda k: (I * k, X * k, I + k))
    for k in (1, -1, 2**31, 2**40, -(2**62), 2**63, 10**30, 3):
        yield attempt(f, k)


@same
def test_integers_as_sizes_and_places(C: Any) -> Any:
    x = torch.arange(12.0).view(3, 4)
    f = C(
        lambda n, d: (
            x[:n] * 2,
            x[n - 1] * 1,
            x.sum(d),
            torch.zeros(n, 2),
            x.roll(n) if hasattr(x, "roll") else 0,
        )
    )
    for n, d in ((1, 0), (2, 0), (2, 1), (3, -1), (0, 0), (1, 0)):
        yield attempt(f, n, d)


@same
def test_booleans_as_switches(C: Any) -> Any:
    f = C(lambda x, train, twice=False: (x * 2 if train else x + 1) * (2 if twice else 1))
    for a, b in ((True, False), (False, False), (True, True), (1, 0), (0, True), (False, False)):
        yield f(X, a, b), f(X, a, twice=b)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int64", "int8", "uint8", "bool_"])
@same
def test_numpy_scalars(C: Any, dtype: str) -> Any:
    kind = getattr(np, dtype)
    f = C(lambda k: (X * float(k), torch.ones(2) * int(k), torch.tensor(k), torch.arange(4)[: int(k)]))
    for k in (1, 2, 2, 0, 3, 1):
        yield attempt(f, kind(k))


@same
def test_numpy_scalars_meet_tensors(C: Any) -> Any:
    f = C(lambda k: attempt(lambda: X * k))
    for k in (np.float32(0.5), np.float64(0.5), np.int64(3), np.float32(2.5), np.float32(0.5), 0.5):
        yield f(k)


@same
def test_two_numbers_change_places(C: Any) -> Any:
    f = C(lambda a, b: X * a - b if a > b else X + a * b)
    for a, b in ((1.0, 2.0), (2.0, 1.0), (1, 2.0), (2, 1), (1.0, 1.0), (2.0, 1.0)):
        yield f(a, b)


@same
def test_a_number_is_returned_and_kept(C: Any) -> Any:
    """No number that stands for another is left behind."""
    kept: list[Any] = []

    def f(x: Any, k: Any) -> Any:
        y = k * 2 + 1
        if len(kept) < 2:
            kept.append(y)
        return x * y, y, [k], {"k": k}, (k > 1, -k, k * k)

    f = C(f)
    for k in (0.5, 1.5, 2.5, 2.5, 3.5):
        yield f(X, k), kept


@compiled
def test_the_numbers_of_a_warm_up(C: Any) -> Any:
    """A comparison of computed numbers costs no recording of its own."""

    def f(x: Any, i: int, rate: float) -> Any:
        progress = (i - 4) / (16 - 4)
        if i < 4:
            return x * (rate * (i + 1) / 5)
        assert 0 <= progress <= 1
        return x * max(rate * (1 - progress), 0.01)

    f = C(f)
    for i in range(17):
        yield f(X, i, 0.1 + i / 100)
    yield attempt(f, X, 17, 0.1)


@same
def test_a_number_decides_how_often(C: Any) -> Any:
    def f(x: Any, n: int, tolerance: float) -> Any:
        for i in range(n):
            x = x * 0.5 + i
            if 2.0**-i < tolerance:
                break
        return x * 1

    f = C(f)
    for n, tolerance in ((3, 0.1), (5, 0.1), (5, 0.3), (0, 0.1), (5, 0.1), (2, 1.0)):
        yield f(X, n, tolerance)


@same
def test_the_exponent_of_a_schedule(C: Any) -> Any:
    w = torch.ones(3)

    def f(i: int, base: float) -> Any:
        w.sub_(0.1 * base**i)
        return w * 1

    f = C(f)
    for i in range(7):
        yield f(i, 0.9), f(i, 0.5)


@same
def test_numbers_in_lists_and_dicts(C: Any) -> Any:
    f = C(lambda ks, named: torch.tensor(ks) * named["k"] + sum(ks))
    for k in range(6):
        yield f([k * 0.5, 1.0], {"k": k}), f([k, 1], {"k": 1.0})


@same
def test_the_length_of_a_range(C: Any) -> Any:
    f = C(lambda r: torch.arange(4.0)[list(r)] * 1)
    for n in (1, 2, 3, 2, 4):
        yield f(range(n)), f(range(n - 1, n))


@same
def test_what_asks_for_the_class_of_a_number_has_another_name(C: Any) -> Any:
    f, g = C(lambda x, k: x * float(Dec(k))), C(lambda x, k: x * len(kind_of(k).__name__))
    for k in (0.5, 2.0, 3.0, 1, 2):
        yield f(X, k), g(X, k)


MISUSES: dict[str, Callable[[Any], Any]] = {
    "index": lambda k: X[k],
    "slice": lambda k: X[: k + 0],
    "index of a list": lambda k: [1.0, 2.0][k],
    "index of a text": lambda k: "ab"[k],
    "range": lambda k: X * len(range(k)),
    "size": lambda k: X.sum(k),
    "call": lambda k: k(),
    "length": lambda k: len(k),
    "element": lambda k: k[0],
    "iteration": lambda k: [*k],
    "unpacking": lambda k: {**k},
    "inversion": lambda k: ~k,
    "sum with a text": lambda k: k + "a",
    "sum with a list": lambda k: operator.concat([1], k),
    "comparison": lambda k: k < "a",
    "attribute": lambda k: k.missing,
    "setting": lambda k: setattr(k, "missing", 1),
    "context": lambda k: k.__enter__(),
}


@pytest.mark.parametrize("misuse", MISUSES)
@same
def test_what_a_number_can_t_do_is_said_of_its_own_class(C: Any, misuse: str) -> Any:
    f = C(lambda x, k: x * k if k < 2.5 else MISUSES[misuse](k))
    for k in (0.5, 1.5, 3.0, 1, 2, 3):
        yield attempt(f, X, k)
