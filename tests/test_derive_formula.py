"""Formulas, explanations, and the files that they are written to."""

import itertools
import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from calls import calls, inside
from click.testing import CliRunner
from derivations import few, lecture_derivation, run
from every_model import EVERY_MODEL
from hypothesis import given
from hypothesis import strategies as st
from latex_values import Reader, read
from matplotlib.mathtext import MathTextParser

import tinygrad_ninja
from tinygrad_ninja.cli.derive import derive_command, derive_model
from tinygrad_ninja.ops import TABLE, Operation
from tinygrad_ninja.program import Derivation, derive
from tinygrad_ninja.program.derive import formula
from tinygrad_ninja.program.instructions import Instruction, double, widened

parser = MathTextParser("agg")


def forward(step: Instruction, shapes: bool = False) -> formula.Formula:
    return formula.equation(step.output.name, [step.output], {step.output: step}, shapes)


def rule(step: Instruction, place: int, shapes: bool = False) -> formula.Formula:
    share, instructions = formula.rule(step, place)
    makers = {each.output: each for each in instructions}
    return formula.equation(f"d{step.inputs[place].name}", [share], makers, shapes)


def assert_well_formed(made: formula.Formula, *names: str) -> None:
    """Both forms can be read, and name these variables."""
    tree = ElementTree.fromstring(made.mathml)
    found = {each.text for each in tree.iter() if each.tag.endswith(("}mi", "}mtext"))}
    assert set(names) <= found, (names, made)
    assert all(len(each) == 2 for each in tree.iter() if each.tag.endswith(("}mfrac", "}msup", "}msub")))
    if "cases" not in made.latex:  # which matplotlib does not know; it judges all else
        parser.parse(f"${made.latex}$")


@pytest.mark.filterwarnings("ignore:.*degrees of freedom is <= 0")
@pytest.mark.parametrize("entry", TABLE.values(), ids=lambda entry: entry.name)
@few(max_examples=2)
@given(st.data())
def test_every_operation_has_its_formulas(entry: Operation, data: st.DataObject) -> None:
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
    assert_well_formed(forward(step, shapes=True), "y", "x_0")
    for place, edge in enumerate(node.edges):
        if edge is not None:
            assert_well_formed(rule(step, place, shapes=True), f"dx_{place}")


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
        "`counts` (32 × 27, float32) is made by",
        "It is read twice",
        "counts_sum = counts.sum(1, keepdim=True)",
        r"\underset{32\times 27}{\mathrm{dcounts}}^{\left(1\right)} = "
        r"\underset{32\times 27}{\mathrm{dprobs}} \odot",
        "a sum forward is a broadcast backward",
        r"\mathrm{dcounts} = \mathrm{dprobs} \odot \mathrm{counts\_sum\_inv} + \operatorname{repeat}",
        "dcounts += dcounts_sum",
    ):
        assert part in page
    assert "`add`, with the local rule out = a + b" in lecture_derivation().explain("bnvar")
    assert "`pow`, with the local rule out = aᵇ" in lecture_derivation().explain("bnvar")
    page = lecture_derivation().explain("logits")
    assert r"\mathrm{logit\_maxes} = \max_{\text{dim 1}} \mathrm{logits}" in page
    assert r"\operatorname{scatter}_{\operatorname{argmax}" in page
    assert "broadcasting forward is a sum backward" in lecture_derivation().explain("bngain")
    assert "it collects all of their gradients" in lecture_derivation().explain("C")


@pytest.mark.parametrize("simplify", [False, True])
def test_every_letter_of_a_formula_is_a_value_of_the_pass(simplify: bool) -> None:
    derivation = derive_model("bn-mlp", simplify=simplify, hidden=6)
    known = {name for var in derivation.program.variables() if (name := var.name)}
    for name in derivation.values:
        for mathematics in re.findall(r"\$\$(.*?)\$\$", derivation.explain(name)):
            letters = re.findall(r"\\mathrm\{([^}]*)\}|(?<![\\A-Za-z{])([A-Za-z])(?![A-Za-z}])", mathematics)
            found = {(a or b).replace(r"\_", "_") for a, b in letters}
            assert found <= known | {"0, 1, …"}, (name, mathematics)


def assert_every_formula_holds(derivation: Derivation) -> int:
    """Compute each formula of each page from the values that its names have in the end: it gives the value
    that it is of. Return how many there are."""
    program = widened(derivation.program)
    found = program.run({var: double(var.value) for var in program.inputs})
    values = {var.name: found[var] for var in derivation.forward.program.variables() if var.name}
    gradients = {var.name: each for var, each in derivation.backward.gradients.items()}
    values |= {each.name: found[each] for each in gradients.values()}
    greatest = {
        name: abs(x[np.isfinite(x)]).max(initial=0) for name, x in values.items() if x.dtype.kind == "f"
    }
    count = 0
    for name in derivation.values[1:]:
        shares: list[Any] = []
        called = gradients[name].name
        for mathematics in re.findall(r"\$\$(.*?)\$\$", derivation.explain(name)):
            count += 1
            left, _, right = mathematics.partition(" = ")
            if left.startswith(r"\frac"):
                measured, said = Reader(left, values).whole()[0], float(right)
                assert measured == pytest.approx(said, rel=1e-4, abs=1e-6), (name, mathematics)
                continue
            whole = re.fullmatch(r"(?:\\underset\{[^}]*\}\{)?(?:\\mathrm\{([^}]*)\}|(\w))\}?(\^.*)?", left)
            assert whole, left
            of = (whole[1] or whole[2]).replace(r"\_", "_")
            ways = read(right, values, values[of].shape)
            if whole[3]:
                shares.append(ways)
                continue
            allowed = 1e-5 * greatest[of] + 1e-9 * max(greatest.values())
            assert any(np.allclose(x, values[of], 0, allowed, True) for x in ways), (name, mathematics)
        if shares:  # each by itself is no value's, but their sum is
            allowed = 1e-5 * greatest[called] + 1e-9 * max(greatest.values())
            sums = [sum(each) for each in itertools.product(*shares)]
            assert any(np.allclose(each, values[called], 0, allowed) for each in sums), (name, "shares")
    return count


@pytest.mark.parametrize("simplify", [False, True])
@pytest.mark.parametrize("model", EVERY_MODEL)
def test_every_formula_of_every_models_pages_holds(model: str, simplify: bool) -> None:
    smaller = {"hidden": 6} if model not in ("bigram", "gpt") else {}
    if model in ("gru", "lstm"):
        smaller["context"] = 4  # each letter is a step of the cell
    derivation = derive_model(model, simplify=simplify, batch=4, **smaller)
    assert assert_every_formula_holds(derivation) > 3 * (len(derivation.values) - 1) - 2


def test_every_formula_of_the_lectures_pages_holds() -> None:
    assert assert_every_formula_holds(lecture_derivation()) > 80


def test_a_false_formula_is_found() -> None:
    """What the test above is for: a name that stands for a sum of which it has only a part."""
    x = tinygrad_ninja.tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    m = x.mean(0)
    out = (x - m) ** 2
    page = derive((out * out).sum(), names={"x": x, "m": m, "out": out}).explain("m")
    assert r"\mathrm{dx}" not in page


def test_the_evidence_is_the_slope() -> None:
    """What the page measures is what it says the gradient is."""
    for name in ("logprobs", "counts", "logit_maxes", "bnvar", "hprebn", "b1", "C"):
        page = lecture_derivation().explain(name)
        measured, said = re.search(r"= (\S+)\$\$\n\nand the gradient there is .* = (\S+)\.\n", page).groups()
        assert float(measured) == pytest.approx(float(said), rel=1e-4, abs=2e-6), name
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
        (
            ["--out", "there/is/no/such.py", "--hidden", 4],
            "such.py cannot be written: No such file or directory",
        ),
        ([], "Missing option '--out'"),
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
