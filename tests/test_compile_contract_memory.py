"""Memory that a compiled function reads, writes and returns: who shares it with whom is as in eager code."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from contract import attempt, compiled, same

import tinygrad_ninja as torch


def fresh(n: int = 3, first: float = 1.0) -> Any:
    return torch.arange(first, first + n)


# -- arguments -----------------------------------------------------------------------------------------------

PAIRS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "two": lambda: (fresh(), fresh(3, 10.0)),
    "one": lambda: (x := fresh(), x),
    "detached": lambda: (x := fresh(), x.detach()),
    "a view of all": lambda: (x := fresh(), x.view(3)),
    "the other's view": lambda: ((x := fresh()).view(3), x),
    "two parts": lambda: ((x := fresh(6))[:3], x[3:]),
    "parts that overlap": lambda: ((x := fresh(5))[:3], x[2:]),
    "parts that overlap, exchanged": lambda: ((x := fresh(5))[2:], x[:3]),
    "every other": lambda: ((x := fresh(6))[::2], x[1::2]),
    "expanded": lambda: ((x := fresh())[:1].expand(3), x),
    "flipped rows": lambda: ((x := fresh(9).view(3, 3))[0], x[:, 0]),
    "one array of NumPy's": lambda: (
        torch.from_numpy(a := np.arange(3, dtype="float32")),
        torch.from_numpy(a),
    ),
}
CHANGES: dict[str, Callable[[Any, Any], Any]] = {
    "nothing": lambda a, b: a * 2 + b,
    "the first": lambda a, b: (a.mul_(2.0), a + b)[1],
    "the second": lambda a, b: (b.add_(1.0), a * 10 + b)[1],
    "both": lambda a, b: (a.mul_(2.0), b.add_(1.0), a + b)[2],
    "one from the other": lambda a, b: (a.copy_(b * 2), a + b)[1],
    "the other from one": lambda a, b: (b.copy_(a + 1), a * b)[1],
    "by data": lambda a, b: (setattr(a, "data", a.data * 3), a + b)[1],
    "a part": lambda a, b: (a.__setitem__(0, 7.0), a + b)[1],
    "through a view": lambda a, b: (a[1:].add_(5.0), a + b)[1],
    "read, changed, read": lambda a, b: (a * b, a.zero_(), a + b)[::2],
}


@pytest.mark.parametrize("change", CHANGES)
@same
def test_two_arguments(C: Any, change: str) -> Any:
    f = C(CHANGES[change])
    for first, then in itertools.islice(itertools.permutations(PAIRS, 2), 0, None, 7):
        for kind in (first, then):
            a, b = PAIRS[kind]()
            yield attempt(f, a, b), a, b
        if first == "expanded" and then == "one":
            break


@pytest.mark.parametrize("kind", PAIRS)
@same
def test_arguments_that_share_come_second(C: Any, kind: str) -> Any:
    """The first call is made with two that share nothing."""
    f, g = C(CHANGES["the first"]), C(CHANGES["the second"])
    for each in ("two", kind, "two", kind, "one"):
        for h in (f, g):
            a, b = PAIRS[each]()
            yield attempt(h, a, b), a, b


@same
def test_three_arguments_in_every_combination(C: Any) -> Any:
    def f(a: Any, b: Any, c: Any) -> Any:
        a.add_(b)
        return a * 100 + b * 10 + c

    f = C(f)
    for pattern in ("abc", "aab", "aba", "baa", "aaa", "abc", "bca", "aab"):
        x = {"a": fresh(), "b": fresh(3, 5.0), "c": fresh(3, 7.0)}
        yield f(*(x[letter] for letter in pattern)), x


@same
def test_an_argument_that_is_the_closures(C: Any) -> Any:
    w = fresh()
    f = C(lambda x: w * 10 + x)
    for x in (w, fresh(3, 5.0), w, w.detach(), w * 1, w):
        yield f(x)


@same
def test_an_argument_that_shares_memory_with_what_is_changed(C: Any) -> Any:
    w = fresh(6).view(2, 3)

    def f(x: Any) -> Any:
        w.data += 1
        return x * 2

    f = C(f)
    for x in (torch.zeros(3), w[0], w[1], torch.ones(3), w[:, 0].expand(2), w[0]):
        yield f(x), w


@same
def test_an_argument_that_is_a_parameters_gradient(C: Any) -> Any:
    w = torch.ones(3, requires_grad=True)

    def f(x: Any) -> Any:
        (w * x).sum().backward()
        return w.grad + x

    f = C(f)
    yield f(fresh()), w
    for _ in range(4):
        yield f(w.grad), w


@same
def test_arguments_with_a_history(C: Any) -> Any:
    w = torch.ones(3, requires_grad=True)
    f = C(lambda x: x * 2)
    for k in range(5):
        x = w * k if k != 2 else w
        y = f(x)
        yield y.detach(), x.requires_grad
        (x * 3).sum().backward()
        yield w


@same
def test_gradients_reach_an_argument(C: Any) -> Any:
    def f(x: Any) -> Any:
        (x * x).sum().backward()
        return x.detach() * 1

    f = C(f)
    for k in range(5):
        x = (fresh() * k).requires_grad_()
        yield f(x), x
    yield f(x), x


@same
def test_requires_grad_is_set_inside(C: Any) -> Any:
    def f(x: Any) -> Any:
        x.requires_grad_(True)
        loss = (x * x).sum()
        loss.backward()
        return loss.detach()

    f = C(f)
    for k in range(5):
        x = fresh() * k
        yield f(x), x


@same
def test_a_frozen_argument(C: Any) -> Any:
    w = torch.ones(3, requires_grad=True)

    def f(x: Any) -> Any:
        w.grad = None
        (w * x).sum().backward()
        return x.requires_grad, x.is_leaf

    f = C(f)
    for needs in (False, True, False, True, True):
        x = fresh().requires_grad_(needs)
        yield f(x), x, w


@same
def test_other_layouts_of_an_argument(C: Any) -> Any:
    f = C(lambda x: (x * 2, x.sum(0), x.view(-1) if x.is_contiguous() else x.reshape(-1), x.stride()))
    base = fresh(24)
    for x in (
        base[:6].view(2, 3), base[:6].view(3, 2).T, base.view(4, 6)[:2, ::2], base[:1].expand(2, 3),
        base[:3].expand(2, 3), base[1:7].view(2, 3), base[:6].view(2, 3),
    ):  # fmt: skip
        yield f(x)


@same
def test_other_shapes_and_dtypes_of_an_argument(C: Any) -> Any:
    f = C(lambda x: (x + x, x * 2, x.sum()))
    for x in (
        fresh(),
        fresh(0),
        fresh(1),
        torch.tensor(2.0),
        fresh().double(),
        torch.tensor([1, 2]),
        fresh().bool(),
    ):
        yield f(x)


# -- results -------------------------------------------------------------------------------------------------

RETURNED: dict[str, Callable[[Any, Any], Any]] = {
    "an argument": lambda x, w: x,
    "an argument and more": lambda x, w: (x, x + 1),
    "contiguous": lambda x, w: (x.contiguous(), x + 1),
    "float": lambda x, w: (x.float(), x + 1),
    "a view of an argument": lambda x, w: x[1:],
    "a view of an argument, reshaped": lambda x, w: x.view(1, 3),
    "detached": lambda x, w: x.detach(),
    "the closure's": lambda x, w: (w, w * x),
    "a view of the closure's": lambda x, w: (w[:2], x * 2),
    "a result twice": lambda x, w: [x * 2] * 2,
    "a result and its view": lambda x, w: (y := x * w, y[1:], y.view(3, 1)),
    "views of one result": lambda x, w: (x * w).unbind(),
    "chunks": lambda x, w: (x * w + 1).chunk(2),
    "expanded": lambda x, w: (x * 2)[:1].expand(4),
    "transposed": lambda x, w: (x[:, None] * w).T,
    "all of it": lambda x, w: {"x": x, "w": w, "y": (x + w).detach(), "z": [x[:1], None, 2, "s"]},
    "changed, then returned": lambda x, w: (w.add_(x), w)[1],
    "a constant": lambda x, w: (torch.ones(2), x * 0),
    "a gradient": lambda x, w: torch.autograd.grad(((v := x.detach().requires_grad_()) * w).sum(), v)[0],
    "nothing": lambda x, w: None,
    "a generator of results": lambda x, w: tuple(y * 2 for y in (x, w)),
    "numbers": lambda x, w: (len(x), x.shape, x.dtype, x.ndim),
}


@pytest.mark.parametrize("kind", RETURNED)
@same
def test_what_is_returned(C: Any, kind: str) -> Any:
    w = fresh(3, 4.0)
    f = C(lambda x: RETURNED[kind](x, w))
    for k in range(5):
        x = fresh(3, float(k))
        yield x, f(x), w


@pytest.mark.parametrize("kind", ["a view of the closure's", "a result and its view", "views of one result"])
@same
def test_the_caller_changes_what_was_returned(C: Any, kind: str) -> Any:
    w = fresh(3, 4.0)
    f = C(lambda x: RETURNED[kind](x, w))
    kept = []
    for k in range(5):
        result = f(fresh(3, float(k)))
        kept.append(result)
        result[0].mul_(-1.0)
        yield result, w
    yield kept


@compiled
def test_results_are_kept(C: Any) -> Any:
    f = C(lambda x: (x * 2, x.sum()))
    kept = [f(fresh(3, float(k))) for k in range(6)]
    yield kept
    for a, b in kept:
        a += b
    yield kept, f(fresh())


@same
def test_results_are_given_as_arguments(C: Any) -> Any:
    f = C(lambda h, x: (h + x).tanh())
    h = torch.zeros(3)
    for k in range(6):
        h = f(h, fresh(3, k * 0.1))
        yield h


@same
def test_a_result_is_changed_and_given_back(C: Any) -> Any:
    def f(h: Any) -> Any:
        h.add_(1.0)
        return h * 2

    f = C(f)
    h = torch.zeros(3)
    for _ in range(6):
        before = h
        h = f(h)
        yield h, before


@same
def test_a_result_is_bound_to_a_parameter(C: Any) -> Any:
    w = torch.ones(3, requires_grad=True)
    f = C(lambda: w.detach() * 2)
    for k in range(5):
        w.data = f()
        yield w
        if k == 2:
            w.data[0] = 0.0


# -- gradients held by the caller ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "how", ["Tensor", "array", "row", "row of the Tensor", "element", "transposed", "flat"]
)
@pytest.mark.parametrize("clear", ["none", "zero", "accumulate"])
@same
def test_gradients_are_held(C: Any, how: str, clear: str) -> Any:
    w = torch.ones(2, 3, requires_grad=True)
    ways: dict[str, Callable[[], Any]] = {
        "Tensor": lambda: w.grad, "array": lambda: w.grad.numpy(), "row": lambda: w.grad.numpy()[1],
        "row of the Tensor": lambda: w.grad[1],
        "element": lambda: w.grad[0, 0], "transposed": lambda: w.grad.T,
        "flat": lambda: w.grad.view(-1),
    }  # fmt: skip

    def f(k: float) -> Any:
        if clear == "none":
            w.grad = None
        elif clear == "zero" and w.grad is not None:
            w.grad.zero_()
        (w * w).sum().mul(k).backward()
        return w.detach().sum()

    f, kept = C(f), []
    for k in range(5):
        yield f(float(k)), w
        kept.append(ways[how]())
        yield kept
        if k == 3:
            kept[0][...] = 100.0
            yield w


@same
def test_a_gradient_of_the_callers(C: Any) -> Any:
    w = torch.ones(3, requires_grad=True)

    def f() -> Any:
        (w * 2).sum().backward()

    f = C(f)
    yield f(), w
    mine = torch.full((3,), 10.0)
    w.grad = mine
    yield f(), w, mine
    w.grad = mine[:1].expand(3).clone()
    yield f(), w, mine
    w.grad = None
    yield f(), w, mine
    yield f(), w


@same
def test_two_parameters_of_one_gradient(C: Any) -> Any:
    a, b = torch.ones(3, requires_grad=True), torch.ones(3, requires_grad=True)

    def f(x: Any) -> Any:
        (a * x + b * x).sum().backward()

    f = C(f)
    yield f(fresh()), a, b
    b.grad = a.grad
    yield f(fresh()), a, b
    yield f(fresh()), a, b
    a.grad = None
    yield f(fresh()), a, b
    yield f(fresh()), a, b


@same
def test_the_shape_of_an_array_of_the_same_memory_is_set(C: Any) -> Any:
    w, array = torch.ones(2, 2), np.ones((2, 3), np.float32)
    given = torch.from_numpy(array)

    def f() -> Any:
        w.add_(1)
        given.mul_(2)
        return w * 1, given * 1

    f = C(f)
    for k in range(5):
        yield f(), w, array
        if k == 2:
            array.shape, w.numpy().shape = (3, 2), (4,)
        if k == 3:
            array.flags.writeable = w.numpy().flags.writeable = False
