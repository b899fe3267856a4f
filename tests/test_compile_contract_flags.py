"""Modes of models, and other bools in Python's objects, that a step sets at every call."""

import types
from collections.abc import Callable
from typing import Any

import pytest
from contract import attempt, compiled, same
from contract_models import X as ROWS
from contract_models import Y

import tinygrad_ninja as torch
from tinygrad_ninja import nn
from tinygrad_ninja.nn import functional as F
from tinygrad_ninja.program.compile import CompileWarning, compile

X = torch.tensor([1.0, -2.0, 0.5])
EVERY_OTHER_KIND = pytest.mark.parametrize("kind", ["BatchNorm1d", "Dropout"])


class Own(nn.Module):
    """A model that asks for its mode itself."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 2)

    def forward(self, x: Any) -> Any:
        return self.inner(x) * (2 if self.training else 3)


def model_with(kind: str) -> Any:
    layers = {"BatchNorm1d": lambda: nn.BatchNorm1d(4), "Dropout": lambda: nn.Dropout(0.5), "Tanh": nn.Tanh}
    return nn.Sequential(nn.Linear(3, 4), layers[kind](), nn.Linear(4, 3), Own())


def steps_of(C: Any, model: Any) -> tuple[Any, Any]:
    """Return two functions, of which each sets the mode: one that trains, and one that evaluates."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def train(x: Any, y: Any) -> Any:
        model.train()
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    def evaluate(x: Any, y: Any) -> Any:
        model.eval()
        with torch.no_grad():
            return F.cross_entropy(model(x), y)

    return C(train), C(evaluate)


def modes(model: Any) -> list[bool]:
    return [module.training for module in model.modules()]


@pytest.mark.parametrize("kind", ["BatchNorm1d", "Dropout", "Tanh"])
@compiled
def test_two_functions_alternate(C: Any, kind: str) -> Any:
    model = model_with(kind)
    train, evaluate = steps_of(C, model)
    for i in range(12):
        yield train(ROWS, Y), model, modes(model)
        if i % 3:
            yield evaluate(ROWS, Y), modes(model)


def test_two_functions_that_alternate_settle() -> None:
    model = model_with("BatchNorm1d")
    train, evaluate = steps_of(lambda f: compile(f, fullgraph=True, backend="numpy"), model)
    train(ROWS, Y), evaluate(ROWS, Y), train(ROWS, Y)
    with pytest.warns(CompileWarning, match="model.training` was True and is False"):
        evaluate(ROWS, Y), train(ROWS, Y)
    evaluate(ROWS, Y)
    told = train.explain(), evaluate.explain()
    for _ in range(6):
        train(ROWS, Y), evaluate(ROWS, Y), train(ROWS, Y)
    assert (train.explain(), evaluate.explain()) == told
    assert ["recorded 2 times" in told[0], "recorded once" in told[1]] == [True, True]


@compiled
def test_the_mode_is_put_back(C: Any) -> Any:
    model = model_with("Dropout")

    def estimate(x: Any, y: Any) -> Any:
        before = model.training
        model.eval()
        with torch.no_grad():
            loss = F.cross_entropy(model(x), y)
        model.train(before)
        return loss

    estimate = C(estimate)
    for mode in (True, True, False, True, False, False):
        model.train(mode)
        yield estimate(ROWS, Y), modes(model)


@compiled
def test_the_mode_of_a_part_is_another(C: Any) -> Any:
    model = model_with("BatchNorm1d")

    def step(x: Any) -> Any:
        model.train()
        model[1].eval()
        with torch.no_grad():
            return model(x) * 1

    step = C(step)
    for i in range(8):
        yield step(ROWS), model, modes(model)
        if i in (3, 5):
            model.train(i == 3)
        if i == 6:
            model[3].eval()


CHANGES: dict[str, Callable[[Any], Any]] = {
    "a number": lambda o: setattr(o, "on", 1),
    "None": lambda o: setattr(o, "on", None),
    "text": lambda o: setattr(o, "on", "no"),
    "a Tensor": lambda o: setattr(o, "on", torch.tensor(False)),
    "nothing": lambda o: delattr(o, "on"),
    "False": lambda o: setattr(o, "on", False),
    "True": lambda o: setattr(o, "on", True),
}
USES: dict[str, Callable[[Any, Any], Any]] = {
    "asked": lambda o, x: x * 2 if o.on else x,
    "asked for its negation": lambda o, x: x * 2 if not o.on else x,
    "asked whether it is True": lambda o, x: x * 2 if o.on is True else x,
    "asked whether it is not False": lambda o, x: x * 2 if o.on is not False else x,
    "asked whether it is another": lambda o, x: x * 2 if o.on is o.other else x,
    "compared": lambda o, x: x * 2 if o.on == o.other else x,
    "compared with True": lambda o, x: x * 2 if o.on == True else x,  # noqa: E712
    "a factor": lambda o, x: x * o.on,
    "a factor of integers": lambda o, x: torch.arange(3) * o.on,
    "a factor of bools": lambda o, x: (x > 0) & o.on,
    "a factor of numbers": lambda o, x: x + o.on * 0.5 - 2 * o.on,
    "a sum": lambda o, x: x + (o.on + o.other),
    "a part of a sum": lambda o, x: x + sum([o.on, o.other, True]),
    "a key": lambda o, x: x * {True: 2.0, False: 3.0}[o.on],
    "an index": lambda o, x: x * (2.0, 3.0)[o.on],
    "of a type": lambda o, x: x * 2 if type(o.on) is bool else x,
    "a bool": lambda o, x: x * 2 if isinstance(o.on, bool) else x,
    "in a Tensor": lambda o, x: torch.where(torch.tensor(o.on), x, -x),
    "in a Tensor of three": lambda o, x: torch.where(torch.tensor([o.on, True, o.other]), x, -x),
    "filled in": lambda o, x: torch.full((2,), o.on),
    "a result": lambda o, x: (x * 2, o.on),
    "joined": lambda o, x: x * 2 if o.on and o.other else x,
    "text": lambda o, x: x * len(f"{o.on}"),
    "an option": lambda o, x: x.sum(0, keepdim=o.on),
    "given on": lambda o, x: F.dropout(x, 0.5, training=o.on),
}


@pytest.mark.parametrize("use", USES)
@same
def test_a_flag_is_turned_at_every_call(C: Any, use: str) -> Any:
    o = types.SimpleNamespace(on=False, other=True, before=None)

    def step(x: Any) -> Any:
        y = USES[use](o, x)
        o.before = o.on
        o.on = not o.on
        return y

    step = C(step)
    for i in range(9):
        yield attempt(step, X), vars(o), type(o.before)
        if i == 5:
            o.on = o.before


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("first", [True, False])
@same
def test_a_flag_that_is_set_is_changed_between_calls(C: Any, change: str, first: bool) -> Any:
    o = types.SimpleNamespace(on=first)

    def step(x: Any) -> Any:
        y = x * 2 if o.on else x
        o.on = True
        z = y + 1 if o.on else y
        o.on = False
        return z

    step = C(step)
    for i in range(10):
        yield attempt(step, X), vars(o)
        if i in (5, 7):
            CHANGES[change](o)


@compiled
def test_a_mode_that_is_set_outside(C: Any) -> Any:
    model = model_with("BatchNorm1d")

    def step(x: Any) -> Any:
        with torch.no_grad():
            return model(x) * 1

    step = C(step)
    for mode in (True, False, True, False, True, True, False):
        model.train(mode)
        yield step(ROWS), model


@compiled
def test_the_first_call_is_another(C: Any) -> Any:
    o = types.SimpleNamespace(first=True, k=0)

    def step(x: Any) -> Any:
        if o.first:
            o.first = False
            return x * 0
        o.k += 1
        return x * o.k

    step = C(step)
    for i in range(12):
        yield step(X), vars(o)
        o.first |= i in (6, 9)
