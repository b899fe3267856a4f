"""The graph that pictures are made of: every value, gradient and use, against PyTorch's."""

from typing import Any

import numpy as np
import pytest
import torch

import tinygrad_ninja
from tinygrad_ninja import nn
from tinygrad_ninja.engine.value import Value as Scalar
from tinygrad_ninja.makemore import lecture
from viz.graph import Graph, Value, extract


def lecture_run(module: Any) -> dict[str, Any]:
    """The lecture's expanded forward pass under `module`, by names."""
    arrays = [np.asarray(each.detach()) if hasattr(each, "detach") else each for each in lecture.numbers()]
    tensors = [module.from_numpy(np.array(each)) for each in arrays]
    for each in tensors[:7]:
        each.requires_grad_()
    return lecture.forward(module, *tensors)


def named(graph: Graph) -> dict[str, Value]:
    return {value.name: value for value in graph.values if value.name}


def theirs() -> dict[str, Any]:
    run = lecture_run(torch)
    for each in run.values():
        if isinstance(each, torch.Tensor) and each.requires_grad:
            each.retain_grad()
    run["loss"].backward()
    return run


def test_every_value_and_gradient_of_the_lecture_is_pytorchs() -> None:
    ours, expected = lecture_run(tinygrad_ninja), theirs()
    values = named(extract(ours["loss"], ours))
    differentiable = {name for name, each in expected.items() if getattr(each, "grad", None) is not None}
    assert len(differentiable) == 27
    assert differentiable | {"X", "Y"} == set(values)
    for name in differentiable:
        np.testing.assert_allclose(values[name].array, expected[name].detach(), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(values[name].gradient, expected[name].grad, rtol=1e-4, atol=1e-7)


def test_the_uses_of_a_value_contribute_its_gradient() -> None:
    ours = lecture_run(tinygrad_ninja)
    graph = extract(ours["loss"], ours)
    bndiff = named(graph)["bndiff"]
    assert [step.operation.name for step, _ in bndiff.uses] == ["pow", "mul"]
    used = [value for value in graph.values if value.uses and value.kind != "constant"]
    assert len(used) > 30
    for value in used:
        total = sum(step.contribution(i) for step, i in value.uses)
        np.testing.assert_allclose(total, value.gradient, rtol=1e-5, atol=1e-8, err_msg=value.name)


def test_the_steps_reversed_are_the_order_of_backward() -> None:
    ours = lecture_run(tinygrad_ninja)
    arrived: list[str] = []
    results = {n: x for n, x in ours.items() if isinstance(x, tinygrad_ninja.Tensor) and x.grad_fn}
    for name, each in results.items():
        each.register_hook(lambda _, name=name: arrived.append(name))
    graph = extract(ours["loss"], ours, gradients=False)
    assert not arrived
    ours["loss"].backward()
    steps = [step.output.name for step in reversed(graph.steps)]
    assert arrived == [name for name in steps if name in results]


def test_no_grad_is_touched_and_what_grad_holds_is_told() -> None:
    x = tinygrad_ninja.tensor([1.0, 2.0], requires_grad=True)
    loss = (x * x).sum()
    assert named(extract(loss, {"x": x}))["x"].held is None
    assert x.grad is None
    loss.backward(retain_graph=True)
    loss.backward(retain_graph=True)
    value = named(extract(loss, {"x": x}))["x"]
    assert value.gradient.tolist() == [2, 4]
    assert value.held.tolist() == [4, 8]


def test_a_freed_graph_is_refused_in_a_sentence_that_helps() -> None:
    x = tinygrad_ninja.tensor([1.0, 2.0], requires_grad=True)
    loss = (x * x).sum()
    loss.backward()
    with pytest.raises(RuntimeError, match=r"freed this graph.*retain_graph=True"):
        extract(loss)


def test_what_is_no_tensor_is_refused() -> None:
    with pytest.raises(TypeError, match="a Tensor or a Value can be drawn, not a float"):
        extract(1.0)  # type: ignore[arg-type]


def test_a_leaf_and_a_constant_are_graphs_of_one_value() -> None:
    for each in (tinygrad_ninja.ones(3), tinygrad_ninja.ones(3, requires_grad=True), Scalar(2)):
        graph = extract(each, {"it": each})
        assert graph.values == [graph.root]
        assert graph.root.name == "it"
        assert not graph.steps


def test_of_several_numbers_the_gradients_are_those_in_grad() -> None:
    x = tinygrad_ninja.tensor([1.0, 2.0], requires_grad=True)
    y = x.exp()
    y.sum().backward(retain_graph=True)
    graph = extract(y, {"x": x})
    assert "Of 2 numbers" in graph.note
    value = named(graph)["x"]
    assert value.gradient is None
    np.testing.assert_allclose(value.held, np.exp([1, 2]), rtol=1e-6)


def test_what_was_changed_in_place_leaves_the_gradients_out_and_says_why() -> None:
    x = tinygrad_ninja.tensor([1.0, 2.0], requires_grad=True)
    y = x * 1
    loss = (y * y).sum()
    with tinygrad_ninja.no_grad():
        y.zero_()
    graph = extract(loss)
    assert "modified by an inplace operation" in graph.note
    assert all(value.gradient is None for value in graph.values)


# -- names ---------------------------------------------------------------------------------------------------


def test_the_first_name_counts_also_in_lists_and_not_after_an_underscore() -> None:
    W = tinygrad_ninja.ones(2, requires_grad=True)
    parameters = [W, tinygrad_ninja.ones(2, requires_grad=True)]
    loss = (W * parameters[1]).sum()
    names = {"_1": loss, "W": W, "parameters": parameters, "p": parameters[1], "loss": loss, "n": 3}
    graph = extract(loss, names)
    assert [value.name for value in graph.values] == ["W", "parameters.1", "", "loss"]


def test_parameters_have_their_paths_and_the_loop_variable_does_not_count() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    for p in model.parameters():
        p.grad = None
    loss = model(tinygrad_ninja.ones(2, 3)).sum()
    paths = {"0.weight", "0.bias", "2.weight", "2.bias"}
    assert set(named(extract(loss, model=model))) == paths
    assert set(named(extract(loss, {"net": model, "p": p}))) == {f"net.{path}" for path in paths}
    assert set(named(extract(loss, {"layers": list(model)}))) == {f"layers.{path}" for path in paths}


def test_an_index_is_named_and_read_and_has_no_gradient() -> None:
    X, C = tinygrad_ninja.tensor([[0, 2]]), tinygrad_ninja.ones(3, 2, requires_grad=True)
    graph = extract(C[X].sum(), {"X": X, "C": C})
    (value,) = [value for value in graph.values if value.name == "X"]
    assert (value.kind, value.gradient, value.uses) == ("constant", None, [])
    assert [step.operation.name for step in value.read_by] == ["index"]


def test_a_constant_is_named_also_through_a_reshaped_view() -> None:
    logits, Y = tinygrad_ninja.ones(2, 3, requires_grad=True), tinygrad_ninja.tensor([0, 2])
    loss = nn.functional.cross_entropy(logits, Y.view(-1))
    assert "Y" in named(extract(loss, {"Y": Y}))


# -- modules -------------------------------------------------------------------------------------------------


def owners(graph: Graph) -> dict[str, list[str]]:
    """The paths of the calls that each step was made in, the outermost first, by its name and number."""
    return {
        f"{step.operation.name} {step.number}": [
            call.path for call in graph.calls if call.first < step.order < call.last
        ]
        for step in graph.steps
    }


def test_a_step_belongs_to_the_calls_that_made_it() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh())
    model(tinygrad_ninja.ones(1, 3))  # another graph
    loss = model(tinygrad_ninja.ones(2, 3)).sum()
    assert owners(extract(loss, {"model": model})) == {
        "permute 0": ["model", "model.0"],
        "matmul 1": ["model", "model.0"],
        "add 2": ["model", "model.0"],
        "tanh 3": ["model", "model.1"],
        "sum 4": [],
    }


def test_a_module_that_is_called_twice_has_two_calls() -> None:
    cell = nn.Linear(3, 3)
    loss = cell(cell(tinygrad_ninja.ones(1, 3))).sum()
    inside = [step for step, calls in owners(extract(loss, {"cell": cell})).items() if calls]
    assert len(inside) == 6


def test_what_records_nothing_leaves_no_call_behind() -> None:
    layer = nn.Linear(3, 3)
    with tinygrad_ninja.no_grad():
        layer(tinygrad_ninja.ones(1, 3))
    loss = layer(tinygrad_ninja.ones(1, 3)).sum()
    assert len(extract(loss, {"layer": layer}).calls) == 1


# -- the backward pass ---------------------------------------------------------------------------------------


def test_the_recorded_backward_pass_is_named_and_pytorchs() -> None:
    ours, expected = lecture_run(tinygrad_ninja), theirs()
    graph = extract(ours["loss"], ours, backward=True)
    found = {name: value for value in graph.values if value.backward for name in value.name.split(" = ")}
    for name in ("logits", "h", "bndiff", "W1", "C", "bngain"):
        np.testing.assert_allclose(found[f"d{name}"].array, expected[name].grad, rtol=1e-4, atol=1e-7)
    assert ours["W1"].grad is None
    forward = {step.output.name for step in graph.steps if not step.backward}
    assert {"loss", "logits", "emb"} <= forward
    assert not any(name.startswith("dW") for name in forward)


def test_a_gradient_that_the_caller_recorded_is_drawn_beside() -> None:
    x = tinygrad_ninja.tensor(3.0, requires_grad=True)
    loss = x**3
    (dx,) = tinygrad_ninja.autograd.grad(loss, [x], create_graph=True)
    graph = extract(loss, {"x": x, "slope": dx}, backward=[dx])
    (value,) = [value for value in graph.values if value.name == "slope"]
    assert value.backward
    assert float(value.array) == 27


@pytest.mark.parametrize("passed", [True, [tinygrad_ninja.ones(2)]])
def test_where_there_is_no_backward_pass_it_says_so(passed: Any) -> None:
    with pytest.raises(ValueError, match="backward pass"):
        extract(tinygrad_ninja.ones(2, requires_grad=True).exp(), backward=passed)


# -- Values, and large graphs --------------------------------------------------------------------------------


def test_a_value_expression_has_pytorchs_numbers_and_gradients() -> None:
    a, b = Scalar(2.0, "a"), Scalar(-3.0, "b")
    e = a * b
    loss = (e + 10) ** 2 + e.tanh() * a
    loss.label = "L"
    loss.backward()
    graph = extract(loss, {"e": e})
    x, y = (torch.tensor(n, dtype=torch.float64, requires_grad=True) for n in (2.0, -3.0))
    z = x * y
    z.retain_grad()
    expected = (z + 10) ** 2 + z.tanh() * x
    expected.backward()
    values = named(graph)
    assert set(values) == {"a", "b", "e", "L"}
    for name, each in (("a", x), ("b", y), ("e", z)):
        assert values[name].gradient == pytest.approx(each.grad.item(), rel=1e-12)
    assert values["L"].array == pytest.approx(expected.item(), rel=1e-12)
    assert [step.operation.name for step in graph.steps] == ["mul", "add", "pow", "tanh", "mul", "add"]


def test_a_long_chain_is_no_recursion() -> None:
    x = y = tinygrad_ninja.tensor(1.0, requires_grad=True)
    for _ in range(20_000):
        y = y * 1.0
    graph = extract(y, {"x": x})
    assert len(graph.steps) == 20_000
    assert float(named(graph)["x"].gradient) == 1


def test_a_plain_number_in_an_expression_of_values_is_no_leaf() -> None:
    a = Scalar(2.0, label="a")
    w = Scalar(0.5)
    graph = extract(3 * a + w * 4 - 1)
    assert [value.name for value in graph.values if value.kind == "leaf"] == ["a", ""]
    assert [[part for part in step.inputs if isinstance(part, float)] for step in graph.steps] == [
        [3.0],
        [4.0],
        [],
        [1.0],
    ]
    with pytest.raises(RuntimeError, match="made with its children cannot be drawn"):
        extract(Scalar(1.0, (a,)) * 2)
