"""What is in a page, without a browser: every operation, every array, every group; and the file itself."""

import base64
import functools
import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from calls import calls
from command import call, refuses, succeeds
from few_examples import few
from hypothesis import assume, given
from hypothesis import strategies as st
from slow_ones import slow_but
from test_viz_graph import lecture_run, theirs

import tinygrad_ninja
import viz
from tinygrad_ninja.makemore.models import MODELS
from tinygrad_ninja.ops import TABLE, Operation
from viz.fold import WIDEST
from viz.graph import extract
from viz.web.arrays import CELLS, Arrays
from viz.web.content import content


def inside(path: Path) -> dict[str, Any]:
    """The graph that a page holds."""
    [text] = re.findall(
        r'<script type="application/json" id="graph">(.*?)</script>', path.read_text("utf-8"), re.S
    )
    held: dict[str, Any] = json.loads(text)
    return held


def cells(described: dict[str, Any]) -> Any:
    held = described["map"]
    return np.frombuffer(base64.b64decode(held["cells"]), "<f4").reshape(
        [*held.get("shown", []), held["height"], held["width"]]
    )


# -- the graph -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", [e for e in TABLE.values() if e.sources], ids=lambda e: e.name)
@few(4)
@given(st.data())
def test_every_operation_has_its_formula_and_the_rules_of_its_inputs(
    entry: Operation, data: st.DataObject
) -> None:
    apply, arrays = data.draw(calls(entry))
    inputs = [tinygrad_ninja.from_numpy(array).requires_grad_() for array in arrays]
    try:
        out = apply(tinygrad_ninja, *inputs)
    except RuntimeError:
        assume(False)  # there is no such call
    total = functools.reduce(
        lambda a, b: a + b, [each.to("cpu").sum() for each in [out] if each.edge is not None]
    )
    held = content(extract(total))
    [step] = [step for step in held["steps"] if step["operation"] == entry.name][:1]
    formulas = held["formulas"][step["formula"]]
    for formula in (formulas["forward"], *formulas["rules"]):
        assert formula.startswith("<math")
        assert formula.endswith("</math>")
    assert len(formulas["rules"]) == len(formulas["reasons"]) == len(arrays)
    for i, reason in enumerate(formulas["reasons"]):
        assert reason.endswith(".")
        slope = 1 if "with the slope 1, d" in reason else -1 if "with the slope −1, d" in reason else None
        if slope is not None:  # of a sum, so that each number gets the slope as often as it was used
            used = [int(each.replace(",", "")) for each in re.findall(r"used ([\d,]+) times", reason)]
            torchs = torch.tensor(arrays[i], requires_grad=True)
            their_inputs = [torch.tensor(each) if j != i else torchs for j, each in enumerate(arrays)]
            apply(torch, *their_inputs).sum().backward()
            assert torchs.grad is not None
            assert torchs.grad.unique().tolist() == [slope * (used or [1])[0]]


def formulas_of(root: Any, operation: str) -> dict[str, Any]:
    held = content(extract(root))
    [step] = [each for each in held["steps"] if each["operation"] == operation]
    found: dict[str, Any] = held["formulas"][step["formula"]]
    return found


def lines(mathml: str) -> list[str]:
    """The text of each line of a formula, without the shapes; its own variables under their letters."""
    trees = ElementTree.fromstring(f"<all>{mathml}</all>")
    for each in trees.iter("{http://www.w3.org/1998/Math/MathML}munder"):
        if each[0].tag.endswith(("mi", "mtext")):
            del each[1]
    letters = {"\ue000": "out", "\ue001": "x", "\ue002": "weight", "\ue003": "bias"}
    text = ["".join("".join(tree.itertext()).split()) for tree in trees]
    return [each.translate(str.maketrans(letters)) for each in text]


def test_the_rule_of_batch_norm_is_the_line_of_the_lecture_and_its_parts_are_written_once() -> None:
    x = tinygrad_ninja.arange(24.0).view(8, 3).requires_grad_()
    made = formulas_of(tinygrad_ninja.nn.BatchNorm1d(3)(x).sum(), "batch_norm")
    u, v = "u=x−∑dim0x8", "v=(∑dim0u⊙u8+10-5)-1/2"
    assert lines(made["forward"]) == ["out=weight⊙u⊙(∑dim0u⊙u8+10-5)-1/2+bias", u]
    dx, *parts = lines(made["rules"][0])
    assert parts == [u, v]
    assert dx.startswith("dx=(8⋅dout−∑dim0dout−")
    assert dx.count("u⊙v") == 2


def test_the_loss_is_written_with_the_right_answers_in_it() -> None:
    logits, Y = tinygrad_ninja.zeros(4, 3, requires_grad=True), tinygrad_ninja.tensor([2, 0, 1, 1])
    made = formulas_of(tinygrad_ninja.nn.functional.cross_entropy(logits, Y), "cross_entropy")
    assert "\ue002" in made["forward"]
    assert "\ue003" not in made["forward"]  # the rows, which are written as 0, 1, …
    assert "cross_entropy" not in made["forward"]


def test_the_walk_holds_each_contribution_and_the_sums_are_pytorchs() -> None:
    ours, expected = lecture_run(tinygrad_ninja), theirs()
    held = content(extract(ours["loss"], ours))
    totals: dict[int, list[float]] = {}
    for step, slot, share, total in held["walk"]:
        value = held["steps"][step]["inputs"][slot]
        share, total = (held["arrays"][each] for each in (share, total))
        if value not in totals:
            assert share == total
        elif "map" in share:  # which is whole
            np.testing.assert_allclose(cells(total), totals[value] + cells(share), rtol=1e-5, atol=1e-9)
        totals[value] = cells(total) if "map" in total else np.array(total["rows"])
    for value, total in totals.items():
        name = held["values"][value]["name"]
        if name:
            gradient = expected[name].grad.numpy()
            np.testing.assert_allclose(total.reshape(gradient.shape), gradient, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("device", ["cpu", "torch"])
def test_a_model_is_in_groups_that_hold_everything_once(device: str) -> None:
    net = tinygrad_ninja.nn.Sequential(
        *(
            tinygrad_ninja.nn.Sequential(tinygrad_ninja.nn.Linear(3, 3), tinygrad_ninja.nn.Tanh())
            for _ in range(50)
        )
    ).to(device)
    x = tinygrad_ninja.ones(2, 3).to(device)
    held = content(extract(net(x).sum(), {"net": net, "x": x}))
    items = [item for group in held["groups"] for item in group["items"]]
    assert len(items) == len(set(items))
    assert {item for item in items if item[0] == "v"} == {f"v{i}" for i in range(len(held["values"]))}
    assert {item for item in items if item[0] == "g"} == {f"g{i}" for i in range(1, len(held["groups"]))}
    assert max(len(group["items"]) for group in held["groups"]) <= WIDEST
    [repeat] = [group for group in held["groups"] if group["kind"] == "repeat"]
    assert (repeat["name"], repeat["title"]) == ("net.0 … net.49", "× 50")
    assert {"net.17", "net.49"} <= {
        group["name"] for group in held["groups"] if group["title"] == "Sequential"
    }


@pytest.mark.slow
def test_ten_thousand_operations_are_folded_level_by_level() -> None:
    x = tinygrad_ninja.ones(4, 4)
    weights = [tinygrad_ninja.ones(4, 4, requires_grad=True) for _ in range(2500)]
    for i, W in enumerate(weights):
        x = ((x @ W) * 0.1).tanh() + (1.0 if i % 3 else 2.0)
    held = content(extract(x.sum(), {"weights": weights}))
    assert len(held["steps"]) == 10_001
    assert max(len(group["items"]) for group in held["groups"]) <= WIDEST
    assert len(held["walk"]) == 12_500
    assert len(held["formulas"]) < 20


def test_a_hook_is_told_of_and_its_gradient_is_what_is_passed_on() -> None:
    x = tinygrad_ninja.tensor([1.0, 2.0], requires_grad=True)
    y = x * 3.0
    y.register_hook(lambda gradient: gradient * 10)
    held = content(extract(y.sum(), {"x": x, "y": y}))
    of_x, of_y = (next(value for value in held["values"] if value["name"] == name) for name in "xy")
    assert of_y["hooked"]
    assert held["arrays"][of_y["gradient"]]["rows"] == [[10, 10]]
    assert held["arrays"][of_x["gradient"]]["rows"] == [[30, 30]]
    assert [held["arrays"][total]["rows"] for *_, total in held["walk"]] == [[[1, 1]], [[30, 30]]]


# -- the arrays ----------------------------------------------------------------------------------------------


def described(array: Any, expected: int = 1) -> dict[str, Any]:
    arrays = Arrays(expected)
    return arrays.content[arrays.add(array)]


def test_of_a_large_matrix_the_cells_are_means_and_the_statistics_are_exact() -> None:
    matrix = np.random.default_rng(0).normal(size=(1000, 3000))
    held = described(matrix)
    map_ = cells(held)
    assert map_.size <= CELLS
    np.testing.assert_allclose(
        held["stats"], [matrix.mean(), matrix.std(), matrix.min(), matrix.max()], rtol=1e-6
    )
    rows, columns = (np.arange(n + 1) * m // n for n, m in zip(map_.shape, matrix.shape, strict=True))
    block = matrix[rows[3] : rows[4], columns[5] : columns[6]]
    assert map_[3, 5] == pytest.approx(block.mean(), rel=1e-6)
    assert cells(described(matrix, expected=20_000)).size <= 75
    assert cells(described(matrix[:, :6], expected=20_000)).shape == (12, 6)  # the few columns are whole
    assert cells(described(matrix[:6], expected=20_000)).shape == (6, 12)


def test_a_vector_is_a_line_and_of_more_dimensions_there_are_matrices_as_far_as_there_is_room() -> None:
    assert cells(described(np.arange(100.0))).tolist() == [list(range(100))]
    attention = np.random.default_rng(0).normal(size=(32, 4, 16, 16)).astype(np.float32)
    held = described(attention)
    assert held["map"]["shown"] == [8, 4]
    np.testing.assert_array_equal(cells(held), attention[:8])
    assert held["stats"][2:] == pytest.approx([attention.min(), attention.max()])
    assert described(attention, expected=20_000)["map"]["shown"] == [1, 1]


def test_what_is_not_finite_is_counted_and_written_as_text() -> None:
    held = described(np.array([[1.0, np.nan], [-np.inf, 3.0]]))
    assert held["rows"] == [[1, "nan"], ["-inf", 3]]
    assert held["odd"] == 2
    assert held["stats"] == [2, 1, 1, 3]
    assert "stats" not in described(np.full(3, np.nan))
    assert described(np.zeros((0, 3))) == {"rows": []}
    assert described(np.array([True, False]))["rows"] == [[True, False]]
    assert described(np.array(2**53 + 1))["rows"] == [[2**53 + 1]]


# -- the file ------------------------------------------------------------------------------------------------


def test_the_page_is_one_file_that_asks_for_nothing(tmp_path: Path) -> None:
    x = tinygrad_ninja.ones(2, requires_grad=True)
    path = viz.page(x.sum(), {"</script><script src=//example.org>": x}, path=tmp_path / "graph.html")
    text = path.read_text("utf-8")
    assert "default-src 'none'" in text
    addresses = set(re.findall(r"https?://[\w./]+", text))
    assert addresses == {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1998/Math/MathML",
    }  # names, no requests
    assert text.count("</script>") == 2
    assert inside(path)["values"][0]["name"] == "</script><script src=//example.org>"


def test_another_suffix_a_freed_graph_and_no_graph_are_refused(tmp_path: Path) -> None:
    x = tinygrad_ninja.ones(2, requires_grad=True)
    loss = (x * x).sum()
    with pytest.raises(ValueError, match=r"graph\.svg has to end in \.html"):
        viz.page(loss, path=tmp_path / "graph.svg")
    loss.backward()
    path = tmp_path / "graph.html"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="freed this graph"):
        viz.page(loss, path=path)
    with pytest.raises(TypeError, match="a Tensor or a Value"):
        viz.page(1.0, path=path)  # type: ignore[arg-type]
    assert path.read_text() == "old"


# -- ninja draw ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", slow_but(MODELS, "bn-mlp", "rnn", "gpt"))
def test_ninja_draw_makes_the_page_of_a_model(tmp_path: Path, model: str) -> None:
    out = succeeds(call(tmp_path, "draw", "--model", model, "--batch", "4", "--out", "page/graph.html"))
    assert out.strip() == f"saved the page in {Path('page/graph.html')}"
    held = inside(tmp_path / "page" / "graph.html")
    names = {value["name"] for value in held["values"]}
    assert "loss" in names
    assert held["values"][held["root"]]["name"] == "loss"
    assert all(step["line"]["code"] for step in held["steps"])


def test_ninja_draw_names_the_lectures_values(tmp_path: Path) -> None:
    succeeds(call(tmp_path, "draw"))
    held = inside(tmp_path / "graph.html")
    names = {value["name"] for value in held["values"]}
    assert {
        "C",
        "emb",
        "embcat",
        "W1",
        "hprebn",
        "bnmeani",
        "bnstdi",
        "bngain",
        "hpreact",
        "h",
        "W2",
        "b2",
    } <= names
    [tanh] = [step for step in held["steps"] if step["operation"] == "tanh"]
    assert tanh["line"]["file"] == "mlp.py"
    assert tanh["line"]["code"] == "h = tanh(hpreact)"


def test_ninja_draw_replaces_its_own_page_and_no_other_file(tmp_path: Path) -> None:
    for _ in range(2):
        succeeds(call(tmp_path, "draw", "--model", "bigram"))
    (tmp_path / "mine.html").write_text("mine")
    assert "mine.html is there, and not by ninja: move it away, or choose" in refuses(
        call(tmp_path, "draw", "--out", "mine.html")
    )
    assert (tmp_path / "mine.html").read_text() == "mine"
    assert "graph.png has to end in .html" in refuses(call(tmp_path, "draw", "--out", "graph.png"))
