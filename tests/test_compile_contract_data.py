"""Data that are bound anew, arrays that NumPy shares, and parts that are changed in place."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from contract import attempt, same

import tinygrad_ninja as torch
from tinygrad_ninja import nn


def fresh(n: int = 3, first: float = 1.0) -> Any:
    return torch.arange(first, first + n)


# -- data that is bound anew ---------------------------------------------------------------------------------


@same
def test_old_data_stay_what_they_were(C: Any) -> Any:
    w = torch.tensor([1.0, 2.0])

    def f() -> Any:
        old = w.detach()
        w.data = w.data * 2
        return (w - old).sum(), old

    f = C(f)
    for _ in range(5):
        yield f(), w


@same
def test_data_of_one_become_the_others(C: Any) -> Any:
    a, b = torch.ones(2), torch.zeros(2)

    def f() -> Any:
        a.add_(1)
        return b * 1

    f = C(f)
    yield f(), f()
    b.data = a.data
    yield f(), f(), a, b
    b.data = b.data.clone()
    yield f(), f(), a, b


@same
def test_data_are_exchanged(C: Any) -> Any:
    a, b = torch.ones(2), torch.zeros(2)

    def f(x: Any) -> Any:
        a.data, b.data = b.data + x, a.data
        return a - b

    f = C(f)
    for k in range(6):
        yield f(torch.full((2,), float(k))), a, b


@same
def test_data_of_another_shape_and_dtype(C: Any) -> Any:
    w = torch.ones(3)
    f = C(lambda: w * 2)
    yield f()
    for data in (torch.ones(2), torch.ones(2, 2), torch.ones(3, dtype=torch.float64), fresh(6)[::2], fresh()):
        w.data = data
        yield f(), w


@same
def test_an_array_of_numpys_changes(C: Any) -> Any:
    array = np.arange(3, dtype=np.float32)
    w = torch.from_numpy(array)

    def f(x: Any) -> Any:
        w.add_(1.0)
        return w * x

    f = C(f)
    for k in range(5):
        array[k % 3] = 100.0
        yield f(fresh()), w, array
    w.data = torch.from_numpy(array[::-1].copy())
    yield f(fresh()), w, array


@same
def test_an_array_in_the_closure(C: Any) -> Any:
    array = np.arange(3, dtype=np.float32)
    f = C(lambda x: x * torch.from_numpy(array) + torch.tensor(array))
    for _ in range(5):
        yield f(fresh())
        array[0] += 1.0
    array = np.ones(3, np.float32)
    yield f(fresh())


@same
def test_an_array_that_is_an_index(C: Any) -> Any:
    x, index = fresh(5), np.array([0, 4, 2])
    f = C(lambda: x[index] * 2)
    for k in range(5):
        yield f()
        index[k % 3] = k
    yield f()


@same
def test_parameters_that_overlap(C: Any) -> Any:
    """Two parameters that are views of one vector."""
    flat = fresh(6)
    a, b = flat[:4].requires_grad_(), flat[2:].requires_grad_()

    def step() -> Any:
        loss = (a * a).sum() + (b * 3).sum()
        a.grad = b.grad = None
        loss.backward()
        with torch.no_grad():
            a.sub_(0.1 * a.grad)
            b.sub_(0.1 * b.grad)
        return loss

    step = C(step)
    for _ in range(5):
        yield step(), a, b, flat


@same
def test_a_parameter_moves(C: Any) -> Any:
    w = torch.ones(3, requires_grad=True)

    def step() -> Any:
        loss = (w * w).sum()
        w.grad = None
        loss.backward()
        w.data -= 0.25 * w.grad
        return loss

    step = C(step)
    memory = fresh(9)
    for data in (None, memory[:3], memory[3:6], memory[::4], memory.view(3, 3)[:, 1], memory[:3]):
        if data is not None:
            w.data = data
        yield step(), w, memory


@same
def test_versions_are_counted(C: Any) -> Any:
    w, b = torch.ones(3, requires_grad=True), torch.zeros(3)

    def step(x: Any) -> Any:
        b.mul_(0.5).add_(x)
        with torch.no_grad():
            w.sub_(b)
        return (w * x).sum().detach()

    step = C(step)
    for k in range(5):
        yield step(fresh(3, float(k))), w._version, b._version, w, b


@same
def test_backward_of_what_was_changed_in_place_by_a_step(C: Any) -> Any:
    """Eager code raises that a value which backward needs was changed."""
    w = torch.ones(3, requires_grad=True)

    def step() -> Any:
        with torch.no_grad():
            w.mul_(2.0)
        return w.detach().sum()

    step = C(step)
    for _ in range(3):
        loss = (w * w * w).sum()
        yield step(), attempt(loss.backward), w
        loss = (w * w * w).sum()
        yield attempt(loss.backward), w


@same
def test_saved_tensors_of_the_caller(C: Any) -> Any:
    buffer, x = torch.ones(3), torch.ones(3, requires_grad=True)
    step = C(lambda: buffer.mul_(2.0).sum())
    for k in range(5):
        y = (x * buffer).sum()
        if k % 2:
            yield step()
        yield attempt(y.backward), x, buffer


# -- changes of parts, inside --------------------------------------------------------------------------------

PARTS: dict[str, Callable[[Any, Any], Any]] = {
    "a row": lambda w, x: w.__setitem__(0, x),
    "an element": lambda w, x: w.__setitem__((1, 2), x[0]),
    "a column": lambda w, x: w[:, 1].add_(x[0]),
    "a slice": lambda w, x: w[1:, ::2].mul_(2.0),
    "a row of a row": lambda w, x: w[1][1:].copy_(x[1:]),
    "a view": lambda w, x: w.view(-1)[3:6].add_(x),
    "transposed": lambda w, x: w.T[0].sub_(1.0),
    "by an index": lambda w, x: w.__setitem__(torch.tensor([0, 2]), x),
    "by an index, twice the same": lambda w, x: w.__setitem__(torch.tensor([1, 1]), torch.stack([x, x])),
    "by a mask": lambda w, x: w.__setitem__(w > 4, 0.0),
    "by a mask of rows": lambda w, x: w.__setitem__(x > 1.5, -1.0),
    "masked_fill_": lambda w, x: w.masked_fill_(w > 4, 9.0),
    "index_add_": lambda w, x: w.index_add_(0, torch.tensor([0, 0]), torch.stack([x, x])),
    "zero_ of a chunk": lambda w, x: w.chunk(3)[1].zero_(),
    "unbind": lambda w, x: w.unbind(1)[2].mul_(-1.0),
    "tril_": lambda w, x: w.tril_(),
    "in a loop": lambda w, x: [w[i].add_(i) for i in range(3)],
    "a part of itself": lambda w, x: w[0].copy_(w[1]),
    "overlapping": lambda w, x: w.view(-1)[1:4].add_(w.view(-1)[5:8]),
    "data of a row": lambda w, x: w.data[2].fill_(3.0),
    "+= on a row": lambda w, x: w.__setitem__(0, w[0] + x),
}


@pytest.mark.parametrize("part", PARTS)
@same
def test_a_part_is_changed(C: Any, part: str) -> Any:
    w = fresh(9).view(3, 3)
    held = w[0]

    def f(x: Any) -> Any:
        before = w.sum()
        PARTS[part](w, x)
        return before, w.sum(), held * 1

    f = C(f)
    for k in range(5):
        yield attempt(f, fresh(3, float(k))), w, held
        if k == 2:
            w.data = w.data * 1


@pytest.mark.parametrize(
    "part", ["a row", "a column", "a slice", "by an index", "masked_fill_", "tril_", "in a loop"]
)
@same
def test_a_part_of_what_was_computed_is_changed(C: Any, part: str) -> Any:
    w = torch.ones(3, 3, requires_grad=True)

    def f(x: Any) -> Any:
        h = w * fresh(9).view(3, 3)
        PARTS[part](h, x)
        loss = (h * h).sum()
        w.grad = None
        loss.backward()
        return loss, h.detach()

    f = C(f)
    for k in range(5):
        yield attempt(f, fresh(3, float(k))), w


@same
def test_results_written_into_the_callers_memory(C: Any) -> Any:
    out = torch.zeros(4, 3)

    def f(x: Any, i: int) -> Any:
        out[i] = x * 2

    f = C(f)
    for i in (0, 1, 3, 2, -1, 0):
        yield f(fresh(3, float(i)), i), out


@same
def test_a_buffer_that_runs_around(C: Any) -> Any:
    history, at = torch.zeros(3, 2), torch.tensor(0)

    def f(x: Any) -> Any:
        history[at % 3] = x
        at.add_(1)
        return history.mean(0)

    f = C(f)
    for k in range(7):
        yield f(torch.full((2,), float(k))), history, at


@same
def test_parameters_as_a_vector(C: Any) -> Any:
    model = nn.Linear(2, 2)

    def f(x: Any) -> Any:
        vector = nn.utils.parameters_to_vector(model.parameters())
        nn.utils.vector_to_parameters(vector.detach() * 0.5 + x, model.parameters())
        return vector.detach()

    f = C(f)
    for k in range(5):
        yield f(float(k)), model
