"""Schedules of the learning rate: the same rates as torch's, step by step."""

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from both import Case, assert_same_error, cases

import tinygrad_ninja


def warm_up(s: Any, o: Any) -> Any:
    parts = [s.LinearLR(o, start_factor=0.1, total_iters=5), s.CosineAnnealingLR(o, T_max=20, eta_min=1e-4)]
    return s.SequentialLR(o, schedulers=parts, milestones=[5])


SCHEDULES: dict[str, Any] = {
    "StepLR": lambda s, o: s.StepLR(o, step_size=7),
    "StepLR with gamma": lambda s, o: s.StepLR(o, 3, gamma=0.5),
    "MultiStepLR": lambda s, o: s.MultiStepLR(o, milestones=[12, 3, 3], gamma=0.3),
    "ExponentialLR": lambda s, o: s.ExponentialLR(o, gamma=0.9),
    "ExponentialLR upwards": lambda s, o: s.ExponentialLR(o, 1.2),
    "LinearLR": lambda s, o: s.LinearLR(o),
    "LinearLR from little": lambda s, o: s.LinearLR(o, start_factor=1e-3, total_iters=10),
    "LinearLR to nothing": lambda s, o: s.LinearLR(o, start_factor=1.0, end_factor=0.0, total_iters=10),
    "ConstantLR": lambda s, o: s.ConstantLR(o),
    "ConstantLR for long": lambda s, o: s.ConstantLR(o, 0.5, 12),
    "ConstantLR for ever": lambda s, o: s.ConstantLR(o, 0.5, 0),
    "PolynomialLR": lambda s, o: s.PolynomialLR(o),
    "PolynomialLR of a power": lambda s, o: s.PolynomialLR(o, 30, power=2.5),
    "PolynomialLR of no steps": lambda s, o: s.PolynomialLR(o, 0),
    "CosineAnnealingLR": lambda s, o: s.CosineAnnealingLR(o, T_max=10),
    "CosineAnnealingLR to a rate": lambda s, o: s.CosineAnnealingLR(o, 7, eta_min=0.01),
    "LambdaLR": lambda s, o: s.LambdaLR(o, lambda epoch: 1 / (1 + epoch)),
    "LambdaLR for each group": lambda s, o: s.LambdaLR(o, [lambda epoch: 0.9**epoch, math.cos]),
    "warm-up": warm_up,
    "three in a row": lambda s, o: s.SequentialLR(
        o, [s.StepLR(o, 2), s.ExponentialLR(o, 0.9), s.LambdaLR(o, lambda epoch: epoch + 1)], [4, 9]
    ),
    "soon the second": lambda s, o: s.SequentialLR(o, [s.StepLR(o, 2), s.ExponentialLR(o, 0.9)], [1]),
    "OneCycleLR": lambda s, o: s.OneCycleLR(o, 0.5, total_steps=40),
    "OneCycleLR by lines": lambda s, o: s.OneCycleLR(
        o, [0.5, 1.0], epochs=5, steps_per_epoch=9, pct_start=0.5, anneal_strategy="linear", div_factor=10
    ),
    "OneCycleLR in three phases": lambda s, o: s.OneCycleLR(
        o, 0.5, 41, three_phase=True, final_div_factor=100.0, base_momentum=[0.8, 0.7], max_momentum=0.9
    ),
    "OneCycleLR without momentum": lambda s, o: s.OneCycleLR(o, 0.5, 40, cycle_momentum=False),
}  # fmt: skip
each_schedule = pytest.mark.parametrize("make", SCHEDULES.values(), ids=SCHEDULES)


def optimizer(t: Any) -> Any:
    p, q = (t.ones(1, requires_grad=True) for _ in range(2))
    return t.optim.SGD([{"params": [p]}, {"params": [q], "lr": 0.3}], lr=0.05)


def rates(t: Any, make: Any, steps: int = 40, disturb: int = -1) -> np.ndarray:
    o = optimizer(t)
    scheduler = make(t.optim.lr_scheduler, o)
    seen = [scheduler.get_last_lr()]
    for step in range(steps):
        o.step()
        if step == disturb:
            o.param_groups[0]["lr"] *= 2
        scheduler.step()
        seen.append([group["lr"] for group in o.param_groups])
        assert seen[-1] == scheduler.get_last_lr()
    return np.array(seen)


@each_schedule
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_rates(make: Any) -> None:
    np.testing.assert_allclose(rates(tinygrad_ninja, make), rates(torch, make), rtol=1e-12, atol=1e-16)


@each_schedule
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_rates_after_the_optimizers_was_changed_by_hand(make: Any) -> None:
    ours, theirs = (rates(t, make, disturb=6) for t in (tinygrad_ninja, torch))
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-16)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_two_schedules_of_one_optimizer_multiply() -> None:
    def both(t: Any) -> list[float]:
        o = optimizer(t)
        parts = [
            t.optim.lr_scheduler.ExponentialLR(o, 0.9),
            t.optim.lr_scheduler.LinearLR(o, 0.5, total_iters=3),
        ]
        seen = []
        for _ in range(10):
            o.step()
            for each in parts:
                each.step()
            seen.append(o.param_groups[0]["lr"])
        return seen

    np.testing.assert_allclose(both(tinygrad_ninja), both(torch), rtol=1e-12)


@each_schedule
def test_state_is_plain_and_goes_on(make: Any) -> None:
    """The schedule's as JSON, with the optimizer's, into new ones of other settings."""
    t = tinygrad_ninja
    expected = rates(t, make)
    for stop in (0, 1, 5, 11):
        o = optimizer(t)
        scheduler = make(t.optim.lr_scheduler, o)
        for _ in range(stop):
            o.step()
            scheduler.step()
        saved = json.loads(json.dumps([scheduler.state_dict(), o.state_dict()]))
        other = optimizer(t)
        resumed = make(t.optim.lr_scheduler, other)
        resumed.load_state_dict(saved[0])
        other.load_state_dict(saved[1])
        assert resumed.get_last_lr() == scheduler.get_last_lr()
        seen = []
        for _ in range(40 - stop):
            other.step()
            resumed.step()
            seen.append(resumed.get_last_lr())
        np.testing.assert_array_equal(seen, expected[stop + 1 :])


def test_the_state_of_lambdas_is_that_of_objects() -> None:
    class Power:
        def __init__(self, base: float) -> None:
            self.base = base

        def __call__(self, epoch: int) -> float:
            return self.base**epoch

    def states(t: Any) -> Any:
        o = optimizer(t)
        scheduler = t.optim.lr_scheduler.LambdaLR(o, [Power(0.5), lambda epoch: 1.0])
        o.step()
        scheduler.step()
        power = Power(0.7)
        resumed = t.optim.lr_scheduler.LambdaLR(optimizer(t), [power, lambda epoch: 1.0])
        resumed.load_state_dict(scheduler.state_dict())
        return scheduler.state_dict()["lr_lambdas"], power.base, resumed.get_last_lr(), resumed.last_epoch

    assert states(tinygrad_ninja) == states(torch)


def test_a_state_of_torchs_is_taken() -> None:
    o = optimizer(torch)
    theirs = torch.optim.lr_scheduler.StepLR(o, 2)
    o.step()
    theirs.step()
    ours = tinygrad_ninja.optim.lr_scheduler.StepLR(optimizer(tinygrad_ninja), 2)
    ours.load_state_dict(theirs.state_dict())
    assert (ours.last_epoch, ours.get_last_lr()) == (theirs.last_epoch, theirs.get_last_lr())


@pytest.mark.parametrize(
    "make",
    [
        lambda s, o: s.StepLR(o, 2),
        lambda s, o: s.MultiStepLR(o, [2, 3]),
        lambda s, o: s.ExponentialLR(o, 0.5),
        lambda s, o: s.CosineAnnealingLR(o, 5),
        lambda s, o: s.LinearLR(o),
        lambda s, o: s.LinearLR(o, total_iters=0),
        lambda s, o: s.SequentialLR(o, [s.LinearLR(o, total_iters=2), s.ExponentialLR(o, 0.5)], [1]),
        lambda s, o: s.LambdaLR(o, lambda epoch: 0.5**epoch),
        lambda s, o: s.OneCycleLR(o, 1.0, 10),
    ],
)
def test_a_group_that_is_added_later(make: Any) -> None:
    """It falls with the others, or where the schedule has no rate for it the step says so."""

    def seen(t: Any) -> Any:
        o = optimizer(t)
        scheduler = make(t.optim.lr_scheduler, o)
        o.step()
        scheduler.step()
        o.add_param_group({"params": [t.ones(1, requires_grad=True)], "lr": 0.3})
        rates = []
        for _ in range(5):
            o.step()
            try:
                scheduler.step()
            except (ValueError, KeyError) as error:
                return type(error)
            rates.append([group["lr"] for group in o.param_groups])
        return np.array(rates)

    expected, actual = seen(torch), seen(tinygrad_ninja)
    if isinstance(expected, type):
        assert actual is expected
    else:
        np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("t", [torch, tinygrad_ninja])
def test_a_step_before_the_optimizers_is_warned_of_once(t: Any) -> None:
    s = t.optim.lr_scheduler
    for make in (lambda o: s.StepLR(o, 1), lambda o: s.OneCycleLR(o, 1.0, 10), lambda o: warm_up(s, o)):
        scheduler = make(optimizer(t))
        with pytest.warns(UserWarning, match=r"Detected call of `lr_scheduler\.step\(\)` before"):
            scheduler.step()
        scheduler.step()


def test_a_schedule_of_ones_own() -> None:
    def own(t: Any) -> Any:
        class Halves(t.optim.lr_scheduler.LRScheduler):
            def get_lr(self) -> list[float]:
                return [base / 2**self.last_epoch for base in self.base_lrs]

        o = optimizer(t)
        scheduler = Halves(o)
        o.step()
        scheduler.step()
        return scheduler.get_last_lr(), scheduler.last_epoch

    assert own(tinygrad_ninja) == own(torch)


@cases(
    lambda t: t.optim.lr_scheduler.StepLR(1, 2),
    lambda t: t.optim.lr_scheduler.LinearLR(optimizer(t), start_factor=0),
    lambda t: t.optim.lr_scheduler.LinearLR(optimizer(t), end_factor=2),
    lambda t: t.optim.lr_scheduler.ConstantLR(optimizer(t), 1.5),
    lambda t: t.optim.lr_scheduler.LambdaLR(optimizer(t), [lambda epoch: 1.0]),
    lambda t: t.optim.lr_scheduler.LRScheduler(optimizer(t)),
    lambda t: t.optim.lr_scheduler.SequentialLR(optimizer(t), [], []),
    lambda t: t.optim.lr_scheduler.SequentialLR(
        optimizer(t), [t.optim.lr_scheduler.StepLR(optimizer(t), 2)], []
    ),
    lambda t: (lambda o: t.optim.lr_scheduler.SequentialLR(o, [t.optim.lr_scheduler.StepLR(o, 2)], [1]))(
        optimizer(t)
    ),
)
def test_calls_that_raise(case: Case) -> None:
    assert_same_error(case)


def test_misuse_that_torch_lets_pass() -> None:
    s, o = tinygrad_ninja.optim.lr_scheduler, optimizer(tinygrad_ninja)
    with pytest.raises(
        NotImplementedError, match="last_epoch=3 is not offered here; the nearest: load_state_dict"
    ):
        s.StepLR(o, 2, last_epoch=3)
    with pytest.raises(
        ValueError, match=r"the state of a StepLR consists of .*step_size.*, and not of .*T_max"
    ):
        s.StepLR(o, 2).load_state_dict(s.CosineAnnealingLR(o, 3).state_dict())
    with pytest.raises(ValueError, match="the state holds 0 schedules, and there are 2"):
        warm_up(s, o).load_state_dict({})


@pytest.mark.parametrize("make", ["SGD", "Adam", "RMSprop"])
@pytest.mark.parametrize("three_phase", [True, False])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_momentum_goes_the_other_way_in_one_cycle(make: str, three_phase: bool) -> None:
    def seen(t: Any) -> Any:
        o = getattr(t.optim, make)([t.ones(1, requires_grad=True)], lr=0.1)
        scheduler = t.optim.lr_scheduler.OneCycleLR(o, 0.5, 20, pct_start=0.4, three_phase=three_phase)
        momenta = []
        for _ in range(20):
            group = o.param_groups[0]
            momenta.append([group["lr"], group["betas"][0] if "betas" in group else group["momentum"]])
            o.step()
            scheduler.step()
        return momenta, sorted(scheduler.state_dict())

    (ours, our_state), (theirs, their_state) = seen(tinygrad_ninja), seen(torch)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    assert set(our_state) <= set(their_state)


LOSSES = [
    3.0,
    2.0,
    2.0,
    1.99995,
    2.1,
    2.0,
    2.0,
    1.5,
    1.5,
    1.5,
    1.5,
    1.5,
    float("nan"),
    1.5,
    1.0,
    1.0,
    1.0,
    1.0,
]
PLATEAUS: list[dict[str, Any]] = [
    {"patience": 1},
    {"patience": 0, "factor": 0.5},
    {"patience": 1, "cooldown": 2},
    {"patience": 0, "mode": "max", "threshold": 0.1},
    {"patience": 0, "mode": "max", "threshold_mode": "abs"},
    {"patience": 1, "threshold": 0.2, "threshold_mode": "abs"},
    {"patience": 0, "min_lr": [0.01, 0.2]},
    {"patience": 0, "min_lr": 0.02, "eps": 0.005},
]


@pytest.mark.parametrize("options", PLATEAUS, ids=str)
def test_rates_fall_where_the_loss_does_not(options: dict[str, Any]) -> None:
    def seen(t: Any) -> Any:
        o = optimizer(t)
        scheduler = t.optim.lr_scheduler.ReduceLROnPlateau(o, **options)
        numbers = []
        for i, loss in enumerate(LOSSES):
            scheduler.step(t.tensor(loss, dtype=t.float64) if i % 2 else loss)
            assert scheduler.get_last_lr() == [group["lr"] for group in o.param_groups]
            numbers.append([*scheduler.get_last_lr(), scheduler.num_bad_epochs, scheduler.in_cooldown])
        return numbers, scheduler.state_dict()

    (ours, our_state), (theirs, their_state) = seen(tinygrad_ninja), seen(torch)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    assert {name: their_state[name] for name in our_state} == our_state


def test_a_plateau_goes_on_from_a_state_of_torchs() -> None:
    def seen(t: Any, start: int, state: Any, first: Any) -> Any:
        o = optimizer(t)
        for group, rate in zip(o.param_groups, first, strict=True):
            group["lr"] = rate
        scheduler = t.optim.lr_scheduler.ReduceLROnPlateau(o, patience=1)
        if state is not None:
            scheduler.load_state_dict(state)
        for loss in LOSSES[start : start + 8]:
            scheduler.step(loss)
        return dict(scheduler.state_dict()), scheduler.get_last_lr()

    state, rates = seen(torch, 0, None, [0.05, 0.3])
    ours, theirs = (seen(t, 8, state, rates) for t in (tinygrad_ninja, torch))
    assert ours == theirs


@cases(
    lambda t: t.optim.lr_scheduler.ReduceLROnPlateau(optimizer(t), factor=1.0),
    lambda t: t.optim.lr_scheduler.ReduceLROnPlateau(optimizer(t), mode="nonsense"),
    lambda t: t.optim.lr_scheduler.ReduceLROnPlateau(optimizer(t), threshold_mode="nonsense"),
    lambda t: t.optim.lr_scheduler.ReduceLROnPlateau(optimizer(t), min_lr=[0.1]),
    lambda t: t.optim.lr_scheduler.ReduceLROnPlateau(None),
    lambda t: t.optim.lr_scheduler.ReduceLROnPlateau(optimizer(t)).step(),
    lambda t: t.optim.lr_scheduler.OneCycleLR(None, 0.1, 10),
    lambda t: t.optim.lr_scheduler.OneCycleLR(optimizer(t), 0.1),
    lambda t: t.optim.lr_scheduler.OneCycleLR(optimizer(t), 0.1, epochs=3),
    lambda t: t.optim.lr_scheduler.OneCycleLR(optimizer(t), 0.1, 0),
    lambda t: t.optim.lr_scheduler.OneCycleLR(optimizer(t), 0.1, epochs=3, steps_per_epoch=0),
    lambda t: t.optim.lr_scheduler.OneCycleLR(optimizer(t), 0.1, 10, pct_start=1.5),
    lambda t: t.optim.lr_scheduler.OneCycleLR(optimizer(t), 0.1, 10, anneal_strategy="nonsense"),
    lambda t: t.optim.lr_scheduler.OneCycleLR(optimizer(t), [0.1], 10),
    lambda t: t.optim.lr_scheduler.OneCycleLR(t.optim.Adagrad([t.ones(1, requires_grad=True)]), 0.1, 10),
    lambda t: [s.step() for s in [t.optim.lr_scheduler.OneCycleLR(optimizer(t), 0.1, 3)] for _ in range(5)],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_calls_of_the_two_that_raise(case: Case) -> None:
    assert_same_error(case)
