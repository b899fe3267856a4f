"""Gradients that accumulate or are clipped, schedules, and optimizers of other kinds."""

import copy
import decimal
import fractions
import statistics
import types
from collections.abc import Callable
from typing import Any

import pytest
from contract import attempt, compiled, refused, same
from contract_models import OPTIMIZERS, X, Y, trained
from slow_ones import slow_but

import tinygrad_ninja as torch
from tinygrad_ninja import nn
from tinygrad_ninja.nn import functional as F

SCHEDULES = torch.optim.lr_scheduler


# -- accumulation and clipping -------------------------------------------------------------------------------


@compiled
def test_gradients_accumulate_over_calls(C: Any) -> Any:
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def step(x: Any) -> Any:
        loss = F.cross_entropy(model(x), Y)
        loss.backward()
        return loss

    step = C(step)
    for k in range(8):
        yield step(X * k), model
        if k % 3 == 2:
            optimizer.step()
            optimizer.zero_grad(set_to_none=k % 2 == 0)
            yield model, optimizer


@compiled
def test_gradients_accumulate_within_a_call(C: Any) -> Any:
    model, optimizer, _ = trained(C, "SGD with momentum")

    def step(x: Any) -> Any:
        optimizer.zero_grad()
        for part, target in zip(x.chunk(2), Y.chunk(2), strict=True):
            (F.cross_entropy(model(part), target) / 2).backward()
        optimizer.step()
        return x.sum()

    step = C(step)
    for k in range(6):
        yield step(X * (k + 1)), model, optimizer


@pytest.mark.parametrize("how", ["norm", "value"])
@same
def test_gradients_are_clipped(C: Any, how: str) -> Any:
    model, optimizer, _ = trained(C, "SGD")

    def step(x: Any, limit: float) -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), Y)
        loss.backward()
        if how == "norm":
            norm = nn.utils.clip_grad_norm_(model.parameters(), limit)
        else:
            norm = nn.utils.clip_grad_value_(model.parameters(), limit)
        optimizer.step()
        return loss, norm

    step = C(step)
    for limit in (1.0, 0.1, 0.01, 100.0, 0.1, 1.0):
        yield step(X * 3, limit), model


@same
def test_a_step_is_left_out_where_a_gradient_is_not_finite(C: Any) -> Any:
    model, optimizer, _ = trained(C, "SGD")

    def step(x: Any) -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), Y)
        loss.backward()
        if bool(torch.isfinite(model[0].weight.grad).all()):
            optimizer.step()
        return loss

    step = C(step)
    for factor in (1.0, 2.0, float("nan"), 1.0, float("inf"), 3.0):
        yield step(X * factor), model


# -- schedules -----------------------------------------------------------------------------------------------

SCHEDULERS: dict[str, Callable[[Any], Any]] = {
    "StepLR": lambda o: SCHEDULES.StepLR(o, 2, 0.5),
    "MultiStepLR": lambda o: SCHEDULES.MultiStepLR(o, [1, 3], 0.1),
    "ExponentialLR": lambda o: SCHEDULES.ExponentialLR(o, 0.9),
    "CosineAnnealingLR": lambda o: SCHEDULES.CosineAnnealingLR(o, 5),
    "LinearLR": lambda o: SCHEDULES.LinearLR(o, 0.1, total_iters=4),
    "LambdaLR": lambda o: SCHEDULES.LambdaLR(o, lambda k: 1 / (k + 1)),
    "OneCycleLR": lambda o: SCHEDULES.OneCycleLR(o, 0.1, total_steps=12),
}


@pytest.mark.parametrize("schedule", slow_but(SCHEDULERS, "CosineAnnealingLR", "LambdaLR", "OneCycleLR"))
@compiled
def test_a_schedule_outside(C: Any, schedule: str) -> Any:
    model, optimizer, step = trained(C, "SGD with momentum")
    scheduler = SCHEDULERS[schedule](optimizer)
    for _ in range(10):
        yield step(X), model, optimizer
        scheduler.step()
        yield scheduler.get_last_lr(), scheduler


@pytest.mark.parametrize("kind", slow_but(OPTIMIZERS, "SGD with momentum", "Adam"))
@compiled
def test_every_number_of_a_group_changes(C: Any, kind: str) -> Any:
    """In more calls than recordings are kept: a tuple with other numbers, too, is read anew."""
    model, optimizer, step = trained(C, kind)
    (group,) = optimizer.param_groups
    for _ in range(14):
        yield step(X), model, optimizer
        for key, value in group.items():
            if type(value) is float:
                group[key] = value * 0.99
            elif type(value) is tuple:
                group[key] = tuple(number * 0.99 for number in value)
        numbers = group.get("betas")
        yield step(X), model, group.get("betas") is numbers


@same
def test_more_than_arithmetic_with_a_number_of_a_group(C: Any) -> Any:
    model, optimizer, _ = trained(C, "Adam")
    (group,) = optimizer.param_groups

    def step(x: Any) -> Any:
        loss = F.cross_entropy(model(x), Y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss, f"{group['betas'][0]:.3f}", group["weight_decay"] > 0.5

    step = C(step)
    for k in range(12):
        yield step(X), model
        group["betas"] = (0.9 - k // 3 / 10, 0.99 - k / 50)
        group["weight_decay"] = k / 8
    group["betas"] = [0.5, 0.9]
    yield step(X), model
    group["weight_decay"] = 1
    yield step(X), model
    group["betas"] = (0.5, 0.9, 0.9)
    try:
        yield step(X)
    except ValueError as error:
        yield str(error)


@pytest.mark.parametrize("schedule", slow_but(SCHEDULERS, "CosineAnnealingLR", "LambdaLR", "OneCycleLR"))
@compiled
def test_a_schedule_inside(C: Any, schedule: str) -> Any:
    model, optimizer, _ = trained(C, "SGD with momentum")
    model.double()  # for the steps are long, so that differences grow
    scheduler = SCHEDULERS[schedule](optimizer)

    def step(x: Any) -> Any:
        loss = F.cross_entropy(model(x), Y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        return loss

    step = C(step)
    for k in range(14):
        yield attempt(step, X.double() * (k + 1)), model, optimizer, scheduler
        if k == 5:
            optimizer.param_groups[0]["lr"] *= 0.5


@same
def test_a_closure_is_given_to_step(C: Any) -> Any:
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.5)
    calls = []

    def step(x: Any) -> Any:
        def closure() -> Any:
            calls.append(1)
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), Y)
            loss.backward()
            return loss

        return optimizer.step(closure)

    step = C(step)
    for k in range(6):
        yield step(X * k), model, optimizer, len(calls)


@same
def test_a_learning_rate_computed_inside(C: Any) -> Any:
    model, optimizer, _ = trained(C, "SGD")

    def step(x: Any, i: int) -> Any:
        optimizer.param_groups[0]["lr"] = 0.1 if i < 3 else 0.01
        loss = F.cross_entropy(model(x), Y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    step = C(step)
    for i in range(7):
        yield step(X, i), model, optimizer


KINDS: dict[str, Callable[[Any], Any]] = {
    "its class": lambda rate: type(rate).__name__,
    "a class above": lambda rate: issubclass(type(rate), float),
    "Decimal": lambda rate: str(decimal.Decimal(rate)),
    "Fraction": lambda rate: str(fractions.Fraction(rate)),
    "mean": lambda rate: statistics.mean([rate, 1.0]),
    "hex": lambda rate: rate.hex(),
    "float.hex": lambda rate: float.hex(rate),
}


@pytest.mark.parametrize("kind", KINDS)
@same
def test_a_learning_rate_is_a_number_of_pythons_own(C: Any, kind: str) -> Any:
    model, optimizer, _ = trained(C, "SGD")
    told = KINDS[kind]

    def step(x: Any) -> Any:
        loss = F.cross_entropy(model(x), Y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return told(optimizer.param_groups[0]["lr"])

    step = C(step)
    for i in range(12):
        optimizer.param_groups[0]["lr"] = 0.5 / (i + 1)
        yield step(X), model, optimizer


REACHED_BY: dict[str, Callable[[Any], Callable[[], Any]]] = {
    "a group": lambda o: lambda group=o.param_groups[0]: group["lr"],
    "a group's values": lambda o: lambda group=o.param_groups[0]: [*group.values()][1],
    "the groups": lambda o: lambda groups=o.param_groups: groups[0]["lr"],
    "a view": lambda o: lambda view=types.MappingProxyType(o.param_groups[0]): view["lr"],
    "getattr": lambda o: lambda: getattr(o, "param_" + "groups")[0]["lr"],
    "vars": lambda o: lambda: vars(o)["_param" + "_groups"][0]["lr"],
}


@pytest.mark.parametrize("by", REACHED_BY)
@same
def test_a_learning_rate_has_its_own_class_however_it_is_reached(C: Any, by: str) -> Any:
    model, optimizer, _ = trained(C, "SGD")
    rate = REACHED_BY[by](optimizer)

    def step(x: Any) -> Any:
        loss = F.cross_entropy(model(x), Y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss * (1 if type(rate()) is float else 2)

    step = C(step)
    for i in range(4):
        optimizer.param_groups[0]["lr"] = 0.5 / (i + 1)
        yield step(X), model, optimizer


@same
def test_a_made_anew_optimizer_in_every_call(C: Any) -> Any:
    w = torch.ones(3, requires_grad=True)

    def step(x: Any) -> Any:
        optimizer = torch.optim.Adam([w], lr=0.1)
        for _ in range(2):
            optimizer.zero_grad()
            loss = ((w - x) ** 2).sum()
            loss.backward()
            optimizer.step()
        return loss

    step = C(step)
    for k in range(6):
        yield step(X[k % 4]), w


@same
def test_an_optimizer_of_the_users(C: Any) -> Any:
    class Signs(torch.optim.Optimizer):
        def __init__(self, params: Any, lr: float) -> None:
            super().__init__(params, {"lr": lr, "weight_decay": 0.0, "maximize": False})
            self.steps = 0

        @torch.no_grad()
        def step(self) -> None:
            self.steps += 1
            for group in self.param_groups:
                for p in group["params"]:
                    p.add_(p.grad.sign(), alpha=-group["lr"] / self.steps)

    model = nn.Linear(3, 2)
    optimizer = Signs(model.parameters(), lr=0.1)

    def step(x: Any) -> Any:
        loss = F.cross_entropy(model(x), Y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    step = C(step)
    for _ in range(6):
        yield step(X), model, optimizer.steps


@refused("GradScaler, which leaves out the step of infinite gradients, is not compiled")
def test_gradients_scaled_by_a_scaler(C: Any) -> Any:
    model, optimizer, _ = trained(C, "SGD")
    scaler = torch.amp.GradScaler("cpu", init_scale=64.0, growth_interval=2)

    def step(x: Any) -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), Y)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        return loss

    step = C(step)
    for factor in (1.0, 2.0, float("inf"), 1.0, 1.0, 1.0):
        yield step(X * factor), model, scaler.state_dict()


@same
def test_an_average_of_the_weights(C: Any) -> Any:
    """Exponential moving averages beside the step, changed by the caller once."""
    model, optimizer, _ = trained(C, "AdamW")
    average = copy.deepcopy(model)

    def step(x: Any) -> Any:
        loss = F.cross_entropy(model(x), Y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for mine, theirs in zip(average.parameters(), model.parameters(), strict=True):
                mine.mul_(0.9).add_(theirs, alpha=0.1)
        return loss

    step = C(step)
    for k in range(6):
        yield step(X), model, average
        if k == 3:
            average.load_state_dict(model.state_dict())
