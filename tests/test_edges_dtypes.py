"""The dtype of every result: the promotion table, Python and NumPy scalars, creation, conversion."""

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from both import Case, assert_same, assert_same_error, attempt, cases, gradients, same

DTYPES = ["bool", "uint8", "int32", "int64", "float32", "float64"]
INF, NAN = float("inf"), float("nan")

OPERATIONS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "+": lambda t, a, b: a + b,
    "-": lambda t, a, b: a - b,
    "*": lambda t, a, b: a * b,
    "/": lambda t, a, b: a / b,
    "//": lambda t, a, b: a // b,
    "%": lambda t, a, b: a % b,
    "**": lambda t, a, b: a**b,
    "==": lambda t, a, b: a == b,
    "<": lambda t, a, b: a < b,
    "maximum": lambda t, a, b: t.maximum(a, b),
    "where": lambda t, a, b: t.where(t.tensor([True, False, True]), a, b),
}


def operand(t: Any, dtype: str, kind: str, values: list[int]) -> Any:
    """The values as a tensor of the dtype, floats with a fraction; a scalar, 0-d or Python's, the first."""
    tensor = t.tensor(values).to(getattr(t, dtype))
    if dtype.startswith("float"):
        tensor = tensor + 0.5
    return {"n-d": tensor, "0-d": tensor[0], "python": tensor[0].item()}[kind]


@pytest.mark.parametrize("right", DTYPES)
@pytest.mark.parametrize("left", DTYPES)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_promotion(operation: str, left: str, right: str) -> None:
    """Every pair of n-d, 0-d and Python operands: dtype, shape and value of the result, or the error."""

    def case(t: Any) -> Any:
        return {
            f"{left_kind} {operation} {right_kind}": attempt(
                OPERATIONS[operation],
                t,
                operand(t, left, left_kind, [7, 0, 5]),
                operand(t, right, right_kind, [3, 1, 2]),
            )
            for left_kind in ["n-d", "0-d", "python"]
            for right_kind in ["n-d", "0-d", "python"]
            if (left_kind, right_kind) != ("python", "python") or operation == "where"
        }

    assert_same(case)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("update", ["iadd", "isub", "imul", "itruediv", "ifloordiv", "imod", "ipow"])
def test_promotion_in_place(update: str, dtype: str) -> None:
    """The target keeps its dtype; a result of a higher category is refused, and changes nothing."""

    def case(t: Any) -> Any:
        results = []
        for other in DTYPES:
            for kind in ["n-d", "0-d", "python"]:
                x = operand(t, dtype, "n-d", [7, 0, 5])
                results += [attempt(getattr(operator, update), x, operand(t, other, kind, [3, 1, 2])), x]
        return results

    assert_same(case)


@cases(
    lambda t: t.tensor([7, -7, 7, -7]) // t.tensor([2, 2, -2, -2]),
    lambda t: t.tensor([7, -7, 7, -7]) % t.tensor([2, 2, -2, -2]),
    lambda t: t.tensor([7.0, -7.0, 7.0, -7.0]) // t.tensor([2.0, 2.0, -2.0, -2.0]),
    lambda t: t.tensor([7.0, -7.0, 7.0, -7.0]) % t.tensor([2.0, 2.0, -2.0, -2.0]),
    lambda t: t.tensor([1.0, -1.0, 0.0, INF, 1.0, NAN]) // t.tensor([0.0, 0.0, 0.0, 2.0, INF, 1.0]),
    lambda t: t.tensor([1.0, -1.0, 0.0, INF, 1.0, -1.0]) % t.tensor([0.0, 0.0, 0.0, 2.0, INF, INF]),
    lambda t: t.tensor([1, 0]) / t.tensor([0, 0]),
    lambda t: 7 // t.tensor([2, -2]),
    lambda t: -7 % t.tensor([2.0, -2.0]),
    lambda t: t.tensor([5, 4]) // 2.5,
    lambda t: t.tensor([True, False]) & t.tensor([True, True]),
    lambda t: t.tensor([True, False]) | False,
    lambda t: t.tensor([True, False]) ^ True,
    lambda t: ~t.tensor([True, False]),
    lambda t: t.tensor([6, 5]) & 3,
    lambda t: ~t.tensor([6, 5]),
    lambda t: t.tensor([200], dtype=t.uint8) + 100,
    lambda t: -t.tensor([1], dtype=t.uint8),
    lambda t: t.tensor([2**31 - 1], dtype=t.int32) + 1,
    lambda t: [t.zeros(0, 3, dtype=t.int64) // 0, t.zeros(0, dtype=t.bool) % t.zeros(1, dtype=t.int64)],
)
def test_integer_and_boolean_arithmetic(case: Case) -> None:
    assert_same(case)


@cases(
    lambda t: t.tensor([5]) // 0,
    lambda t: t.tensor([5]) % t.tensor([0]),
    lambda t: t.tensor([True]) - t.tensor([True]),
    lambda t: -t.tensor([True]),
    lambda t: t.tensor([True]) - True,
    lambda t: 1 - t.tensor([True]),
    lambda t: ~t.tensor([1.0]),
    lambda t: t.tensor([1.0]).bitwise_not(),
    lambda t: t.tensor([1.0]) & t.tensor([1.0]),
    lambda t: t.tensor([1.0]) @ t.tensor([1]),
    lambda t: t.tensor([1.0]) @ t.tensor([1.0], dtype=t.float64),
    lambda t: t.tensor([1.0]) @ 2.0,
    lambda t: t.tensor([1.0]) + "a",
    lambda t: t.tensor([1.0]) + None,
    lambda t: t.tensor([1.0]) + [1.0],  # noqa: RUF005
    lambda t: t.tensor([1.0]) < "a",
    lambda t: t.zeros(2) + t.zeros(3),
    lambda t: t.zeros(2, 3) * t.zeros(2),
    lambda t: t.maximum(t.zeros(2), t.zeros(3)),
    lambda t: t.where(t.tensor([1, 0]), t.zeros(2), t.zeros(2)),
    lambda t: t.zeros(2, 3) @ t.zeros(2, 3),
    lambda t: t.tensor(1.0) @ t.tensor(2.0),
)
def test_operands_that_do_not_go_together(case: Case) -> None:
    assert_same_error(case)


@cases(
    lambda t: t.ones(2) * np.float64(2),
    lambda t: np.float64(2) * t.ones(2),
    lambda t: np.float64(2) - t.ones(2),
    lambda t: np.float32(2) / t.ones(2),
    lambda t: np.float64(2) < t.ones(2),
    lambda t: t.ones(2) * np.int64(2),
    lambda t: t.ones(2, dtype=t.int64) * np.float64(2),
    lambda t: t.ones(2, dtype=t.int64) * np.float32(2.5),
    lambda t: t.ones(2, dtype=t.int64) + np.int32(2),
    lambda t: t.ones(2) * np.ones(2),
    lambda t: t.ones(2) + np.ones(2, np.float32),
    lambda t: t.ones(2) * np.array(2.0),
    lambda t: t.ones(2) == np.ones(2),
    lambda t: t.ones(2) + t.ones(3, dtype=t.float64).sum(),
    lambda t: t.ones(2, dtype=t.int64) + t.tensor(1.0, dtype=t.float64),
    lambda t: t.tensor(1) + t.tensor(1.0, dtype=t.float64),
    lambda t: t.ones(2) * (1.0 / 3),
    lambda t: t.ones(2) * t.tensor(1.0, dtype=t.float64) / 3,
    lambda t: t.ones(2, dtype=t.int32) + 2**20,
    lambda t: t.ones(1, dtype=t.int64) * True,
    lambda t: t.ones(2) == 1,
    lambda t: t.tensor([2**24 + 1]) * 1.0,
    lambda t: t.tensor([1, 2]) == 1.5,
    lambda t: t.tensor([0.1]) == 0.1,
    lambda t: t.tensor([0.1], dtype=t.float64) == t.tensor(0.1),
)
def test_scalars_are_weak(case: Case) -> None:
    assert_same(case)


@cases(
    lambda t: t.tensor([1.0, 2.0]) * np.array([1, 0]),
    lambda t: t.tensor([1, 2]) * np.array([1.5, 2]),
    lambda t: t.tensor([1.0, 2.0]) + np.array([1, 0], dtype=np.int32),
    lambda t: t.tensor([1.0, 2.0]) + np.array([1, 0], dtype=np.int16),
    lambda t: t.tensor([1, 2]) / np.array([1, 2]),
    lambda t: t.tensor([1.0, 2.0]) ** np.array([1, 2]),
    lambda t: t.tensor(2.0) - np.array([1, 2]),
    lambda t: t.tensor([1.0, 2.0]) - np.array([True, False]),
    lambda t: t.tensor([1.0, 2.0]) * np.array([True, False]),
    lambda t: t.ones(2) - np.bool_(True),
    lambda t: t.ones(2) + np.bool_(True),
    lambda t: t.ones(2, 2) @ np.ones((2, 2), dtype="float32"),
    lambda t: t.ones(2, 2) @ np.ones((2, 2)),
    lambda t: t.tensor([[1, 2]]) @ np.ones(2),
    lambda t: np.int64(3) / t.arange(0.1, 5, 0.1),
    lambda t: np.float32(3.3) / t.arange(0.1, 5, 0.1),
    lambda t: 3 / t.arange(0.1, 5, 0.1),
)
def test_numpys_dtypes_beside_its_arrays(case: Case) -> None:
    assert_same(case, ulps=0)


@cases(
    lambda t: np.multiply(t.ones(2), 2),
    lambda t: np.multiply(t.ones(2), np.ones(2)),
    lambda t: np.multiply(np.ones(2), t.ones(2)),
    lambda t: np.add(t.ones(2), t.ones(2)),
    lambda t: np.exp(t.zeros(2)),
    lambda t: np.sqrt(t.tensor([1, 4])),
    lambda t: np.isnan(t.tensor([1.0, float("nan")])),
    lambda t: np.isnan(t.tensor(1.0)),
    lambda t: np.greater(t.ones(2), 0),
    lambda t: np.logical_and(t.tensor([True, False]), True),
    lambda t: np.maximum(t.ones(2), np.array([0.0, 3.0])),
    lambda t: np.matmul(t.ones(2, 2), t.ones(2, 2)),
    lambda t: np.matmul(np.ones((2, 2)), t.ones(2, 2)),
    lambda t: np.divmod(t.tensor([3.0]), 2),
    lambda t: np.modf(t.tensor([3.5])),
    lambda t: np.add.reduce(t.ones(2, 3)),
    lambda t: np.add(t.ones(2), 1, out=np.zeros(2, dtype="float32")),
    lambda t: (np.stack([t.ones(2), t.zeros(2)]), np.concatenate([t.ones(2), t.zeros(1)])),
)
def test_numpys_functions_of_tensors(case: Case) -> None:
    assert_same(case)


@cases(
    lambda t: np.isnan(t.ones(2, requires_grad=True)),
    lambda t: np.multiply(t.ones(2, requires_grad=True), 2),
    lambda t: np.multiply(2, t.ones(2, requires_grad=True)),
    lambda t: np.matmul(t.ones(2, 2, requires_grad=True), t.ones(2, 2)),
)
def test_numpys_functions_want_a_tensor_without_history(case: Case) -> None:
    assert_same_error(case, "Can't call numpy() on Tensor that requires grad")


@cases(
    *[lambda t, name=name: getattr(t.ones(2, 2) > 0, name)() for name in ("floor", "ceil", "trunc", "trace")],
    lambda t: (t.ones(2) > 0).floor_(),
    lambda t: t.arange(0, 5, 0.5, dtype=t.int64),
    lambda t: t.arange(0, 5, 0, dtype=t.int64),
    lambda t: t.ones(2, 2).diag(1.5),
)
def test_arguments_that_are_no_numbers(case: Case) -> None:
    assert_same_error(case)


ARRAYS = [
    np.array([2.5, 3.0]), np.array([2, 3], dtype=np.float32), np.array([2, 3]), np.array(2.0),
    np.array([2, 3], dtype=np.uint8), np.array([True, False]), np.bool_(True), np.float32(2.5), np.int64(3),
]  # fmt: skip
OPERATORS = [
    "add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "eq", "ne", "lt", "ge", "and_", "or_",
    "xor", "iadd", "isub", "imul", "itruediv", "ipow",
]  # fmt: skip


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype}{list(array.shape)}")
def test_operators_between_arrays_and_tensors(name: str, array: np.ndarray) -> None:
    """An array on the right is NumPy's to compute with, one on the left is refused but by / and ==."""

    def case(t: Any) -> Any:
        apply = getattr(operator, name)
        answers = []
        for dtype in (t.float32, t.float64, t.int64, t.bool):
            values = t.tensor([1, 2]).to(dtype)
            answers += [attempt(apply, values.clone(), array), attempt(apply, array.copy(), values)]
        leaf = t.ones(2, requires_grad=True)
        return answers, attempt(apply, leaf * 1, array), attempt(apply, array.copy(), leaf)

    assert_same(case)


@cases(
    lambda t: np.ones(2) * t.ones(2),
    lambda t: t.mul(t.ones(2), np.ones(2)),
    lambda t: t.ones(2).mul(np.ones(2)),
    lambda t: t.ones(2).eq(np.ones(2)),
    lambda t: np.add(np.ones(2), 1, out=t.ones(2)),
)
def test_arrays_that_are_refused(case: Case) -> None:
    assert_same_error(case)


@cases(
    lambda t: t.tensor([1, 2]),
    lambda t: t.tensor([1.0, 2]),
    lambda t: t.tensor([True, 2]),
    lambda t: t.tensor([True, False]),
    lambda t: t.tensor([[1, 2.5], [True, 3]]),
    lambda t: t.tensor(1.5),
    lambda t: t.tensor(2),
    lambda t: t.tensor(True),
    lambda t: t.tensor([]),
    lambda t: t.tensor([[], []]),
    lambda t: t.tensor((1, 2)),
    lambda t: t.tensor(range(3)),
    lambda t: t.tensor(np.float64(2)),
    lambda t: t.tensor(np.float32(2)),
    lambda t: t.tensor(np.arange(3)),
    lambda t: t.tensor(np.arange(3.0)),
    lambda t: t.tensor(np.arange(3, dtype=np.float32)),
    lambda t: t.tensor(np.array([True])),
    lambda t: t.tensor(np.array(1.5)),
    lambda t: t.tensor([1, 2], dtype=t.float32),
    lambda t: t.tensor([1.9, -1.9], dtype=t.int64),
    lambda t: t.tensor(t.tensor([1, 2])),
    lambda t: t.tensor([t.tensor(1), t.tensor(2)]),
    lambda t: t.tensor([t.tensor(1.5), 2]),
    lambda t: t.zeros(2, dtype=t.int64),
    lambda t: t.full((2,), 1),
    lambda t: t.full((2,), 1.5),
    lambda t: t.full((2,), True),
    lambda t: t.full((2,), 1, dtype=t.float64),
    lambda t: t.arange(3),
    lambda t: t.arange(3.0),
    lambda t: t.arange(0, 1, 0.25),
    lambda t: t.arange(5, 0, -2),
    lambda t: t.arange(3, dtype=t.float64),
    lambda t: t.linspace(0, 1, 5),
    lambda t: t.linspace(3, 5, 1),
    lambda t: t.eye(2),
    lambda t: t.eye(2, 3, dtype=t.int64),
    lambda t: t.ones_like(t.arange(3)),
    lambda t: t.zeros_like(t.arange(3), dtype=t.float32),
    lambda t: t.full_like(t.arange(3), 7),
    lambda t: t.as_tensor([1.0, 2.0]),
    lambda t: t.from_numpy(np.arange(3, dtype=np.int32)),
    lambda t: t.nn.functional.one_hot(t.tensor([0, 2])),
    lambda t: [
        t.tensor([np.float64(1), 2]),
        t.tensor([2.5, np.float64(1)]),
        t.tensor([[1.5], [np.float64(2)]]),
    ],
    lambda t: [t.tensor([np.float32(1), 2.5]), t.tensor([np.float16(1)]), t.tensor([np.float16(1), 2.5])],
    lambda t: [t.tensor([np.int32(1)]), t.tensor([np.int32(1), 2]), t.tensor([np.float16(1), 2])],
    lambda t: [t.tensor([np.ones(2), [1.5, 2]]), t.tensor([np.ones(2, np.float32), [1.5, 2]])],
    lambda t: [t.tensor([t.tensor(1.0, dtype=t.float64), 2]), t.tensor([1, t.tensor([2.5])])],
    lambda t: t.tensor([t.ones(1), t.ones(1, requires_grad=True)]),
    lambda t: [t.tensor([-1, -255], dtype=t.uint8), t.full((2,), -1, dtype=t.uint8)],
    lambda t: [t.tensor([2.7, -2.7], dtype=t.int64), t.full((2,), INF, dtype=t.bool), t.full((1,), INF)],
    lambda t: (t.float, t.double, t.long, t.int, t.get_default_dtype()),
    lambda t: [getattr(t, name).is_floating_point for name in DTYPES],
    lambda t: [getattr(t, name).itemsize for name in DTYPES],
    lambda t: t.float is t.float32 and t.long is t.int64 and t.double is t.float64 and t.int is t.int32,
    lambda t: t.ones(2).dtype == t.float32,
)
def test_creation(case: Case) -> None:
    assert_same(case)


@cases(
    lambda t: t.tensor([[1, 2], [3]]),
    lambda t: t.tensor([1, [2]]),
    lambda t: t.tensor("a"),
    lambda t: t.tensor(["a"]),
    lambda t: t.tensor(None),
    lambda t: t.tensor([None]),
    lambda t: t.tensor(object()),
    lambda t: t.tensor(np.array(["a"])),
    lambda t: t.from_numpy([1.0]),
    lambda t: t.zeros(-1),
    lambda t: t.zeros(1.5),
    lambda t: t.arange(0, 3, 0),
    lambda t: t.arange(0, 3, -1),
    lambda t: t.linspace(0, 1, -1),
    lambda t: t.tensor([1.0], dtype="float32"),
    lambda t: t.nn.functional.one_hot(t.tensor([0, 3]), 3),
    lambda t: t.nn.functional.one_hot(t.tensor([-1]), 3),
    lambda t: t.nn.functional.one_hot(t.tensor([1.0])),
    lambda t: t.nn.functional.one_hot(t.tensor([1]), -2),
    lambda t: t.tensor([t.ones(2), t.ones(2)]),
)
def test_creation_that_raises(case: Case) -> None:
    assert_same_error(case)


@cases(
    lambda t: t.tensor(300, dtype=t.uint8),
    lambda t: t.tensor([1, -256], dtype=t.uint8),
    lambda t: t.tensor([1.0, INF], dtype=t.int64),
    lambda t: t.tensor(float("nan"), dtype=t.int32),
    lambda t: t.tensor([2**31], dtype=t.int32),
    lambda t: t.full((2,), INF, dtype=t.int64),
    lambda t: t.full((2,), 1e40),
    lambda t: t.zeros(2, dtype=t.int64).fill_(INF),
    lambda t: t.zeros(2, dtype=t.float16).fill_(1e6),
    lambda t: t.arange(4).masked_fill(t.arange(4) > 1, -INF),
    lambda t: t.zeros(2, dtype=t.uint8).__setitem__(0, 300),
    lambda t: t.zeros(2, dtype=t.uint8).fill_(-1.0),
    lambda t: t.tensor([0.0, -0.5], dtype=t.uint8),
    lambda t: t.arange(4).__setitem__([0, 1], -INF),
)
def test_numbers_beyond_the_dtype(case: Case) -> None:
    assert_same_error(case, "without overflow")


@pytest.mark.parametrize("dtype", DTYPES)
def test_conversion(dtype: str) -> None:
    def case(t: Any) -> Any:
        x = t.tensor([0, 1, 3]).to(getattr(t, dtype))
        names = ["float", "double", "long", "int", "bool"]
        methods = [getattr(x, name)() for name in names]
        to = [x.to(getattr(t, name)) for name in DTYPES]
        return methods, to, x.to(t.ones(1)), x.is_floating_point()

    assert_same(case)


@cases(
    lambda t: t.tensor([1.9, -1.9, 0.5]).long(),
    lambda t: t.tensor([0.0, -0.0, 0.5, NAN]).bool(),
    lambda t: t.tensor([300, -1]).to(t.uint8),
    lambda t: t.tensor([1 / 3], dtype=t.float64).float().double(),
    lambda t: [x := t.ones(2), x.float() is x, x.to(t.float32) is x, x.double() is x],
    gradients(lambda t, x: x.double() * 3, [1.0, 2.0]),
    gradients(lambda t, x: x.float() * 3, np.array([1.0, 2.0])),
    gradients(lambda t, x, y: x * y, [1.0, 2.0], np.array([3.0, 4.0])),
    gradients(lambda t, x, y: x + y, [1.0, 2.0], np.array(3.0)),
    gradients(lambda t, x: x * t.tensor([1, 2]), [1.0, 2.0]),
    gradients(lambda t, x: t.where(x > 1, x, t.tensor(0.0, dtype=t.float64)), [1.0, 2.0]),
    gradients(lambda t, x, y: t.cat([x, y]), [1.0, 2.0], np.array([3.0])),
    gradients(lambda t, x: x.sum(dtype=t.float64), [1.0, 2.0]),
    gradients(lambda t, x, y: x**y, [2.0, 3.0], np.array([2.0, 0.5])),
    gradients(lambda t, x, y: t.maximum(x, y), [2.0, 3.0], np.array([2.0, 0.5])),
    lambda t: t.cat([t.ones(1, dtype=t.int64), t.ones(1)]),
    lambda t: t.stack([t.tensor(True), t.tensor(1)]),
)
def test_conversions_of_values_and_gradients(case: Case) -> None:
    assert_same(case)


@same
def test_comparison_with_what_is_not_a_number(t: Any) -> Any:
    x = t.ones(2)
    return x == None, x != None, x == "a", None == x, x in [x]  # noqa: E711, SIM300
