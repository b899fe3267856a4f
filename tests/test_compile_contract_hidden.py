"""What compiled functions depend on beside attributes: parts of constants, registers of classes, settings;
and what can only be refused."""

import abc
import collections
import contextlib
import datetime
import decimal
import enum
import functools
import importlib.util
import inspect
import operator
import os
import pprint
import re
import statistics
import sys
import tempfile
import typing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contract import compiled, refused

import tinygrad_ninja as torch
from tinygrad_ninja.program.compile.guards.world import World

X = torch.tensor([1.0, -2.0, 0.5])


class Plain:
    pass


# -- constants with parts that change ------------------------------------------------------------------------

T = typing.TypeVar("T")


class Box(typing.Generic[T]):
    scale = 1.0


class Pair(collections.namedtuple("Pair", "a")):
    pass


class Zone(datetime.tzinfo):
    hours = 1.0

    def utcoffset(self, moment: Any) -> Any:
        return datetime.timedelta(hours=self.hours)


@compiled
def test_a_generic_class_changes(C: Any) -> Any:
    Box.scale = 1.0
    made = Box[int]
    f = C(lambda x: x * made().scale)
    for scale in (1.0, 2.0, 3.0):
        Box.scale = scale
        yield f(X)


@compiled
def test_what_a_methodcaller_gives_changes(C: Any) -> Any:
    class Model:
        def by(self, config: Any, more: Any) -> Any:
            return config.k + more.k

    config, more, model = Plain(), Plain(), Model()
    config.k = more.k = 1.0  # type: ignore[attr-defined]
    call = operator.methodcaller("by", config, more=more)
    f = C(lambda x: x * call(model))
    yield f(X)
    for k in (2.0, 3.0):
        config.k = k  # type: ignore[attr-defined]
        yield f(X)
        more.k = k  # type: ignore[attr-defined]
        yield f(X)


@compiled
def test_an_attribute_of_a_namedtuple_changes(C: Any) -> Any:
    o: Any = Plain()

    def f(x: Any) -> Any:
        return x * o.pair.extra * o.pair.a

    f = C(f)
    for extra in (1.0, 2.0, 3.0):
        o.pair = Pair(1)
        o.pair.extra = extra
        yield f(X)


@compiled
def test_an_attribute_of_a_partial_changes(C: Any) -> Any:
    p: Any = functools.partial(lambda x: x)
    f = C(lambda x: p(x) * p.k)
    for k in (1.0, 2.0, 3.0):
        p.k = k
        yield f(X)


@compiled
def test_what_a_partial_or_a_property_holds_is_replaced(C: Any) -> Any:
    class Scale:
        k = property(lambda self: 2.0)
        cached = functools.cached_property(lambda self: 2.0)

    o, p = Scale(), functools.partial(lambda k: k, 2.0)
    f, g, h = C(lambda x: x * p()), C(lambda x: x * o.k), C(lambda x: x * Scale().cached)
    yield f(X), g(X), h(X)
    p.__setstate__((p.func, (3.0,), {}, {}))  # type: ignore[attr-defined]
    vars(Scale)["k"].__init__(lambda self: 3.0)
    vars(Scale)["cached"].func = lambda self: 3.0
    yield f(X), g(X), h(X)


@compiled
def test_an_exception_has_another_cause(C: Any) -> Any:
    error: Any = StopIteration(1.0)
    f, g = C(lambda x: x if error.__cause__ is None else x * 2), C(lambda x: x * error.value)
    h = C(lambda x: {str(error): x})
    yield f(X), g(X), h(X)
    error.__cause__, error.value = KeyError(), 3.0
    error.args = ("two",)
    yield f(X), g(X), h(X)


@compiled
def test_an_enumeration_has_another_member(C: Any) -> Any:
    kinds: Any = enum.Enum("kinds", "a b")
    f = C(lambda x: x * len(kinds))
    yield f(X)
    kinds._member_names_.append("c")
    yield f(X)


@refused("`moment` is a Zone, which can't be compared")
def test_the_zone_of_a_moment_changes(C: Any) -> Any:
    moment = datetime.datetime(2020, 1, 1, tzinfo=Zone())
    f = C(lambda x: x * moment.utcoffset().seconds / 3600)
    Zone.hours = 1.0
    yield f(X)
    Zone.hours = 2.0
    yield f(X)


@compiled
def test_a_moment_is_the_same_in_another_zone(C: Any) -> Any:
    o: Any = Plain()
    f = C(lambda x: x * o.moment.hour)
    for hours in (1, 2, 1):
        zone = datetime.timezone(datetime.timedelta(hours=hours))
        o.moment = datetime.datetime(2020, 1, 1, 10 + hours, tzinfo=zone)
        yield f(X)


# -- classes that are asked for ------------------------------------------------------------------------------


@typing.runtime_checkable
class Going(typing.Protocol):
    scale: float

    def go(self) -> Any: ...


class Goer(Going):
    scale = 1.0

    def go(self) -> Any:
        return self.scale


@refused("`Going` is a protocol")
def test_a_protocol_is_asked_for(C: Any) -> Any:
    o: Any = Plain()
    o.scale = 2.0
    f = C(lambda x: x * (2 if isinstance(o, Going) else 3))
    yield f(X)
    o.go = lambda: 1
    yield f(X)


@compiled
def test_a_class_derives_from_a_protocol(C: Any) -> Any:
    o = Goer()
    f = C(lambda x: x * o.go())
    yield f(X)
    Goer.scale = 2.0
    yield f(X)
    Goer.scale = 1.0
    yield f(X)


@compiled
def test_a_class_is_registered_with_an_abstract_one(C: Any) -> Any:
    class Abstract(abc.ABC):  # noqa: B024
        pass

    class Concrete:
        pass

    o = Concrete()
    f = C(lambda x: x * (1 if isinstance(o, Abstract) else 10))
    yield f(X), f(X)
    Abstract.register(Concrete)
    yield f(X), f(X)


@compiled
def test_match_args_change(C: Any) -> Any:
    class Pair2:
        __match_args__ = ("a", "b")

        def __init__(self) -> None:
            self.a, self.b = 1.0, 2.0

    o = Pair2()

    def f(x: Any) -> Any:
        match o:
            case Pair2(u, _):
                return x * u
        return x

    f = C(f)
    yield f(X), f(X)
    Pair2.__match_args__ = ("b", "a")
    yield f(X)


# -- what can't be compared ----------------------------------------------------------------------------------


def scale(x: Any) -> Any:
    return x * SCALE


SCALE = 2.0
ARRAY = np.array([1.23456789])
GENERATOR = torch.Generator()
SEED_OF, THREADS = torch.initial_seed, torch.get_num_threads  # under names of the reader's own
STATE = str(Path(tempfile.mkdtemp()) / "state.safetensors")
torch.save({"w": torch.ones(3)}, STATE)
NORMAL = statistics.NormalDist()
HIDDEN: dict[str, Any] = {
    "__globals__": lambda x: x * scale.__globals__["SCALE"],
    "__annotations__": lambda x: x * len(Plain.__annotations__),
    "__subclasses__": lambda x: x * len(Plain.__subclasses__()),
    "f_back": lambda x: x * (2 if sys._getframe().f_back else 3),
    "inspect.stack": lambda x: x * len(inspect.stack()[0]),
    "inspect.currentframe": lambda x: x * (2 if inspect.currentframe() else 3),
    "decimal.getcontext": lambda x: x * decimal.getcontext().prec,
    "np.geterr": lambda x: x * len(np.geterr()["divide"]),
    "np.get_printoptions": lambda x: x * np.get_printoptions()["precision"],
    "np.array2string": lambda x: x * len(np.array2string(ARRAY)),
    "initial_seed": lambda x: x * (GENERATOR.initial_seed() % 3),
    "torch.initial_seed": lambda x: x * (torch.initial_seed() % 3),
    "renamed.initial_seed": lambda x: x * (SEED_OF() % 3),
    "renamed.get_num_threads": lambda x: x * THREADS(),
    "get_float32_matmul_precision": lambda x: x * len(torch.get_float32_matmul_precision()),
    "set_float32_matmul_precision": lambda x: (torch.set_float32_matmul_precision("highest"), x)[1],
    "set_printoptions": lambda x: (torch.set_printoptions(profile="default"), x)[1],
    "load()": lambda x: x * torch.load(STATE)["w"],
    "save()": lambda x: (torch.save({"w": x}, STATE), x)[1],
    "samples": lambda x: x * NORMAL.samples(1, seed=1)[0],
    "tofile": lambda x: (ARRAY.tofile(os.devnull), x)[1],
    "redirect_stdout": lambda x: (contextlib.redirect_stdout(None), x)[1],
}


@pytest.mark.parametrize("name", HIDDEN)
def test_what_can_t_be_compared_is_refused_by_name(name: str) -> None:
    @refused(re.escape(name.split(".")[-1]))
    def scenario(C: Any) -> Any:
        f = C(HIDDEN[name])
        yield f(X), f(X)

    scenario()


class Labelled(np.ndarray[Any, Any]):
    """An array with an attribute."""

    scale: float


@refused("which can't be followed")
def test_an_attribute_of_an_array_changes(C: Any) -> Any:
    array = np.ones(3).view(Labelled)
    f = C(lambda x: x * array.scale)
    for scale in (2.0, 3.0):
        array.scale = scale
        yield f(X)


@compiled
def test_a_masked_array_changes(C: Any) -> Any:
    array = np.ma.masked_array([1.0, 1e20, 3.0], [False, False, False])
    f = C(lambda x: x * float(array.filled(0.0).max()) + float(array.fill_value > 5))
    yield f(X)
    array[1] = np.ma.masked  # which changes no element
    yield f(X)
    array.mask = [True, True, False]
    yield f(X)
    array.fill_value = 9.0
    yield f(X)


@compiled
def test_a_number_is_a_key_of_the_result(C: Any) -> Any:
    f = C(lambda x, k: {k: x * k})
    for k in (1, 2, 3, 2):
        result = f(X, k)
        yield result, [type(key).__name__ for key in result]


@compiled
def test_paths_are_put_together(C: Any) -> Any:
    f = C(lambda x: x * len(os.path.join("a", "b") + os.fsdecode(os.fsencode("c"))))  # noqa: PTH118
    yield f(X), f(X)


@compiled
def test_the_context_of_decimal_changes(C: Any) -> Any:
    third = decimal.Decimal(1)
    f = C(lambda x: x * float(third / 3))
    for digits in (1, 2, 3, 28):
        decimal.getcontext().prec = digits
        yield f(X)


@compiled
def test_the_way_in_which_numpy_writes_numbers_changes(C: Any) -> Any:
    functions = {
        "str": C(lambda x: x * len(str(ARRAY))),
        "f": C(lambda x: x * len(f"{ARRAY}")),
    }
    for digits in (2, 4, 8):
        with np.printoptions(precision=digits):
            yield [f(X) for f in functions.values()]


# -- what Python's own library leads to ----------------------------------------------------------------------


@refused("`pprint.pprint` leads to the global `_sys.stdout`, which is a file")
def test_a_file_is_reached_through_python_s_library(C: Any) -> Any:
    f = C(lambda x: (pprint.pprint(SCALE), x * 2)[1])
    yield f(X), f(X)


NAMESAKE = """
factor = 1.0
def scale(x):
    return x * factor
class Scaler:
    by = 1.0
    def __call__(self, x):
        return x * self.by
"""


@compiled
def test_a_file_of_the_user_s_has_the_name_of_one_of_python_s(C: Any, tmp_path: Path) -> Any:
    file = tmp_path / "statistics.py"
    file.write_text(NAMESAKE)
    spec = importlib.util.spec_from_file_location("statistics", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "statistics", module)
        scale, scaler, modules = module.scale, module.Scaler(), [module]
        functions = [
            C(lambda x: scale(x)), C(lambda x: scaler(x)), C(lambda x: module.Scaler()(x)),
            C(lambda x: x * 2 if hasattr(modules[0], "doubled") else x),
        ]  # fmt: skip
        yield [f(X) for f in functions]
        module.factor = module.Scaler.by = 3.0
        yield [f(X) for f in functions]
        module.doubled = True  # type: ignore[attr-defined]
        yield [f(X) for f in functions]


def test_a_file_that_python_s_library_leads_to_is_refused_at_the_reader_s_line() -> None:
    def step(x: Any) -> Any:
        return pprint.pformat(x), pprint.pprint(x)

    line = step.__code__.co_firstlineno + 1
    assert World(step).refusal.startswith(f"{Path(__file__).name}:{line}: ")
