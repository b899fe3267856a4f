"""Numbers that are read anew at every call: where more is done with them than arithmetic, where they stay."""

import functools
import math
import types
from collections import OrderedDict, deque, namedtuple
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from contract import attempt, same

import tinygrad_ninja as torch
from tinygrad_ninja import nn


@same
def test_integers_that_leave_64_bits(C: Any) -> Any:
    f, g = C(lambda x, k: x * (k * k * k)), C(lambda x, k: x * (k + k - 3 * k))
    for k in (2, 3, 3_000_000, 4, -(2**30), 2**31, 5):
        yield attempt(f, torch.ones(1), k), attempt(g, torch.ones(1, dtype=torch.int64), k)


@same
def test_powers_of_small_integers(C: Any) -> Any:
    f = C(lambda x, k: x**k)
    for dtype in (torch.int8, torch.int64, torch.float32):
        for k in (2, 3, -1, 300, 0.5, 1):
            yield attempt(f, torch.tensor([1, 1, 0]).to(dtype), k)


@same
def test_numpys_numbers_beside_them(C: Any) -> Any:
    functions = [
        lambda k: torch.tensor(np.float32(1.1) * k),
        lambda k: torch.tensor(k / np.float16(0.1)),
        lambda k: torch.ones(2) * np.float64(k) + np.add(k, 1),
    ]
    for f in map(C, functions):
        for k in (2.0, 3.0, -0.5):
            yield f(k).dtype, f(k)


@same
def test_pythons_functions_that_want_real_numbers(C: Any) -> Any:
    functions = [
        lambda x, k: x * pow(k, 2, 5),
        lambda x, k: x * pow(2, k, 5),
        lambda x, k: x * math.ldexp(1.0, k),
        lambda x, k: x * complex(k).real,
        lambda x, k: x * int.bit_length(k),
        lambda x, k: x * math.comb(k, 2),
        lambda x, k: x * divmod(k, 2)[1],
        lambda x, k: x * len(deque([1, 2, 3], k)),
        lambda x, k: x * np.result_type(k, x.dtype.itemsize).itemsize,
    ]
    for f in map(C, functions):
        for k in (2, 3, 4, 5):
            yield attempt(f, torch.ones(1), k)


@same
def test_an_optimizer_that_is_made_inside(C: Any) -> Any:
    def step(x: Any, lr: float) -> Any:
        p = nn.Parameter(x * 1)
        optimizer = torch.optim.SGD([p], lr=lr, momentum=0.5)
        (p * p).sum().backward()
        optimizer.step()
        return p.detach() * 1

    step = C(step)
    for lr in (0.1, 0.2, 0.3, -0.5, 0.1):
        yield attempt(step, torch.ones(2), lr)


@same
def test_groups_that_the_function_changes(C: Any) -> Any:
    for change in (
        lambda o: o.param_groups[0].update(lr=0.5),
        lambda o: o.param_groups.__setitem__(0, dict(o.param_groups[0], lr=0.5)),
        lambda o: o.param_groups[0].setdefault("mine", 3),
        lambda o: o.param_groups[0].pop("mine", None),
    ):
        w = nn.Parameter(torch.ones(2))
        optimizer = torch.optim.SGD([w], lr=0.1)

        def step(k: int, w: Any = w, optimizer: Any = optimizer, change: Any = change) -> None:
            if k > 2:
                change(optimizer)
            optimizer.zero_grad()
            (w * w).sum().backward()
            optimizer.step()

        step = C(step)
        for k, lr in enumerate((0.1, 0.2, 0.3, 0.4, 0.5)):
            optimizer.param_groups[0]["lr"] = lr
            step(k)
            yield optimizer, w, [{**group, "params": 0} for group in optimizer.param_groups]


@same
def test_numbers_that_an_error_or_a_tuple_keeps(C: Any) -> Any:
    class Kept:
        last: Any = None

    kept = Kept()

    def step(x: Any, k: int) -> Any:
        if k > 3:
            kept.last = (k, k * 2)
        assert k < 7, k
        return x * k

    step = C(step)
    for k in (1, 2, 5, 7, 3, 6, 8):
        answer = attempt(step, torch.ones(1), k)
        yield answer, [type(x).__name__ for x in kept.last or ()], kept.last


class Slotted:
    __slots__ = ("k",)


Named = namedtuple("Named", "k also")


def named(k: Any = 1.0) -> Any:
    return k


def raising(k: Any) -> Any:
    raise ValueError(k)


KEEPERS: dict[str, Callable[[Any, list[Any]], Any]] = {
    "tuple": lambda k, kept: kept.append((((k,), 1), k)),
    "namedtuple": lambda k, kept: kept.append(Named(k, {"k": (k,)})),
    "set": lambda k, kept: kept.append({k, (k, 1)}),
    "frozenset": lambda k, kept: kept.append(frozenset([k])),
    "deque": lambda k, kept: kept.append(deque([k, (k,)], 2)),
    "key": lambda k, kept: kept.append({"a": 0, k: 1, (k, 2): 2, "b": 3}),
    "key in order": lambda k, kept: kept.append(OrderedDict({"a": 0, k: 1, "b": k})),
    "partial": lambda k, kept: kept.append(functools.partial(max, k, key=k)),
    "default": lambda k, kept: kept.append(lambda k=k: k),
    "slice": lambda k, kept: kept.append(slice(k, None)),
    "method": lambda k, kept: kept.append(types.MethodType(named, k)),
    "exception": lambda k, kept: kept.append(attempt(raising, k)),
    "raised": lambda k, kept: kept.append(ValueError(k, (k,))),
    "exit": lambda k, kept: kept.append(SystemExit(k)),
    "class": lambda k, kept: kept.append(type("Made", (), {"k": k})),
}


def opened(x: Any) -> Any:
    """Return what an object holds, with the class of each number."""
    if isinstance(x, functools.partial):
        return opened((x.args, x.keywords))
    if isinstance(x, types.MethodType):
        return opened(x.__self__)
    if isinstance(x, types.FunctionType):
        return opened(x.__defaults__)
    if isinstance(x, BaseException):
        return opened((x.args, getattr(x, "code", None)))
    if isinstance(x, slice):
        return opened(x.start)
    if isinstance(x, dict):
        return [opened(each) for each in x.items()]
    if isinstance(x, (tuple, list, deque, set, frozenset)):
        return [type(x).__name__, *[opened(each) for each in sorted(x, key=str)]]
    return opened(x.k) if isinstance(x, type) else (type(x).__mro__[:2], x)


@pytest.mark.parametrize("keeper", KEEPERS)
@same
def test_a_number_is_kept_in_what_never_changes(C: Any, keeper: str) -> Any:
    kept, o = list[Any](), Slotted()

    def f(x: Any, k: float, raises: bool) -> Any:
        if k > 1:
            KEEPERS[keeper](k * 2, kept)
            o.k = (k,)
            if raises:
                raise ValueError(k)
        return x * k

    for raises in (False, True):
        g = C(f)
        for k in (0.5, 2.0, 3.0):
            yield attempt(g, torch.ones(2), k, raises), str(list(map(opened, kept)))
            yield str(opened(getattr(o, "k", None)))


@same
def test_an_optimizer_of_ones_own_keeps_arrays(C: Any) -> Any:
    class Mine(torch.optim.Optimizer):
        def _update(self, p: Any, gradient: Any, group: Any) -> None:
            self.state[p]["before"] = gradient
            p.data = p.data * 0.5

    w = torch.ones(3, requires_grad=True)
    optimizer = Mine([w], {"lr": 0.1})

    def step(x: Any) -> Any:
        optimizer.zero_grad()
        (w * x).sum().backward()
        optimizer.step()

    f = C(step)
    for k in range(3):
        f(torch.ones(3) * k)
        before = optimizer.state[w]["before"]
        yield type(before) is np.ndarray, before, w


@same
def test_a_number_is_kept_as_an_attribute_of_a_class(C: Any) -> Any:
    class Kept:
        k = 1.0

    def f(x: Any, k: float) -> Any:
        if k > 1:
            Kept.k = k
        return x * Kept.k

    g = C(f)
    for k in (0.5, 3.0, 0.5, 7.0, 0.5):
        yield g(torch.ones(2), k), Kept.k


@same
def test_an_object_gives_a_number_as_its_own_float(C: Any) -> Any:
    class Scale:
        k: Any = 1.0

        def __float__(self) -> float:
            return self.k

        def __index__(self) -> int:
            return self.k

    o, f = Scale(), C(lambda x, k: (setattr(o, "k", k), x * float(o))[1])
    g = C(lambda x, k: (setattr(o, "k", k), x * [0.0, 1.0, 2.0, 3.0][o])[1])
    for k in (1.0, 2.0, 3.0):
        yield attempt(f, torch.ones(2), k), attempt(g, torch.ones(2), int(k))


@same
def test_a_number_leaves_with_the_end_of_the_program(C: Any) -> Any:
    def f(x: Any, k: float) -> Any:
        if k > 1:
            raise SystemExit(k)
        return x * k

    g = C(f)
    for k in (0.5, 2.0, 3.0):
        try:
            yield g(torch.ones(2), k)
        except SystemExit as end:
            yield str(opened((end.code, end.args)))
