"""Losses of two Tensors of one shape: values, first and second derivatives, edges and errors of torch's."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from both import Case, assert_same, assert_same_error, cases, gradients

import tinygrad_ninja

draw = np.random.default_rng(4)
INPUT, TARGET = draw.standard_normal((3, 4)) * 2, draw.standard_normal((3, 4))
WEIGHT = draw.uniform(0.5, 2, (3, 4))
P, Q = draw.uniform(0.05, 0.95, (3, 4)), draw.uniform(0.05, 0.95, (3, 4))
EDGES = np.array([0.0, 1.0, 0.0, 1.0, 1e-14, 1 - 1e-14, 0.5])
RIGHT = np.array([0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.5])
REDUCTIONS = ["mean", "sum", "none"]

Loss = Callable[..., Any]
LOSSES: dict[str, tuple[Loss, tuple[np.ndarray, ...]]] = {
    "l1": (lambda F, x, y, **k: F.l1_loss(x, y, **k), (INPUT, TARGET)),
    "l1 weighted": (lambda F, x, y, w, **k: F.l1_loss(x, y, weight=w, **k), (INPUT, TARGET, WEIGHT)),
    "l1 broadcast": (lambda F, x, y, **k: F.l1_loss(x, y, **k), (INPUT, TARGET[:1])),
    "mse": (lambda F, x, y, **k: F.mse_loss(x, y, **k), (INPUT, TARGET)),
    "smooth": (lambda F, x, y, **k: F.smooth_l1_loss(x, y, **k), (INPUT, TARGET)),
    "smooth beta": (lambda F, x, y, **k: F.smooth_l1_loss(x, y, beta=0.3, **k), (INPUT, TARGET)),
    "smooth 0": (lambda F, x, y, **k: F.smooth_l1_loss(x, y, beta=0.0, **k), (INPUT, TARGET)),
    "huber": (lambda F, x, y, **k: F.huber_loss(x, y, **k), (INPUT, TARGET)),
    "huber delta": (
        lambda F, x, y, w, **k: F.huber_loss(x, y, delta=0.7, weight=w, **k), (INPUT, TARGET, WEIGHT)
    ),
    "kl": (lambda F, x, y, **k: F.kl_div(x, y, **k), (INPUT, Q)),
    "kl of logs": (lambda F, x, y, **k: F.kl_div(x, y, log_target=True, **k), (INPUT, TARGET)),
    "bce": (lambda F, x, y, **k: F.binary_cross_entropy(x, y, **k), (P, Q)),
    "logits": (lambda F, x, y, **k: F.binary_cross_entropy_with_logits(x, y, **k), (INPUT, Q)),
    "logits pos": (
        lambda F, x, y, **k: F.binary_cross_entropy_with_logits(
            x, y, pos_weight=(x[0] * 0 + 2).detach(), **k
        ),
        (INPUT, Q),
    ),
}  # fmt: skip


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", LOSSES)
def test_values_and_gradients(name: str, reduction: str) -> None:
    loss, inputs = LOSSES[name]
    assert_same(
        gradients(lambda t, *xs: loss(t.nn.functional, *xs, reduction=reduction), *inputs),
        ulps=32,
        scaled=True,
    )


@pytest.mark.parametrize("name", [name for name in LOSSES if name not in ("l1", "l1 broadcast", "smooth 0")])
def test_second_derivatives(name: str) -> None:
    loss, inputs = LOSSES[name]
    assert_same(second_derivatives(loss, *inputs), ulps=256, scaled=True)


def second_derivatives(loss: Loss, *inputs: np.ndarray) -> Case:
    """The case that differentiates the squares of the two inputs' gradients."""

    def case(t: Any) -> Any:
        leaves = [t.tensor(values, requires_grad=True) for values in inputs]
        total = loss(t.nn.functional, *leaves, reduction="sum")
        slopes = t.autograd.grad(total, leaves[:2], create_graph=True)
        squares = sum((slope * slope).sum() for slope in slopes)
        return t.autograd.grad(squares + sum((leaf * 0).sum() for leaf in leaves), leaves[:2])

    return case


@pytest.mark.parametrize("k", range(len(EDGES)))
def test_second_derivatives_of_probabilities_near_0_and_1(k: int) -> None:
    edge = EDGES[k : k + 1]
    for target in (RIGHT[k : k + 1], np.array([0.25])):
        assert_same(second_derivatives(LOSSES["bce"][0], edge, target), ulps=256, scaled=True)
        assert_same(gradients(lambda t, x, y: LOSSES["bce"][0](t.nn.functional, x, y), edge, target), ulps=4)


@cases(
    gradients(lambda t, x: t.nn.functional.binary_cross_entropy(x, t.tensor(RIGHT), reduction="none"), EDGES),
    gradients(
        lambda t, x: t.nn.functional.binary_cross_entropy(x, t.tensor(Q), t.tensor(WEIGHT)), P
    ),
    gradients(
        lambda t, x: t.nn.functional.binary_cross_entropy(x, t.tensor(Q), t.tensor(WEIGHT[0])), P
    ),
    gradients(
        lambda t, x: t.nn.functional.binary_cross_entropy_with_logits(
            x, t.tensor(Q), t.tensor(WEIGHT), pos_weight=t.tensor(WEIGHT[1])
        ),
        INPUT,
    ),
    gradients(
        lambda t, x: t.nn.functional.binary_cross_entropy_with_logits(x, t.tensor(RIGHT), reduction="none"),
        np.array([-800.0, 800.0, 0.0, -0.0, 40.0, -40.0, 1e-9]),
    ),
    gradients(lambda t, x, y: t.nn.functional.kl_div(x, y, reduction="batchmean"), INPUT, Q),
    gradients(lambda t, x, y: t.nn.functional.kl_div(x, y, reduction="batchmean"), INPUT[0, 0], Q[0, 0]),
    gradients(lambda t, x: t.nn.functional.kl_div(x, t.tensor(RIGHT), reduction="none"), INPUT.ravel()[:7]),
    lambda t: t.nn.functional.kl_div(t.zeros(2), t.tensor([-0.5, 0.0]), reduction="none"),
    gradients(lambda t, x, y: t.nn.functional.l1_loss(x, y, reduction="none"), EDGES, RIGHT),
    gradients(lambda t, x, y: t.nn.functional.smooth_l1_loss(x, y, reduction="none"), EDGES, RIGHT),
    gradients(lambda t, x, y: t.nn.functional.huber_loss(x, y, reduction="none"), EDGES, RIGHT),
    lambda t: t.nn.functional.l1_loss(t.tensor([1, 5]), t.tensor([3, 2]), reduction="none"),
    lambda t: t.nn.functional.l1_loss(t.tensor([1, 5]), t.tensor([3, 2]), reduction="sum"),
    lambda t: t.nn.functional.l1_loss(t.zeros(0), t.zeros(0)),
    lambda t: t.nn.functional.l1_loss(t.zeros(0), t.zeros(0), reduction="sum"),
    lambda t: t.nn.functional.binary_cross_entropy(t.zeros(0, 2), t.zeros(0, 2)),
    lambda t: t.no_grad()(t.nn.functional.cross_entropy)(
        t.tensor(INPUT), t.tensor([0, 1, 3]), t.tensor(WEIGHT[0], requires_grad=True)
    ),
    gradients(lambda t, x, y: t.nn.functional.cosine_similarity(x, y), INPUT, TARGET),
    gradients(lambda t, x, y: t.cosine_similarity(x, y, dim=0), INPUT, TARGET[:1]),
    gradients(lambda t, x, y: t.nn.functional.cosine_similarity(x, y, -1), INPUT[0], TARGET),
    gradients(lambda t, x, y: t.nn.functional.cosine_similarity(x * 0, y), INPUT, TARGET),
    gradients(lambda t, x, y: t.nn.functional.cosine_similarity(x, y, eps=2.5), INPUT, TARGET),
    lambda t: t.nn.functional.cosine_similarity(t.ones(2, 3), t.ones(3).double()),
    lambda t: t.nn.CosineSimilarity(dim=0, eps=0.1)(t.tensor(INPUT), t.tensor(TARGET)),
)  # fmt: skip
def test_particular_values(case: Case) -> None:
    assert_same(case, ulps=32, scaled=True)


@cases(
    lambda t: t.nn.functional.binary_cross_entropy(t.tensor([0.5, 1.5]), t.ones(2)),
    lambda t: t.nn.functional.binary_cross_entropy(t.tensor([-0.1]), t.ones(1)),
    lambda t: t.nn.functional.binary_cross_entropy(t.tensor([float("nan")]), t.ones(1)),
    lambda t: t.nn.functional.binary_cross_entropy(t.ones(2), t.ones(2, 1)),
    lambda t: t.nn.functional.binary_cross_entropy(t.ones(2), t.ones(2).double()),
    lambda t: t.nn.functional.binary_cross_entropy(t.ones(2).long(), t.ones(2).long()),
    lambda t: t.nn.functional.binary_cross_entropy(t.ones(2), t.ones(2), reduction="nonsense"),
    lambda t: t.nn.functional.binary_cross_entropy(t.ones(2), t.ones(2), t.ones(2, requires_grad=True)),
    lambda t: t.nn.functional.binary_cross_entropy_with_logits(t.ones(2), t.ones(3)),
    lambda t: t.nn.functional.binary_cross_entropy_with_logits(t.ones(2), t.tensor([0, 1])),
    lambda t: t.nn.functional.binary_cross_entropy_with_logits(t.ones(2), t.ones(2), t.ones(3)),
    lambda t: t.nn.functional.binary_cross_entropy_with_logits(
        t.ones(2), t.ones(2), t.ones(2, requires_grad=True)
    ),
    lambda t: t.nn.functional.binary_cross_entropy_with_logits(
        t.ones(2), t.ones(2), pos_weight=t.ones(2, requires_grad=True)
    ),
    lambda t: t.nn.functional.cross_entropy(
        t.ones(1, 2), t.tensor([0]), weight=t.ones(2, requires_grad=True)
    ),
    lambda t: t.nn.functional.batch_norm(
        t.ones(3, 2), t.ones(2, requires_grad=True), t.ones(2), training=True
    ),
    lambda t: t.nn.functional.batch_norm(t.ones(3, 2), t.ones(2), t.ones(2, requires_grad=True)),
    lambda t: t.nn.functional.l1_loss(t.tensor([1, 5]), t.tensor([3, 2])),
    lambda t: t.nn.functional.l1_loss(t.ones(2), t.ones(3)),
    lambda t: t.nn.functional.l1_loss(t.ones(2), t.ones(2), reduction="batchmean"),
    lambda t: t.nn.functional.l1_loss(t.ones(2), t.ones(2), weight=t.ones(3)),
    lambda t: t.nn.functional.huber_loss(t.ones(2), t.ones(2), weight=t.ones(1)),
    lambda t: t.nn.functional.huber_loss(t.ones(2), t.ones(2), delta=0.0),
    lambda t: t.nn.functional.smooth_l1_loss(t.ones(2), t.ones(2), beta=-1.0),
    lambda t: t.nn.functional.smooth_l1_loss(t.tensor([1]), t.tensor([3])),
    lambda t: t.nn.functional.kl_div(t.ones(2), t.ones(2), reduction="nonsense"),
    lambda t: t.nn.functional.cosine_similarity(t.ones(2, 3), t.ones(2, 2)),
    lambda t: t.nn.functional.cosine_similarity(t.ones(2), t.ones(2)),
    lambda t: t.nn.functional.cosine_similarity(t.ones(2, 2).long(), t.ones(2, 2).long()),
)
def test_calls_that_raise(case: Case) -> None:
    assert_same_error(case)


MODULES: list[tuple[Callable[[Any], Any], tuple[np.ndarray, np.ndarray]]] = [
    (lambda t: t.nn.L1Loss(reduction="sum"), (INPUT, TARGET)),
    (lambda t: t.nn.SmoothL1Loss(beta=0.5), (INPUT, TARGET)),
    (lambda t: t.nn.HuberLoss("sum", 0.5), (INPUT, TARGET)),
    (lambda t: t.nn.KLDivLoss(reduction="batchmean", log_target=True), (INPUT, TARGET)),
    (lambda t: t.nn.BCELoss(t.tensor(WEIGHT)), (P, Q)),
    (lambda t: t.nn.BCEWithLogitsLoss(pos_weight=t.tensor(WEIGHT[0])), (INPUT, Q)),
    (lambda t: t.nn.CosineSimilarity(), (INPUT, TARGET)),
]


@pytest.mark.parametrize(("make", "inputs"), MODULES)
def test_modules(make: Callable[[Any], Any], inputs: Any) -> None:
    def case(t: Any) -> Any:
        module = make(t)
        return repr(module), module(*map(t.tensor, inputs)), dict(module.state_dict())

    assert_same(case, ulps=32)


@pytest.mark.parametrize(("make", "inputs"), MODULES)
def test_modules_cross_to_torch_and_back(make: Callable[[Any], Any], inputs: Any) -> None:
    theirs = tinygrad_ninja.to_torch(make(tinygrad_ninja))
    ours = tinygrad_ninja.from_torch(theirs)
    modules = {tinygrad_ninja: ours, __import__("torch"): theirs}
    assert_same(lambda t: modules[t](*map(t.tensor, inputs)), ulps=32)


def test_compiled_and_derived() -> None:
    t = tinygrad_ninja
    F = t.nn.functional
    x = t.tensor(P.astype(np.float32), requires_grad=True)
    y = t.tensor(Q.astype(np.float32))

    def losses() -> Any:
        return (
            F.l1_loss(x, y) + F.huber_loss(x, y, delta=0.2) + F.binary_cross_entropy(x, y)
            + F.binary_cross_entropy_with_logits(x, y) + F.kl_div(x, y, reduction="batchmean")
            + F.smooth_l1_loss(x, y) + F.cosine_similarity(x, y).sum()
        )  # fmt: skip

    def step() -> Any:
        loss = losses()
        x.grad = None
        loss.backward()
        return loss

    expected, slope = step().item(), x.grad.clone()
    compiled = t.compile(step, fullgraph=True)
    for _ in range(3):
        assert compiled().item() == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(x.grad.numpy(), slope.numpy(), rtol=1e-4, atol=1e-5)
    assert "log1p" in t.derive(losses(), names={"x": x, "y": y}).source("numpy")


def test_compiled_code_checks_probabilities_too() -> None:
    t = tinygrad_ninja
    loss = t.compile(lambda x, y: t.nn.functional.binary_cross_entropy(x, y), fullgraph=True)
    y = t.ones(2)
    assert loss(t.tensor([0.5, 0.25]), y).item() > 0
    assert loss(t.tensor([0.5, 1.0]), y).item() > 0
    with pytest.raises(RuntimeError, match="between 0 and 1"):
        loss(t.tensor([0.5, 1.25]), y)
