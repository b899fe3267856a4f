"""Module and the containers: what is in a model, its state, its modes and its hooks, as in torch."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from both import Case, assert_same, assert_same_error, attempt, cases, same

import tinygrad_ninja


def block(t: Any) -> Any:
    """A model with everything that a model may hold, one part of it twice."""

    class Block(t.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = t.nn.Parameter(t.ones(2))
            self.register_parameter("absent", None)
            self.register_buffer("mask", t.ones(2, 2).tril())
            self.register_buffer("scratch", t.zeros(3), persistent=False)
            self.layers = t.nn.ModuleList([t.nn.Linear(2, 2), t.nn.Linear(2, 2, bias=False), t.nn.Tanh()])
            self.by_name = t.nn.ModuleDict({"norm": t.nn.BatchNorm1d(2), "again": self.layers[0]})
            self.several = t.nn.ParameterList([t.zeros(1), t.nn.Parameter(t.ones(2, 3))])
            self.tied = self.layers[1]

        def forward(self, x: Any) -> Any:
            for layer in self.layers:
                x = layer(x * self.scale)
            return self.by_name["norm"](x)

    t.manual_seed(0)
    return Block()


@cases(
    lambda t: [name for name, _ in block(t).named_parameters()],
    lambda t: [name for name, _ in block(t).named_parameters(recurse=False)],
    lambda t: [name for name, _ in block(t).named_parameters("model", remove_duplicate=False)],
    lambda t: [tuple(each.shape) for each in block(t).parameters()],
    lambda t: [tuple(each.shape) for each in block(t).parameters(recurse=False)],
    lambda t: [name for name, _ in block(t).named_buffers()],
    lambda t: [name for name, _ in block(t).named_buffers(recurse=False)],
    lambda t: [tuple(each.shape) for each in block(t).buffers()],
    lambda t: [(name, type(each).__name__) for name, each in block(t).named_modules()],
    lambda t: [name for name, _ in block(t).named_modules(remove_duplicate=False)],
    lambda t: [type(each).__name__ for each in block(t).modules()],
    lambda t: [name for name, _ in block(t).named_children()],
    lambda t: [type(each).__name__ for each in block(t).children()],
    lambda t: list(block(t).state_dict()),
    lambda t: list(block(t).state_dict(prefix="model.")),
    lambda t: [each.requires_grad for each in block(t).state_dict(keep_vars=True).values()],
    lambda t: {name: each.detach() for name, each in block(t).state_dict().items()},
    lambda t: repr(block(t)),
    lambda t: repr(block(t).get_submodule("by_name.norm")),
    lambda t: [
        t.nn.Sequential(t.nn.BatchNorm1d(2)).get_parameter("0.bias"),
        t.nn.Linear(1, 1).get_parameter("bias").shape,
    ],
    lambda t: t.nn.Sequential(t.nn.BatchNorm1d(2)).get_buffer("0.running_var"),
    lambda t: repr(block(t).load_state_dict(block(t).state_dict())),
    lambda t: tuple(t.nn.Linear(2, 3).load_state_dict({"other": t.ones(1), "bias": t.ones(3)}, strict=False)),
    lambda t: [each.dtype for each in block(t).double().state_dict().values()],
    lambda t: [each.dtype for each in block(t).to(t.float64).float().state_dict().values()],
    lambda t: [each.dtype for each in block(t).to(t.ones(1).double()).buffers()],
    lambda t: [each.requires_grad for each in block(t).requires_grad_(False).parameters()],
)
def test_what_is_in_a_model(case: Case) -> None:
    assert_same(case)


@same
def test_modes_and_apply(t: Any) -> Any:
    model, seen = block(t), []
    returned = model.apply(lambda each: seen.append(type(each).__name__))
    flags = [each.training for each in model.eval().modules()] + [
        each.training for each in model.train().modules()
    ]
    return returned is model, seen, flags


@same
def test_gradients_and_moves(t: Any) -> Any:
    model = block(t)
    model(t.ones(3, 2)).sum().backward()
    model.double()
    dtypes = [each.grad.dtype for each in model.parameters() if each.grad is not None]
    model.zero_grad(set_to_none=False)
    zeros = [each.grad for each in model.parameters()]
    model.zero_grad()
    return dtypes, zeros, [each.grad for each in model.parameters()]


@same
def test_a_copy_is_independent(t: Any) -> Any:
    model = block(t)
    copied = copy.deepcopy(model)
    with t.no_grad():
        copied.scale.fill_(5)
    return model.scale, copied.scale, copied.tied is copied.layers[1], list(copied.state_dict())


@same
def test_attributes_change_their_kind(t: Any) -> Any:
    model = t.nn.Module()
    model.x = 3
    model.x = t.nn.Parameter(t.ones(1))
    first = dict(model.named_parameters())
    del model.x
    model.x = t.nn.Linear(1, 1)
    second = [name for name, _ in model.named_parameters()]
    model.x = None
    empty = model.x, list(model.children()), repr(model)
    del model.x
    model.y = t.nn.Parameter(t.ones(1))
    model.y = None
    model.register_buffer("z", t.ones(1))
    model.z = t.zeros(2)
    return list(first), second, empty, hasattr(model, "x"), model.y, dict(model.state_dict())


@same
def test_hooks(t: Any) -> Any:
    seen = []
    layer = t.nn.ReLU()
    first = layer.register_forward_pre_hook(lambda module, args: seen.append(("before", len(args))))
    second = layer.register_forward_pre_hook(lambda module, args: args[0] - 1)
    third = layer.register_forward_hook(lambda module, args, out: out * 10)
    fourth = layer.register_forward_hook(lambda module, args, out: seen.append(("after", out.sum().item())))
    with_hooks = layer(t.tensor([1.0, 2.0, 3.0]))
    for each in (first, second, third, fourth):
        each.remove()
    return with_hooks, layer(t.tensor([1.0, 2.0, 3.0])), seen


@same
def test_all_hooks_of_a_kind_are_removed_by_their_dict(t: Any) -> Any:
    model = t.nn.Sequential(t.nn.ReLU(), t.nn.Tanh())
    model[0].register_forward_hook(lambda module, args, out: out * 10)
    with_hooks = model(t.tensor([1.0, 2.0]))
    for module in model.modules():
        module._forward_hooks.clear()
    return with_hooks, model(t.tensor([1.0, 2.0])), len(model[1]._forward_pre_hooks)


@same
def test_hooks_in_front_with_all_arguments_and_in_a_block(t: Any) -> Any:
    class Times(t.nn.Module):
        def forward(self, x: Any, factor: Any = 1) -> Any:
            return x * factor

    seen = []
    layer = Times()
    layer.register_forward_hook(lambda module, args, out: seen.append("second"))
    layer.register_forward_hook(lambda module, args, out: seen.append("first"), prepend=True)
    layer.register_forward_hook(lambda module, args, kwargs, out: out + kwargs["factor"], with_kwargs=True)
    layer.register_forward_pre_hook(lambda module, args: args[0] + 1)
    layer.register_forward_pre_hook(lambda module, args: args[0] * 10, prepend=True)
    layer.register_forward_pre_hook(
        lambda module, args, kwargs: (args, {"factor": 2 * kwargs["factor"]}), with_kwargs=True
    )
    with layer.register_forward_hook(lambda module, args, out: -out):
        inside = layer(t.tensor([1.0, 2.0]), factor=3)
    x = t.ones(2, requires_grad=True)
    with x.register_hook(lambda gradient: gradient * 2):
        (x * 1).sum().backward()
    x.sum().backward()
    return inside, layer(t.tensor([1.0, 2.0]), factor=3), seen, x.grad


@same
def test_a_hook_that_is_always_called(t: Any) -> Any:
    class Fails(t.nn.Module):
        def forward(self, x: Any) -> Any:
            raise ValueError("no")

    def broken(module: Any, args: Any, out: Any) -> None:
        raise KeyError("hook")

    seen = []
    failing, hooked = Fails(), t.nn.ReLU()
    failing.register_forward_hook(lambda module, args, out: seen.append("never"))
    failing.register_forward_hook(lambda module, args, out: seen.append(out), always_call=True)
    hooked.register_forward_hook(broken)
    hooked.register_forward_hook(lambda module, args, out: seen.append(out), always_call=True)
    return attempt(failing, t.ones(1)), attempt(hooked, t.ones(1)), seen


def keeper(t: Any) -> Any:
    """A module with a state of its own kinds, one in the form of an object, one under another name."""

    class Counts(t.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = t.nn.Linear(1, 1)
            self.n = 3

        def get_extra_state(self) -> Any:
            return {"n": self.n}

        def set_extra_state(self, state: Any) -> None:
            self.n = state["n"]

    class Renames(t.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = t.nn.Parameter(t.zeros(2))

        def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
            destination[prefix + "w"] = self.weight.detach()

        def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
            state_dict[prefix + "weight"] = state_dict.pop(prefix + "w")
            super()._load_from_state_dict(state_dict, prefix, *args)

    return t.nn.Sequential(Counts(), Renames())


@same
def test_a_state_of_ones_own_kind(t: Any) -> Any:
    first, second = keeper(t), keeper(t)
    first[0].n = 7
    with t.no_grad():
        first[1].weight.fill_(5)
    state = first.state_dict()
    told = str(second.load_state_dict(state))
    del state["0._extra_state"]
    lacks = attempt(second.load_state_dict, state), str(second.load_state_dict(state, strict=False))
    state["1._extra_state"] = 1
    return (
        list(first.state_dict()),
        told,
        second[0].n,
        second[1].weight,
        lacks,
        attempt(first.load_state_dict, state),
    )


@same
def test_a_state_without_the_number_of_batches(t: Any) -> Any:
    """A plain dict, as older versions wrote it, may lack it; a state that says its version may not."""
    model = t.nn.Sequential(t.nn.BatchNorm1d(2))
    model[0].num_batches_tracked += 4
    state = model.state_dict()
    del state["0.num_batches_tracked"]
    return (
        str(model.load_state_dict(dict(state))),
        model[0].num_batches_tracked,
        attempt(model.load_state_dict, state),
    )


@same
def test_sequential_and_list_as_sequences(t: Any) -> Any:
    results = []
    for make in (lambda *layers: t.nn.Sequential(*layers), lambda *layers: t.nn.ModuleList(layers)):
        model = make(t.nn.Tanh(), t.nn.ReLU(), t.nn.Sigmoid())
        results.append(repr(model[1:]))
        results.append(type(model[-1]).__name__)
        model.append(t.nn.Identity())
        model.insert(1, t.nn.Linear(1, 1))
        model.extend([t.nn.GELU(), t.nn.GELU()])
        model[0] = t.nn.Flatten()
        del model[2]
        results += [repr(model), len(model), [type(each).__name__ for each in model]]
        results += [type(model.pop(1)).__name__, repr(model), list(model.state_dict())]
    return (
        results,
        repr(t.nn.ModuleList([t.nn.Tanh()]) + t.nn.ModuleList([t.nn.ReLU()])),
        repr(t.nn.ModuleList()),
    )


@same
def test_module_dict_and_parameter_list(t: Any) -> Any:
    models = t.nn.ModuleDict({"a": t.nn.Tanh(), "b": t.nn.Linear(1, 2)})
    models["c"] = t.nn.ReLU()
    models.update({"a": t.nn.Sigmoid()})
    taken = type(models.pop("b")).__name__
    kept = list(models), len(models), "c" in models, "b" in models, list(models.keys()), repr(models)
    numbers = t.nn.ParameterList([t.ones(2)])
    numbers.append(t.zeros(1)).extend([t.nn.Parameter(t.ones(1, 2))])
    numbers[-1] = t.zeros(2, 2)
    values = [each.detach() for each in numbers], len(numbers), numbers[1], list(numbers.state_dict())
    return taken, kept, values, repr(numbers)


@cases(
    lambda t: t.nn.Linear(2, 3).load_state_dict([1]),
    lambda t: t.nn.Linear(2, 3).load_state_dict(None),
    lambda t: t.nn.Linear(1, 1).load_state_dict({"weight": np.ones((1, 1)), "bias": t.ones(1)}),
    lambda t: t.nn.Linear(1, 1).load_state_dict({"weight": [1.0], "bias": t.ones(1)}, strict=False),
    lambda t: t.nn.Linear(1, 1).load_state_dict({"weight": None, "bias": t.ones(1)}),
    lambda t: t.nn.Sequential(t.nn.Tanh()).insert(5, t.nn.Tanh()),
    lambda t: t.nn.Sequential(t.nn.Tanh()).insert(-2, t.nn.Tanh()),
    lambda t: t.nn.Module().get_extra_state(),
    lambda t: t.nn.Module().register_buffer("a.b", None),
    lambda t: t.nn.Module().register_buffer("", None),
    lambda t: t.nn.Module().register_buffer(3, None),
    lambda t: t.nn.Linear(2, 3).register_buffer("weight", None),
    lambda t: t.nn.Linear(2, 3).register_buffer("other", 1),
    lambda t: t.nn.Linear(2, 3).register_parameter("other", t.ones(1)),
    lambda t: t.nn.Linear(2, 3).register_parameter("forward", None),
    lambda t: t.nn.Linear(2, 3).add_module("other", 1),
    lambda t: t.nn.Linear(2, 3).add_module("a.b", None),
    lambda t: setattr(t.nn.Linear(2, 3), "weight", t.ones(3, 2)),
    lambda t: setattr(t.nn.Sequential(t.nn.Tanh()), "0", t.ones(1)),
    lambda t: setattr(t.nn.BatchNorm1d(2), "running_mean", 1.0),
    lambda t: t.nn.Linear(2, 3).get_submodule("other"),
    lambda t: t.nn.Linear(2, 3).get_parameter("other"),
    lambda t: t.nn.Linear(2, 3).get_buffer("weight"),
    lambda t: t.nn.Sequential(t.nn.Tanh()).get_parameter("1.weight"),
    lambda t: t.nn.Linear(2, 3).train(1),
    lambda t: t.nn.Linear(2, 3).to(t.int64),
    lambda t: t.nn.Linear(2, 3).other,
    lambda t: t.nn.Sequential(1),
    lambda t: t.nn.ModuleList([1]),
    lambda t: t.nn.ModuleList()[0],
    lambda t: t.nn.Sequential(t.nn.Tanh())[1],
    lambda t: t.nn.ModuleDict()["a"],
    lambda t: t.nn.ModuleDict({"a": 1}),
    lambda t: t.nn.Module()(1),
)
def test_calls_that_raise(case: Case) -> None:
    assert_same_error(case)


def test_load_state_dict_says_what_torch_says_and_writes_nothing() -> None:
    def told(t: Any) -> tuple[str, Any]:
        t.manual_seed(0)
        layer = t.nn.Linear(2, 3)
        with pytest.raises(RuntimeError) as error:
            layer.load_state_dict({"bias": t.ones(3), "weight": t.ones(2, 3), "a": t.ones(1), "b": t.ones(1)})
        return " ".join(str(error.value).split()), layer

    (ours, layer), (theirs, _) = told(tinygrad_ninja), told(torch)
    assert ours == theirs
    assert not (layer.bias == 1).any()
    for t in (torch, tinygrad_ninja):
        with pytest.raises(RuntimeError, match=r'Missing key\(s\) in state_dict: "weight", "bias"\.'):
            t.nn.Linear(2, 3).load_state_dict({})


def test_a_state_dict_goes_to_torch_and_back() -> None:
    ours, theirs = block(tinygrad_ninja), block(torch)
    with torch.no_grad():
        for each in theirs.parameters():
            each.mul_(3)
    ours.load_state_dict(
        {name: tinygrad_ninja.tensor(each.numpy()) for name, each in theirs.state_dict().items()}
    )
    x = np.random.default_rng(0).standard_normal((5, 2)).astype(np.float32)
    out = ours(tinygrad_ninja.tensor(x)).detach().numpy()
    np.testing.assert_allclose(out, theirs(torch.tensor(x)).detach().numpy(), rtol=1e-5, atol=1e-6)
    theirs.load_state_dict({name: torch.tensor(each.numpy()) for name, each in ours.state_dict().items()})
    assert not any(
        (a.numpy() != b.numpy()).any()
        for a, b in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True)
    )
