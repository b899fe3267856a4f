"""The page, opened in headless Chromium and used as a reader uses it; its numbers against PyTorch's."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from browser import Open, browser, layers, lecture, needs_browser, number, open_page, statistics
from playwright.sync_api import expect
from test_viz_graph import lecture_run, theirs

import tinygrad_ninja
import viz
from tinygrad_ninja.autograd import detect_anomaly
from tinygrad_ninja.engine.node import ancestors
from tinygrad_ninja.engine.value import Value
from tinygrad_ninja.ops import TABLE

__all__ = ["browser", "layers", "lecture", "open_page"]

pytestmark = [needs_browser, pytest.mark.slow]


def assert_is(shown: dict[str, float], array: Any) -> None:
    """The statistics, which are shown to four digits, are those of the array."""
    expected = np.asarray(array, np.float64)
    told = {
        "mean": expected.mean(),
        "std. dev.": expected.std(),
        "minimum": expected.min(),
        "maximum": expected.max(),
    }
    for name, each in shown.items():
        assert each == pytest.approx(told[name], rel=2e-3, abs=1e-8)


# -- what is there -------------------------------------------------------------------------------------------


def test_every_value_has_a_node_and_every_use_a_link(open_page: Open, lecture: Path) -> None:
    opened = open_page(lecture)
    for name in theirs():
        if name not in ("module", "rows"):
            assert opened.node(name).count() == 1, name
    assert opened.node("bndiff").locator(".cap-text").text_content() == "-"
    assert opened.page.locator("#edges path").count() == 40


def test_a_click_shows_values_gradient_formula_rule_and_life(open_page: Open, lecture: Path) -> None:
    opened, expected = open_page(lecture), theirs()
    opened.find("bndiff")
    opened.node("hprebn").click()
    assert opened.title == "hprebn"
    values = opened.page.locator("section", has_text="Value").first
    assert_is(statistics(values), expected["hprebn"].detach())
    assert_is(opened.gradient(), expected["hprebn"].grad)
    assert values.locator("canvas").count() == 1

    forward, *rules = opened.page.locator("#inspector > section math").all()
    assert forward.bounding_box()["height"] > 15  # type: ignore[index]
    assert "".join((forward.text_content() or "").split()).startswith("hprebn32×64=")
    summed = opened.page.locator("section", has_text="Its local backward rule")
    assert "b1 was broadcast along dimension 0: each of its numbers was used 32 times" in summed.inner_text()
    assert any("∑" in (rule.text_content() or "") for rule in rules)

    life = opened.page.locator(".life > li")
    assert [each.locator(".what").inner_text().split(":")[0] for each in life.all()] == [
        "Born",
        "Use 1 of 2",
        "Use 2 of 2",
    ]
    with torch.no_grad():
        shares = [expected["bndiff"].grad, expected["bnmeani"].grad / 32]
    for entry, share in zip(life.all()[1:], shares, strict=True):
        assert_is(statistics(entry), np.broadcast_to(share.numpy(), (32, 64)))


def test_the_line_where_a_value_was_born_is_shown(open_page: Open, tmp_path: Path) -> None:
    x = tinygrad_ninja.ones(2, requires_grad=True)
    with detect_anomaly(check_nan=False):
        y = x.exp()  # the line
        loss = y.sum()
    opened = open_page(viz.page(loss, {"y": y}, path=tmp_path / "graph.html"))
    opened.find("y")
    born = opened.page.locator(".life > li").first
    assert "test_viz_page.py:" in born.inner_text()
    assert born.locator("code").inner_text() == "y = x.exp()  # the line"


def test_few_numbers_are_a_table_and_a_cell_of_a_map_can_be_read(open_page: Open, lecture: Path) -> None:
    opened, expected = open_page(lecture), theirs()
    opened.find("counts_sum")
    cells = (
        opened.page.locator("section", has_text="Value")
        .first.locator("table td:not(:empty)")
        .all_inner_texts()
    )
    np.testing.assert_allclose(list(map(number, cells)), expected["counts_sum"].detach()[:, 0], rtol=2e-3)

    opened.find("logits")
    heat_map = opened.page.locator("canvas").first
    heat_map.focus()
    opened.press("ArrowRight", "ArrowRight", "ArrowDown")
    index, value = opened.page.locator(".readout").first.inner_text().split("]")
    assert index == "[1, 2"
    assert number(value) == pytest.approx(expected["logits"][1, 2].item(), rel=2e-3)


def test_of_more_dimensions_sliders_choose_the_matrix(open_page: Open, tmp_path: Path) -> None:
    x = tinygrad_ninja.randn(3, 2, 8, 8).requires_grad_()
    opened = open_page(viz.page((x * x).sum(), {"x": x}, path=tmp_path / "graph.html"))
    opened.find("x")
    heads = opened.page.locator(".slider").all()[:2]
    assert [each.inner_text() for each in heads] == ["dimension 0\n0 of 3", "dimension 1\n0 of 2"]
    heads[0].locator("input").fill("2")
    heads[1].locator("input").fill("1")
    heat_map = opened.page.locator("canvas").first
    heat_map.focus()
    opened.press("ArrowRight", "ArrowDown", "ArrowDown")
    index, value = opened.page.locator(".readout").first.inner_text().split("]")
    assert index == "[2, 1, 2, 1"
    assert number(value) == pytest.approx(x[2, 1, 2, 1].item(), rel=2e-3)


def test_how_large_numbers_are_stands_beside_their_bars(open_page: Open, tmp_path: Path) -> None:
    x = tinygrad_ninja.linspace(-1.0, 0.5, 80).requires_grad_()
    y = x * 1e-9
    opened = open_page(viz.page(y.sum(), {"x": x, "y": y}, path=tmp_path / "graph.html"))
    texts = {name: opened.node(name).locator("text.value").inner_html() for name in ("x", "y")}
    assert texts == {"x": "≤1", "y": "≤1e−9"}


def test_a_name_is_shown_as_it_is_written(open_page: Open, tmp_path: Path) -> None:
    script, end = "<script>alert(1)</script>", "</script><img src=x onerror=alert(2)> &amp; a|{b}\u2028"
    a, b = (tinygrad_ninja.ones(2, 3, requires_grad=True) for _ in range(2))
    loss = (a * b).sum()
    names = {script: a, end: b}
    opened = open_page(viz.page(loss, names, path=tmp_path / "name &amp; co.html"))
    assert opened.page.title() == "name &amp; co"
    opened.find(script)
    assert opened.title == script
    assert opened.node(script).locator(".name").text_content() == script
    assert f"d{script}" in opened.page.locator(".life math").first.text_content()  # type: ignore[operator]
    opened.find("onerror")
    assert opened.page.locator("h2").first.text_content() == end


def test_a_value_expression_shows_pytorchs_numbers(open_page: Open, tmp_path: Path) -> None:
    a, b = Value(2.0, label="a"), Value(-3.0, label="b")
    e = a * b
    result = (e + 10) ** 2 + e.tanh() * a
    opened = open_page(viz.page(result, {"e": e, "L": result}, path=tmp_path / "graph.html"))
    x, y = (torch.tensor(n, dtype=torch.float64, requires_grad=True) for n in (2.0, -3.0))
    z = x * y
    z.retain_grad()
    ((z + 10) ** 2 + z.tanh() * x).backward()
    for name, each in (("a", x), ("b", y), ("e", z)):
        numbers = opened.node(name).locator("text.value, text.slope").all_text_contents()
        assert list(map(number, numbers)) == pytest.approx([each.item(), each.grad.item()], rel=2e-3)  # type: ignore[union-attr]
    opened.press("e", "b")
    assert opened.rule == "da+=de⋅b"
    share, total = opened.page.locator("#rule .number").inner_text().removeprefix("= ").split(", together ")
    assert number(share) == pytest.approx((z.grad * y).item(), rel=2e-3)  # type: ignore[operator]
    assert number(total) == pytest.approx(x.grad.item(), rel=2e-3)  # type: ignore[union-attr]


def test_a_nudged_leaf_takes_all_data_and_gradients_along(open_page: Open, tmp_path: Path) -> None:
    def computed(numbers: dict[str, float]) -> dict[str, Value]:
        a, b, c = (Value(number, label=name) for name, number in numbers.items())
        d = (a * b + c).tanh() - (a / b) ** 2 + abs(c).sqrt() * a.exp()
        e = (-a).relu() + b.sigmoid() ** a.sin() + (c * c).log() / 3 - 2 * c.cos()
        f = (d - e) * b + a.relu()
        f.backward()
        return {"a": a, "b": b, "c": c, "d": d, "e": e, "f": f}

    numbers = {"a": 0.7, "b": -1.3, "c": 2.5}
    given = computed(numbers)
    opened = open_page(viz.page(given["f"], given, path=tmp_path / "graph.html"))
    recorded = {value.op.name for value in ancestors([given["f"]]) if value.op is not None}
    assert recorded == {
        each.__name__ for each in vars(Value).values() if getattr(each, "__name__", "") in TABLE
    } | {"pow"}  # every operation of Value's
    for name, number_of in (("a", -0.9), ("c", -1.25), ("b", 0.5), ("a", 0.3)):
        numbers[name] = number_of
        opened.find(name)
        opened.page.locator(".nudge input").fill(str(number_of))
        for called, value in computed(numbers).items():
            shown = opened.node(called).locator("text.value, text.slope").all_text_contents()
            assert list(map(number, shown)) == pytest.approx([value.data, value.grad], rel=2e-3), called
    opened.press("r", *"n" * 9)
    assert opened.page.locator(".node.current").count() == 1
    opened.find("b")
    opened.page.locator(".nudge button").click()
    assert number(opened.page.locator("#data .number").inner_text()) == -1.3


# -- the backward pass ---------------------------------------------------------------------------------------


def test_the_steps_show_pytorchs_gradients_in_the_order_of_the_engine(open_page: Open, lecture: Path) -> None:
    opened, expected = open_page(lecture), theirs()
    ours = lecture_run(tinygrad_ninja)
    arrived: list[str] = []
    for name, each in ours.items():
        if isinstance(each, tinygrad_ninja.Tensor) and each.requires_grad:
            each.register_hook(lambda _, name=name: arrived.append(name))
    ours["loss"].backward()

    opened.press("r")
    assert opened.page.locator("#count").inner_text() == "0 / 38"
    assert opened.page.locator(".node rect.waiting").count() == 34
    walked = ["loss"]
    for _ in range(38):
        opened.press("n")
        name, many = opened.title, opened.page.locator(".node.current .uses").text_content() or "1/1"
        some, all = many.removeprefix("+= ").split("/")
        assert many.startswith("+=") == (some > "1")
        if name in expected and some == all:
            assert_is(opened.gradient(), expected[name].grad)
            walked.append(name)
    results = [name for name in walked if not expected[name].is_leaf]
    assert results == [name for name in arrived if not expected[name].is_leaf]
    assert set(walked) == {name for name, each in expected.items() if getattr(each, "grad", None) is not None}
    assert opened.page.locator("#next").is_disabled()


def test_a_gradient_accumulates_where_a_value_is_used_twice(open_page: Open, lecture: Path) -> None:
    opened, expected = open_page(lecture), theirs()
    opened.press("r", "n", "n")
    assert opened.message == (
        "dx, through out = logprobs[range(32), Y].mean(). Each number of x goes into a mean of 32 with the "
        "slope 1/32: it gets that part of dout. Here x is logprobs[range(32), Y]."
    )
    while opened.title != "counts":
        opened.press("n")
    with torch.no_grad():
        first = expected["probs"].grad * expected["counts_sum_inv"]
    assert_is(opened.gradient(), first)
    assert opened.node("counts").locator(".uses").text_content() == "1/2"
    assert opened.message.startswith(
        "dcounts, contribution 1 of 2, through probs = counts * counts_sum_inv. Each number of probs depends"
    )
    assert opened.rule == "dcounts32×27=dprobs32×27⊙counts_sum_inv32×1"
    assert "later" in opened.page.locator(".life > li").nth(2).inner_text()
    while "contribution 2 of 2" not in opened.message or opened.title != "counts":
        opened.press("n")
    assert opened.message == (
        "dcounts, contribution 2 of 2, through counts_sum = counts.sum(1, keepdim=True). Each number of "
        "counts goes into a sum with the slope 1: it gets the gradient of that sum as it is, so dcounts_sum "
        "is repeated."
    )
    assert opened.rule == "dcounts32×27+=repeat(dcounts_sum32×1)"
    assert_is(opened.gradient(), expected["counts"].grad)
    opened.press("b")
    opened.press("r")
    assert opened.title == "loss"
    assert opened.page.locator(".node.arrived").count() == 1


def test_the_forward_pass_computes_step_by_step_in_the_order_of_the_engine(
    open_page: Open, lecture: Path
) -> None:
    opened = open_page(lecture)
    opened.press("p")
    assert opened.page.locator("#count").inner_text() == "0 / 28"
    assert opened.page.locator(".node.later").count() == 28
    computed = []
    for left in range(27, -1, -1):
        opened.press("n")
        computed.append(opened.title)
        assert opened.page.locator(".node.later").count() == left
        assert opened.page.locator(".node.computing").get_attribute("id") == opened.page.locator(
            ".node.selected"
        ).get_attribute("id")
    order = [name for name, each in lecture_run(tinygrad_ninja).items() if getattr(each, "grad_fn", None)]
    assert [name for name in computed if name in order] == order
    assert opened.message == "loss = -logprobs[range(32), Y].mean(). It is the result."
    opened.find("counts")
    assert "nothing has arrived yet" in opened.page.locator("#slope").inner_text()
    opened.press("p", "e")
    assert opened.page.locator("#count").inner_text() == "38 / 38"
    assert opened.page.locator(".node.later").count() == 0


def test_play_goes_to_the_end_and_pauses(open_page: Open, layers: Path) -> None:
    opened = open_page(layers)
    opened.page.locator("#play").click()
    expect(opened.page.locator("#position")).to_have_value(re.compile(r"^([2-9]|1\d)$"))
    opened.page.locator("#play").click()
    place = opened.page.locator("#position").input_value()
    opened.page.wait_for_timeout(1000)
    assert opened.page.locator("#position").input_value() == place
    opened.page.locator("#speed").select_option("fast")
    opened.page.locator("#inspector").focus()
    opened.press("e", "b", "b", "b", "Space")
    expect(opened.page.locator("#play")).to_have_attribute("aria-label", "Play", timeout=30_000)
    assert opened.page.locator("#next").is_disabled()


def test_inside_a_group_that_is_folded_a_step_passes_over(open_page: Open, layers: Path) -> None:
    opened = open_page(layers)
    while opened.message != "Everything is folded.":
        opened.press("[")
    opened.press("r")
    steps = 0
    while opened.page.locator("#next").is_enabled():
        opened.press("n")
        steps += 1
        current = opened.page.locator(".node.current")
        assert current.count() == 1
        assert opened.message.startswith("Inside net: Sequential: ") == (
            "folded" in (current.get_attribute("class") or "")
        )
    assert steps == 3  # two to the network, and all that happens in it
    assert number(opened.node("net: Sequential").locator(".progress").get_attribute("width") or "") > 100


def test_without_gradients_the_page_says_why(open_page: Open, tmp_path: Path) -> None:
    x = tinygrad_ninja.ones(3, requires_grad=True)
    opened = open_page(viz.page(x.exp(), {"x": x}, path=tmp_path / "graph.html"))
    assert "Of 3 numbers together there is no gradient" in opened.page.locator("#note").inner_text()
    assert opened.page.locator("#play").is_disabled()


def test_of_very_many_uses_all_are_shown_when_asked_for(open_page: Open, tmp_path: Path) -> None:
    x = y = tinygrad_ninja.tensor(1.0, requires_grad=True)
    for _ in range(60):
        y = y * x
    opened = open_page(viz.page(y, {"x": x}, path=tmp_path / "graph.html"))
    opened.find("x")
    uses = opened.page.locator(".life .what", has_text="Use ")
    assert uses.count() == 40
    opened.page.get_by_role("button", name="Show all 61 uses").click()
    assert uses.count() == 61
    assert number(opened.page.locator("#slope .number").inner_text()) == 61
