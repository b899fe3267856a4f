"""Arguments that are nearly right: numbers that are no integers, arrays for Tensors, strings, no sizes."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from both import Case, assert_same, assert_same_error, cases, same

import tinygrad_ninja


@cases(
    lambda t: t.linspace(0, 1, 2.5),
    lambda t: t.linspace(0, 1, 2.0),
    lambda t: t.linspace(0, 1, "3"),
    lambda t: t.linspace(0, 1, True),
    lambda t: t.arange("3"),
    lambda t: t.arange(None),
    lambda t: t.arange([3]),
    lambda t: t.ones(2, 2).tril(0.5),
    lambda t: t.ones(2, 2).tril("a"),
    lambda t: t.ones(2, 2).triu(True),
    lambda t: t.ones(2, 2).chunk(1.5),
    lambda t: t.ones(2, 2).chunk(True),
    lambda t: t.ones(2, 2).sum(True),
    lambda t: t.ones(2, 2).sum(0.5),
    lambda t: t.ones(2, 2).mean(True),
    lambda t: t.ones(2, 2).max(True),
    lambda t: t.ones(2, 2).softmax(True),
    lambda t: t.ones(2, 2).cumsum(True),
    lambda t: t.ones(2, 2).squeeze(True),
    lambda t: t.ones(2, 2).unsqueeze(1.5),
    lambda t: t.nn.functional.one_hot(t.tensor([1, 2]), 2.5),
    lambda t: t.zeros(),
    lambda t: t.ones(),
    lambda t: t.empty(),
    lambda t: t.zeros(True),
    lambda t: t.zeros(2.5),
    lambda t: t.zeros([2.0]),
    lambda t: t.ones(2).view(True, 2),
    lambda t: t.ones(2).new_zeros(),
    lambda t: t.ones(2).new_ones(),
    lambda t: t.Size(t.ones(3)),
    lambda t: t.Size([1.5]),
    lambda t: t.ones(3)[t.tensor(1.0) :],
    lambda t: t.ones(3)[t.tensor([1, 2]) :],
    lambda t: t.ones(3)[1.5:],
    lambda t: t.ones(3)["0":"1"],
    lambda t: t.tensor_split(t.arange(4), t.tensor(1.1)),
    lambda t: t.tensor_split(t.arange(4), t.tensor([[1]])),
)
def test_what_is_no_integer_is_refused(case: Case) -> None:
    assert_same_error(case)


@cases(
    lambda t: t.linspace(0, 1, t.tensor(3)),
    lambda t: t.linspace(0, 1, np.int64(3)),
    lambda t: t.arange(t.tensor(3)),
    lambda t: t.arange(True),
    lambda t: t.arange(np.float32(2.5)),
    lambda t: t.arange(np.int64(3)),
    lambda t: t.ones(2, 3).sum(np.int64(1)),
    lambda t: t.zeros(np.int64(2), t.tensor(3)),
    lambda t: t.zeros((2, True)),
    lambda t: (t.zeros(()), t.zeros([]), t.zeros(size=()), t.ones(2).new_zeros(())),
    lambda t: (t.Size(t.tensor([1, 2])), t.Size([t.tensor(2)]), t.Size()),
    lambda t: t.ones(3)[t.tensor(0) : t.tensor(2)],
    lambda t: t.tensor_split(t.arange(4), t.tensor([1, 2])),
    lambda t: t.tensor_split(t.arange(4), t.tensor(2)),
    lambda t: t.full((2,), np.float32(1.5)),
)
def test_what_counts_as_an_integer_or_a_number(case: Case) -> None:
    assert_same(case)


@cases(
    lambda t: t.equal(t.ones(2), np.ones(2)),
    lambda t: t.ones(2).equal([1, 1]),
    lambda t: t.allclose(t.ones(2), np.ones(2)),
    lambda t: t.ones(2).allclose(1.0),
    lambda t: t.isclose(t.ones(2), 1.0),
    lambda t: t.where(t.ones(2) > 0, np.ones(2), 0),
    lambda t: t.where(t.ones(2) > 0, 0, "a"),
    lambda t: t.nn.functional.one_hot([1, 2], 3),
    lambda t: t.full((2,), "a"),
    lambda t: t.full((2,), None),
    lambda t: t.full((2,), [1]),
    lambda t: t.full((2,), 2**70, dtype=t.float32),
    lambda t: t.ones(2).__setitem__(t.tensor([1, 0], dtype=t.uint8), 3),
    lambda t: t.ones(2).__setitem__(t.tensor([1, 0], dtype=t.uint8), t.tensor(3.0)),
    lambda t: t.ones(2).masked_select(t.tensor([1, 0], dtype=t.uint8)),
)
def test_what_is_no_tensor_or_no_number_is_refused(case: Case) -> None:
    assert_same_error(case)


def test_a_condition_of_uint8() -> None:
    """PyTorch warns of it, and takes it."""
    with pytest.warns(UserWarning, match="uint8 condition"):
        expected = torch.where(torch.tensor([1, 0], dtype=torch.uint8), torch.ones(2), 2.0)
    t = tinygrad_ninja
    assert t.where(t.tensor([1, 0], dtype=t.uint8), t.ones(2), 2.0).tolist() == expected.tolist()


@cases(
    lambda t: t.tensor("a"),
    lambda t: t.tensor(["a", "b"]),
    lambda t: t.tensor([0, "a"]),
    lambda t: t.tensor([[1], ["a"]]),
    lambda t: t.tensor([None]),
    lambda t: t.tensor([1, None]),
    lambda t: t.tensor([1, object()]),
    lambda t: t.tensor(2**63),
    lambda t: t.tensor([1, 2**63]),
    lambda t: t.tensor([2**63, -1]),
    lambda t: t.tensor(-(2**63) - 1),
    lambda t: t.tensor(2**70),
    lambda t: t.tensor(300, dtype=t.uint8),
    lambda t: t.arange(2**63),
    lambda t: t.arange(0, math.inf, 2),
    lambda t: t.arange(0, math.nan),
)
def test_what_a_tensor_cannot_hold(case: Case) -> None:
    assert_same_error(case)


@same
def test_large_integers_as_floats(t: Any) -> Any:
    return t.tensor(2**70, dtype=t.float32), t.tensor([2**70], dtype=t.float64), t.tensor([2**70, 1.0])


@same
def test_numbers_that_vanish_while_numpys_warnings_are_errors(t: Any) -> Any:
    with np.errstate(all="raise"):
        small = t.tensor([1e-40, 1e30])
        return str(small), small * 1e-5, small * 1e30, t.tensor([-1.0, 0.0]).log(), small.tolist()


@cases(
    lambda t: t.ones(2, 2).unsqueeze(axis=0),
    lambda t: t.ones(2, 3).chunk(2, axis=1),
    lambda t: t.ones(2, 2).gather(axis=0, index=t.tensor([[0, 0]])),
    lambda t: t.ones(2, 3).index_select(axis=1, index=t.tensor([0])),
    lambda t: t.squeeze(t.ones(1, 2), axis=0),
    lambda t: t.softmax(t.ones(2, 3), axis=1),
    lambda t: t.ones(2, 3).log_softmax(axis=0),
    lambda t: t.stack([t.ones(2), t.zeros(2)], axis=1),
    lambda t: t.cat([t.ones(2, 1), t.zeros(2, 2)], axis=1),
)
def test_numpys_name_of_a_dimension(case: Case) -> None:
    assert_same(case)


@cases(
    lambda t: t.nn.functional.kl_div(t.tensor([1]), t.tensor([2])),
    lambda t: t.nn.functional.linear(t.ones(2, 3), t.ones(2, 3), t.ones(2, dtype=t.float64)),
    lambda t: t.nn.functional.linear(t.ones(4, 2, 3), t.ones(2, 3), t.ones(2, dtype=t.float64)),
)
def test_dtypes_that_a_function_does_not_take(case: Case) -> None:
    assert_same_error(case)


SHAPES = [(3,), (4,), (1,), (2, 3), (4, 5), (0, 3), (2, 2, 3), (2, 4, 5), (1, 4, 5), (2, 1, 2, 3)]


@pytest.mark.parametrize("a", SHAPES)
@pytest.mark.parametrize("b", SHAPES)
def test_a_product_of_shapes_that_do_not_fit_is_told_in_torchs_words(a: Any, b: Any) -> None:
    """Whichever way the product is asked for; linear takes no batch of weights."""

    def told(t: Any) -> list[Any]:
        x, y = t.ones(a), t.ones(b)
        products = [lambda: x @ y, lambda: t.matmul(x, y)]
        products += [lambda: t.nn.functional.linear(x, y.T)] if len(b) == 2 else []
        found: list[Any] = []
        for product in products:
            try:
                found.append(tuple(product().shape))
            except RuntimeError as error:
                found.append(str(error))
        return found

    assert told(tinygrad_ninja) == told(torch)
