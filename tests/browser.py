"""A page opened in headless Chromium, and what is seen of it."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, sync_playwright
from test_viz_graph import lecture_run

import tinygrad_ninja
import viz
from tinygrad_ninja import nn
from tinygrad_ninja.autograd import detect_anomaly

SCREENSHOTS = Path(__file__).parents[1] / "screenshots"
LOOKS = Path(__file__).with_name("page_looks.js").read_text("utf-8").rstrip(";\n")
PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def program() -> str | None:
    """A Chromium of this machine's."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, PROGRAMS)), None)


Open = Callable[..., "Opened"]

needs_browser = pytest.mark.skipif(program() is None, reason="there is no Chromium here to open the page in")


class Opened:
    """The page of a graph, in which nothing moves by itself. complaints: what went wrong in it so far, among
    it every request that leaves the file."""

    def __init__(self, browser: Browser, path: Path, scheme: str = "light", width: int = 1440) -> None:
        self.context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,  # type: ignore[arg-type]
            reduced_motion="reduce",
        )
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        address = path.resolve().as_uri()
        self.page.on(
            "request",
            lambda request: None if request.url == address else self.complaints.append(request.url),
        )
        self.page.goto(address)
        self.page.locator(".node").first.wait_for()

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def find(self, name: str) -> None:
        """Go to something by the search, as a reader does."""
        self.press("/")
        self.page.keyboard.type(name)
        self.press("Enter")

    def node(self, name: str) -> Locator:
        """The nodes and groups that are called so in full."""
        return self.page.locator(f'.node[aria-label^="{name},"], .group[aria-label^="{name},"]')

    @property
    def title(self) -> str:
        """What is selected."""
        return self.page.locator("#inspector h2").inner_text()

    @property
    def message(self) -> str:
        return self.page.locator("#message").inner_text()

    @property
    def rule(self) -> str:
        """The formula that stands over the drawing, without its spaces."""
        return "".join((self.page.locator("#rule math").first.text_content() or "").split())

    def gradient(self) -> dict[str, float]:
        """The statistics shown of the gradient of what is selected; a single number as the mean."""
        single = self.page.locator("#slope .number")
        if single.count():
            return {"mean": number(single.inner_text())}
        return statistics(self.page.locator("#slope .kept"))

    def look(self, what: str) -> Any:
        """An answer of `page_looks.js`."""
        return self.page.evaluate(f"{LOOKS}.{what}()")

    def screenshot(self, name: str) -> None:
        SCREENSHOTS.mkdir(exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png")


def number(text: str) -> float:
    return float(text.replace("−", "-"))


def statistics(box: Locator) -> dict[str, float]:
    names, numbers = box.locator("dt").all_inner_texts(), box.locator("dd").all_inner_texts()
    return {name: number(text) for name, text in zip(names, numbers, strict=True)}


# -- fixtures: a test file imports those that it needs -------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # The sandbox cannot be had by root, as whom CI runs.
        started = playwright.chromium.launch(executable_path=program(), args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """Opens pages; afterwards nothing may have been complained of in any, or asked from the network."""
    opened: list[Opened] = []

    def open(path: Path, scheme: str = "light", width: int = 1440) -> Opened:
        opened.append(Opened(browser, path, scheme, width))
        return opened[-1]

    yield open
    for each in opened:
        each.context.close()
        assert each.complaints == []


@pytest.fixture(scope="module")
def lecture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with detect_anomaly(check_nan=False):
        run = lecture_run(tinygrad_ninja)
    return viz.page(run["loss"], run, path=tmp_path_factory.mktemp("pages") / "lecture.html")


def network() -> tuple[Any, dict[str, Any]]:
    """A loss of layers in layers, and the names of what it is of."""
    generator = tinygrad_ninja.Generator().manual_seed(1)
    tinygrad_ninja.manual_seed(1)
    x = tinygrad_ninja.randn(8, 5, generator=generator)
    net = nn.Sequential(
        nn.Linear(5, 6),
        nn.Tanh(),
        nn.Sequential(*(nn.Sequential(nn.Linear(6, 6), nn.ReLU()) for _ in range(3))),
    )
    loss = (net(x) ** 2).mean()
    return loss, {"net": net, "x": x, "loss": loss}


@pytest.fixture(scope="module")
def layers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    loss, names = network()
    return viz.page(loss, names, path=tmp_path_factory.mktemp("pages") / "layers.html")
