"""`nn.init` and `nn.utils`, and that every public name is torch's, with torch's arguments."""

import inspect
import math
from typing import Any

import pytest
import torch
from both import Case, assert_same, assert_same_error, cases, same

import tinygrad_ninja

INITS: list[tuple[str, dict[str, Any]]] = [
    ("uniform_", {}),
    ("uniform_", {"a": -2.0, "b": 3.0}),
    ("normal_", {}),
    ("normal_", {"mean": 2.0, "std": 0.5}),
    ("constant_", {"val": 0.3}),
    ("ones_", {}),
    ("zeros_", {}),
    ("kaiming_uniform_", {}),
    ("kaiming_uniform_", {"a": math.sqrt(5)}),
    ("kaiming_uniform_", {"mode": "fan_out", "nonlinearity": "relu"}),
    ("kaiming_normal_", {}),
    ("kaiming_normal_", {"nonlinearity": "tanh", "mode": "fan_out"}),
    ("xavier_uniform_", {}),
    ("xavier_uniform_", {"gain": 5 / 3}),
    ("xavier_normal_", {"gain": 0.5}),
    ("trunc_normal_", {}),
    ("trunc_normal_", {"std": 0.02}),
    ("trunc_normal_", {"mean": 0.5, "a": -0.1, "b": 0.1}),
    ("trunc_normal_", {"a": 1.5, "b": 3.0}),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(3, 2), (8, 5), (4, 3, 2)])
@pytest.mark.parametrize(("name", "options"), INITS, ids=[f"{name} {options}" for name, options in INITS])
def test_the_numbers_are_torchs(name: str, options: dict[str, Any], shape: Any, dtype: str) -> None:
    """From the default generator, and again from one of one's own."""

    def case(t: Any) -> Any:
        t.manual_seed(11)
        parameter = t.nn.Parameter(t.empty(shape, dtype=getattr(t, dtype)))
        function = getattr(t.nn.init, name)
        returned = function(parameter, **options) is parameter
        first = parameter.detach().clone()
        if "generator" in inspect.signature(torch.nn.init.__dict__[name]).parameters:
            function(parameter, generator=t.Generator().manual_seed(5), **options)
        return returned, first, parameter, t.rand(1)

    assert_same(case, ulps=0)


@pytest.mark.parametrize(
    "name", ["linear", "sigmoid", "tanh", "relu", "selu", "leaky_relu", "conv2d", "conv_transpose1d"]
)
@pytest.mark.parametrize("param", [None, 0.2, 3])
def test_gains(name: str, param: Any) -> None:
    assert_same(lambda t: float(t.nn.init.calculate_gain(name, param)), ulps=0)


@cases(
    lambda t: t.nn.init.kaiming_uniform_(t.ones(3)),
    lambda t: t.nn.init.xavier_normal_(t.ones(3)),
    lambda t: t.nn.init.kaiming_uniform_(t.ones(3, 2), mode="nonsense"),
    lambda t: t.nn.init.kaiming_normal_(t.ones(3, 2), nonlinearity="nonsense"),
    lambda t: t.nn.init.calculate_gain("nonsense"),
    lambda t: t.nn.init.calculate_gain("leaky_relu", "nonsense"),
    lambda t: t.nn.init.normal_(t.ones(3), std=-1.0),
    lambda t: t.nn.utils.clip_grad_norm_(with_gradients(t, math.inf), 1.0, error_if_nonfinite=True),
    lambda t: t.nn.utils.parameters_to_vector([]),
)
def test_calls_that_raise(case: Case) -> None:
    assert_same_error(case)


def with_gradients(t: Any, scale: float = 1.0) -> Any:
    parameters = [
        t.ones(3, 2, requires_grad=True),
        t.ones(2, requires_grad=True),
        t.ones(1, requires_grad=True),
    ]
    for i, each in enumerate(parameters[:2]):
        each.grad = scale * t.linspace(-1, 2 + i, each.numel()).reshape(each.shape)
    return parameters


@pytest.mark.parametrize("norm_type", [2.0, 1.0, 3, float("inf")])
@pytest.mark.parametrize("max_norm", [0.5, 100.0])
def test_clip_grad_norm(max_norm: float, norm_type: float) -> None:
    def case(t: Any) -> Any:
        parameters = with_gradients(t)
        memory = parameters[0].grad
        total = t.nn.utils.clip_grad_norm_(iter(parameters), max_norm, norm_type)
        return total, [each.grad for each in parameters], parameters[0].grad is memory

    assert_same(case, ulps=8)


@same
def test_the_other_utilities(t: Any) -> Any:
    parameters = with_gradients(t)
    t.nn.utils.clip_grad_value_(parameters, 0.75)
    none = t.nn.utils.clip_grad_norm_(parameters[2], 1.0)
    vector = t.nn.utils.parameters_to_vector(parameters)
    (vector * t.arange(9.0)).sum().backward()
    with t.no_grad():
        t.nn.utils.vector_to_parameters(t.arange(9.0), parameters)
    return [each.grad for each in parameters], none, vector.detach(), parameters


def test_a_vector_of_another_size_is_refused_before_anything_is_written() -> None:
    parameters = with_gradients(tinygrad_ninja)
    with pytest.raises(ValueError, match=r"9 elements, and the vector \(10,\)"):
        tinygrad_ninja.nn.utils.vector_to_parameters(tinygrad_ninja.arange(10.0), parameters)
    assert all((each == 1).all() for each in parameters)
    with pytest.raises(ValueError, match="norm_type must be above 0"):
        tinygrad_ninja.nn.utils.clip_grad_norm_(parameters, 1.0, norm_type=0)


# -- names and arguments -------------------------------------------------------------------------------------

MODULES = ["nn", "nn.functional", "nn.init", "nn.utils", "optim", "optim.lr_scheduler"]
OWN = {"FlattenConsecutive"}  # the lecture's


def found(t: Any, path: str) -> Any:
    for name in path.split("."):
        t = getattr(t, name)
    return t


PUBLIC = [
    f"{path}.{name}" for path in MODULES for name in found(tinygrad_ninja, path).__all__ if name not in OWN
]


def members(path: str) -> list[str]:
    """The name itself; of a class also what may be called on its objects."""
    ours = found(tinygrad_ninja, path)
    if not inspect.isclass(ours):
        return [path]
    methods = [name for name, _ in inspect.getmembers(ours, inspect.isfunction) if not name.startswith("_")]
    if issubclass(ours, tinygrad_ninja.Tensor):
        return [path]
    return [path, *(f"{path}.{name}" for name in methods)]


def distinct(paths: list[str]) -> list[str]:
    """Of a method that many classes inherit, one."""
    return list({id(found(tinygrad_ninja, path)): path for path in reversed(paths)}.values())[::-1]


@pytest.mark.parametrize("path", distinct([each for path in PUBLIC for each in members(path)]))
def test_every_name_is_torchs_with_its_arguments(path: str) -> None:
    """In the same order with the same defaults; torch may take more, which then has a default."""
    ours, theirs = found(tinygrad_ninja, path), found(torch, path)
    assert callable(ours) == callable(theirs)
    if not callable(ours):
        return
    try:
        expected = inspect.signature(theirs).parameters
    except ValueError:  # written in C++
        return
    given = inspect.signature(ours).parameters
    kinds = {each.kind for each in expected.values()}
    if inspect.Parameter.VAR_POSITIONAL in kinds or path == "nn.Parameter":  # torch also makes one of nothing
        return
    if (
        path == "nn.Sequential.extend"
    ):  # torch's ModuleList names the argument otherwise; here it is one method
        return
    positional = [name for name, each in given.items() if each.kind is each.POSITIONAL_OR_KEYWORD]
    assert positional == list(expected)[: len(positional)]
    for name, each in given.items():
        assert name in expected, f"torch takes no {name}"
        assert each.default == expected[name].default, name
    for name, each in expected.items():
        assert name in given or each.default is not each.empty, f"{name} is not offered"


@pytest.mark.parametrize("t", [torch, tinygrad_ninja])
@pytest.mark.parametrize("name", ["kaiming_uniform_", "kaiming_normal_"])
def test_a_tensor_without_elements_is_left_as_it_is(t: Any, name: str) -> None:
    with pytest.warns(UserWarning, match="Initializing zero-element tensors is a no-op"):
        assert getattr(t.nn.init, name)(t.zeros(0, 3)).shape == (0, 3)
    with pytest.warns(UserWarning, match="Initializing zero-element tensors is a no-op"):
        t.nn.Linear(0, 3)
