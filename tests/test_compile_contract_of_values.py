"""Steps of Values: compiled they answer as eager code does, or say that they run as eager code."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from contract import compiled, refused

import tinygrad_ninja as torch
from tinygrad_ninja import Value

W = torch.ones(2)

WITH_ARRAYS: dict[str, Callable[[Any], Any]] = {
    "tensor": lambda a: torch.tensor(a.data),
    "tensor of a list": lambda a: torch.tensor([[a.data, 1.0]]),
    "full": lambda a: torch.full((2,), a.data),
    "Tensor's operator": lambda a: W * a.data,
    "Tensor's method": lambda a: W.mul(a.data),
    "where": lambda a: torch.where(W > 0, W, a.data),
    "a NumPy function": lambda a: np.mean([a.data, 3.0]),
    "np.array": lambda a: np.array([a.data]),
}
"""Numbers of Values given to what knows none of their stand-ins."""

READ_OUT: dict[str, Callable[[Any], Any]] = {
    "complex": lambda a: (a.data + 1j).imag,
    "divmod": lambda a: divmod(a.data, 2),
    "key": lambda a: {a.data: 1},
    "a list that is kept": lambda a: [str(a.data)],
    "branch": lambda a: 1.0 if a.data > 1 else 2.0,
}


def compiled_to_c(scenario: Any) -> Callable[[], None]:
    """Return a test: the scenario goes as with eager code, and its functions are compiled; to C, for there is
    no other backend for Values."""
    check = compiled(scenario)

    def test() -> None:
        check()

    return test


def counted(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def scenario(C: Any) -> Any:
        a = Value(2.0)
        step = C(lambda: f(a))
        for number in (2.0, 3.0, -1.5):
            a.data = number
            yield step()

    return scenario


@pytest.mark.parametrize("name", WITH_ARRAYS)
def test_numbers_given_to_arrays(name: str) -> None:
    refused("a step of Values is compiled alone")(counted(WITH_ARRAYS[name]))()


@pytest.mark.parametrize("name", READ_OUT)
def test_numbers_that_are_read_out(name: str) -> None:
    refused("reads a value out of a Value")(counted(READ_OUT[name]))()


WHOLE: dict[str, Callable[[int], float]] = {
    "%": lambda n: n % 2.5,
    "% of a float": lambda n: 2.5 % n,
    "//": lambda n: n // 2.5,
    "&": lambda n: n & 1,
    "<<": lambda n: 1 << n,
    "~": lambda n: ~n,
    "divmod": lambda n: divmod(n, 2.5)[0],
    "pow": lambda n: pow(n, 2, 5),
}


@pytest.mark.parametrize("name", WHOLE)
def test_whole_numbers_as_arguments_do_what_python_s_do(name: str) -> None:
    @refused("reads a value out of a Value")
    def scenario(C: Any) -> Any:
        a, f = Value(2.0), WHOLE[name]
        step = C(lambda n: (a * f(n)).data)
        yield step(7), step(8)

    scenario()


LARGE: dict[str, tuple[Callable[[Any], Any], tuple[Any, ...]]] = {
    "a square": (lambda n: n * n + 1, (3, 2**30)),
    "a sum": (lambda n: n + 1, (3, 4, 2**60)),
    "a small product": (lambda n: (n * 10, -n, (n > 2) + (n > 3)), (3, 4, 5)),
    "single precision": (lambda x: x[0] * 0.1, (np.float32([1 / 3]), np.float32([1 / 7]))),
    "infinity": (lambda x: x[0] * math.inf, (np.float32([1]), np.float32([-1]))),
    "bytes": (lambda x: x[0] + x[0], (np.int8([100]), np.int8([101]))),
    "NumPy's integers": (lambda x: x[0] * x[0], (np.array([3]), np.array([2**40]))),
    "floats": (lambda x: 0.1 * x[0] + x[1], (np.array([0.1, 3.0]), np.array([0.7, 2.0**60]))),
}


@pytest.mark.filterwarnings("ignore:.*runs as eager code", "ignore:.*overflow")
@pytest.mark.parametrize("name", LARGE)
def test_numbers_that_are_no_doubles_stay_what_python_and_numpy_compute(name: str) -> None:
    a, (f, calls) = Value(2.0), LARGE[name]
    step = torch.compile(lambda x: (f(x), (a * 3).data))
    for x in calls:
        assert repr(step(x)) == repr((f(x), 6.0))


@refused("it asks for the class of numbers")
def test_the_class_of_a_number(C: Any) -> Any:
    a = Value(2.0)
    step = C(lambda: type(a.data).__name__)
    yield step(), step()


@refused("is a Tensor, and a step of Values is compiled alone")
def test_a_tensor_as_an_argument(C: Any) -> Any:
    a = Value(2.0)
    step = C(lambda x: x * a.data)
    yield step(W), step(W)


@compiled_to_c
def test_a_copy(C: Any) -> Any:
    a = Value(2.0)
    step = C(lambda n: (a * copy.copy(n)).data + copy.deepcopy(a.data))
    yield step(7), step(8)


@compiled_to_c
def test_a_plus_sign(C: Any) -> Any:
    a = Value(2.0)
    step = C(lambda: +a.data)
    for number in (2.0, 3.0):
        a.data = number
        yield step()


@compiled_to_c
def test_relu_of_zeros(C: Any) -> Any:
    a = Value(2.0)

    def step() -> Any:
        a.grad = 0.0
        out = (a * 3).relu()
        out.backward()
        return out.data, a.grad

    step = C(step)
    for number in (2.0, 0.0, -0.0, float("nan"), float("inf"), -1.0):
        a.data = number
        yield step()


@refused("the result still needs its history")
def test_a_result_whose_backward_comes_later(C: Any) -> Any:
    a = Value(2.0)
    step = C(lambda: a * 3)
    for _ in range(3):
        out = step()
        out.backward()
        yield out.data, a.grad


@compiled_to_c
def test_a_label_that_the_step_reads_changes(C: Any) -> Any:
    a = Value(2.0, label="ab")
    step = C(lambda: (a * len(a.label)).data)
    yield step()
    a.label = "abcd"
    yield step()


@refused("it changes what it reads: .*label")
def test_a_label_that_the_step_changes(C: Any) -> Any:
    a = Value(2.0, label="x")

    def step() -> Any:
        a.label += "x"
        return a.data

    step = C(step)
    for _ in range(5):
        yield step(), a.label


class Scaled(Value):
    """A Value with a method of its own."""

    def scaled(self) -> Any:
        return self * 2


@compiled_to_c
def test_a_method_of_a_derived_class_is_replaced(C: Any) -> Any:
    a, before = Scaled(2.0), Scaled.scaled
    step = C(lambda: a.scaled().data)
    yield step()
    try:
        Scaled.scaled = lambda self: self * 5  # type: ignore[method-assign]
        yield step()
    finally:
        Scaled.scaled = before  # type: ignore[method-assign]


@refused("it changes what it reads: .*'v'.. was")
def test_numbers_that_are_kept_in_a_dict(C: Any) -> Any:
    a, velocity = Value(2.0), {"v": 0.0}

    def step() -> Any:
        a.grad = 0.0
        (a * a).backward()
        velocity["v"] = 0.9 * velocity["v"] + a.grad
        a.data -= 0.1 * velocity["v"]
        return a.data

    step = C(step)
    for _ in range(5):
        yield step(), dict(velocity), type(velocity["v"]).__name__


@compiled_to_c
def test_numbers_in_tuples_are_read_anew_and_those_in_lists_and_dicts_are_guards(C: Any) -> Any:
    a = Value(0.5)

    @C
    def step(pairs: Any, targets: Any) -> Any:
        loss = sum((a * x["x"] - y) ** 2 for x, y in zip(pairs, targets, strict=True))
        a.grad = 0.0
        loss.backward()
        a.data -= 0.1 * a.grad
        return loss

    for x in (1.0, 2.0, 2.0, 3.0):
        yield step(({"x": x},), (1.0,)), a
    for y in (1.0, 2.0, 3.0, 4.0, 5.0):
        yield step(({"x": 1.0},), (y,)), a
    for y in (1.0, 2.0, 2.0):
        yield step([{"x": 1.0}], [y]), a
