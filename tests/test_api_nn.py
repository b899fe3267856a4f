"""The layers, functions and optimizer of the lecture's model, written as in torch and compared with it."""

from typing import Any

import numpy as np
import pytest
from both import Case, assert_same, assert_same_error, attempt, cases, gradients, same

LOGITS = np.array([[0.5, -1.25, 2.0], [1.5, 0.75, -0.5], [0.0, 0.0, 0.0], [3.0, -3.0, 1.0]])
TARGETS = np.array([2, 0, 1, 2])
WEIGHT = np.array([[1.0, -0.5, 0.25], [0.5, 2.0, -1.0]])
BIAS = np.array([0.5, -0.25])
SCALE, SHIFT = np.array([1.5, 0.5, -1.0]), np.array([0.1, 0.2, 0.3])


@cases(
    gradients(lambda t, x: t.nn.functional.cross_entropy(x, t.tensor(TARGETS)), LOGITS),
    gradients(lambda t, x: t.nn.functional.cross_entropy(input=x, target=t.tensor(TARGETS)), LOGITS),
    gradients(lambda t, x: t.nn.functional.cross_entropy(x, t.tensor(TARGETS), reduction="sum"), LOGITS),
    gradients(lambda t, x: t.nn.functional.cross_entropy(x, t.tensor(TARGETS), reduction="none"), LOGITS),
    gradients(lambda t, x: t.nn.functional.cross_entropy(x[0], t.tensor(2)), LOGITS),
    gradients(lambda t, x: t.nn.functional.cross_entropy(x * 1000, t.tensor(TARGETS)), LOGITS),
    gradients(lambda t, x: t.nn.functional.softmax(x, 1), LOGITS),
    gradients(lambda t, x: t.nn.functional.softmax(x, dim=-2), LOGITS),
    gradients(lambda t, x: t.nn.functional.log_softmax(x, dim=1), LOGITS),
    gradients(lambda t, x: t.nn.functional.softmax(input=x, dim=0, dtype=t.float64), LOGITS),
    gradients(lambda t, x: t.nn.functional.relu(x), LOGITS),
    gradients(lambda t, x: t.nn.functional.tanh(x), LOGITS),
    gradients(lambda t, x, w: t.nn.functional.linear(x, w), LOGITS, WEIGHT),
    gradients(lambda t, x, w, b: t.nn.functional.linear(x, w, b), LOGITS, WEIGHT, BIAS),
    gradients(lambda t, x, w, b: t.nn.functional.linear(x, w, bias=b), LOGITS[None], WEIGHT, BIAS),
    gradients(lambda t, x, w: t.nn.functional.linear(x[0], w), LOGITS, WEIGHT),
    gradients(lambda t, w: t.nn.functional.embedding(t.tensor([[0, 1], [1, 1]]), w), WEIGHT),
    gradients(lambda t, w: t.nn.functional.embedding(t.tensor(1), w), WEIGHT),
    gradients(lambda t, x: t.nn.functional.batch_norm(x, None, None, training=True), LOGITS),
    gradients(lambda t, x, w, b: t.nn.functional.batch_norm(x, None, None, w, b, True), LOGITS, SCALE, SHIFT),
    gradients(
        lambda t, x, w: t.nn.functional.batch_norm(x, t.tensor(SHIFT), t.tensor(SCALE**2), w), LOGITS, SCALE
    ),
    gradients(lambda t, x: t.nn.functional.batch_norm(x, None, None, training=True, eps=0.5), LOGITS),
    lambda t: t.nn.functional.one_hot(t.tensor(TARGETS), num_classes=4),
)
def test_functional(case: Case) -> None:
    assert_same(case, ulps=16, scaled=True)


@same
def test_batch_norm_updates_the_running_statistics(t: Any) -> Any:
    mean, variance = t.zeros(3), t.ones(3)
    out = t.nn.functional.batch_norm(t.tensor(LOGITS).float(), mean, variance, training=True, momentum=0.25)
    t.nn.functional.batch_norm(t.tensor(LOGITS).float(), mean, variance, training=False)
    return out.shape, mean, variance


@cases(
    lambda t: t.nn.functional.cross_entropy(t.tensor(LOGITS), t.tensor([0, 1, 2])),
    lambda t: t.nn.functional.cross_entropy(t.tensor(LOGITS), t.tensor([0, 1, 2, 3])),
    lambda t: t.nn.functional.cross_entropy(t.tensor(LOGITS), t.tensor([0, 1, 2, -1])),
    lambda t: t.nn.functional.cross_entropy(t.tensor(LOGITS), t.tensor([0, 1, 2, 0], dtype=t.int32)),
    lambda t: t.nn.functional.cross_entropy(t.tensor(LOGITS), t.tensor(TARGETS), reduction="nonsense"),
    lambda t: t.nn.functional.linear(t.tensor(LOGITS), t.tensor(WEIGHT).T),
    lambda t: t.nn.functional.embedding(t.tensor([2]), t.tensor(WEIGHT)),
    lambda t: t.nn.functional.embedding(t.tensor([0.0]), t.tensor(WEIGHT)),
    lambda t: t.nn.functional.batch_norm(t.tensor(LOGITS)[:1], None, None, training=True),
    lambda t: t.nn.functional.batch_norm(t.tensor(LOGITS), t.zeros(4), t.ones(4)),
    lambda t: t.nn.Linear(3, 2)(t.ones(4, 2)),
    lambda t: t.nn.BatchNorm1d(3)(t.ones(4, 2)),
    lambda t: t.nn.BatchNorm1d(3)(t.ones(1, 3)),
    lambda t: t.nn.Embedding(3, 2)(t.tensor([3])),
    lambda t: t.optim.SGD([], lr=0.1),
    lambda t: t.optim.SGD([t.ones(1, requires_grad=True)], lr=-0.1),
    lambda t: t.optim.SGD([t.ones(1, requires_grad=True) * 2], lr=0.1),
    lambda t: t.optim.SGD([1.0], lr=0.1),
    lambda t: t.optim.SGD(t.ones(1, requires_grad=True), lr=0.1),
    lambda t: t.nn.Linear(3, 2).load_state_dict({"weight": t.ones(2, 3)}),
    lambda t: t.nn.Linear(3, 2).load_state_dict({"weight": t.ones(2, 4), "bias": t.ones(2)}),
    lambda t: t.nn.Linear(3, 2).load_state_dict(
        {"weight": t.ones(2, 3), "bias": t.ones(2), "other": t.ones(1)}
    ),
)
def test_calls_that_raise(case: Case) -> None:
    assert_same_error(case)


@pytest.mark.parametrize("seed", [0, 2147483647])
@pytest.mark.parametrize(
    "make",
    [
        lambda t: t.nn.Linear(3, 2),
        lambda t: t.nn.Linear(30, 200),
        lambda t: t.nn.Linear(3, 2, bias=False),
        lambda t: t.nn.Linear(in_features=3, out_features=2, dtype=t.float64),
        lambda t: t.nn.Embedding(27, 10),
        lambda t: t.nn.BatchNorm1d(3),
    ],
    ids=["Linear", "large Linear", "no bias", "float64", "Embedding", "BatchNorm1d"],
)
def test_initial_numbers_under_one_seed(make: Case, seed: int) -> None:
    def case(t: Any) -> Any:
        t.manual_seed(seed)
        return {name: value.detach() for name, value in make(t).state_dict().items()}

    assert_same(case)


def network(t: Any) -> Any:
    model = t.nn.Sequential(
        t.nn.Embedding(5, 2),
        t.nn.Flatten(),
        t.nn.Linear(6, 8, bias=False),
        t.nn.BatchNorm1d(8),
        t.nn.Tanh(),
        t.nn.Linear(8, 5),
    ).to(t.float64)
    draw = np.random.default_rng(1)
    with t.no_grad():
        for parameter in model.parameters():
            parameter.copy_(t.tensor(draw.standard_normal(tuple(parameter.shape))))
    return model


def batches(t: Any, count: int = 4) -> Any:
    draw = np.random.default_rng(0)
    return [
        (t.tensor(draw.integers(5, size=(16, 3))), t.tensor(draw.integers(5, size=16))) for _ in range(count)
    ]


@same
def test_sequential_model_as_an_object(t: Any) -> Any:
    model = network(t)
    names = [name for name, _ in model.named_parameters()], list(model.state_dict())
    sizes = (
        [tuple(parameter.shape) for parameter in model.parameters()],
        len(model),
        len(list(model.children())),
    )
    kinds = [type(layer).__name__ for layer in model], isinstance(model[0].weight, t.nn.Parameter)
    modes = [
        model.training,
        model.eval() is model,
        model[3].training,
        model.train() is model,
        model[3].training,
    ]
    modules = [type(module).__name__ for module in model.modules()]
    return names, sizes, kinds, modes, modules, sum(parameter.nelement() for parameter in model.parameters())


@cases(
    lambda t: repr(t.nn.Linear(2, 3)),
    lambda t: repr(t.nn.Linear(2, 3, bias=False)),
    lambda t: repr(t.nn.Embedding(2, 3)),
    lambda t: repr(t.nn.Tanh()),
    lambda t: repr(t.nn.Flatten()),
    lambda t: repr(t.nn.Sequential(t.nn.Linear(2, 3), t.nn.Tanh())),
    lambda t: repr(t.nn.Parameter(t.ones(2))),
)
def test_repr(case: Case) -> None:
    assert_same(case)


OPTIMIZERS: list[dict[str, Any]] = [
    {"lr": 0.5},
    {"lr": 0.1, "momentum": 0.9},
    {"lr": 0.1, "momentum": 0.9, "nesterov": True},
    {"lr": 0.1, "momentum": 0.9, "dampening": 0.5},
    {"lr": 0.1, "weight_decay": 0.01},
]


@pytest.mark.parametrize("options", OPTIMIZERS)
def test_training_steps(options: dict[str, Any]) -> None:
    """Losses, parameters and running statistics after a few steps of SGD, and the loss of evaluation."""

    def case(t: Any) -> Any:
        model, losses = network(t), []
        optimizer = t.optim.SGD(model.parameters(), **options)
        for x, y in batches(t):
            loss = t.nn.functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        model.eval()
        with t.no_grad():
            x, y = batches(t)[0]
            losses.append(t.nn.functional.cross_entropy(model(x), y).item())
        return losses, {name: value.detach() for name, value in model.state_dict().items()}

    assert_same(case, ulps=256, scaled=True)


@same
def test_optimizer_details(t: Any) -> Any:
    """A parameter without a gradient is left alone, lr may be changed, zero_grad forgets."""
    used, unused = t.ones(2, requires_grad=True), t.ones(2, requires_grad=True)
    optimizer = t.optim.SGD([used, unused], lr=0.5)
    (used * 3).sum().backward()
    optimizer.step()
    first = used.detach().clone()
    optimizer.param_groups[0]["lr"] = 0.25
    optimizer.step()
    second = used.detach().clone()
    optimizer.zero_grad()
    return first, second, unused, used.grad, unused.grad


@same
def test_module_of_ones_own(t: Any) -> Any:
    class Scale(t.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.factor = t.nn.Parameter(t.full((2,), 3.0))
            self.register_buffer("calls", t.zeros(1))
            self.inner = t.nn.Linear(2, 2)
            self.plain = t.ones(1)

        def forward(self, x: Any) -> Any:
            self.calls += 1
            return self.inner(x * self.factor)

    model = Scale()
    with t.no_grad():
        model.inner.weight.copy_(t.tensor([[1.0, 2.0], [3.0, 4.0]]))
        model.inner.bias.zero_()
    model(t.ones(3, 2)).sum().backward()
    gradient = model.factor.grad.clone()
    model.zero_grad()
    copied = Scale()
    copied.load_state_dict(model.state_dict())
    flags = [parameter.requires_grad for parameter in model.requires_grad_(False).parameters()]
    names = [name for name, _ in model.named_parameters()], [name for name, _ in model.named_buffers()]
    missing = attempt(getattr, model, "nonsense")
    return (
        gradient,
        model.factor.grad,
        copied.calls,
        copied.inner.weight,
        flags,
        names,
        list(model.state_dict()),
        missing,
    )


def test_the_lectures_own_layers() -> None:
    """Layers written out by hand, as the lecture does, next to the library's: a step without an optimizer."""

    def case(t: Any) -> Any:
        embedding = t.tensor(WEIGHT, requires_grad=True)
        hidden = t.tensor(np.arange(12.0).reshape(6, 2) / 10 - 0.5, requires_grad=True)
        x, y = t.tensor([[0, 1], [1, 1], [1, 0]]), t.tensor([1, 0, 1])
        for _ in range(3):
            flat = embedding[x].view(x.shape[0], -1)
            pre = flat @ hidden
            pre = (pre - pre.mean(0, keepdim=True)) / pre.std(0, keepdim=True)
            loss = t.nn.functional.cross_entropy(t.tanh(pre), y)
            for parameter in [embedding, hidden]:
                parameter.grad = None
            loss.backward()
            for parameter in [embedding, hidden]:
                parameter.data += -0.5 * parameter.grad
        return loss.item(), embedding, hidden

    assert_same(case, ulps=256, scaled=True)
