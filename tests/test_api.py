"""Every operation, as a function and as a method, in each form of its arguments that PyTorch documents."""

from typing import Any

import numpy as np
import pytest
from both import Case, assert_same, assert_same_error, cases, gradients

X = np.array([[0.5, -1.25, 2.0], [1.5, 0.75, -0.5]])
Y = np.array([[1.25, 0.5, -1.5], [-0.25, 2.5, 1.0]])
ROW = np.array([2.0, -0.5, 1.5])
MASK = X > 0.6


def call(name: str, *args: Any, x: np.ndarray = X, **kwargs: Any) -> Any:
    """One way to call `name` on `x`. An array among the arguments stands for the tensor of its numbers."""
    shown = [
        *(show(argument) for argument in args),
        *(f"{key}={show(value)}" for key, value in kwargs.items()),
    ]
    return pytest.param(name, x, args, kwargs, id=f"{name}({', '.join(shown)})")


def show(argument: Any) -> str:
    return f"{argument.dtype}{list(argument.shape)}" if isinstance(argument, np.ndarray) else repr(argument)


def results(t: Any, function: Any, args: Any, kwargs: Any, *inputs: Any) -> Any:
    """What the call returns, and the gradients of all its float results with respect to `inputs`."""

    def tensor(argument: Any) -> Any:
        return t.tensor(argument) if isinstance(argument, np.ndarray) else argument

    out = function(*map(tensor, args), **{key: tensor(value) for key, value in kwargs.items()})
    parts = [part for part in (out if isinstance(out, tuple) else [out]) if part.requires_grad]
    loss = sum((part * t.arange(1.0, part.numel() + 1).reshape(part.shape)).sum() for part in parts)
    return out, t.autograd.grad(loss, inputs) if parts else None


ELEMENTWISE = [
    *(
        call(name, other)
        for name in ["add", "sub", "mul", "div", "pow", "eq", "ne"]
        for other in [2, 0.5, Y, ROW]
    ),
    *(call(name, other) for name in ["lt", "le", "gt", "ge"] for other in [0.75, X, ROW]),
    *(call(name) for name in ["neg", "exp", "tanh", "relu", "sigmoid", "abs", "isnan"]),
    *(call(name, x=np.abs(X)) for name in ["log", "log10", "sqrt"]),
    *(call(name, other=Y) for name in ["add", "sub", "mul", "div", "eq", "lt", "maximum", "minimum"]),
    call("add", 3, alpha=2),
    call("add", Y, alpha=-2),
    call("sub", ROW, alpha=0.5),
    call("div", Y, rounding_mode="floor"),
    call("div", Y, rounding_mode="trunc"),
    call("div", Y, rounding_mode=None),
    call("pow", exponent=2),
    call("pow", Y, x=np.abs(X)),
    call("clamp", 0, 1),
    call("clamp", 0),
    call("clamp", min=0.5),
    call("clamp", max=0.5),
    call("clamp", -0.5, max=0.5),
    call("clamp", None, 1),
    call("clamp", ROW),
    call("clamp", min=Y, max=ROW),
    call("maximum", Y),
    call("minimum", ROW),
    call("max", Y),
    call("min", ROW),
    call("where", MASK, Y),
    call("masked_fill", MASK, 7.0),
    call("masked_fill", mask=MASK[0], value=-1),
    call("masked_fill", MASK, np.array(3.0)),
]

DIMS: list[dict[str, Any]] = [
    {"dim": 0},
    {"dim": -1, "keepdim": True},
    {"axis": 1},
    {"axis": 0, "keepdims": True},
    {"dim": 1, "keepdims": True},
]
SEVERAL: list[dict[str, Any]] = [{"dim": (0, 1)}, {"dim": [-2, 1], "keepdim": True}, {"axis": (0,)}]

REDUCTIONS = [
    *(
        call(name)
        for name in ["sum", "mean", "var", "std", "max", "min", "amax", "amin", "prod", "argmax", "argmin"]
    ),
    *(call(name, x=x) for name in ["all", "any"] for x in [MASK, X]),
    *(
        call(name, **dims)
        for name in ["sum", "mean", "var", "std", "max", "min", "amax", "amin"]
        for dims in DIMS
    ),
    *(call(name, **dims) for name in ["prod", "logsumexp"] for dims in DIMS),
    *(call(name, x=MASK, **dims) for name in ["all", "any"] for dims in DIMS),
    *(call(name, **dims) for name in ["argmax", "argmin"] for dims in DIMS[:2]),
    *(
        call(name, **dims)
        for name in ["sum", "mean", "var", "std", "amax", "amin", "logsumexp"]
        for dims in SEVERAL
    ),
    *(
        call(name, 1, True)
        for name in ["sum", "mean", "max", "min", "amax", "amin", "prod", "argmax", "logsumexp"]
    ),
    *(call(name, dim) for name in ["cumsum", "softmax", "log_softmax"] for dim in [0, -1]),
    *(call(name, dim=1) for name in ["cumsum", "softmax", "log_softmax"]),
    *(call(name, 1, dtype=None) for name in ["cumsum", "softmax", "log_softmax", "sum", "mean"]),
    *(call(name, None) for name in ["sum", "mean", "argmax", "argmin"]),
    call("sum", ()),
    call("var", 1, correction=0),
    call("var", 1, unbiased=False),
    call("var", 1, False, True),
    call("var", False),
    call("std", (0, 1), correction=2, keepdim=True),
    call("std", dim=0, unbiased=True),
    call("std", None, keepdim=True),
]

SHAPES = [
    *(call("reshape", shape) for shape in [(3, 2), [6], (-1, 2), (1, 2, 1, 3), (-1,)]),
    call("flatten"),
    call("flatten", 0, 1),
    call("flatten", start_dim=1, x=np.stack([X, Y])),
    call("flatten", 0, -2, x=np.stack([X, Y])),
    call("transpose", 0, 1),
    call("transpose", -1, -2, x=np.stack([X, Y])),
    call("transpose", dim0=0, dim1=2, x=np.stack([X, Y])),
    call("permute", (1, 0)),
    call("permute", (2, 0, -2), x=np.stack([X, Y])),
    call("permute", dims=(1, 0)),
    call("squeeze", x=X[None, :, None]),
    call("squeeze", 0, x=X[None, :, None]),
    call("squeeze", -2, x=X[None, :, None]),
    call("squeeze", (0, 2), x=X[None, :, None]),
    call("squeeze", dim=1, x=X[None, :, None]),
    call("unsqueeze", 0),
    call("unsqueeze", -1),
    call("unsqueeze", dim=1),
    call("split", 1),
    call("split", 2, 1),
    call("split", [1, 2], dim=1),
    call("split", 2, dim=-1),
    call("chunk", 2),
    call("chunk", 2, 1),
    call("chunk", chunks=3, dim=-1),
    call("chunk", 5, 1),
    call("tensor_split", 2, 1),
    call("tensor_split", 4, dim=1),
    call("tensor_split", (1, 2), dim=1),
    call("tensor_split", [1], -1),
    call("unbind"),
    call("unbind", 1),
    call("unbind", dim=-1),
    *(call(name, *args) for name in ["tril", "triu", "diag"] for args in [(), (1,), (-1,)]),
    *(call(name, diagonal=1, x=np.stack([X, Y])) for name in ["tril", "triu"]),
    *(call("diag", *args, x=ROW) for args in [(), (1,), (-2,)]),
    call("diag", diagonal=0),
    call("gather", 1, np.array([[0, 0], [2, 1]])),
    call("gather", dim=-2, index=np.array([[0, 1, 0]])),
    call("index_select", 1, np.array([2, 0, 2])),
    call("index_select", dim=-2, index=np.array([1])),
    call("index_add", 0, np.array([1, 1]), Y),
    call("index_add", dim=1, index=np.array([0, 0, 2]), source=Y, alpha=-2),
    call("matmul", Y.T),
    call("matmul", ROW),
    call("clone"),
]


@pytest.mark.parametrize(("name", "x", "args", "kwargs"), [*ELEMENTWISE, *REDUCTIONS, *SHAPES])
def test_function_and_method(name: str, x: np.ndarray, args: Any, kwargs: Any) -> None:
    def case(t: Any) -> Any:
        leaf = t.tensor(x)
        if x.dtype.kind == "f":
            leaf.requires_grad_()
        # torch.where takes its condition first: torch.where(mask, x, y) is x.where(mask, y)
        as_function = (lambda mask, y: t.where(mask, leaf, y)) if name == "where" else getattr(t, name)
        first = () if name == "where" else (leaf,)
        return (
            results(t, lambda *a, **k: as_function(*first, *a, **k), args, kwargs, leaf),
            results(t, getattr(leaf, name), args, kwargs, leaf),
        )

    assert_same(case, ulps=16, scaled=True)


@cases(
    gradients(lambda t, x: x.view(3, 2), X),
    gradients(lambda t, x: x.view((3, 2)), X),
    gradients(lambda t, x: x.view([-1, 2]), X),
    gradients(lambda t, x: x.view(t.Size([6])), X),
    gradients(lambda t, x: x.view(x.shape), X),
    gradients(lambda t, x: x.view(-1), X),
    gradients(lambda t, x: x.reshape(3, 2), X),
    gradients(lambda t, x: x.reshape(-1), X),
    gradients(lambda t, x: x.permute(1, 0), X),
    gradients(lambda t, x: x.permute([1, 0]), X),
    gradients(lambda t, x: x.expand(4, 2, 3), X),
    gradients(lambda t, x: x.expand((4, -1, -1)), X),
    gradients(lambda t, x: x.unsqueeze(1).expand(-1, 5, 3), X),
    gradients(lambda t, x: x.t(), X),
    gradients(lambda t, x: x.T, X),
    gradients(lambda t, x: x[:, None].contiguous(), X),
    gradients(lambda t, x: x.flip(0), X),
    gradients(lambda t, x: x.flip((0, 1)), X),
    gradients(lambda t, x, y: t.cat([x, y]), X, Y),
    gradients(lambda t, x, y: t.cat((x, y), 1), X, Y),
    gradients(lambda t, x, y: t.cat(tensors=[x, y, x], dim=-1), X, Y),
    gradients(lambda t, x, y: t.stack([x, y]), X, Y),
    gradients(lambda t, x, y: t.stack((x, y), -1), X, Y),
    gradients(lambda t, x, y: t.stack(tensors=[x, y], dim=1), X, Y),
    gradients(lambda t, x, y: t.where(x > y, x, y), X, ROW),
    gradients(lambda t, x: t.where(x > 0, x, 0), X),
    gradients(lambda t, x: t.where(x > 0, 1.0, x), X),
    lambda t: t.where(t.tensor(MASK)),
    lambda t: t.where(t.tensor(MASK), 1, 0),
    gradients(lambda t, x, y: x @ y.T, X, Y),
    gradients(lambda t, x, y: x @ y, ROW, ROW),
    gradients(lambda t, x, y: x @ y, X, ROW),
    gradients(lambda t, x, y: x @ y, np.array([1.0, -2.0]), X),
    gradients(lambda t, x, y: x @ y, np.stack([X, Y]), Y.T),
    gradients(lambda t, x, y: x @ y, X, np.stack([X.T, Y.T])),
    gradients(lambda t, x, y: x @ y, np.stack([X, Y])[:, None], np.stack([X.T, Y.T, X.T])),
    gradients(lambda t, x, y: x @ y, ROW, np.stack([X.T, Y.T])),
    gradients(lambda t, x, y: x @ y, np.stack([X, Y]), ROW),
    gradients(lambda t, x, y: t.mm(x, y), X, Y.T),
    lambda t: t.tensor([[1, 2], [3, 4]]) @ t.tensor([5, 6]),
    lambda t: t.zeros(2, 0) @ t.zeros(0, 2),
)
def test_forms_of_one_kind(case: Case) -> None:
    assert_same(case, ulps=16, scaled=True)


@cases(
    gradients(lambda t, x, y: x + y, X, ROW),
    gradients(lambda t, x, y: x - y, X, Y[:, :1]),
    gradients(lambda t, x, y: x * y, X, Y),
    gradients(lambda t, x, y: x / y, X, Y),
    gradients(lambda t, x, y: x**y, np.abs(X), Y),
    gradients(lambda t, x: 2 + x, X),
    gradients(lambda t, x: 2 - x, X),
    gradients(lambda t, x: 2 * x, X),
    gradients(lambda t, x: 2 / x, X),
    gradients(lambda t, x: 2**x, X),
    gradients(lambda t, x: -x, X),
    gradients(lambda t, x: +x, X),
    gradients(lambda t, x: abs(x), X),
    gradients(lambda t, x: x % 0.7, X),
    lambda t: (t.tensor(X) // 0.7, 2 // t.tensor(X), t.tensor(X) // t.tensor(Y)),
    lambda t: [t.tensor(X) < 1, 1 < t.tensor(X), t.tensor(X) >= t.tensor(Y)],  # noqa: SIM300
    lambda t: [~t.tensor(MASK), t.tensor(MASK) & t.tensor(X > 1), t.tensor(MASK) | t.tensor(X > 1)],
    lambda t: sum([t.tensor(X), t.tensor(Y)]),
    lambda t: max(t.tensor([1.0, 3.0, 2.0])),
)
def test_operators(case: Case) -> None:
    assert_same(case, ulps=16, scaled=True)


@cases(
    lambda t: t.allclose(t.tensor(X), t.tensor(X + 1e-9)),
    lambda t: t.allclose(t.tensor(X), t.tensor(X + 1e-3)),
    lambda t: t.allclose(t.tensor(X), t.tensor(X + 1e-3), atol=1e-2),
    lambda t: t.allclose(t.tensor(X), t.tensor(X * 1.001), rtol=1e-2),
    lambda t: t.allclose(t.tensor([float("nan")]), t.tensor([float("nan")])),
    lambda t: t.allclose(t.tensor([float("nan")]), t.tensor([float("nan")]), equal_nan=True),
    lambda t: t.allclose(t.tensor(X), t.tensor(X)[0]),
    lambda t: t.tensor(X).allclose(t.tensor(X)),
    lambda t: t.nn.functional.one_hot(t.tensor([[2, 0], [1, 1]])),
    lambda t: t.nn.functional.one_hot(t.tensor([2, 0]), 5),
    lambda t: t.nn.functional.one_hot(t.tensor(1), num_classes=3),
    lambda t: t.nn.functional.one_hot(t.tensor([2, 0]), num_classes=-1),
    lambda t: t.isnan(t.tensor([1.0, float("nan")])),
    lambda t: t.tensor([1, 2]).isnan(),
)
def test_tests_of_values(case: Case) -> None:
    assert_same(case)


@cases(
    lambda t: t.allclose(t.tensor(X), t.tensor(X).float()),
    lambda t: t.tensor(X).sum(2),
    lambda t: t.tensor(X).sum(dim=0, axis=1),
    lambda t: t.tensor(X).cumsum(0, keepdims=True),
    lambda t: t.tensor(X).sum(nonsense=1),
    lambda t: t.tensor(X).sum("a"),
    lambda t: t.tensor(X).softmax(),
    lambda t: t.tensor(X).cumsum(),
    lambda t: t.tensor(X).amax(5),
    lambda t: t.tensor(X).max((0, 1)),
    lambda t: t.tensor(X).clamp(),
    lambda t: t.tensor(X).div(2, rounding_mode="up"),
    lambda t: t.maximum(t.tensor(X), 1.0),
    lambda t: t.tensor(X).maximum(1.0),
    lambda t: t.tensor(X).gather(1, t.tensor([0])),
    lambda t: t.tensor(X).gather(1, t.tensor([[0.0]])),
    lambda t: t.tensor(X).index_select(0, t.tensor([[0]])),
    lambda t: t.tensor(X).index_select(0, t.tensor([0.0])),
    lambda t: t.tensor(X).index_add(0, t.tensor([0, 1]), t.ones(1, 3)),
    lambda t: t.tensor(X).masked_fill(t.tensor(MASK), t.ones(2)),
    lambda t: t.tensor(X).masked_fill(t.tensor([1, 0, 1]), 1.0),
    lambda t: t.tensor(X).item(),
    lambda t: t.tensor(X).flip(),
    lambda t: t.tensor(X).split([-1, 3]),
    lambda t: t.arange(4).histogram(2),
    lambda t: t.tensor(X).histogram(0),
    lambda t: t.tensor(X).histogram(2, range=(1.0, 0.0)),
    lambda t: t.tensor([1.0, float("nan")]).histogram(2),
    lambda t: t.cat(t.tensor(1.0)),
    lambda t: t.cat([1.0, 2.0]),
    lambda t: t.stack([1.0, 2.0]),
    lambda t: t.mm(t.tensor(X), t.tensor(ROW)),
    lambda t: t.matmul(t.tensor(X), t.tensor(Y)),
    lambda t: t.tensor(X) @ t.tensor(ROW)[:2],
    lambda t: t.sum([1.0, 2.0]),
    lambda t: t.exp(1.0),
    lambda t: t.tanh(np.ones(2)),
    lambda t: t.square([1.0, 2.0]),
    lambda t: t.reshape(np.ones(2), (2, 1)),
    lambda t: t.softmax([1.0, 2.0], 0),
    lambda t: t.zeros_like([1.0]),
    lambda t: t.where([True], 1.0, 2.0),
    lambda t: t.clamp(None, 0, 1),
)
def test_calls_that_raise(case: Case) -> None:
    assert_same_error(case)
