"""Writes the file of a page, which joins parts of `static` with its content; and `page`, that of a graph."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from string import Template
from typing import Any

from tinygrad_ninja import Tensor
from tinygrad_ninja.api.weights import write
from tinygrad_ninja.engine.value import Value
from tinygrad_ninja.nn import Module

from ..graph import extract
from ..labels import printable
from .content import content

STATIC = Path(__file__).parent / "static"
STYLES = ("page.css", "controls.css", "scene.css", "inspector.css")
SCRIPTS = (
    "elements.js", "graph.js", "layout.js", "wrap.js", "numbers.js", "heatmap.js", "scene.js",
    "view.js", "minimap.js", "inspector.js", "walk.js", "forward.js", "nudge.js", "search.js",
    "main.js",
)  # fmt: skip


class Page(type(Path())):  # type: ignore[misc]
    """The path of a page; a notebook shows the page itself."""

    def _repr_html_(self) -> str:
        """Return the page in a frame, whole, so that it needs no server that finds the file; and its path,
        which is left of it in a notebook that is not trusted with frames."""
        document, path = html.escape(self.read_text("utf-8")), html.escape(printable(str(self)))
        return (
            f'<iframe srcdoc="{document}" style="width: 100%; height: 760px; border: 0"></iframe>'
            f"<div><code>{path}</code></div>"
        )


def page(
    root: Tensor | Value,
    names: Mapping[str, Any] | None = None,
    model: Module | None = None,
    *,
    path: str | Path = "graph.html",
) -> Page:
    """Write a page that shows the graph that `root` was computed by, and walks through its backward pass.

    It is one file that needs no network. names: the names of Tensors and Modules, such as `locals()`; model:
    a Module whose paths need no prefix; both are described at `graph.extract`. To show the lines of the
    program, compute `root` under `autograd.detect_anomaly(check_nan=False)`.

    Returns the path, which a notebook shows as the page itself. Raises ValueError where it does not end in
    .html, TypeError where the root is neither, RuntimeError where backward() has freed the graph, and OSError
    where the file cannot be written; a file that was there before is then unchanged.
    """
    path = html_path(path)
    return write_page(path, "page.html", STYLES, SCRIPTS, content(extract(root, names, model)))


def html_path(path: str | Path) -> Path:
    """Return the path. Raises ValueError where it does not end in .html."""
    path = Path(path)
    if path.suffix.lower() != ".html":
        raise ValueError(f"{path.name} has to end in .html")
    return path


def write_page(
    path: Path, body: str, styles: Iterable[str], scripts: Iterable[str], held: dict[str, Any]
) -> Page:
    """Write a page of these parts of `static`, which holds the content as JSON, and return its path."""
    title = html.escape(printable(path.stem))
    text = json.dumps(held, separators=(",", ":"), allow_nan=False)
    # No text of the content, such as a name with </script> in it, may end the element that holds it.
    style, script = ("\n".join(map(_read, files)) for files in (styles, scripts))
    document = Template(_read("document.html")).substitute(
        title=title,
        body=Template(_read(body)).substitute(title=title),
        style=style,
        style_hash=_hash(style),
        script=script,
        script_hash=_hash(script),
        content=text.replace("<", "\\u003c"),
    )
    write(path, document.encode())
    return Page(path)


def is_ours(path: Path) -> bool:
    """Return whether the file was written by `page`, which names its generator. Raises OSError."""
    with path.open("rb") as file:
        return b'<meta name="generator" content="tinygrad_ninja">' in file.read(1024)


def _read(name: str) -> str:
    return (STATIC / name).read_text("utf-8")


def _hash(text: str) -> str:
    """Return the hash by which a Content-Security-Policy names the one script, or style, that may run."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
