"""Layers as objects: the same numbers, parameters, state_dict and repr as in torch."""

from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
import torch
from both import Case, assert_same, assert_same_error, cases, same

import tinygrad_ninja

draw = np.random.default_rng(1)
ROWS = draw.standard_normal((4, 6))
WORDS = draw.standard_normal((3, 8, 6))
CLASSES = np.array([1, 0, 5, 2])

LAYERS: dict[str, tuple[Case, np.ndarray]] = {
    "Linear": (lambda t: t.nn.Linear(6, 5), WORDS),
    "Embedding": (lambda t: t.nn.Embedding(6, 3), CLASSES),
    "Embedding with padding": (lambda t: t.nn.Embedding(6, 3, padding_idx=-1), CLASSES),
    "LayerNorm": (lambda t: t.nn.LayerNorm(6), WORDS),
    "LayerNorm of two": (lambda t: t.nn.LayerNorm((8, 6), eps=0.1, bias=False), WORDS),
    "LayerNorm without weight": (lambda t: t.nn.LayerNorm([6], elementwise_affine=False), ROWS),
    "BatchNorm1d": (lambda t: t.nn.BatchNorm1d(6), ROWS),
    "BatchNorm1d of sequences": (lambda t: t.nn.BatchNorm1d(8, momentum=None), WORDS),
    "BatchNorm1d without bias": (lambda t: t.nn.BatchNorm1d(6, bias=False), ROWS),
    "BatchNorm1d without state": (
        lambda t: t.nn.BatchNorm1d(6, affine=False, track_running_stats=False), ROWS
    ),
    "RMSNorm": (lambda t: t.nn.RMSNorm(6), WORDS),
    "RMSNorm of two": (lambda t: t.nn.RMSNorm((8, 6), eps=0.1), WORDS),
    "RMSNorm without weight": (lambda t: t.nn.RMSNorm([6], elementwise_affine=False), ROWS),
    "GroupNorm": (lambda t: t.nn.GroupNorm(2, 8), WORDS),
    "GroupNorm of rows": (lambda t: t.nn.GroupNorm(3, 6, eps=0.1, bias=False), ROWS),
    "GroupNorm without weight": (lambda t: t.nn.GroupNorm(4, 8, affine=False), WORDS),
    "ReLU": (lambda t: t.nn.ReLU(), ROWS),
    "ReLU in place": (lambda t: t.nn.ReLU(inplace=True), ROWS),
    "GELU": (lambda t: t.nn.GELU(), ROWS),
    "GELU by tanh": (lambda t: t.nn.GELU(approximate="tanh"), ROWS),
    "Tanh": (lambda t: t.nn.Tanh(), ROWS),
    "Sigmoid": (lambda t: t.nn.Sigmoid(), ROWS),
    "LeakyReLU(0.2)": (lambda t: t.nn.LeakyReLU(0.2), WORDS),
    "LeakyReLU(inplace=True)": (lambda t: t.nn.LeakyReLU(inplace=True), WORDS),
    "ELU(0.5, True)": (lambda t: t.nn.ELU(0.5, True), WORDS),
    "SELU()": (lambda t: t.nn.SELU(), WORDS),
    "CELU(2.0)": (lambda t: t.nn.CELU(2.0), WORDS),
    "SiLU(inplace=True)": (lambda t: t.nn.SiLU(inplace=True), WORDS),
    "Mish()": (lambda t: t.nn.Mish(), WORDS),
    "Softplus(2.0, 3.0)": (lambda t: t.nn.Softplus(2.0, 3.0), WORDS),
    "Softsign()": (lambda t: t.nn.Softsign(), WORDS),
    "LogSigmoid()": (lambda t: t.nn.LogSigmoid(), WORDS),
    "Hardtanh(-0.5, 2.0, True)": (lambda t: t.nn.Hardtanh(-0.5, 2.0, True), WORDS),
    "ReLU6()": (lambda t: t.nn.ReLU6(), WORDS),
    "PReLU()": (lambda t: t.nn.PReLU(), WORDS),
    "PReLU(8, init=0.5)": (lambda t: t.nn.PReLU(8, init=0.5), WORDS),
    "GLU()": (lambda t: t.nn.GLU(), WORDS),
    "GLU(1)": (lambda t: t.nn.GLU(1), WORDS),
    "Softmax": (lambda t: t.nn.Softmax(dim=-1), WORDS),
    "LogSoftmax": (lambda t: t.nn.LogSoftmax(1), WORDS),
    "Dropout": (lambda t: t.nn.Dropout(0.25), WORDS),
    "Identity": (lambda t: t.nn.Identity(54, unused=True), WORDS),
    "Flatten": (lambda t: t.nn.Flatten(), WORDS),
    "Flatten of some": (lambda t: t.nn.Flatten(0, -2), WORDS),
    "Sequential": (lambda t: t.nn.Sequential(t.nn.Linear(6, 3), t.nn.Tanh(), t.nn.Linear(3, 2)), ROWS),
    "Sequential of a dict": (lambda t: t.nn.Sequential(named(t)), ROWS),
}  # fmt: skip


def named(t: Any) -> Any:
    return OrderedDict([("first", t.nn.Linear(6, 3)), ("second", t.nn.ReLU())])


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", LAYERS)
def test_layer(name: str, training: bool) -> None:
    """Parameters of one seed, output, gradients, the state after two calls, and what it prints."""
    make, numbers = LAYERS[name]

    def case(t: Any) -> Any:
        t.manual_seed(3)
        layer = make(t).to(t.float64).train(training)
        leaf = t.tensor(numbers)
        if leaf.is_floating_point():
            leaf.requires_grad_()
        for _ in range(2):
            x = leaf * 1 if leaf.requires_grad else leaf  # a result may be changed in place
            out = layer(x)
            if out.requires_grad:
                (out * t.arange(1.0, out.numel() + 1).reshape(out.shape)).sum().backward()
        return (
            repr(layer),
            out.detach(),
            leaf.grad,
            {key: value.clone() for key, value in layer.state_dict().items()},
            {key: value.grad for key, value in layer.named_parameters()},
        )

    assert_same(case, ulps=128, scaled=True)


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("masks", ["attn_mask", "key_padding_mask"])
def test_a_query_from_which_all_keys_are_hidden(masks: str, need_weights: bool) -> None:
    """It gets NaN, or where no weights are asked for 0, as in PyTorch."""

    def case(t: Any) -> Any:
        layer = t.nn.MultiheadAttention(4, 2)
        x = t.ones(2, 3, 4)
        mask = {
            "attn_mask": t.tensor([[True, True], [False, False]]),
            "key_padding_mask": t.tensor([[True, True], [False, False], [False, True]]),
        }
        out, weights = layer(x, x, x, need_weights=need_weights, **{masks: mask[masks]})
        return out.isnan(), weights.isnan() if need_weights else weights

    assert_same(case)


@pytest.mark.parametrize("options", [{}, {"bias": False}, {"batch_first": True}], ids=str)
@pytest.mark.parametrize("masks", ["none", "causal", "added", "per head", "padding", "both"])
@pytest.mark.parametrize("weights", ["mean", "each", "no"])
def test_multihead_attention(options: dict[str, Any], masks: str, weights: str) -> None:
    query, memory = draw.standard_normal((5, 2, 6)), draw.standard_normal((4, 2, 6))
    if options.get("batch_first"):
        query, memory = query.swapaxes(0, 1), memory.swapaxes(0, 1)

    def case(t: Any) -> Any:
        t.manual_seed(5)
        layer = t.nn.MultiheadAttention(6, 3, **options).to(t.float64)
        q, k, v = (t.tensor(each, requires_grad=True) for each in (query, memory, memory * 2))
        given: dict[str, Any] = {"need_weights": weights != "no", "average_attn_weights": weights == "mean"}
        later = t.ones(5, 4, dtype=t.bool).triu(1)
        if masks in ("causal", "both"):
            given["attn_mask"] = later
        if masks == "added":
            given["attn_mask"] = t.linspace(-1, 1, 20, dtype=t.float64).reshape(5, 4)
        if masks == "per head":
            given["attn_mask"] = t.linspace(-1, 1, 120, dtype=t.float64).reshape(6, 5, 4)
        if masks in ("padding", "both"):
            given["key_padding_mask"] = t.tensor([[False, False, False, True], [False, True, True, True]])
        out, shown = layer(q, k, v, **given)
        (out * t.arange(1.0, out.numel() + 1).reshape(out.shape)).sum().backward()
        return (
            out.detach(),
            None if shown is None else shown.detach(),
            [each.grad for each in (q, k, v)],
            {key: (value.detach(), value.grad) for key, value in layer.named_parameters()},
            list(layer.state_dict()),
        )

    assert_same(case, ulps=256, scaled=True)


@same
def test_multihead_attention_of_one_sequence(t: Any) -> Any:
    t.manual_seed(5)
    layer = t.nn.MultiheadAttention(6, 2).double().eval()
    x = t.tensor(WORDS[0])
    with t.no_grad():
        out, weights = layer(x, x, x, attn_mask=t.ones(8, 8, dtype=t.bool).triu(1), is_causal=True)
    return out.shape, weights.shape, bool(abs(weights.sum(-1) - 1).max() < 1e-6)


def test_multihead_attention_drops_weights_in_training() -> None:
    t = tinygrad_ninja
    layer = t.nn.MultiheadAttention(4, 1, dropout=0.5)
    x = t.ones(16, 1, 4)
    dropped = layer(x, x, x)[1]
    assert ((dropped == 0) | (abs(dropped - 2 / 16) < 1e-6)).all()
    assert (dropped == 0).any()
    np.testing.assert_allclose(layer.eval()(x, x, x)[1].detach().numpy(), 1 / 16, rtol=1e-6)


def test_flatten_consecutive() -> None:
    """The lecture's: pairs of vectors side by side, and the length gone where one is left."""
    t = tinygrad_ninja
    x = t.tensor(WORDS, requires_grad=True)
    out = t.nn.FlattenConsecutive(2)(x)
    np.testing.assert_array_equal(out.detach().numpy(), WORDS.reshape(3, 4, 12))
    assert t.nn.FlattenConsecutive(8)(x).shape == (3, 48)
    (out * out).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * WORDS)
    assert repr(t.nn.FlattenConsecutive(2)) == "FlattenConsecutive(n=2)"
    with pytest.raises(RuntimeError, match=r"multiple of 3.*\(3, 8, 6\)"):
        t.nn.FlattenConsecutive(3)(x)


@pytest.mark.parametrize(
    "make",
    [
        lambda t: t.nn.CrossEntropyLoss(),
        lambda t: t.nn.CrossEntropyLoss(t.tensor(abs(ROWS[0])), label_smoothing=0.1, reduction="sum"),
        lambda t: t.nn.CrossEntropyLoss(ignore_index=0, reduction="none"),
        lambda t: t.nn.NLLLoss(),
        lambda t: t.nn.NLLLoss(t.tensor(abs(ROWS[0])), ignore_index=0, reduction="sum"),
    ],
)
def test_losses_of_classes(make: Case) -> None:
    def case(t: Any) -> Any:
        loss, x = make(t), t.tensor(ROWS, requires_grad=True)
        out = loss(x, t.tensor(CLASSES))
        out.sum().backward()
        return repr(loss), out.detach(), x.grad, dict(loss.state_dict())

    assert_same(case, ulps=32, scaled=True)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_mse_loss(reduction: str) -> None:
    def case(t: Any) -> Any:
        loss, x = t.nn.MSELoss(reduction=reduction), t.tensor(ROWS, requires_grad=True)
        out = loss(x, t.tensor(ROWS * 3))
        out.sum().backward()
        return repr(loss), out.detach(), x.grad

    assert_same(case, ulps=32, scaled=True)


@cases(
    lambda t: t.nn.BatchNorm1d(6)(t.tensor(ROWS[:1]).float()),
    lambda t: t.nn.BatchNorm1d(6)(t.ones(6)),
    lambda t: t.nn.LayerNorm(5)(t.ones(2, 6)),
    lambda t: t.nn.Dropout(-0.1),
    lambda t: t.nn.Embedding(3, 2, padding_idx=3),
    lambda t: t.nn.MultiheadAttention(5, 2),
    lambda t: t.nn.MultiheadAttention(4, 2)(*[t.ones(2, 3, 5)] * 3),
    lambda t: t.nn.MultiheadAttention(4, 2)(*[t.ones(4)] * 3),
    lambda t: t.nn.MultiheadAttention(4, 2)(*[t.ones(1, 2, 3, 4)] * 3),
    lambda t: t.nn.MultiheadAttention(4, 2)(t.ones(2, 3, 4), t.ones(2, 4), t.ones(2, 4)),
    lambda t: t.nn.MultiheadAttention(4, 2)(t.ones(2, 4), t.ones(2, 3, 4), t.ones(2, 3, 4)),
    lambda t: t.nn.MultiheadAttention(4, 2)(t.ones(2, 3, 4), t.ones(5, 3, 4), t.ones(6, 3, 4)),
    lambda t: t.nn.MultiheadAttention(4, 2)(*[t.ones(2, 3, 4)] * 3, key_padding_mask=t.zeros(4, 2) > 0),
    lambda t: t.nn.MultiheadAttention(4, 0),
    lambda t: t.nn.MultiheadAttention(4, 2)(*[t.ones(2, 1, 4)] * 3, is_causal=True),
    lambda t: t.nn.MultiheadAttention(4, 2)(*[t.ones(2, 1, 4)] * 3, attn_mask=t.ones(3, 3)),
    lambda t: t.nn.CrossEntropyLoss(reduction="nonsense")(t.ones(1, 2), t.tensor([0])),
)
def test_calls_that_raise(case: Case) -> None:
    assert_same_error(case)


def test_an_empty_batch_leaves_the_running_statistics_alone() -> None:
    states = []
    for t in (torch, tinygrad_ninja):
        norm = t.nn.BatchNorm1d(3)
        assert norm(t.ones(0, 3)).shape == (0, 3)
        states.append({name: each.tolist() for name, each in norm.state_dict().items()})
    assert states[0] == states[1]


def test_a_batch_of_one_is_told_in_torchs_sentence() -> None:
    for t in (torch, tinygrad_ninja):
        with pytest.raises(
            ValueError, match="Expected more than 1 value per channel when training, got input"
        ) as told:
            t.nn.BatchNorm1d(3)(t.ones(1, 3))
        assert str(told.value).endswith("torch.Size([1, 3])")


def test_arguments_of_torch_that_are_not_offered_name_the_nearest() -> None:
    nn = tinygrad_ninja.nn
    for call, argument, nearest in [
        (lambda: nn.Embedding(3, 2, max_norm=1.0), "max_norm", "no_grad"),
        (lambda: nn.Embedding(3, 2, sparse=True), "sparse", "gradient"),
        (lambda: nn.MultiheadAttention(4, 2, kdim=3), "kdim", "Linear"),
        (lambda: nn.CrossEntropyLoss(size_average=False), "size_average", "reduction"),
        (lambda: nn.Linear(2, 2).load_state_dict({}, assign=True), "assign", "copying"),
    ]:
        with pytest.raises(NotImplementedError, match=f"{argument}=.*nearest: .*{nearest}"):
            call()


def pretrained(t: Any, **options: Any) -> Any:
    table = t.arange(12.0).reshape(4, 3)
    return t.nn.Embedding.from_pretrained(table, **options), table


@cases(
    lambda t: repr(pretrained(t, padding_idx=-1)[0]),
    lambda t: [pretrained(t, freeze=freeze)[0].weight.requires_grad for freeze in (True, False)],
    lambda t: pretrained(t, padding_idx=1)[0](t.tensor([[0, 1], [3, 1]])),
    lambda t: [layer.weight.data_ptr() == table.data_ptr() for layer, table in [pretrained(t)]],
    lambda t: [t.manual_seed(0) and None, pretrained(t) and None, t.rand(2)],
    lambda t: t.nn.Embedding(2, 3, _weight=t.ones(2, 3), _freeze=True).weight.requires_grad,
    lambda t: [p.detach() for p in t.nn.ParameterList([t.zeros(1), t.ones(1), t.ones(2)])[1:]],
    lambda t: len(t.nn.ParameterList([t.zeros(1), t.ones(1)])[:1]),
    lambda t: [p.detach() for p in grown(t)],
    lambda t: [repr(t.nn.ParameterDict({"b": t.ones(2), "a": t.ones(2, 3)})), repr(t.nn.ParameterDict())],
    lambda t: [
        [*each] for each in (by_name(t), by_name(t).state_dict(), dict(by_name(t).named_parameters()))
    ],
    lambda t: [p.detach() for _, p in by_name(t).items()] + [p.detach() for p in by_name(t).values()],
    lambda t: [len(by_name(t)), "a" in by_name(t), [*by_name(t).keys()], by_name(t).get("z", 3)],
    lambda t: [[p.pop("a").detach(), p["b"].detach(), [*p], p.clear(), len(p)] for p in [by_name(t)]],
    lambda t: [[p.__delitem__("b"), p.update({"c": t.ones(1)}), [*p]] for p in [by_name(t)]],
    lambda t: repr(t.nn.Sequential(t.nn.Tanh()) + t.nn.Sequential(t.nn.ReLU(), t.nn.Tanh())),
)
def test_tables_and_containers(case: Case) -> None:
    assert_same(case)


def by_name(t: Any) -> Any:
    return t.nn.ParameterDict({"b": t.ones(2), "a": t.nn.Parameter(t.zeros(2, 3))})


def grown(t: Any) -> Any:
    parameters = t.nn.ParameterList([t.zeros(1)])
    parameters += [t.ones(2), t.ones(3)]
    return parameters


@cases(
    lambda t: t.nn.Embedding.from_pretrained(t.ones(3)),
    lambda t: t.nn.Embedding.from_pretrained(t.ones(3, 2), padding_idx=3),
    lambda t: t.nn.Embedding(3, 2, _weight=t.ones(2, 3)),
    lambda t: t.nn.ParameterList([t.ones(1)])[1],
    lambda t: by_name(t).pop("c"),
    lambda t: by_name(t)["c"],
    lambda t: by_name(t).__setitem__(3, t.ones(1)),
    lambda t: by_name(t).__setitem__("keys", t.ones(1)),
    lambda t: t.nn.ParameterList([t.ones(1)])[-2],
)
def test_tables_and_containers_that_raise(case: Case) -> None:
    assert_same_error(case)
