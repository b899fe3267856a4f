"""Numbers in Python's objects that a step changes at every call: counters, and the numbers of a schedule."""

import collections
import types
from collections.abc import Callable
from typing import Any

import pytest
from contract import attempt, compiled, refused, same
from contract_models import X as ROWS
from contract_models import Y

import tinygrad_ninja as torch
from tinygrad_ninja import nn
from tinygrad_ninja.nn import functional as F

X = torch.tensor([1.0, -2.0, 0.5])
STEPS = 0


class Trainer:
    """A model, its optimizer, and how far it is."""

    def __init__(self, kind: str = "SGD", schedule: Any = None, every: int = 1) -> None:
        self.model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
        self.optimizer = getattr(torch.optim, kind)(self.model.parameters(), lr=0.1)
        self.scheduler = None if schedule is None else schedule(self.optimizer)
        self.micro, self.step, self.every, self.seen, self.rate = 0, 0, every, 0, 0.1

    def train(self, x: Any, y: Any) -> Any:
        self.micro += 1
        self.seen += x.shape[0]
        loss = F.cross_entropy(self.model(x), y) / self.every
        loss.backward()
        if self.micro % self.every == 0:
            self.optimizer.step()
            self.optimizer.zero_grad()
            if self.scheduler is not None:
                self.scheduler.step()
            self.step += 1
        return loss


# -- counters ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("every", [1, 3])
@compiled
def test_a_trainer_counts_its_steps(C: Any, every: int) -> Any:
    trainer = Trainer(every=every)
    train = C(trainer.train)
    for _ in range(10):
        yield train(ROWS, Y), trainer.model, trainer.step, trainer.micro, trainer.seen


@pytest.mark.parametrize("schedule", ["StepLR", "CosineAnnealingLR"])
@compiled
def test_a_trainer_counts_after_its_scheduler(C: Any, schedule: str) -> Any:
    trainer = Trainer("Adam", lambda optimizer: getattr(torch.optim.lr_scheduler, schedule)(optimizer, 4))
    train = C(trainer.train)
    for _ in range(10):
        yield train(ROWS, Y), trainer.model, trainer.step, trainer.optimizer, trainer.scheduler


@same
def test_a_scheduler_reads_the_counter(C: Any) -> Any:
    trainer = Trainer()
    trainer.scheduler = torch.optim.lr_scheduler.LambdaLR(trainer.optimizer, lambda k: 1 / (trainer.step + 1))
    train = C(trainer.train)
    for _ in range(10):
        yield train(ROWS, Y), trainer.model, trainer.step, trainer.optimizer


CHANGES: dict[str, Callable[[Trainer], None]] = {
    "set": lambda t: setattr(t, "step", 100),
    "below zero": lambda t: setattr(t, "step", -7),
    "a float": lambda t: setattr(t, "step", 2.5),
    "a bool": lambda t: setattr(t, "step", True),
    "huge": lambda t: setattr(t, "step", 2**63 + 1),
    "large": lambda t: setattr(t, "step", 2**31 - 3),
    "a Tensor": lambda t: setattr(t, "step", torch.tensor(3)),
    "text": lambda t: setattr(t, "step", "3"),
    "nothing": lambda t: delattr(t, "step"),
    "infinite": lambda t: setattr(t, "step", float("inf")),
    "that of another": lambda t: setattr(t, "step", t.seen),
    "another object": lambda t: setattr(t, "__dict__", {**t.__dict__, "step": 5}),
}


@pytest.mark.parametrize("change", CHANGES)
@same
def test_a_counter_is_set_between_calls(C: Any, change: str) -> Any:
    trainer = Trainer()
    train = C(trainer.train)
    for i in range(16):
        yield attempt(train, ROWS, Y), trainer.model, vars(trainer).get("step"), trainer.seen
        if i in (5, 11):
            CHANGES[change](trainer)


@pytest.mark.parametrize("change", ["set", "below zero", "another object", "that of another"])
@compiled
def test_a_counter_that_is_set_between_calls_stays_compiled(C: Any, change: str) -> Any:
    trainer = Trainer()
    train = C(trainer.train)
    for i in range(16):
        yield train(ROWS, Y), trainer.model, trainer.step
        if i in (5, 11):
            CHANGES[change](trainer)


HOLDERS: dict[str, Any] = {
    "dict": lambda: {"k": 1},
    "with many others": lambda: {"k": 1, **{f"k{i}": i for i in range(20)}},
    "with Tensors": lambda: {"k": 1, "x": X, "y": [X]},
    "defaultdict": lambda: collections.defaultdict(int, k=1),
    "OrderedDict": lambda: collections.OrderedDict(k=1),
    "Counter": lambda: collections.Counter(k=1),
}


@pytest.mark.parametrize("holder", HOLDERS)
@compiled
def test_an_entry_of_a_dict_counts(C: Any, holder: str) -> Any:
    state = HOLDERS[holder]()

    def step(x: Any) -> Any:
        state["k"] += 1
        return x * state["k"]

    step = C(step)
    for i in range(10):
        yield step(X), {**state}
        if i == 6:
            state["k"] = 50


@compiled
def test_an_element_of_a_list_counts(C: Any) -> Any:
    counts = [0, 5]

    def step(x: Any) -> Any:
        counts[0] += 1
        counts[-1] -= 2
        return x * counts[0] + counts[1]

    step = C(step)
    for _ in range(8):
        yield step(X), [*counts]


@compiled
def test_a_global_counts(C: Any) -> Any:
    global STEPS
    STEPS = 0

    def step(x: Any) -> Any:
        global STEPS
        STEPS += 1
        return x * STEPS

    step = C(step)
    for _ in range(8):
        yield step(X), STEPS


@compiled
def test_a_model_counts_its_calls(C: Any) -> Any:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.calls = nn.Linear(3, 2), 0

        def forward(self, x: Any) -> Any:
            self.calls += 1
            return self.inner(x) / self.calls

    model = Model()
    f = C(model)
    for _ in range(6):
        y = f(ROWS)
        y.sum().backward()
        yield y.detach(), model, model.calls


@compiled
def test_counters_follow_each_other(C: Any) -> Any:
    o = types.SimpleNamespace(a=1, b=1, last=0)

    def step(x: Any) -> Any:
        o.last = o.b
        o.a, o.b = o.b, o.a + o.b
        return x + o.a

    step = C(step)
    for _ in range(12):
        yield step(X), vars(o)


@compiled
def test_one_counter_that_two_objects_share(C: Any) -> Any:
    a = types.SimpleNamespace(k=0)
    b = types.SimpleNamespace(a=a)
    a.b = b

    def step(x: Any) -> Any:
        a.k += 1
        b.a.k += 1
        return x * b.a.k

    step = C(step)
    for i in range(8):
        yield step(X), a.k
        if i == 5:
            b.a = types.SimpleNamespace(k=10)


@same
def test_a_counter_is_deleted_and_set_anew(C: Any) -> Any:
    o = types.SimpleNamespace(a=0, b=0)

    def step(x: Any) -> Any:
        k = o.a
        del o.a
        o.a = k + 1
        return x * o.a

    step = C(step)
    for _ in range(6):
        yield step(X), list(vars(o).items())


@same
def test_a_counter_that_is_written_as_text(C: Any) -> Any:
    o = types.SimpleNamespace(k=0, name="")

    def step(x: Any) -> Any:
        o.k += 1
        o.name = f"step {o.k}"
        return x * 2

    step = C(step)
    for _ in range(14):
        yield step(X), vars(o)


@same
def test_a_step_that_raises_has_counted(C: Any) -> Any:
    o = types.SimpleNamespace(k=0)
    table = torch.arange(12.0).reshape(4, 3)

    def step(i: Any) -> Any:
        o.k += 1
        return table[i] * o.k

    step = C(step)
    for i in (0, 1, 2, 9, 3, -5, 1):
        yield attempt(step, torch.tensor([i])), o.k


@refused("changes what it reads")
def test_a_flag_in_a_list_that_grows(C: Any) -> Any:
    losses: list[int] = []
    o = types.SimpleNamespace(k=0)

    def step(x: Any) -> Any:
        o.k += 1
        losses.append(o.k)
        return x * 2

    step = C(step)
    for _ in range(8):
        yield step(X), [*losses]


# -- what is computed of them --------------------------------------------------------------------------------


@compiled
def test_an_adam_of_ones_own(C: Any) -> Any:
    model = nn.Linear(3, 2)
    state = {p: {"step": 0, "m": torch.zeros_like(p), "v": torch.zeros_like(p)} for p in model.parameters()}

    def step(x: Any, y: Any) -> Any:
        loss = F.cross_entropy(model(x), y)
        model.zero_grad()
        loss.backward()
        with torch.no_grad():
            for p in model.parameters():
                kept = state[p]
                kept["step"] += 1
                kept["m"].mul_(0.9).add_(p.grad * 0.1)
                kept["v"].mul_(0.999).add_(p.grad**2 * 0.001)
                m, v = kept["m"] / (1 - 0.9 ** kept["step"]), kept["v"] / (1 - 0.999 ** kept["step"])
                p -= 0.01 * m / (v**0.5 + 1e-8)
        return loss

    step = C(step)
    for _ in range(10):
        yield step(ROWS, Y), model, [*state.values()]


COMPUTED: dict[str, Callable[[Any], Any]] = {
    "a power": lambda k: 0.9**k,
    "a root": lambda k: k**0.5,
    "a power of both": lambda k: (k + 0.5) ** (k / 3),
    "an integer's power": lambda k: 2**k,
    "the remainder": lambda k: k % 3,
    "the remainder of a float": lambda k: (k * 0.7) % 1.1,
    "the quotient": lambda k: k // 3,
    "a divisor": lambda k: 17 // k + 17 % k,
    "a warm-up": lambda k: min(1.0, k / 4),
    "a schedule": lambda k: 0.1 * 0.5 ** (k // 4),
    "a branch": lambda k: 1.0 if k < 4 else 0.5,
    "every third": lambda k: 2.0 if k % 3 == 0 else 1.0,
    "a sum of its digits": lambda k: sum((k // 10**i) % 10 for i in range(3)),
}


@pytest.mark.parametrize("start", [0, 2])
@pytest.mark.parametrize("computed", COMPUTED)
@same
def test_what_is_computed_of_a_counter(C: Any, computed: str, start: int) -> Any:
    o = types.SimpleNamespace(k=start)

    def step(x: Any) -> Any:
        o.k += 1
        return x * COMPUTED[computed](o.k)

    step = C(step)
    for _ in range(12):
        yield step(X), o.k


@pytest.mark.parametrize("computed", sorted(COMPUTED.keys() - {"an integer's power"}))
@compiled
def test_what_is_computed_of_an_argument(C: Any, computed: str) -> Any:
    step = C(lambda x, k: x * COMPUTED[computed](k))
    for k in range(1, 13):
        yield step(X, k)


@same
def test_powers_at_the_edges(C: Any) -> Any:
    step = C(lambda x, base, k: x * base**k)
    for base, k in (
        (2.0, 3.0), (2.5, 0.5), (-8.0, 1 / 3), (0.0, 2.0), (0.0, -1.0), (1e300, 2.0), (1e-300, 2.0),
        (2.0, 1.0), (float("nan"), 0.0), (-2.0, 3.0),
    ):  # fmt: skip
        yield attempt(step, X, base, k)


@same
def test_remainders_at_the_edges(C: Any) -> Any:
    step = C(lambda x, a, b: x * (a % b) + a // b)
    for a, b in ((7, 3), (-7, 3), (7, -3), (7, 0), (2**31, 5), (7, 2**40), (0, 5), (2**62, 2**61), (6, 4)):
        yield attempt(step, X, a, b)
    for a, b in ((7.5, 2.0), (-7.5, 2.0), (7.5, 0.0), (float("inf"), 2.0), (1.0, float("inf")), (-0.0, 3.0)):
        yield attempt(step, X, a, b)
