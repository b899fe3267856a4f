"""The contract of compiled functions: a scenario runs twice from equal beginnings, with functions as they are
and with functions compiled, and all that can be seen is equal; or a function has said once that it runs as
eager code.

A scenario is a generator that is given `C`, which compiles a function or leaves it alone. What it yields is
compared: Tensors with their gradients, modules, optimizers, generators, any Python object, what they share,
and, where it yields them, what becomes of them until the end.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import random
import re
import types
import warnings
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_ninja as torch
from tinygrad_ninja import Value, nn
from tinygrad_ninja.program.compile import Compiled, CompileWarning, UnsupportedError

Scenario = Callable[..., Generator[Any, None, None]]
TOLERANCE = {"float16": 2e-3, "float32": 1e-5, "float64": 1e-11}
EAGERLY = "runs as eager code"


# -- the three marks -----------------------------------------------------------------------------------------


def same(scenario: Scenario) -> Callable[..., None]:
    """Return a test: compiled or not, the scenario goes as with eager code."""
    return _test(scenario, lambda told: "")


def compiled(scenario: Scenario) -> Callable[..., None]:
    """Return a test: the scenario goes as with eager code, and none of its functions runs as eager code."""
    return _test(scenario, lambda told: f"it is not compiled: {told[0]}" if told else "")


def refused(cause: str, times: int = 1) -> Callable[[Scenario], Callable[..., None]]:
    """Return a mark: the scenario goes as with eager code, for its functions run as eager code; that is said
    so many times, with the line and the cause, a regular expression; fullgraph raises the same."""

    def mark(scenario: Scenario) -> Callable[..., None]:
        where = re.escape(Path(inspect.getfile(scenario)).name) + r":\d+: "
        sentence = re.compile(f"{EAGERLY}.*({where}.*(?:{cause}).*)", re.DOTALL | re.IGNORECASE)

        def check(told: list[str]) -> str:
            if len(told) != times:
                return f"it says {len(told)} times, not {times}, that it runs as eager code: {told}"
            wrong = [each for each in told if not sentence.search(each)]
            return f"line and {cause!r} are missing from: {wrong[0]}" if wrong else ""

        return _test(scenario, check, sentence)

    return mark


WAYS_TO_RUN: dict[str, Any] = {"NumPy": {"hold": False, "backend": "numpy"}, "compiled": {"hold": True}}
WAYS = ["NumPy", pytest.param("compiled", marks=pytest.mark.slow)]
"""How a scenario is run beside eager code. The C compiler takes most of the time, so that way is slow."""


def _test(
    scenario: Scenario, check: Callable[[list[str]], str], sentence: re.Pattern[str] | None = None
) -> Callable[..., None]:
    """Return the scenario as a test: as straight-line NumPy, compiled with what it yields held, and where it
    is refused by that sentence, under fullgraph."""

    @pytest.mark.parametrize("way", WAYS)
    def test(way: str = "compiled", **given: Any) -> None:
        want, have = run(scenario, given, lambda f: f), run(scenario, given, **WAYS_TO_RUN[way])
        found = [*differences(have, want), *unclear(have)]
        found += [each for each in [check(have.eagerly)] if each]
        assert not found, "\n".join(found[:5])
        if sentence is not None:
            told = sentence.search(have.eagerly[0])[1]  # type: ignore[index]
            raised = run(scenario, given, fullgraph=True).refusal
            assert told in raised, f"fullgraph raises {raised or 'nothing'!r}, not {told!r}"

    test.__name__, test.__doc__, test.__module__ = scenario.__name__, scenario.__doc__, scenario.__module__
    _, *parameters = inspect.signature(scenario).parameters.values()
    ways = inspect.Parameter("way", inspect.Parameter.KEYWORD_ONLY)
    test.__signature__ = inspect.Signature([*parameters, ways])  # type: ignore[attr-defined]
    return test


def attempt(f: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return what f returns, or the class, message and notes of what it raises."""
    try:
        return f(*args, **kwargs)
    except UnsupportedError:
        raise
    except Exception as error:
        return "raised", type(error).__name__, str(error), getattr(error, "__notes__", [])


# -- a run ---------------------------------------------------------------------------------------------------


@dataclass
class Run:
    """functions: how many are compiled. seen: what was yielded, as it was then and at the end. shared: which
    Tensors are one, or share memory. eagerly: the warnings of functions that run as
    eager code. others: warnings of other kinds. refusal: what fullgraph raises."""

    functions: int = 0
    seen: list[tuple[str, Any]] = field(default_factory=list)
    shared: list[tuple[str, str, str]] = field(default_factory=list)
    eagerly: list[str] = field(default_factory=list)
    others: list[tuple[str, str]] = field(default_factory=list)
    refusal: str = ""


def run(
    scenario: Scenario,
    given: dict[str, Any],
    wrap: Callable[[Any], Any] | None = None,
    *,
    backend: str = "auto",
    fullgraph: bool = False,
    hold: bool = True,
) -> Run:
    """Run the scenario. wrap: what `C` does, in the place of compiling. hold: keep what it yields."""
    result, held, out = Run(), [], io.StringIO()

    def compile_(f: Any = None, /) -> Any:
        result.functions += 1
        return torch.compile(f, backend=backend, fullgraph=fullgraph)

    with _beginning(), warnings.catch_warnings(record=True) as told, contextlib.redirect_stdout(out):
        warnings.simplefilter("always")
        warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"tinygrad_ninja\.")
        try:
            for i, value in enumerate(scenario(wrap or compile_, **given)):
                result.seen.append((f"yield {i}", freeze(value)))
                held += [(f"yield {i}", value)] if hold or wrap else []
        except Exception as error:
            if fullgraph or isinstance(error, UnsupportedError):
                result.refusal = str(error)
            else:
                result.seen.append(("at the end it raises", (type(error).__name__, str(error))))
        streams = torch.get_rng_state(), np.random.get_state(), repr(random.getstate())
        modes = torch.is_grad_enabled(), torch.get_default_dtype(), torch.is_autocast_enabled("cpu")
    result.seen.append(("printed", out.getvalue()))
    result.seen.append(("streams of random numbers", freeze(streams)))
    result.seen.append(("modes", freeze(modes)))
    result.seen += [(f"{name}, at the end", freeze(value)) for name, value in held]
    tensors = [each for name, value in held for each in _tensors(name, value, 4)]
    for (name, a), (other, b) in combinations(tensors, 2):
        if a is b or np.shares_memory(a.array, b.array):
            how = "are one Tensor" if a is b else "share memory"
            result.shared.append((name, other, how))
    for each in told:
        message = str(each.message)
        if not issubclass(each.category, CompileWarning):
            result.others.append((each.category.__name__, message))
        elif EAGERLY in message:
            result.eagerly.append(message)
    return result


@contextlib.contextmanager
def _beginning() -> Iterator[None]:
    """The same streams of random numbers and modes for every run, and afterwards what was there before."""
    streams = torch.get_rng_state(), np.random.get_state(), random.getstate()
    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)
    dtype, grad = torch.get_default_dtype(), torch.is_grad_enabled()
    try:
        yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(grad)
        torch.set_rng_state(streams[0])
        np.random.set_state(streams[1])
        random.setstate(streams[2])


def _tensors(name: str, value: Any, depth: int) -> Iterator[tuple[str, Any]]:
    """Yield the Tensors of a value and of the containers in it."""
    if isinstance(value, torch.Tensor):
        yield from [(name, value)] if type(value.array) is np.ndarray else []
    elif isinstance(value, dict) and depth:
        for key, item in value.items():
            yield from _tensors(f"{name}[{key!r}]", item, depth - 1)
    elif isinstance(value, (list, tuple)) and depth:
        for i, item in enumerate(value):
            yield from _tensors(f"{name}[{i}]", item, depth - 1)


# -- what is compared ----------------------------------------------------------------------------------------


@dataclass
class Frozen:
    """A Tensor as it was."""

    kind: str
    array: Any
    strides: tuple[int, ...]
    inference: bool
    requires_grad: bool
    history: bool
    grad: Any

    def __repr__(self) -> str:
        return f"{self.kind} {self.array.tolist()}"


@dataclass
class Fields:
    """An object as it was: its class, and what it holds by name."""

    kind: str
    fields: dict[str, Any]


def freeze(value: Any, within: tuple[int, ...] = ()) -> Any:
    """Return a copy of all that can be seen of a value."""
    if id(value) in within:
        return "itself, from above"
    inside = (*within, id(value))
    if isinstance(value, torch.Tensor):
        if type(value.array) is not np.ndarray:
            return f"a Tensor that stands for another: {type(value.array).__name__}"
        strides = zip(value.stride(), value.shape, strict=True)
        return Frozen(
            "Parameter" if isinstance(value, nn.Parameter) else "Tensor",
            np.array(value.detach().numpy()),
            tuple(step for step, n in strides if n > 1) if value.numel() else (),
            value.is_inference(),
            value.requires_grad,
            value.requires_grad and not value.is_leaf,
            freeze(value.grad, inside) if value.is_leaf or value.retains_grad else None,
        )
    if isinstance(value, Value):
        return Fields("Value", {"data": value.data, "grad": value.grad, "label": value.label})
    if isinstance(value, torch.Generator):
        return Fields("Generator", {"state": np.array(value.get_state().numpy())})
    if isinstance(value, (np.ndarray, np.generic)):
        return np.array(value)
    if isinstance(value, (type, Compiled, types.FunctionType, types.MethodType, types.BuiltinFunctionType)):
        return getattr(value, "__name__", type(value).__name__)
    if isinstance(value, (torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler)):
        groups = [group["params"] for group in getattr(value, "param_groups", [])]
        held = {"state": value.state_dict(), "parameters": groups}
        return Fields(type(value).__name__, {name: freeze(each, inside) for name, each in held.items()})
    if isinstance(value, dict):
        return Fields(
            type(value).__name__,
            {str(freeze(key, inside))[:200]: freeze(item, inside) for key, item in value.items()},
        )
    if isinstance(value, (list, tuple)):
        return type(value).__name__, [freeze(item, inside) for item in value]
    if isinstance(value, (set, frozenset)):
        return type(value).__name__, sorted(map(repr, value))
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes)):
        return type(value).__name__, value
    return Fields(
        type(value).__name__,
        {name: freeze(item, inside) for name, item in sorted(_attributes(value).items())},
    )


def _attributes(value: Any) -> dict[str, Any]:
    """Return the attributes of an object, those in slots too; of a Module its parts."""
    if isinstance(value, nn.Module):
        own = {name: each for name, each in value.__dict__.items() if not name.startswith("_")}
        parts = (
            value.named_parameters(recurse=False),
            value.named_buffers(recurse=False),
            value.named_children(),
        )
        return {**own, **{name: each for several in parts for name, each in several}}
    slots = (name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ()))
    return {
        **{name: getattr(value, name) for name in slots if hasattr(value, name)},
        **getattr(value, "__dict__", {}),
    }


def differences(have: Run, want: Run) -> list[str]:
    """Return what differs. A result that has a history in eager code may have none."""
    found = []
    names = [name for name, _ in have.seen]
    if have.refusal:
        found.append(f"it raises {have.refusal}")
    mine = dict(have.seen)
    for name, theirs in want.seen:
        if name.endswith(", at the end") and found:
            break
        if name in mine:
            found += [f"{name}{each}" for each in _unequal(mine[name], theirs)]
        elif not name.endswith(", at the end"):
            found.append(f"{name}: missing; eager code gives {theirs}"[:400])
    found += [f"{name}: {mine[name]}"[:400] for name in names if name not in dict(want.seen)]
    if any(name.endswith(", at the end") for name in names) and not found:
        found += [
            f"only with{'' if each in have.shared else 'out'} compile: {' and '.join(each[:2])} {each[2]}"
            for each in sorted({*have.shared} ^ {*want.shared})
        ]
    if have.others != want.others:
        found.append(f"warnings {have.others} for {want.others}")
    return found


def unclear(have: Run) -> list[str]:
    """Return what is wrong with the warnings of functions that run as eager code: each function gives one at
    most, with a cause, and with its line, where it has one: that there were too many recordings has none."""
    found = [
        f"no line or no cause: {told}"
        for told in have.eagerly
        if not re.search(r"\.py:\d+: \S|recorded \d+ times, the last time for \S", told)
    ]
    if len(have.eagerly) > have.functions:
        found.append(f"{have.functions} functions say {len(have.eagerly)} times that they run as eager code")
    return found


def _unequal(have: Any, want: Any) -> Iterator[str]:
    """Yield what differs in two frozen values."""
    if type(have) is not type(want):
        yield f": {have} for {want}"[:200]
    elif isinstance(want, Frozen):
        yield from _unequal(have.array, want.array)
        for name in ("kind", "strides", "inference") + (() if want.history else ("requires_grad", "history")):
            mine, theirs = getattr(have, name), getattr(want, name)
            if mine != theirs:
                yield f": {name} {mine} for {theirs}"
        if not want.history:
            yield from (f".grad{each}" for each in _unequal(have.grad, want.grad))
    elif isinstance(want, Fields):
        if have.kind != want.kind or [*have.fields] != [*want.fields]:
            yield f": {have.kind} of {[*have.fields]} for {want.kind} of {[*want.fields]}"[:200]
        else:
            for name, theirs in want.fields.items():
                yield from (f".{name}{each}" for each in _unequal(have.fields[name], theirs))
    elif isinstance(want, np.ndarray):
        if (have.shape, have.dtype) != (want.shape, want.dtype):
            yield f": {have.dtype}{list(have.shape)} for {want.dtype}{list(want.shape)}"
        elif not _close(have, want):
            yield f": {have.tolist()} for {want.tolist()}"[:200]
    elif isinstance(want, tuple) and len(want) == 2 and isinstance(want[1], list):
        if have[0] != want[0] or len(have[1]) != len(want[1]):
            yield f": {have[0]} {have[1]} for {want[0]} {want[1]}"[:200]
        else:
            for i, (mine, theirs) in enumerate(zip(have[1], want[1], strict=True)):
                yield from (f"[{i}]{each}" for each in _unequal(mine, theirs))
    elif isinstance(want, tuple) and len(want) == 2 and isinstance(want[1], float):
        if have[0] != want[0] or not _close(np.array(have[1]), np.array(want[1]), 1e-5):
            yield f": {have[0]} {have[1]} for {want[0]} {want[1]}"
    elif isinstance(want, float):
        if not _close(np.array(have), np.array(want)):
            yield f": {have} for {want}"
    elif have != want:
        yield f": {have!r} for {want!r}"[:200]


def _close(have: Any, want: Any, tolerance: float | None = None) -> bool:
    """Return whether two arrays are equal, floats to a share of the largest."""
    if want.dtype.kind != "f":
        return bool((have == want).all()) if want.dtype.kind != "O" else have.tolist() == want.tolist()
    tolerance = tolerance or TOLERANCE[want.dtype.name]
    finite = want[np.isfinite(want)]
    scale = max(1.0, float(np.abs(finite.astype(np.float64)).max(initial=0.0)))
    return np.allclose(have, want, rtol=tolerance, atol=tolerance * scale, equal_nan=True)
