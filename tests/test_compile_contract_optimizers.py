"""Optimizers and schedules, inside and outside of compiled functions, changed between the calls."""

import copy
from typing import Any

import pytest
from contract import attempt, compiled, same
from contract_models import OPTIMIZERS, X, Y, trained
from slow_ones import slow_but

import tinygrad_ninja as torch
from tinygrad_ninja import nn
from tinygrad_ninja.nn import functional as F

SCHEDULES = torch.optim.lr_scheduler

EVERY = pytest.mark.parametrize("kind", OPTIMIZERS)
SOME = pytest.mark.parametrize("kind", slow_but(OPTIMIZERS, "SGD with momentum", "Adam"))


@EVERY
@compiled
def test_a_training(C: Any, kind: str) -> Any:
    model, optimizer, step = trained(C, kind)
    for k in range(6):
        yield step(X * (k + 1)), model, optimizer


@SOME
@compiled
def test_another_learning_rate(C: Any, kind: str) -> Any:
    model, optimizer, step = trained(C, kind)
    for k in range(12):
        optimizer.param_groups[0]["lr"] = 0.1 / (k // 2 + 1)
        yield step(X), model, optimizer


NUMBERS: dict[str, tuple[str, str, Any]] = {
    "momentum": ("SGD with momentum", "momentum", 0.5),
    "weight decay": ("SGD with momentum", "weight_decay", 0.5),
    "nesterov": ("SGD with momentum", "nesterov", False),
    "maximize": ("SGD", "maximize", True),
    "dampening": ("SGD", "dampening", 0.1),
    "momentum that was none": ("SGD", "momentum", 0.9),
    "betas": ("Adam", "betas", (0.5, 0.9)),
    "eps": ("Adam", "eps", 0.1),
    "decay of AdamW": ("AdamW", "weight_decay", 0.9),
    "learning rate 0": ("AdamW", "lr", 0.0),
    "learning rate of an int": ("SGD", "lr", 1),
}


@pytest.mark.parametrize("number", NUMBERS)
@compiled
def test_another_number_of_a_group(C: Any, number: str) -> Any:
    kind, name, value = NUMBERS[number]
    model, optimizer, step = trained(C, kind)
    for k in range(6):
        yield step(X), model, optimizer
        if k == 2:
            optimizer.param_groups[0][name] = value


@SOME
@same
def test_a_state_is_saved_and_loaded(C: Any, kind: str) -> Any:
    model, optimizer, step = trained(C, kind)
    saved = copy.deepcopy(optimizer.state_dict())
    for k in range(8):
        yield step(X), model, optimizer
        if k % 3 == 1:
            saved = copy.deepcopy(optimizer.state_dict())
        if k % 3 == 2:
            optimizer.load_state_dict(saved)
    yield saved


@SOME
@same
def test_a_state_is_cleared(C: Any, kind: str) -> Any:
    model, optimizer, step = trained(C, kind)
    for k in range(7):
        yield step(X), model, optimizer
        if k == 2:
            optimizer.state.clear()
        if k == 4:
            optimizer.state.pop(model[0].weight, None)


@SOME
@same
def test_a_group_is_added(C: Any, kind: str) -> Any:
    model, optimizer, step = trained(C, kind)
    extra = torch.ones(2, requires_grad=True)

    def step_with_extra(x: Any) -> Any:
        loss = F.cross_entropy(model(x) * extra, Y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    step = C(step_with_extra)
    for k in range(7):
        yield step(X), model, optimizer, extra
        if k == 2:
            optimizer.add_param_group({"params": [extra], "lr": 0.5})
        if k == 4:
            optimizer.param_groups[1]["lr"] = 0.25


@SOME
@same
def test_frozen_in_a_training(C: Any, kind: str) -> Any:
    """A parameter without a gradient is left alone, also by momentum and decay."""
    model, optimizer, step = trained(C, kind)
    for k in range(8):
        yield step(X), model, optimizer
        if k == 2:
            model[0].requires_grad_(False)
        if k == 5:
            model[0].requires_grad_(True)


@SOME
@same
def test_gradients_are_set_to_zero_or_to_none(C: Any, kind: str) -> Any:
    model = nn.Linear(3, 2)
    optimizer = OPTIMIZERS[kind](model.parameters())

    def step(x: Any, to_none: bool) -> Any:
        optimizer.zero_grad(set_to_none=to_none)
        loss = F.cross_entropy(model(x), Y)
        loss.backward()
        optimizer.step()
        return loss

    step = C(step)
    for k in range(6):
        yield step(X * k, k % 3 == 0), model, optimizer


@same
def test_a_state_is_changed_in_place(C: Any) -> Any:
    model, optimizer, step = trained(C, "SGD with momentum")
    for k in range(6):
        yield step(X), model, optimizer
        if k == 2:
            optimizer.state[model[0].weight]["momentum_buffer"].zero_()
        if k == 3:
            optimizer.state[model[0].weight]["momentum_buffer"] = torch.ones(4, 3)


@same
def test_steps_of_adam_are_counted_on(C: Any) -> Any:
    model, optimizer, step = trained(C, "Adam")
    for k in range(6):
        yield step(X), optimizer
        if k == 2:
            optimizer.state[model[0].weight]["step"] += 100
        if k == 4:
            optimizer.state[model[0].bias]["step"] = torch.tensor(1.0)


@same
def test_another_optimizer_takes_its_place(C: Any) -> Any:
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def step() -> Any:
        loss = F.cross_entropy(model(X), Y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    step = C(step)
    for k in range(7):
        yield step(), model, optimizer
        if k == 2:
            optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
        if k == 4:
            optimizer = torch.optim.SGD(model.parameters(), lr=0.5)


@same
def test_an_optimizer_as_an_argument(C: Any) -> Any:
    w = torch.ones(3, requires_grad=True)

    def step(optimizer: Any, x: Any) -> Any:
        optimizer.zero_grad()
        ((w * x) ** 2).sum().backward()
        optimizer.step()

    step = C(step)
    several = [
        torch.optim.SGD([w], lr=0.1),
        torch.optim.SGD([w], lr=0.01, momentum=0.9),
        torch.optim.Adam([w]),
    ]
    for i in (0, 1, 0, 2, 1, 1, 2):
        yield step(several[i], X[0]), w, several


@same
def test_two_optimizers(C: Any) -> Any:
    a, b = torch.ones(3, requires_grad=True), torch.ones(3, requires_grad=True)
    first, second = torch.optim.SGD([a], lr=0.1, momentum=0.9), torch.optim.Adam([b], lr=0.1)

    def step(x: Any, both: bool) -> Any:
        first.zero_grad()
        second.zero_grad()
        loss = ((a * x - b) ** 2).sum()
        loss.backward()
        first.step()
        if both:
            second.step()
        return loss

    step = C(step)
    for k in range(7):
        yield step(X[k % 4], k % 2 == 0), a, b, first, second


@EVERY
def test_a_state_is_there_when_a_step_is_recorded(kind: str) -> None:
    _, optimizer, step = trained(torch.compile, kind)
    created = not optimizer.state and kind != "SGD"
    loss = step(X)
    assert not loss.requires_grad
    assert ("is not recorded yet" in step.explain()) is created
    step(X)
    assert "recorded once" in step.explain()


def test_a_function_that_never_steps_is_recorded_at_its_second_call() -> None:
    model, optimizer, _ = trained(lambda f: f, "Adam")

    @torch.compile(fullgraph=True)
    def evaluate(x: Any) -> Any:
        optimizer.zero_grad()
        with torch.no_grad():
            return [F.cross_entropy(model(x), Y), x]

    for _ in range(3):
        loss, x = evaluate(X)
        assert x is X
        assert not loss.requires_grad
    assert "recorded once" in evaluate.explain()


@compiled
def test_a_loss_that_is_derived_outside(C: Any) -> Any:
    model, optimizer, _ = trained(lambda f: f, "Adam")

    def loss_of(x: Any) -> Any:
        optimizer.zero_grad()
        return F.cross_entropy(model(x), Y)

    loss_of = C(loss_of)
    for _ in range(5):
        loss_of(X).backward()
        yield [p.grad for p in model.parameters()]
        optimizer.step()
        yield model


@same
def test_a_learning_rate_that_is_a_tensor_raises_what_eager_code_raises(C: Any) -> Any:
    model, optimizer, step = trained(C, "SGD with momentum")
    yield step(X), model
    optimizer.param_groups[0]["lr"] = torch.tensor(0.1)
    for _ in range(2):
        yield attempt(step, X), model, optimizer
