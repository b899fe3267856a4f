"""The page that plays a training: what it holds, and what a reader sees of it."""

import base64
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import browser, needs_browser, number
from playwright.sync_api import expect
from test_viz_page_content import inside

import tinygrad_ninja
import viz
from tinygrad_ninja import Value, nn, optim
from tinygrad_ninja.micrograd import MLP

__all__ = ["browser"]

STEPS = 4
POINTS = [[0.0, 0.0], [1.0, 1.0], [0.0, 1.0], [1.0, 0.5]]
LABELS = [1, -1, -1, 1]


def decoded(held: dict[str, Any]) -> Any:
    cells = np.frombuffer(base64.b64decode(held["cells"]), "<f4")
    return cells.reshape(-1, held["height"], held["width"])


def moons() -> tuple[viz.Film, list[float], list[list[float]], Any]:
    """A film of micrograd's network, its losses, its parameters after each step, and the network."""
    random.seed(1)
    model = MLP(2, [4, 1], activation="tanh")
    film = viz.Film(model, points=POINTS, labels=LABELS, score=lambda points: map(model, points), grid=8)
    losses, weights = [], []
    for step in range(STEPS):
        margins = [(1 - label * model(point)).relu() for point, label in zip(POINTS, LABELS, strict=True)]
        loss: Any = sum(margins, Value(0.0))
        model.zero_grad()
        loss.backward()
        for parameter in model.parameters():
            parameter.data -= 0.1 * parameter.grad
        film.take(loss, f"step {step}")
        losses.append(loss.data)
        weights.append([parameter.data for parameter in model.parameters()])
    return film, losses, weights, model


def test_it_holds_every_loss_every_parameter_and_the_score_of_every_place(tmp_path: Path) -> None:
    film, losses, weights, model = moons()
    held = inside(film.page(tmp_path / "film.html"))
    assert held["losses"] == losses
    assert [each["name"] for each in held["parameters"]] == ["layers[0]", "layers[1]"]
    frames = [decoded(each) for each in held["parameters"]]
    for i, expected in enumerate(weights):
        found = np.concatenate([frame[i].ravel() for frame in frames])
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    (left, right), (bottom, top) = held["box"]
    assert (left, right, bottom, top) == pytest.approx((-0.15, 1.15, -0.15, 1.15))
    scores = decoded(held["scores"])
    assert scores.shape == (STEPS, 8, 8)
    for row, column in ((0, 0), (2, 5), (7, 7)):  # of the last frame, whose network it is
        place = [left + (column + 0.5) / 8 * (right - left), top - (row + 0.5) / 8 * (top - bottom)]
        assert scores[-1, row, column] == pytest.approx(model(place).data, rel=1e-6)


def test_a_module_is_filmed_by_the_names_of_its_parameters(tmp_path: Path) -> None:
    model = nn.Linear(2, 1)
    film = viz.Film(model)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        loss = (model(tinygrad_ninja.tensor(POINTS)) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        film.take(loss)
    held = inside(film.page(tmp_path / "film.html"))
    assert [(each["name"], each["height"], each["width"]) for each in held["parameters"]] == [
        ("weight", 1, 2),
        ("bias", 1, 1),
    ]
    assert len(held["losses"]) == 3
    np.testing.assert_allclose(decoded(held["parameters"][0])[-1], model.weight.detach().numpy())
    assert "scores" not in held


def test_what_does_not_fit_is_told(tmp_path: Path) -> None:
    model = nn.Linear(2, 1)
    with pytest.raises(ValueError, match="points, labels and score are given together"):
        viz.Film(model, points=POINTS)
    with pytest.raises(ValueError, match=r"points of shape \(4, 2\) and 3 labels"):
        viz.Film(model, points=POINTS, labels=LABELS[:3], score=lambda points: points)
    film = viz.Film(model, points=POINTS, labels=LABELS, score=lambda points: points[:3], grid=2)
    with pytest.raises(ValueError, match="score returned 6 numbers for 4 points"):
        film.take(1.0)
    with pytest.raises(ValueError, match=r"there is no frame: take\(\) one"):
        viz.Film(model).page(tmp_path / "film.html")
    with pytest.raises(ValueError, match=r"has to end in \.html"):
        viz.Film(model).page(tmp_path / "film.png")


@needs_browser
@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1440])
def test_it_is_played_and_shows_each_frame(browser: Any, tmp_path: Path, width: int) -> None:
    film, losses, _, _ = moons()
    film.take(float("nan"), "the end")
    page = browser.new_page(viewport={"width": width, "height": 844})
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(film.page(tmp_path / "film.html").resolve().as_uri())
    assert page.locator("#count").inner_text() == "5 / 5"
    assert page.locator("#loss").inner_text() == "not finite"
    for i in reversed(range(STEPS)):
        page.keyboard.press("b")
        assert number(page.locator("#loss").inner_text()) == pytest.approx(losses[i], rel=1e-3)
        assert page.locator("#caption").inner_text() == f"step {i}"
    assert page.locator("#previous").is_disabled()
    before = page.locator("#border").get_attribute("d")
    page.locator("#play").click()
    expect(page.locator("#count")).to_have_text("5 / 5")
    assert page.locator("#border").get_attribute("d") != before
    assert page.locator(".square .above").count() == page.locator(".square .below").count() == 2
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("#play").bounding_box()["y"] < 844
    assert complaints == []
    page.close()
