"""What a notebook shows of pages, drawings, comparisons, Values, compiled functions, Modules, derivations."""

import base64
import re
from pathlib import Path
from typing import Any

import pytest
from browser import browser, needs_browser
from derivations import lecture_derivation
from IPython.core.formatters import DisplayFormatter
from test_viz_graph import lecture_run

import tinygrad_ninja
import viz
from tinygrad_ninja import Value, nn

__all__ = ["browser"]


class Printer:
    """What IPython hands to `_repr_pretty_`."""

    def __init__(self) -> None:
        self.printed = ""

    def text(self, text: str) -> None:
        self.printed += text


def pretty(shown: Any) -> str:
    printer = Printer()
    shown._repr_pretty_(printer, cycle=False)
    return printer.printed


def test_a_value_is_shown_with_its_label() -> None:
    assert pretty(Value(2.0, label="a")) == "a: Value(data=2.0, grad=0.0)"
    assert pretty(Value(2.0)) == repr(Value(2.0))


def test_a_compiled_function_is_shown_as_what_it_does() -> None:
    step = tinygrad_ninja.compile(lambda x: (x * x).sum())
    step(tinygrad_ninja.ones(3))
    assert pretty(step) == step.explain()
    assert pretty(step).endswith(
        "recorded once:\n  1. for the first call\nit depends on\n  its arguments alone"
    )
    with pytest.warns(UserWarning, match="is recorded again"):
        step(tinygrad_ninja.ones(4))
    assert "recorded 2 times:" in pretty(step)


def test_a_module_is_shown_as_a_tree_with_shapes_and_counts() -> None:
    net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Sequential(nn.Linear(8, 2, bias=False)))
    net[0].bias.requires_grad_(False)
    shown = net._repr_html_()
    text = " ".join(re.sub("<[^>]*>", " ", shown).split())
    assert text == (
        "Sequential () · 48 parameters 0: Linear (in_features=3, out_features=8, bias=True) · 32 parameters "
        "weight 8×3 bias 8, frozen 1: Tanh () 2: Sequential () · 16 parameters 0: Linear (in_features=8, "
        "out_features=2, bias=False) · 16 parameters weight 2×8"
    )
    assert shown.count("<details") == shown.count("</details>") == 4


def displayed(shown: Any) -> dict[str, str]:
    """What IPython hands to a notebook."""
    bundle: dict[str, str] = DisplayFormatter().format(shown)[0]
    return bundle


def test_a_derivation_is_shown_as_both_passes_and_its_formulas() -> None:
    derivation = lecture_derivation()
    shown = displayed(derivation)["text/markdown"]
    forward, backward = re.findall(r"```python\n(.*?)\n```", shown, flags=re.DOTALL)
    assert "\nloss = " in forward
    assert "\ndlogits = " in backward
    assert f"{forward}\n\n{backward}" == str(derivation)
    formulas = re.findall(r"\$\$(?:\\begin\{aligned\} )?\\mathrm\{d(\w+)\} &?= ", shown.replace(r"\_", "_"))
    assert formulas == [name for name in derivation.values if name != "loss"]
    assert r"$$\mathrm{dW2} = h^{\top} \, \mathrm{dlogits}$$" in shown


def test_an_explanation_is_shown_set_and_is_text_everywhere_else(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    page = lecture_derivation().explain("W2")
    assert displayed(page) == {"text/plain": page, "text/markdown": page}
    assert isinstance(page, str)
    print(page)
    assert capsys.readouterr().out == f"{page}\n"
    (tmp_path / "page.md").write_text(page)
    assert (tmp_path / "page.md").read_text() == page


def test_a_drawing_is_there_as_png_too_for_a_notebook_that_is_not_trusted() -> None:
    x = tinygrad_ninja.ones(2, requires_grad=True)
    shown = viz.draw((x * x).sum())._repr_mimebundle_()
    assert set(shown) == {"image/svg+xml", "image/png"}
    assert base64.b64decode(shown["image/png"]).startswith(b"\x89PNG")
    assert "<svg" in shown["image/svg+xml"]


def test_a_deep_graph_is_drawn_from_top_to_bottom_and_a_shallow_one_from_left_to_right() -> None:
    run = lecture_run(tinygrad_ninja)
    assert "rankdir=TB" in viz.draw(run["loss"], run).source.replace(" ", "").replace('"', "")
    shallow = viz.draw((Value(2.0) * Value(3.0)).tanh()).source
    assert "rankdir=LR" in shallow.replace(" ", "").replace('"', "")


@needs_browser
@pytest.mark.slow
def test_a_page_shows_itself_in_a_frame_without_a_file(browser: Any, tmp_path: Path) -> None:
    x = tinygrad_ninja.ones(2, requires_grad=True)
    shown = viz.page((x * x).sum(), {"x </iframe>": x}, path=tmp_path / "graph.html")
    host = f"<!doctype html><p>before</p>{shown._repr_html_()}<p>after</p>"
    shown.unlink()
    page = browser.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.set_content(host)
    frame = page.frame_locator("iframe")
    frame.locator(".node").first.wait_for()
    assert frame.locator(".node").count() == 3
    frame.locator("#play").click()
    assert page.get_by_text("after").is_visible()
    assert page.get_by_text(str(shown)).is_visible()
    assert complaints == []
    page.close()


OVERLAPS = """() => {
  const boxes = [...document.querySelectorAll("text")].map((e) => [e.textContent, e.getBoundingClientRect()]);
  return boxes.flatMap(([a, p], i) => boxes.slice(i + 1).filter(([b, q]) =>
    p.left < q.right - 1 && q.left < p.right - 1 && p.top < q.bottom - 3 && q.top < p.bottom - 3
  ).map(([b]) => `${a} and ${b}`));
}"""


@needs_browser
@pytest.mark.slow
@pytest.mark.parametrize("font", ["Arial", "DejaVu Sans", "monospace"])
def test_numbers_do_not_collide_in_a_browser_with_a_wider_font(browser: Any, font: str) -> None:
    x = tinygrad_ninja.tensor([[-1.23456, -2.5e-7, 1234.5678], [3.75, 1e-9, -0.001]], requires_grad=True)
    y = (x * x + 12345.678).sum(1, keepdim=True)
    svg = viz.draw(y.log().sum(), {"x": x, "y": y}).pipe(format="svg", encoding="utf-8")
    page = browser.new_page()
    page.set_content(svg[svg.index("<svg") :].replace('font-family="Arial"', f'font-family="{font}"'))
    assert page.locator("text").count() > 30
    assert page.evaluate(OVERLAPS) == []
    page.close()
