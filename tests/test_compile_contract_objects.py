"""Objects that a compiled function reads: attributes, classes, containers, changed between its calls."""

import collections
import dataclasses
import enum
import functools
import types
from typing import Any

import pytest
from contract import attempt, compiled, same

import tinygrad_ninja as torch

X = torch.tensor([1.0, -2.0, 0.5])

# -- objects -------------------------------------------------------------------------------------------------


class Plain:
    k = 1.0

    def __init__(self) -> None:
        self.h = torch.zeros(3)

    def go(self, x: Any) -> Any:
        return x * self.k


class Child(Plain):
    pass


class Slotted:
    __slots__ = ("k",)

    def go(self, x: Any) -> Any:
        return x * self.k


class Property:
    def __init__(self) -> None:
        self.inner = {"k": 1.0}

    @property
    def k(self) -> float:
        return self.inner["k"]

    @k.setter
    def k(self, value: float) -> None:
        self.inner["k"] = value

    def go(self, x: Any) -> Any:
        return x * self.k


class Dynamic:
    def __init__(self) -> None:
        self.__dict__["held"] = {"k": 1.0}

    def __getattr__(self, name: str) -> Any:
        return self.__dict__["held"][name]

    def __setattr__(self, name: str, value: Any) -> None:
        self.__dict__["held"][name] = value

    def go(self, x: Any) -> Any:
        return x * self.k


class Descriptor:
    def __init__(self) -> None:
        self.value = 1.0

    def __get__(self, instance: Any, owner: Any) -> Any:
        return self if instance is None else self.value

    def __set__(self, instance: Any, value: float) -> None:
        self.value = value


class Described:
    def __init__(self) -> None:
        type(self).k.value = 1.0

    k = Descriptor()

    def go(self, x: Any) -> Any:
        return x * self.k


KINDS = pytest.mark.parametrize("kind", [Plain, Child, Slotted, Property, Dynamic, Described])


@KINDS
@pytest.mark.parametrize("how", ["method", "closure", "argument"])
@same
def test_an_attribute_changes(C: Any, kind: Any, how: str) -> Any:
    o = kind()
    o.k = 1.0
    if how == "method":
        f = C(o.go)
    elif how == "closure":
        f = C(lambda x: o.go(x))
    else:
        fast = C(lambda o, x: o.go(x))
        f = lambda x: fast(o, x)  # noqa: E731
    for k in (1.0, 2.0, 2.0, -3.0, 1.0):
        o.k = k
        yield f(X)


@same
def test_an_attribute_of_the_class_changes(C: Any) -> Any:
    class Base:
        k = 1.0

    class Derived(Base):
        pass

    o = Derived()
    f = C(lambda x: x * o.k)
    yield f(X)
    Base.k = 2.0
    yield f(X)
    Derived.k = 3.0
    yield f(X)
    o.k = 4.0
    yield f(X)
    del o.k
    yield f(X)
    del Derived.k
    yield f(X)


@same
def test_the_class_of_an_object_changes(C: Any) -> Any:
    class A:
        def act(self, x: Any) -> Any:
            return x.tanh()

    class B:
        def act(self, x: Any) -> Any:
            return x.exp()

    o: Any = A()
    f = C(lambda x: o.act(x))
    yield f(X), f(X)
    o.__class__ = B
    yield f(X)
    B.act = A.act
    yield f(X)
    o.act = torch.relu
    yield f(X), f(X)


@same
def test_static_and_class_methods(C: Any) -> Any:
    class A:
        k = 2.0

        @staticmethod
        def double(x: Any) -> Any:
            return x * 2

        @classmethod
        def scale(cls, x: Any) -> Any:
            return cls.double(x) * cls.k

    f, g = C(A.scale), C(lambda x: A.double(x))
    yield f(X), g(X)
    A.k = 3.0
    yield f(X), g(X)
    A.double = staticmethod(lambda x: x * 10)
    yield f(X), g(X)
    yield f(X + 1), g(X + 1)
    yield f(X + 1), g(X + 1)


@compiled
def test_what_is_compiled_in_a_class_becomes_a_method_or_none_as_it_was(C: Any) -> Any:
    class Scaled:
        def __init__(self, k: float) -> None:
            self.k = k

        def __call__(self, x: Any) -> Any:
            return x * self.k

    class A:
        k = 2.0
        part, called, bound = C(functools.partial(Scaled(3.0))), C(Scaled(4.0)), C(Scaled(5.0).__call__)
        alone = C(staticmethod(lambda x: x * 6))
        of_class = C(classmethod(lambda cls, x: x * cls.k))
        method = C(lambda self, x: x * self.k)

    a = A()
    for _ in range(3):
        yield attempt(lambda: a.part(X)), a.called(X), a.bound(X), a.alone(X), a.of_class(X), a.method(X)
        yield A.part(X), A.called(X), A.bound(X), A.alone(X), A.of_class(X), A.method(a, X)
        A.k += 1


@same
def test_a_method_is_compiled_in_a_class_of_several_instances(C: Any) -> Any:
    class Step:
        def __init__(self, k: float) -> None:
            self.k, self.w = k, torch.ones(3) * k

        @C
        def run(self, x: Any) -> Any:
            self.w.data += x * self.k
            return self.w * 1

    a, b = Step(1.0), Step(2.0)
    for k in range(3):
        yield a.run(X * k), b.run(X)
    a.k = 10.0
    yield a.run(X), b.run(X), Step.run(b, X)
    a.w = torch.zeros(3)
    yield a.run(X), a, b, Step(3.0).run(X)


@same
def test_a_cached_property(C: Any) -> Any:
    class A:
        k = 2.0

        @functools.cached_property
        def weight(self) -> Any:
            return torch.full((3,), self.k)

    o = A()
    f = C(lambda x: x * o.weight)
    for k in range(3):
        yield f(X * k)
    del o.weight
    o.k = 5.0
    yield f(X), f(X), o


@same
def test_a_dataclass_and_an_enum(C: Any) -> Any:
    class Act(enum.Enum):
        TANH = "tanh"
        RELU = "relu"

    @dataclasses.dataclass
    class Settings:
        act: Act = Act.TANH
        scale: float = 1.0
        sizes: list[int] = dataclasses.field(default_factory=lambda: [1, 2])

    s = Settings()

    def f(x: Any) -> Any:
        x = x.tanh() if s.act is Act.TANH else x.relu()
        return x * s.scale + s.sizes[-1]

    f = C(f)
    yield f(X), f(X)
    s.act = Act.RELU
    yield f(X)
    s.scale = 4.0
    yield f(X)
    s.sizes[-1] = 7
    yield f(X)
    s = dataclasses.replace(s, act=Act.TANH)
    yield f(X), f(X), s


@same
def test_functions_in_a_dict(C: Any) -> Any:
    acts = {"a": torch.tanh, "b": lambda x: x * 2}
    f = C(lambda x: acts["b"](acts["a"](x)))
    yield f(X), f(X)
    acts["b"] = lambda x: x * 3
    yield f(X)
    acts["a"], acts["b"] = acts["b"], acts["a"]
    yield f(X), f(X)
    del acts["a"]
    yield attempt(f, X)


@pytest.mark.parametrize(
    "kind", ["list", "dict", "set", "deque", "tuple", "attribute", "defaultdict", "bytearray"]
)
@same
def test_a_container_in_the_closure_changes(C: Any, kind: str) -> Any:
    holder = types.SimpleNamespace(k=1)
    containers: dict[str, Any] = {
        "list": [1], "dict": {"k": 1}, "set": {1}, "deque": collections.deque([1]), "tuple": (1,),
        "defaultdict": collections.defaultdict(int), "bytearray": bytearray([1]), "attribute": holder,
    }  # fmt: skip
    held = containers[kind]
    numbers: dict[str, Any] = {
        "dict": lambda: held["k"], "set": lambda: sum(held), "attribute": lambda: held.k,
        "defaultdict": lambda: held.get("k", 0) + len(held),
    }  # fmt: skip
    number = numbers.get(kind, lambda: held[0])
    f = C(lambda x: x * number())
    yield f(X)
    for k in (2, 2, 3, 1):
        if kind == "tuple":
            held = (k,)
        elif kind == "set":
            held.clear()
            held.add(k)
        elif kind == "attribute":
            held.k = k
        else:
            held["k" if "dict" in kind else 0] = k
        yield f(X)
    yield held


@same
def test_tensors_in_containers_are_replaced(C: Any) -> Any:
    weights = {"a": torch.ones(3), "b": [torch.zeros(3), torch.ones(3) * 2]}
    f = C(lambda x: x * weights["a"] + sum(weights["b"]))
    yield f(X)
    weights["a"] = torch.full((3,), 5.0)
    yield f(X)
    weights["b"].append(torch.ones(3))
    yield f(X)
    weights["b"][0].add_(10.0)
    yield f(X)
    weights["b"].pop(1)
    yield f(X), f(X)


class Registry(type):
    entries: dict[str, float] = {}  # noqa: RUF012

    def __getattr__(cls, name: str) -> float:
        return cls.entries[name]  # of a name that is not there, it raises no AttributeError


class Registered(metaclass=Registry):
    pass


@compiled
def test_a_metaclass_gives_attributes(C: Any) -> Any:
    Registry.entries["k"] = 1.0
    f = C(lambda x: x * Registered.k)
    for Registry.entries["k"] in (1.0, 1.0, 3.0):
        yield f(X)


@pytest.mark.parametrize("name", ["__name__", "__qualname__", "__doc__", "__module__"])
@pytest.mark.parametrize("what", ["function", "class", "base"])
@compiled
def test_what_a_function_or_a_class_is_called_changes(C: Any, what: str, name: str) -> Any:
    def function() -> None:
        """"""

    class Base:
        """"""

    class Derived(Base):
        """"""

    held = {"function": function, "class": Derived, "base": Base}[what]
    of = {
        "function": lambda: function, "class": lambda: type(Derived()), "base": lambda: Derived.__mro__[1],
    }[what]  # fmt: skip
    asked = {
        "__name__": lambda: of().__name__, "__qualname__": lambda: of().__qualname__,
        "__doc__": lambda: of().__doc__, "__module__": lambda: of().__module__,
    }[name]  # fmt: skip
    f = C(lambda x: x * len(asked()))
    for text in ("a", "abc", "abc"):
        setattr(held, name, text)
        yield f(X)


class Counting(dict[str, float]):
    def __missing__(self, key: str) -> float:
        return self.setdefault(key, 7.0)


@pytest.mark.parametrize("kind", ["defaultdict", "Counter", "with a method of its own"])
@compiled
def test_to_compare_a_dict_adds_nothing_to_it(C: Any, kind: str) -> Any:
    held: Any = {
        "defaultdict": collections.defaultdict(lambda: 3.0), "Counter": collections.Counter(),
        "with a method of its own": Counting(),
    }[kind]  # fmt: skip
    held.update(a=1, b=2)
    f = C(lambda x: x * held.get("a", 5.0) + held.get("b", 5.0))
    yield f(X), f(X)
    del held["a"]
    yield f(X), dict(held)
    held.clear()
    yield f(X), dict(held)
