"""Tensors in Python's objects that a step sets anew at every call: running statistics, hidden states."""

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
STATE: Any = None


class Norm:
    """The lecture's batch normalization."""

    def __init__(self, dim: int) -> None:
        self.training = True
        self.gamma, self.beta = torch.ones(dim), torch.zeros(dim)
        self.running_mean, self.running_var = torch.zeros(dim), torch.ones(dim)

    def __call__(self, x: Any) -> Any:
        mean = x.mean(0, keepdim=True) if self.training else self.running_mean
        var = x.var(0, keepdim=True) if self.training else self.running_var
        self.out = self.gamma * (x - mean) / torch.sqrt(var + 1e-5) + self.beta
        if self.training:
            with torch.no_grad():
                self.running_mean = 0.9 * self.running_mean + 0.1 * mean
                self.running_var = 0.9 * self.running_var + 0.1 * var
        return self.out


class Buffers(nn.Module):
    """The same as a Module, with buffers."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("running_var", torch.ones(dim))
        self.gamma = nn.Parameter(torch.ones(dim))

    def forward(self, x: Any) -> Any:
        if self.training:
            with torch.no_grad():
                self.running_var = 0.9 * self.running_var + 0.1 * x.var(0)
        return self.gamma * x / (self.running_var + 1e-5).sqrt()


def trained(C: Any, norm: Any) -> Any:
    w = torch.randn(3, 4).requires_grad_()
    parameters = [w, norm.gamma]
    norm.gamma.requires_grad_()

    def step(x: Any, y: Any) -> Any:
        loss = F.cross_entropy(norm(x @ w), y)
        for p in parameters:
            p.grad = None
        loss.backward()
        for p in parameters:
            p.data += -0.1 * p.grad
        return loss

    return C(step), parameters


@pytest.mark.parametrize("kind", [Norm, Buffers])
@compiled
def test_running_statistics(C: Any, kind: Any) -> Any:
    norm = kind(4)
    step, parameters = trained(C, norm)
    for i in range(10):
        rows = 4 if i % 3 == 2 else 6
        yield step(ROWS[:rows], Y[:rows]), parameters, norm.running_var
        if i == 7:
            norm.training = False


@compiled
def test_a_mode_is_set_in_the_step(C: Any) -> Any:
    norm = Buffers(3)

    def step(x: Any, mode: Any) -> Any:
        norm.train(mode == "train")
        with torch.no_grad():
            return norm(x)

    step = C(step)
    for i in range(12):
        yield step(ROWS, "train" if i % 3 else "eval"), norm, norm.training


CHANGES: dict[str, Callable[[Norm], Any]] = {
    "numbers": lambda n: n.running_var.fill_(3.0),
    "another": lambda n: setattr(n, "running_var", torch.full((1, 4), 2.0)),
    "another shape": lambda n: setattr(n, "running_var", torch.full((4,), 2.0)),
    "another shape to broadcast": lambda n: setattr(n, "running_var", torch.full((2, 1, 4), 2.0)),
    "another dtype": lambda n: setattr(n, "running_var", n.running_var.half()),
    "strides": lambda n: setattr(n, "running_var", torch.full((4, 1), 2.0).T),
    "a view": lambda n: setattr(n, "running_var", n.gamma.detach()[None]),
    "a parameter": lambda n: setattr(n, "running_var", nn.Parameter(torch.ones(1, 4))),
    "the parameter": lambda n: setattr(n, "running_var", n.gamma),
    "that of the mean": lambda n: setattr(n, "running_var", n.running_mean),
    "both a view": lambda n: setattr_all(n, running_mean=n.beta[None], running_var=n.beta[None] + 1),
    "with a history": lambda n: setattr(n, "running_var", n.gamma[None] * 2),
    "that requires a gradient": lambda n: n.running_var.requires_grad_(),
    "a number": lambda n: setattr(n, "running_var", 1.0),
    "None": lambda n: setattr(n, "running_var", None),
    "nothing": lambda n: delattr(n, "running_var"),
    "what it does not read": lambda n: setattr(n, "out", None),
    "what it does not read, deleted": lambda n: delattr(n, "out"),
    "what it does not read, required": lambda n: setattr(n, "out", torch.ones(2).requires_grad_()),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
@same
def test_a_buffer_is_changed_between_calls(C: Any, change: str) -> Any:
    norm = Norm(4)
    step, parameters = trained(C, norm)
    for i in range(13):
        yield attempt(step, ROWS, Y), parameters, norm.running_mean, vars(norm).get("running_var")
        if i in (5, 9):
            CHANGES[change](norm)


@pytest.mark.parametrize("change", ["numbers", "another", "that of the mean", "strides"])
@compiled
def test_a_buffer_that_is_changed_between_calls_stays_compiled(C: Any, change: str) -> Any:
    norm = Norm(4)
    step, parameters = trained(C, norm)
    for i in range(13):
        yield step(ROWS, Y), parameters, norm.running_mean, norm.running_var
        if i in (5, 9):
            CHANGES[change](norm)


# -- where it is held ----------------------------------------------------------------------------------------

HOLDERS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "a dict": lambda: ({"h": X * 0, "k": 1}, "h"),
    "a dict of many": lambda: ({f"{i}": X * i for i in range(20)}, "3"),
    "a defaultdict": lambda: (collections.defaultdict(lambda: X, h=X * 0), "h"),
    "an OrderedDict": lambda: (collections.OrderedDict(h=X * 0), "h"),
    "a list": lambda: ([X, X * 0], 1),
    "a list of many": lambda: ([X * i for i in range(20)], 3),
}


@pytest.mark.parametrize("holder", HOLDERS)
@compiled
def test_a_state_in_a_container(C: Any, holder: str) -> Any:
    held, key = HOLDERS[holder]()

    def step(x: Any) -> Any:
        held[key] = (held[key] + x).tanh()
        return held[key] * 2

    step = C(step)
    for i in range(8):
        yield step(X), held
        if i == 5:
            held[key] = torch.zeros(3)


@compiled
def test_a_state_in_a_global(C: Any) -> Any:
    global STATE
    STATE = torch.zeros(3)

    def step(x: Any) -> Any:
        global STATE
        STATE = (STATE + x).tanh()
        return STATE * 2

    step = C(step)
    for i in range(8):
        yield step(X), STATE
        if i == 5:
            STATE = torch.zeros(3)


@compiled
def test_a_state_in_a_closure(C: Any) -> Any:
    h = torch.zeros(3)

    def step(x: Any) -> Any:
        nonlocal h
        h = (h + x).tanh()
        return h

    step = C(step)
    for i in range(8):
        y = step(X)
        yield y, h, y is h
        if i == 5:
            h = torch.zeros(3)


@compiled
def test_a_state_with_a_counter(C: Any) -> Any:
    o = types.SimpleNamespace(h=torch.zeros(3), k=0)

    def step(x: Any) -> Any:
        o.k += 1
        if o.k % 3 == 0:
            o.h = o.h * 0.5
        else:
            o.h = o.h + x / o.k
        return o.h.sum()

    step = C(step)
    for _ in range(14):
        yield step(X), vars(o)


# -- what it is set to ---------------------------------------------------------------------------------------

SETS: dict[str, Callable[[Any, Any], Any]] = {
    "exchanged": lambda o, x: setattr_all(o, a=o.b, b=o.a),
    "exchanged and changed": lambda o, x: setattr_all(o, a=o.b * 2, b=o.a + x),
    "the argument": lambda o, x: setattr_all(o, a=x),
    "a view of the argument": lambda o, x: setattr_all(o, a=x[:2]),
    "what changes in place": lambda o, x: setattr_all(o, a=o.a.clone().add_(x)),
    "both one": lambda o, x: setattr_all(o, a=o.a + x, b=o.a),
    "both the same": lambda o, x: (lambda y: setattr_all(o, a=y, b=y))(o.a + x),
    "two parts of one": lambda o, x: (lambda y: setattr_all(o, a=y[0], b=y[1]))(torch.stack([o.a + x, o.b])),
    "in place alone": lambda o, x: o.a.mul_(2).add_(x),
    "in place, then anew": lambda o, x: (o.a.add_(x), setattr_all(o, b=o.a * 2)),
    "a detached one": lambda o, x: setattr_all(o, a=(o.a + x).detach()),
    "itself": lambda o, x: setattr_all(o, a=o.a),
    "None and back": lambda o, x: setattr_all(o, a=None, b=o.b + x) or setattr_all(o, a=o.b * 2),
    "integers": lambda o, x: setattr_all(o, a=(x > 0).long() + o.a),
    "random": lambda o, x: setattr_all(o, a=torch.rand(3) + o.a),
    "another one of the object's": lambda o, x: setattr_all(o, a=o.fixed),
    "a number": lambda o, x: setattr_all(o, a=o.a + x, b=2.0),
    "a list": lambda o, x: setattr_all(o, a=[o.b]),
    "data": lambda o, x: setattr(o.a, "data", o.a.data + x),
    "transposed": lambda o, x: setattr_all(o, a=torch.stack([o.b, x]).T),
}


def setattr_all(o: Any, **values: Any) -> None:
    for name, value in values.items():
        setattr(o, name, value)


@pytest.mark.parametrize("sets", SETS)
@same
def test_what_a_state_is_set_to(C: Any, sets: str) -> Any:
    o = types.SimpleNamespace(a=torch.zeros(3), b=torch.ones(3), fixed=torch.full((3,), 7.0))

    def step(x: Any) -> Any:
        SETS[sets](o, x)
        return x * 2

    step = C(step)
    for i in range(9):
        yield step(X + i), vars(o), o.a is o.b, o.a is o.fixed
        if i == 6:
            o.a = torch.full((3,), 0.5)


@same
def test_old_states_are_kept(C: Any) -> Any:
    o = types.SimpleNamespace(h=torch.zeros(3))

    def step(x: Any) -> Any:
        o.h = o.h + x
        return o.h

    step, seen = C(step), []
    for _ in range(7):
        seen.append(o.h)
        seen.append(step(X))
        yield seen
        seen[-1].mul_(2)


@same
def test_a_call_that_raises(C: Any) -> Any:
    o, table = types.SimpleNamespace(h=torch.zeros(3)), torch.arange(12.0).reshape(4, 3)

    def step(i: Any) -> Any:
        o.h = o.h + 1
        o.h = o.h + table[i].sum(0)
        return o.h * 2

    step = C(step)
    for i in (0, 1, 2, 3, 9, 1, -7, 2):
        yield attempt(step, torch.tensor([i])), o.h


@compiled
def test_a_state_with_a_history(C: Any) -> Any:
    w, o = torch.ones(3).requires_grad_(), types.SimpleNamespace(h=torch.zeros(3))

    def step(x: Any) -> Any:
        o.h = (x * w).tanh()
        return o.h.sum()

    step = C(step)
    for i in range(8):
        loss = step(X)
        (loss + (o.h**2).sum() if i % 2 else loss).backward()
        yield loss.detach(), o.h.detach(), w.grad, o.h.requires_grad


@compiled
def test_a_state_whose_history_grows(C: Any) -> Any:
    w, o = torch.ones(3).requires_grad_(), types.SimpleNamespace(h=torch.zeros(3))

    def step(x: Any) -> Any:
        o.h = (o.h + x * w).tanh()
        return o.h.sum()

    step = C(step)
    for i in range(14):
        loss = step(X)
        yield loss.detach(), o.h.detach()
        if i % 4 == 3:
            loss.backward()
            o.h = o.h.detach()
            yield w.grad


@pytest.mark.parametrize("is_returned", [False, True])
@refused("keeps a gradient of its own")
def test_a_gradient_that_is_retained(C: Any, is_returned: bool) -> Any:
    w, o = torch.ones(3).requires_grad_(), types.SimpleNamespace(h=torch.zeros(3))

    def step(x: Any) -> Any:
        y = (x * w).tanh()
        y.retain_grad()
        if not is_returned:
            o.h = y
        y.sum().backward()
        return y if is_returned else x * 2

    step = C(step)
    for _ in range(6):
        y = step(X)
        yield (y if is_returned else o.h).grad


@same
def test_a_history_is_spent(C: Any) -> Any:
    """Nobody has detached the state of the last call: eager code raises."""
    w, o = torch.ones(3).requires_grad_(), types.SimpleNamespace(h=torch.zeros(3), last=None)

    def step(x: Any) -> Any:
        o.h = (o.h + x * w).tanh()
        w.grad = None
        o.h.sum().backward()
        return o.h.detach() * 2

    step = C(step)
    for _ in range(6):
        yield attempt(step, X), o.h.detach(), o.h.requires_grad, w.grad
        o.h = o.h.detach()
    for _ in range(3):
        yield attempt(step, X), o.h.detach(), o.h.requires_grad, w.grad


@compiled
def test_what_is_left_of_a_spent_history(C: Any) -> Any:
    norm = Norm(4)
    step, parameters = trained(C, norm)
    for i in range(8):
        yield (
            step(ROWS, Y),
            norm.out.requires_grad,
            norm.out.is_leaf,
            str(norm.out.grad_fn),
            norm.out.detach(),
        )
        if i in (4, 6):
            yield attempt(norm.out.sum().backward), parameters


@same
def test_a_history_of_which_a_part_is_left(C: Any) -> Any:
    """A sum keeps no values, so that a gradient may go through it twice."""
    w, o = torch.ones(3).requires_grad_(), types.SimpleNamespace(h=torch.zeros(3))

    def step(x: Any) -> Any:
        o.h = o.h + w
        (o.h * x).sum().backward()
        return x * 2

    step = C(step)
    for _ in range(7):
        yield attempt(step, X), o.h.detach(), w.grad
