"""Losses, normalizations, activations and attention, written as in torch and compared with it."""

import itertools
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from both import Case, assert_same, assert_same_error, attempt, cases, gradients

import tinygrad_ninja

draw = np.random.default_rng(0)
LOGITS = draw.standard_normal((4, 3))
TARGETS = np.array([2, 0, 1, 2])
DEEP = draw.standard_normal((2, 3, 4, 2))
DEEP_TARGETS = draw.integers(3, size=(2, 4, 2))
WEIGHT = np.array([0.5, 2.0, 1.25])
PROBABILITIES = draw.dirichlet(np.ones(3), size=4)
DEEP_PROBABILITIES = np.moveaxis(draw.dirichlet(np.ones(3), size=(2, 4, 2)), -1, 1)
SEQUENCE = draw.standard_normal((2, 3, 4, 5))
OTHER = draw.standard_normal((2, 3, 6, 5))
VALUES = draw.standard_normal((2, 3, 6, 2))
MASK = np.array([[1, 0, 1, 1, 0, 0], [0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 1]], bool)
ADDED = draw.standard_normal((3, 4, 6))

REDUCTIONS = ["mean", "sum", "none"]


def ids(options: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in options.items()) or "defaults"


LOSS_OPTIONS: list[dict[str, Any]] = [
    {"reduction": reduction, **smoothing, **ignored}
    for reduction, smoothing, ignored in itertools.product(
        REDUCTIONS, [{}, {"label_smoothing": 0.25}], [{}, {"ignore_index": 2}, {"ignore_index": -1}]
    )
]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("options", LOSS_OPTIONS, ids=ids)
@pytest.mark.parametrize(
    ("logits", "targets"),
    [
        (LOGITS, TARGETS),
        (LOGITS, [0, 2, -1, 1]),
        (LOGITS, [2, 2, 2, 2]),
        (LOGITS[0], 1),
        (DEEP, DEEP_TARGETS),
        (DEEP[..., 0], DEEP_TARGETS[..., 0]),
    ],
    ids=["rows", "one outside", "all alike", "a single one", "images", "sequences"],
)
def test_cross_entropy(logits: Any, targets: Any, options: dict[str, Any], weighted: bool) -> None:
    if np.min(targets) < 0 and options.get("ignore_index") != -1:
        assert_same_error(
            lambda t: t.nn.functional.cross_entropy(t.tensor(logits), t.tensor(targets), **options)
        )
        return

    def loss(t: Any, x: Any) -> Any:
        weight = t.tensor(WEIGHT) if weighted else None
        return t.nn.functional.cross_entropy(x, t.tensor(targets), weight, **options)

    assert_same(gradients(loss, logits), ulps=32, scaled=True)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("options", LOSS_OPTIONS[:6:3] + LOSS_OPTIONS[6::3], ids=ids)
@pytest.mark.parametrize(
    ("logits", "target"), [(LOGITS, PROBABILITIES), (LOGITS[0], PROBABILITIES[1]), (DEEP, DEEP_PROBABILITIES)]
)
def test_cross_entropy_of_probabilities(
    logits: Any, target: Any, options: dict[str, Any], weighted: bool
) -> None:
    def loss(t: Any, x: Any, y: Any) -> Any:
        return t.nn.functional.cross_entropy(x, y, t.tensor(WEIGHT) if weighted else None, **options)

    assert_same(gradients(loss, logits, target), ulps=32, scaled=True)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("ignored", [-100, 2])
@pytest.mark.parametrize(
    ("inputs", "targets"), [(LOGITS, TARGETS), (LOGITS[0], 2), (DEEP, DEEP_TARGETS), (LOGITS, [2, 2, 2, 2])]
)
def test_nll_loss(inputs: Any, targets: Any, ignored: int, reduction: str, weighted: bool) -> None:
    def loss(t: Any, x: Any) -> Any:
        weight = t.tensor(WEIGHT) if weighted else None
        return t.nn.functional.nll_loss(
            x, t.tensor(targets), weight, ignore_index=ignored, reduction=reduction
        )

    assert_same(gradients(loss, inputs), ulps=32, scaled=True)


@cases(
    *[
        gradients(lambda t, x, y, r=r: t.nn.functional.mse_loss(x, y, reduction=r), LOGITS, 2 * LOGITS)
        for r in REDUCTIONS
    ],
    *[
        gradients(
            lambda t, x, y, r=r: t.nn.functional.mse_loss(x, y, reduction=r, weight=t.tensor(PROBABILITIES)),
            LOGITS,
            2 * LOGITS,
        )
        for r in REDUCTIONS
    ],
    lambda t: t.nn.functional.cross_entropy(t.zeros(0, 3), t.zeros(0, dtype=t.int64)),
    lambda t: t.nn.functional.cross_entropy(t.zeros(0, 3), t.zeros(0, dtype=t.int64), reduction="sum"),
    gradients(lambda t, x: t.nn.functional.layer_norm(x, (5,)), SEQUENCE[:, :1, :2]),
    gradients(lambda t, x: t.nn.functional.layer_norm(x, [4, 5], eps=0.5), SEQUENCE),
    gradients(lambda t, x, w: t.nn.functional.layer_norm(x, (3,), w), LOGITS, WEIGHT),
    gradients(lambda t, x, w, b: t.nn.functional.layer_norm(x, (3,), w, b), LOGITS, WEIGHT, -WEIGHT),
    gradients(
        lambda t, x, w, b: t.nn.functional.layer_norm(x, (4, 5), w, b),
        SEQUENCE, OTHER[0, 0, :4], ADDED[0, :, :5],
    ),
    gradients(lambda t, x: t.nn.functional.layer_norm(x, (3,)), LOGITS[0]),
    gradients(lambda t, x: t.nn.functional.batch_norm(x, None, None, training=True), DEEP),
    gradients(
        lambda t, x, w: t.nn.functional.batch_norm(x, t.zeros(3).double(), t.ones(3).double(), w),
        DEEP, WEIGHT,
    ),
    gradients(lambda t, x: t.nn.functional.normalize(x), LOGITS),
    gradients(lambda t, x: t.nn.functional.normalize(x, p=float("inf"), dim=0), LOGITS),
    gradients(lambda t, x: t.nn.functional.normalize(x * 0, eps=0.1), LOGITS),
    *[
        gradients(lambda t, x, p=p: t.nn.functional.normalize(x * t.tensor(MASK[:, :3]), p), LOGITS)
        for p in (0, 0.5, 1, 1.5, 2, 3.0, -1, -2.5, float("inf"))
    ],
    *[
        gradients(lambda t, x, p=p: t.nn.functional.normalize(x, p, dim=-2), SEQUENCE)
        for p in (0.5, 1, 3.0, -1, float("-inf"))
    ],
    gradients(lambda t, x: t.nn.functional.rms_norm(x, (5,)), SEQUENCE),
    gradients(lambda t, x: t.rms_norm(x, [4, 5], eps=0.5), SEQUENCE),
    gradients(lambda t, x, w: t.nn.functional.rms_norm(x, (3,), w), LOGITS, WEIGHT),
    lambda t: t.nn.functional.rms_norm(t.zeros(2, 3), (3,)),
    lambda t: t.nn.functional.rms_norm(t.tensor(LOGITS).float() * 1e-3, (3,), t.tensor(WEIGHT)),
    gradients(lambda t, x: t.nn.functional.group_norm(x, 3), SEQUENCE),
    gradients(lambda t, x, w, b: t.group_norm(x, 1, w, b, 0.5), SEQUENCE, WEIGHT, -WEIGHT),
    gradients(lambda t, x, w: t.nn.functional.group_norm(x, 1, w), LOGITS, WEIGHT),
    gradients(lambda t, x: t.nn.functional.gelu(x), SEQUENCE * 3),
    gradients(lambda t, x: t.nn.functional.gelu(x, approximate="tanh"), SEQUENCE * 3),
    gradients(lambda t, x: t.nn.functional.relu(x * 1, inplace=True), LOGITS),
    gradients(lambda t, x: t.nn.functional.sigmoid(x), LOGITS),
    gradients(lambda t, x: t.erf(x), LOGITS * 4),
    gradients(lambda t, x: x.erf(), np.array([0.0, np.inf, -np.inf, np.nan, 30.0])),
    gradients(lambda t, x, w, b: t.nn.functional.linear(x, w, b), SEQUENCE, VALUES[0, 0, :5].T, WEIGHT[:2]),
    gradients(lambda t, x, w: t.nn.functional.linear(x, w), LOGITS, WEIGHT),
    gradients(lambda t, w: t.nn.functional.embedding(t.tensor([[0, 1], [3, 1]]), w, padding_idx=1), LOGITS),
    gradients(lambda t, w: t.nn.functional.embedding(t.tensor([[0, 1], [3, 1]]), w, padding_idx=-1), LOGITS),
    gradients(lambda t, x: t.nn.functional.dropout(x, 0.5, training=False), LOGITS),
    gradients(lambda t, x: t.nn.functional.dropout(x, 0.0), LOGITS),
    gradients(lambda t, x: t.nn.functional.dropout(x, 1.0), LOGITS),
)  # fmt: skip
def test_values_and_gradients(case: Case) -> None:
    assert_same(case, ulps=32, scaled=True)


ATTENTIONS: list[dict[str, Any]] = [
    {},
    {"is_causal": True},
    {"scale": 0.3},
    {"attn_mask": MASK},
    {"attn_mask": MASK[2:3]},
    {"attn_mask": ADDED, "scale": 2.0},
    {"attn_mask": np.where(MASK, 0.0, -np.inf)},
    {"attn_mask": ADDED > 0},
]


@pytest.mark.parametrize("options", ATTENTIONS, ids=lambda options: ", ".join(options) or "plain")
@pytest.mark.parametrize("lengths", [(4, 6), (4, 4), (6, 4)])
def test_scaled_dot_product_attention(options: dict[str, Any], lengths: tuple[int, int]) -> None:
    """With keys that all queries see, that some do, and that none does."""
    queries, keys = lengths

    def attention(t: Any, q: Any, k: Any, v: Any) -> Any:
        given = {
            name: t.tensor(value[..., :queries, :keys] if value.ndim > 1 else value[..., :keys])
            if isinstance(value, np.ndarray)
            else value
            for name, value in options.items()
        }
        return t.nn.functional.scaled_dot_product_attention(q, k, v, **given)

    if queries > 4 and "attn_mask" in options:
        return
    query = np.concatenate([SEQUENCE, SEQUENCE[:, :, ::-1]], axis=2)[:, :, :queries]
    case = gradients(attention, query, OTHER[:, :, :keys], VALUES[:, :, :keys])
    assert_same(case, ulps=64, scaled=True)


def test_a_mask_of_numbers_is_given_its_gradient() -> None:
    case = gradients(
        lambda t, m: t.nn.functional.scaled_dot_product_attention(
            t.tensor(SEQUENCE), t.tensor(OTHER), t.tensor(VALUES), m
        ),
        ADDED,
    )
    assert_same(case, ulps=64, scaled=True)


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("shape", [(3,), (40,), (8, 5, 7)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dropout_drops_what_torch_drops(p: float, shape: tuple[int, ...], dtype: str) -> None:
    """And leaves the generator where torch leaves it."""

    def case(t: Any) -> Any:
        t.manual_seed(7)
        x = t.linspace(1, 2, int(np.prod(shape)), dtype=getattr(t, dtype)).reshape(shape).requires_grad_()
        out = t.nn.functional.dropout(x, p)
        out.sum().backward()
        changed = x.detach().clone()
        again = t.nn.functional.dropout(changed, p, inplace=True)
        return out.detach(), x.grad, again, changed, again is changed, t.rand(3)

    assert_same(case)


def test_dropout_keeps_the_mean_and_the_rate() -> None:
    tinygrad_ninja.manual_seed(0)
    out = tinygrad_ninja.nn.functional.dropout(tinygrad_ninja.ones(40_000), 0.3).numpy()
    n, kept = out.size, 0.7
    assert set(np.unique(out)) == {np.float32(0), np.float32(1) / np.float32(kept)}
    spread = np.sqrt(kept * (1 - kept) / n)
    assert abs((out != 0).mean() - kept) < 4 * spread
    assert abs(out.mean() - 1) < 4 * spread / kept


def test_on_torch_tensors() -> None:
    """The same functions, with torch to compute and the engine to differentiate."""
    t = tinygrad_ninja
    F = t.nn.functional
    for function in (
        lambda x: F.gelu(x),
        lambda x: F.layer_norm(x, (5,)),
        lambda x: F.rms_norm(x, (5,)),
        lambda x: F.group_norm(x, 3),
        lambda x: F.normalize(x, 3),
        lambda x: F.elu(x) + F.softplus(x) + F.pad(x[0, :, :, 1:], (0, 1), "replicate"),
        lambda x: F.binary_cross_entropy(x.sigmoid(), x.sigmoid()),
        lambda x: F.scaled_dot_product_attention(x, x, x, is_causal=True),
        lambda x: F.scaled_dot_product_attention(x, x, x, t.tensor(MASK[:, :4], device=x.device)),
        lambda x: F.cross_entropy(
            x, t.tensor([[[0, 1, -1, 1, 2]] * 4] * 2, device=x.device), ignore_index=-1
        ),
        lambda x: F.linear(x, x[0, 0]),
    ):
        found = []
        for where in ("cpu", "torch"):
            x = t.tensor(SEQUENCE, device=where, requires_grad=True)
            out = function(x)
            out.sum().backward()
            assert x.grad is not None
            found.append((out.detach().to("cpu").numpy(), x.grad.to("cpu").numpy()))
        for here, there in zip(*found, strict=True):
            np.testing.assert_allclose(there, here, rtol=1e-12, atol=1e-13)


@cases(
    lambda t: t.nn.functional.cross_entropy(t.tensor(1.0), t.tensor(0)),
    lambda t: t.nn.functional.cross_entropy(t.tensor(LOGITS), t.tensor(TARGETS), t.ones(2)),
    lambda t: t.nn.functional.cross_entropy(t.tensor(LOGITS), TARGETS),
    lambda t: t.nn.functional.cross_entropy(t.tensor(LOGITS), TARGETS.tolist()),
    lambda t: t.nn.functional.cross_entropy(t.ones(4, 3), t.tensor(TARGETS), t.ones(3, requires_grad=True)),
    lambda t: t.nn.functional.cross_entropy(t.tensor(LOGITS), t.tensor(TARGETS), label_smoothing=1.5),
    lambda t: t.nn.functional.cross_entropy(t.tensor(LOGITS), t.tensor(LOGITS), ignore_index=1),
    lambda t: t.nn.functional.cross_entropy(t.tensor(LOGITS), t.ones(4, 3, dtype=t.int64)),
    lambda t: t.nn.functional.cross_entropy(t.tensor(LOGITS), t.ones(4, 2)),
    lambda t: t.nn.functional.cross_entropy(t.tensor(DEEP), t.zeros(2, 4, 3, dtype=t.int64)),
    lambda t: t.nn.functional.cross_entropy(t.tensor(DEEP), t.zeros(3, 4, 2, dtype=t.int64)),
    lambda t: t.nn.functional.nll_loss(t.tensor(LOGITS), t.tensor([0, 1, 2, 3])),
    lambda t: t.nn.functional.nll_loss(t.tensor(LOGITS), t.zeros(4)),
    lambda t: t.nn.functional.mse_loss(t.ones(3), t.ones(3), reduction="nonsense"),
    lambda t: t.nn.functional.mse_loss(t.ones(3), t.ones(2)),
    lambda t: t.nn.functional.relu([1.0]),
    lambda t: t.nn.functional.linear(t.ones(2, 3), t.ones(4, 3), [0.0, 1.0]),
    lambda t: t.nn.functional.embedding(t.tensor([3]), t.ones(3, 2)),
    lambda t: t.nn.functional.embedding(t.tensor([-1]), t.ones(3, 2)),
    lambda t: t.nn.functional.embedding([0, 1], t.ones(3, 2)),
    lambda t: t.nn.functional.layer_norm(t.tensor(LOGITS), 3),
    lambda t: t.nn.functional.layer_norm(t.tensor(LOGITS), (4,)),
    lambda t: t.nn.functional.layer_norm(t.tensor(LOGITS), ()),
    lambda t: t.nn.functional.layer_norm(t.tensor(LOGITS), (3,), t.ones(1).double()),
    lambda t: t.nn.functional.batch_norm(t.tensor(LOGITS), t.zeros(4), t.ones(4), training=True),
    lambda t: t.nn.functional.batch_norm(t.tensor(LOGITS), None, None, training=True, eps=0.0),
    lambda t: t.nn.functional.batch_norm(t.ones(3), None, None, training=True),
    lambda t: t.nn.functional.gelu(t.tensor(LOGITS), approximate="nonsense"),
    lambda t: t.nn.functional.rms_norm(t.tensor(LOGITS), 3),
    lambda t: t.nn.functional.rms_norm(t.tensor(LOGITS), (4,)),
    lambda t: t.nn.functional.rms_norm(t.tensor(LOGITS), ()),
    lambda t: t.nn.functional.rms_norm(t.tensor(LOGITS), (3,), t.ones(2)),
    lambda t: t.nn.functional.rms_norm(t.ones(3).long(), (3,)),
    lambda t: t.nn.functional.group_norm(t.tensor(LOGITS), 2),
    lambda t: t.nn.functional.group_norm(t.tensor(LOGITS), 0),
    lambda t: t.nn.functional.group_norm(t.ones(3), 1),
    lambda t: t.nn.functional.group_norm(t.ones(1, 2), 2),
    lambda t: t.nn.functional.group_norm(t.tensor(LOGITS), 1, t.ones(2)),
    lambda t: t.nn.functional.group_norm(t.ones(2, 3).long(), 1),
    lambda t: t.nn.GroupNorm(2, 3),
    lambda t: t.nn.functional.normalize(t.ones(2, 3).long(), 3),
    lambda t: t.nn.functional.normalize(t.ones(2, 3), dim=2),
    lambda t: t.nn.functional.dropout(t.tensor(LOGITS), 1.5),
    lambda t: t.nn.functional.scaled_dot_product_attention(*[t.ones(2, 2)] * 3, t.ones(2, 2).int()),
    lambda t: t.nn.functional.scaled_dot_product_attention(t.ones(2, 2), t.ones(2, 1), t.ones(2, 2)),
)  # fmt: skip
def test_calls_that_raise(case: Case) -> None:
    assert_same_error(case)


def test_an_argument_that_is_no_tensor_is_named() -> None:
    t, logits = tinygrad_ninja, tinygrad_ninja.tensor(LOGITS)
    for call, name, kind in [
        (lambda: t.nn.functional.cross_entropy(logits, TARGETS), "target", "ndarray"),
        (lambda: t.nn.functional.cross_entropy(logits, target=[2, 0, 1, 2]), "target", "list"),
        (lambda: t.nn.functional.mse_loss(logits, 1.0), "target", "float"),
        (lambda: t.nn.Embedding(3, 2)([0, 1]), "input", "list"),
        (lambda: t.nn.Linear(3, 2)(LOGITS), "input", "ndarray"),
    ]:
        error = attempt(call)
        assert isinstance(error, TypeError)
        assert str(error).endswith(f"(): argument {name!r} must be Tensor, not {kind}")


def test_a_target_that_is_broadcast_is_warned_of() -> None:
    for t in (torch, tinygrad_ninja):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            t.nn.functional.mse_loss(t.ones(3, 1), t.ones(3))
        assert [each.category for each in caught] == [UserWarning]
        assert "Using a target size (torch.Size([3])) that is different" in str(caught[0].message)
        assert caught[0].filename == __file__ or t is torch


def test_arguments_of_torch_that_are_not_offered_name_the_nearest() -> None:
    F, x = tinygrad_ninja.nn.functional, tinygrad_ninja.ones(2, 2)
    y = tinygrad_ninja.tensor([0, 1])
    for call, argument, nearest in [
        (lambda: F.cross_entropy(x, y, size_average=False), "size_average", "reduction"),
        (lambda: F.nll_loss(x, y, reduce=True), "reduce", "reduction"),
        (lambda: F.embedding(y, x, max_norm=1.0), "max_norm", "no_grad"),
        (lambda: F.embedding(y, x, sparse=True), "sparse", "gradient"),
        (lambda: F.scaled_dot_product_attention(x, x, x, enable_gqa=True), "enable_gqa", "keys"),
        (lambda: F.softmax(x), "softmax", "dim"),
    ]:
        error = attempt(call)
        assert isinstance(error, (NotImplementedError, TypeError)), argument
        assert argument in str(error)
        assert nearest in str(error)
        assert "\n" not in str(error)
