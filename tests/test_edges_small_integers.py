"""Integers of few bits beside numbers that they do not reach, factors of a sum, sums in a dtype of choice."""

from collections.abc import Callable
from typing import Any

import pytest
from both import Case, assert_same, attempt, cases, gradients

VALUES = {"uint8": [1, 200, 255], "int8": [1, -128, 127], "int16": [1, -300, 30000], "int32": [1, -7, 2**30]}
NUMBERS = [-1, 300, -300, 255, 256, 40000, -40000, 2**31, -(2**40), 2**63 - 1, -(2**63), 2**63, 2**64, True]

OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "x + n": lambda x, n: x + n,
    "n + x": lambda x, n: n + x,
    "x - n": lambda x, n: x - n,
    "n - x": lambda x, n: n - x,
    "x * n": lambda x, n: x * n,
    "x // n": lambda x, n: x // n,
    "n // x": lambda x, n: n // x,
    "x % n": lambda x, n: x % n,
    "n % x": lambda x, n: n % x,
    "x / n": lambda x, n: x / n,
    "x & n": lambda x, n: x & n,
    "x | n": lambda x, n: x | n,
    "x ^ n": lambda x, n: x ^ n,
    "x == n": lambda x, n: x == n,
    "x != n": lambda x, n: x != n,
    "x < n": lambda x, n: x < n,
    "n <= x": lambda x, n: n <= x,
    "x > n": lambda x, n: x > n,
    "x >= n": lambda x, n: x >= n,
    "add_": lambda x, n: x.add_(n),
    "mul_": lambda x, n: x.mul_(n),
    "remainder_": lambda x, n: x.remainder_(n),
    "+=": lambda x, n: x.__iadd__(n),
    "clamp": lambda x, n: [attempt(x.clamp, **{bound: n}) for bound in ("min", "max")],
    "div, truncated": lambda x, n: x.div(n, rounding_mode="trunc"),
    "masked_fill": lambda x, n: x.masked_fill(x > 0, n),
    "fill_": lambda x, n: x.fill_(n),
    "x[0] = n": lambda x, n: [x.__setitem__(0, n), x],
    "0-d + n": lambda x, n: x[1] + n,
}


def answers(call: Callable[..., Any], x: Any) -> Any:
    """What the call gives for each number; of the largest only that it raises, whatever the class."""
    found = [attempt(call, x.clone(), n) for n in NUMBERS]
    return [isinstance(each, Exception) or each for each in found]


@pytest.mark.parametrize("dtype", VALUES)
@pytest.mark.parametrize("name", OPERATIONS)
def test_a_number_wraps_around_in_an_integer_dtype(name: str, dtype: str) -> None:
    assert_same(lambda t: answers(OPERATIONS[name], t.tensor(VALUES[dtype], dtype=getattr(t, dtype))))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_integer_of_more_than_64_bits_is_refused_beside_every_dtype(name: str, dtype: str) -> None:
    def case(t: Any) -> Any:
        x = t.tensor([1.0, -0.5], dtype=getattr(t, dtype))
        return [attempt(OPERATIONS[name], x.clone(), n) for n in (2**63, 2**64, -(2**70), 1e30)]

    assert_same(lambda t: [isinstance(answer, Exception) or answer for answer in case(t)])


@pytest.mark.parametrize("dtype", VALUES)
def test_where_takes_what_the_dtype_reaches(dtype: str) -> None:
    def case(t: Any) -> Any:
        x = t.tensor(VALUES[dtype], dtype=getattr(t, dtype))
        return [
            answers(lambda x, n: t.where(x > 1, x, n), x),
            answers(lambda x, n: t.where(x > 1, n, x), x),
        ]

    assert_same(case)


ONES = {
    "bool": lambda t: t.tensor([True, False]),
    "uint8": lambda t: t.tensor([1, 255], dtype=t.uint8),
    "int64": lambda t: t.tensor([1, 2]),
    "float16": lambda t: t.tensor([1.0, 2.0]).half(),
    "float32": lambda t: t.tensor([1.0, 2.0]),
    "float64": lambda t: t.tensor([1.0, 2.0], dtype=t.float64),
    "0-d float64": lambda t: t.tensor(1.0, dtype=t.float64),
    "0-d int64": lambda t: t.tensor(3),
    "int": lambda t: 3,
    "float": lambda t: 2.5,
}


@pytest.mark.parametrize("other", ONES)
@pytest.mark.parametrize("input", ONES)
def test_a_sum_with_a_factor(input: str, other: str) -> None:
    """The factor multiplies in the dtype of the sum, to whose category it must belong."""

    def case(t: Any) -> Any:
        return [
            attempt(function, ONES[input](t), ONES[other](t), alpha=alpha)
            for function in (t.add, t.sub)
            for alpha in (1, 1.0, 2, 0, -1, 0.5, 300, True, False)
        ]

    assert_same(case)


@cases(
    gradients(lambda t, x, y: t.sub(x, y, alpha=3), [1.0, 2.0], [3.0, 4.0]),
    gradients(lambda t, x, y: t.add(x.double(), y, alpha=0.1), [1.0, 2.0], [3.0, 4.0]),
    lambda t: t.ones(2).add_(t.tensor([1, 2]), alpha=0.5),
    lambda t: [attempt(t.ones(2, dtype=t.int64).add_, t.tensor([1, 2]), alpha=0.5)],
    lambda t: [t.add(5, 3), t.sub(5.0, 3), t.mul(5, 3), t.div(5, 3), t.add(True, 2)],
    lambda t: [t.floor_divide(5, 3), t.div(-5, 3, rounding_mode="floor")],
)
def test_factors_and_numbers(case: Case) -> None:
    assert_same(case)


@pytest.mark.parametrize("source", ["bool", "uint8", "int32", "int64", "float32"])
@pytest.mark.parametrize("dtype", ["uint8", "int8", "int32", "int64", "float16", "float32", "float64"])
def test_sums_and_products_in_a_dtype(dtype: str, source: str) -> None:
    def case(t: Any) -> Any:
        x, wanted = t.tensor([[16, 17], [0, 200]]).to(getattr(t, source)), getattr(t, dtype)
        return [
            x.sum(dtype=wanted),
            x.sum(0, keepdim=True, dtype=wanted),
            x.prod(1, dtype=wanted),
            x.cumsum(0, dtype=wanted),
            [function(x[0, 0]) for function in (t.sum, t.prod, lambda x: t.cumsum(x, 0))],
            x[0, 0].cumsum(0, dtype=wanted),
        ]

    assert_same(case)
