"""Recurrent networks and their cells: parameters of one seed, outputs, states, gradients, torch's errors."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from both import Case, assert_same, assert_same_error, cases

import tinygrad_ninja

draw = np.random.default_rng(8)
X = draw.standard_normal((5, 3, 4))  # (length, batch, features)
KINDS = ["RNN", "GRU", "LSTM"]
OPTIONS: list[dict[str, Any]] = [
    {},
    {"num_layers": 2},
    {"bias": False},
    {"bidirectional": True},
    {"num_layers": 3, "bidirectional": True, "batch_first": True},
    {"num_layers": 2, "dropout": 0.5},
]
SPECIAL: list[tuple[str, dict[str, Any]]] = [
    ("RNN", {"nonlinearity": "relu", "num_layers": 2}),
    ("LSTM", {"proj_size": 2, "num_layers": 2, "bidirectional": True}),
    ("LSTM", {"proj_size": 2, "bias": False, "batch_first": True}),
]
SETTINGS = [(kind, options) for kind in KINDS for options in OPTIONS] + SPECIAL


def first_state(t: Any, layer: Any, batch: int | None) -> Any:
    """A state that is not zero; None for no batch."""
    parts = layer.num_layers * (1 + layer.bidirectional)
    sizes = [layer.proj_size or layer.hidden_size, layer.hidden_size][: 1 + isinstance(layer, t.nn.LSTM)]
    shapes = [(parts, size) if batch is None else (parts, batch, size) for size in sizes]
    numbers = np.random.default_rng(9)
    states = tuple(t.tensor(numbers.standard_normal(shape), requires_grad=True) for shape in shapes)
    return states if len(states) > 1 else states[0]


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize(("kind", "options"), SETTINGS, ids=str)
def test_outputs_states_and_gradients(kind: str, options: dict[str, Any], batched: bool, given: bool) -> None:
    def case(t: Any) -> Any:
        t.manual_seed(0)
        layer = getattr(t.nn, kind)(4, 3, **options)
        drawn = {name: value.clone() for name, value in layer.state_dict().items()}
        layer = layer.double()
        x = t.tensor(X if batched else X[:, 0], requires_grad=True)
        state = first_state(t, layer, x.shape[0 if layer.batch_first else 1] if batched else None)
        out, last = layer(x, state) if given else layer(x)
        lasts = last if isinstance(last, tuple) else (last,)
        weights = t.linspace(0.5, 1.5, out.numel(), dtype=out.dtype).reshape(out.shape)
        ((out * weights).sum() + sum((each**2).sum() for each in lasts)).backward()
        states = state if isinstance(state, tuple) else (state,)
        slopes = [x.grad, *(parameter.grad for parameter in layer.parameters())]
        slopes += [each.grad for each in states if given]
        return repr(layer), drawn, out.detach(), [each.detach() for each in lasts], slopes, t.rand(2)

    assert_same(case, ulps=512, scaled=True)


@pytest.mark.parametrize("kind", KINDS)
def test_second_derivatives(kind: str) -> None:
    def case(t: Any) -> Any:
        t.manual_seed(1)
        layer = getattr(t.nn, kind)(4, 3).double()
        leaves = [t.tensor(X, requires_grad=True), *layer.parameters()]
        slopes = t.autograd.grad((layer(leaves[0])[0] ** 2).sum(), leaves, create_graph=True)
        return t.autograd.grad(sum((slope**2).sum() for slope in slopes), leaves)

    assert_same(case, ulps=2048, scaled=True)


CELLS: list[tuple[str, dict[str, Any]]] = [
    ("RNNCell", {}),
    ("RNNCell", {"nonlinearity": "relu", "bias": False}),
    ("GRUCell", {}),
    ("GRUCell", {"bias": False}),
    ("LSTMCell", {}),
    ("LSTMCell", {"bias": False}),
]


@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize(("kind", "options"), CELLS, ids=str)
def test_cells(kind: str, options: dict[str, Any], batched: bool) -> None:
    def case(t: Any) -> Any:
        t.manual_seed(0)
        cell = getattr(t.nn, kind)(4, 3, **options)
        drawn = {name: value.clone() for name, value in cell.state_dict().items()}
        cell = cell.double()
        steps = t.tensor(X if batched else X[:, 0], requires_grad=True)
        state = None
        for step in range(steps.shape[0]):
            state = cell(steps[step], state)
        parts = state if isinstance(state, tuple) else (state,)
        sum((part**2).sum() for part in parts).backward()
        slopes = [steps.grad, *(parameter.grad for parameter in cell.parameters())]
        return repr(cell), drawn, [part.detach() for part in parts], slopes

    assert_same(case, ulps=512, scaled=True)


@pytest.mark.parametrize(("kind", "options"), [*SETTINGS, *CELLS], ids=lambda setting: str(setting))
def test_they_cross_to_torch_and_back(kind: str, options: dict[str, Any]) -> None:
    t = tinygrad_ninja
    layer = getattr(t.nn, kind)(4, 3, **options).eval()
    theirs = t.to_torch(layer)
    back = t.from_torch(theirs)
    assert type(theirs) is getattr(torch.nn, kind)
    assert repr(theirs) == repr(layer) == repr(back)
    assert list(theirs.state_dict()) == list(layer.state_dict())
    x = X.astype(np.float32) if "Cell" not in kind else X[0].astype(np.float32)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="LSTM with projections")  # is slow there
        expected = theirs(torch.tensor(x))
    for ours in (layer, back):
        out = ours(t.tensor(x))
        pair = (out, expected) if kind in ("RNNCell", "GRUCell") else (out[0], expected[0])
        np.testing.assert_allclose(pair[0].detach().numpy(), pair[1].detach().numpy(), rtol=1e-4, atol=1e-6)
    state = {name: t.tensor(value.numpy()) for name, value in theirs.state_dict().items()}
    assert layer.load_state_dict(state).missing_keys == []


@cases(
    lambda t: t.nn.RNN(4, 3, nonlinearity="nonsense"),
    lambda t: t.nn.RNN(4, 3, dropout=1.5),
    lambda t: t.nn.GRU(4, 3, dropout=True),
    lambda t: t.nn.GRU(4, 3, bias=1),
    lambda t: t.nn.GRU(4, 3, batch_first=None),
    lambda t: t.nn.GRU(4.0, 3),
    lambda t: t.nn.GRU(0, 3),
    lambda t: t.nn.GRU(4, 0),
    lambda t: t.nn.GRU(4, 3, 0),
    lambda t: t.nn.LSTM(4, 3, proj_size=3),
    lambda t: t.nn.LSTM(4, 3, proj_size=-1),
    lambda t: t.nn.LSTM(4, 3)(t.ones(4)),
    lambda t: t.nn.LSTM(4, 3)(t.ones(2, 5)),
    lambda t: t.nn.LSTM(4, 3)(t.ones(2, 4).double()),
    lambda t: t.nn.RNN(4, 3)(t.ones(0, 2, 4)),
    lambda t: t.nn.RNN(4, 3)(t.ones(2, 2, 4), t.ones(1, 3)),
    lambda t: t.nn.RNN(4, 3)(t.ones(2, 4), t.ones(1, 1, 3)),
    lambda t: t.nn.RNN(4, 3)(t.ones(2, 2, 4), t.ones(2, 2, 3)),
    lambda t: t.nn.GRU(4, 3)(t.ones(2, 2, 4), t.ones(1, 2, 4)),
    lambda t: t.nn.LSTM(4, 3)(t.ones(2, 2, 4), (t.ones(1, 2, 3), t.ones(1, 1, 3))),
    lambda t: t.nn.RNNCell(4, 3)(t.ones(2, 2, 4)),
    lambda t: t.nn.RNNCell(4, 3)(t.ones(2, 5)),
    lambda t: t.nn.RNNCell(4, 3)(t.ones(2, 4), t.ones(2, 4)),
    lambda t: t.nn.GRUCell(4, 3)(t.ones(2, 4), t.ones(3, 3)),
    lambda t: t.nn.GRUCell(4, 3)(t.ones(2, 4), t.ones(1, 2, 3)),
    lambda t: t.nn.LSTMCell(4, 3)(t.ones(2, 4), (t.ones(2, 3), t.ones(2, 2))),
    lambda t: t.nn.RNNCell(4, 3, nonlinearity="nonsense")(t.ones(2, 4)),
)  # fmt: skip
def test_calls_that_raise(case: Case) -> None:
    assert_same_error(case)


def test_a_dropout_without_a_second_layer_is_warned_of() -> None:
    for t in (tinygrad_ninja, torch):
        with pytest.warns(UserWarning, match="num_layers"):
            t.nn.GRU(4, 3, dropout=0.5)


def test_the_parameters_of_each_part() -> None:
    def case(t: Any) -> Any:
        t.manual_seed(0)
        layer = t.nn.LSTM(4, 3, 2, bidirectional=True)
        layer.flatten_parameters()
        return [[parameter.detach() for parameter in part] for part in layer.all_weights]

    assert_same(case)


@pytest.mark.parametrize("kind", ["RNN", *(pytest.param(each, marks=pytest.mark.slow) for each in KINDS[1:])])
def test_compiled_and_derived(kind: str) -> None:
    t = tinygrad_ninja
    t.manual_seed(0)
    x, y = t.tensor(X.astype(np.float32)), t.tensor([0, 1, 2])
    layer = getattr(t.nn, kind)(4, 3, 2)
    optimizer = t.optim.SGD(layer.parameters(), lr=0.0)

    def step() -> Any:
        loss = t.nn.functional.cross_entropy(layer(x)[0][-1], y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    expected = step().item()
    slopes = [parameter.grad.clone() for parameter in layer.parameters()]
    compiled = t.compile(step, fullgraph=True)
    for _ in range(3):
        assert compiled().item() == pytest.approx(expected, rel=1e-5)
    for parameter, slope in zip(layer.parameters(), slopes, strict=True):
        np.testing.assert_allclose(parameter.grad.numpy(), slope.numpy(), rtol=1e-4, atol=1e-6)
    loss = t.nn.functional.cross_entropy(layer(x[:2])[0][-1], y)
    assert t.derive(loss, names={"x": x}).source("numpy")


@pytest.mark.parametrize(
    "settings", [{}, {"batch_first": True}, {"padding_value": -1.5, "padding_side": "left"}]
)
def test_sequences_of_different_lengths(settings: Any) -> None:
    def case(t: Any) -> Any:
        sequences = [t.arange(2.0 * n).reshape(n, 2).requires_grad_() for n in (3, 2, 1)]
        sequences[1] = sequences[1].double()
        out = t.nn.utils.rnn.pad_sequence(sequences, **settings)
        (out * t.arange(out.numel()).reshape(out.shape)).sum().backward()
        return out.detach(), sequences[0].grad, sequences[2].grad

    assert_same(case)


@cases(
    lambda t: t.nn.utils.rnn.pad_sequence([]),
    lambda t: t.nn.utils.rnn.pad_sequence([t.ones(2, 3), t.ones(1, 2)]),
    lambda t: t.nn.utils.rnn.pad_sequence([t.ones(2)], padding_side="above"),
)
def test_sequences_that_are_refused(case: Any) -> None:
    assert_same_error(case)
