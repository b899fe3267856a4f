"""What `World` sees of objects and their classes: every change, and no other."""

from __future__ import annotations

import collections
import dataclasses
import enum
import operator
import types
from typing import Any

import pytest
from world_scenes import Change, Scenes, check_that_the_change_is_seen, module_of

SCENES = Scenes()


# -- objects -------------------------------------------------------------------------------------------------


class Trainer:
    lr = 1.0

    def __init__(self) -> None:
        self.count, self.log = 0, []  # type: ignore[var-annotated]

    def scaled(self, x: Any) -> Any:
        return x * self.lr

    def counting(self, x: Any) -> Any:
        self.count += 1
        return x

    def logging(self, x: Any) -> Any:
        self.log.append(x)

    def __call__(self, x: Any) -> Any:
        return self.scaled(x)


@SCENES.add
def an_attribute_of_a_class() -> tuple[Any, Change, str]:
    class T(Trainer):
        pass

    T.lr = 1.0
    return T().scaled, lambda: setattr(T, "lr", 2.0), "`self.lr` was 1.0 and is 2.0"


@SCENES.add
def an_attribute_that_hides_the_class_s() -> tuple[Any, Change, str]:
    trainer = Trainer()
    return trainer.scaled, lambda: setattr(trainer, "lr", 2.0), "`self.lr` is there now"


@SCENES.add
def an_attribute_of_a_subclass() -> tuple[Any, Change, str]:
    class T(Trainer):
        pass

    return T().scaled, lambda: setattr(T, "lr", 2.0), "`self.lr` is there now"


@SCENES.add
def a_method_that_is_replaced() -> tuple[Any, Change, str]:
    class T:
        def helper(self, x: Any) -> Any:
            return x

        def step(self, x: Any) -> Any:
            return self.helper(x)

    return T().step, lambda: setattr(T, "helper", lambda self, x: x + 1), "`self.helper` is another function"


@SCENES.add
def a_class_that_is_assigned() -> tuple[Any, Change, str]:
    class T(Trainer):
        pass

    trainer = Trainer()
    return trainer.scaled, lambda: setattr(trainer, "__class__", T), "`self` has another class"


@SCENES.add
def bases_that_are_assigned() -> tuple[Any, Change, str]:
    class A:
        x = 1

    class B:
        x = 2

    class C(A):
        pass

    c = C()
    return lambda: c.x, lambda: setattr(C, "__bases__", (B,)), "has other base classes"


@SCENES.add
def a_dict_that_is_assigned() -> tuple[Any, Change, str]:
    trainer = Trainer()
    return trainer.counting, lambda: setattr(trainer, "__dict__", {"count": 0}), "`self` has another __dict__"


@SCENES.add
def a_counter() -> tuple[Any, Change, str]:
    trainer = Trainer()
    return trainer.counting, lambda: trainer.counting(1), "`self.count` was 0 and is 1"


@SCENES.add
def a_list_that_grows() -> tuple[Any, Change, str]:
    trainer = Trainer()
    return trainer.logging, lambda: trainer.logging(1), "`self.log` (a list) has 1 element and had 0"


@SCENES.add
def an_object_that_is_called() -> tuple[Any, Change, str]:
    trainer = Trainer()
    trainer.lr = 1.0
    return trainer, lambda: setattr(trainer, "lr", 2.0), "`self.lr`"


@SCENES.add
def a_property() -> tuple[Any, Change, str]:
    class T:
        _lr = 1.0

        @property
        def lr(self) -> float:
            return self._lr

    t = T()
    return lambda: t.lr, lambda: setattr(t, "_lr", 2.0), "variable `t._lr` is there now"


@SCENES.add
def slots() -> tuple[Any, Change, str]:
    class T:
        __slots__ = ("lr", "other")

    t = T()
    t.lr = 1.0  # type: ignore[attr-defined]
    return lambda: t.lr, lambda: setattr(t, "lr", 2.0), "`t.lr` was 1.0 and is 2.0"  # type: ignore[attr-defined]


@SCENES.add
def a_slot_that_is_filled() -> tuple[Any, Change, str]:
    class T:
        __slots__ = ("lr",)

    t = T()
    return lambda: hasattr(t, "lr"), lambda: setattr(t, "lr", 2.0), "`t.lr`"


@SCENES.add
def a_static_method() -> tuple[Any, Change, str]:
    m = module_of("lr = 1\nclass T:\n @staticmethod\n def f(x): return x * lr\ndef step(x): return T.f(x)")
    return m.step, lambda: setattr(m, "lr", 2), "the global `lr`"


@SCENES.add
def a_class_method() -> tuple[Any, Change, str]:
    m = module_of(
        "class T:\n lr = 1\n @classmethod\n def f(c, x): return x * c.lr\ndef step(x): return T.f(x)"
    )
    return m.step, lambda: setattr(m.T, "lr", 2), "the global `T.lr`"


@SCENES.add
def a_method_of_super() -> tuple[Any, Change, str]:
    m = module_of(
        """
        lr = 1
        class A:
            def f(self, x): return x * lr
        class B(A):
            def f(self, x): return super().f(x)
        b = B()
        def step(x): return b.f(x)
        """
    )
    return m.step, lambda: setattr(m, "lr", 2), "the global `lr`"


@SCENES.add
def a_special_method() -> tuple[Any, Change, str]:
    m = module_of(
        "lr = 1\nclass A:\n def __mul__(self, x): return x * lr\na = A()\ndef step(x): return a * x"
    )
    return m.step, lambda: setattr(m, "lr", 2), "the global `lr`"


@SCENES.add
def a_descriptor() -> tuple[Any, Change, str]:
    m = module_of(
        """
        class D:
            lr = 1
            def __get__(self, x, owner): return self.lr
        class A:
            d = D()
        a = A()
        def step(x): return x * a.d
        """
    )
    return m.step, lambda: setattr(m.D, "lr", 2), "lr` was 1 and is 2"


@SCENES.add
def an_object_read_by_getattr() -> tuple[Any, Change, str]:
    m = module_of("class A: pass\na = A()\na.w1 = [1]\ndef step(i): return getattr(a, f'w{i}')")
    return m.step, lambda: m.a.w1.append(2), "the global `a.w1` (a list)"


@SCENES.add
def an_object_read_by_vars() -> tuple[Any, Change, str]:
    m = module_of("class A: pass\na = A()\na.w1 = [1]\ndef step(): return sum(a.__dict__.values())")
    return m.step, lambda: m.a.w1.append(2), "the global `a.w1` (a list)"


@SCENES.add
def an_object_read_by_a_getter() -> tuple[Any, Change, str]:
    m = module_of("class A: pass\na = A()\na.w1 = [1]\ndef step(): return read(a)")
    m.read = operator.attrgetter("w1")
    return m.step, lambda: m.a.w1.append(2), "the global `a.w1` (a list)"


@SCENES.add
def a_dataclass() -> tuple[Any, Change, str]:
    @dataclasses.dataclass
    class Config:
        lr: float = 1.0

    config = Config()
    return lambda: config.lr, lambda: setattr(config, "lr", 2.0), "`config.lr` was 1.0 and is 2.0"


@SCENES.add
def a_namespace() -> tuple[Any, Change, str]:
    config = types.SimpleNamespace(lr=1.0)
    return lambda: config.lr, lambda: setattr(config, "lr", 2.0), "`config.lr` was 1.0 and is 2.0"


@SCENES.add
def a_named_tuple() -> tuple[Any, Change, str]:
    class Pair(collections.namedtuple("Pair", "a b")):
        pass

    pair = Pair([1], 2)
    return lambda: pair.a, lambda: pair.a.append(1), "`pair[0]` (a list)"


@SCENES.add
def a_subclass_of_list() -> tuple[Any, Change, str]:
    class Losses(list):  # type: ignore[type-arg]
        pass

    losses = Losses([1])
    return lambda: len(losses), lambda: losses.append(2), "`losses` (a Losses) has 2 elements and had 1"


@SCENES.add
def a_subclass_of_dict() -> tuple[Any, Change, str]:
    class Config(dict):  # type: ignore[type-arg]
        pass

    config = Config(lr=1)
    return lambda: config["lr"], lambda: config.update(lr=2), "`config['lr']` was 1 and is 2"


@SCENES.add
def a_number_with_attributes() -> tuple[Any, Change, str]:
    class Rate(float):
        pass

    rate = Rate(1.0)
    rate.scale = [1]  # type: ignore[attr-defined]
    return lambda: rate.scale, lambda: rate.scale.append(1), "`rate.scale`"  # type: ignore[attr-defined]


@SCENES.add
def an_enumeration_s_attribute() -> tuple[Any, Change, str]:
    class Mode(enum.Enum):
        FAST = 1

    Mode.FAST.rate = 1  # type: ignore[attr-defined]
    mode = Mode.FAST
    return lambda: mode.rate, lambda: setattr(mode, "rate", 2), "`mode.rate`"  # type: ignore[attr-defined]


@SCENES.add
def an_argument() -> tuple[Any, Change, str]:
    trainer = Trainer()
    trainer.lr = 1.0
    return (lambda x, t: x * t.lr, (("t", trainer),)), lambda: setattr(trainer, "lr", 2.0), "`t.lr`"


@SCENES.add
def a_list_as_argument() -> tuple[Any, Change, str]:
    kept = [1]
    return (lambda kept: kept[0], (("kept", kept),)), lambda: kept.append(1), "`kept` (a list)"


@pytest.mark.parametrize("name", SCENES)
def test_a_change_is_seen(name: str) -> None:
    check_that_the_change_is_seen(SCENES[name])
