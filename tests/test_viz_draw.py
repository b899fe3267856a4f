"""Drawings: what is in them is asked of Graphviz, which renders each, and of parsers of what it wrote."""

import json
import os
import re
import shutil
import stat
import sys
import sysconfig
from graphlib import TopologicalSorter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import graphviz
import numpy as np
import pytest

import tinygrad_ninja
import viz
from tinygrad_ninja import nn
from tinygrad_ninja.value import Value

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


@pytest.fixture(params=["system dot", "graphviz-pure"])
def program(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Each of the two programs that may render, with the other out of reach."""
    if request.param == "graphviz-pure":
        monkeypatch.setenv("PATH", str(tmp_path))
    elif not shutil.which("dot"):
        pytest.skip("there is no system dot here")
    return str(request.param)


def laid_out(drawing: graphviz.Digraph) -> dict[str, Any]:
    """The drawing as Graphviz understood it."""
    found: dict[str, Any] = json.loads(drawing.pipe(format="json"))
    return found


def nodes(drawing: graphviz.Digraph) -> list[str]:
    return [each["name"] for each in laid_out(drawing)["objects"] if not each["name"].startswith("cluster")]


def texts(svg: bytes | str) -> list[str]:
    """Every text that an SVG shows, as it is read."""
    root = ElementTree.fromstring(svg)
    return [each.text for each in root.iter("{http://www.w3.org/2000/svg}text") if each.text]


def shown(drawing: graphviz.Digraph) -> list[str]:
    return [each.strip() for each in texts(drawing.pipe(format="svg"))]


def clusters(drawing: graphviz.Digraph) -> dict[str, list[str]]:
    """The title of every cluster, and the names of the nodes in it."""
    objects = laid_out(drawing)["objects"]
    return {
        " ".join(part["text"] for part in each["_ldraw_"] if part["op"] == "T"): [
            objects[i]["name"] for i in each.get("nodes", ())
        ]
        for each in objects
        if each["name"].startswith("cluster")
    }


def micrograd() -> Value:
    a, b = Value(2.0, "a"), Value(-3.0, "b")
    loss = (a * b + 10.0).tanh()
    loss.label = "L"
    loss.backward()
    return loss


def deep(layers: int) -> tuple[nn.Module, Any]:
    blocks = [nn.Sequential(nn.Linear(4, 4), nn.Tanh()) for _ in range(layers)]
    model = nn.Sequential(*blocks, nn.Linear(4, 1))
    return model, model(tinygrad_ninja.ones(2, 4)).sum()


# -- what is shown -------------------------------------------------------------------------------------------


def test_an_expression_shows_every_number_and_gradient(program: str) -> None:
    loss = micrograd()
    found = shown(viz.draw(loss))
    values = [loss]
    for each in values:
        values.extend(each.edges)
    for each in values:
        assert f"{each.data:.4g}" in found
        assert f"{each.grad:.4g}" in found
    assert {"a", "b", "L", "×", "+", "tanh"} <= set(found)


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
    assert {"2 −", "^ 3", "÷ 7", "[:, 1]", "axis 0 keepdims", "1×1"} <= set(found)
    rows = tinygrad_ninja.tensor([0, 2])
    assert "[rows, 2×1 int64]" in shown(viz.draw(x[rows, tinygrad_ninja.tensor([[1], [3]])], {"rows": rows}))


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


# -- large graphs --------------------------------------------------------------------------------------------


def tangle(size: int, seed: int) -> Any:
    """A graph of `size` operations, each of two earlier results, of which most are leaves at first."""
    rng = np.random.default_rng(seed)
    found = [tinygrad_ninja.tensor(rng.normal(), requires_grad=True) for _ in range(20)]
    for _ in range(size):
        a, b = rng.integers(max(0, len(found) - 200), len(found), 2)
        found.append(found[a] * found[b] if rng.random() < 0.5 else found[a] + found[b])
    root = found[-1]
    for each in found[:-1]:
        root = root + each
    return root


@pytest.mark.parametrize("seed", range(3))
def test_a_folded_graph_is_small_says_so_and_has_no_cycle(seed: int) -> None:
    drawing = viz.draw(tangle(1000, seed))
    found = laid_out(drawing)
    edges = {(each["tail"], each["head"]) for each in found["edges"]}
    assert 10 < len(nodes(drawing)) <= viz.drawing.LIMIT
    assert any("2,019 operations, folded to" in each for each in shown(drawing))
    order = TopologicalSorter[int]()
    for tail, head in edges:
        order.add(head, tail)
    order.prepare()  # CycleError where there is one


def test_10000_operations_fold_to_few_nodes() -> None:
    drawing = viz.draw(tangle(5000, 0))
    assert 10 < len(re.findall(r"^\t*[vsg]\d+ \[", drawing.source, re.MULTILINE)) <= viz.drawing.LIMIT
    assert "10,019 operations, folded to" in drawing.source


def test_limit_none_draws_everything() -> None:
    x = y = tinygrad_ninja.tensor(1.0, requires_grad=True)
    for i in range(400):
        y = y * (1 + i)
    drawing = viz.draw(y, limit=None, show=())
    assert drawing.source.count("[label=") == 801
    assert "folded" not in drawing.source
    assert x.grad is None


def test_a_long_chain_of_one_pattern_is_one_repeat() -> None:
    x = y = tinygrad_ninja.tensor(0.5, requires_grad=True)
    for _ in range(2000):
        y = (y * x + 1).tanh()
    drawing = viz.draw(y, {"x": x})
    assert "operations 1–3 × 2,000, the first of which is drawn" in clusters(drawing)
    assert len(nodes(drawing)) < 10


@pytest.mark.slow
def test_a_chain_of_100000_operations() -> None:
    y = tinygrad_ninja.tensor(1.0, requires_grad=True)
    for i in range(100_000):
        y = y * (1 + i % 7919 / 1e9)
    drawing = viz.draw(y, show=("data",))
    assert "100,000 operations, folded to" in drawing.source
    assert len(nodes(drawing)) <= viz.drawing.LIMIT


# -- files, programs, notebooks ------------------------------------------------------------------------------


def test_save_writes_what_the_suffix_says(program: str, tmp_path: Path) -> None:
    loss = micrograd()
    drawing = viz.draw(loss)
    files = {
        suffix: viz.save(drawing, tmp_path / f"g{suffix}").read_bytes() for suffix in viz.drawing.FORMATS
    }
    assert {"a", "b", "L"} <= {each.strip() for each in texts(files[".svg"])}
    assert files[".png"].startswith(b"\x89PNG\r\n")
    assert files[".dot"].decode() == drawing.source
    assert files[".html"].startswith(b"<!doctype html>")
    addresses = {each.split('"')[0] for each in files[".html"].decode().split("http")[1:]}
    assert addresses == {"://www.w3.org/2000/svg", "://www.w3.org/1999/xlink"}  # names of XML, no requests
    assert viz.save(loss, str(tmp_path / "UPPER.SVG"), direction="TB").stat().st_size


def test_another_suffix_is_refused_before_anything_is_drawn(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"graph\.pdf has to end in \.svg, \.png, \.dot or \.html"):
        viz.save(None, tmp_path / "graph.pdf")  # type: ignore[arg-type]


def test_what_cannot_be_drawn_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "graph.svg"
    path.write_text("old")
    broken = graphviz.Digraph(body=["{"])
    with pytest.raises(graphviz.CalledProcessError):
        viz.save(broken, path)
    assert path.read_text() == "old"


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for dot is a shell script")
def test_the_systems_dot_is_used_where_there_is_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    dot = tmp_path / "dot"
    dot.write_text('#!/bin/sh\n/bin/cat > /dev/null\necho "<svg>the system\'s</svg>"\n')
    dot.chmod(dot.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert viz.draw(micrograd()).pipe(format="svg").strip() == b"<svg>the system's</svg>"


def test_without_any_program_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    with pytest.raises(RuntimeError, match="pip install graphviz-pure"):
        viz.draw(micrograd()).pipe(format="svg")


def test_a_drawing_shows_itself_in_a_notebook(program: str) -> None:
    drawing = viz.draw(micrograd())
    assert isinstance(drawing, graphviz.Digraph)
    bundle = drawing._repr_mimebundle_()
    assert set(bundle) == {"image/svg+xml"}
    assert "tanh" in {each.strip() for each in texts(bundle["image/svg+xml"].encode())}


def test_render_works_as_graphviz_documents_it(program: str, tmp_path: Path) -> None:
    path = viz.draw(micrograd()).render(outfile=tmp_path / "graph.svg", cleanup=True)
    assert "tanh" in Path(path).read_text("utf-8")
    assert os.listdir(tmp_path) == ["graph.svg"]  # noqa: PTH208
