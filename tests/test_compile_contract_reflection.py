"""Attributes that a compiled function reads, or changes, by computed names, and what else it asks of objects
beside their attributes."""

import argparse
import builtins
import contextlib
import operator
import time
import types
from typing import Any

import pytest
from contract import compiled, refused, same

import tinygrad_ninja as torch
from tinygrad_ninja import nn
from tinygrad_ninja.nn import functional as F

X = torch.tensor([1.0, -2.0, 0.5])


class Plain:
    pass


# -- computed names ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", [F, torch], ids=["functional", "torch"])
@compiled
def test_a_function_of_the_package_is_read_by_a_computed_name(C: Any, module: Any) -> Any:
    names = {"act": "relu"}
    f = C(lambda x: getattr(module, names["act"])(x))
    yield f(X), f(X)
    names["act"] = "tanh"
    yield f(X), f(X)


@compiled
def test_a_function_of_the_package_is_replaced_that_is_read_by_a_computed_name(C: Any) -> Any:
    names, old = ["selu"], F.selu
    f = C(lambda x: getattr(F, names[0])(x))
    yield f(X), f(X)
    F.selu = lambda x: x * 5
    try:
        yield f(X), f(X)
    finally:
        F.selu = old


class Settings(argparse.Namespace):
    """Reads its attributes with the methods that it inherits, and names none."""


@compiled
def test_a_derived_namespace_is_compared_asked_and_written(C: Any) -> Any:
    args, other = Settings(p=1, q=2), Settings(p=1, q=2)
    f = C(lambda x: x * (2 if args == other else 3) * (5 if "r" in args else 7) * len(str(args)))
    yield f(X), f(X)
    args.q = 100
    yield f(X), f(X)
    args.r = 0
    yield f(X), f(X)


TEMPLATES = {
    "a text in a dict": lambda texts, k: texts["k"].format(k),
    "a computed text": lambda texts, k: ("{0." + texts["name"] + "}").format(k),
    "a mapping": lambda texts, k: texts["key"].format_map({"k": k}),
    "a bound method": lambda texts, k: texts["method"](k),
    "a method of the class": lambda texts, k: str.format(texts["k"], k),
}


@pytest.mark.parametrize("how", TEMPLATES)
@compiled
def test_a_template_names_an_attribute(C: Any, how: str) -> Any:
    write, k = TEMPLATES[how], Plain()
    texts = {"k": "{0.size}", "name": "size", "key": "{k.size}", "method": "{0.size}".format}
    k.size = 1  # type: ignore[attr-defined]
    f = C(lambda x: x * len(write(texts, k)))
    yield f(X), f(X)
    k.size = 1000  # type: ignore[attr-defined]
    yield f(X), f(X)


@compiled
def test_what_no_template_names_does_not_matter(C: Any) -> Any:
    k = Plain()
    k.size, k.other = 1, 1  # type: ignore[attr-defined]
    f = C(lambda x: x * len(f"{k.size}{format(k.size, '.2f')}" + "{:.3f}{k.size}".format(k.size, k=k)))  # noqa: UP032
    for k.other in range(9):  # type: ignore[attr-defined]
        yield f(X)


@pytest.mark.parametrize("kind", [argparse.Namespace, types.SimpleNamespace])
@compiled
def test_a_namespace_holds_settings(C: Any, kind: Any) -> Any:
    args = kind(lr=0.5, layers=[1, 2], name="a")
    f = C(lambda x: x * args.lr + len(args.layers))
    yield f(X), f(X)
    args.lr = 0.25
    yield f(X), f(X)
    args.layers.append(3)
    yield f(X)


@pytest.mark.parametrize("how", ["setattr", "object", "super", "own"])
@same
def test_attributes_are_assigned_under_computed_names(C: Any, how: str) -> Any:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList([nn.Identity(), nn.Tanh()])

        def forward(self, x: Any) -> Any:
            for i, layer in enumerate(self.layers):
                x = layer(x)
                if how == "setattr":
                    setattr(self, f"act{i}", x.sum())
                elif how == "object":
                    object.__setattr__(self, f"act{i}", x.sum())
                elif how == "super":
                    super().__setattr__(f"act{i}", x.sum())
                else:
                    self.__setattr__(f"act{i}", x.sum())
            return x

    model = Model()
    f = C(lambda x: model(x))
    for i in range(4):
        yield f(X * i), model.act0, model.act1


@same
def test_attributes_are_deleted_under_computed_names(C: Any) -> Any:
    o: Any = Plain()
    names = ["k"]

    def f(x: Any) -> Any:
        if hasattr(o, names[0]):
            delattr(o, names[0])
        return x * 2

    f = C(f)
    for _ in range(4):
        o.k = 1
        yield f(X), hasattr(o, "k")


@compiled
def test_an_attribute_of_a_computed_name_appears(C: Any) -> Any:
    o: Any = Plain()
    i = [1]
    f = C(lambda x: x * (2 if hasattr(o, f"skip{i[0]}") else 1))
    yield f(X), f(X)
    o.skip1 = True
    yield f(X), f(X)


@compiled
def test_an_attribute_that_is_asked_for_appears_and_others_do_not_matter(C: Any) -> Any:
    o: Any = Plain()
    o.log = iter("ab")
    f = C(lambda x: x * (getattr(o, "scale", 1.0) if hasattr(o, "scale") else 3.0))
    yield f(X), f(X)
    o.scale = 2.0
    yield f(X), f(X)
    o.other = object()
    yield f(X)


@pytest.mark.parametrize("how", ["closure", "default", "attribute", "builtins", "descriptor"])
@same
def test_getattr_goes_by_another_name(C: Any, how: str) -> Any:
    o, tools, names = Plain(), Plain(), ["lr"]
    o.lr, tools.get, g, read = 1.0, getattr, getattr, object.__getattribute__  # type: ignore[attr-defined]
    functions = {
        "closure": lambda x: x * g(o, names[0]),
        "default": lambda x, h=getattr: x * h(o, names[0]),
        "attribute": lambda x: x * tools.get(o, names[0]),  # type: ignore[attr-defined]
        "builtins": lambda x: x * builtins.getattr(o, names[0]),
        "descriptor": lambda x: x * read(o, names[0]),
    }
    f = C(functions[how])
    for lr in (1.0, 2.0, 3.0):
        o.lr = lr  # type: ignore[attr-defined]
        yield f(X)


@pytest.mark.parametrize("how", ["whole", "parts", "computed", "method"])
@compiled
def test_the_operator_module_reads_attributes(C: Any, how: str) -> Any:
    class Model:
        def scaled(self, x: Any) -> Any:
            return x * o.cfg.lr

    o, names, model = Plain(), ["lr"], Model()
    o.cfg = Plain()  # type: ignore[attr-defined]
    o.cfg.lr = 1.0  # type: ignore[attr-defined]
    functions = {
        "whole": lambda x: x * operator.attrgetter("cfg.lr")(o),
        "parts": lambda x: x * operator.attrgetter("cfg", "cfg.lr")(o)[1],
        "computed": lambda x: x * operator.attrgetter(f"cfg.{names[0]}")(o),
        "method": lambda x: operator.methodcaller("sca" + "led", x)(model),
    }
    f = C(functions[how])
    for lr in (1.0, 2.0, 3.0):
        o.cfg.lr = lr  # type: ignore[attr-defined]
        yield f(X)


# -- modules -------------------------------------------------------------------------------------------------


@same
def test_an_attribute_of_a_module_is_assigned(C: Any) -> Any:
    config: Any = types.ModuleType("config")

    def f(x: Any) -> Any:
        config.last = x.sum()
        return x * 2

    f = C(f)
    for i in range(4):
        yield f(X * i), config.last


@pytest.mark.parametrize("how", ["getattr", "hasattr", "dict", "computed"])
@compiled
def test_an_attribute_of_a_module_appears(C: Any, how: str) -> Any:
    config: Any = types.ModuleType("config")
    names = ["scale"]
    functions = {
        "getattr": lambda x: x * getattr(config, "scale", 1.0),
        "hasattr": lambda x: x * (config.scale if hasattr(config, "scale") else 3.0),
        "dict": lambda x: x * config.__dict__.get("scale", 1.0),
        "computed": lambda x: x * getattr(config, names[0], 1.0),
    }
    f = C(functions[how])
    yield f(X), f(X)
    config.scale = 10.0
    yield f(X), f(X)
    config.scale = 20.0
    yield f(X), f(X)
    del config.scale
    yield f(X)


# -- orders --------------------------------------------------------------------------------------------------


@same
def test_the_order_of_a_set_changes(C: Any) -> Any:
    numbers = set[int]()

    def f(x: Any) -> Any:
        for k in numbers:
            x = x * 2 + k
        return x

    f = C(f)
    for order in ((0, 8), (8, 0), (8, 0), (0, 8)):
        numbers.clear()
        for k in order:
            numbers.add(k)
        yield f(X)


@compiled
def test_the_order_of_attributes_changes(C: Any) -> Any:
    o: Any = Plain()
    o.a, o.b = 1.0, 2.0

    def f(x: Any) -> Any:
        for k in o.__dict__.values():
            x = x * 2 + k
        return x

    f = C(f)
    yield f(X), f(X)
    del o.a
    o.a = 1.0
    yield f(X), f(X)


@compiled
def test_the_order_of_attributes_that_are_named_does_not_matter(C: Any) -> Any:
    o: Any = Plain()

    def f(x: Any) -> Any:
        return x * o.a + o.b

    f = C(f)
    for i in range(20):
        o.__dict__.clear()
        o.a, o.b = (1.0, 2.0)[:: 1 - 2 * (i % 2)]
        if i % 2:
            del o.a
            o.a = 1.0
            o.b = 2.0
        yield f(X)


# -- classes of the package, to which something is added, and which are patched ------------------------------


@contextlib.contextmanager
def patched(kind: Any, name: str, value: Any) -> Any:
    """Set an attribute of a class, and take it back afterwards."""
    old = vars(kind).get(name)
    setattr(kind, name, value)
    try:
        yield
    finally:
        if old is None:
            delattr(kind, name)
        else:
            setattr(kind, name, old)


@compiled
def test_a_method_is_added_to_tensors(C: Any) -> Any:
    k = [1.0]
    with patched(torch.Tensor, "scaled", lambda self: self * k[0]):
        f = C(lambda x: x.scaled())
        for i in range(3):
            k[0] = float(i)
            yield f(X), f(X)


@compiled
def test_an_attribute_of_tensors_changes(C: Any) -> Any:
    f = C(lambda x: x * x.factor)
    for i in range(3):
        with patched(torch.Tensor, "factor", float(i)):
            yield f(X), f(X)


@refused("`time.time` tells the time")
def test_an_added_method_of_tensors_is_refused(C: Any) -> Any:
    with patched(torch.Tensor, "stamped", lambda self: self * (0 * time.time())):
        f = C(lambda x: x.stamped())
        yield f(X), f(X)


@pytest.mark.parametrize("kind", [nn.Module, nn.Tanh])
@compiled
def test_a_method_is_added_to_modules(C: Any, kind: Any) -> Any:
    k, model = [1.0], nn.Tanh()
    with patched(kind, "scaled", lambda self, x: self(x) * k[0]):
        f = C(lambda x: model.scaled(x))
        for i in range(3):
            k[0] = float(i)
            yield f(X), f(X)


@compiled
def test_the_forward_of_a_class_of_modules_is_patched(C: Any) -> Any:
    model = nn.Sequential(nn.Tanh())
    f = C(lambda x: model(x))
    yield f(X), f(X)
    k = [7.0]
    with patched(nn.Tanh, "forward", lambda self, x: x * k[0]):
        yield f(X), f(X)
        k[0] = 3.0
        yield f(X), f(X)
    yield f(X)


@same
def test_the_step_of_a_class_of_optimizers_is_patched(C: Any) -> Any:
    w = torch.ones(3, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.1)

    def step() -> Any:
        optimizer.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        optimizer.step()
        return loss

    def halved(self: Any) -> None:
        with torch.no_grad():
            w.mul_(0.5)

    f = C(step)
    yield f(), f(), w
    with patched(torch.optim.SGD, "step", halved):
        yield f(), f(), w
    yield f(), w
