"""The recording is the first call: it happens once, and leaves nothing behind but what eager code leaves."""

import copy
import logging
import types
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from contract import attempt, compiled, same

import tinygrad_ninja as torch
from tinygrad_ninja import nn

X = torch.tensor([1.0, -2.0, 0.5])

FAILURES: dict[str, Callable[[Any], Any]] = {
    "nothing": lambda x: x,
    "item": lambda x: x * x.sum().item(),
    "NumPy's random numbers": lambda x: x * float(np.random.rand()),
    "printing": lambda x: print("here") or x,
    "a mask": lambda x: x[x > 0].sum() * x,
    "a branch": lambda x: x if x.sum() > 0 else -x,
    "a part in place": lambda x: (y := x * 1, y.__setitem__(0, 5.0), y)[2],
    "an unknown argument": lambda x: torch.from_numpy(np.asarray(x)) * 2,
}
"""What a step does half-way, between two changes."""


@pytest.mark.parametrize("failure", FAILURES)
@same
def test_each_call_happens_once(C: Any, failure: str) -> Any:
    """A batch is taken, a counter counts, a parameter is updated, memory changes: before and after."""
    w, b = torch.ones(3, requires_grad=True), torch.zeros(3)
    batches, log, o = [float(k) for k in range(20)], [], types.SimpleNamespace(n=0)
    optimizer = torch.optim.Adam([w], lr=0.1)

    def step() -> Any:
        x = X * batches.pop(0) + torch.rand(3)
        b.add_(1.0)
        o.n += 1
        h = FAILURES[failure](x)
        log.append(len(batches))
        loss = (w * h).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        b.mul_(2.0)
        return loss.detach()

    step = C(step)
    for _ in range(6):
        yield step(), w, b, len(batches), log, o, optimizer, torch.get_rng_state()


KEEPS: dict[str, Callable[[Any, Any], object]] = {
    "a list": lambda o, y: o.items.append(y),
    "an attribute": lambda o, y: setattr(o, "last", y),
    "a dict": lambda o, y: o.named.__setitem__(len(o.named), y),
    "a tuple in a list": lambda o, y: o.items.append((y, 1)),
    "its gradient function": lambda o, y: o.items.append(y.requires_grad),
    "a closure": lambda o, y: o.items.append(lambda: y) or None,
    "a view": lambda o, y: setattr(o, "last", y[1:]),
    "detached": lambda o, y: o.items.append(y.detach()),
    "its shape": lambda o, y: o.items.append(y.shape),
    "a Tensor's own attribute": lambda o, y: setattr(o.w, "note", y) if hasattr(o.w, "__dict__") else None,
    "an array": lambda o, y: o.items.append(y.detach().numpy()),
    "a Parameter": lambda o, y: setattr(o, "last", nn.Parameter(y.detach())),
    "a weak reference": lambda o, y: o.items.append(weakref.ref(y)() is y),
}


@pytest.mark.parametrize("after", ["", "item", "a branch"])
@pytest.mark.parametrize("how", KEEPS)
@same
def test_nothing_that_stands_for_a_tensor_is_kept(C: Any, how: str, after: str) -> Any:
    """Also where the recording fails later."""
    o = types.SimpleNamespace(items=[], last=None, named={}, w=torch.ones(3, requires_grad=True))

    def step(x: Any) -> Any:
        y = (o.w * x).tanh()
        KEEPS[how](o, y)
        return (FAILURES[after](y.detach()) if after else y.detach()) * 2

    step = C(step)
    for k in range(6):
        yield step(X * k), o
        if how == "a closure":
            yield [kept() for kept in o.items]
    yield attempt(lambda: o.items[-1].sum().backward()), o


@same
def test_what_was_kept_has_its_history(C: Any) -> Any:
    w, losses = torch.ones(3, requires_grad=True), []

    def f(x: Any) -> Any:
        losses.append((w * x).sum())
        return losses[-1].detach()

    f = C(f)
    for k in range(5):
        yield f(X * k)
    sum(losses).backward()
    yield w, losses


@same
def test_warnings_and_logs_of_the_users(C: Any) -> Any:
    log = logging.getLogger("of a test of compile")
    records: list[Any] = []
    handler = logging.Handler()
    handler.emit = lambda record: records.append(record.getMessage())
    log.addHandler(handler)
    log.propagate = False

    def f(x: Any) -> Any:
        warnings.warn("the user's own", stacklevel=1)
        log.warning("seen %d", len(x))
        return x * 2

    f = C(f)
    for k in range(5):
        yield f(X * k), records
    log.removeHandler(handler)


@same
def test_a_warning_of_the_engine(C: Any) -> Any:
    w = torch.ones(3, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.1)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 2)

    def f(x: Any) -> Any:
        schedule.step()
        return x * 2

    f = C(f)
    for k in range(3):
        yield f(X * k), optimizer


@same
def test_a_file_is_written(C: Any, tmp_path: Any) -> Any:
    path = tmp_path / "log"
    path.write_text("")

    def f(x: Any) -> Any:
        with path.open("a") as file:
            file.write(f"{len(x)}\n")
        return x * 2

    f = C(f)
    for k in range(5):
        yield f(X * k), path.read_text()


@same
def test_an_open_file_is_read(C: Any, tmp_path: Any) -> Any:
    path = tmp_path / "numbers"
    path.write_text("1\n2\n3\n4\n5\n6\n7\n8\n")
    with path.open() as file:
        f = C(lambda x: x * float(file.readline()))
        for _ in range(6):
            yield f(X)
        yield file.readline()


@same
def test_a_callback_of_the_users(C: Any) -> Any:
    seen = []

    class Callbacks:
        def __init__(self) -> None:
            self.several = [lambda loss: seen.append("a")]

        def __call__(self, loss: Any) -> None:
            for each in self.several:
                each(loss)

    callbacks = Callbacks()

    def f(x: Any) -> Any:
        loss = (x * x).sum()
        callbacks(loss)
        return loss

    f = C(f)
    for k in range(4):
        yield f(X * k), seen
    callbacks.several.append(lambda loss: seen.append("b"))
    yield f(X), f(X), seen
    callbacks.several.clear()
    yield f(X), f(X), seen


@same
def test_functions_made_inside(C: Any) -> Any:
    def f(x: Any, k: float) -> Any:
        def inner(y: Any) -> Any:
            return y * k

        class Local:
            scale = 2.0

            def __call__(self, y: Any) -> Any:
                return inner(y) * self.scale

        return Local()(x) + (lambda y: y - k)(x)

    f = C(f)
    for k in range(5):
        yield f(X, k * 0.5)


@same
def test_a_generator_function(C: Any) -> Any:
    def f(x: Any) -> Any:
        for k in range(3):
            yield x * k

    f = C(f)
    for k in range(3):
        yield list(f(X * k))
    yield [next(iter(f(X))), next(iter(f(X + 1)))]


@same
def test_a_result_that_is_a_function(C: Any) -> Any:
    def f(x: Any) -> Any:
        y = x * 2
        return lambda z: y + z

    f = C(f)
    for k in range(4):
        yield f(X * k)(X)


@same
def test_a_result_that_is_an_object(C: Any) -> Any:
    f = C(lambda x: types.SimpleNamespace(y=x * 2, n=len(x)))
    kept = [f(X * k) for k in range(5)]
    yield kept


@same
def test_copies_of_a_compiled_function(C: Any) -> Any:
    k = 2.0
    f = C(lambda x: x * k)
    yield f(X), copy.copy(f)(X), copy.deepcopy([f])[0](X)
    k = 3.0
    yield copy.copy(f)(X), f(X)


@same
def test_the_same_function_compiled_twice(C: Any) -> Any:
    w = torch.ones(3)

    def f(x: Any) -> Any:
        w.add_(x)
        return w * 1

    a, b = C(f), C(f)
    for k in range(3):
        yield a(X * k), b(X), f(X), w


@compiled
def test_a_function_that_is_decorated(C: Any) -> Any:
    w = torch.ones(3, requires_grad=True)

    @C
    def step(x: Any, k: float = 1.0) -> Any:
        """Of the user's."""
        loss = (w * x).sum() * k
        w.grad = None
        loss.backward()
        return loss

    for k in range(5):
        yield step(X * k), step(X, k=2.0), w
    yield step.__name__, step.__doc__


@same
def test_an_exception_in_the_first_call(C: Any) -> Any:
    """What it changed before is changed, and the next call is a first one."""
    w, ready = torch.ones(3), []

    def f(x: Any) -> Any:
        w.add_(1.0)
        if not ready:
            raise KeyError("not ready")
        return w * x

    f = C(f)
    yield attempt(f, X), w, attempt(f, X), w
    ready.append(True)
    for k in range(4):
        yield f(X * k), w


@same
def test_many_shapes(C: Any) -> Any:
    f = C(lambda x: (x * 2).sum())
    for n in (*range(1, 12), 3, 5):
        yield f(torch.arange(float(n)))


@same
def test_a_deep_chain(C: Any) -> Any:
    w = torch.ones(3, requires_grad=True)

    def f(x: Any) -> Any:
        h = w * x
        for _ in range(300):
            h = (h * 0.99 + 0.01).tanh()
        w.grad = None
        h.sum().backward()
        return h.detach()

    f = C(f)
    for k in range(3):
        yield f(X * k), w
