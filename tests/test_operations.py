"""Every entry of the table against PyTorch and finite differences; `calls` tells what it is called with."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from calls import SPELLING, Array, Call, answer, calls, counterpart, inside
from few_examples import few
from hypothesis import assume, given
from hypothesis import strategies as st

import tinygrad_ninja
from tinygrad_ninja.check import assert_matches_torch, gradcheck, gradgradcheck
from tinygrad_ninja.ops import TABLE, Operation, operation

pytestmark = pytest.mark.filterwarnings("ignore:.*degrees of freedom is <= 0")

DEVICES = st.sampled_from(["cpu", "torch"])
FLOATS = st.sampled_from(["float32", "float64"])
DTYPES = st.sampled_from(["float32", "float64", "float32", "float64", "int64", "int32", "uint8", "bool"])


def each_entry(chosen: Callable[[Operation], Any]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("entry", [e for e in TABLE.values() if chosen(e)], ids=lambda e: e.name)


def has_rules(entry: Operation) -> bool:
    return bool(entry.sources)


def test_no_spelling_is_left_over() -> None:
    assert set(SPELLING) <= set(TABLE)


@each_entry(lambda entry: True)
@few(16)
@given(st.data())
def test_values_and_gradients_are_those_of_torch(entry: Operation, data: st.DataObject) -> None:
    """At ordinary points, at ties and zeros, of no elements; in every dtype that PyTorch takes."""
    call, inputs = data.draw(calls(entry, special=data.draw(st.booleans())))
    dtype = data.draw(DTYPES)
    mixed = data.draw(st.booleans()) and entry.broadcasts  # those promote, too
    inputs = [each.astype(data.draw(DTYPES) if mixed else dtype) for each in inputs]
    answer(call, inputs)
    assert_matches_torch(call, *inputs, device=data.draw(DEVICES), order=1)


@each_entry(has_rules)
@few(8)
@given(st.data())
def test_second_derivatives_are_those_of_torch(entry: Operation, data: st.DataObject) -> None:
    call, inputs = data.draw(calls(entry))
    assert_matches_torch(call, *inside(call, inputs), device=data.draw(DEVICES), dtype=data.draw(FLOATS))


@each_entry(has_rules)
@few(6)
@given(st.data())
def test_derivatives_are_finite_differences(entry: Operation, data: st.DataObject) -> None:
    check = under_check(data, calls(entry))
    assert gradcheck(*check)
    assert gradgradcheck(*check)


@each_entry(has_rules)
@few(2)
@given(st.data())
@pytest.mark.slow
def test_third_derivatives_are_finite_differences(entry: Operation, data: st.DataObject) -> None:
    call, inputs = data.draw(calls(entry))

    def gradients(*args: Any) -> Any:
        out = call(tinygrad_ninja, *args)
        weight = tinygrad_ninja.linspace(0.5, 1.5, out.numel(), dtype=out.dtype).reshape(out.shape)
        weighted = (out * weight.to(out.device)).sum().to(args[0].device)
        total = weighted + sum((each * 0).sum() for each in args)
        return tinygrad_ninja.autograd.grad(total, args, create_graph=True)

    for device in ("cpu", "torch"):
        _, leaves = under_check(data, st.just((call, inputs)), device)
        assert gradgradcheck(gradients, leaves)


def works_on_floats(entry: Operation) -> bool:
    return (
        has_rules(entry)
        and entry.function.__module__.endswith("elementwise")
        and "dtype" not in entry.parameters
    )


@each_entry(works_on_floats)
@few(4)
@given(st.data())
def test_python_floats(entry: Operation, data: st.DataObject) -> None:
    """A Tensor may hold a Python float: values, gradients and second derivatives."""
    call, inputs = data.draw(calls(entry, scalars=True))
    assert_matches_torch(call, *inside(call, inputs), device="float")
    assert gradgradcheck(*under_check(data, st.just((call, inputs)), "float"))


def takes_a_number(entry: Operation) -> bool:
    """Whether PyTorch's counterpart takes two operands, of which the second may be a number."""
    try:
        return entry.broadcasts and counterpart(entry)(torch.ones(1, dtype=torch.int64), 1) is not None
    except TypeError:
        return False


@each_entry(takes_a_number)
@few(12)
@given(st.data())
def test_a_python_number_for_an_operand(entry: Operation, data: st.DataObject) -> None:
    call, inputs = data.draw(calls(entry, special=data.draw(st.booleans())))
    number = data.draw(st.sampled_from([2, 0.5, -1, 0, True]))
    array = data.draw(st.sampled_from(inputs)).astype(data.draw(DTYPES))
    assume(number >= 0 or array.dtype != np.uint8)
    first = data.draw(st.booleans())

    def with_number(module: Any, tensor: Any) -> Any:
        return call(module, *((number, tensor) if first else (tensor, number)))

    answer(with_number, [array])
    assert_matches_torch(with_number, array, device=data.draw(DEVICES), order=1)


def under_check(
    data: st.DataObject, drawn: st.SearchStrategy[tuple[Call, list[Array]]], device: str = "cpu"
) -> tuple[Callable[..., Any], list[Any]]:
    """What `gradcheck` takes: a function of Tensors in float64, and leaves."""
    call, inputs = data.draw(drawn)
    inputs = inside(call, inputs)
    assume(answer(call, inputs).dtype == np.float64)
    leaves = [tinygrad_ninja.tensor(each, device=device, requires_grad=True) for each in inputs]
    return functools.partial(call, tinygrad_ninja), leaves


def test_an_operation_of_ones_own_may_use_any_name() -> None:
    """The names of its inputs and parameters are those of what the engine makes of it."""

    @operation(x=lambda dout, node, array: dout * node * array)
    def scaled(x: Any, /, node: float, array: float) -> Any:
        """out = node · array · x."""
        return x * node * array

    @operation(broadcasts=True, result=lambda dout, op: dout * op, op=lambda xp, dout, result: dout * result)
    def product(xp: Any, result: Any, op: Any, /) -> Any:
        """out = result · op."""
        return result * op

    try:
        x, y = (tinygrad_ninja.randn(3, n, dtype=tinygrad_ninja.float64, requires_grad=True) for n in (4, 1))
        assert gradcheck(lambda x: scaled(x, 2.0, 3.0), [x])
        assert gradgradcheck(lambda x, y: product(product(x, y), x), [x, y])
        assert_matches_torch(
            lambda module, x: scaled(x, 2.0, 3.0) if module is tinygrad_ninja else x * 6.0, x.data
        )
    finally:
        for name in ("scaled", "product"):
            del TABLE[name]


def test_gradients_of_three_inputs_that_broadcast_are_summed_to_their_shapes() -> None:
    @operation(
        broadcasts=True,
        x=lambda dout, y, z: dout * y * z,
        y=lambda dout, x, z: dout * x * z,
        z=lambda dout, x, y: dout * x * y,
    )
    def product_of_three(x: Any, y: Any, z: Any, /) -> Any:
        """out = x · y · z."""
        return x * y * z

    try:
        shapes = (3, 1), (4,), ()
        inputs = [tinygrad_ninja.randn(s, dtype=tinygrad_ninja.float64, requires_grad=True) for s in shapes]
        for backend in (None, "numpy"):
            fast = tinygrad_ninja.compile(product_of_three, backend=backend) if backend else product_of_three
            for _ in range(2):
                grads = tinygrad_ninja.autograd.grad(fast(*inputs).sum(), inputs)
                assert [tuple(grad.shape) for grad in grads] == [*shapes]
        assert gradcheck(product_of_three, inputs)
        assert gradgradcheck(product_of_three, inputs)
    finally:
        del TABLE["product_of_three"]


def test_a_mistake_in_an_operation_of_ones_own_is_raised_as_it_is() -> None:
    @operation()
    def mistaken(x: Any, /) -> Any:
        return x.no_such_method()

    del TABLE["mistaken"]
    with pytest.raises(AttributeError, match="no_such_method"):
        mistaken(tinygrad_ninja.ones(2))
