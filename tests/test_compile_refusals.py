"""Arguments, results, gradients and copied values: a function that can't be compiled with them runs as eager
code, and says why once; each case beside the same calls of the function itself."""

import copy
import functools
import math
import operator
from collections import namedtuple
from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from compiled_steps import close, told_once

import tinygrad_ninja as torch
from tinygrad_ninja import Value
from tinygrad_ninja.program.compile import CompileWarning, UnsupportedError, compile

HERE = r"test_compile_refusals.py:\d+: "
AGAIN = pytest.mark.filterwarnings("ignore:.*is recorded again")
Pair = namedtuple("Pair", "a b")


def refused(f: Callable[..., Any], calls: list[tuple[Any, ...]], why: str) -> None:
    """Every call answers as eager code does; the first says why it does."""
    want = [f(*args) for args in calls]
    step = compile(f)
    with told_once(HERE + why):
        for args, wanted in zip(calls, want, strict=True):
            close(step(*args), wanted)
    with pytest.raises(UnsupportedError, match=HERE + why):
        compile(f, fullgraph=True)(*calls[0])


# -- arguments -----------------------------------------------------------------------------------------------

ARGUMENTS: dict[str, tuple[Callable[..., Any], Callable[[float], Any]]] = {
    "tuple": (lambda pair: pair[0] * pair[1], lambda i: (torch.tensor(i), torch.tensor(i))),
    "Pair": (lambda pair: pair.a * pair.b, lambda i: Pair(torch.tensor(i), i)),
    "list": (lambda xs: sum(xs), lambda i: [torch.tensor(i)] * 2),
    "dict": (lambda batch: batch["x"] * 2, lambda i: {"x": torch.tensor(i)}),
    "set": (lambda numbers: torch.ones(2) * len(numbers), lambda i: {1.0, i}),
    "range": (lambda steps: torch.ones(2) * len(steps), lambda i: range(int(i))),
    "float32": (lambda rate: torch.ones(2) * rate, np.float32),
    "float64": (lambda rate: torch.ones(2) * rate, np.float64),
    "int64": (lambda n: torch.arange(6)[:n], np.int64),
    "complex": (lambda z: torch.ones(2) * z.imag, lambda i: complex(0, i)),
    "SimpleNamespace": (lambda batch: batch.x * batch.k, lambda i: SimpleNamespace(x=torch.tensor(i), k=i)),
    "function": (lambda act: act(torch.ones(2)), lambda i: lambda x: x * i),
}


@AGAIN
@pytest.mark.parametrize("kind", ARGUMENTS)
def test_arguments_that_are_new_at_every_call(kind: str) -> None:
    f, make = ARGUMENTS[kind]
    step = compile(f)
    for i in (0.0, 1.0, 2.0, 2.0, 5.0):
        close(step(make(i)), f(make(i)))


@AGAIN
def test_a_value_as_an_argument() -> None:
    step = compile(lambda v: (v * 2 + 1).data)
    assert [step(Value(i)) for i in range(4)] == [1.0, 3.0, 5.0, 7.0]


def test_what_is_told_by_its_value_is_compiled() -> None:
    """Strings, bools, None, dtypes; a generator by which one it is."""

    def f(x: Any, how: str, double: bool, dtype: Any, generator: Any) -> Any:
        x = x.tanh() if how == "tanh" else x.relu()
        x = x * 2 if double else x
        return (x if dtype is None else x.to(dtype)) + torch.rand(2, generator=generator)

    def calls(step: Any) -> list[Any]:
        g, h = (torch.Generator().manual_seed(i) for i in range(2))
        x = torch.tensor([1.0, -1.0])
        return [
            step(x * i, *each)
            for i in range(2)
            for each in (
                ("tanh", True, None, g), ("relu", True, None, g), ("relu", False, torch.float64, g),
                ("relu", False, torch.float64, h),
            )
        ]  # fmt: skip

    with pytest.warns(match="is recorded again"):
        have = calls(compile(f, fullgraph=True))
    for mine, theirs in zip(have, calls(f), strict=True):
        close(mine, theirs)


# -- what is compiled ----------------------------------------------------------------------------------------


class Scaled:
    """Callable, with a number of its own."""

    k = 1.0

    def __call__(self, x: Any) -> Any:
        return x * self.k


@AGAIN
def test_what_is_called_but_is_no_function() -> None:
    x, scaled = torch.ones(2), Scaled()
    rates = [2.0]
    for f in (
        scaled,
        functools.partial(lambda rates, x: x * rates[0], rates),
        operator.methodcaller("mul", 3.0),
    ):
        step = compile(f)
        for k in (2.0, 2.0, 3.0):
            scaled.k = rates[0] = k
            close(step(x), f(x))


@compile
def doubled(x: Any) -> Any:
    return x * 2


def test_a_compiled_function_is_copied_as_a_function_is() -> None:
    assert doubled(torch.ones(2)).tolist() == [2.0, 2.0]
    for other in (copy.copy(doubled), copy.deepcopy([doubled])[0]):
        assert other is doubled
    again = compile(doubled, fullgraph=True)
    assert again(torch.ones(2) * math.pi).tolist() == doubled(torch.ones(2) * math.pi).tolist()
    assert "*" in again.source()


# -- results -------------------------------------------------------------------------------------------------

WHERE = pytest.mark.parametrize(("device", "backend"), [("cpu", "c"), ("cpu", "numpy"), ("torch", "torch")])
SHARES = HERE + r"a result is in the memory of a Tensor that was there before; clone\(\) it"

THEMSELVES: dict[str, Callable[[Any, Any], Any]] = {
    "an argument": lambda x, W: x,
    "an argument and more": lambda x, W: (x, x + 1),
    "contiguous": lambda x, W: (x.contiguous(), x + 1),
    "float": lambda x, W: {"x": x.float(), "y": x + 1},
    "changed": lambda x, W: x.add_(1.0),
    "what it finds": lambda x, W: (x + 1, W),
    "what it finds, changed": lambda x, W: W.add_(x),
}
VIEWS: dict[str, Callable[[Any, Any], Any]] = {
    "detach": lambda x, W: x.detach(),
    "data": lambda x, W: [x + 1, x.data],
    "view": lambda x, W: x.view(-1),
    "view of a view": lambda x, W: x.t()[0],
    "changed, and a view of it": lambda x, W: x.mul_(2.0)[1],
    "a view of what it finds": lambda x, W: W[0],
}


@WHERE
@pytest.mark.parametrize("name", [*THEMSELVES, *VIEWS])
def test_results_that_share_their_memory_with_what_was_there(name: str, device: str, backend: str) -> None:
    """What is written into the result is found in the argument, or in the Tensor outside. A Tensor that was
    there is returned itself, compiled; a view of one is eager code's."""

    def calls(wrap: Callable[[Any], Any]) -> list[Any]:
        W = torch.ones(2, 2, device=device)
        step, found = wrap(lambda x: (THEMSELVES | VIEWS)[name](x, W)), []
        for i in range(3):
            x = torch.full((2, 2), float(i), device=device)
            result = step(x)
            result = list(result.values()) if isinstance(result, dict) else result
            for each in result if isinstance(result, (tuple, list)) else (result,):
                each.mul_(10.0)
                found += [each.clone(), x.clone(), W.clone(), torch.tensor([each is x, each is W])]
        return found

    want = calls(lambda f: f)
    with told_once(SHARES) if name in VIEWS else nullcontext():
        have = calls(lambda f: compile(f, backend=backend))
    for mine, theirs in zip(have, want, strict=True):
        close(mine, theirs)
    if name in VIEWS:
        with pytest.raises(UnsupportedError, match=SHARES):
            calls(lambda f: compile(f, fullgraph=True, backend=backend))
    else:
        calls(lambda f: compile(f, fullgraph=True, backend=backend))


@pytest.mark.parametrize(
    "f", [lambda x, k: (x * k, k), lambda x, k: [k * 2 + 1, x * k], lambda x, k: {"k": -k, "x": x + k}]
)
def test_numbers_among_the_results(f: Callable[..., Any]) -> None:
    step, x = compile(f, fullgraph=True), torch.ones(2)
    for k in (1.0, 1.0, 2.0, 3.0):
        assert repr(step(x * k, k)) == repr(f(x * k, k))


def test_a_numpy_array_among_the_results() -> None:
    refused(
        lambda x, k: torch.from_numpy((x * k).numpy()),
        [(torch.ones(2) * i, i) for i in (1.0, 2.0, 3.0)],
        r"numpy\(\) reads a value out of a Tensor",
    )


@WHERE
def test_results_that_are_made_anew_are_compiled(device: str, backend: str) -> None:
    """Constants, clones, conversions and views of results."""

    def f(x: Any) -> Any:
        y = x * 2
        return torch.ones(3, device=device), x.clone(), x.double(), y.view(-1), (y + 1).detach(), 5, None

    step = compile(f, fullgraph=True, backend=backend)
    for i in range(3):
        x = torch.full((2, 2), float(i), device=device)
        for mine, theirs in zip(step(x), f(x), strict=True):
            if isinstance(theirs, torch.Tensor):
                close(mine, theirs)
                mine.add_(1)
            else:
                assert mine == theirs


# -- gradients that leave the function -----------------------------------------------------------------------


def test_an_argument_with_a_history_is_eager_codes() -> None:
    """The walk back leaves the function, and frees what it goes through."""

    def calls(wrap: Callable[[Any], Any]) -> list[Any]:
        w = torch.ones(2, requires_grad=True)
        step, found = wrap(lambda h: (h * h).sum().backward()), []
        for i in range(1, 4):
            w.grad = None
            step(w * i)
            found.append(w.grad)
        return found

    with told_once(HERE + "a gradient goes back into the history of an argument"):
        have = calls(compile)
    for mine, theirs in zip(have, calls(lambda f: f), strict=True):
        close(mine, theirs)


def test_an_argument_has_a_history_only_later() -> None:
    w = torch.ones(2, requires_grad=True)
    step = compile(lambda h: torch.autograd.grad((h * h).sum(), h)[0])
    close(step(w), w * 2)
    with told_once(HERE + "a gradient goes back into the history of an argument"):
        close(step(w * 3), w * 6)


@pytest.mark.parametrize(
    "change",
    [
        lambda memory, w: memory.add_(w),
        lambda memory, w: w.detach_(),
    ],
    ids=["in place", "detach_"],
)
def test_a_history_that_changes(change: Callable[..., Any]) -> None:
    """The Tensor was there before: a compiled step would leave it without its new history."""

    def calls(wrap: Callable[[Any], Any]) -> list[Any]:
        memory, w = torch.ones(2), torch.full((2,), 3.0, requires_grad=True)

        def step() -> Any:
            change(memory, w)
            (memory * w * 2).sum().backward()
            return w.grad.clone()

        fast = wrap(step)
        result = fast()
        assert memory.requires_grad
        return [result, w.grad, memory.grad if memory.is_leaf else None, memory.clone()]

    want = []
    try:
        want = calls(lambda f: f)
    except RuntimeError:  # nothing requires a gradient any more
        with pytest.raises(RuntimeError, match="does not require grad"):
            calls(compile)
        return
    with told_once(HERE + "the history of a Tensor"):
        have = calls(compile)
    for mine, theirs in zip(have, want, strict=True):
        assert (mine is None) == (theirs is None)
        if mine is not None:
            close(mine, theirs)


# -- values that NumPy copies --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("f", "how"),
    [
        (lambda x, k: x * torch.tensor(np.exp(x.numpy())), r"numpy\(\)"),
        (lambda x, k: x * torch.Tensor(x * k), r"Tensor\(\)"),
        (lambda x, k: x * torch.from_numpy(np.array(x * k)), r"numpy.array\(\)"),
    ],
)
def test_values_that_are_copied(f: Callable[..., Any], how: str) -> None:
    refused(f, [(torch.ones(2) * i, i) for i in (1.0, 2.0, 3.0)], how + " reads a value out of a Tensor")


@pytest.mark.parametrize(
    "f",
    [
        lambda x, k: x * torch.tensor(k),
        lambda x, k: x * torch.tensor([k, 2.0]),
        lambda x, k: x * torch.full((2,), k),
    ],
    ids=["tensor", "tensor of a list", "full"],
)
def test_numbers_among_the_arguments_may_be_copied(f: Callable[..., Any]) -> None:
    step = compile(f, fullgraph=True)
    for i in (1.0, 1.0, 2.0, 3.0, 2.0):
        close(step(torch.ones(2) * i, i), f(torch.ones(2) * i, i))


def test_values_that_are_the_same_at_every_call_may_be_copied() -> None:
    step = compile(lambda x: x * torch.tensor(torch.arange(2).numpy()) * torch.Tensor([2, 3]), fullgraph=True)
    for _ in range(2):
        assert step(torch.ones(2)).tolist() == [0.0, 3.0]


# -- what is told where too much is recorded -----------------------------------------------------------------


def test_the_number_that_is_another_and_the_line_that_uses_it_are_named() -> None:
    def step(x: Any, i: int) -> Any:
        return x * math.cos(math.pi * i / 6)

    line = step.__code__.co_firstlineno + 1
    fast, x = compile(step, recompile_limit=3), torch.ones(2)
    with told_once(
        HERE + f".* 3 times, the last time for another number: argument 1, of which .*:{line} uses more than"
        " arithmetic; give what it computes as an argument"
    ):
        for i in range(6):
            close(fast(x, i), step(x, i))


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.AdamW])
def test_numbers_of_an_optimizer_that_are_others_are_named_as_its_learning_rate_is(kind: Any) -> None:
    w = torch.ones(2, requires_grad=True)
    optimizer = kind([w], lr=0.1, **({"momentum": 0.9} if kind is torch.optim.SGD else {}))
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=20)

    @compile
    def step() -> None:
        (w * w).sum().backward()
        optimizer.step()

    for _ in range(12):  # without a warning
        step()
        scheduler.step()
    other = "momentum" if kind is torch.optim.SGD else "betas"
    told = step.explain()
    assert "recorded 2 times" in told
    assert all(name in told for name in ("another number: ", "the learning rate", f"the optimizer's {other}"))


def test_the_object_that_is_another_is_named() -> None:
    class Scale:
        def __init__(self, k: float) -> None:
            self.k = k

        def by(self, x: Any) -> Any:
            return x * self.k

    fast, x = compile(Scale.by, recompile_limit=3), torch.ones(2)
    with pytest.warns(CompileWarning, match="another object as argument 0, a Scale") as told:  # noqa: PT031
        for i in range(6):
            close(fast(Scale(i), x), x * i)
    assert len(told) == 2  # that it is recorded again, and that it is no longer


def test_a_model_of_the_packages_own_code_is_told_by_the_line_that_calls_it() -> None:
    model = compile(torch.nn.Sequential(torch.nn.Linear(2, 2)))
    x = torch.ones(1, 2, requires_grad=True)
    x.register_hook(lambda grad: None)
    with told_once(HERE + "argument 0 has hooks of its own"):
        model(x)
