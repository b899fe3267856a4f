"""What a page teaches: proofs, small cases, why a gradient is zero, how often a value is read."""

import ast
import re
from typing import Any

import numpy as np
import pytest
import torch
from derivations import lecture_derivation
from latex_indices import holds
from torch.autograd.functional import jacobian

import tinygrad_ninja
from tinygrad_ninja.cli.derive import derive_model
from tinygrad_ninja.nn import functional as F
from tinygrad_ninja.program import derive
from tinygrad_ninja.program.derive.mathematics import ATOM, EQUALS, TIMES_EACH, displayed, name, row

PROOF = re.compile(r"step by step\.(.*?)(?=\*\*The up)", flags=re.DOTALL)

# -- proofs --------------------------------------------------------------------------------------------------


def probabilities(z: Any) -> dict[str, Any]:
    p = torch.softmax(z, 0)
    return {"p": p, "ell": -torch.log(p[2])}


def log_probabilities(z: Any) -> dict[str, Any]:
    return {"p": torch.softmax(z, 0), "ell": torch.log_softmax(z, 0)}


def statistics(correction: float, eps: float = 0.0) -> Any:
    def values(x: Any) -> dict[str, Any]:
        mu = x.mean()
        v = ((x - mu) ** 2).sum() / (len(x) - correction)
        sigma = (v + eps) ** 0.5
        return {"mu": mu, "v": v, "sigma": sigma, "hat": (x - mu) / sigma}

    return values


GAIN, BIAS = (tinygrad_ninja.arange(5.0).reshape(5, 1) + n for n in (2.0, 3.0))
TARGET = tinygrad_ninja.tensor([2, 0, 1, 3, 4])
PROVED: dict[str, tuple[Any, str, Any]] = {
    "cross_entropy": (lambda x: F.cross_entropy(x, TARGET), "z", probabilities),
    "softmax": (lambda x: x.softmax(1), "z", probabilities),
    "log_softmax": (lambda x: x.log_softmax(1), "z", log_probabilities),
    "std": (lambda x: x.std(1), "x", statistics(1)),
    "std over n": (lambda x: x.std(1, correction=0), "x", statistics(0)),
    "var": (lambda x: x.var(1), "x", statistics(1)),
    "layer_norm": (
        lambda x: F.layer_norm(x, (5,), x[0].detach(), x[1].detach()), "x", statistics(0, 1e-5),
    ),
    "batch_norm": (
        lambda x: F.batch_norm(x, None, None, x[0].detach(), x[1].detach(), training=True),
        "x", statistics(0, 1e-5),
    ),
    "batch normalization": (
        lambda x: GAIN * (x - x.mean(1, keepdim=True)) / x.std(1, keepdim=True) + BIAS, "x", statistics(1),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PROVED)
def test_every_step_of_a_proof_holds(name: str) -> None:
    """Its formulas are evaluated; the derivatives that it states are those of PyTorch's autograd."""
    function, symbol, compute = PROVED[name]
    random = np.random.default_rng(3)
    x = tinygrad_ninja.tensor(random.normal(size=(5, 5)), requires_grad=True)
    out = function(x)
    page = derive((out**2).sum(), names={"x": x, "out": out}, simplify="batch n" in name).explain("x")
    proof = PROOF.findall(page)[0].replace(r"\left(\ln p_{i}\right)", r"\ell_{i}")
    one = torch.tensor(random.normal(size=5))
    g, gamma = (torch.tensor(random.normal(size=5)) for _ in range(2))
    gain = gamma if "gamma_{i}" in proof else gamma[0] if "gamma" in proof else torch.ones(())
    values = {name: value.numpy() for name, value in compute(one).items()}
    slopes = {(of, symbol): jacobian(lambda x, of=of: compute(x)[of], one).numpy() for of in values}
    if "hat" in values:
        slopes["L", symbol] = jacobian(lambda x: (compute(x)["hat"] * gain * g).sum(), one).numpy()
    values |= {symbol: one.numpy(), "g": g.numpy(), "gamma": gain.numpy(), "q": (g * gain).numpy()}
    values |= {"m": np.asarray(5), "epsilon": np.asarray(1e-5), "y": np.asarray(2)}
    formulas = re.findall(r"\$\$(.*?)\$\$", proof)
    assert len(formulas) >= 3
    for latex in formulas:
        assert holds(latex, values, 1e-9, sizes=dict.fromkeys("ijk", 5), slopes=slopes), latex


def test_a_false_step_of_a_proof_is_found() -> None:
    values, sizes = {"x": np.arange(3.0), "mu": np.asarray(1.0), "n": np.asarray(3)}, {"i": 3}
    assert holds(r"\mu = \frac{1}{n} \cdot \sum_{i} x_{i}", values, 1e-9, sizes=sizes)
    assert not holds(r"\mu = \sum_{i} x_{i}", values, 1e-9, sizes=sizes)


# -- small cases ---------------------------------------------------------------------------------------------

OTHER = tinygrad_ninja.tensor(np.random.default_rng(1).normal(size=(3, 3)) + 4)
SMALL: dict[str, tuple[tuple[int, ...], Any, str]] = {
    "left factor": ((3, 3), lambda x: x @ OTHER, "hence the transpose"),
    "right factor": ((3, 3), lambda x: OTHER @ x, "hence the transpose"),
    "sum": ((3, 3), lambda x: x.sum(0), "Why the repeat"),
    "sum of all": ((3, 3), lambda x: x.sum(), "Why the repeat"),
    "mean": ((3, 3), lambda x: x.mean(1, keepdim=True), "Why the repeat"),
    "read": ((3, 3), lambda x: x[[0, 2, 0]], "Why it is added and not assigned"),
    **{
        f"{sign} {shape} {place}": (
            shape, lambda x, f=f, place=place: f(OTHER, x) if place else f(x, OTHER), "Why the sum",
        )
        for sign, f in (
            ("+", lambda a, b: a + b), ("-", lambda a, b: a - b), ("*", lambda a, b: a * b),
            ("/", lambda a, b: a / b),
        )
        for shape in ((3,), (3, 1), (1,))
        for place in (0, 1)
    },
}  # fmt: skip


@pytest.mark.parametrize("name", SMALL)
def test_every_small_case_is_what_pytorch_computes(name: str) -> None:
    """What a line says behind it is what it computes."""
    shape, function, sentence = SMALL[name]
    x = tinygrad_ninja.tensor(np.random.default_rng(2).normal(size=shape) + 3, requires_grad=True)
    out = function(x)
    page = derive((out * out).sum(), names={"x": x, "out": out}).explain("x")
    assert sentence in page
    (code,) = re.findall(r"A small case, with PyTorch:\n\n```python\n(.*?)```", page, flags=re.DOTALL)
    values: dict[str, Any] = {"torch": torch}
    told = 0
    for line in code.splitlines():
        statement, _, said = line.partition("  # ")
        if line.startswith("#"):
            continue
        exec(f"result = {statement}" if statement and " = " not in statement else statement, values)
        if said and not re.search("[a-df-z]", said):
            assigned = statement.partition(" = ")[0] if " = " in statement else "result"
            result = values["dx" if "index_put_" in statement else assigned]
            np.testing.assert_allclose(result, ast.literal_eval(said), rtol=1e-5)
            told += 1
    assert told >= 2


def test_values_of_no_numbers_and_of_one_more_dimension_have_pages() -> None:
    x = tinygrad_ninja.zeros(0, 3, requires_grad=True)
    v = x.sum(0)
    w = x.reshape(3, 0, 1).sum()
    pages = derive((v * v[None]).sum() + w, names={"x": x, "v": v})
    assert "In numbers" in pages.explain("x")
    assert "A small case" not in pages.explain("v").partition("Through")[2]  # no number is used twice


# -- what a page says ----------------------------------------------------------------------------------------


def test_a_gradient_that_is_exactly_zero_is_explained() -> None:
    page = lecture_derivation().explain("logit_maxes")
    assert "the loss stays 3.47" in page
    assert "In `probs` the change cancels. A softmax does not change when one number is added" in page
    assert "is rounding" in page
    assert "In `bndiff` the change cancels" in lecture_derivation().explain("b1")
    for value in lecture_derivation().values[1:]:
        zero = "exactly zero" in lecture_derivation().explain(value)
        assert zero == (value in ("b1", "logit_maxes")), value


def test_masked_numbers_are_told() -> None:
    q = tinygrad_ninja.tensor(np.random.default_rng(0).normal(size=(3, 3)), requires_grad=True)
    mask = tinygrad_ninja.tensor(np.triu(np.full((3, 3), -np.inf), 1))
    scores = q + mask
    loss = (scores.softmax(1) ** 2).sum()
    page = derive(loss, names={"q": q, "scores": scores}).explain("scores")
    assert "3 of the 9 numbers of `scores` are -∞ (masked: the softmax makes exactly 0 of them)" in page
    assert "a slope of" in page


def test_it_says_how_often_a_value_is_read() -> None:
    """Also where several reads are answered in one go."""
    for simplify, times, more in ((False, "three times", ""), (True, "three times", "is answered in one go")):
        page = derive_model("bn-mlp", simplify=simplify, batch=16, hidden=6).explain("hprebn")
        assert f"It is read {times} on the way to the loss:" in page
        assert more in page
        assert "bnmeani = hprebn.mean(0, keepdim=True)" in page
    page = derive_model("wavenet", batch=4, hidden=6).explain("linear3")
    assert "difference_3 = linear3 - linear3.mean(0, keepdim=True)" in page
    assert "It is read twice on the way to the loss:" in page
    assert "`batch_norm`: all of that is answered in one go" in page
    page = lecture_derivation().explain("logits")
    assert "It is read twice on the way to the loss:" in page
    assert "─ amax ─▶ logit_maxes" in page
    x = tinygrad_ninja.tensor([1.0, 2.0], requires_grad=True)
    page = derive((x * x.detach()).sum(), names={"x": x}).explain("x")
    assert "It is read twice" in page
    assert "A gradient comes back from one of these." in page
    page = derive_model("bn-mlp", simplify=True, batch=16, hidden=6).explain("bnbias")
    assert "broadcasting forward is a sum backward" in page


def test_a_page_draws_where_a_value_goes() -> None:
    page = lecture_derivation().explain("counts")
    assert "counts ─┬─ mul ─▶ probs\n        └─ sum ─▶ counts_sum\n" in page
    assert "dcounts ◀┬─ dprobs\n         └─ dcounts_sum\n" in page


def test_wide_formulas_are_broken_at_the_signs_of_their_sum() -> None:
    page = derive_model("gpt", batch=2, layers=1).explain("masked_scores")
    (broken,) = set(re.findall(r"\$\$\\begin\{aligned\}(.*_\{i j k l\}.*)\\end\{aligned\}\$\$", page))
    first, second, third = broken.split(r" \\ ")
    assert first.count("&=") == 1
    assert second.startswith(r"&\quad - ")
    assert third.startswith(r"&\quad \cdot ")
    a, b, c, x = (name(text) for text in ("a", "b", "c", "x" * 50))

    def shown(right: Any) -> str:
        return displayed(row(a, EQUALS, right))

    assert shown(b + c) == "$$a = b + c$$"
    lines = rf"{x.latex} \\ &\quad - {x.latex}"
    assert shown(x - x) == rf"$$\begin{{aligned}} a &= {lines} \end{{aligned}}$$"
    x.shape = (2,)
    dotted = rf"{x.latex} \\ &\quad \odot \left(- {x.latex}\right)"
    assert shown(row(x, TIMES_EACH, (-x).at(ATOM))) == rf"$$\begin{{aligned}} a &= {dotted} \end{{aligned}}$$"
    halves = rf"\left({x.latex} \right. \\ &\quad \left. - {x.latex}\right)"
    assert shown(b * (x - x)) == rf"$$\begin{{aligned}} a &= b \cdot {halves} \end{{aligned}}$$"
    assert shown((x + x) / 2).count("&") == 0


def test_long_lines_are_broken_at_signs_before_commas() -> None:
    text = derive_model("gpt", batch=2, layers=2).code("torch")
    lines = text.splitlines()
    assert max(len(line) for line in lines if not line.startswith("#")) <= 110
    assert not [line for line in lines if line.endswith((",", "("))]
    for statement in ast.parse(text).body:
        assert isinstance(statement, ast.Assign | ast.AugAssign | ast.Expr)


def test_a_shape_that_is_alike_by_chance_does_not_name_a_value() -> None:
    """With 4 words of 16 letters there are as many rows as numbers of each letter, 64."""
    text = derive_model("gpt", batch=4, layers=2).code("torch")
    assert "block1_attention_out_proj_weight.shape" not in text
    assert "dblock2_attention.reshape(64, 64).T" in text
