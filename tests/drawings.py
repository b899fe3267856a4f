"""Drawings, and what is seen of them: by Graphviz, which renders each, and by parsers of what it wrote."""

import json
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import graphviz
import pytest

import tinygrad_ninja
from tinygrad_ninja import nn
from tinygrad_ninja.engine.value import Value


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
