"""Programs whose printed gradients, or the script around them, are easily wrong: each beside real PyTorch."""

import builtins
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from derivations import TARGETS, run
from slow_ones import slow_but
from torch.nn import functional

import tinygrad_ninja
from tinygrad_ninja import nn
from tinygrad_ninja.program import derive

Named = dict[str, Any]
rng = np.random.default_rng(0)


def numbers(*shape: int) -> Any:
    return np.round(rng.normal(size=shape), 3)


def both(
    function: Callable[..., Named], inputs: dict[str, Any], simplify: bool = False, **tolerance: float
) -> str:
    """Derive `function(torch, F, inputs)["loss"]`, under the names that it returns and those of the inputs,
    and compare every gradient that either script computes with PyTorch's. The scripts' own checks must hold.
    The printed passes are returned."""
    theirs = {name: torch.tensor(each, requires_grad=True) for name, each in inputs.items()}
    named = {**theirs, **function(torch, functional, *theirs.values())}
    kept = {name: each for name, each in named.items() if each.requires_grad and name != "loss"}
    for each in kept.values():
        each.retain_grad()
    named["loss"].backward()
    ours = {name: tinygrad_ninja.tensor(each, requires_grad=True) for name, each in inputs.items()}
    names = {**ours, **function(tinygrad_ninja, nn.functional, *ours.values())}
    derivation = derive(names["loss"], names=names, simplify=simplify)
    reached = {name: each.grad.numpy() for name, each in kept.items() if each.grad is not None}
    assert simplify or {var.name: var for var in derivation.backward.gradients}.keys() >= reached.keys()
    gradients = {var.name: gradient.name for var, gradient in derivation.backward.gradients.items()}
    for target in TARGETS:
        found = run(derivation.source(target))
        for name in reached.keys() & gradients.keys():
            np.testing.assert_allclose(
                found[gradients[name]], reached[name], err_msg=f"{name}, {target}\n{derivation}",
                **{"rtol": 1e-10, "atol": 1e-12} | tolerance,
            )  # fmt: skip
    return str(derivation)


def twice(t: Any, f: Any, p: Any) -> Named:
    v = p[[0], t.tensor([0, 1, 1])]
    return {"v": v, "loss": (v * v).sum()}


CASES: dict[str, tuple[Callable[..., Named], dict[str, Any]]] = {
    "an index of one row that is repeated": (twice, {"p": numbers(2, 2)}),
    "a range of one that is repeated": (
        lambda t, f, p: {"loss": (p[range(1), [1, 1]] ** 2).sum() + p[[1, 1], range(1)].sum()},
        {"p": numbers(2, 3)},
    ),
    "a share of zero after one that is repeated": (
        lambda t, f, p: {"u": (u := p * 2), "v": (v := p.sum(1)), "loss": (v * v).sum() + u.floor().sum()},
        {"p": numbers(2, 3)},
    ),
    "a single number used twice": (
        lambda t, f, p: {"v": (v := p[2]), "loss": v.sum().tanh() * 2 + v}, {"p": numbers(5)}
    ),
    "a repeated share added to a number": (
        lambda t, f, p: {"loss": p.sum() + (p.sum(0) ** 2).sum()}, {"p": numbers(3, 2)}
    ),
    "powers of a number": (
        lambda t, f, p: {"loss": (0.5**p).sum() + (2**p).sum() + (1**p).sum()}, {"p": numbers(2, 3)}
    ),
    "rows that do not count": (
        lambda t, f, p: {"loss": f.cross_entropy(p, t.tensor([4, 2]), ignore_index=2)}, {"p": numbers(2, 5)}
    ),
    "a single number seen as a row": (
        lambda t, f, p: {
            "v": (v := (p @ p).tanh()), "row": (row := v[None]), "w": (w := (v.abs() + 0.3) ** -1),
            "loss": w * 2 + (row * t.tensor([3.0], dtype=t.float64)).sum(),
        },
        {"p": numbers(1)},
    ),
    "an index of an index": (
        lambda t, f, p: {"loss": (p[t.tensor([4, 1, 0]), None][[-2, 0], [-1]] ** 2).sum()}, {"p": numbers(5)}
    ),
    "rows in another order": (
        lambda t, f, p: {"loss": -p.log_softmax(1)[[0, 0], [1, 1]].mean()}, {"p": numbers(2, 3)}
    ),
    "an index of a transposed matrix": (
        lambda t, f, p: {"v": (v := p.T), "loss": (v[:, [2, 1, 1]] ** 2).sum()}, {"p": numbers(3, 4)}
    ),
    "rows added up": (
        lambda t, f, p, q: {"loss": (p.index_add(0, t.tensor([0, 2, 0]), q) ** 2).sum()},
        {"p": numbers(3, 4), "q": numbers(3, 4)},
    ),
    "rows added up in single precision": (
        lambda t, f, p, q: {"loss": (p.index_add(0, t.tensor([0, 2]), q) ** 2).sum()},
        {"p": numbers(3, 4).astype(np.float32), "q": numbers(2, 4).astype(np.float32)},
    ),
    "a cast within": (
        lambda t, f, p: {
            "v": (v := (p @ p.T).float().softmax(-1).double()),
            "loss": (v * v).sum() + p.sum() + (p.float() @ p.float().T).double().exp().sum(),
        },
        {"p": numbers(3, 3)},
    ),
    "certain probabilities": (
        lambda t, f, p: {"loss": f.binary_cross_entropy(p, t.tensor([0.0, 1, 0, 1, 1, 0.3]).to(p.dtype))},
        {"p": np.array([0.0, 1.0, 1.0, 0.0, 1e-13, 0.3])},
    ),
    "causal attention": (
        lambda t, f, p: {"loss": (f.scaled_dot_product_attention(p, p, p, is_causal=True) ** 2).sum()},
        {"p": numbers(2, 3, 4)},
    ),
    "a mask that hides all of a row": (
        lambda t, f, p: {
            "seen": (seen := t.tensor([[True, False], [True, True]])),
            "loss": (f.scaled_dot_product_attention(p, p, p, attn_mask=seen) ** 2).sum(),
        },
        {"p": numbers(2, 4)},
    ),
    "nothing at all": (
        lambda t, f, p: {"v": (v := p[1:]), "loss": (0.5 - 0.5**v).sum() + p.sum()}, {"p": numbers(1, 1)}
    ),
    "detached values": (
        lambda t, f, p, q: {
            "h": (h := p * 2), "loss": (p * q.detach()).sum() + q.sum() + (h.detach() * h).sum()
        },
        {"p": numbers(3), "q": numbers(3)},
    ),
    "softmax over a detached sum": (
        lambda t, f, p: {
            "e": (e := p.exp()), "loss": ((e / e.sum(1, keepdim=True).detach()) ** 2).sum()
        },
        {"p": numbers(3, 2)},
    ),
    "a value in the middle of a chain": (
        lambda t, f, p: {
            "c": (c := p.exp()), "s": (s := c.sum(1, keepdim=True)), "q": (q := c / s),
            "loss": -q.log()[range(4), [0, 1, 2, 0]].mean() + s.log().sum(),
        },
        {"p": numbers(4, 3)},
    ),
    "what cancels": (lambda t, f, p: {"loss": (p - p.detach()).sum()}, {"p": numbers(3)}),
    "a weight of zero": (
        lambda t, f, p: {"loss": (p**2).mean() + 0.0 * (p**2).sum()}, {"p": numbers(3)}
    ),
    "a product with zero": (lambda t, f, p: {"loss": (p * 0).sum() + (p * 3).sum()}, {"p": numbers(3)}),
    "nothing but zero": (lambda t, f, p: {"loss": (p * 0).sum()}, {"p": numbers(3)}),
    "a difference with itself": (lambda t, f, p: {"loss": ((p - p) * p).sum()}, {"p": numbers(3)}),
    "zero on one side": (
        lambda t, f, p: {"loss": (t.where(p > 0, p, p * 0) ** 2).sum()}, {"p": numbers(5)}
    ),
    "the spread of one row": (
        lambda t, f, p: {"loss": (p.var(0, unbiased=False) + p.mean(0)).sum()}, {"p": numbers(1, 4)}
    ),
    "a root of a square": (
        lambda t, f, p: {
            "m": (m := p * 2), "s": (s := (m * m).sqrt()), "loss": (s * 3).sum() + (m / s).sum() + m.sum()
        },
        {"p": numbers(4)},
    ),
    "one over less than nothing": (
        lambda t, f, p: {
            "e": (e := p.exp()), "r": (r := 1 / e), "loss": (-e).sum() + (e * -r * p).sum() + (-1 / e).sum()
        },
        {"p": np.array([-0.5, 1.5, -2.0, 0.7])},
    ),
    "a log-softmax of one": (
        lambda t, f, p: {
            "w": (w := p.amin(1, keepdim=True)), "loss": w.log_softmax(1).sum() * -1 + (w * w).sum()
        },
        {"p": numbers(2, 3)},
    ),
    "logarithms of negative numbers": (
        lambda t, f, p: {"a": (a := (p * p).log()), "loss": (a * p).sum()},
        {"p": np.array([-0.5, 1.5, -2.0, 0.7])},
    ),
    "a row that is one number, and a column": (
        lambda t, f, p: {"v": (v := p.amin(1)), "loss": (v @ p.T).mean() + (p * p).sum()},
        {"p": numbers(2, 2)},
    ),
    "a number beside a row": (
        lambda t, f, p: {
            "z": (z := p.sum().detach() * 0),
            "loss": (t.minimum(z, p) + t.maximum(p.argmax().double(), p)).sum(),
        },
        {"p": numbers(3)},
    ),
    "erf of nothing": (lambda t, f, p: {"loss": f.gelu(p[1:]).sum() + p.sum()}, {"p": numbers(1)}),
    "an order that shows too late": (
        lambda t, f, p: {
            "x": (x := p.std(0)), "b": (b := x.exp() / 2), "a": (a := x * -1.4),
            "loss": ((a * 0 + b) ** 3).mean(),
        },
        {"p": numbers(3)},
    ),
    "a view that shows all": (
        lambda t, f, p: {"h": (h := p * 2), "v": (v := h[:, :]), "loss": (h * 3).sum() + (v * v).sum()},
        {"p": numbers(2, 3)},
    ),
    "in place, and detached after": (
        lambda t, f, p: {"m": (m := p.clone().mul_(2)), "loss": (m.detach() * m + p).sum()}, {"p": numbers(4)}
    ),
}  # fmt: skip


@pytest.mark.parametrize("simplify", slow_but([False, True], True))
@pytest.mark.parametrize("title", CASES)
def test_every_gradient_is_pytorchs(title: str, simplify: bool) -> None:
    function, inputs = CASES[title]
    single = "cast" in title or "single precision" in title
    tolerance = {"rtol": 1e-5, "atol": 1e-6} if single else {}
    both(function, inputs, simplify, **tolerance)


def test_what_is_detached_says_so() -> None:
    p, q = (tinygrad_ninja.tensor(numbers(3), requires_grad=True) for _ in range(2))
    h = p * q
    loss = (h.detach() * h).sum() + (p * q.detach()).sum()
    lines = str(derive(loss, names={"p": p, "q": q, "h": h})).splitlines()
    assert lines[:2] == ["h = p * q", "loss = (h.detach() * h).sum() + (p * q.detach()).sum()"]
    traced = derive(lambda x: (x / x.detach().norm()).sum(), p, names={"p": p})
    assert "p.detach()" in str(traced)
    run(traced.source("torch"))


KINKS: dict[str, Callable[..., Any]] = {
    "relu": lambda t, x: x.relu(),
    "relu on both sides": lambda t, x: x.relu() - (-x).relu(),
    "abs": lambda t, x: x.abs(),
    "clamp": lambda t, x: x.clamp(-1.0, 1.0) + x.clamp(min=0.0) * 2 + x.clamp(max=2.0) * 3,
    "maximum": lambda t, x: t.maximum(x, x.flip(0)) - t.minimum(x, t.zeros(6, dtype=t.float64)) * 2,
    "max": lambda t, x: x.max() * 2 - x.min() + (x.reshape(2, 3) ** 2).max(),
    "max of each row": lambda t, x: x.reshape(2, 3).max(1).values + x.reshape(2, 3).min(1).values ** 2,
    "amax": lambda t, x: x.reshape(2, 3).amax(1) + x.reshape(3, 2).amin(0, keepdim=True).sum() * 2,
    "steps": lambda t, x: (x.floor() + x.trunc() * 2 + x.sign()) * x,
    "the rest of a division": lambda t, x: (x % 2.0) * 3 + (x % -1.0) * 2,
    "a condition": lambda t, x: t.where(x > 0, x, x * 0.5) + t.where(x >= x.mean(), x**2, -x),
    "root": lambda t, x: x.abs().sqrt(),
    "norm": lambda t, x: x[2:3].norm() + (x * 0).norm() + x.norm(),
    "spread": lambda t, x: (x[:1] - x[:1]).std(0, unbiased=False) + x[[2, 2]].std(0) + x.std(0),
    "a power of nothing": lambda t, x: x.relu() ** 2 + x.relu() ** 0 + x.relu() ** 1,
    "a mask": lambda t, x: x.masked_fill(x == 0, 0.5) * x,
    "softmax with its largest taken off": lambda t, x: (x - x.amax(0)).exp() / (x - x.amax(0)).exp().sum(0),
}


@pytest.mark.parametrize("title", KINKS)
def test_a_right_gradient_at_a_kink_is_not_called_wrong(title: str) -> None:
    """PyTorch takes one side, or shares; the script's check holds that decision too."""
    kink = KINKS[title]

    def function(t: Any, f: Any, p: Any) -> Named:
        x = p * 1.0
        weight = t.tensor(np.array([0.5, -1.5, 2.0, 1.25, -0.75, 3.0]))
        out = kink(t, x)
        return {"x": x, "loss": (out * weight[: out.numel()].reshape(out.shape)).sum()}

    both(function, {"p": np.array([1.0, -1.0, 0.0, 2.0, 2.0, -1.0])})


def test_a_wrong_gradient_at_a_kink_is_called_wrong() -> None:
    x = tinygrad_ninja.tensor([0.0, 1.0, -2.0], dtype=tinygrad_ninja.float64, requires_grad=True)
    for target in TARGETS:
        source = derive((x.relu() * 2).sum(), names={"x": x}).source(target)
        assert "loss_relu <= 0" in source
        run(source)
        with pytest.raises(SystemExit, match="a gradient is not the slope"):
            run(source.replace("loss_relu <= 0", "loss_relu < 0"))


OWN = [
    "at", "base", "compare", "held", "hold", "inputs", "kind", "loss_after", "moved", "random", "step",
    "unpack", "math", "base64", "name", "value", "gradient", "directions", "measured", "derived", "worst",
    "scale", "close", "finite", "leaf_1", "input_1", "mul_1", "sum_1", "number", "dtype", "text", "shape",
    "row", "el", "ef",
]  # fmt: skip
"""What the scripts call things of their own, or might, and what d makes a word of Python's of."""


NAMES = [*OWN, *(name for name in dir(builtins) if name.islower() and name[0] != "_")]


@pytest.mark.parametrize(
    "first", [0, *(pytest.param(first, marks=pytest.mark.slow) for first in range(11, len(NAMES), 11))]
)
def test_any_name_will_do(first: int) -> None:
    """Eleven at a time, in a program that needs most of what a script may call: range, masks, detached
    values, casts, erf."""

    def function(t: Any, f: Any, w: Any, *named: Any) -> Named:
        p = named[0]
        for other in named[1:]:
            p = p + other
        h = p[range(30), t.tensor([0, 1] * 15)] * w.detach().sum() + p.relu().max() + f.gelu(p).sum()
        logs = t.where(h > 0, h, 0.5 * h).clamp(max=float("inf")).float().double() + w.sum()
        return {"loss": (logs * logs).sum()}

    inputs = {"w": numbers(2)} | {name: numbers(30, 2) for name in NAMES[first : first + 11]}
    both(function, inputs, rtol=1e-5, atol=1e-5)


def test_names_that_the_printer_gives_are_not_yours() -> None:
    """A value called as an unnamed one would be: both keep apart."""

    def function(t: Any, f: Any, loss_1: Any, leaf_1: Any) -> Named:
        mul_1 = leaf_1 * loss_1
        heavy = (mul_1 * 2).tanh() * (mul_1 * 2).tanh()
        taken = mul_1 + heavy
        return {"mul_1": mul_1, "tanh_1": heavy, "tanh_1_tanh_1": taken, "loss": (taken * heavy).sum()}

    both(function, {"loss_1": numbers(3), "leaf_1": numbers(3)})
    x, y = (tinygrad_ninja.tensor(numbers(3), requires_grad=True) for _ in range(2))
    loss = x * 2
    derivation = derive((loss * y).sum(), names={"leaf_1": y, "loss": loss})
    assert derivation.values[0] == "loss_2"
    assert {"leaf_1", "loss"} < {*derivation.values}
    for target in TARGETS:
        run(derivation.source(target))


def test_a_gradient_that_is_not_finite_is_left_out_of_the_check() -> None:
    def function(t: Any, f: Any, p: Any) -> Named:
        return {"s": (s := p**2), "loss": (s.sqrt() + p * 3).sum()}

    both(function, {"p": np.array([1.0, 0.0, -2.0])})
    x = tinygrad_ninja.tensor([0.0, 2.0], dtype=tinygrad_ninja.float64, requires_grad=True)
    for target in TARGETS:
        source = derive(x.sqrt().sum(), names={"x": x}).source(target)
        run(source)
        with pytest.raises(SystemExit, match="a gradient is not the slope"):
            run(source.replace("dx = ", "dx = float('nan') * "))


def test_a_loss_that_is_not_finite_has_a_script() -> None:
    x = tinygrad_ninja.tensor([0.0, 2.0], requires_grad=True)
    for target in TARGETS:
        found = run(derive(x.log().sum(), names={"x": x}).source(target))
        np.testing.assert_array_equal(found["dx"], [np.inf, 0.5])
