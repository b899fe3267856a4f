"""Moving about in the page: search, folding, keys; and how it looks, in the dark and in the light."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import Open, Opened, browser, layers, lecture, needs_browser, open_page

import tinygrad_ninja
import viz
from tinygrad_ninja import nn

__all__ = ["browser", "layers", "lecture", "open_page"]

pytestmark = [needs_browser, pytest.mark.slow]


# -- finding, folding, keys ----------------------------------------------------------------------------------


def test_search_finds_what_is_folded(open_page: Open, layers: Path) -> None:
    opened = open_page(layers)
    opened.press("[", "[", "[")
    assert opened.node("net.2.1.0.weight").count() == 0
    opened.press("/")
    opened.page.keyboard.type("2.1")
    options = opened.page.locator("#found [data-item]").all_inner_texts()
    assert {"net.2.1: Sequential", "net.2.1.0: Linear", "net.2.1.0.bias"} <= {
        each.split("\n")[0] for each in options
    }
    opened.page.keyboard.type(".0.weight")
    opened.press("Enter")
    assert opened.title == "net.2.1.0.weight"
    assert opened.node("net.2.1.0.weight").is_visible()
    opened.press("/")
    opened.page.keyboard.type("nowhere")
    assert "Nothing has that name" in opened.page.locator("#found").inner_text()


def test_layers_fold_and_unfold_level_by_level_and_stay_where_they_are(open_page: Open, layers: Path) -> None:
    opened = open_page(layers)
    while opened.message != "Everything is folded.":
        opened.press("[")
    counts = [opened.page.locator(".node").count()]
    opened.node("net: Sequential").click()
    before = opened.node("net: Sequential").locator("rect.body").bounding_box()
    opened.press("Enter")
    after = opened.page.locator(".group rect.area").first.bounding_box()
    assert before is not None
    assert after is not None
    assert after["y"] == pytest.approx(before["y"], abs=1)
    middle = (before["x"] + before["width"] / 2, after["x"] + after["width"] / 2)
    assert middle[0] == pytest.approx(middle[1], abs=4)
    while opened.message != "Everything is unfolded.":
        counts.append(opened.page.locator(".node").count())
        opened.press("]")
    assert counts == sorted(set(counts))
    assert len(counts) >= 4
    assert opened.page.locator(".node:not(.folded)").count() == 1 + 4 * 5 + 4 + 2
    opened.page.locator(".group .title").first.click()
    assert opened.page.locator(".group").count() == 0


@pytest.mark.parametrize("size", [1000, 5400])  # 10,028 operations
def test_a_long_graph_is_a_few_nodes_that_unfold(open_page: Open, tmp_path: Path, size: int) -> None:
    x = y = tinygrad_ninja.tensor(1.0, requires_grad=True)
    for i in range(size):
        y = (y * 1.0).tanh() if i % 7 else y + x
    opened = open_page(viz.page(y, {"x": x, "y": y}, path=tmp_path / "graph.html"))
    counts = [opened.page.locator(".node").count()]
    assert counts[0] <= 45
    opened.find((opened.page.locator(".node.folded").first.get_attribute("aria-label") or "").split(", ")[0])
    opened.press("Enter")
    counts.append(opened.page.locator(".node").count())
    assert counts[0] < counts[1] <= 100
    opened.press("]")
    assert counts[1] < opened.page.locator(".node").count() <= 1500
    opened.find("x")
    assert opened.title == "x"


def test_it_is_moved_by_dragging_and_zoomed_by_the_wheel(open_page: Open, lecture: Path) -> None:
    opened = open_page(lecture)
    mouse, node = opened.page.mouse, opened.node("logprobs").locator("rect.body")

    def box() -> list[float]:
        found = node.bounding_box()
        assert found is not None
        return [found[each] for each in ("x", "y", "width")]

    x, y, width = box()
    mouse.move(200, 300)
    mouse.down()
    mouse.move(260, 270, steps=3)
    mouse.up()
    assert box() == pytest.approx([x + 60, y - 30, width], abs=0.1)
    x, y, width = box()
    mouse.move(x, y)
    mouse.wheel(0, -400)
    assert box() == pytest.approx([x, y, width * np.exp(0.6)], rel=1e-2)
    opened.press("-", "+", "0")
    assert opened.node("C").is_visible()
    assert opened.title == "loss"  # what was dragged was not clicked


def test_it_is_used_without_a_mouse(open_page: Open, lecture: Path) -> None:
    opened = open_page(lecture)
    opened.press("Tab")
    for _ in range(40):
        if "node" in (opened.page.evaluate("document.activeElement.getAttribute('class')") or ""):
            break
        opened.press("Tab")
    assert opened.page.evaluate("document.activeElement.id") == opened.page.locator(
        ".node.root"
    ).get_attribute("id")
    halo = opened.page.locator(".node.root rect.halo")
    assert halo.evaluate("e => getComputedStyle(e).stroke") != "none"
    opened.press("ArrowUp")
    assert opened.title == "logprobs[range(32), Y].mean()"
    opened.press("ArrowUp", "ArrowUp")
    assert opened.title in ("logprobs", "Y")
    opened.press("ArrowDown")
    assert opened.title == "logprobs[range(32), Y]"
    opened.press("?")
    assert opened.page.locator("dialog").is_visible()
    opened.press("Escape")
    assert not opened.page.locator("dialog").is_visible()


def test_a_tall_graph_has_a_small_picture_that_leads_to_each_part(open_page: Open, lecture: Path) -> None:
    opened = open_page(lecture)
    small = opened.page.locator("#map")
    first, last = (
        small.locator(f'[data-item="{opened.node(name).get_attribute("id")}"]') for name in ("C", "loss")
    )
    box = first.bounding_box()
    assert box is not None
    opened.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    node, scene = opened.node("C").bounding_box(), opened.page.locator("#scene").bounding_box()
    assert node is not None
    assert scene is not None
    assert scene["y"] <= node["y"] < scene["y"] + scene["height"]
    opened.press("r", "n")
    assert "current" in (last.get_attribute("class") or "")
    assert opened.look("overlaps") == []


def test_a_tall_graph_is_set_in_columns_that_show_it_larger(
    open_page: Open, lecture: Path, layers: Path
) -> None:
    opened = open_page(lecture)
    opened.press("0")
    narrow = opened.node("loss").bounding_box()
    opened.press("w")
    wide = opened.node("loss").bounding_box()
    assert narrow is not None
    assert wide is not None
    assert wide["height"] > 2 * narrow["height"]
    tops = [opened.node(name).bounding_box() for name in ("C", "hpreact", "loss")]
    across = [box["x"] for box in tops if box is not None]
    assert across == sorted(across)
    assert opened.look("overlaps") == []
    opened.press("r", *"n" * 14)
    opened.screenshot("lecture-columns")
    opened.press("w", "0")
    assert opened.node("loss").bounding_box() == narrow
    opened = open_page(layers)
    opened.press("w", "]", "]", "]")
    assert opened.look("overlaps") == []


def test_a_tall_group_is_set_in_columns_inside_its_frame(open_page: Open, tmp_path: Path) -> None:
    blocks = [nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4), nn.ReLU()) for _ in range(4)]
    net = nn.Sequential(nn.Sequential(*blocks))
    loss = net(tinygrad_ninja.ones(2, 4)).sum()
    opened = open_page(viz.page(loss, {"net": net, "loss": loss}, path=tmp_path / "tall.html"))
    opened.press("]", "]", "]", "]", "0")

    def box(name: str) -> dict[str, float]:
        found = opened.node(name).bounding_box()
        assert found is not None
        return dict(found)

    before = box("loss")["height"]
    opened.press("w")
    assert box("loss")["height"] > 2 * before
    assert opened.look("overlaps") == []
    frame = box("net.0: Sequential")
    inside = [box(f"net.0.{i}: Sequential") for i in range(4)]
    for each in inside:
        assert frame["x"] < each["x"]
        assert each["x"] + each["width"] < frame["x"] + frame["width"]
        assert frame["y"] < each["y"]
        assert each["y"] + each["height"] < frame["y"] + frame["height"]
    assert len({round(each["x"] / frame["width"], 1) for each in inside}) > 1
    opened.screenshot("tall-columns")


def test_fit_shows_the_group_that_is_selected(open_page: Open, layers: Path) -> None:
    opened = open_page(layers)
    opened.press("]", "]", "]")
    opened.find("net.2.1: Sequential")
    opened.press("0")
    group, scene = (
        opened.node("net.2.1: Sequential").bounding_box(),
        opened.page.locator("#scene").bounding_box(),
    )
    assert group is not None
    assert scene is not None
    assert 0.6 < max(group["width"] / scene["width"], group["height"] / scene["height"]) <= 1


def square() -> Any:
    x = tinygrad_ninja.tensor([1.0, float("nan"), float("inf")], requires_grad=True)
    return (x * x).sum()


def changed_in_place() -> Any:
    y = tinygrad_ninja.ones(3, 3, requires_grad=True) * 1.0
    y[0] = 5.0
    y[:, 1] *= 2.0
    return y.sum()


def called_again() -> Any:
    cell, h = nn.Linear(4, 4), tinygrad_ninja.ones(2, 4)
    for _ in range(5):
        h = tinygrad_ninja.tanh(cell(h))
    return h.sum()


@pytest.mark.parametrize(
    "root",
    [
        lambda: tinygrad_ninja.ones(3, requires_grad=True),
        lambda: tinygrad_ninja.ones(2, 2),
        lambda: (tinygrad_ninja.zeros((0, 3), requires_grad=True) * 2).sum(),
        lambda: (tinygrad_ninja.full((20, 20), float("nan")).requires_grad_() * 2).sum(),
        lambda: tinygrad_ninja.cat([tinygrad_ninja.ones(2, 2, requires_grad=True) for _ in range(60)]).sum(),
        square,
        changed_in_place,
        called_again,
    ],
    ids=["leaf", "constant", "empty", "all nan", "wide", "square", "in place", "called again"],
)
def test_an_unusual_graph_is_walked_and_folded_like_any_other(
    open_page: Open, tmp_path: Path, root: Callable[[], Any]
) -> None:
    opened = open_page(viz.page(root(), path=tmp_path / "graph.html"))
    opened.press("r", "n", "n", "n", "b", "e", "ArrowUp", "ArrowUp", "ArrowRight", "]", "[", "0", "f")
    assert opened.node(opened.title).count() >= 1
    assert opened.look("overlaps") == []


# -- how it looks --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_stands_out_from_what_is_behind_it(open_page: Open, lecture: Path, scheme: str) -> None:
    """By the contrast that WCAG 2.2 asks of text, https://www.w3.org/TR/WCAG22/#contrast-minimum."""
    opened = open_page(lecture, scheme)
    opened.press("r", *"n" * 12)
    contrasts = opened.look("contrasts")
    assert len(contrasts) > 50
    assert {name: ratio for name, ratio in contrasts.items() if ratio < 4.5} == {}


# What colour-blind readers see of linear RGB: Machado, Oliveira and Fernandes (2009), table 1, severity 1.
COLOUR_BLIND = [
    np.eye(3),
    # protanopia
    [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    # deuteranopia
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    # tritanopia
    [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
]


def linear(opened: Opened, name: str) -> Any:
    """A colour of the page as linear RGB."""
    text = opened.page.evaluate(
        f"getComputedStyle(document.documentElement).getPropertyValue('--{name}')"
    ).strip()
    parts = np.array([int(text[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def luminance(colour: Any) -> float:
    return float(np.dot([0.2126, 0.7152, 0.0722], colour))


def lab(colour: Any) -> Any:
    """Linear RGB as CIE L*a*b*, under D65."""
    matrix = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    x, y, z = np.cbrt(np.clip(np.array(matrix) @ colour / [0.9505, 1.0, 1.089], 1e-4, None))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_lines_stand_out_and_the_colour_blind_tell_value_from_gradient(
    open_page: Open, lecture: Path, scheme: str
) -> None:
    """Lines by https://www.w3.org/TR/WCAG22/#non-text-contrast; colours by their distance in CIELAB."""
    opened = open_page(lecture, scheme)

    for line in ("line", "edge", "data", "gradient", "focus"):
        for ground in ("ground", "node", "panel"):
            light, dark = sorted(
                (luminance(linear(opened, line)), luminance(linear(opened, ground))), reverse=True
            )
            assert (light + 0.05) / (dark + 0.05) >= 3, (line, ground)
    for matrix in COLOUR_BLIND:
        for one, other in (
            ("data", "gradient"),
            ("negative", "positive"),
            ("negative", "zero"),
            ("zero", "positive"),
        ):
            seen = [lab(np.clip(np.array(matrix) @ linear(opened, name), 0, 1)) for name in (one, other)]
            assert np.linalg.norm(seen[0] - seen[1]) > 25, (one, other)


@pytest.mark.parametrize("width", [390, 950, 1440])
def test_at_every_width_all_of_it_is_reachable_and_nothing_is_cut(
    open_page: Open, lecture: Path, width: int
) -> None:
    opened = open_page(lecture, width=width)
    assert opened.look("misplaced") == []
    for name in ("bndiff", "loss", "b2"):
        opened.find(name)
        assert opened.look("misplaced") == [], name
    opened.press("r")
    for _ in range(14):
        opened.press("n")
        assert opened.look("misplaced") == [], opened.message
    opened.screenshot(f"lecture-{width}")
    for control in ("#fold", "#unfold", "#fit", "#help", "#end", "#position", "#speed"):
        opened.page.locator(control).click(trial=True)
    sentence = opened.page.locator("#message")
    for _ in range(24):
        assert sentence.evaluate("(e) => e.scrollHeight <= e.clientHeight"), opened.message
        opened.press("n")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_each_colour_has_one_meaning(open_page: Open, lecture: Path, scheme: str) -> None:
    """By their distance in CIELAB."""
    opened = open_page(lecture, scheme)
    meanings = ("data", "gradient", "focus", "negative", "positive", "odd")
    for one, other in itertools.combinations(meanings, 2):
        assert np.linalg.norm(lab(linear(opened, one)) - lab(linear(opened, other))) > 25, (one, other)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_overlaps_and_it_looks_as_it_should(
    open_page: Open, lecture: Path, layers: Path, scheme: str
) -> None:
    """The pictures are kept in `screenshots`, to be looked at."""
    opened = open_page(lecture, scheme)
    opened.screenshot(f"lecture-{scheme}")
    assert opened.look("overlaps") == []
    opened.find("bndiff")
    opened.screenshot(f"lecture-bndiff-{scheme}")
    opened.page.locator(".life").scroll_into_view_if_needed()
    opened.screenshot(f"lecture-bndiff-life-{scheme}")
    opened.press("r", *"n" * 14)
    opened.screenshot(f"lecture-walk-{scheme}")
    opened = open_page(layers, scheme)
    opened.press("[", "[", "[", "0")
    opened.screenshot(f"layers-folded-{scheme}")
    assert opened.look("overlaps") == []
    opened.press("]", "]", "]", "]", "0")
    opened.screenshot(f"layers-unfolded-{scheme}")
    assert opened.look("overlaps") == []


def test_nothing_on_the_page_jumps(open_page: Open, lecture: Path) -> None:
    """As the browser itself counts shifts, https://wicg.github.io/layout-instability."""
    opened = open_page(lecture)
    opened.page.evaluate(
        """() => { window.shifts = 0; new PerformanceObserver((list) => list.getEntries().forEach((entry) =>
        (window.shifts += entry.value))).observe({ type: "layout-shift", buffered: true }); }"""
    )
    opened.page.wait_for_timeout(600)  # what follows a key within half a second does not count as a shift
    opened.page.evaluate("document.getElementById('reset').click()")
    for _ in range(20):
        opened.page.evaluate("document.getElementById('next').click()")
        opened.page.wait_for_timeout(20)
    main, panel = (opened.page.locator(each).bounding_box() for each in ("main", "aside"))
    opened.find("W1")
    assert [main, panel] == [opened.page.locator(each).bounding_box() for each in ("main", "aside")]
    assert opened.page.evaluate("window.shifts") < 0.01
