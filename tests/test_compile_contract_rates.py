"""Steps that set the learning rate, and other numbers of an optimizer's groups, themselves."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from contract import attempt, compiled, same
from contract_models import OPTIMIZERS, X, Y
from slow_ones import slow_but

import tinygrad_ninja as torch
from tinygrad_ninja import nn
from tinygrad_ninja.nn import functional as F

Setter = Callable[[Any, Any], None]


def scene(kind: str = "SGD", groups: int = 1) -> tuple[Any, Any, Callable[..., Any]]:
    """A model, its optimizer, and what makes a step that calls a function of the optimizer and the arguments
    first."""
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    parts = (
        [{"params": model.parameters()}] if groups == 1 else [{"params": m.parameters()} for m in model[::2]]
    )
    optimizer = OPTIMIZERS[kind](parts)

    def made(sets: Callable[..., Any]) -> Callable[..., Any]:
        def step(x: Any, *args: Any) -> Any:
            sets(optimizer, *args)
            loss = F.cross_entropy(model(x), Y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        return step

    return model, optimizer, made


def in_every_group(optimizer: Any, rate: Any) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def in_the_first(optimizer: Any, rate: Any) -> None:
    optimizer.param_groups[0]["lr"] = rate


def updated(optimizer: Any, rate: Any) -> None:
    optimizer.param_groups[0].update(lr=rate)


def smaller_in_each(optimizer: Any, rate: Any) -> None:
    for i, group in enumerate(optimizer.param_groups):
        group["lr"] = rate / (i + 1) - 0.001


def of_another(optimizer: Any, rate: Any) -> None:
    first, last = optimizer.param_groups[0], optimizer.param_groups[-1]
    first["lr"] = rate
    last["lr"] = first["lr"] * first["lr"]


def at_most(optimizer: Any, rate: Any) -> None:
    in_every_group(optimizer, min(rate, 0.05))


def weaker_with_every_step(optimizer: Any, rate: Any) -> None:
    for group in optimizer.param_groups:
        group["lr"] *= 0.9
        group["lr"] += 0.001 * rate


def exchanged(optimizer: Any, rate: Any) -> None:
    first, last = optimizer.param_groups[0], optimizer.param_groups[-1]
    first["lr"], last["lr"] = last["lr"] * 0.9, first["lr"] + 0.001 * rate


SETTERS = {
    f.__name__.replace("_", " "): f
    for f in (
        in_every_group, in_the_first, updated, smaller_in_each, of_another, at_most, weaker_with_every_step,
        exchanged,
    )
}  # fmt: skip


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("setter", SETTERS)
@compiled
def test_a_rate_is_set_in_the_step(C: Any, setter: str, groups: int) -> Any:
    model, optimizer, made = scene(groups=groups)
    step = C(made(SETTERS[setter]))
    for i in range(14):
        yield step(X, 0.1 / (i + 1)), model, optimizer
    optimizer.param_groups[0]["lr"] = 0.5  # the caller's
    yield step(X, 0.25), model, optimizer
    optimizer.param_groups[-1]["lr"] = 0.125
    yield step(X, 0.25), model, optimizer


@pytest.mark.parametrize("kind", slow_but(OPTIMIZERS, "SGD with momentum", "Adam"))
@compiled
def test_a_rate_is_set_whatever_the_optimizer(C: Any, kind: str) -> Any:
    model, optimizer, made = scene(kind, 2)
    step = C(made(in_every_group))
    for i in range(12):
        yield step(X, 0.1 / (i + 1)), model, optimizer


def in_two_steps(optimizer: Any, i: int) -> None:
    in_every_group(optimizer, 0.1 if i < 4 else 0.01)


def in_four_steps(optimizer: Any, i: int) -> None:
    in_every_group(optimizer, 0.1 if i < 2 else 0.05 if i < 4 else 0.02 if i < 8 else 0.01)


def warmed_up(optimizer: Any, i: int) -> None:
    in_every_group(optimizer, 0.1 * (i + 1) / 5 if i < 5 else 0.1)


def along_a_line(optimizer: Any, i: int) -> None:
    in_every_group(optimizer, 0.1 * (1 - i / 20) + 0.001 * (i / 20))


def at_one_step(optimizer: Any, i: int) -> None:
    if i == 6:
        in_every_group(optimizer, 0.01)


SCHEDULES = {
    f.__name__.replace("_", " "): f
    for f in (in_two_steps, in_four_steps, warmed_up, along_a_line, at_one_step)
}


@pytest.mark.parametrize("schedule", SCHEDULES)
@compiled
def test_a_rate_is_computed_of_the_number_of_the_step(C: Any, schedule: str) -> Any:
    model, optimizer, made = scene("SGD with momentum")
    step = C(made(SCHEDULES[schedule]))
    for i in range(14):
        yield step(X, i), model, optimizer


@compiled
def test_a_rate_alternates_between_two_constants(C: Any) -> Any:
    model, optimizer, made = scene()
    step = C(made(lambda optimizer, big: in_every_group(optimizer, 0.5 if big else 0.01)))
    for i in range(12):
        yield step(X, i % 3 == 0), model, optimizer


@compiled
def test_other_numbers_of_a_group_are_set(C: Any) -> Any:
    model, optimizer, made = scene("SGD with momentum")

    def sets(optimizer: Any, k: float) -> None:
        (group,) = optimizer.param_groups
        group["momentum"], group["weight_decay"] = 0.9 - k, k * group["lr"]

    step = C(made(sets))
    for i in range(14):
        yield step(X, i / 20), model, optimizer


@compiled
def test_a_tuple_of_a_group_is_set(C: Any) -> Any:
    model, optimizer, made = scene("Adam")

    def sets(optimizer: Any, k: float) -> None:
        (group,) = optimizer.param_groups
        group["betas"] = 0.9 - k, group["betas"][1]

    step = C(made(sets))
    for i in range(14):
        yield step(X, i / 20), model, optimizer
        if i == 7:
            optimizer.param_groups[0]["betas"] = (0.5, 0.9)


@same
def test_a_rate_of_another_kind_is_set(C: Any) -> Any:
    model, optimizer, made = scene()
    step = C(made(in_every_group))
    for rate in (0.1, 1, 0.5, 0, 2, 0.1, np.float64(0.25), np.float32(0.5), 0.1, True, 0.2, 0.3):
        yield attempt(step, X, rate), model, optimizer, type(optimizer.param_groups[0]["lr"]).__name__
    yield attempt(step, X, torch.tensor(0.1)), model, type(optimizer.param_groups[0]["lr"]).__name__


@same
def test_what_is_set_is_a_number_of_pythons_own(C: Any) -> Any:
    model, optimizer, made = scene()
    kept: list[Any] = []
    step = C(made(in_every_group))
    for i in range(6):
        yield step(X, 0.1 / (i + 1)), model, optimizer
        (group,) = optimizer.param_groups
        kept.append(group["lr"])
        yield [type(rate).__name__ for rate in kept], f"{group['lr']:.4f}", group["lr"].hex()


@same
def test_a_rate_is_returned_too(C: Any) -> Any:
    model, optimizer, made = scene()
    inner = made(in_every_group)

    def step(x: Any, rate: float) -> Any:
        return inner(x, rate), optimizer.param_groups[0]["lr"]

    step = C(step)
    for i in range(12):
        yield step(X, 0.1 / (i + 1)), model, optimizer


@same
def test_a_rate_is_set_at_the_end(C: Any) -> Any:
    model, optimizer, made = scene()
    inner = made(lambda optimizer, rate: None)

    def step(x: Any, rate: float) -> Any:
        loss = inner(x, rate)
        in_every_group(optimizer, rate)
        optimizer.param_groups[0]["seen"] = 1
        return loss

    optimizer.param_groups[0]["seen"] = 1
    step = C(step)
    for i in range(12):
        yield step(X, 0.1 / (i + 1)), model, optimizer


@same
def test_a_rate_is_set_and_the_step_raises(C: Any) -> Any:
    model, optimizer, _ = scene()
    table = torch.randn(5, 3)

    def step(ix: Any, rate: float) -> Any:
        in_every_group(optimizer, rate)
        loss = F.cross_entropy(model(table[ix]), Y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    step = C(step)
    for i in range(10):
        ix = torch.tensor([0, 1, 2, 9 if i % 4 == 3 else 4])
        yield attempt(step, ix, 0.1 / (i + 1)), model, optimizer


@same
def test_a_rate_decides_what_is_computed(C: Any) -> Any:
    model, optimizer, made = scene()

    def sets(optimizer: Any, rate: float) -> None:
        (group,) = optimizer.param_groups
        if group["lr"] > 0.02:
            group["lr"] = rate
        else:
            group["lr"] = round(group["lr"] * 3, 3)

    step = C(made(sets))
    for i in range(12):
        yield step(X, 0.1 / (i + 1)), model, optimizer


@same
def test_a_setting_comes_and_goes(C: Any) -> Any:
    """A key that is new, or gone, and groups that are added."""
    model, optimizer, made = scene()
    step = C(made(in_every_group))
    (group,) = optimizer.param_groups
    for i in range(4):
        yield step(X, 0.1 / (i + 1)), model, optimizer
    group["more"] = 1.0
    yield step(X, 0.1), model, optimizer
    del group["more"]
    yield step(X, 0.2), model, optimizer
    optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(2))], "lr": 0.5})
    for i in range(3):
        yield step(X, 0.1 / (i + 1)), model, optimizer
    optimizer.load_state_dict(optimizer.state_dict())
    yield step(X, 0.3), model, optimizer, group


@compiled
def test_two_optimizers_of_one_step(C: Any) -> Any:
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    first = torch.optim.SGD(model[0].parameters(), lr=0.1)
    last = torch.optim.Adam(model[2].parameters(), lr=0.1)

    def step(x: Any, i: int) -> Any:
        first.param_groups[0]["lr"] = rate = 0.1 - i * 0.005
        last.param_groups[0]["lr"] = rate * first.param_groups[0]["lr"]
        loss = F.cross_entropy(model(x), Y)
        for optimizer in (first, last):
            optimizer.zero_grad()
        loss.backward()
        for optimizer in (first, last):
            optimizer.step()
        return loss

    step = C(step)
    for i in range(12):
        yield step(X, i), model, first, last


@compiled
def test_a_long_chain_of_arithmetic(C: Any) -> Any:
    model, optimizer, made = scene()

    def sets(optimizer: Any, rate: float) -> None:
        for _ in range(500):
            rate = rate * 0.999 + 0.0001
        in_every_group(optimizer, rate)

    step = C(made(sets))
    for i in range(4):
        yield step(X, 0.1 / (i + 1)), model, optimizer
