"""Elementwise nonlinearities and pad: values, first and second derivatives, dtypes and errors of torch's."""

from typing import Any

import numpy as np
import pytest
from both import Case, assert_same, assert_same_error, attempt, cases, gradients

import tinygrad_ninja

draw = np.random.default_rng(0)
NUMBERS = np.concatenate([draw.standard_normal(16) * 3, [0.0, -1.0, 1.0, 6.0, -30.0, 30.0, 50.0, -50.0]])
MATRIX = NUMBERS.reshape(4, 6)
EDGES = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 800.0, -800.0, 1e-20, -1e-20])
QUARTER = np.array([0.25])
SLOPES = np.array([0.5, -0.25, 0.0, 2.0, 1.0, 0.1])

FUNCTIONS: list[tuple[str, dict[str, Any]]] = [
    ("leaky_relu", {}),
    ("leaky_relu", {"negative_slope": 0.3}),
    ("elu", {}),
    ("elu", {"alpha": 0.5}),
    ("selu", {}),
    ("celu", {}),
    ("celu", {"alpha": 2.5}),
    ("silu", {}),
    ("mish", {}),
    ("softplus", {}),
    ("softplus", {"beta": 0.5, "threshold": 2}),
    ("softsign", {}),
    ("logsigmoid", {}),
    ("hardtanh", {}),
    ("hardtanh", {"min_val": -2, "max_val": 0.5}),
    ("relu6", {}),
    ("glu", {}),
    ("glu", {"dim": 0}),
]
each_function = pytest.mark.parametrize(
    ("name", "options"), FUNCTIONS, ids=[f"{name} {options}" for name, options in FUNCTIONS]
)
IN_PLACE = [*FUNCTIONS[:9], *FUNCTIONS[13:16]]


@each_function
def test_values_and_gradients(name: str, options: dict[str, Any]) -> None:
    assert_same(
        gradients(lambda t, x: getattr(t.nn.functional, name)(x, **options), MATRIX), ulps=16, scaled=True
    )


@each_function
def test_second_derivatives(name: str, options: dict[str, Any]) -> None:
    def case(t: Any) -> Any:
        x = t.tensor(MATRIX + 0.01, requires_grad=True)  # beside the kinks
        out = getattr(t.nn.functional, name)(x, **options)
        weights = t.linspace(0.5, 1.5, out.numel(), dtype=out.dtype).reshape(out.shape)
        (slope,) = t.autograd.grad((out * weights).sum(), x, create_graph=True)
        (curvature,) = t.autograd.grad((slope * slope + x * 0).sum(), x)
        return slope.detach(), curvature

    assert_same(case, ulps=64, scaled=True)


@each_function
def test_edges_and_dtypes(name: str, options: dict[str, Any]) -> None:
    """Infinities, large and small numbers, no elements, a single number; other dtypes, or their errors."""

    def case(t: Any) -> Any:
        f = getattr(t.nn.functional, name)
        given = [t.tensor(values) for values in (EDGES, EDGES[:8], 1.5, np.ones((0, 2)))]
        given += [t.tensor(MATRIX[:, :2]).abs().to(d) for d in (t.float32, t.int64, t.uint8, t.bool)]
        return [attempt(f, x, **options) for x in given]

    assert_same(case, ulps=8)


@pytest.mark.parametrize("name", ["elu", "softplus", "logsigmoid", "mish", "silu"])
def test_float32_keeps_its_digits(name: str) -> None:
    """Where 1 + eˣ would round the power of e away."""
    numbers = np.linspace(-15, 15, 61, dtype=np.float32)
    assert_same(lambda t: getattr(t.nn.functional, name)(t.tensor(numbers)), ulps=8)


@pytest.mark.parametrize(("name", "options"), IN_PLACE)
def test_in_place(name: str, options: dict[str, Any]) -> None:
    def inner(t: Any, x: Any) -> Any:
        y = x * 1
        out = getattr(t.nn.functional, name)(y, **options, inplace=True)
        assert out is y
        return out

    assert_same(gradients(inner, MATRIX), ulps=32, scaled=True)
    leaf = tinygrad_ninja.ones(2, 2, requires_grad=True)
    with pytest.raises(RuntimeError, match="leaf"):
        getattr(tinygrad_ninja.nn.functional, name)(leaf, **options, inplace=True)


@cases(
    gradients(lambda t, x: t.nn.functional.leaky_relu_(x * 1, 0.2), MATRIX),
    gradients(lambda t, x: t.nn.functional.relu_(x * 1), MATRIX),
    gradients(lambda t, x: t.nn.functional.elu_(x * 1, 0.5), MATRIX),
    gradients(lambda t, x: t.nn.functional.hardtanh_(x * 1, -2.0, 2.0), MATRIX),
    gradients(lambda t, x: t.nn.functional.selu_(x * 1), MATRIX),
    gradients(lambda t, x: t.nn.functional.celu_(x * 1, 0.5), MATRIX),
    gradients(lambda t, x: t.selu_(x * 1) + t.celu_(x * 1) + t.selu(x) + t.celu(x), MATRIX),
    gradients(lambda t, x, w: t.prelu(x, w), MATRIX, SLOPES),
    gradients(lambda t, x, w: x.prelu(w), MATRIX, QUARTER),
    gradients(lambda t, x, w: t.nn.functional.prelu(x, w), MATRIX, QUARTER[0]),
    gradients(lambda t, x, w: t.nn.functional.prelu(x, w), MATRIX[0], QUARTER),
    gradients(lambda t, x, w: t.nn.functional.prelu(x, w), MATRIX.reshape(2, 6, 2), SLOPES),
    gradients(lambda t, x, w: t.nn.functional.prelu(x, w), np.array(-1.5), QUARTER),
    gradients(lambda t, x: t.nn.functional.softplus(x, 3.0), MATRIX),
)
def test_other_forms(case: Case) -> None:
    assert_same(case, ulps=32, scaled=True)


@cases(
    lambda t: t.nn.functional.glu(t.ones(3, 3)),
    lambda t: t.nn.functional.glu(t.tensor(1.0)),
    lambda t: t.nn.functional.glu(t.ones(2, 2), 2),
    lambda t: t.nn.functional.prelu(t.ones(2, 3), t.ones(2)),
    lambda t: t.nn.functional.prelu(t.ones(2, 3), t.ones(1, 3)),
    lambda t: t.nn.functional.prelu(t.tensor(1.0), t.ones(3)),
    lambda t: t.nn.functional.prelu(t.ones(2, 3), t.ones(3).double()),
    lambda t: t.nn.functional.celu(t.ones(2), 0.0),
    lambda t: t.nn.functional.hardtanh(t.ones(2), 1.0, -1.0),
    lambda t: t.nn.Hardtanh(1.0, 1.0),
    lambda t: t.nn.functional.silu([1.0]),
    lambda t: t.nn.functional.pad(t.ones(2), (1, 1, 1, 1)),
    lambda t: t.nn.functional.pad(t.ones(2), (1,)),
    lambda t: t.nn.functional.pad(t.ones(2), (-2, -1)),
    lambda t: t.nn.functional.pad(t.ones(1, 2), (2, 0), mode="reflect"),
    lambda t: t.nn.functional.pad(t.ones(1, 2), (3, 0), mode="circular"),
    lambda t: t.nn.functional.pad(t.ones(2), (1, 1), mode="reflect"),
    lambda t: t.nn.functional.pad(t.ones(1, 1, 1, 2), (1, 1), mode="replicate"),
    lambda t: t.nn.functional.pad(t.ones(1, 2), (1, 1), mode="nonsense"),
    lambda t: t.nn.functional.pad(t.ones(1, 3), (1, 1), mode="reflect", value=2.0),
    lambda t: t.nn.functional.pad(t.ones(1, 0), (1, 1), mode="replicate"),
)
def test_calls_that_raise(case: Case) -> None:
    assert_same_error(case)


IMAGES = draw.standard_normal((2, 3, 4, 5))
PADS = [(1, 2), (0, 0), (2, 0), (-1, 2), (-1, -2), (3, -2), (1, 2, 3, 0), (-1, 1, 0, -2)]


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("pads", PADS, ids=str)
@pytest.mark.parametrize("ndim", [2, 3, 4])
def test_pad(mode: str, pads: tuple[int, ...], ndim: int) -> None:
    x = IMAGES[(0,) * (4 - ndim)]
    if mode == "constant" or ndim - len(pads) // 2 in (1, 2):
        case = gradients(lambda t, x: t.nn.functional.pad(x, pads, mode), x)
        assert_same(case)
    else:
        assert_same_error(lambda t: t.nn.functional.pad(t.tensor(x), pads, mode))


@cases(
    lambda t: t.nn.functional.pad(t.arange(3), (1, 2), value=7),
    lambda t: t.nn.functional.pad(t.arange(3), (1, 2), "constant", 0.5),
    lambda t: t.nn.functional.pad(t.ones(2, dtype=t.bool), (1, 0)),
    lambda t: t.nn.functional.pad(t.ones(0, 3), (1, 0, 2, 0), value=-1.0),
    lambda t: t.nn.functional.pad(t.ones(2, 3), ()),
    lambda t: t.nn.functional.pad(t.arange(6).reshape(1, 2, 3), (1, 1, 1, 1), "reflect"),
)
def test_pad_of_other_numbers(case: Case) -> None:
    assert_same(case)


def test_compiled_and_derived() -> None:
    t = tinygrad_ninja
    F = t.nn.functional
    x = t.tensor(MATRIX[:, :4].astype(np.float32), requires_grad=True)
    w = t.tensor([0.1, 0.2, 0.3, 0.4], requires_grad=True)

    def step() -> Any:
        h = F.silu(x) + F.elu(x) + F.mish(x) + F.softplus(x) + F.prelu(x, w) + F.hardtanh(x)
        loss = (F.pad(h, (1, 2), "circular") * F.logsigmoid(x).sum() + F.leaky_relu(h, 0.2).sum()).sum()
        x.grad = w.grad = None
        loss.backward()
        return loss

    eager = step().item(), x.grad.clone(), w.grad.clone()
    compiled = t.compile(step, fullgraph=True)
    for _ in range(3):
        loss = compiled().item()
    np.testing.assert_allclose(loss, eager[0], rtol=1e-5)
    np.testing.assert_allclose(x.grad.numpy(), eager[1].numpy(), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(w.grad.numpy(), eager[2].numpy(), rtol=1e-4, atol=1e-4)
    loss = F.celu(x, 0.5).sum() + F.glu(x).sum() + F.relu6(x).sum()
    text = t.derive(loss, names={"x": x}).source("numpy")
    assert "expm1" in text
