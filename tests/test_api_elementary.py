"""Elementary functions, at ordinary and at surprising numbers, and what is composed of them."""

from typing import Any

import pytest
from both import Case, assert_same, assert_same_error, cases, gradients
from recordings import BACKENDS, assert_recorded

INF, NAN = float("inf"), float("nan")
X = [[0.5, -0.25, 0.75], [-0.9, 0.1, 0.3]]
Y = [1.5, -2.0, 0.7]
EDGES = [0.0, -0.0, 1.0, -1.0, 2.5, -2.5, 1e-12, -1e-12, 1e300, INF, -INF, NAN, 0.5, 1.5, -0.5]
UNARY = [
    "log1p", "expm1", "log2", "exp2", "tan", "asin", "arcsin", "acos", "arccos", "atan", "arctan", "sinh",
    "cosh", "asinh", "arcsinh", "acosh", "arccosh", "atanh", "arctanh", "ceil", "frac", "round", "nan_to_num",
    "negative", "absolute", "fix",
]  # fmt: skip
BINARY = ["atan2", "arctan2", "hypot", "fmod", "xlogy", "float_power", "true_divide", "divide", "subtract"]


@pytest.mark.parametrize("name", UNARY)
def test_values_and_gradients_of_one(name: str) -> None:
    assert_same(gradients(lambda t, x: getattr(t, name)(x), EDGES), ulps=8)
    assert_same(gradients(lambda t, x: getattr(x.double(), name)(), X), ulps=8)
    if name != "frac":
        assert_same(lambda t: [getattr(t.tensor([1, 0, 1], dtype=d), name)() for d in (t.int64, t.uint8)])


@pytest.mark.parametrize("name", BINARY)
def test_values_and_gradients_of_two(name: str) -> None:
    assert_same(gradients(lambda t, x, y: getattr(t, name)(x, y), X, Y), ulps=8, scaled=True)
    assert_same(
        lambda t: getattr(t.tensor(EDGES).reshape(-1, 1), name)(t.tensor(EDGES[:8], dtype=t.float64)), ulps=8
    )
    if name not in ("hypot", "fmod"):
        assert_same(lambda t: getattr(t.tensor([3, -3]), name)(t.tensor([2, 2])))


@pytest.mark.parametrize("name", [name for name in UNARY + BINARY if name != "float_power"])
def test_in_place(name: str) -> None:
    recorded = not name.endswith("h") or name in ("sinh", "cosh")  # PyTorch refuses to record the inverses

    def case(t: Any) -> Any:
        x, y = t.tensor(X, requires_grad=recorded), t.tensor(Y)
        out = getattr(x * 1.0, f"{name}_")(*([y] if name in BINARY else []))
        if recorded:
            out.sum().backward()
        return out.detach(), x.grad if recorded else ()

    assert_same(case, ulps=8)


@cases(
    lambda t: [t.fmod(t.tensor([5, -5, 7]), 3), t.tensor([5.0, -5.0]).fmod(-3), t.tensor([1.0]).fmod(0)],
    lambda t: [t.tensor([1.2345, -0.0055, 12345.678]).round(decimals=d) for d in (0, 2, -2)],
    lambda t: [t.tensor([NAN, INF, -INF, 1.0]).nan_to_num(1.0, 2.0, -3.0), t.tensor([3]).nan_to_num()],
    lambda t: [t.nan_to_num(t.tensor([INF, -INF], dtype=t.float16)), t.tensor([0.5]).float_power(2)],
    lambda t: [t.float_power(2, t.tensor([1, 2])), t.tensor([2]).float_power(-1)],
    lambda t: [t.xlogy(2, t.tensor([1.0, 0.0])), t.xlogy(t.tensor([0.0, 1.0]), 0), t.tensor(0).xlogy(NAN)],
    lambda t: [t.lerp(t.zeros(3), t.ones(3), w) for w in (0.25, 0.5, 2, -1.0)],
    lambda t: t.lerp(t.zeros(3), t.ones(3), t.tensor([0.25, 0.5, -2.0])),
    lambda t: [
        t.tensor([1, 2]).addcmul(t.tensor([3, 4]), t.tensor([5, 6]), value=2),
        t.tensor([1]).positive(),
    ],
    lambda t: t.tensor([2.0], dtype=t.float64).float_power_(3),
    lambda t: [t.tensor([1, 2]).greater(1), t.less_equal(t.tensor([1]), 2), t.tensor([1]).not_equal(1)],
    gradients(lambda t, x, y: x.lerp(y, 0.3), X, Y),
    gradients(lambda t, x, y: x.lerp(y, t.tensor([[0.2], [0.7]])), X, Y),
    gradients(lambda t, x, y: x.addcmul(x, y, value=0.5) + x.addcdiv(x, y), X, Y),
    gradients(lambda t, x, y: x.nan_to_num(), [NAN, INF, 1.0], Y),
    gradients(lambda t, x, y: t.xlogy(x, y.abs()), [0.0, 2.0, 1.0], [0.0, 0.5, 3.0]),
    gradients(lambda t, x, y: t.xlogy(x, y), [0.0, -0.0, 0.0, 0.0, 0.0], [7.0, 0.5, INF, NAN, -1.0]),
)
def test_values(case: Case) -> None:
    assert_same(case)


@cases(
    lambda t: t.tensor([1]).frac(),
    lambda t: t.tensor([True]).round(),
    lambda t: t.tensor([1]).round(decimals=1),
    lambda t: t.tensor([1]).fmod(0),
    lambda t: t.fmod(2, t.tensor([1])),
    lambda t: t.atan2(t.ones(1), 1.0),
    lambda t: t.hypot(t.tensor([1]), t.tensor([1])),
    lambda t: t.lerp(t.tensor([1]), t.tensor([1]), 0.5),
    lambda t: t.lerp(t.ones(1), t.ones(1).double(), 0.5),
    lambda t: t.ones(1).float_power_(2),
    lambda t: t.tensor([1]).log1p_(),
    lambda t: t.ones(1).addcdiv(t.tensor([1]), t.tensor([1])),
    lambda t: t.tensor([True]).positive(),
    lambda t: t.log1p(1.0),
)
def test_errors(case: Case) -> None:
    assert_same_error(case)


@BACKENDS
@pytest.mark.parametrize(
    "f",
    [
        lambda x, y: x.log1p() + x.expm1() + x.exp2() + y.abs().log2(),
        lambda x, y: x.tan() + x.asin() + x.acos() + y.atan() + x.atan2(y),
        lambda x, y: x.sinh() + x.cosh() + y.asinh() + x.atanh() + (y.abs() + 1).acosh(),
        lambda x, y: x.hypot(y) + y.fmod(0.37) + (x * x).xlogy(y.abs()) + (y * 1.1).frac(),
        lambda x, y: x.lerp(y, 0.3) + x.addcdiv(x, y, value=2) + x.nan_to_num() + (x * 7.3).ceil() * x,
        lambda x, y: (x * 7.3).round() * y + (x * 7.33).round(decimals=1) * x,
    ],
)
def test_what_is_composed_is_recorded(f: Any, backend: str) -> None:
    assert_recorded(f, X, Y, backend=backend)
