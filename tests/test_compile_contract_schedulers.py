"""Schedulers whose steps are taken in the compiled one."""

from collections.abc import Callable
from typing import Any

import pytest
from contract import attempt, compiled, refused, same
from contract_models import X, Y, trained

import tinygrad_ninja as torch
from tinygrad_ninja import nn
from tinygrad_ninja.nn import functional as F

SCHEDULES = torch.optim.lr_scheduler


def scene(kind: str = "SGD") -> tuple[Any, Any, Callable[[Any], Any]]:
    """A model, its optimizer, and a training step."""
    model, optimizer, step = trained(lambda f: f, kind)
    return model, optimizer, step


def followed(train: Callable[[Any], Any], scheduler: Any) -> Callable[[Any], Any]:
    """A training step that a scheduler's step ends."""

    def step(x: Any) -> Any:
        loss = train(x)
        scheduler.step()
        return loss

    return step


@compiled
def test_one_schedule_after_another(C: Any) -> Any:
    model, optimizer, train = scene("SGD with momentum")
    parts = [SCHEDULES.LinearLR(optimizer, 0.1, total_iters=3), SCHEDULES.CosineAnnealingLR(optimizer, 6)]
    scheduler = SCHEDULES.SequentialLR(optimizer, parts, [3])

    step = C(followed(train, scheduler))
    for k in range(12):
        yield step(X * k), model, optimizer, scheduler, parts


@compiled
def test_two_schedulers_of_one_optimizer(C: Any) -> Any:
    model, optimizer, train = scene("Adam")
    first, last = SCHEDULES.LinearLR(optimizer, 0.1, total_iters=3), SCHEDULES.ExponentialLR(optimizer, 0.9)

    def step(x: Any) -> Any:
        loss = train(x)
        first.step()
        last.step()
        return loss.detach() * 2

    step = C(step)
    for k in range(12):
        yield step(X * k), model, optimizer, first, last
        if k == 4:
            last.load_state_dict({**last.state_dict(), "last_epoch": 2})
        if k == 6:
            last.gamma = 0.5
    yield first.get_last_lr(), last.get_last_lr()


@compiled
def test_a_rate_is_set_before_the_scheduler_steps(C: Any) -> Any:
    model, optimizer, train = scene()
    scheduler = SCHEDULES.ExponentialLR(optimizer, 0.9)

    def step(x: Any, rate: float) -> Any:
        optimizer.param_groups[0]["lr"] = rate
        loss = train(x)
        scheduler.step()
        return loss

    step = C(step)
    for k in range(8):
        yield step(X * k, 0.1 / (k + 1)), model, optimizer, scheduler


@same
def test_a_schedule_ends(C: Any) -> Any:
    """Past its last step, it raises after all else is done."""
    model, optimizer, train = scene("SGD with momentum")
    scheduler = SCHEDULES.OneCycleLR(optimizer, 0.1, total_steps=6)

    step = C(followed(train, scheduler))
    for k in range(9):
        yield attempt(step, X * k), model, optimizer, scheduler


@same
def test_a_step_raises_before_the_scheduler_steps(C: Any) -> Any:
    model, optimizer, _ = scene()
    scheduler = SCHEDULES.StepLR(optimizer, 2)
    table = torch.randn(5, 3)

    def step(ix: Any) -> Any:
        loss = F.cross_entropy(model(table[ix]), Y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        return loss

    step = C(step)
    for k in range(10):
        yield attempt(step, torch.tensor([0, 1, 2, 9 if k % 4 == 3 else 4])), model, optimizer, scheduler


def gradients_go(model: Any, optimizer: Any, scheduler: Any) -> None:
    optimizer.zero_grad()


def weights_shrink(model: Any, optimizer: Any, scheduler: Any) -> None:
    for p in model.parameters():
        p.data *= 0.99


def a_number_is_drawn(model: Any, optimizer: Any, scheduler: Any) -> None:
    torch.rand(2)


def the_rate_is_set(model: Any, optimizer: Any, scheduler: Any) -> None:
    optimizer.param_groups[0]["lr"] = 0.05


def it_steps_again(model: Any, optimizer: Any, scheduler: Any) -> None:
    optimizer.step()


def the_rate_decides(model: Any, optimizer: Any, scheduler: Any) -> Any:
    return 1 if optimizer.param_groups[0]["lr"] < 0.08 else 2


def the_rate_is_returned(model: Any, optimizer: Any, scheduler: Any) -> Any:
    return optimizer.param_groups[0]["lr"]


def the_rate_is_computed_with(model: Any, optimizer: Any, scheduler: Any) -> Any:
    return torch.ones(2) * optimizer.param_groups[0]["lr"] * 2


AFTERWARDS = {
    f.__name__.replace("_", " "): f
    for f in (
        gradients_go, weights_shrink, a_number_is_drawn, the_rate_is_set, it_steps_again, the_rate_decides,
        the_rate_is_returned, the_rate_is_computed_with,
    )
}  # fmt: skip


@pytest.mark.parametrize("then", AFTERWARDS)
@refused("a scheduler's step")
def test_more_follows_the_step_of_a_scheduler(C: Any, then: str) -> Any:
    model, optimizer, train = scene()
    scheduler = SCHEDULES.StepLR(optimizer, 2, 0.5)
    more = AFTERWARDS[then]

    def step(x: Any) -> Any:
        loss = train(x)
        scheduler.step()
        return loss, more(model, optimizer, scheduler)

    step = C(step)
    for k in range(6):
        yield step(X * k), model, optimizer, scheduler, [p.grad for p in model.parameters()]


@refused("a scheduler's step")
def test_the_scheduler_steps_first(C: Any) -> Any:
    model, optimizer, train = scene()
    scheduler = SCHEDULES.StepLR(optimizer, 2, 0.5)

    def step(x: Any) -> Any:
        scheduler.step()
        return train(x)

    step = C(step)
    for k in range(6):
        yield step(X * k), model, optimizer, scheduler


READERS: dict[str, Callable[[Any], Any]] = {
    "get_last_lr": lambda scheduler: scheduler.get_last_lr()[0],
    "last_epoch": lambda scheduler: scheduler.last_epoch,
    "state_dict": lambda scheduler: scheduler.state_dict()["last_epoch"],
    "__dict__": lambda scheduler: scheduler.__dict__["last_" + "epoch"],
    "getattr": lambda scheduler: getattr(scheduler, "last_" + "epoch"),
}


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("reader", READERS)
@refused("scheduler")
def test_code_reads_how_far_a_scheduler_is(C: Any, reader: str, first: bool) -> Any:
    model, optimizer, train = scene()
    scheduler = SCHEDULES.StepLR(optimizer, 2, 0.5)
    read = READERS[reader]

    def step(x: Any) -> Any:
        seen = read(scheduler) if first else 0
        loss = train(x) * (1 + seen)
        scheduler.step()
        return loss, seen if first else read(scheduler)

    step = C(step)
    for k in range(6):
        yield step(X * k), model, optimizer, scheduler


@refused("a scheduler's step")
def test_a_scheduler_of_a_class_of_the_users(C: Any) -> Any:
    class Halves(SCHEDULES.LRScheduler):
        def get_lr(self) -> list[float]:
            return [base * 0.5**self.last_epoch for base in self.base_lrs]

    model, optimizer, train = scene()
    scheduler = Halves(optimizer)

    step = C(followed(train, scheduler))
    for k in range(6):
        yield step(X * k), model, optimizer, scheduler


@refused("a scheduler's step")
def test_a_scheduler_is_made_in_the_step(C: Any) -> Any:
    model, optimizer, train = scene()

    def step(x: Any) -> Any:
        loss = train(x)
        SCHEDULES.ExponentialLR(optimizer, 0.9).step()
        return loss

    step = C(step)
    for k in range(6):
        yield step(X * k), model, optimizer


@refused(r"ReduceLROnPlateau\.step, which a loss decides, is not compiled; call it after")
def test_a_scheduler_that_is_given_the_loss(C: Any) -> Any:
    model, optimizer, train = scene()
    scheduler = SCHEDULES.ReduceLROnPlateau(optimizer, patience=1)

    def step(x: Any) -> Any:
        loss = train(x)
        scheduler.step(loss)
        return loss

    step = C(step)
    for _ in range(6):
        yield step(X), model, optimizer, scheduler.num_bad_epochs


@same
def test_the_function_of_a_schedule_does_more(C: Any) -> Any:
    model, optimizer, train = scene()
    seen: list[int] = []

    def factor(epoch: int) -> float:
        if epoch > 3:
            seen.append(epoch)
        return 0.9**epoch

    scheduler = SCHEDULES.LambdaLR(optimizer, factor)

    step = C(followed(train, scheduler))
    for k in range(8):
        yield step(X * k), model, optimizer, scheduler, seen


@same
def test_the_function_of_a_schedule_raises(C: Any) -> Any:
    model, optimizer, train = scene()

    def factor(epoch: int) -> float:
        if epoch > 3:
            raise ValueError(f"no epoch {epoch}")
        return 0.9**epoch

    scheduler = SCHEDULES.LambdaLR(optimizer, factor)

    step = C(followed(train, scheduler))
    for k in range(8):
        yield attempt(step, X * k), model, optimizer, scheduler


@compiled
def test_a_model_holds_its_optimizer_and_scheduler(C: Any) -> Any:
    class Trainer:
        def __init__(self) -> None:
            self.model = nn.Linear(3, 2)
            self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=0.1)
            self.scheduler = SCHEDULES.OneCycleLR(self.optimizer, 0.1, total_steps=20)

        def step(self, x: Any) -> Any:
            loss = F.cross_entropy(self.model(x), Y)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
            self.scheduler.step()
            return loss

    trainer = Trainer()
    step = C(trainer.step)
    for k in range(14):
        yield step(X * k), trainer.model, trainer.optimizer, trainer.scheduler
