"""What shares memory with what, and what a change of shape refuses."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from both import Case, assert_same, assert_same_error, cases, same

VIEWS: dict[str, Callable[[Any, Any], Any]] = {
    "view": lambda t, x: x.view(3, 2),
    "view of one dimension": lambda t, x: x.view(-1),
    "reshape": lambda t, x: x.reshape(3, 2),
    "reshape of a transpose": lambda t, x: x.T.reshape(-1),
    "flatten": lambda t, x: x.flatten(),
    "flatten of a transpose": lambda t, x: x.T.flatten(),
    "flatten of one dimension": lambda t, x: x.flatten(1),
    "ravel": lambda t, x: x.ravel(),
    "ravel of one column": lambda t, x: x[:, :1].ravel(),
    "transpose": lambda t, x: x.transpose(0, 1),
    "t": lambda t, x: x.t(),
    "T": lambda t, x: x.T,
    "permute": lambda t, x: x.permute(1, 0),
    "squeeze": lambda t, x: x.squeeze(),
    "unsqueeze": lambda t, x: x.unsqueeze(0),
    "expand to itself": lambda t, x: x.expand(2, 3),
    "select": lambda t, x: x[0],
    "slice": lambda t, x: x[:, 1:],
    "step": lambda t, x: x[:, ::2],
    "none": lambda t, x: x[None],
    "ellipsis": lambda t, x: x[...],
    "0-d": lambda t, x: x[0, 0],
    "advanced": lambda t, x: x[[0, 1]],
    "mask": lambda t, x: x[x >= 0],
    "unbind": lambda t, x: x.unbind(0)[0],
    "iteration": lambda t, x: next(iter(x)),
    "split": lambda t, x: x.split(1)[0],
    "chunk": lambda t, x: x.chunk(2, dim=1)[0],
    "tensor_split": lambda t, x: x.tensor_split(2)[0],
    "diag": lambda t, x: x.diag(),
    "flip": lambda t, x: x.flip(0),
    "index_select": lambda t, x: x.index_select(0, t.tensor([0, 1])),
    "clone": lambda t, x: x.clone(),
    "contiguous": lambda t, x: x.contiguous(),
    "contiguous of a transpose": lambda t, x: x.T.contiguous(),
    "detach": lambda t, x: x.detach(),
    "data": lambda t, x: x.data,
    "to its own dtype": lambda t, x: x.to(t.float32),
    "to another dtype": lambda t, x: x.to(t.float64),
    "numpy and back": lambda t, x: t.from_numpy(x.numpy()),
    "as_tensor": lambda t, x: t.as_tensor(x),
    "tensor": lambda t, x: t.tensor(x.numpy()),
    "cat of one": lambda t, x: t.cat([x]),
    "tril": lambda t, x: x.tril(),
    "relu": lambda t, x: x.relu(),
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_what_shares_memory(view: Callable[[Any, Any], Any]) -> None:
    """A write through the result reaches the tensor exactly where PyTorch's does, and the other way round."""

    def case(t: Any) -> Any:
        x = t.arange(6.0).reshape(2, 3)
        y = view(t, x)
        before = y.clone(), y.is_contiguous(), y.stride()
        y.fill_(-1)
        after = x.clone()
        x.fill_(-2)
        return before, after, y

    assert_same(case)


# One of several views may not be written to, and numpy() refuses a tensor that requires grad; both are tested
# on their own.
DIFFERENTIABLE = VIEWS.keys() - {
    "unbind",
    "iteration",
    "split",
    "chunk",
    "tensor_split",
    "numpy and back",
    "tensor",
}


@pytest.mark.parametrize("name", sorted(DIFFERENTIABLE))
def test_writing_through_what_may_be_a_view_gives_the_right_gradients(name: str) -> None:
    """Multiplying the result in place changes the gradient of its source exactly where it is a view."""

    def case(t: Any) -> Any:
        leaf = t.arange(1.0, 7.0, requires_grad=True)
        x = leaf.reshape(2, 3) * 2
        y = VIEWS[name](t, x)
        y.mul_(5)
        (x * t.arange(1.0, 7.0).reshape(2, 3)).sum().backward()
        return x.detach(), y.detach(), leaf.grad

    assert_same(case)


@cases(
    lambda t: t.ones(2, 3).T.view(6),
    lambda t: t.ones(2, 3).T.view(-1),
    lambda t: t.ones(2, 3, 4).transpose(1, 2).view(2, 12),
    lambda t: t.ones(2, 3)[:, :2].view(4),
    lambda t: t.ones(1, 3).expand(2, 3).view(6),
)
def test_view_names_reshape(case: Case) -> None:
    assert_same_error(case, "reshape")


@cases(
    lambda t: t.arange(6).reshape(2, 3).T.reshape(6),
    lambda t: t.arange(24).reshape(2, 3, 4).transpose(0, 1).view(3, 2, 2, 2),
    lambda t: t.arange(6).view(2, 3)[:, :2].view(2, 2, 1),
    lambda t: t.arange(24).reshape(2, 3, 4).T,
    lambda t: t.arange(3).T,
    lambda t: t.arange(3).t(),
    lambda t: t.tensor(3).T,
    lambda t: t.arange(3).flip(0),
    lambda t: t.arange(6).view(2, 3).flip(0, 1),
    lambda t: t.arange(6).view(2, 3).flip([1]),
    lambda t: t.arange(3).expand(2, -1),
    lambda t: t.tensor(3).expand(2, 2),
    lambda t: t.ones(3, 1).expand(-1, 4).stride(),
    lambda t: t.zeros(0, 3).reshape(3, 0),
    lambda t: t.zeros(0, 3).view(-1, 3),
    lambda t: t.ones(1, 3, 1).squeeze((0, 2)),
    lambda t: t.ones(1, 3, 1).squeeze(1),
)
def test_shapes_of_views(case: Case) -> None:
    assert_same(case)


@cases(
    lambda t: t.ones(2, 3).view(4),
    lambda t: t.ones(2, 3).view(-1, -1),
    lambda t: t.ones(2, 3).view(-1, 4),
    lambda t: t.ones(2, 3).reshape(4, -1),
    lambda t: t.ones(2, 3).reshape(-2, 3),
    lambda t: t.zeros(0, 3).reshape(-1, 0),
    lambda t: t.ones(2, 1).expand(2, 3, 4),
    lambda t: t.ones(3).expand(4),
    lambda t: t.ones(3).expand(-1, 3),
    lambda t: t.ones(3).unsqueeze(2),
    lambda t: t.ones(3).squeeze(1),
    lambda t: t.ones(3).transpose(0, 1),
    lambda t: t.ones(2, 3).permute(0, 0),
    lambda t: t.ones(2, 3).permute(0),
    lambda t: t.ones(2, 3, 4).t(),
    lambda t: t.ones(3).unbind(1),
    lambda t: t.ones(3).split([1, 1]),
    lambda t: t.ones(3).split(-1),
    lambda t: t.ones(3).chunk(0),
    lambda t: t.cat([]),
    lambda t: t.cat([t.ones(2), t.ones(2, 2)]),
    lambda t: t.cat([t.ones(2, 3), t.ones(2, 2)]),
    lambda t: t.stack([]),
    lambda t: t.stack([t.ones(2), t.ones(3)]),
    lambda t: t.ones(2).flatten(1),
    lambda t: t.ones(1, 3).expand(2, 3).add_(1),
    lambda t: t.ones(2, 2, 2).diag(),
    lambda t: t.ones(2).tril(),
    lambda t: t.from_numpy(np.arange(3)[::-1]),
)
def test_shapes_that_raise(case: Case) -> None:
    assert_same_error(case)


@same
def test_a_view_that_is_a_leaf_requires_a_gradient_and_none(t: Any) -> Any:
    x = t.zeros(4)
    view = x.view(2, 2)
    seen = [view.requires_grad_(False).requires_grad, view.requires_grad_(True).is_leaf]
    (view * 3).sum().backward()
    seen += [view.requires_grad_(False).requires_grad, x.requires_grad]
    return view.add_(1), x, view.grad, seen


@same
def test_from_numpy_and_numpy_share_memory(t: Any) -> Any:
    array = np.zeros(3)
    shared, copied, kept = t.from_numpy(array), t.tensor(array), t.as_tensor(array)
    array[0] = 1
    shared[1] = 2
    kept.numpy()[2] = 3
    return array, shared, copied, kept


@same
def test_who_sets_the_shape_of_an_array_changes_no_tensor(t: Any) -> Any:
    array, x = np.zeros((2, 2), np.float32), t.zeros(2, 2)
    shared = [t.from_numpy(array), t.as_tensor(array), t.asarray(array)]
    for each in (array, x.numpy(), np.asarray(x)):
        each.shape = (4,)
        each[1] = 2.0
        each.flags.writeable = False
    return shared, x.add_(1), shared[0].add_(1)


@same
def test_numpy_reads_a_tensor(t: Any) -> Any:
    x = t.arange(3.0)
    return np.asarray(x), np.asarray(x, dtype=np.float64), np.array(x), x.numpy(), np.asarray(x[1])


@cases(
    lambda t: t.ones(2, requires_grad=True).numpy(),
    lambda t: np.asarray(t.ones(2, requires_grad=True)),
    lambda t: (t.ones(2, requires_grad=True) * 2).numpy(),
)
def test_numpy_of_a_tensor_that_requires_grad(case: Case) -> None:
    assert_same_error(case, "detach()")
