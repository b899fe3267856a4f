"""Compiled functions of Tensors that share their memory in some calls and not in others: each sequence of
calls beside the same one of eager code."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from compiled_steps import close, told_once

import tinygrad_ninja as torch
from tinygrad_ninja.program.compile import CompileWarning, compile

WHERE = pytest.mark.parametrize(("device", "backend"), [("cpu", "c"), ("cpu", "numpy"), ("torch", "torch")])
AGAIN = pytest.mark.filterwarnings("ignore:.*is recorded again")
Calls = Callable[[Callable[[Any], Any], str], list[Any]]


def given_twice(wrap: Callable[[Any], Any], device: str) -> list[Any]:
    step = wrap(lambda a, b: a * 2 + b)
    x, y = (torch.tensor([i], device=device) for i in (1.0, 10.0))
    return [step(x, x), step(x, y), step(y, x), step(y, y), step(x, x.detach()), step(y, x)]


def given_and_found(wrap: Callable[[Any], Any], device: str) -> list[Any]:
    W, x = (torch.tensor([i], device=device) for i in (1.0, 10.0))
    step = wrap(lambda x: W * 10 + x)
    return [step(W), step(x), step(W), step(W.detach()), step(x)]


def found_within(wrap: Callable[[Any], Any], device: str) -> list[Any]:
    """The argument is a parameter of a model."""
    model = torch.nn.Linear(2, 2, bias=False).to(device)
    other = torch.ones(2, 2, device=device, requires_grad=True)

    def f(x: Any) -> Any:
        with torch.no_grad():
            return model(x) - x

    step = wrap(f)
    with torch.no_grad():
        model.weight.fill_(3.0)
    return [step(model.weight), step(other), step(model.weight)]


def an_array_twice(wrap: Callable[[Any], Any], device: str) -> list[Any]:
    step = wrap(lambda a, b: torch.as_tensor(a).to(device) * 2 + torch.as_tensor(b).to(device))
    x, y = np.ones(3), np.arange(3.0)
    return [step(x, x), step(x, y), step(y, y), step(y, x)]


def gradients_of_two(wrap: Callable[[Any], Any], device: str) -> list[Any]:
    step = wrap(lambda a, b: torch.autograd.grad((a * b * b).sum(), [a, b]))
    a, b = (torch.tensor([i], device=device, requires_grad=True) for i in (2.0, 3.0))
    return [x for pair in ((a, b), (a, a), (b, a), (b, b), (b, a)) for x in step(*pair)]


def gradient_of_what_is_found(wrap: Callable[[Any], Any], device: str) -> list[Any]:
    W, x = (torch.tensor([i], device=device, requires_grad=True) for i in (2.0, 3.0))
    step = wrap(lambda x: torch.autograd.grad((W * x).sum(), x)[0])
    return [step(x), step(W), step(x), step(W)]


def found_twice(wrap: Callable[[Any], Any], device: str) -> list[Any]:
    """Two Tensors outside begin to share their memory, and end it."""
    W, V = (torch.full((2,), i, device=device) for i in (1.0, 5.0))

    def f() -> Any:
        W.data += 1.0
        return V * 10

    step = wrap(f)
    results = [step(), step()]
    V.data = W.data
    results += [step(), step()]
    V.data = torch.zeros(2, device=device)
    return [*results, step(), step(), W.clone(), V.clone()]


@AGAIN
@WHERE
@pytest.mark.parametrize(
    "calls",
    [
        given_twice, given_and_found, found_within, an_array_twice, gradients_of_two,
        gradient_of_what_is_found, found_twice,
    ],
)  # fmt: skip
def test_what_is_the_same_now_and_was_not_then(calls: Calls, device: str, backend: str) -> None:
    have = calls(lambda f: compile(f, fullgraph=True, backend=backend), device)
    for mine, theirs in zip(have, calls(lambda f: f, device), strict=True):
        close(mine, theirs)


# -- memory that is changed in place -------------------------------------------------------------------------


def reads_what_it_changes(wrap: Callable[[Any], Any], device: str) -> list[Any]:
    W = torch.arange(6.0, device=device).view(2, 3)

    def f(x: Any) -> Any:
        W.data += 1
        return x * 2

    step, x = wrap(f), torch.zeros(3, device=device)
    return [step(x), step(x + 1), step(W[0]), step(W[1]), step(x), W]


def changes_what_it_is_given(wrap: Callable[[Any], Any], device: str) -> list[Any]:
    base = torch.arange(6.0, device=device)

    def f(a: Any, b: Any) -> Any:
        a.add_(b)
        return b * 2

    step = wrap(f)
    parts = [(slice(0, 3), slice(3, 6)), (slice(3, 6), slice(0, 3)), (slice(1, 4), slice(1, 4))] * 2
    return [*(step(base[a].detach(), base[b].detach()) for a, b in parts), base]


def changes_every_other(wrap: Callable[[Any], Any], device: str) -> list[Any]:
    """Elements that two Tensors have in turns are taken for shared."""
    base = torch.arange(8.0, device=device)

    def f(a: Any, b: Any) -> Any:
        a.add_(b)
        return a * b

    step = wrap(f)
    first, second = base[::2].detach(), base[1::2].detach()
    return [step(first, torch.arange(8.0, device=device)[::2]), step(first, second), base]


@WHERE
@pytest.mark.parametrize("calls", [reads_what_it_changes, changes_what_it_is_given, changes_every_other])
def test_memory_that_is_changed_and_shared_is_eager_codes(calls: Calls, device: str, backend: str) -> None:
    sentence = r"test_compile_aliases.py:\d+: a Tensor is changed in place that shares its memory"
    with told_once(sentence):
        have = calls(lambda f: compile(f, backend=backend), device)
    for mine, theirs in zip(have, calls(lambda f: f, device), strict=True):
        close(mine, theirs)


@WHERE
def test_what_does_not_share_its_memory_is_recorded_once(device: str, backend: str) -> None:
    """Whichever is changed, in whatever order they are given, also where one takes the place of another."""

    def swap(a: Any, b: Any) -> None:
        before = a.clone()
        a.copy_(b)
        b.copy_(before)

    def scale(h: Any, x: Any) -> Any:
        return h.mul_(x) * 1

    def calls(wrap: Callable[[Any], Any]) -> list[Any]:
        x, y, z = (torch.arange(i, i + 4, device=device) for i in (0.0, 4.0, 8.0))
        swapped, scaled = wrap(swap), wrap(scale)
        results = []
        for a, b in ((x, y), (y, x), (x, z), (z, y), (y, z)):
            swapped(a, b)
            results += [scaled(a, b), scaled(b, torch.full((4,), 0.5, device=device))]
            results += [each.clone() for each in (x, y, z)]
        return results

    with warnings.catch_warnings():
        warnings.simplefilter("error", CompileWarning)
        have = calls(lambda f: compile(f, fullgraph=True, backend=backend))
    for mine, theirs in zip(have, calls(lambda f: f), strict=True):
        close(mine, theirs)


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_shared_memory_is_told_by_the_line_of_the_function(backend: str) -> None:
    """Not by that of the call, which may be anywhere."""

    def both(a: Any, b: Any) -> Any:
        return a.add_(1).sum() + b.sum()

    x = torch.ones(3, device="cpu" if backend == "numpy" else "torch")
    line = both.__code__.co_firstlineno
    with pytest.warns(CompileWarning, match=rf"aliases\.py:{line}: a Tensor is changed in place"):
        compile(both, backend=backend)(x[:2], x[1:])
