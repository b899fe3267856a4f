"""The transforms of functions, beside torch.func's and torch.autograd.functional's, in float64."""

import gc
from collections.abc import Callable
from types import ModuleType
from typing import Any
from weakref import ref

import numpy as np
import pytest
import torch
import torch.autograd.functional
from both import assert_same_error, attempt, leaves, outcome
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import tinygrad_ninja

MATRIX = np.array([[0.5, -1.25, 2.0], [1.5, 0.75, -0.5]])
OTHER = np.array([[1.25, 0.5, -1.5], [-0.25, 2.5, 1.0]])
ROW = np.array([2.0, -0.5, 1.5])
LABELS = [2, 0]

SCALARS: dict[str, Callable[..., Any]] = {
    "products": lambda t, x, y: (x.tanh() * y**2).sum() + (x @ y.T).exp().mean(),
    "softmax": lambda t, x, y: t.nn.functional.cross_entropy(x * y, t.tensor(LABELS)),
    "batch norm": lambda t, x, y: (((x - x.mean(0)) * (x.var(0) + 1e-5) ** -0.5 * y).sigmoid() ** 3).sum(),
    "indices": lambda t, x, y: (x[:, [0, 0, 2]] * y.max(1, keepdim=True).values).prod(),
    "one argument": lambda t, x, y: (y * y).std(),
    "linear": lambda t, x, y: (x + y).sum(),
    "constant": lambda t, x, y: t.ones((), dtype=t.float64),
}
VECTORS: dict[str, Callable[..., Any]] = {
    "matrix": lambda t, x, y: (x @ y.T).sin(),
    "broadcast": lambda t, x, y: x.unsqueeze(1) * y.exp(),
    "tuple": lambda t, x, y: (x * y, x.sum(), y.log_softmax(1)),
    "nested": lambda t, x, y: {"a": x[0] * y, "b": [x.cumsum(1), (y**3, x)]},
    "empty": lambda t, x, y: (x * y)[:0],
    "constant": lambda t, x, y: t.ones(2, dtype=t.float64),
}
EVERY = {**SCALARS, **VECTORS}

Case = Callable[[Any], Any]


def functional(t: ModuleType) -> Any:
    return t.autograd.functional


def bound(t: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args: function(t, *args)


def inputs(t: Any, *values: np.ndarray) -> list[Any]:
    return [t.tensor(each) for each in values or (MATRIX, OTHER)]


def assert_same(case: Case) -> None:
    """Both give the same structure, and the same numbers to 1e-10 of the greatest of each tensor."""
    expected, actual = outcome(torch, case), outcome(tinygrad_ninja, case)
    for each in (expected, actual):
        if isinstance(each, Exception):
            raise each
    theirs, ours = list(leaves(torch, expected)), list(leaves(tinygrad_ninja, actual))
    assert [kind for kind, _ in ours] == [kind for kind, _ in theirs]
    for (kind, a), (_, b) in zip(theirs, ours, strict=True):
        scale = np.abs(a).max(initial=1.0)
        np.testing.assert_allclose(b, a, rtol=0, atol=1e-10 * scale, err_msg=kind)


@pytest.mark.parametrize("argnums", [0, 1, (0, 1), (1, 0), (1,)])
@pytest.mark.parametrize("name", SCALARS)
def test_grad_and_hessian(name: str, argnums: Any) -> None:
    def case(t: Any) -> Any:
        f = bound(t, SCALARS[name])
        x = inputs(t)
        return [
            t.func.grad(f, argnums)(*x),
            t.func.grad_and_value(f, argnums=argnums)(*x),
            t.func.hessian(f, argnums=argnums)(*x),
        ]

    assert_same(case)


def test_an_argument_counted_from_the_end() -> None:
    """torch 2.13's jacfwd, and so its hessian, of the last argument is zero: there argument 1 is judge."""

    def case(t: Any) -> Any:
        last = 1 if t is torch else -1
        f = bound(t, SCALARS["products"])
        return (
            t.func.grad(f, -1)(*inputs(t)),
            t.func.jacfwd(f, last)(*inputs(t)),
            t.func.hessian(f, last)(*inputs(t)),
        )

    assert_same(case)


@pytest.mark.parametrize("argnums", [0, (0, 1)])
@pytest.mark.parametrize("name", EVERY)
def test_jacobians(name: str, argnums: Any) -> None:
    def case(t: Any) -> Any:
        f = bound(t, EVERY[name])
        return t.func.jacrev(f, argnums)(*inputs(t)), t.func.jacfwd(f, argnums)(*inputs(t))

    assert_same(case)


@pytest.mark.parametrize("name", EVERY)
def test_products_with_the_jacobian(name: str) -> None:
    def case(t: Any) -> Any:
        f = bound(t, EVERY[name])
        x, y = inputs(t)
        output, vjp_fn = t.func.vjp(f, x, y)
        _, other = t.func.jvp(f, (x, y), (x * 2, y))
        return output, vjp_fn(output), vjp_fn(other), t.func.jvp(f, (x, y), (y, x * 3))

    assert_same(case)


NUMBERS = arrays(np.float64, (2, 3), elements=st.floats(-2, 2))


@settings(max_examples=20, deadline=None)
@given(NUMBERS, NUMBERS, st.sampled_from(["products", "softmax", "linear", "matrix", "broadcast"]))
def test_forward_and_backward_agree(x: np.ndarray, y: np.ndarray, name: str) -> None:
    """jvp is torch's, and w · (J v) = (wᵀ J) · v, whatever the numbers are."""

    def case(t: Any) -> Any:
        f = bound(t, EVERY[name])
        point, direction = inputs(t, x, OTHER), inputs(t, y, MATRIX)
        output, product = t.func.jvp(f, tuple(point), tuple(direction))
        _, vjp_fn = t.func.vjp(f, *point)
        weight = t.ones_like(output) * 0.5
        slopes = vjp_fn(weight)
        across = sum((slope * each).sum() for slope, each in zip(slopes, direction, strict=True))
        return product, (weight * product).sum() - across

    assert_same(case)
    scale = 1 + max(abs(float(np.abs(numbers).max(initial=0))) for _, numbers in leaves(torch, case(torch)))
    assert abs(case(tinygrad_ninja)[1].item()) < 1e-10 * scale


@settings(max_examples=20, deadline=None)
@given(NUMBERS, NUMBERS, st.sampled_from(["products", "softmax", "linear", "constant"]))
def test_hvp(x: np.ndarray, v: np.ndarray, name: str) -> None:
    def case(t: Any) -> Any:
        f = bound(t, SCALARS[name])
        point, direction = inputs(t, x, OTHER), inputs(t, v, MATRIX)
        alone = functional(t).hvp(lambda a: f(a, point[1]), point[0], direction[0])
        return functional(t).hvp(f, tuple(point), tuple(direction)), alone

    assert_same(case)


@pytest.mark.parametrize("name", ["matrix", "tuple", "constant", "products"])
def test_jacobian(name: str) -> None:
    def case(t: Any) -> Any:
        x, y = inputs(t)
        alone = functional(t).jacobian(lambda a: EVERY[name](t, a, y), x)
        return functional(t).jacobian(bound(t, EVERY[name]), (x, y)), alone

    assert_same(case)


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("name", ["matrix", "tuple", "products"])
def test_products_as_in_autograd_functional(name: str, create_graph: bool) -> None:
    def case(t: Any) -> Any:
        f = bound(t, EVERY[name])
        x, y = (z.requires_grad_() for z in inputs(t))
        out = f(x, y)
        weights = tuple(o.detach().cos() for o in out) if isinstance(out, tuple) else out.detach().cos()
        results = [
            functional(t).vjp(f, (x, y), weights, create_graph),
            functional(t).vjp(lambda a: f(a, y.detach()), x.detach(), weights),
            functional(t).jvp(f, (x, y), (y.detach(), x.detach()), create_graph),
            functional(t).jvp(lambda a: f(a, y.detach()), x.detach(), y.detach()),
        ]
        return results[0], results[2], results[1][1], results[3][1]

    assert_same(case)


@pytest.mark.parametrize("name", ["products", "softmax"])
def test_hessians_as_in_autograd_functional(name: str) -> None:
    def case(t: Any) -> Any:
        f, (x, y) = bound(t, SCALARS[name]), inputs(t)
        one = t.tensor([0.3], dtype=t.float64)
        return (
            functional(t).hessian(f, (x, y)),
            functional(t).hessian(lambda a: f(a, y).reshape(1, 1), x, vectorize=True),
            functional(t).vhp(f, (x, y), (y, x)),
            functional(t).vhp(lambda a: (a**3).sum(), one),
            functional(t).vjp(lambda a: (a**3).sum(), x),
            functional(t).jvp(lambda a: a**3, one),
        )

    assert_same(case)


def test_trees_of_arguments_cotangents_and_tangents() -> None:
    def case(t: Any) -> Any:
        def f(p: Any, x: Any) -> Any:
            h = (x @ p["w"] + p["b"][0]).tanh()
            return {"h": h, "rest": (h.sum(), p["b"][1] * x)}

        x, w = inputs(t, MATRIX, OTHER.T)
        p = {"w": w, "b": [t.tensor([0.5, 0.25], dtype=t.float64), t.tensor(3.0, dtype=t.float64)]}
        output, vjp_fn = t.func.vjp(f, p, x)
        tangents = ({"w": w * 2, "b": [p["b"][0] * 3, p["b"][1]]}, x)
        return [
            vjp_fn({"h": output["h"], "rest": (output["rest"][0] * 2, x)}),
            t.func.jvp(f, (p, x), tangents),
            t.func.jacrev(f, argnums=(0, 1))(p, x),
            t.func.jacfwd(f)(p, x),
            t.func.grad(lambda p, x: f(p, x)["h"].sum())(p, x),
        ]

    assert_same(case)


def test_aux_and_keyword_arguments() -> None:
    def case(t: Any) -> Any:
        x, y = inputs(t)

        def f(x: Any, *, y: Any) -> Any:
            h = x * y
            return (h**2).sum(), {"h": h, "y": y}

        def g(x: Any) -> Any:
            return f(x, y=y)

        output, vjp_fn, aux = t.func.vjp(g, x, has_aux=True)
        return [
            t.func.grad(f, has_aux=True)(x, y=y),
            t.func.grad_and_value(f, has_aux=True)(x, y=y),
            t.func.jacrev(g, has_aux=True)(x),
            t.func.jacfwd(g, has_aux=True)(x),
            (output, vjp_fn(output), aux),
            t.func.jvp(g, (x,), (y,), has_aux=True),
        ]

    assert_same(case)


def test_transforms_of_transforms() -> None:
    def case(t: Any) -> Any:
        grad, jvp, vjp, jacrev, jacfwd = (
            getattr(t.func, each) for each in ("grad", "jvp", "vjp", "jacrev", "jacfwd")
        )
        row = t.tensor(ROW)
        point = t.tensor(1.25, dtype=t.float64)

        def f(x: Any) -> Any:
            return (x.sin() * x**3).sum()

        return [
            grad(grad(grad(f)))(point),
            grad(lambda x: grad(lambda y: (x * y**2).sin())(point) * x)(point),
            jacfwd(jacfwd(f))(row),
            jacfwd(jacrev(f))(row),
            jacrev(jacfwd(f))(row),
            jacfwd(t.func.hessian(f))(row),
            grad(lambda x: jvp(f, (x,), (row,))[1])(row),
            jvp(lambda x: jvp(f, (x,), (x * 2,))[1], (row,), (row,)),
            jvp(lambda v: vjp(lambda x: x**3 * v, row)[1](v)[0], (row,), (row * 2,)),
            grad(lambda v: vjp(lambda x: x**3, row)[1](v)[0].sum())(row),
            grad(lambda v: (jvp(lambda x: x**3, (row,), (v,))[1] ** 2).sum())(row),
        ]

    assert_same(case)


def test_what_needs_a_gradient_outside_gets_one() -> None:
    """A result is recorded where something outside of the transform asks for its gradient, and only there."""

    def case(t: Any) -> Any:
        x, y = inputs(t)
        w = t.tensor(OTHER, requires_grad=True)
        slope, value = t.func.grad_and_value(lambda x: (w * x**3).sum())(x)
        (slope.sum() + value).backward()
        product = t.func.vjp(lambda x: x**2, x)[1](w)[0]
        products = [t.func.jvp(lambda x: x**2, (x,), (w,))[1], t.func.jacrev(lambda x: x**2)(w)]
        with t.no_grad():
            within = t.func.grad(lambda w: (w**3).sum())(w)
        plain = [t.func.grad(lambda x: (x**2).sum())(x), t.func.vjp(lambda x: x * y, x)[0]]
        recorded = functional(t).hvp(lambda w: (w**3).sum(), w, y, create_graph=True)
        forgotten = functional(t).hvp(lambda w: (w**3).sum(), w, y)
        return [slope, value, w.grad, product, products, within, plain, recorded, forgotten]

    assert_same(case)


def test_nothing_is_kept() -> None:
    """The record of a call dies with what it returned, and no argument has got a gradient."""
    x = tinygrad_ninja.tensor(ROW)
    seen: list[Any] = []

    def f(x: Any) -> Any:
        h = x.exp()
        seen.append(ref(h.grad_fn))
        return h.sum()

    gc.disable()
    try:
        slope = tinygrad_ninja.func.grad(f)(x)
        tinygrad_ninja.func.jvp(f, (x,), (x,))
        assert [each() for each in seen] == [None, None]
    finally:
        gc.enable()
    assert slope.grad_fn is None
    assert x.grad is None
    assert not x.requires_grad


def test_functional_call() -> None:
    def case(t: Any) -> Any:
        t.manual_seed(7)
        model = t.nn.Sequential(t.nn.Linear(3, 4), t.nn.Tanh(), t.nn.Linear(4, 2)).to(t.float64)
        parameters = {name: value.detach() * 2 for name, value in model.named_parameters()}
        x = t.tensor(MATRIX)
        call = t.func.functional_call
        before = {name: value.detach().clone() for name, value in model.named_parameters()}
        results = [
            call(model, parameters, (x,)),
            call(model, parameters, x),
            call(model, {"0.weight": parameters["0.weight"], "unknown": x}, x),
            t.func.grad(lambda p: (call(model, p, x) ** 2).sum())(parameters),
            attempt(call, model, {"unknown": x}, x, strict=True),
        ]
        after = dict(model.named_parameters())
        return results, [(before[name] == after[name]).all() for name in before], model(x)

    assert_same(case)


@pytest.mark.parametrize(
    ("case", "message"),
    [
        (lambda t: t.func.grad(lambda x: x * 2)(t.tensor(ROW)), "scalar Tensor"),
        (lambda t: t.func.grad(lambda x: 3.0)(t.tensor(ROW)), "Tensor"),
        (lambda t: t.func.grad(lambda x: x.sum())(3.0), "Tensor"),
        (lambda t: t.func.grad(lambda x: x.sum())(t.tensor([1, 2])), "floating point"),
        (lambda t: t.func.grad(lambda x: x.sum(), argnums=1)(t.tensor(ROW)), "argnum"),
        (lambda t: t.func.grad(lambda x: x.sum(), argnums=(0, 0))(t.tensor(ROW)), "unique"),
        (lambda t: t.func.grad(lambda x: x.sum(), argnums=())(t.tensor(ROW)), "empty"),
        (lambda t: t.func.grad(lambda x: x.sum(), has_aux=True)(t.tensor(ROW)), "aux"),
        (lambda t: t.func.vjp(lambda x: (x, 1), t.tensor(ROW)), "tensor"),
        (lambda t: t.func.vjp(lambda x: x.long(), t.tensor(ROW)), "floating"),
        (lambda t: t.func.vjp(lambda x: x, t.tensor(ROW))[1](t.ones(2)), "shape"),
        (lambda t: t.func.vjp(lambda x: (x, x), t.tensor(ROW))[1](t.ones(3)), "structure"),
        (lambda t: t.func.jvp(lambda x: x, t.tensor(ROW), t.tensor(ROW)), "tuple"),
        (lambda t: t.func.jvp(lambda x: x, (t.tensor(ROW),), (t.ones(2),)), ""),
        (lambda t: functional(t).hvp(lambda x: x * 2, t.tensor(ROW), t.tensor(ROW)), "single element"),
        (lambda t: functional(t).hvp(lambda x: x.sum(), t.tensor(ROW)), "None"),
        (lambda t: functional(t).jacobian(lambda x: x, [t.tensor(ROW)]), "tuple"),
        (lambda t: functional(t).hessian(lambda x: x, t.tensor(ROW)), "single element"),
        (lambda t: functional(t).vjp(lambda x: x, t.tensor(ROW)), "None"),
        (lambda t: functional(t).jvp(lambda x: x, t.tensor(ROW)), "None"),
        (lambda t: functional(t).vjp(lambda x: x.sum(), t.tensor(ROW), t.tensor(ROW)), ""),
    ],
)  # fmt: skip
def test_errors(case: Case, message: str) -> None:
    assert_same_error(case, message)


MAPPED = [
    lambda t, x, y: t.vmap(lambda a, b: (a * b).sum())(x, y),
    lambda t, x, y: t.func.vmap(lambda a, b: (a * b, {"s": a.sum()}))(x, y),
    lambda t, x, y: t.func.vmap(lambda a, b: a @ b, in_dims=(0, None))(x, y.T),
    lambda t, x, y: t.func.vmap(lambda a, b: a * b, in_dims=1, out_dims=1)(x, y),
    lambda t, x, y: t.func.vmap(lambda a, b: (a, b), in_dims=-1, out_dims=(0, -1))(x, y),
    lambda t, x, y: t.func.vmap(lambda d, b: d["x"] * d["y"][0] + b, in_dims=({"x": 0, "y": None}, 0))(
        {"x": x, "y": [y[0]]}, y
    ),
    lambda t, x, y: t.func.vmap(lambda a, w: a * w)(x, w=y),
    lambda t, x, y: t.func.vmap(lambda a, b: a * b, chunk_size=1)(x, y),
    lambda t, x, y: t.func.vmap(lambda a, k: a * k, in_dims=(0, None))(x, 3),
    lambda t, x, y: t.func.vmap(t.func.vmap(lambda a, b: a.sin() * b))(x, y),
    lambda t, x, y: t.func.vmap(t.func.grad(lambda a, b: (a**2 * b).sum()))(x, y),
    lambda t, x, y: t.func.vmap(t.func.jacrev(lambda a: a**3))(x),
    lambda t, x, y: t.func.vmap(lambda v: t.func.vjp(lambda a: a.sin(), x)[1](v))(y.expand(4, 2, 3)),
    lambda t, x, y: t.func.jacrev(t.func.vmap(lambda a: (a**2).sum()))(x),
    lambda t, x, y: t.func.grad(lambda a: t.func.vmap(lambda r: r.exp().sum())(a).prod())(x),
    lambda t, x, y: t.func.vmap(lambda a: t.ones(2))(x),
    lambda t, x, y: t.func.vmap(lambda a: a * 2)(x[:0]),
    lambda t, x, y: (x.requires_grad_(), t.autograd.grad(t.vmap(lambda a: a**2)(x).sum(), x))[1],
]


@pytest.mark.parametrize("function", MAPPED)
def test_vmap(function: Callable[..., Any]) -> None:
    assert_same(lambda t: function(t, *inputs(t)))


@pytest.mark.parametrize("randomness", ["same", "different"])
def test_what_a_mapped_function_draws(randomness: str) -> None:
    drawn = tinygrad_ninja.vmap(lambda a: tinygrad_ninja.rand(3), randomness=randomness)(
        tinygrad_ninja.ones(2)
    )
    assert (drawn[0] == drawn[1]).all().item() == (randomness == "same")
    assert not (drawn[1] == tinygrad_ninja.rand(3)).any()


@pytest.mark.parametrize(
    "case",
    [
        lambda t: t.vmap(lambda a: 3)(t.ones(2)),
        lambda t: t.vmap(lambda a: a)(3),
        lambda t: t.vmap(lambda a, b: a + b)(t.ones(2, 3), t.ones(3)),
        lambda t: t.vmap(lambda a: a, in_dims=2)(t.ones(2, 3)),
        lambda t: t.vmap(lambda a: a, in_dims=(None,))(t.ones(2, 3)),
        lambda t: t.vmap(lambda a, b: a, in_dims=(0,))(t.ones(2), t.ones(2)),
        lambda t: t.vmap(lambda a: (a, a), out_dims=(0, 1, 2))(t.ones(2)),
        lambda t: t.vmap(lambda a: a)(),
        lambda t: t.vmap(lambda a: t.rand(2))(t.ones(2)),
        lambda t: t.vmap(lambda a: t.rand(2000))(t.ones(2)),
        lambda t: t.vmap(lambda a: a, randomness="never")(t.ones(2)),
    ],
)
def test_errors_of_vmap(case: Case) -> None:
    assert_same_error(case)
