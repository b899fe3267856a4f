"""Modules that a compiled function uses, changed between its calls: each part of the whole tree decides."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from contract import attempt, compiled, same
from contract_models import X, Y, network

import tinygrad_ninja as torch
from tinygrad_ninja import nn
from tinygrad_ninja.func import grad, hessian, vmap
from tinygrad_ninja.nn import functional as F


def double(model: Any) -> None:
    """Make it double, with numbers that were rounded: float32 has rounded them in its own way."""
    model.double()
    for each in (*model.parameters(), *model.buffers()):
        each.data = (each.data * 64 + 0.5).floor() / 64 if each.is_floating_point() else each.data


def initialise(layer: Any) -> None:
    if isinstance(layer, nn.Linear):
        nn.init.ones_(layer.weight)


def training(C: Any, model: Any) -> Any:
    """A step by hand: loss, backward, update."""

    def step(x: Any) -> Any:
        loss = F.cross_entropy(model(x), Y)
        for p in model.parameters():
            p.grad = None
        loss.backward()
        for p in model.parameters():
            if p.grad is not None:
                p.data += -0.1 * p.grad
        return loss

    return C(step)


# -- train and eval, numbers of a layer, parameters that are frozen: all compiled ----------------------------

CHANGES: dict[str, Callable[[Any], object]] = {
    "nothing": lambda m: None,
    "eval": lambda m: m.eval(),
    "batch norm in eval": lambda m: m[1].eval(),
    "dropout in eval": lambda m: m[3].eval(),
    "training set as an attribute": lambda m: setattr(m[1], "training", False),
    "the share that is dropped": lambda m: setattr(m[3], "p", 0.75),
    "momentum": lambda m: setattr(m[1], "momentum", 0.9),
    "eps": lambda m: setattr(m[1], "eps", 1.0),
    "a frozen weight": lambda m: m[0].weight.requires_grad_(False),
    "a frozen layer": lambda m: m[4].requires_grad_(False),
    "requires_grad set": lambda m: setattr(m[0].bias, "requires_grad", False),
    "the weight's data": lambda m: setattr(m[0].weight, "data", torch.ones(4, 3)),
    "the weight in place": lambda m: m[0].weight.data.mul_(2.0),
    "a row of the weight": lambda m: m[0].weight.data[1].zero_(),
    "load_state_dict": lambda m: m.load_state_dict({k: v * 2 for k, v in m.state_dict().items()}),
    "running statistics in place": lambda m: m[1].running_mean.fill_(3.0),
    "zero_grad": lambda m: m.zero_grad(),
    "a gradient of the caller's": lambda m: setattr(m[0].weight, "grad", torch.ones(4, 3)),
}


@pytest.mark.parametrize("change", CHANGES)
@compiled
def test_an_ordinary_change_between_steps(C: Any, change: str) -> Any:
    model = network()
    step = training(C, model)
    for k in range(6):
        yield step(X * (k + 1)), model
        if k == 2:
            CHANGES[change](model)


PARTS: dict[str, Callable[[Any], object]] = {
    "another activation": lambda m: m.__setitem__(2, nn.ReLU()),
    "another layer": lambda m: m.__setitem__(4, nn.Linear(4, 2)),
    "another parameter": lambda m: setattr(m[4], "weight", nn.Parameter(torch.ones(2, 4))),
    "no bias any more": lambda m: setattr(m[4], "bias", None),
    "another buffer": lambda m: setattr(m[1], "running_mean", torch.full((4,), 2.0)),
    "a layer is appended": lambda m: m.append(nn.Tanh()),
    "a layer is inserted": lambda m: m.insert(2, nn.ReLU()),
    "a layer is removed": lambda m: m.__delitem__(3),
    "no running statistics any more": lambda m: setattr(m[1], "track_running_stats", False),
    "momentum becomes None": lambda m: setattr(m[1], "momentum", None),
    "double": double,
    "a forward hook": lambda m: m[2].register_forward_hook(lambda layer, args, out: out * 2),
    "a pre-hook": lambda m: m[2].register_forward_pre_hook(lambda layer, args: (args[0] * 2,)),
    "a hook of a parameter": lambda m: m[0].weight.register_hook(lambda grad: grad * 10),
    "another forward of an object": lambda m: setattr(m[2], "forward", lambda x: x * 3),
    "parameters shared": lambda m: setattr(m[0], "bias", m[1].bias),
    "frozen, and thawed by apply": lambda m: m.apply(lambda layer: layer.requires_grad_(False)),
    "initialised again": lambda m: m.apply(initialise),
    "children of a child": lambda m: m.__setitem__(2, nn.Sequential(nn.Tanh(), nn.Sequential(nn.ReLU()))),
}


@pytest.mark.parametrize("change", PARTS)
@same
def test_a_part_is_replaced(C: Any, change: str) -> Any:
    model = network()
    step = training(C, model)
    for k in range(6):
        x = X * (k + 1)
        yield attempt(step, x.double() if model[0].weight.dtype == torch.float64 else x), model
        if k == 2:
            PARTS[change](model)


@compiled
def test_train_and_eval_in_turn(C: Any) -> Any:
    model = network()

    def predict(x: Any) -> Any:
        with torch.no_grad():
            return model(x)

    predict = C(predict)
    for k in range(6):
        model.train(k % 2 == 0)
        yield predict(X + k), model


@compiled
def test_another_batch_size(C: Any) -> Any:
    model = network()

    def step(x: Any, y: Any) -> Any:
        loss = F.cross_entropy(model(x), y)
        model.zero_grad()
        loss.backward()
        return loss

    step = C(step)
    for n in (4, 4, 2, 3, 4, 2):
        yield step(X[:n], Y[:n]), model


@compiled
def test_frozen_and_thawed_in_turn(C: Any) -> Any:
    model = network()
    step = training(C, model)
    for k in range(6):
        model[0].requires_grad_(k % 3 != 1)
        yield step(X), model


@compiled
def test_weights_are_saved_and_loaded(C: Any) -> Any:
    model = network()
    step, saved = training(C, model), copy.deepcopy(model.state_dict())
    for k in range(6):
        yield step(X), model
        if k % 2:
            model.load_state_dict(saved)
        else:
            saved = copy.deepcopy(model.state_dict())
    yield saved


@compiled
def test_statistics_that_are_plain_averages(C: Any) -> Any:
    layer = nn.BatchNorm1d(3, momentum=None)

    def f(x: Any) -> Any:
        return layer(x).detach()

    f = C(f)
    for k in range(5):
        yield f(X * (k + 1)), layer


# -- where modules are found ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "where", ["list", "dict", "tuple", "attribute", "class", "ModuleList", "ModuleDict", "default"]
)
@same
def test_modules_in_containers(C: Any, where: str) -> Any:
    class Holder:
        layers: Any = None

    layers: list[Any] = [nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Tanh()]
    if where == "dict":
        found: Any = dict(enumerate(layers))
    elif where == "tuple":
        found = tuple(layers)
    elif where == "ModuleList":
        found = nn.ModuleList(layers)
    elif where == "ModuleDict":
        found = nn.ModuleDict({str(i): layer for i, layer in enumerate(layers)})
    else:
        found = layers
    holder = Holder()
    if where == "attribute":
        holder.layers = found
    elif where == "class":
        Holder.layers = found

    def each(by_default: Any) -> Any:
        if where in ("attribute", "class"):
            return holder.layers
        if where == "default":
            return by_default
        return found.values() if where in ("dict", "ModuleDict") else found

    def f(x: Any, by_default: Any = found) -> Any:
        for layer in each(by_default):
            x = layer(x)
        return x.detach()

    f = C(f)
    for k in range(6):
        yield f(X + k), layers
        if k == 1:
            layers[1].eval()
        if k == 3:
            layers[1].momentum = 1.0
            layers[1].train()
        if k == 4 and where in ("list", "attribute", "class", "default"):
            layers[2] = nn.ReLU()


@same
def test_a_model_as_an_argument(C: Any) -> Any:
    f = C(lambda model, x: model(x).detach())
    models = [nn.Linear(3, 2), nn.Linear(3, 2), network()]
    for i in (0, 1, 0, 2, 2, 1):
        yield f(models[i], X)
        models[2].eval()
    models[0].weight.data.fill_(1.0)
    yield f(models[0], X)


@same
def test_new_models_as_arguments(C: Any) -> Any:
    """Each a new one, which may lie where another lay."""
    f = C(lambda x, model: model(x).detach())
    for _ in range(6):
        yield f(X, model=nn.Linear(3, 2))


@same
def test_a_model_in_a_helper_of_a_helper(C: Any) -> Any:
    model = network()

    def inner(x: Any) -> Any:
        return model(x)

    def outer(x: Any) -> Any:
        return inner(x) * 2

    f = C(lambda x: outer(x).detach())
    for k in range(6):
        yield f(X), model
        if k == 1:
            model[1].eval()
        if k == 3:
            model[3].p = 0.9


@same
def test_a_global_model_is_bound_anew(C: Any) -> Any:
    model = nn.Linear(3, 2)
    f = C(lambda x: model(x).detach())
    for k in range(6):
        yield f(X)
        if k in (1, 3):
            model = nn.Linear(3, 2)


@same
def test_two_models_change_places(C: Any) -> Any:
    a, b = nn.Linear(3, 3), nn.Linear(3, 3)
    f = C(lambda x: b(a(x).tanh()).detach())
    for k in range(6):
        yield f(X)
        if k % 2:
            a, b = b, a


@same
def test_layers_of_one_weight(C: Any) -> Any:
    """A tied weight, and then two weights."""
    a, b = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
    b.weight = a.weight
    model = nn.Sequential(a, nn.Tanh(), b)

    def step() -> Any:
        loss = (model(X) ** 2).mean()
        model.zero_grad()
        loss.backward()
        with torch.no_grad():
            for p in model.parameters():
                p -= 0.1 * p.grad
        return loss

    step = C(step)
    for k in range(6):
        yield step(), model
        if k == 2:
            b.weight = nn.Parameter(a.weight.detach().clone())


WRAPPED: dict[str, Callable[[Any, Any], Any]] = {
    "a model": lambda model, loss: vmap(model),
    "a model's method": lambda model, loss: vmap(model.forward),
    "a method, twice": lambda model, loss: torch.no_grad()(vmap(model.forward)),
    "a compiled model": lambda model, loss: vmap(torch.compile(model, backend="numpy")),
    "a compiled function": lambda model, loss: vmap(torch.compile(loss, backend="numpy")),
    "a function, twice": lambda model, loss: vmap(grad(loss)),
    "a function, thrice": lambda model, loss: vmap(hessian(loss)),
    "a function with a mode": lambda model, loss: vmap(torch.no_grad()(loss)),
}


@pytest.mark.parametrize("what", WRAPPED)
@compiled
def test_what_functions_of_the_package_wrap(C: Any, what: str) -> Any:
    """What vmap, grad and no_grad make of a function leads to what that function reads."""
    model, scale = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 1)), [1.0]
    model.requires_grad_(False)
    f = C(WRAPPED[what](model, lambda x: model(x).sum() * scale[0]))
    x = torch.randn(3, 2)
    yield f(x)
    yield f(x)
    model[1] = nn.Sigmoid()
    yield f(x)
    scale[0] = 2.0
    yield f(x)
    model[0].bias = None
    yield f(x)
