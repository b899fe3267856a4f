"""An index by a Tensor that holds one integer, or by a number among the arguments: a view, at a place of each
call."""

from typing import Any

import pytest
from contract import attempt, compiled, refused

import tinygrad_ninja as torch
from tinygrad_ninja import nn
from tinygrad_ninja.nn import functional as F


def rows(*shape: int) -> Any:
    return torch.arange(float(torch.Size(shape).numel())).reshape(shape).clone()


GIVEN: dict[str, Any] = {"a Tensor": torch.tensor, "a number": int}
READ = {
    "row": lambda x, i: x[i],
    "column": lambda x, i: x[:, i],
    "element": lambda x, i: x[i, i],
    "with a number": lambda x, i: x[1, i],
    "in a part": lambda x, i: x[1:, i, None],
    "at the end": lambda x, i: x[..., i],
    "with a vector behind": lambda x, i: x[i, :, torch.tensor([0, 1, 1])],
    "with vectors around": lambda x, i: x[torch.tensor([0, 2]), i, torch.tensor([1, 0])],
    "with a mask": lambda x, i: x[i, torch.tensor([True, False, True])],
    "as int32": lambda x, i: x[i.int() if isinstance(i, torch.Tensor) else i],
    "from the end": lambda x, i: x[-1 - i],
    "of a view": lambda x, i: x.transpose(0, 2)[:, i],
}


@pytest.mark.parametrize("how", READ)
@pytest.mark.parametrize("given", GIVEN)
@compiled
def test_what_is_read_at_a_place(C: Any, how: str, given: str) -> Any:
    def f(x: Any, i: Any) -> Any:
        return READ[how](x, i) * 2

    f = C(f)
    for k in (0, 2, 1, 1):
        yield f(rows(3, 3, 3), GIVEN[given](k))


@pytest.mark.parametrize("how", READ)
@pytest.mark.parametrize("given", GIVEN)
@compiled
def test_its_gradient(C: Any, how: str, given: str) -> Any:
    x = rows(3, 3, 3).requires_grad_()

    def f(i: Any) -> Any:
        x.grad = None
        loss = (READ[how](x, i) ** 2).sum() + (x**2).sum()
        loss.backward()
        return loss

    f = C(f)
    for k in (0, 2, 1):
        yield f(GIVEN[given](k)), x


@pytest.mark.parametrize("given", GIVEN)
@compiled
def test_its_gradient_outside(C: Any, given: str) -> Any:
    x = rows(4, 3).requires_grad_()
    f = C(lambda i: x[i] * x[0])
    for k in (0, 3, -1):
        f(GIVEN[given](k)).sum().backward()
        yield x


WRITTEN: dict[str, Any] = {
    "row": lambda x, i, v: x.__setitem__(i, v),
    "column": lambda x, i, v: x.__setitem__((slice(None), i), v),
    "element": lambda x, i, v: x.__setitem__((i, i), v[0]),
    "a number": lambda x, i, v: x.__setitem__(i, 7.0),
    "an integer's": lambda x, i, v: x.__setitem__((i, 1), torch.tensor(5)),
    "a broadcast row": lambda x, i, v: x.__setitem__((slice(None), i), v[:, None]),
    "a part": lambda x, i, v: x.__setitem__((i, slice(1, None)), v[1:]),
    "at a vector": lambda x, i, v: x.__setitem__((i, torch.tensor([0, 2])), v[1:]),
    "in place": lambda x, i, v: x[i].add_(v),
    "by += ": lambda x, i, v: x.__setitem__(i, x[i].__iadd__(v)),
    "through a part of it": lambda x, i, v: x[i][1:].mul_(v[1:]),
    "through it, transposed": lambda x, i, v: x.t()[i, :2].zero_(),
    "in a part": lambda x, i, v: x[1:, i].copy_(v[1:]),
    "at two places": lambda x, i, v: (x.__setitem__(i, v), x.__setitem__(2 - i, v * 2)),
}


@pytest.mark.parametrize("how", WRITTEN)
@pytest.mark.parametrize("given", GIVEN)
@compiled
def test_what_is_written_at_a_place(C: Any, how: str, given: str) -> Any:
    x = rows(3, 3)

    def f(i: Any, v: Any) -> None:
        WRITTEN[how](x, i, v)

    f = C(f)
    for k in (0, 2, 1, 1):
        f(GIVEN[given](k), rows(3) + 10 * k)
        yield x.clone()


@pytest.mark.parametrize("how", WRITTEN)
@pytest.mark.parametrize("given", GIVEN)
@compiled
def test_the_gradient_of_what_is_written(C: Any, how: str, given: str) -> Any:
    w, v = rows(3, 3).requires_grad_(), rows(3).requires_grad_()

    def f(i: Any) -> Any:
        w.grad = v.grad = None
        x = w * 2
        WRITTEN[how](x, i, v)
        loss = (x**2).sum() + v.sum()
        loss.backward()
        return loss

    f = C(f)
    for k in (0, 2, 1):
        yield f(GIVEN[given](k)), w, v


@compiled
def test_a_cache_that_is_filled_at_a_position(C: Any) -> Any:
    cache, position = torch.zeros(4, 2), torch.tensor(0)

    def f(row: Any) -> Any:
        cache[position] = row
        position.add_(1)
        return cache.sum(0)

    f = C(f)
    for _ in range(4):
        yield f(torch.randn(2)), cache.clone(), position.clone()


@compiled
def test_a_cache_that_is_filled_at_numbers(C: Any) -> Any:
    cache, names = torch.zeros(12, 2), torch.randn(12, 2)

    def f(row: Any, position: int) -> Any:
        cache[position] = row + names[position]
        return cache.masked_fill(torch.arange(12)[:, None] > position, 9.0).sum(0)

    f = C(f)
    for k in range(12):
        yield f(torch.randn(2), k), cache.clone()


@compiled
def test_the_place_is_that_of_when_the_view_was_taken(C: Any) -> Any:
    x, i = rows(4, 2), torch.tensor(0)

    def f() -> Any:
        row = x[i]
        i.add_(1)
        x.mul_(2.0)
        row.add_(100.0)
        return row + x[i]

    f = C(f)
    for _ in range(3):
        yield f(), x.clone()


@compiled
def test_what_is_largest(C: Any) -> Any:
    embedding = nn.Embedding(5, 3)

    def f(x: Any) -> Any:
        return embedding(x.argmax()) + embedding.weight[x.argmin()] + F.softmax(x, 0)[x.argmax()]

    f = C(f)
    for _ in range(4):
        yield f(torch.randn(5)).detach()


@pytest.mark.parametrize("given", GIVEN)
@compiled
def test_an_index_out_of_range(C: Any, given: str) -> Any:
    x = rows(3, 2)

    def f(i: Any) -> Any:
        x[0] += 1.0
        return x[:, i].clone()

    f = C(f)
    for k in (0, 1, -2):
        yield f(GIVEN[given](k)), x.clone()


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("given", GIVEN)
@compiled
def test_what_an_index_out_of_range_raises(C: Any, first: bool, given: str) -> Any:
    x = rows(3, 2)
    f = C(lambda i: x[i] * 1.0)
    for k in (5, 0, -4, 1, 3) if first else (0, 1, 3, 0, -4):
        yield attempt(f, GIVEN[given](k))[:2] if not -3 <= k < 3 else f(GIVEN[given](k))


@pytest.mark.parametrize("given", GIVEN)
@refused("in the memory of a Tensor that was there before")
def test_the_view_itself_is_returned(C: Any, given: str) -> Any:
    x = rows(3, 2)
    f = C(lambda i: x[i])
    for k in (0, 1):
        yield f(GIVEN[given](k)), x


@refused("reads a value out")
def test_the_size_depends_on_it(C: Any) -> Any:
    x = rows(3, 2)
    f = C(lambda i: x[: i + 1] * 1.0)
    for k in (0, 1):
        yield f(torch.tensor(k))


@refused("reads a value out")
def test_a_single_bool_is_a_mask(C: Any) -> Any:
    x = rows(3, 2)
    f = C(lambda i: x[i > 0] * 1.0)
    for k in (0, 1):
        yield f(torch.tensor(k))
