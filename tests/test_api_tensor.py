"""The Tensor as an object: creation, in-place variants, protocols, Size, printing, and what is missing."""

import inspect
import math
import operator
import re
from typing import Any

import numpy as np
import pytest
import torch
from both import Case, assert_same, assert_same_error, attempt, cases, same

import tinygrad_ninja

INF, NAN = float("inf"), float("nan")


@cases(
    lambda t: [t.zeros(2, 3), t.zeros((2, 3)), t.zeros([2, 3]), t.zeros(t.Size([2, 3])), t.zeros(())],
    lambda t: [t.ones(2, 3), t.ones((2, 3)), t.ones([2]), t.ones(size=(2,)), t.ones(2, dtype=t.int64)],
    lambda t: [t.zeros(2, requires_grad=True), t.ones(2, requires_grad=True), t.ones(1, 2, device="cpu")],
    lambda t: [t.full((2, 3), 4.0), t.full([2], 4), t.full(size=(2,), fill_value=1.5), t.full((), 2.0)],
    lambda t: [t.full((2,), 4.0, requires_grad=True), t.full((2,), 4, dtype=t.float64)],
    lambda t: [t.arange(3), t.arange(1, 3), t.arange(1, 9, 3), t.arange(start=1, end=3), t.arange(end=3)],
    lambda t: [t.arange(0.5, 2), t.arange(3, 0, -1), t.arange(0), t.arange(0, 1, step=0.3)],
    lambda t: [t.arange(3.0, requires_grad=True), t.arange(0, 10, 2.5, dtype=t.int64)],
    lambda t: [t.linspace(0, 1, 5), t.linspace(-1, 1, steps=3), t.linspace(start=1, end=0, steps=4)],
    lambda t: [
        t.linspace(0, 1, 3, dtype=t.float64),
        t.linspace(0, 1, 0),
        t.linspace(0, 10, 11, dtype=t.int64),
    ],
    lambda t: t.linspace(-0.1, 0.7, 101),
    lambda t: [t.eye(2), t.eye(2, 3), t.eye(0), t.eye(n=2, m=1), t.eye(2, dtype=t.bool)],
    lambda t: [t.zeros_like(t.ones(2, 3)), t.ones_like(t.arange(2)), t.full_like(t.ones(2), 3)],
    lambda t: [t.zeros_like(t.arange(2), dtype=t.float64), t.ones_like(input=t.ones(2), requires_grad=True)],
    lambda t: [
        t.zeros_like(t.ones(2, requires_grad=True)),
        t.full_like(t.arange(2), fill_value=2.5, dtype=t.float32),
    ],
    lambda t: [
        t.tensor([1.0], requires_grad=True),
        t.tensor(data=[1]),
        t.tensor([1], dtype=t.float32, device="cpu"),
    ],
    lambda t: [
        t.tensor([[1, 2], [3, 4]]),
        t.tensor([(1.5, 2), (3, 4)]),
        t.tensor([[[]]]),
        t.tensor([np.arange(2)] * 2),
    ],
    lambda t: [
        t.from_numpy(np.ones((2, 3))),
        t.from_numpy(np.array([True])),
        t.from_numpy(np.ones((2, 3)).T),
    ],
    lambda t: [t.empty(2, 3).shape, t.empty((2,)).dtype, t.empty_like(t.arange(3)).dtype],
)
def test_creation(case: Case) -> None:
    assert_same(case)


@same
def test_in_place_variants(t: Any) -> Any:
    """Each changes its tensor and returns it."""
    y, mask, index = t.tensor([4.0, 0.5, 2.0]), t.tensor([True, False, True]), t.tensor([0, 0, 2])
    calls = {
        "add_": [(1,), (y,)],
        "sub_": [(1,), (y,)],
        "mul_": [(2,), (y,)],
        "div_": [(2,), (y,)],
        "pow_": [(2,), (y,)],
        "clamp_": [(0.5, 2), (None, 1.5)],
        "masked_fill_": [(mask, 7.0)],
        "index_add_": [(0, index, y)],
        "copy_": [(y,), (y[:1],), (t.tensor([1, 2, 3]),)],
        "fill_": [(7,), (y[0],)],
        **{
            f"{name}_": [()]
            for name in ["zero", "neg", "exp", "log", "sqrt", "tanh", "relu", "sigmoid", "abs"]
        },
    }
    results = []
    for name, arguments in calls.items():
        for args in arguments:
            x = t.tensor([1.0, 2.0, 0.25])
            returned = getattr(x, name)(*args)
            results.append((name, returned is x, x))
    keywords = [
        t.ones(3).add_(y, alpha=2),
        t.ones(3).sub_(other=y),
        t.ones(3).clamp_(max=0.5),
        t.ones(3).index_add_(dim=0, index=index, source=y, alpha=2),
        t.ones(3).requires_grad_(),
        t.ones(3).requires_grad_(requires_grad=False),
    ]
    return results, keywords


@same
def test_properties(t: Any) -> Any:
    x = t.zeros(2, 3, 4, dtype=t.float64)
    sizes = x.shape, x.size(), x.size(0), x.size(-1), x.size(dim=1), x.dim(), x.ndim, x.numel(), x.nelement()
    memory = (
        x.stride(),
        x.stride(0),
        x.is_contiguous(),
        x.T.is_contiguous(),
        x.element_size(),
        x.itemsize,
        x.nbytes,
    )
    kind = (
        x.dtype,
        x.is_floating_point(),
        str(x.device),
        x.device.type,
        x.requires_grad,
        x.is_leaf,
        x.grad,
        x.grad_fn,
    )
    return (
        sizes,
        memory,
        kind,
        attempt(x.size, 3),
        t.is_tensor(x),
        t.is_tensor(np.ones(2)),
        isinstance(x, t.Tensor),
    )


@cases(
    lambda t: [
        t.tensor(2.5).item(),
        t.tensor([[3]]).item(),
        t.tensor(True).item(),
        t.tensor(1, dtype=t.uint8).item(),
    ],
    lambda t: [
        t.tensor(0.1).item(),
        t.tensor(0.1, dtype=t.float64).item(),
        t.tensor(NAN).item(),
        t.tensor(INF).item(),
    ],
    lambda t: [
        t.tensor([[1, 2], [3, 4]]).tolist(),
        t.tensor(1.5).tolist(),
        t.tensor([]).tolist(),
        t.ones(0, 2).tolist(),
    ],
    lambda t: [t.tensor([True]).tolist(), t.ones(2, requires_grad=True).tolist(), t.ones(2, 0).tolist()],
    lambda t: [len(t.zeros(3, 2)), len(t.zeros(0)), len(t.tensor([1]))],
    lambda t: [list(t.tensor([1, 2])), [row.shape for row in t.zeros(2, 3)], list(t.zeros(0, 2))],
    lambda t: [*map(int, t.tensor([1.9, -1.9]))],
    lambda t: [a + b for a, b in zip(t.tensor([1, 2]), t.tensor([3, 4]), strict=True)],
    lambda t: [row.requires_grad for row in t.ones(2, 2, requires_grad=True)],
    lambda t: [bool(t.tensor(x)) for x in [0, 1, 0.0, -0.5, NAN, True, [[0]], [2.0]]],
    lambda t: [
        int(t.tensor(2.9)),
        int(t.tensor([-2.9])),
        int(t.tensor(True)),
        float(t.tensor([3])),
        complex(t.tensor(1.0)),
    ],
    lambda t: [[10, 20][t.tensor(1)], list(range(t.tensor(3))), "ab"[t.tensor([0])], 5 * [t.tensor(1) == 1]][
        :3
    ],
    lambda t: [math.sqrt(t.tensor(4.0)), math.log(t.tensor(1)), np.float64(t.tensor(2.5))],
    lambda t: [
        1 in t.tensor([1, 2]),
        3 in t.tensor([1, 2]),
        t.tensor(2) in t.tensor([1, 2]),
        NAN in t.tensor([NAN]),
    ],
    lambda t: [
        x := t.ones(2),
        hash(x) == hash(x),
        hash(x) == hash(x.clone()),
        len({x, x, x.clone()}),
        {x: 1}[x],
    ],
    lambda t: [f"{t.tensor(3.14159):.2f}", f"{t.tensor(3):5d}", f"{t.tensor(0.5):.1%}", f"{t.tensor(2.0)}"],
    lambda t: [
        f"{t.tensor([1, 2])}",
        f"{t.tensor([1.5])}",
        f"{t.tensor(True)}",
        f"{t.tensor([1.5])[0]:8.3f}",
    ],
    lambda t: f"{t.tensor(1.5, requires_grad=True):.4f}",
    lambda t: "%.4f %d" % (t.tensor(1.5), t.tensor(2)),  # noqa: UP031 - the lecture prints so
    lambda t: [type(t.tensor(1.0).item()).__name__, type(t.tensor(1).tolist()).__name__],
    lambda t: [*reversed(t.arange(3))],
    lambda t: sorted(t.tensor([3.0, 1.0, 2.0])),
    lambda t: any(t.tensor([False, True])) and not all(t.tensor([False, True])),
    lambda t: t.tensor([1, 2]).numpy(),
)
def test_python_protocols(case: Case) -> None:
    assert_same(case)


@cases(
    lambda t: t.zeros(2).item(),
    lambda t: t.zeros(0).item(),
    lambda t: len(t.tensor(1)),
    lambda t: list(t.tensor(1)),
    lambda t: bool(t.zeros(2)),
    lambda t: bool(t.zeros(0)),
    lambda t: int(t.zeros(2)),
    lambda t: float(t.zeros(2)),
    lambda t: int(t.tensor(NAN)),
    lambda t: [1, 2][t.tensor(1.0)],
    lambda t: [1, 2][t.tensor([0, 1])],
    lambda t: format(t.zeros(2), ".2f"),
    lambda t: "a" in t.zeros(2),
    lambda t: t.zeros(2) if t.zeros(2) == t.zeros(2) else None,
    lambda t: t.zeros(2)(),
    lambda t: t.zeros(2).shape.nonsense,
    lambda t: t.Tensor.nonsense,
    lambda t: t.zeros(2).nonsense,
    lambda t: t.nonsense,
    lambda t: t.nn.nonsense,
    lambda t: t.nn.functional.nonsense,
)
def test_python_protocols_that_raise(case: Case) -> None:
    assert_same_error(case)


@cases(
    lambda t: [t.Size([2, 3]), t.Size((2, 3)), t.Size(), t.zeros(2, 3).shape, t.tensor(1).shape],
    lambda t: [t.Size([2, 3]).numel(), t.Size([]).numel(), t.Size([2, 0]).numel()],
    lambda t: [t.Size([2, 3])[0], t.Size([2, 3])[-1], t.Size([2, 3, 4])[1:], t.Size([2, 3])[::-1]],
    lambda t: [t.Size([2]) + t.Size([3]), t.Size([2]) + (3,), (3,) + t.Size([2])],  # noqa: RUF005
    lambda t: [t.Size([2]) * 2, [*t.Size([2])], (*t.Size([2]), 3)],
    lambda t: [
        operator.iadd([1], t.Size([2])),
        *(attempt(operator.add, *x) for x in (([1], t.Size()), (t.Size(), [1]))),
    ],
    lambda t: [
        t.Size([2, 3]) == (2, 3),
        (2, 3) == t.Size([2, 3]),  # noqa: SIM300 - the reflected operator
        t.Size([2]) != t.Size([3]),
        t.Size([2]) < (3,),
    ],
    lambda t: [len(t.Size([2, 3])), list(t.Size([2, 3])), tuple(t.Size([2, 3])), 3 in t.Size([2, 3])],
    lambda t: [isinstance(t.Size([2]), tuple), hash(t.Size([2, 3])) == hash((2, 3)), {t.Size([2]): 1}[(2,)]],
    lambda t: [repr(t.Size([2, 3])), str(t.zeros(2).shape), f"{t.Size([])}", repr(t.Size([2, 3])[:1])],
    lambda t: [t.Size([2, 3]).index(3), t.Size([2, 2]).count(2)],
    lambda t: (
        [rows, columns] if (rows := t.zeros(2, 3).shape[0]) and (columns := t.zeros(2, 3).shape[1]) else None
    ),
)
def test_size(case: Case) -> None:
    assert_same(case)


@cases(
    lambda t: repr(t.tensor([1, 2, -3])),
    lambda t: repr(t.tensor([1.0, 2.5, -3])),
    lambda t: repr(t.tensor([1.0, 2.0])),
    lambda t: repr(t.tensor(3.3482)),
    lambda t: repr(t.tensor(-0.0)),
    lambda t: repr(t.tensor(7)),
    lambda t: repr(t.tensor([True, False])),
    lambda t: repr(t.tensor(True)),
    lambda t: repr(t.tensor([])),
    lambda t: repr(t.tensor([], dtype=t.int64)),
    lambda t: repr(t.zeros(0, 3)),
    lambda t: repr(t.tensor([[]])),
    lambda t: repr(t.tensor([1e-8, 1.0])),
    lambda t: repr(t.tensor([1e5, 1.0])),
    lambda t: repr(t.tensor([0.001, 100.0])),
    lambda t: repr(t.tensor([0.001, 0.1])),
    lambda t: repr(t.tensor([1e9, 1.5])),
    lambda t: repr(t.tensor(1e10)),
    lambda t: repr(t.tensor(123456.789)),
    lambda t: repr(t.tensor([1000000.0])),
    lambda t: repr(t.tensor([16777216.0, 1.0])),
    lambda t: repr(t.tensor([1.5, 2e-5])),
    lambda t: repr(t.tensor([NAN, INF, 1.5])),
    lambda t: repr(t.tensor([NAN, -INF])),
    lambda t: repr(t.tensor([[1.0, NAN], [INF, -2]])),
    lambda t: repr(t.tensor([1.0, 2.0], dtype=t.float64)),
    lambda t: repr(t.tensor([1], dtype=t.int32)),
    lambda t: repr(t.ones(3, dtype=t.uint8)),
    lambda t: repr(t.tensor([123456789, -1])),
    lambda t: repr(t.arange(6).reshape(2, 3)),
    lambda t: repr(t.arange(6.0).reshape(2, 3).T / 7),
    lambda t: repr(t.arange(24).reshape(2, 3, 4)),
    lambda t: repr(t.ones(1, 1, 2, 2)),
    lambda t: repr(t.arange(50.0)),
    lambda t: repr(t.arange(50) * 1000),
    lambda t: repr(t.linspace(-1, 1, 200).reshape(10, 20)),
    lambda t: repr(t.zeros(1000)),
    lambda t: repr(t.arange(2000)),
    lambda t: repr(t.arange(2000.0) / 7),
    lambda t: repr(t.zeros(40, 40)),
    lambda t: repr(t.zeros(11, 10, 10)),
    lambda t: repr(t.ones(2, requires_grad=True)),
    lambda t: repr(t.tensor(3.3482, requires_grad=True)),
    lambda t: repr(t.tensor(3.3482, requires_grad=True, dtype=t.float64)),
    lambda t: repr(t.ones(40, 40, requires_grad=True) * 1),
    lambda t: [repr(t.arange(6.0).reshape(2, 3).max(1)), repr(t.arange(6.0).reshape(2, 3).min(1))],
    lambda t: repr(t.arange(6.0).histogram(2)),
    lambda t: [repr(t.tensor([], dtype=t.bool)), repr(t.zeros(0, 2, dtype=t.bool))],
    lambda t: repr(t.linspace(-999, 999, 24, dtype=t.float64).reshape(2, 3, 4)),
    lambda t: [repr(t.ones(2, 3, n, requires_grad=True) * 100.5) for n in range(1, 9)],
    lambda t: [repr(t.ones(n, dtype=t.float64)) for n in range(1, 30)],
    lambda t: str(t.arange(3.0)),
    lambda t: [str(t.float32), repr(t.int64), str(t.ones(2).dtype), str(t.bool), str(t.float64)],
    lambda t: [str(t.ones(2).device), repr(t.ones(2).device), str(t.device("cpu"))],
)
def test_repr(case: Case) -> None:
    assert_same(case)


@cases(
    lambda t, x: -x,
    lambda t, x: x + 1,
    lambda t, x: 1 - x,
    lambda t, x: x * 2,
    lambda t, x: x / 2,
    lambda t, x: x**2,
    lambda t, x: x @ x,
    lambda t, x: x.exp(),
    lambda t, x: x.log(),
    lambda t, x: x.sqrt(),
    lambda t, x: x.tanh(),
    lambda t, x: x.relu(),
    lambda t, x: x.sigmoid(),
    lambda t, x: x.abs(),
    lambda t, x: x.sum(),
    lambda t, x: x.mean(),
    lambda t, x: x.prod(),
    lambda t, x: x.view(-1),
    lambda t, x: x.unsqueeze(0),
    lambda t, x: x.clone(),
    lambda t, x: x[0],
    lambda t, x: x[0:1],
    lambda t, x: x[[0, 0]],
    lambda t, x: t.cat([x, x]),
    lambda t, x: t.stack([x, x]),
    lambda t, x: t.where(x > 1, x, 0.0),
    lambda t, x: t.maximum(x, x),
    lambda t, x: x.cumsum(0),
    lambda t, x: x.logsumexp(0),
    lambda t, x: x.softmax(0),
    lambda t, x: x.log_softmax(0),
    lambda t, x: x.var(),
    lambda t, x: x.std(),
    lambda t, x: x.amax(0),
    lambda t, x: x.clone().add_(1),
    lambda t, x: -t.nn.functional.cross_entropy(x, t.tensor([0, 1])),
)
def test_repr_of_a_result_names_its_backward(case: Any) -> None:
    assert_same(lambda t: repr(case(t, t.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True))))


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (torch, tinygrad_ninja),
        (torch.Tensor, tinygrad_ninja.Tensor),
        (torch.nn, tinygrad_ninja.nn),
        (torch.nn.functional, tinygrad_ninja.nn.functional),
        (torch.optim, tinygrad_ninja.optim),
        (torch.autograd, tinygrad_ninja.autograd),
    ],
    ids=["module", "Tensor", "nn", "nn.functional", "optim", "autograd"],
)
def test_what_torch_has_and_we_do_not_names_the_nearest(theirs: Any, ours: Any) -> None:
    """`torch.fft` or `x.svd()`: an AttributeError of one line that names it and something that is there."""
    there = {*dir(tinygrad_ninja), *dir(tinygrad_ninja.Tensor), *dir(tinygrad_ninja.nn), *dir(ours)}
    missing = [name for name in dir(theirs) if not name.startswith("_") and name not in dir(ours)]
    assert missing
    owner = tinygrad_ninja.ones(1) if inspect.isclass(ours) else ours
    for name in missing:
        error = attempt(getattr, owner, name)
        assert isinstance(error, AttributeError), name
        assert "\n" not in str(error)
        _, named, after = str(error).rpartition(repr(name))
        assert named, f"{name} is not named: {error}"
        assert {*re.findall(r"\w{3,}", after)} & there, f"nothing near is named: {error}"


@pytest.mark.parametrize(("name", "near"), [("matmull", "matmul"), ("sigmod", "sigmoid"), ("jit", "compile")])
def test_a_name_that_is_near_is_named(name: str, near: str) -> None:
    with pytest.raises(AttributeError, match=f"no '{name}' here.*; the nearest: {near}"):
        getattr(tinygrad_ninja, name)


@pytest.mark.parametrize("name", ["svd", "qr", "eig", "fft", "igamma", "lstsq", "vander"])
def test_a_name_that_nothing_is_near_to_has_no_hint(name: str) -> None:
    with pytest.raises(
        AttributeError, match=f"no '{name}' here, where a part of PyTorch's names is offered$"
    ):
        getattr(tinygrad_ninja, name)


@pytest.mark.parametrize("name", ["fft", "stft", "jit", "svd", "complex64"])
def test_what_is_far_from_supported(name: str) -> None:
    with pytest.raises(AttributeError, match=name):
        getattr(tinygrad_ninja, name)


def test_an_argument_of_torch_that_is_not_supported_is_named() -> None:
    x = tinygrad_ninja.ones(2)
    for call, argument in [
        (lambda: x.sum(out=x), "out"),
        (lambda: tinygrad_ninja.ones(2, layout=None), "layout"),
        (lambda: tinygrad_ninja.ones(2, device="meta"), "meta"),
        (lambda: x.to("mps"), "mps"),
    ]:
        error = attempt(call)
        assert isinstance(error, (TypeError, RuntimeError, ValueError)), argument
        assert argument in str(error)
        assert "\n" not in str(error)
