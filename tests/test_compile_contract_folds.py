"""One compiled function for model after model, as cross-validation and sweeps have it: at most so many
recordings are kept, and those of other objects give way."""

import gc
import types
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from compiled_steps import told_once
from contract import compiled, same
from contract_models import X as ROWS
from contract_models import Y

import tinygrad_ninja as torch
from tinygrad_ninja import nn
from tinygrad_ninja.nn import functional as F
from tinygrad_ninja.program.compile import compile

X = torch.tensor([1.0, -2.0, 0.5])
MODEL: Any = None
HERE = r"test_compile_contract_folds.py:\d+: "


def made(width: int = 4) -> tuple[Any, Any]:
    """A model and its optimizer."""
    model = nn.Sequential(nn.Linear(3, width), nn.BatchNorm1d(width), nn.Tanh(), nn.Linear(width, 2))
    return model, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.5)


def train(model: Any, optimizer: Any, x: Any, y: Any) -> Any:
    model.train()
    loss = F.cross_entropy(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss


def evaluate(model: Any, x: Any, y: Any) -> Any:
    model.eval()
    with torch.no_grad():
        return F.cross_entropy(model(x), y)


@pytest.mark.parametrize("widths", [(4,) * 12, range(2, 14)])
@compiled
def test_folds(C: Any, widths: Any) -> Any:
    fit, test = C(train), C(evaluate)
    for width in widths:
        model, optimizer = made(width)
        for rows in (6, 6, 6, 4, 6, 4):
            yield fit(model, optimizer, ROWS[:rows], Y[:rows]), test(model, ROWS, Y)
        yield model, optimizer


@compiled
def test_folds_of_a_global(C: Any) -> Any:
    global MODEL

    def step(x: Any) -> Any:
        assert MODEL is not None
        return MODEL(x).sum()

    step = C(step)
    for k in range(11):
        MODEL = made()[0].train(k % 2 == 0)
        for _ in range(4):
            yield step(ROWS).detach(), MODEL


@compiled
def test_folds_that_count(C: Any) -> Any:
    class Fold:
        def __init__(self, k: float) -> None:
            self.model, self.optimizer = made()
            self.steps, self.k = 0, k

        def step(self, x: Any, y: Any) -> Any:
            self.steps += 1
            return train(self.model, self.optimizer, x * self.k, y)

    step = C(Fold.step)
    for k in range(10):
        fold = Fold(float(k))
        for _ in range(5):
            yield step(fold, ROWS, Y), fold.steps, fold.model


@same
def test_models_take_turns(C: Any) -> Any:
    models = [made() for _ in range(10)]
    step = C(train)
    for i in range(60):
        model, optimizer = models[i // 4 if i < 40 else i % 10]
        yield step(model, optimizer, ROWS, Y), model, optimizer


def test_what_gave_way_is_told() -> None:
    fast = compile(lambda model, x: model(x) * 1, fullgraph=True, backend="numpy", recompile_limit=3)
    models = [nn.Linear(3, 2) for _ in range(7)]
    seen = [weakref.ref(model) for model in models]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for model in models:
            for _ in range(3):
                fast(model, ROWS).detach()
    told = fast.explain()
    assert "recorded 7 times:\n  4 of other objects, such as another model, gave way; those that" in told
    assert told.count("another object as argument 0, a Linear") == 3
    assert "\n  7. for another object" in told
    del models, model
    gc.collect()
    assert [ref() is None for ref in seen] == [True] * 4 + [False] * 3


NEW_ONES: dict[str, Callable[[int], Any]] = {
    "an object": lambda i: types.SimpleNamespace(k=2),
    "a function": lambda i: lambda x: x * i,
    "a model": lambda i: nn.Linear(3, 3),
}


@pytest.mark.parametrize("kind", NEW_ONES)
def test_a_new_object_at_every_call_ends_as_eager_code(kind: str) -> None:
    fast = compile(lambda x, new: x * 2 if new is None else new(x) if callable(new) else x * new.k)
    with told_once(HERE + ".*it was recorded 8 times"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is recorded again")
        for i in range(12):
            fast(ROWS, NEW_ONES[kind](i))


def test_numbers_of_one_model_count() -> None:
    model = nn.Linear(3, 2)
    model.note = "0"

    def step(x: Any) -> Any:
        return model(x) * len(model.note)

    fast = compile(step, recompile_limit=3)
    with told_once(HERE + ".*it was recorded 3 times"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is recorded again")
        for i in range(6):
            model.note = "0" * i
            for _ in range(3):
                fast(ROWS)
