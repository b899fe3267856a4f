"""Formulas, explanations, and the files that they are written to."""

import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from calls import calls, inside
from click.testing import CliRunner
from derivations import lecture_derivation, run
from every_model import EVERY_MODEL
from few_examples import few
from hypothesis import given
from hypothesis import strategies as st
from latex_values import Reader
from matplotlib.mathtext import MathTextParser
from slow_ones import slow_but

import tinygrad_ninja
from tinygrad_ninja.cli.derive import derive_command, derive_model
from tinygrad_ninja.ops import TABLE, Operation
from tinygrad_ninja.program import derive
from tinygrad_ninja.program.derive import formula
from tinygrad_ninja.program.derive.mathematics import Math
from tinygrad_ninja.program.instructions import Instruction

parser = MathTextParser("agg")


def forward(step: Instruction, shapes: bool = False) -> Math:
    return formula.Formulas({step.output: step}, shapes=shapes).equation(step.output.name, [step.output])


def rule(step: Instruction, place: int, shapes: bool = False) -> Math:
    share, instructions = formula.rule(step, place)
    makers = {each.output: each for each in instructions}
    return formula.Formulas(makers, shapes=shapes).equation(f"d{step.inputs[place].name}", [share])


def assert_mathml_is_well_formed(made: Math, *names: str) -> None:
    """It can be read, and names these variables."""
    tree = ElementTree.fromstring(made.mathml)
    found = {each.text for each in tree.iter() if each.tag.endswith(("}mi", "}mtext"))}
    assert set(names) <= found, (names, made)
    assert all(len(each) == 2 for each in tree.iter() if each.tag.endswith(("}mfrac", "}msup", "}msub")))


def assert_well_formed(made: Math, *names: str) -> None:
    """So are both forms; matplotlib, which judges LaTeX, takes its time."""
    assert_mathml_is_well_formed(made, *names)
    if "cases" not in made.latex:  # which matplotlib does not know; it judges all else
        parser.parse(f"${made.latex}$")


@pytest.mark.filterwarnings("ignore:.*degrees of freedom is <= 0")
@pytest.mark.parametrize("entry", TABLE.values(), ids=lambda entry: entry.name)
@pytest.mark.parametrize(
    "judge", slow_but([assert_mathml_is_well_formed, assert_well_formed], assert_mathml_is_well_formed)
)
@few(2)
@given(st.data())
def test_every_operation_has_its_formulas(
    entry: Operation, judge: Callable[..., None], data: st.DataObject
) -> None:
    call, inputs = data.draw(calls(entry))
    inputs = inside(call, inputs) if entry.sources else inputs
    leaves = [
        tinygrad_ninja.tensor(each > 0) if entry.name.startswith("bitwise") else tinygrad_ninja.tensor(each)
        for each in inputs
    ]
    for each in leaves:
        if entry.sources:
            each.requires_grad_()
    out = call(tinygrad_ninja, *leaves)
    node = out.edge
    if node is None:  # no rule, no node: as the record would hold it
        return
    names = ["y", *(f"x_{i}" for i in range(len(node.edges)))]
    step = formula.instruction(node.op, node.values, names)
    judge(forward(step, shapes=True), "y", "x_0")
    for place, edge in enumerate(node.edges):
        if edge is not None:
            judge(rule(step, place, shapes=True), f"dx_{place}")


@pytest.mark.parametrize(
    ("function", "result", "rules"),
    [
        (
            lambda a, b: a * b,
            r"y = a \odot b",
            [r"\mathrm{da} = \mathrm{dy} \odot b", r"\mathrm{db} = \mathrm{dy} \odot a"],
        ),
        (
            lambda a, b: a @ b,
            r"y = a \, b",
            [r"\mathrm{da} = \mathrm{dy} \, b^{\top}", r"\mathrm{db} = a^{\top} \, \mathrm{dy}"],
        ),
        (lambda a, b: a**-0.5, r"y = a^{- 1/2}", [r"\mathrm{da} = - 0.5 \cdot a^{- 3/2} \odot \mathrm{dy}"]),
        (lambda a, b: a.exp(), r"y = e^{a}", [r"\mathrm{da} = \mathrm{dy} \odot y"]),
        (lambda a, b: a.tanh(), r"y = \tanh a", [r"\mathrm{da} = \left(1 - y^{2}\right) \odot \mathrm{dy}"]),
        (lambda a, b: a.log(), r"y = \ln a", [r"\mathrm{da} = \frac{\mathrm{dy}}{a}"]),
        (
            lambda a, b: a + b[:1],
            r"y = a + b",
            [r"\mathrm{da} = \mathrm{dy}", r"\mathrm{db} = \sum_{\text{dim 0}} \mathrm{dy}"],
        ),
    ],
)  # fmt: skip
def test_formulas_read_as_in_a_textbook(function: Any, result: str, rules: list[str]) -> None:
    a, b = (tinygrad_ninja.ones(3, 3, requires_grad=True) for _ in range(2))
    node = function(a, b).edge
    names = ["y", *("ab"[i] if edge is not None else "" for i, edge in enumerate(node.edges))]
    step = formula.instruction(node.op, node.values, names)
    assert forward(step).latex == result
    made = [rule(step, i).latex for i, edge in enumerate(node.edges) if edge is not None]
    assert made == rules


def test_a_sum_sign_takes_in_no_more_than_its_own() -> None:
    x, v, w = tinygrad_ninja.ones(2, 3, requires_grad=True), tinygrad_ninja.ones(3), tinygrad_ninja.ones(3)
    y = x.sum(0) * v * w
    page = derive(y.sum(), names={"x": x, "v": v, "w": w, "y": y}).explain("x")
    assert r"y = w \odot v \odot \sum_{\text{dim 0}} x" in page


def test_a_value_is_explained() -> None:
    page = lecture_derivation().explain("counts")
    for part in (
        "`counts` (32 × 27, float32) is computed by",
        "It is read twice",
        "counts_sum = counts.sum(1, keepdim=True)",
        r"\underset{32\times 27}{\mathrm{dcounts}}^{\left(1\right)} = "
        r"\underset{32\times 27}{\mathrm{dprobs}} \odot",
        "a sum forward is a broadcast backward",
        r"\mathrm{dcounts} = \mathrm{dprobs} \odot \mathrm{counts\_sum\_inv} + \operatorname{repeat}",
        "dcounts += dcounts_sum",
    ):
        assert part in page
    page = lecture_derivation().explain("bnvar")
    assert r"$u = \mathrm{bnvar} + 10^{- 5}$: **the local derivative** is" in page
    assert r"\frac{\partial \mathrm{bnvar\_inv}_{i}}{\partial u_{i}} = - 0.5 \cdot u_{i}^{- 3/2}" in page
    page = lecture_derivation().explain("logits")
    assert r"\mathrm{logit\_maxes} = \max_{\text{dim 1}} \mathrm{logits}" in page
    assert r"\operatorname{scatter}_{\operatorname{argmax}" in page
    assert "broadcasting forward is a sum backward" in lecture_derivation().explain("bngain")
    assert "it collects all of their gradients" in lecture_derivation().explain("C")


def test_the_evidence_is_the_slope() -> None:
    """What the page measures is what it says the gradient is."""
    for name in ("logprobs", "counts", "logit_maxes", "bnvar", "hprebn", "b1", "C"):
        page = lecture_derivation().explain(name)
        found = re.search(r"= ([^=$]+)\$\$\n\nand the gradient there is .* = (\S+)\.\n", page)
        assert (found is None) == (name in ("logit_maxes", "b1")), name  # whose gradients are exactly zero
        if found:
            measured = Reader(found[1], {}).whole()[0]
            assert measured == pytest.approx(float(found[2]), rel=1e-4, abs=2e-6), name
        for mathematics in re.findall(r"\$\$(.*?)\$\$", page):
            parser.parse(f"${mathematics}$")


def test_a_single_number_in_the_middle_is_explained() -> None:
    x = tinygrad_ninja.tensor([1.0, 2.0], requires_grad=True)
    s = x.sum()
    page = derive(s * s, names={"x": x, "s": s}).explain("s")
    assert "`s` is 3. With 3e-05 more" in page
    assert "the gradient there is `ds` = 6" in page


def command(*arguments: Any) -> Any:
    return CliRunner().invoke(derive_command, [str(each) for each in arguments])


@pytest.mark.parametrize(("model", "target"), [("bn-mlp", "torch"), ("mlp", "numpy")])
def test_the_command_writes_a_script_that_runs(model: str, target: str, tmp_path: Path) -> None:
    out = tmp_path / "derivation.py"
    done = command("--model", model, "--hidden", 10, "--target", target, "--out", out)
    assert done.exit_code == 0, done.output
    found = run(out.read_text(encoding="utf-8"))
    assert {"dC", "dW1", "dW2", "db2", "dh"} <= set(found)
    assert f"saved {len([each for each in found if each.startswith('d')])} gradients" in done.output


@pytest.mark.parametrize("simplify", [False, True])
@pytest.mark.parametrize("model", EVERY_MODEL)
def test_every_model_is_derived(model: str, simplify: bool) -> None:
    derivation = derive_model(model, simplify=simplify, batch=4)
    if simplify and model in ("mlp", "bn-mlp", "gpt"):
        assert any("linear layer" in each for each in derivation.simplifications)
    run(derivation.source("numpy"))


def test_the_command_writes_pages_and_notebooks(tmp_path: Path) -> None:
    for suffix in (".md", ".ipynb"):
        done = command("--hidden", 6, "--simplify", "--explain", "--out", tmp_path / f"page{suffix}")
        assert done.exit_code == 0, done.output
        assert (
            "recognised: hpreact is the batch normalization of hprebn, with Bessel's correction"
            in done.output
        )
    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "dhprebn = bngain" in page
    assert "## `hprebn`" in page
    notebook = json.loads((tmp_path / "page.ipynb").read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    code = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    found = run("\n".join(itertools.chain(code)))
    assert np.isfinite(found["dhprebn"]).all()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--out", "page.txt"], "page.txt must end in .py, .md, .ipynb"),
        (["--out", "script.py", "--explain"], "a script has no room for explanations"),
        (["--model", "lecture", "--hidden", 4], "the lecture's steps have the lecture's sizes and seed"),
    ],
)
def test_bad_input_is_one_sentence(
    arguments: list[Any], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = command(*arguments)
    assert done.exit_code == 2
    assert said in done.output.replace("\n", " ").replace("/", "/")
    assert not list(tmp_path.iterdir())


def test_without_a_file_the_code_is_printed() -> None:
    done = command("--hidden", 6, "--batch", 12)
    assert done.exit_code == 0
    assert "dhpreact = (1 - h**2) * dh\n" in done.output
    assert "torch.tensor" not in done.output
    done = command("--model", "bigram", "--explain", "--batch", 12)
    assert "## `logits`" in done.output


def test_a_folder_is_made_and_only_our_own_file_is_replaced(tmp_path: Path) -> None:
    out = tmp_path / "new" / "folder" / "derivation.py"
    for _ in range(2):  # the second time it replaces its own
        done = command("--model", "bigram", "--batch", 12, "--out", out)
        assert done.exit_code == 0, done.output
    for suffix in (".md", ".ipynb"):
        for _ in range(2):
            assert command("--model", "bigram", "--out", out.with_suffix(suffix)).exit_code == 0
    foreign = tmp_path / "mine.py"
    foreign.write_text("print(1)\n")
    done = command("--model", "bigram", "--out", foreign)
    assert done.exit_code == 2
    assert "is there, and not by ninja derive: move it away" in done.output.replace("\n", " ")
    assert foreign.read_text() == "print(1)\n"


@pytest.mark.parametrize("target", ["torch", "numpy"])
@pytest.mark.parametrize("model", ["lecture", *(x for x in EVERY_MODEL if x.values[0] != "gpt")])
def test_a_script_begins_with_its_seed(model: str, target: str) -> None:
    """It draws the model's own numbers again, and holds no packed ones."""
    derivation = derive_model(model)
    source = derivation.source(target)
    assert len(source) < 20_000 or model in ("rnn", "gru", "lstm", "cnn")  # written out letter by letter
    assert "base64" not in source
    assert "2147483647" in source.partition("# The inputs.")[0] + source.partition("# The inputs.")[2][:100]
    head = source.partition("# The forward pass.")[0]
    found: dict[str, Any] = {}
    exec(head, found)
    for var in derivation.forward.program.inputs:
        if var.name:
            scale = abs(var.value).max(initial=0) if var.value.dtype.kind == "f" else 0
            np.testing.assert_allclose(np.asarray(found[var.name]), var.value, rtol=0, atol=2e-6 * scale)


def test_the_lectures_own_steps_are_derived_by_the_command(tmp_path: Path) -> None:
    out = tmp_path / "lecture.py"
    done = command("--model", "lecture", "--out", out)
    assert done.exit_code == 0, done.output
    assert "saved 26 gradients" in done.output
    found = run(out.read_text(encoding="utf-8"))
    assert {"dcounts_sum_inv", "dbndiff2", "dlogit_maxes"} <= set(found)
