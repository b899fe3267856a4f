"""Deriving a function, which is traced: the names that it gives, and what it may not do."""

import inspect
import re
from typing import Any

import numpy as np
import pytest
import torch
from derivations import TARGETS, run

import tinygrad_ninja
from tinygrad_ninja import nn
from tinygrad_ninja.nn import functional as F
from tinygrad_ninja.ops import TABLE, operation
from tinygrad_ninja.program import derive
from tinygrad_ninja.program.trace import ReadOutError

rng = np.random.default_rng(5)
W = tinygrad_ninja.tensor(rng.normal(size=(3, 4)), requires_grad=True)
x = tinygrad_ninja.tensor(rng.normal(size=(5, 3)))
Y = tinygrad_ninja.tensor([0, 1, 2, 3, 0])


def loss_of(inputs: Any, bias: Any) -> Any:
    h = tinygrad_ninja.relu(inputs @ W + bias)
    kept = tinygrad_ninja.where(h > 0.5, h, 0.1 * h)
    return F.cross_entropy(kept, Y)


@pytest.mark.parametrize("target", TARGETS)
def test_the_functions_own_names_and_torchs_gradients(target: str) -> None:
    bias = tinygrad_ninja.tensor(rng.normal(size=4), requires_grad=True)
    derivation = derive(loss_of, x, bias)
    assert "kept = torch.where(h > 0.5, h, 0.1 * h)\n" in str(derivation)  # the condition is no constant
    assert {"W", "bias", "h", "kept"} <= set(derivation.values)
    w, b = (torch.tensor(each.numpy(force=True), requires_grad=True) for each in (W, bias))
    h = torch.relu(torch.tensor(x.numpy()) @ w + b)
    torch.nn.functional.cross_entropy(torch.where(h > 0.5, h, 0.1 * h), torch.tensor(Y.numpy())).backward()
    found = run(derivation.source(target))
    np.testing.assert_allclose(found["dW"], w.grad, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(found["dbias"], b.grad, rtol=1e-12, atol=1e-15)


def test_the_function_leaves_what_it_used_as_it_was() -> None:
    norm = nn.BatchNorm1d(4)
    twin = nn.BatchNorm1d(4)
    array = W.array
    assert norm.running_mean is not None
    derive(lambda t: (norm(t.float() @ W.float()) ** 2 * 3).sum(), x)
    twin(x.float() @ W.detach().float())
    assert W.array is array
    for one, other in zip(norm.buffers(), twin.buffers(), strict=True):
        assert type(one.array) is np.ndarray
        np.testing.assert_allclose(one.array, other.array, rtol=1e-6)
    assert norm(x.float()[:, [0, 1, 2, 0]]).sum().item() == pytest.approx(0, abs=1e-5)


def with_item(t: Any) -> Any:
    h = t @ W
    return (h * h.max().item()).sum()


def with_branch(t: Any) -> Any:
    h = t @ W
    if h.sum() > 0:
        h = h * 2
    return h.sum()


def with_float(t: Any) -> Any:
    return (t @ W).sum() * float(t.sum())


def with_numpy(t: Any) -> Any:
    h = t @ W
    return (h * h.detach().numpy().max()).sum()


def with_mask(t: Any) -> Any:
    h = t @ W
    return h[h > 0].sum()


def with_several(t: Any) -> Any:
    h = t @ W
    return (h * max(h[0].tolist())).sum()


@pytest.mark.parametrize(
    ("function", "line"),
    [
        (with_item, 2),
        (with_branch, 2),
        (with_float, 1),
        (with_numpy, 2),
        (with_mask, 2),
        (with_several, 2),
    ],
)
def test_a_value_that_is_read_out_is_an_error_that_names_the_line(function: Any, line: int) -> None:
    at = inspect.getsourcelines(function)[1] + line
    with pytest.raises(
        ReadOutError, match=rf"^{re.escape('test_derive_function.py')}:{at}: .* reads a value out"
    ):
        derive(function, x)


@pytest.mark.parametrize(("function", "line"), [(with_item, 2), (with_branch, 2), (with_several, 2)])
def test_a_value_read_out_on_the_way_to_a_recorded_loss(function: Any, line: int) -> None:
    at = inspect.getsourcelines(function)[1] + line
    loss = function(x)
    with pytest.raises(ReadOutError, match=rf"^test_derive_function.py:{at}: .* read a value out"):
        derive(loss, names={"W": W})


def test_what_is_read_before_and_after_the_loss_or_detached_is_no_matter() -> None:
    before = (x @ W).sum().item()
    h = x @ W
    assert np.isfinite(h.detach().max().item())
    loss = (h * h).sum()
    print(f"{loss:.3f} {before:.3f} {loss.item()}", bool(loss > 0))
    assert "loss = (h * h).sum()" in str(derive(loss, names={"W": W, "h": h}))


def test_a_name_given_to_two_tensors_is_an_error_that_names_the_line() -> None:
    def twice(t: Any) -> Any:
        h = t @ W
        h = tinygrad_ninja.tanh(h)
        return h.sum()

    at = inspect.getsourcelines(twice)[1] + 2
    with pytest.raises(
        ValueError, match=rf"test_derive_function.py:{at}: the name h is given to two tensors"
    ):
        derive(twice, x)
    h = x @ W
    loss = (h * 2).exp().sum()
    with pytest.raises(ValueError, match="the name h is given to two tensors, of shape"):
        derive(loss, names=[("h", h), ("h", W)])
    with pytest.raises(ValueError, match="the name dh is given to two tensors"):
        derive(loss, names={"h": h, "dh": W})
    with pytest.raises(ValueError, match="'class' can't be the name of a variable"):
        derive(loss, names={"class": h})


def test_what_cannot_be_derived() -> None:
    loss = (W * 2).sum()
    with pytest.raises(RuntimeError, match="the loss does not come from Tensors that require gradients"):
        derive(x.sum())
    with pytest.raises(RuntimeError, match="only a scalar can be derived"):
        derive(W * 2)
    with pytest.raises(TypeError, match="takes a Tensor or a function"):
        derive("loss")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="give the names as names="):
        derive(loss, {"W": W})
    with pytest.raises(ValueError, match="there is no source for 'jax': give 'torch' or 'numpy'"):
        derive(loss).source("jax")
    with pytest.raises(ValueError, match="there is no value 'V' with a gradient; there are loss, W"):
        derive(loss, names={"W": W}).explain("V")
    product = (W * W).sum()
    product.backward()
    with pytest.raises(RuntimeError, match="the values of mul were freed by backward"):
        derive(product)
    W.grad = None


def test_a_parameter_that_was_changed_since_is_noticed() -> None:
    w = tinygrad_ninja.tensor([1.0, 2.0], requires_grad=True)
    loss = (w * w).sum()
    w.data += 1
    with pytest.raises(RuntimeError, match="has been changed since"):
        derive(loss)


def test_an_operation_without_a_rule_ends_the_history() -> None:
    def picked(t: Any) -> Any:
        h = t @ W
        return h.argmax(1).float().sum()

    at = inspect.getsourcelines(picked)[1] + 2
    with pytest.raises(RuntimeError, match=rf"^test_derive_function.py:{at}: argmax has no rule"):
        derive(picked, x)


def test_an_input_without_a_rule() -> None:
    @operation(broadcasts=True, a=lambda dout: dout)
    def half_known(a: Any, b: Any, /) -> Any:
        return a + b

    try:
        with tinygrad_ninja.autograd.detect_anomaly():
            watched = half_known(W, W).sum()
        at = inspect.getsourcelines(test_an_input_without_a_rule)[1] + 7
        loss = half_known(W, W).sum()
        with pytest.raises(RuntimeError, match=r"^half_known has no rule for its input b .detect_anomaly"):
            derive(loss)
        with pytest.raises(RuntimeError, match=rf"^test_derive_function.py:{at}: half_known has no rule"):
            derive(watched)
    finally:
        del TABLE["half_known"]


class TwoRoles(nn.Module):
    """Two functions of the same name in each call, of values that are called differently."""

    def __init__(self) -> None:
        super().__init__()
        self.candidate = nn.Linear(3, 3).double()

    def forward(self, x: Any, c: Any) -> Any:
        c = c + tinygrad_ninja.tanh(self.candidate(x))
        return x * tinygrad_ninja.tanh(c), c


def test_functions_of_the_same_name_are_called_by_their_roles() -> None:
    cell = TwoRoles()

    def loss(x: Any, start: Any) -> Any:
        state = cell(*cell(x, start))
        return (state[0] * state[1]).sum()

    code = str(derive(loss, x, x.sum(1, keepdim=True)))
    assert re.findall(r"^(\w+) = torch.tanh\((\w+)\)$", code, re.MULTILINE) == [
        ("tanh_candidate_1", "candidate_1"),
        ("tanh_c_1", "c_1"),
        ("tanh_candidate_2", "candidate_2"),
        ("tanh_c_2", "c_2"),
    ]


def test_reshapes_in_a_row_are_one_unless_the_reader_has_a_name_between() -> None:
    model = nn.Sequential(nn.FlattenConsecutive(2))

    def in_a_module(x: Any) -> Any:
        pairs = x.reshape(5, 2, 2)
        return (model(pairs) ** 2).sum()

    def in_an_expression(x: Any) -> Any:
        pairs = x.reshape(5, 4).reshape(5, 2, 2)
        return (pairs**2).sum()

    assert lines_with_reshape(in_a_module) == [
        "pairs = x.reshape(5, 2, 2)",
        "flattenconsecutive = pairs.reshape(5, 4)",
    ]
    assert lines_with_reshape(in_an_expression) == ["pairs = x.reshape(5, 2, 2)"]


def lines_with_reshape(loss: Any) -> list[str]:
    forward = str(derive(loss, x @ W)).partition("\n\n")[0]
    return [line for line in forward.splitlines() if "reshape" in line]
