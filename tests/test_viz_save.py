"""Drawings of large graphs; files, the programs that render, notebooks."""

import os
import re
import stat
import sys
import sysconfig
import time
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import graphviz
import numpy as np
import pytest
from drawings import clusters, deep, laid_out, micrograd, nodes, program, shown, texts

import tinygrad_ninja
import viz

__all__ = ["program"]


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
    assert drawing.source.count(" -> ") <= viz.drawing.EDGES * viz.drawing.LIMIT  # or `dot` takes minutes
    assert "10,019 operations, folded to" in drawing.source


def test_what_depth_folds_is_not_blamed_on_the_limit() -> None:
    model, loss = deep(100)
    assert "operations, folded to" not in viz.draw(loss, model=model, depth=0, repeats=False).source
    assert "operations, folded to" in viz.draw(loss, model=model, depth=9, repeats=False).source


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


def test_a_graph_of_your_own_is_saved_too(program: str, tmp_path: Path) -> None:
    graph = graphviz.Digraph(body=["first -> second"])
    assert {"first", "second"} <= set(texts(viz.save(graph, tmp_path / "g.svg").read_bytes()))
    assert viz.save(graph, tmp_path / "g.png").read_bytes().startswith(b"\x89PNG\r\n")
    assert "first" in viz.save(graph, tmp_path / "g.html").read_text("utf-8")


def test_what_cannot_be_drawn_leaves_the_old_file(program: str, tmp_path: Path) -> None:
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
    assert set(bundle) == {"image/svg+xml", "image/png"}
    assert "tanh" in {each.strip() for each in texts(bundle["image/svg+xml"].encode())}


def test_render_works_as_graphviz_documents_it(program: str, tmp_path: Path) -> None:
    path = viz.draw(micrograd()).render(outfile=tmp_path / "graph.svg", cleanup=True)
    assert "tanh" in Path(path).read_text("utf-8")
    assert os.listdir(tmp_path) == ["graph.svg"]  # noqa: PTH208


def test_without_a_format_it_is_svg(program: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    drawing = viz.draw(micrograd())
    assert "tanh" in {text.strip() for text in texts(drawing.pipe())}
    assert "tanh" in {text.strip() for text in texts(drawing.copy().pipe())}
    assert drawing.render("x") == "x.svg"
    assert "tanh" in Path("x.svg").read_text("utf-8")


@pytest.mark.skipif(sys.platform != "linux", reason="the stand-in for the viewer is Linux's")
@pytest.mark.filterwarnings(
    "ignore:subprocess .* is still running:ResourceWarning"
)  # graphviz leaves the viewer
def test_view_opens_what_it_rendered(program: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    viewer = tmp_path / "xdg-open"
    viewer.write_text('#!/bin/sh\necho "$1" > seen.part && /bin/mv seen.part seen\n')
    viewer.chmod(viewer.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.chdir(tmp_path)
    path = viz.draw(micrograd()).view("x")
    assert "tanh" in Path(path).read_text("utf-8")
    while not Path("seen").exists():  # graphviz does not wait for the viewer
        time.sleep(0.01)
    assert Path("seen").read_text().strip() == path


def test_what_only_the_systems_graphviz_can_do_is_refused_by_name(program: str) -> None:
    drawing = viz.draw(micrograd())
    if program == "system dot":
        assert drawing.pipe(format="pdf").startswith(b"%PDF")
        assert "tanh" in drawing.unflatten(stagger=2).source
    else:
        with pytest.raises(RuntimeError, match="graphviz-pure cannot write it"):
            drawing.pipe(format="pdf")
        with pytest.raises(RuntimeError, match=r"^unflatten is a program of the system's Graphviz"):
            drawing.unflatten(stagger=2)
