"""Convolution and pooling along a sequence: values, first and second derivatives, layers and errors of
torch's."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from both import Case, assert_same, assert_same_error, cases, gradients

import tinygrad_ninja

draw = np.random.default_rng(6)
X = draw.standard_normal((3, 4, 9))
W = draw.standard_normal((6, 4, 3))
GROUPED = draw.standard_normal((6, 2, 3))
BIAS = draw.standard_normal(6)

OPTIONS: list[dict[str, Any]] = [
    {},
    {"stride": 2},
    {"stride": (2,), "padding": 2},
    {"padding": (1,), "dilation": 2},
    {"padding": "same"},
    {"padding": "same", "dilation": (3,)},
    {"padding": "valid"},
    {"stride": 3, "padding": 4, "dilation": 4},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("groups", [1, 2])
def test_convolution(options: dict[str, Any], groups: int) -> None:
    weight = W if groups == 1 else GROUPED
    for x in (X, X[0]):
        case = gradients(
            lambda t, x, w, b: t.nn.functional.conv1d(x, w, b, **options, groups=groups), x, weight, BIAS
        )
        assert_same(case, ulps=64, scaled=True)


POOLS: list[tuple[str, dict[str, Any]]] = [
    ("avg_pool1d", {"kernel_size": 2}),
    ("avg_pool1d", {"kernel_size": (3,), "stride": 1}),
    ("avg_pool1d", {"kernel_size": 4, "stride": 3, "padding": 2}),
    ("avg_pool1d", {"kernel_size": 4, "stride": 3, "padding": 2, "count_include_pad": False}),
    ("avg_pool1d", {"kernel_size": 4, "stride": 2, "padding": 1, "ceil_mode": True}),
    ("avg_pool1d", {"kernel_size": 2, "stride": 3, "padding": 1, "ceil_mode": True}),
    (
        "avg_pool1d",
        {"kernel_size": 4, "stride": 2, "padding": 1, "ceil_mode": True, "count_include_pad": False},
    ),
    ("max_pool1d", {"kernel_size": 2}),
    ("max_pool1d", {"kernel_size": (3,), "stride": (1,)}),
    ("max_pool1d", {"kernel_size": 4, "stride": 3, "padding": 2}),
    ("max_pool1d", {"kernel_size": 4, "stride": 2, "padding": 1, "ceil_mode": True}),
    ("max_pool1d", {"kernel_size": 3, "stride": 2, "padding": 1, "dilation": 2}),
    ("max_pool1d", {"kernel_size": 2, "stride": 5, "ceil_mode": True}),
]


@pytest.mark.parametrize(("name", "options"), POOLS, ids=str)
def test_pooling(name: str, options: dict[str, Any]) -> None:
    for x in (X, X[0], np.round(X)):  # with ties
        case = gradients(lambda t, x: getattr(t.nn.functional, name)(x, **options), x)
        assert_same(case, ulps=16)


@pytest.mark.parametrize("options", [options for name, options in POOLS if name == "max_pool1d"], ids=str)
def test_where_the_largest_stand(options: dict[str, Any]) -> None:
    assert_same(lambda t: t.nn.functional.max_pool1d(t.tensor(X), **options, return_indices=True))
    assert_same(lambda t: t.nn.functional.max_pool1d(t.tensor(np.round(X)), **options, return_indices=True))


INFINITE = np.array([[[-np.inf, -np.inf, 1, np.nan, 2, -np.inf, -np.inf]]])


@cases(
    lambda t: t.nn.functional.max_pool1d(t.tensor(INFINITE), 2, 1, 1, return_indices=True),
    lambda t: t.nn.functional.max_pool1d(t.tensor(INFINITE), 3, 2, 1, return_indices=True),
    lambda t: t.nn.functional.max_pool1d_with_indices(t.tensor(X), 2),
    lambda t: t.nn.functional.max_pool1d(t.ones(0, 1, 4), 3),
    lambda t: t.nn.functional.avg_pool1d(t.ones(0, 1, 4), 3),
    lambda t: t.nn.functional.avg_pool1d(t.arange(-8, 10).reshape(1, 2, 9), 4, 3, 1, True, False),
    lambda t: t.nn.functional.conv1d(t.ones(0, 1, 4), t.ones(1, 1, 2)),
    lambda t: t.conv1d(t.arange(12).reshape(1, 2, 6), t.ones(1, 2, 2, dtype=t.int64)),
    lambda t: t.conv1d(t.tensor(X), t.tensor(W)).is_contiguous(),
    lambda t: t.conv1d(t.tensor(X), t.tensor(GROUPED), t.tensor(BIAS), groups=2).stride(),
    lambda t: t.avg_pool1d(t.tensor(X), 3) + t.max_pool1d(t.tensor(X), 3),
)
def test_particular_values(case: Case) -> None:
    assert_same(case, ulps=16)


def test_second_derivatives() -> None:
    def case(t: Any) -> Any:
        leaves = [t.tensor(values, requires_grad=True) for values in (X, GROUPED, BIAS)]
        x, w, b = leaves
        out = t.nn.functional.conv1d(x, w, b, 2, 1, groups=2)
        pooled = t.nn.functional.max_pool1d(out.tanh(), 2) * t.nn.functional.avg_pool1d(out, 2)
        slopes = t.autograd.grad(pooled.sum(), leaves, create_graph=True)
        return t.autograd.grad(sum((slope * slope).sum() for slope in slopes), leaves)

    assert_same(case, ulps=256, scaled=True)


@cases(
    lambda t: t.nn.functional.conv1d(t.ones(4), t.ones(1, 1, 2)),
    lambda t: t.nn.functional.conv1d(t.ones(1, 2, 4), t.ones(1, 1, 2)),
    lambda t: t.nn.functional.conv1d(t.ones(1, 2, 4), t.ones(3, 1, 2), groups=2),
    lambda t: t.nn.functional.conv1d(t.ones(1, 1, 4), t.ones(1, 1, 5)),
    lambda t: t.nn.functional.conv1d(t.ones(1, 1, 4), t.ones(1, 1, 2), t.ones(2)),
    lambda t: t.nn.functional.conv1d(t.ones(1, 1, 4), t.ones(1, 1, 2).double()),
    lambda t: t.nn.functional.conv1d(t.ones(1, 1, 4), t.ones(1, 2)),
    lambda t: t.nn.functional.conv1d(t.ones(1, 1, 4), t.ones(1, 1, 2), padding=-1),
    lambda t: t.nn.functional.conv1d(t.ones(1, 1, 4), t.ones(1, 1, 2), stride=(1, 2)),
    lambda t: t.nn.functional.conv1d(t.ones(1, 1, 4), t.ones(1, 1, 2), stride=0),
    lambda t: t.nn.functional.conv1d(t.ones(1, 1, 4), t.ones(1, 1, 2), stride=2, padding="same"),
    lambda t: t.nn.functional.conv1d(t.ones(1, 1, 4), t.ones(1, 1, 2), padding="nonsense"),
    lambda t: t.nn.functional.max_pool1d(t.ones(1, 1, 4), 2, padding=2),
    lambda t: t.nn.functional.max_pool1d(t.ones(1, 1, 4), 2, 0),
    lambda t: t.nn.functional.max_pool1d(t.ones(1, 1, 4), 5),
    lambda t: t.nn.functional.max_pool1d(t.ones(4), 2),
    lambda t: t.nn.functional.max_pool1d(t.ones(1, 0, 4), 2),
    lambda t: t.nn.functional.max_pool1d(t.ones(1, 1, 4), (2, 2)),
    lambda t: t.nn.functional.max_pool1d(t.ones(1, 1, 4).long(), 2),
    lambda t: t.nn.functional.avg_pool1d(t.ones(4), 2),
    lambda t: t.nn.functional.avg_pool1d(t.ones(1, 1, 4), 5),
    lambda t: t.nn.functional.avg_pool1d(t.ones(1, 1, 4), 2, padding=2),
    lambda t: t.nn.functional.avg_pool1d(t.ones(1, 1, 4).int(), 2),
    lambda t: t.nn.Conv1d(4, 6, 3, groups=3),
    lambda t: t.nn.Conv1d(4, 5, 3, groups=2),
    lambda t: t.nn.Conv1d(4, 4, 3, groups=0),
    lambda t: t.nn.Conv1d(4, 4, 3, padding="nonsense"),
    lambda t: t.nn.Conv1d(4, 4, 3, stride=2, padding="same"),
    lambda t: t.nn.Conv1d(4, 4, 3, padding_mode="nonsense"),
    lambda t: t.nn.Conv1d(4, 4, 3)(t.ones(1, 3, 9)),
)
def test_calls_that_raise(case: Case) -> None:
    assert_same_error(case)


Layer = Callable[[Any], Any]
LAYERS: list[Layer] = [
    lambda t: t.nn.Conv1d(4, 6, 3),
    lambda t: t.nn.Conv1d(4, 6, (3,), stride=2, padding=(1,), dilation=2, groups=2, bias=False),
    lambda t: t.nn.Conv1d(4, 2, 4, padding="same", padding_mode="circular"),
    lambda t: t.nn.Conv1d(4, 2, 3, padding=2, padding_mode="reflect"),
    lambda t: t.nn.Conv1d(4, 2, 3, padding="valid", padding_mode="replicate"),
    lambda t: t.nn.Conv1d(4, 2, 2, padding="same"),
    lambda t: t.nn.AvgPool1d(3, 2, 1, ceil_mode=True, count_include_pad=False),
    lambda t: t.nn.AvgPool1d((2,)),
    lambda t: t.nn.MaxPool1d(3, 2, 1, ceil_mode=True),
    lambda t: t.nn.MaxPool1d(2, dilation=2),
]


@pytest.mark.parametrize("make", LAYERS)
def test_layers(make: Layer) -> None:
    """Parameters of one seed, repr, output, gradients; and the layer that crosses to PyTorch and back."""

    def case(t: Any) -> Any:
        t.manual_seed(0)
        layer = make(t)
        drawn = {name: value.clone() for name, value in layer.state_dict().items()}
        leaf = t.tensor(X, requires_grad=True)
        out = layer.double()(leaf)
        (out * t.arange(1.0, out.numel() + 1).reshape(out.shape)).sum().backward()
        slopes = [parameter.grad for parameter in layer.parameters()]
        return repr(layer), drawn, out.detach(), leaf.grad, slopes, t.rand(2)

    assert_same(case, ulps=128, scaled=True)
    t = tinygrad_ninja
    layer = make(t)
    theirs = t.to_torch(layer)
    back = t.from_torch(theirs)
    assert repr(theirs) == repr(layer) == repr(back)
    x = t.tensor(X.astype(np.float32))
    expected = theirs(t.to_torch(x)).detach().numpy()
    for ours in (layer, back):
        np.testing.assert_allclose(ours(x).detach().numpy(), expected, rtol=1e-5, atol=1e-6)


def test_pairs_of_a_pooling_layer() -> None:
    assert_same(lambda t: t.nn.MaxPool1d(2, return_indices=True)(t.tensor(X)))


def test_compiled_and_derived() -> None:
    t = tinygrad_ninja
    F = t.nn.functional
    x, y = t.tensor(X.astype(np.float32)), t.tensor([0, 1, 1])
    model = t.nn.Sequential(
        t.nn.Conv1d(4, 6, 3, padding="same", groups=2), t.nn.ReLU(), t.nn.MaxPool1d(3, 2, 1),
        t.nn.Conv1d(6, 2, 2, stride=2), t.nn.AvgPool1d(2), t.nn.Flatten(),
    )  # fmt: skip
    optimizer = t.optim.SGD(model.parameters(), lr=0.0)

    def step() -> Any:
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    expected = step().item()
    slopes = [parameter.grad.clone() for parameter in model.parameters()]
    compiled = t.compile(step, fullgraph=True)
    for _ in range(3):
        assert compiled().item() == pytest.approx(expected, rel=1e-5)
    for parameter, slope in zip(model.parameters(), slopes, strict=True):
        np.testing.assert_allclose(parameter.grad.numpy(), slope.numpy(), rtol=1e-4, atol=1e-6)
    assert t.derive(F.cross_entropy(model(x), y), names={"x": x}).source("numpy")
