"""What `World` sees of constants, functions and Python's modules: every change, and no other."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import inspect
import io
import itertools
import math
import operator
import pathlib
import random
import re
import sys
import threading
import types
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from world_scenes import Change, Scene, Scenes, check_that_the_change_is_seen, module_of

import tinygrad_ninja as torch
from tinygrad_ninja.program.compile.guards.world import World

SCENES = Scenes()
RATE: Any = 0.1
SHADOW = None


# -- numbers, text and their like ----------------------------------------------------------------------------


def of_cell(before: Any, after: Any) -> tuple[Any, Change, str]:
    """Return a function whose closure's variable becomes another."""
    value = before

    def step() -> Any:
        return value

    def change() -> None:
        nonlocal value
        value = after

    return step, change, "`step`'s closure variable `value`"


class Color(enum.Enum):
    RED = 1
    BLUE = 2


OTHERS: list[tuple[Any, Any]] = [
    (1, 2), (1, 1.0), (1, True), (0.0, -0.0), (0.1, 0.2), (math.nan, 1.0), (1j, 2j), (0j, -0j), ("a", "b"),
    (b"a", b"b"), (None, 0), (torch.float32, torch.float64), (np.dtype("f4"), np.dtype("f8")),
    (np.float32(1), np.float32(2)), (np.float32(1), np.float64(1)), (np.int64(1), 1), (range(3), range(4)),
    (range(0, 3, 2), range(0, 4, 2)), (slice(1), slice(2)), (Ellipsis, None), (Color.RED, Color.BLUE),
    (datetime.date(2020, 1, 1), datetime.date(2020, 1, 2)), (datetime.timedelta(1), datetime.timedelta(2)),
    (pathlib.Path("a"), pathlib.Path("b")), (decimal.Decimal("1.0"), decimal.Decimal("1.00")),
    (fractions.Fraction(1, 2), fractions.Fraction(1, 3)), (re.compile("a"), re.compile("b")),
    (re.compile("a"), re.compile("a", re.IGNORECASE)), ((1, 2), (1, 2, 3)), ((1, (2, 3)), (1, (2, 3.0))),
    ((), None), (frozenset({1}), frozenset({2})), (torch.Size([1]), torch.Size([2])), ([1], [1]), ({}, {}),
    (math.exp, math.log), (len, abs), (np.exp, np.log), (torch.tanh, torch.relu), (int, float), (1, "1"),
    (operator.itemgetter(0), operator.itemgetter(1)), (torch.device("cpu"), torch.device("torch")),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after"), OTHERS, ids=lambda value: repr(value)[:20])
def test_another_constant_is_seen(before: Any, after: Any) -> None:
    step, change, words = of_cell(before, after)
    world = World(step)
    assert world.holds()
    assert world.difference() == ""
    change()
    assert not world.holds()
    assert words in world.difference()
    assert world.line.startswith("test_compile_world.py:")


SAME: list[Any] = [
    lambda: 12345678, lambda: 0.1 * 3, lambda: -0.0, lambda: float("nan"), lambda: 1j * 2,
    lambda: "a b".upper(), lambda: b"a".upper(), lambda: np.float32(0.1), lambda: np.float64("nan"),
    lambda: np.dtype("f4"), lambda: range(10**6), lambda: slice(10**6), lambda: datetime.datetime(2020, 1, 1),
    lambda: datetime.timedelta(5), lambda: pathlib.Path("a", "b"), lambda: decimal.Decimal("1.50"),
    lambda: fractions.Fraction(10**6, 7), lambda: (10**6, (0.1 * 3, "x")), lambda: frozenset([10**6]),
    lambda: torch.Size([10**6]), lambda: torch.device("cpu"),
]  # fmt: skip


@pytest.mark.parametrize("value", SAME, ids=lambda make: repr(make()))
def test_an_equal_constant_is_as_good(value: Callable[[], Any]) -> None:
    step, change, words = of_cell(value(), value())
    world = World(step)
    change()
    assert world.holds()
    assert world.difference() == ""
    step, change, words = of_cell([value()], None)
    world, kept = World(step), step()
    kept[0] = value()
    assert world.holds()
    kept[0] = [value()]
    assert not world.holds()
    assert f"{words[:-1]}[0]`" in world.difference()


# -- functions -----------------------------------------------------------------------------------------------


@SCENES.add
def a_global() -> tuple[Any, Change, str]:
    def change() -> None:
        global RATE
        RATE = 0.25 if RATE != 0.25 else 0.5

    return lambda x: x * RATE, change, "the global `RATE` was"


@SCENES.add
def a_global_of_a_helper() -> tuple[Any, Change, str]:
    m = module_of("lr = 1\ndef helper(x): return x * lr\ndef step(x): return helper(x)")
    return m.step, lambda: setattr(m, "lr", 2), "the global `lr` was 1 and is 2"


@SCENES.add
def a_helper() -> tuple[Any, Change, str]:
    m = module_of("def helper(x): return x\ndef other(x): return x\ndef step(x): return helper(x)")
    return m.step, lambda: setattr(m, "helper", m.other), "the global `helper` is another function"


@SCENES.add
def a_helper_s_closure() -> tuple[Any, Change, str]:
    lr = 1.0

    def helper(x: Any) -> Any:
        return x * lr

    def change() -> None:
        nonlocal lr
        lr = 5.0

    return lambda x: helper(x), change, "`helper`'s closure variable `lr` was 1.0 and is 5.0"


@SCENES.add
def an_inner_function() -> tuple[Any, Change, str]:
    m = module_of("lr = 1\ndef step(x):\n def inner(): return x * lr\n return inner()")
    return m.step, lambda: setattr(m, "lr", 2), "the global `lr`"


@SCENES.add
def a_comprehension() -> tuple[Any, Change, str]:
    m = module_of("lr = 1\ndef step(x): return [x * lr for _ in (1, 2)]")
    return m.step, lambda: setattr(m, "lr", 2), "the global `lr`"


@SCENES.add
def a_builtin_that_is_shadowed() -> tuple[Any, Change, str]:
    m = module_of("def step(x): return len(x)")
    return m.step, lambda: setattr(m, "len", abs), "the global `len` is there now"


@SCENES.add
def a_global_that_is_deleted() -> tuple[Any, Change, str]:
    m = module_of("lr = 1\ndef step(x): return x * lr")
    return m.step, lambda: delattr(m, "lr"), "the global `lr` is not there any more"


@SCENES.add
def a_global_that_appears() -> tuple[Any, Change, str]:
    m = module_of("def step(x):\n try: return lr\n except NameError: return x")
    return m.step, lambda: setattr(m, "lr", 2), "the global `lr` is there now"


@SCENES.add
def a_global_that_the_function_writes() -> tuple[Any, Change, str]:
    m = module_of("count = 0\ndef step():\n global count\n count += 1")
    return m.step, m.step, "the global `count` was 0 and is 1"


@SCENES.add
def a_variable_that_the_function_writes() -> tuple[Any, Change, str]:
    count = 0

    def step() -> None:
        nonlocal count
        count += 1

    return step, step, "`step`'s closure variable `count` was 0 and is 1"


@SCENES.add
def a_variable_that_is_deleted() -> tuple[Any, Change, str]:
    value = 1

    def step() -> int:
        return value

    def change() -> None:
        nonlocal value
        del value

    return step, change, "variable `value` is not there any more"


@SCENES.add
def a_variable_that_is_filled() -> tuple[Any, Change, str]:
    def step() -> int:
        return value

    def change() -> None:
        nonlocal value
        value = 1

    if not SHADOW:
        return step, change, "variable `value`"
    value = 0
    raise AssertionError


@SCENES.add
def defaults() -> tuple[Any, Change, str]:
    def step(x: Any = 1) -> Any:
        return x

    return step, lambda: setattr(step, "__defaults__", (2,)), "`step` has other defaults"


@SCENES.add
def a_list_as_default() -> tuple[Any, Change, str]:
    def step(x: int = 1, kept: list[int] = []) -> Any:  # noqa: B006
        kept.append(x)

    return step, step, "`step`'s default `kept` (a list) has 1 element and had 0"


@SCENES.add
def keyword_defaults() -> tuple[Any, Change, str]:
    def step(*, lr: float = 1.0) -> float:
        return lr

    return step, lambda: step.__kwdefaults__.update(lr=2.0), "`step`'s default `lr` was 1.0 and is 2.0"


@SCENES.add
def code() -> tuple[Any, Change, str]:
    def helper() -> int:
        return 1

    def other() -> int:
        return 2

    return lambda: helper(), lambda: setattr(helper, "__code__", other.__code__), "has other code"


@SCENES.add
def an_attribute_of_a_function() -> tuple[Any, Change, str]:
    def step() -> None:
        step.count = getattr(step, "count", 0) + 1  # type: ignore[attr-defined]

    return step, step, "`step.count` is there now"


@SCENES.add
def a_function_attribute_that_grows() -> tuple[Any, Change, str]:
    m = module_of("def step(): step.count += 1\nstep.count = 0")
    return m.step, m.step, "`step.count` was 0 and is 1"


@SCENES.add
def a_partial() -> tuple[Any, Change, str]:
    rates = [1.0]
    step = functools.partial(lambda x, r: x * r[0], r=rates)
    return step, lambda: rates.append(2.0), "(a list) has 2 elements and had 1"


@SCENES.add
def a_decorated_function() -> tuple[Any, Change, str]:
    lr = 1.0

    def twice(f: Any) -> Any:
        @functools.wraps(f)
        def wrapper(*args: Any) -> Any:
            return f(*args) + f(*args)

        return wrapper

    @twice
    def step(x: Any) -> Any:
        return x * lr

    def change() -> None:
        nonlocal lr
        lr = 2.0

    return step, change, "`step`'s closure variable `lr`"


@SCENES.add
def a_function_under_no_grad() -> tuple[Any, Change, str]:
    lr = 1.0

    @torch.no_grad()
    def step(x: Any) -> Any:
        return x * lr

    def change() -> None:
        nonlocal lr
        lr = 2.0

    return step, change, "`step`'s closure variable `lr`"


@SCENES.add
def a_method_under_no_grad() -> tuple[Any, Change, str]:
    m = module_of("class T:\n k = 1\n @torch.no_grad()\n def f(self): return self.k\nt = T()", torch=torch)
    return m.t.f, lambda: setattr(m.T, "k", 2), "`self.k` was 1 and is 2"


@SCENES.add
def a_context_manager() -> tuple[Any, Change, str]:
    m = module_of(
        """
        import contextlib
        k = []
        @contextlib.contextmanager
        def kept(): yield k
        def step():
            with kept() as k: return k
        """
    )
    return m.step, lambda: m.k.append(1), "the global `k` (a list) has 1 element and had 0"


@SCENES.add
def a_compiled_function() -> tuple[Any, Change, str]:
    lr = 1.0

    @torch.compile
    def helper(x: Any) -> Any:
        return x * lr

    def change() -> None:
        nonlocal lr
        lr = 2.0

    return lambda x: helper(x), change, "`helper`'s closure variable `lr`"


@SCENES.add
def a_method_that_is_held() -> tuple[Any, Change, str]:
    kept = [1]
    count = kept.count
    return lambda: count(1), lambda: kept.append(1), "(a list) has 2 elements and had 1"


# -- modules -------------------------------------------------------------------------------------------------


@SCENES.add
def an_attribute_of_a_module() -> tuple[Any, Change, str]:
    config = module_of("lr = 1\nunused = []", "config")
    return lambda x: x * config.lr, lambda: setattr(config, "lr", 2), "variable `config.lr` was 1 and is 2"


@SCENES.add
def a_module_within_a_module() -> tuple[Any, Change, str]:
    outer, inner = types.ModuleType("outer"), module_of("lr = 1", "inner")
    outer.inner = inner  # type: ignore[attr-defined]
    return lambda x: x * outer.inner.lr, lambda: setattr(inner, "lr", 2), "`outer.inner.lr`"


@SCENES.add
def a_module_that_is_handed_on() -> tuple[Any, Change, str]:
    m = module_of("def helper(c): return c.lr\ndef step(): return helper(config)")
    m.config = module_of("lr = 1", "config")
    return m.step, lambda: setattr(m.config, "lr", 2), "the global `config.lr`"


@SCENES.add
def a_module_read_by_getattr() -> tuple[Any, Change, str]:
    m = module_of("def step(): return getattr(config, 'lr')")
    m.config = module_of("lr = 1", "config")
    return m.step, lambda: setattr(m.config, "lr", 2), "the global `config.lr`"


@SCENES.add
def a_function_of_this_package_replaced() -> tuple[Any, Change, str]:
    api = types.ModuleType("api")
    api.act = torch.tanh  # type: ignore[attr-defined]
    return lambda x: api.act(x), lambda: setattr(api, "act", torch.relu), "`api.act`"


@SCENES.add
def a_module_imported_inside() -> tuple[Any, Change, str]:
    sys.modules["world_settings"] = settings = module_of("lr = 1", "world_settings")
    m = module_of("def step(x):\n from world_settings import lr\n return x * lr")
    return m.step, lambda: setattr(settings, "lr", 2), "`world_settings.lr`"


@SCENES.add
def a_module_imported_inside_by_name() -> tuple[Any, Change, str]:
    sys.modules["world_settings"] = settings = module_of("lr = 1", "world_settings")
    m = module_of("def step(x):\n import world_settings as s\n return x * s.lr")
    return m.step, lambda: setattr(settings, "lr", 2), "`world_settings.lr`"


# -- containers ----------------------------------------------------------------------------------------------


def of_container(value: Any, change: Callable[[Any], Any], words: str) -> Scene:
    """Return the scene of a container that is changed in place."""
    return lambda: (lambda: value, lambda: change(value), words)


LONG = list(range(1000, 1100))
SCENES |= {
    "list append": of_container([1], lambda x: x.append(2), "has 2 elements and had 1"),
    "list pop": of_container([1, 2], lambda x: x.pop(), "has 1 element and had 2"),
    "list item": of_container([1, 2], lambda x: x.__setitem__(1, 3), "`value[1]` was 2 and is 3"),
    "list swap": of_container([1, 2], lambda x: x.reverse(), "`value[0]` was 1 and is 2"),
    "long list append": of_container(LONG[:], lambda x: x.append(2), "has 101 elements and had 100"),
    "long list pop": of_container(LONG[:], lambda x: x.pop(), "has 99 elements and had 100"),
    "long list item": of_container(LONG[:], lambda x: x.__setitem__(50, 3), "`value[50]` was 1050 and is 3"),
    "dict value": of_container({"a": 1}, lambda x: x.update(a=2), "`value['a']` was 1 and is 2"),
    "dict key": of_container({"a": 1}, lambda x: x.update(b=2), "has 2 elements and had 1"),
    "dict pop": of_container({"a": 1, "b": 2}, lambda x: x.pop("b"), "(a dict) has 1 element and had 2"),
    "dict order": of_container(
        {"a": 1, "b": 2}, lambda x: x.update(a=x.pop("a")), "has other keys, or in another order"
    ),
    "dict key type": of_container({1: 1}, lambda x: (x.pop(1), x.update({1.0: 1})), "other keys"),
    "dict of tuples": of_container({(1, 2): 1}, lambda x: x.update({(1, 2): 2}), "was 1 and is 2"),
    "long dict value": of_container(dict.fromkeys(LONG, 0), lambda x: x.update({1050: 1}), "was 0 and is 1"),
    "long dict key": of_container(dict.fromkeys(LONG, 0), lambda x: x.update({1: 1}), "101 elements and had"),
    "dict filled": of_container({}, lambda x: x.update(a=1), "has 1 element and had 0"),
    "set add": of_container({1}, lambda x: x.add(2), "has 2 elements and had 1"),
    "set other": of_container({1, 2}, lambda x: (x.discard(1), x.add(3)), "(a set) has other elements"),
    "set filled": of_container(set(), lambda x: x.add(1), "(a set) has 1 element and had 0"),
    "deque": of_container(collections.deque([1], 1), lambda x: x.append(2), "`value[0]` was 1 and is 2"),
    "defaultdict": of_container(collections.defaultdict(int), lambda x: x["a"], "has 1 element and had 0"),
    "ordered dict": of_container(
        collections.OrderedDict(a=1, b=2), lambda x: x.move_to_end("a"), "in another order"
    ),
    "counter": of_container(collections.Counter("a"), lambda x: x.update("a"), "was 1 and is 2"),
    "list in tuple": of_container(([1],), lambda x: x[0].append(2), "`value[0]` (a list)"),
    "list in dict": of_container({"a": [1]}, lambda x: x["a"].append(2), "`value['a']` (a list)"),
    "mapping proxy": of_container(
        types.MappingProxyType({"a": [1]}), lambda x: x["a"].append(2), "`value['a']` (a list)"
    ),
    "slice of lists": of_container(slice([1]), lambda x: x.stop.append(2), "`value.stop` (a list)"),
}  # fmt: skip


# -- every scene ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCENES)
def test_a_change_is_seen(name: str) -> None:
    check_that_the_change_is_seen(SCENES[name])


# -- what is no change ---------------------------------------------------------------------------------------


def test_what_no_code_names_may_change() -> None:
    class T:
        def __init__(self) -> None:
            self.rate, self.epoch, self.file, self.lock = 0.1, 0, io.StringIO(), threading.Lock()

        def step(self, x: Any) -> Any:
            return x * self.rate

        def draw(self) -> float:
            return random.random()

    t = T()
    world = World(t.step)
    t.epoch += 1
    assert world.holds()
    t.comment = "new"  # type: ignore[attr-defined]
    assert world.holds()
    assert world.difference() == ""
    t.rate = 0.2
    assert not world.holds()


def test_a_class_that_gains_what_no_code_names_is_the_same() -> None:
    class T:
        def step(self, x: Any) -> Any:
            return x

    world = World(T().step)
    T.comment = "new"  # type: ignore[attr-defined]
    inspect.get_annotations(T)
    assert world.holds()


def test_a_name_that_is_reached_later_is_followed() -> None:
    m = module_of(
        """
        class A: pass
        a = A()
        a.inner, a.rates = A(), [1]
        def last(x): return x.rates
        def step(): return last(a.inner), last(a)
        """
    )
    m.a.inner.rates = [1]
    world = World(m.step)
    m.a.rates.append(2)
    assert not world.holds()
    assert world.difference() == "the global `a.rates` (a list) has 2 elements and had 1"
    assert world.line == "written.py:6: "


def test_a_module_that_is_not_named_is_not_followed() -> None:
    m = module_of("import time, random, os\nimport numpy as np\ndef step(x): return x.time + np.pi + math.e")
    m.math = math
    assert World(m.step).holds()


def test_what_computes_alone_is_taken_as_it_is() -> None:
    @functools.wraps(len)
    def helper(x: Any) -> Any:
        return len(x)

    def step(x: Any) -> Any:
        numbers = list(map(math.sqrt, itertools.chain(range(3), (4,))))
        ordered = sorted(zip(numbers, reversed(numbers), strict=True), key=operator.itemgetter(0))
        total = functools.reduce(operator.add, numbers)
        counts = collections.Counter(str(n) for n in numbers)
        if isinstance(x, dict) and hasattr(x, "keys") and callable(len):
            raise ValueError(f"{counts} {ordered} {np.asarray(numbers).sum():.2f} {helper(x)}")
        return super, max(numbers), min(numbers), sum(numbers), abs(total), np.linalg.norm(numbers)

    assert World(step).holds()


def test_a_dataclass_with_everything_is_followed() -> None:
    @dataclasses.dataclass(order=True)
    class Config:
        lr: float = 1.0
        sizes: list[int] = dataclasses.field(default_factory=list)

    config = Config()

    def step() -> str:
        return f"{config} {config == config} {dataclasses.asdict(config)}"

    world = World(step)
    assert world.holds()
    config.sizes.append(1)
    assert world.difference() == "`step`'s closure variable `config.sizes` (a list) has 1 element and had 0"


def test_a_deep_graph_is_walked_without_recursion() -> None:
    chain: Any = None
    for _ in range(3000):
        chain = [chain]
    world = World(lambda: chain)
    assert world.holds()
    inner = chain
    while inner[0] is not None:
        inner = inner[0]
    inner[0] = 1
    assert not world.holds()
    assert "was None and is 1" in world.difference()


def test_what_a_tool_has_written_into_the_code_is_not_followed() -> None:
    """As pytest does, for an assertion."""

    def step(x: Any) -> Any:
        assert len(x) > RATE
        return x

    assert World(step).holds()


def test_a_ring_is_walked() -> None:
    ring: list[Any] = []
    ring.append(ring)
    assert World(lambda: ring).holds()


def test_the_objects_are_held() -> None:
    class T:
        pass

    held = [T()]
    seen = weakref.ref(held[0])
    world = World(lambda: held)
    held.clear()
    assert seen() is not None
    assert not world.holds()
