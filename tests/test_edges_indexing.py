"""Every kind of index: what it reads, what an assignment through it writes, and the gradient of both."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from both import Case, assert_same, assert_same_error, attempt, cases, gradients, same

import tinygrad_ninja

SHAPE = (2, 3, 4)

# Each entry makes an index into a (2, 3, 4) tensor; each is read, assigned to and differentiated.
INDICES: dict[str, Callable[[Any], Any]] = {
    "int": lambda t: 1,
    "negative int": lambda t: -1,
    "ints": lambda t: (1, -1, 0),
    "full slice": lambda t: slice(None),
    "slice": lambda t: slice(1, None),
    "clipping slice": lambda t: (slice(-99, 99), slice(2, 50)),
    "empty slice": lambda t: (slice(None), slice(2, 1)),
    "slice with a step": lambda t: (slice(None), slice(None, None, 2), slice(1, 4, 3)),
    "slice with tensor bounds": lambda t: (slice(None), slice(t.tensor(1), t.tensor(3))),
    "int and slice": lambda t: (0, slice(0, 2), -2),
    "ellipsis": lambda t: ...,
    "ellipsis and int": lambda t: (..., 1),
    "int, ellipsis, slice": lambda t: (1, ..., slice(1, 3)),
    "ellipsis that stands for nothing": lambda t: (0, ..., 1, 2),
    "none": lambda t: None,
    "nones": lambda t: (None, 1, None, ..., None),
    "empty tuple": lambda t: (),
    "true": lambda t: True,
    "false": lambda t: False,
    "true and int": lambda t: (True, 1),
    "numpy int": lambda t: np.int64(1),
    "0-d tensor": lambda t: t.tensor(1),
    "0-d tensors": lambda t: (t.tensor(1), slice(None), t.tensor(-1)),
    "0-d bool tensor": lambda t: t.tensor(True),
    "list": lambda t: [1, 0],
    "list with duplicates": lambda t: [1, 0, 1, 1],
    "list of negatives": lambda t: [-1, -2, 1],
    "empty list": lambda t: [],
    "nested list": lambda t: [[0, 1], [1, 0]],
    "range": lambda t: range(2),
    "tuple of lists": lambda t: ([0, 1, 1], [2, 0, 0]),
    "range and list": lambda t: (range(2), [2, 1]),
    "list and int": lambda t: ([0, 1], 2),
    "range of one and list": lambda t: (range(1), [2, 1, 2]),
    "range and list of one": lambda t: (range(2), [2]),
    "slice, range of one, list": lambda t: (slice(None), range(1), [3, 3]),
    "range of one and nested list": lambda t: (range(1), [[2], [1], [2]]),
    "list, range": lambda t: ([1], range(3)),
    "array": lambda t: np.array([1, 0]),
    "nested array": lambda t: (slice(None), np.array([[2, 0], [0, 0]])),
    "tensor": lambda t: t.tensor([1, 1, 0]),
    "tensors that broadcast": lambda t: (t.tensor([[0], [1]]), t.tensor([2, 0, -1])),
    "three tensors": lambda t: (t.tensor([0, 1, 1]), t.tensor([2, 0, 0]), t.tensor([3, 3, 3])),
    "int32 tensor": lambda t: t.tensor([1, 0], dtype=t.int32),
    "2-d tensor": lambda t: t.tensor([[0, 1, 0], [1, 1, 1]]),
    "empty tensor": lambda t: t.zeros(0, dtype=t.int64),
    "slice and list": lambda t: (slice(None), [0, 2]),
    "slice, slice, list": lambda t: (slice(None), slice(1, None), [3, 0, 3]),
    "ellipsis and list": lambda t: (..., [0, 0, 2]),
    "int, slice, list": lambda t: (0, slice(None), [0, 1]),
    "list, slice, list": lambda t: ([0, 1], slice(None), [0, 1]),
    "list, slice, int": lambda t: ([1, 0], slice(None), 1),
    "slice, int, list": lambda t: (slice(None), 1, [0, 1]),
    "0-d tensor, slice, list": lambda t: (t.tensor(0), slice(None), [0, 1]),
    "list and none": lambda t: ([0, 1], None, [0, 1]),
    "none, slice, list": lambda t: (None, slice(None), [2, 1]),
    "bool list": lambda t: [True, False],
    "bool list and list": lambda t: ([True, True], [0, 2]),
    "bool array": lambda t: (slice(None), np.array([True, False, True])),
    "bool mask": lambda t: t.arange(24).reshape(2, 3, 4) % 3 == 0,
    "bool mask of the first two": lambda t: t.tensor([[True, False, True], [False, False, True]]),
    "bool mask of nothing": lambda t: t.zeros(2, dtype=t.bool),
    "slice and mask": lambda t: (slice(None), t.tensor([True, False, True])),
    "mask and int": lambda t: (t.tensor([True, False]), 2),
    "mask and list": lambda t: (t.tensor([True, True]), [0, 2]),
    "list of 0-d tensors": lambda t: [t.tensor(1), t.tensor(0)],
}


def counted(t: Any, **options: Any) -> Any:
    return t.arange(24, dtype=t.float32, **options).reshape(SHAPE)


@pytest.mark.parametrize("index", INDICES.values(), ids=INDICES)
def test_read_and_its_gradient(index: Callable[[Any], Any]) -> None:
    assert_same(gradients(lambda t, x: x[index(t)], np.arange(24, dtype=np.float32).reshape(SHAPE)))


@pytest.mark.parametrize("index", INDICES.values(), ids=INDICES)
def test_second_derivative_of_a_read(index: Callable[[Any], Any]) -> None:
    def case(t: Any) -> Any:
        x = counted(t).requires_grad_()
        (gradient,) = t.autograd.grad((x[index(t)] ** 3).sum(), x, create_graph=True)
        (second,) = t.autograd.grad((gradient**2).sum(), x)
        return gradient.detach(), second

    assert_same(case)


@pytest.mark.parametrize("index", INDICES.values(), ids=INDICES)
def test_assignment(index: Callable[[Any], Any]) -> None:
    """A number, a tensor of the region's shape and a tensor that broadcasts."""

    def case(t: Any) -> Any:
        number, region, broadcast, added = counted(t), counted(t), counted(t), counted(t)
        number[index(t)] = -5
        # One value throughout: where an index names an element twice, which write is the last is not defined.
        region[index(t)] = t.full(region[index(t)].shape, -7.0)
        broadcast[index(t)] = t.tensor([-9.0])
        added[index(t)] += 100
        return number, region, broadcast, added

    assert_same(case)


@pytest.mark.parametrize("index", INDICES.values(), ids=INDICES)
def test_assignment_into_a_non_leaf_has_the_right_gradients(index: Callable[[Any], Any]) -> None:
    def case(t: Any) -> Any:
        x = counted(t).requires_grad_()
        value = t.tensor([3.0], requires_grad=True)
        y = x * 2
        y[index(t)] = value * 5
        (y * counted(t)).sum().backward()
        return y.detach(), x.grad, value.grad

    assert_same(case)


@cases(
    lambda t: counted(t)[0, :, [0, 1]].shape,
    lambda t: counted(t)[:, [0, 1], :].shape,
    lambda t: t.zeros(2, 3, 4, 5)[:, [0, 1], :, [0, 1]].shape,
    lambda t: t.zeros(2, 3, 4, 5)[0, [0, 1], :, [0, 1]].shape,
    lambda t: t.zeros(2, 3, 4, 5)[:, [0, 1], [0, 1]].shape,
    lambda t: t.arange(6).reshape(3, 2)[[0, 1]],
    lambda t: t.arange(6).reshape(3, 2)[(0, 1)],
    lambda t: t.arange(6).reshape(3, 2)[[0, 1], [1, 1]],
    lambda t: t.arange(6).reshape(3, 2)[[[0, 1], [1, 1]]],
    lambda t: t.arange(6).reshape(3, 2)[[(0, 1), (1, 1)]],
    lambda t: t.arange(6).reshape(3, 2)[[True, False, True]],
    lambda t: t.arange(6).reshape(3, 2)[t.tensor([[0, 2]])],
    lambda t: t.tensor(5)[()],
    lambda t: t.tensor(5)[...],
    lambda t: t.tensor(5)[None],
    lambda t: t.tensor(5)[True],
    lambda t: t.tensor(5)[t.tensor(False)],
    lambda t: t.arange(5)[t.arange(5) > 2],
    lambda t: [row.tolist() for row in t.arange(4).reshape(2, 2)],
    lambda t: t.eye(3)[t.tensor([2, 0])],
)
def test_shapes_of_reads(case: Case) -> None:
    assert_same(case)


@cases(
    lambda t: t.arange(5)[::-1],
    lambda t: t.arange(5)[4:0:-2],
    lambda t: t.arange(5)[::0],
)
def test_step_must_be_positive(case: Case) -> None:
    assert_same_error(case, "step")


@cases(
    lambda t: t.arange(5)[1.0],
    lambda t: t.arange(5)[np.float64(1)],
    lambda t: t.arange(5)[t.tensor([1.0])],
    lambda t: t.arange(5)["a"],
    lambda t: t.tensor(5)[0],
    lambda t: t.tensor(5)[:],
    lambda t: t.arange(5)[0, 0],
    lambda t: t.arange(5)[[0], [0]],
    lambda t: t.arange(5)[5],
    lambda t: t.arange(5)[-6],
    lambda t: t.arange(5)[[0, 5]],
    lambda t: t.arange(5)[t.tensor([-6])],
    lambda t: t.zeros(2, 3)[0, 3],
    lambda t: t.zeros(2, 3)[..., 3],
    lambda t: t.zeros(2, 3)[[0, 1], [0, 1, 2]],
    lambda t: t.zeros(2, 3)[t.tensor([True, False, True])],
    lambda t: t.zeros(2, 3)[:, t.tensor([True, False])],
    lambda t: t.arange(6).reshape(3, 2)[[(0, 1), (1, 2)]],
    lambda t: t.arange(5).__setitem__(5, 1),
    lambda t: t.arange(5).__setitem__([0, 7], 1),
    lambda t: t.arange(5).__setitem__(1.5, 1),
    lambda t: t.zeros(2, 3).__setitem__(0, t.zeros(2)),
    lambda t: t.zeros(2, 3).__setitem__([0, 1], t.zeros(2)),
    lambda t: t.zeros(2, 3).__setitem__(t.ones(2, 3) > 0, t.zeros(5)),
    lambda t: len(t.tensor(1)),
    lambda t: list(t.tensor(1)),
    lambda t: t.arange(3).index_select(0, t.tensor([3])),
    lambda t: t.zeros(2, 3).gather(1, t.tensor([[3]])),
    lambda t: t.arange(5)[np.bool_(True)],
    lambda t: t.zeros(2, 3).__setitem__([0, 1], t.ones(3, dtype=t.float64)),
    lambda t: t.zeros(3).__setitem__(t.tensor([0, 1]), t.tensor(2)),
    lambda t: t.zeros(3).__setitem__(t.tensor(True), t.tensor(2)),
    lambda t: t.zeros(3).__setitem__((True, 0), t.tensor(2)),
    lambda t: t.zeros(3).__setitem__(t.tensor([True, False, True]), t.tensor([1, 2])),
)
def test_indices_that_raise(case: Case) -> None:
    assert_same_error(case)


@pytest.mark.parametrize("index", [5, -6, 1.0, [0, 5], (0, 0), "a"])
def test_a_failed_assignment_changes_nothing(index: Any) -> None:
    """Nor does [0, 5], of which PyTorch writes the first before it raises."""
    assert_same_error(lambda t: t.arange(5.0).__setitem__(index, -1.0))
    x = tinygrad_ninja.arange(5.0)
    attempt(x.__setitem__, index, -1.0)
    assert x.tolist() == [0, 1, 2, 3, 4]


@cases(
    gradients(lambda t, x: x[[0, 0, -1, 2]], [1.0, 2.0, 3.0]),
    gradients(lambda t, x: x[t.tensor([[0, -3], [0, 2]])], [1.0, 2.0, 3.0]),
    gradients(lambda t, x: x[[0, 0, -2], [1, 1, -1]], [[1.0, 2.0], [3.0, 4.0]]),
    gradients(lambda t, x: x[t.tensor([0] * 1000)], [[1.0, 2.0], [3.0, 4.0]]),
    gradients(lambda t, x: x[0] + x[0] + x[-1], [1.0, 2.0]),
    gradients(lambda t, x: x[1:] * x[:-1], [1.0, 2.0, 3.0]),
    gradients(lambda t, x: x.index_select(0, t.tensor([1, 1, 0])), [[1.0, 2.0], [3.0, 4.0]]),
    gradients(lambda t, x: x.gather(1, t.tensor([[0, 0, 1]])), [[1.0, 2.0], [3.0, 4.0]]),
    gradients(lambda t, x, y: x.index_add(0, t.tensor([1, 1]), y), [1.0, 2.0], [3.0, 4.0]),
    gradients(lambda t, x, y: x.index_add(0, t.tensor([1, 1]), y, alpha=3), [1.0, 2.0], [3.0, 4.0]),
    gradients(lambda t, x: x.masked_fill(t.tensor([True, False]), 9.0), [1.0, 2.0]),
    gradients(lambda t, x: x[range(2), [1, 0]].log().mean(), [[1.0, 2.0], [3.0, 4.0]]),
    gradients(
        lambda t, x: t.nn.functional.embedding(t.tensor([[1, 1], [0, 1]]), x), [[1.0, 2.0], [3.0, 4.0]]
    ),
)
def test_gradients_accumulate_over_duplicates(case: Case) -> None:
    assert_same(case)


@cases(
    gradients(lambda t, x: x[t.tensor([0, 1, 1], dtype=t.uint8)], [1.0, 2.0, 3.0]),
    gradients(lambda t, x: x[t.tensor([1, 0], dtype=t.uint8)], [[1.0, 2.0], [3.0, 4.0]]),
)
def test_uint8_is_a_mask(case: Case) -> None:
    assert_same(case)


@same
def test_assignment_converts_to_the_dtype(t: Any) -> Any:
    x, y, z = t.arange(4), t.zeros(4), t.zeros(4, dtype=t.bool)
    x[0], x[1:3] = 2.9, t.tensor([7.5, -1.5])
    y[t.tensor([0, 2])] = t.tensor([1, 2]).float()
    y[3] = t.tensor(5, dtype=t.float64)
    y[1] = True
    z[1:] = 3
    x[x > 6], y[t.tensor([True, False, False, False]), ...] = t.tensor(8.9), t.tensor([9])
    return x, y, z


@same
def test_assignment_of_what_is_not_a_tensor(t: Any) -> Any:
    x = t.zeros(2, 3)
    x[0] = t.arange(3)
    x[1, 1] = t.tensor([[8.0]])
    return x, attempt(x.__setitem__, 0, [1.0, 2.0, 3.0]), attempt(x.__setitem__, 0, "a"), x


@same
def test_assignment_from_a_view_of_itself(t: Any) -> Any:
    x = t.arange(6)
    x[1:] = x[:-1].clone()
    x[[0, 1]] = x[[1, 0]]
    return x


@same
def test_assignment_through_a_view_reaches_the_base(t: Any) -> Any:
    x = counted(t)
    x[0][1][2] = -1
    x.view(-1)[5:7] = -2
    x.T[0] = -3
    x[[0, 1]][0] = -4  # an advanced index copies, so this is lost
    return x


@same
def test_assignment_of_a_tensor_with_a_gradient_into_one_without(t: Any) -> Any:
    """The lecture's `dlogits[range(n), Yb] -= 1` and its kin: the target joins the graph."""
    x, w = t.zeros(3, 2), t.tensor([2.0, 3.0], requires_grad=True)
    x[1] = w * w
    x[[0, 2], [1, 1]] -= w
    (x * t.arange(6.0).reshape(3, 2)).sum().backward()
    return x.detach(), x.requires_grad, w.grad


@same
def test_overwritten_elements_send_no_gradient(t: Any) -> Any:
    x = t.ones(4, requires_grad=True)
    y = x * 3
    y[1:3] = 0
    z = y * y
    y_before = y.detach().clone()
    z.sum().backward()
    return y_before, x.grad


@same
def test_true_alone_takes_what_any_slice_takes(t: Any) -> Any:
    x, y = t.zeros(2), t.zeros(1, 2, dtype=t.int64)
    x[True] = t.tensor([1, 2])
    y[True] = t.tensor([[[1.5, 2.5]]])
    return x, y
