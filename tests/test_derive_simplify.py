"""Simplified derivations: what is recognised, and that the short answers are PyTorch's gradients."""

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from derivations import PARAMETERS, TARGETS, assigned, lecture_gradients, parts, run

import tinygrad_ninja
from tinygrad_ninja.makemore import lecture
from tinygrad_ninja.program import derive
from tinygrad_ninja.program.derive import simplify


def lecture_named() -> tuple[Any, dict[str, Any]]:
    *parameters, X, Y = (tinygrad_ninja.tensor(np.asarray(each)) for each in lecture.numbers())
    named = lecture.forward(tinygrad_ninja, *(each.requires_grad_() for each in parameters), X, Y)
    return named["loss"], {**named, "n": X.shape[0]}


@pytest.mark.parametrize("target", TARGETS)
def test_the_lectures_model_in_one_go(target: str) -> None:
    loss, names = lecture_named()
    derivation = derive(loss, names=names, simplify=True)
    assert [re.split(" is (?:the|a) ", each)[1] for each in derivation.simplifications] == [
        "softmax with cross-entropy of logits",
        "batch normalization of hprebn, with Bessel's correction, epsilon 1e-05",
        "linear layer of embcat",
        "linear layer of h",
    ]
    source = derivation.source(target)
    found, expected = run(source), lecture_gradients()
    left = {*PARAMETERS, "logits", "h", "hpreact", "hprebn", "embcat", "emb"}
    assert assigned(parts(source)[1]) == {f"d{name}" for name in left}
    for name in left:
        gradient = expected[f"d{name}"]
        scale = abs(expected.get(f"d{lecture.TERMS.get(name, '')}", gradient)).max()
        np.testing.assert_allclose(found[f"d{name}"], gradient, rtol=0, atol=2e-6 * scale, err_msg=name)


def test_the_two_formulas_of_the_lecture() -> None:
    loss, names = lecture_named()
    text = " ".join(str(derive(loss, names=names, simplify=True)).split())
    assert "dlogits = probs.clone() dlogits[range(n), Y] -= 1 dlogits /= n" in text
    assert (
        "dhprebn = bngain * bnvar_inv / n * (n * dhpreact - dhpreact.sum(0, keepdim=True) "
        "- n / (n - 1) * bnraw * (dhpreact * bnraw).sum(0, keepdim=True))"
    ) in text


Y, ROWS = [2, 0, 1, 3], range(4)
Loss = Callable[..., Any]


def normalized(x: Any, g: Any, b: Any, dim: int, n: float, eps: float) -> Any:
    d = x - x.sum(dim, keepdim=True) / x.shape[dim]
    return g * (d / ((d * d).sum(dim, keepdim=True) / n + eps).sqrt()) + b


WRITTEN: dict[str, tuple[str, Loss]] = {
    "softmax, shifted": ("softmax", lambda t, x, g, b: softmax(t, x - x.amax(1, keepdim=True)) ** 2),
    "softmax, not shifted": ("softmax", lambda t, x, g, b: softmax(t, x) ** 2),
    "softmax, one shift for all": ("softmax", lambda t, x, g, b: softmax(t, x - x.max()) ** 2),
    "softmax, shifted by the mean": (
        "softmax", lambda t, x, g, b: softmax(t, x - x.mean(1, keepdim=True)) ** 2
    ),
    "softmax, by powers of two": (
        "softmax", lambda t, x, g, b: shares(2 ** (x / math.log(2))) ** 2
    ),
    "softmax, shifted by what is detached": (
        "softmax", lambda t, x, g, b: softmax(t, x - x.amax(1, keepdim=True).detach()) ** 2
    ),
    "log-softmax": ("log-softmax", lambda t, x, g, b: (x - x.exp().sum(1, keepdim=True).log()) ** 2),
    "log of softmax": ("log-softmax", lambda t, x, g, b: softmax(t, x).log() ** 2),
    "cross-entropy": ("softmax with cross-entropy", lambda t, x, g, b: -softmax(t, x)[ROWS, Y].log().mean()),
    "cross-entropy, summed by hand": (
        "softmax with cross-entropy",
        lambda t, x, g, b: (x - x.exp().sum(1, keepdim=True).log())[ROWS, Y].sum() * (-1 / 4),
    ),
    "cross-entropy, by gather": (
        "softmax with cross-entropy",
        lambda t, x, g, b: -(x - x.exp().sum(1, keepdim=True).log()).gather(1, t.tensor(Y)[:, None]).mean(),
    ),
    "cross-entropy, by logsumexp": (
        "softmax with cross-entropy", lambda t, x, g, b: (x.logsumexp(1) - x[ROWS, Y]).mean()
    ),
    "cross-entropy, the quotient of exponentials": (
        "softmax with cross-entropy",
        lambda t, x, g, b: -(x.exp()[ROWS, Y] / x.exp().sum(1)).log().mean(),
    ),
    "cross-entropy, with a one-hot": (
        "softmax with cross-entropy", lambda t, x, g, b: -(onehot(t) * softmax(t, x).log()).sum(1).mean()
    ),
    "cross-entropy, with a one-hot, summed by hand": (
        "softmax with cross-entropy", lambda t, x, g, b: -(onehot(t) * x.log_softmax(1)).sum() / 4
    ),
    "sigmoid": ("sigmoid", lambda t, x, g, b: 1 / (1 + t.exp(-x))),
    "sigmoid, the other way": ("sigmoid", lambda t, x, g, b: x.exp() / (x.exp() + 1)),
    "sigmoid, of tanh": ("sigmoid", lambda t, x, g, b: 0.5 * (1 + (x / 2).tanh())),
    "sigmoid, from one": ("sigmoid", lambda t, x, g, b: 1 - 1 / (1 + x.exp())),
    "tanh, from one": ("tanh", lambda t, x, g, b: 1 - 2 / (1 + (2 * x).exp())),
    "tanh": ("tanh", lambda t, x, g, b: ((2 * x).exp() - 1) / ((2 * x).exp() + 1)),
    "tanh, the other way": ("tanh", lambda t, x, g, b: (x.exp() - (-x).exp()) / (x.exp() + (-x).exp())),
    "batch norm": (
        "batch normalization of x, without Bessel's correction, epsilon 0.001",
        lambda t, x, g, b: normalized(x, g, b, 0, 4, 1e-3) ** 3,
    ),
    "batch norm, Bessel, no epsilon": (
        "batch normalization of x, with Bessel's correction, without epsilon",
        lambda t, x, g, b: normalized(x, g, b, 0, 3, 0.0) ** 3,
    ),
    "batch norm, by std": (
        "batch normalization of x, with Bessel's correction, without epsilon",
        lambda t, x, g, b: (g * (x - x.mean(0, keepdim=True)) / x.std(0, keepdim=True) + b) ** 3,
    ),
    "batch norm, by var": (
        "batch normalization of x, without Bessel's correction, epsilon 0.01",
        lambda t, x, g, b: (
            (x - x.mean(0)) * (x.var(0, unbiased=False) + 0.01) ** -0.5 * g + b
        ) ** 3,
    ),
    "batch norm, by squares": (
        "batch normalization of x, without Bessel's correction, epsilon 0.01",
        lambda t, x, g, b: (
            g * (x - x.mean(0)) / t.sqrt((x**2).mean(0) - x.mean(0) ** 2 + 0.01) + b
        ) ** 3,
    ),
    "layer norm": (
        "layer normalization of x, without Bessel's correction, epsilon 0.001",
        lambda t, x, g, b: normalized(x, g, b, 1, 5, 1e-3) ** 3,
    ),
    "linear": ("linear layer of", lambda t, x, g, b: (x @ g.T @ g + b) ** 2),
}  # fmt: skip


def onehot(t: Any) -> Any:
    return t.eye(5, dtype=t.float64)[Y]


def softmax(t: Any, x: Any) -> Any:
    return shares(t.exp(x))


def shares(e: Any) -> Any:
    return e / e.sum(1, keepdim=True)


def test_what_the_forward_pass_has_is_not_computed_again() -> None:
    x, g, b = (tinygrad_ninja.randn(n, 5, requires_grad=True) for n in (6, 1, 1))
    sd = x.std(0)
    xhat = (x - x.mean(0)) / sd
    out = g * xhat + b
    names = {"x": x, "g": g, "b": b, "sd": sd, "xhat": xhat, "out": out}
    text = " ".join(str(derive((out**3).sum(), names=names, simplify=True)).split())
    assert (
        "dx = g / sd / 6 * (6 * dout - dout.sum(0, keepdim=True) "
        "- 1.2 * xhat * (dout * xhat).sum(0, keepdim=True))"
    ) in text


@pytest.mark.parametrize("title", WRITTEN)
def test_a_chain_is_recognised_however_it_is_written(title: str) -> None:
    expected, function = WRITTEN[title]
    rng = np.random.default_rng(3)
    numbers = [rng.normal(size=(4, 5)), rng.uniform(0.5, 2, size=(1, 5)), rng.normal(size=(1, 5))]
    weight = rng.normal(size=(4, 5))

    def loss_of(module: Any, tensors: list[Any]) -> Any:
        out = function(module, *tensors)
        return out if out.ndim == 0 else (out * module.tensor(weight)).sum()

    theirs = [torch.tensor(each, requires_grad=True) for each in numbers]
    loss_of(torch, theirs).backward()
    ours = [tinygrad_ninja.tensor(each, requires_grad=True) for each in numbers]
    names = dict(zip("xgb", ours, strict=True))
    derivation = derive(loss_of(tinygrad_ninja, ours), names=names, simplify=True)
    assert any(expected in each for each in derivation.simplifications), derivation.simplifications
    for target in TARGETS:
        found = run(derivation.source(target))
        for name, each in zip("xgb", theirs, strict=True):
            if each.grad is not None:
                np.testing.assert_allclose(found[f"d{name}"], each.grad, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "function",
    [
        lambda t, x: t.exp(x) / t.exp(x).sum(0, keepdim=True) * x,  # along 0, then times x: no softmax of x
        lambda t, x: 1 / (2 + t.exp(-x)),
        lambda t, x: (x - x.mean(1, keepdim=True)) / (x.std(1, keepdim=True) + 0.1),
        lambda t, x: t.exp(x) / t.exp(2 * x).sum(1, keepdim=True),
        lambda t, x: 1 / (1 + t.exp(-x).detach()) * x,  # the slope is not the sigmoid's
        lambda t, x: 1 / (1 + t.exp(-x) * (x > -9).to(x.dtype)),  # though none of these is below
    ],
)
def test_what_is_nearly_a_chain_is_left_alone(function: Loss) -> None:
    x = tinygrad_ninja.tensor(np.random.default_rng(0).normal(size=(3, 4)), requires_grad=True)
    derivation = derive((function(tinygrad_ninja, x) ** 2).sum(), names={"x": x}, simplify=True)
    ends = [each.partition(" ")[0] for each in derivation.simplifications]
    assert all("softmax" in each for each in derivation.simplifications), ends
    run(derivation.source("numpy"))


def test_what_fits_at_one_point_only_is_not_taken_for_the_same() -> None:
    """A vector times a matrix has no bias of its own shape; a floor is no smooth function."""
    x = tinygrad_ninja.tensor([1.0, -2.0, 2.0], requires_grad=True)
    w = tinygrad_ninja.tensor([[0.5, 1.0, 2.0], [1.5, -1.0, 0.25]], requires_grad=True)
    y = w @ x
    whole = x.floor()
    z = (whole - whole.mean(0)) / (whole.var(0, unbiased=False) + 1e-2).sqrt()
    names = {"x": x, "w": w, "y": y, "whole": whole, "z": z}
    derivation = derive((y * y).sum() + (z * z * z).sum() + (whole * x).sum(), names=names, simplify=True)
    np.testing.assert_allclose(
        run(derivation.source("numpy"))["dx"], 2 * (w.T @ y).detach().numpy() + whole.detach().numpy()
    )


def test_a_wrong_answer_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """The numerical comparison with the expanded gradients finds a rule that is wrong."""
    loss, names = lecture_named()
    chain = next(each for each in simplify.CHAINS if each.title == "batch normalization")
    rules = list(chain.operation.rules)
    monkeypatch.setattr(
        chain.operation, "rules", [lambda dout, values: rules[0](dout, values) * 1.001, *rules[1:]]
    )
    with pytest.raises(RuntimeError, match="the simplified gradient of hprebn differs from the expanded one"):
        derive(loss, names=names, simplify=True)


@pytest.mark.parametrize(
    ("rows", "targets"), [([0], [1, 1]), ([0], [1, 2, 1]), ([0, 0], [1, 2]), ([1, 0], [2, 2])]
)
def test_a_mean_that_does_not_take_each_row_once(rows: list[int], targets: list[int]) -> None:
    """Such a mean of log-probabilities is no cross-entropy, and is not answered as one."""
    x = np.arange(6.0).reshape(2, 3) ** 2 / 10

    def loss(module: Any, x: Any) -> Any:
        return -x.log_softmax(1)[module.tensor(rows), module.tensor(targets)].mean()

    leaf = torch.tensor(x, requires_grad=True)
    loss(torch, leaf).backward()
    ours = tinygrad_ninja.tensor(x, requires_grad=True)
    derivation = derive(loss(tinygrad_ninja, ours), names={"x": ours}, simplify=True)
    np.testing.assert_allclose(
        run(derivation.source("numpy"))["dx"], leaf.grad.numpy(), rtol=1e-12, atol=1e-15
    )
