"""Drawings: numbers, names, layers, and the backward pass beside the forward one."""

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawings import clusters, deep, laid_out, micrograd, nodes, program, shown, texts

import tinygrad_ninja
import viz
from tinygrad_ninja import nn

__all__ = ["program"]

NASTY = [
    "<script>alert(1)</script>",
    "a|{b}",
    'x & "y"',
    r"back\slash\N",
    "</TABLE>",
    "<b>",
    "a\nb",
    "&lt;",
    "é×",
]


# -- what is shown -------------------------------------------------------------------------------------------


def test_an_expression_shows_every_number_and_gradient(program: str) -> None:
    loss = micrograd()
    found = shown(viz.draw(loss))
    values = [loss]
    for each in values:
        values.extend(each.edges)
    for each in values:
        if not each.is_constant:  # a plain number stands beside the operation
            assert f"{each.data:.4g}" in found
            assert f"{each.grad:.4g}" in found
    assert {"a", "b", "L", "*", "+ 10", "tanh"} <= set(found)


def test_a_matrix_of_few_numbers_is_shown_whole_and_one_of_many_summed_up() -> None:
    few = tinygrad_ninja.tensor([[1.25, -2.5], [3.75, 0.0625]], requires_grad=True)
    many = tinygrad_ninja.arange(200.0).view(10, 20).requires_grad_()
    found = shown(viz.draw(few.sum() * (many * many).sum(), {"few": few, "many": many}))
    assert {"1.25", "-2.5", "3.75", "0.0625", "2×2 float32", "10×20 float32"} <= set(found)
    array = np.arange(200.0)
    assert f"{array.mean():.4g} ± {array.std():.4g}" in found
    assert "0 … 199" in found
    gradient = 2 * array * few.sum().item()
    assert f"{gradient.mean():.4g} ± {gradient.std():.4g}" in found


def test_integers_are_shown_in_full() -> None:
    assert {"123456", "-7"} <= set(shown(viz.draw(tinygrad_ninja.tensor([123456, -7]))))


def test_the_bars_are_the_histogram() -> None:
    numbers = np.repeat([0.0, 5.0, 12.0], [10, 20, 5])
    source = viz.draw(tinygrad_ninja.from_numpy(numbers)).source
    heights = [
        int(part.split('HEIGHT="')[1].split('"')[0]) for part in source.split("<TD ") if "BGCOLOR" in part
    ]
    assert heights == [11, 22, 6]  # of 22 points for the 20: rounded up


def test_show_leaves_out_what_is_not_asked_for() -> None:
    x = tinygrad_ninja.arange(50.0).requires_grad_()
    loss = (x * x).sum()
    assert not {"grad"} & set(shown(viz.draw(loss, show=("data", "stats"))))
    assert "24.5 ± 14.43" not in shown(viz.draw(loss, show=("data", "grad")))
    assert "4.042e+04" not in shown(viz.draw(loss, show=("grad", "stats")))
    assert "4.042e+04" in shown(viz.draw(loss))
    assert x.grad is None


def test_a_grad_that_holds_something_else_is_shown_too() -> None:
    x = tinygrad_ninja.tensor(3.0, requires_grad=True)
    loss = x * 2
    loss.backward(retain_graph=True)
    assert ".grad" not in shown(viz.draw(loss))
    loss.backward(retain_graph=True)
    found = shown(viz.draw(loss, {"x": x}))
    assert found[found.index(".grad") + 1] == "4"


def test_infinite_numbers_are_counted() -> None:
    x = tinygrad_ninja.tensor([np.inf, np.nan, *range(20)])
    assert "2 inf or nan" in shown(viz.draw(x))
    assert viz.draw(tinygrad_ninja.tensor([np.nan] * 20)).pipe(format="svg")
    assert viz.draw(tinygrad_ninja.tensor([])).pipe(format="svg")


def test_operations_show_the_plain_numbers_that_they_were_given() -> None:
    x = tinygrad_ninja.ones(3, 4, requires_grad=True)
    found = shown(viz.draw(((2 - x) ** 3 / 7)[:, 1].sum(0, keepdim=True).view(1, 1)))
    assert {"2 -", "** 3", "/ 7", "[:, 1]", "(0, keepdim=True)", "(1, 1)"} <= set(found)
    rows = tinygrad_ninja.tensor([0, 2])
    assert "[rows, 2×1 int64]" in shown(viz.draw(x[rows, tinygrad_ninja.tensor([[1], [3]])], {"rows": rows}))
    mask = tinygrad_ninja.tensor([True, False, True, False])
    assert "(4 bool, 0.0)" in shown(viz.draw(tinygrad_ninja.where(mask, x, 0.0)))


def test_a_value_used_twice_by_one_operation_has_two_arrows() -> None:
    x = tinygrad_ninja.tensor(3.0, requires_grad=True)
    found = laid_out(viz.draw(x * x))
    assert len(found["edges"]) == 3


def test_direction() -> None:
    loss = micrograd()
    boxes = {d: laid_out(viz.draw(loss, direction=d))["bb"].split(",")[2:] for d in ("LR", "TB")}
    assert float(boxes["LR"][0]) > float(boxes["LR"][1])
    assert float(boxes["TB"][0]) < float(boxes["TB"][1])


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"direction": "up"}, "direction is one of LR, RL, TB, BT, not 'up'"),
        ({"show": "data"}, "show is a tuple of some of data, grad, stats, not 'data'"),
        ({"show": ("values",)}, "show is a tuple of some of data"),
        ({"depth": -1}, "depth is 0 or more, not -1"),
    ],
)
def test_bad_arguments_are_named(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        viz.draw(micrograd(), **wrong)


# -- text ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NASTY)
def test_a_name_is_drawn_as_it_is_written(program: str, name: str, tmp_path: Path) -> None:
    x = tinygrad_ninja.tensor(1.0, requires_grad=True)
    drawing = viz.draw(x * 2, {name: x})
    written = " ".join(name.split())
    assert any(written in " ".join(each.split()) for each in texts(drawing.pipe(format="svg")))
    page = HTMLParser(convert_charrefs=True)
    tags: list[str] = []
    data: list[str] = []
    page.handle_starttag = lambda tag, attrs: tags.append(tag)  # type: ignore[method-assign]
    page.handle_data = data.append  # type: ignore[method-assign]
    page.feed(viz.save(drawing, tmp_path / "page.html").read_text("utf-8"))
    assert "script" not in tags
    assert any(written in " ".join(each.split()) for each in data)


def test_names_of_modules_and_letters_that_xml_cannot_hold(program: str) -> None:
    model = nn.Sequential()
    model.add_module("<i>|{}\x00\x1b", nn.Linear(2, 1))
    loss = model(tinygrad_ninja.ones(1, 2)).sum()
    for depth in (None, 1):
        found = texts(viz.draw(loss, {"m": model}, depth=depth).pipe(format="svg"))
        assert any("m.<i>|{}\ufffd\ufffd: Linear" in each for each in found)


# -- layers --------------------------------------------------------------------------------------------------


def test_layers_are_clusters_one_in_another() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh())
    x = tinygrad_ninja.ones(2, 4)
    loss = model(x).sum()
    found = clusters(viz.draw(loss, {"model": model, "x": x}))
    assert set(found) == {"model: Sequential", "model.0: Linear", "model.1: Tanh"}
    assert len(found["model.0: Linear"]) == 8  # permute, @, + with their results, and two parameters
    assert len(found["model.1: Tanh"]) == 2
    assert set(found["model.0: Linear"]) | set(found["model.1: Tanh"]) == set(found["model: Sequential"])


def test_what_dropout_draws_is_in_it_and_what_the_model_is_given_is_outside() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5), nn.Linear(3, 2))
    drawing = viz.draw(model(tinygrad_ninja.ones(2, 4)).sum(), model=model)
    found = clusters(drawing)
    assert len(found["1: Dropout"]) == 3  # the mask, the product and its result
    outside = set(nodes(drawing)) - set(found["Sequential"])
    assert len(outside) == 3  # the input, the sum and its result


def test_depth_folds_layers() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh())
    loss = model(tinygrad_ninja.ones(2, 4)).sum()
    whole, layers, model_only = (viz.draw(loss, {"model": model}, depth=d) for d in (2, 1, 0))
    assert len(nodes(whole)) == len(nodes(viz.draw(loss, {"model": model}))) == 13
    assert {"model.0: Linear", "3 operations, 15 parameters", "2×3"} <= set(shown(layers))
    assert set(clusters(layers)) == {"model: Sequential"}
    assert not clusters(model_only)
    assert "4 operations, 15 parameters" in shown(model_only)
    assert len(nodes(model_only)) == 4  # the input, the model, sum, and its result


def test_a_root_in_a_folded_layer_is_still_shown() -> None:
    model = nn.Linear(4, 1)
    found = shown(viz.draw(model(tinygrad_ninja.ones(1, 4)), model=model, depth=0))
    assert {"Linear", "1×1 float32"} <= set(found)


def test_repeated_layers_fold_to_one() -> None:
    model, loss = deep(6)
    found = clusters(viz.draw(loss, {"model": model}))
    assert "model.0: Sequential × 6, the first of which is drawn" in found
    assert "model.1: Sequential" not in found
    assert "model.0: Sequential × 6" in shown(viz.draw(loss, {"model": model}, depth=1))
    every = clusters(viz.draw(loss, {"model": model}, repeats=False))
    assert {f"model.{i}: Sequential" for i in range(6)} <= set(every)


def test_layers_that_repeat_in_turn_begin_with_the_weights() -> None:
    layers = [each for _ in range(4) for each in (nn.Linear(4, 4), nn.Tanh())]
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), *layers, nn.Linear(4, 2))
    found = clusters(viz.draw(model(tinygrad_ninja.ones(1, 3)).sum(), model=model))
    assert "2 … 3 × 4, the first of which is drawn" in found


def test_different_layers_do_not_fold() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4, bias=False), nn.Linear(4, 3))
    assert "×" not in "".join(clusters(viz.draw(model(tinygrad_ninja.ones(1, 4)).sum(), model=model)))


def test_the_backward_pass_is_drawn_beside_the_forward_one() -> None:
    x = tinygrad_ninja.tensor([1.0, 2.0], requires_grad=True)
    y = x.tanh()
    loss = (y * y).sum()
    found = viz.draw(loss, {"x": x, "y": y, "loss": loss}, backward=True)
    inside = clusters(found)["backward pass"]
    assert {"dx", "dy"} <= set(shown(found))
    assert 0 < len(inside) < len(nodes(found))
