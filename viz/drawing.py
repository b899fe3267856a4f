"""`draw` and `save`: a graph as a static picture, laid out by Graphviz.

The system's `dot` is used where there is one, and the program of the package graphviz-pure otherwise.
"""

from __future__ import annotations

import base64
import contextlib
import html
import shutil
import sysconfig
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import graphviz
from graphviz.backend import dot_command

from tinygrad_ninja import Tensor
from tinygrad_ninja.api.weights import write
from tinygrad_ninja.engine.value import Value
from tinygrad_ninja.nn import Module

from .fold import fold, opened
from .graph import Graph, Step, extract
from .labels import printable
from .picture import Picture
from .widths import with_widths

PURE = "graphviz-pure"
LIMIT = 300
EDGES = 3  # per node of the limit; with more, `dot` takes minutes
DEEP = 8  # steps, which side by side are wider than a screen
DIRECTIONS = ("LR", "RL", "TB", "BT")
SHOWN = ("data", "grad", "stats")
FORMATS = (".svg", ".png", ".dot", ".html")

PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{title}</title></head>
<body style="margin: 1em; background: white">
{svg}
</body>
</html>
"""


class Drawing(graphviz.Digraph):
    """A `graphviz.Digraph` that can be rendered, and shows itself in Jupyter, also where there is no `dot`.

    The default format is SVG, not graphviz's PDF, which only the system's `dot` can write.
    """

    def __init__(self, *args: Any, format: str | None = "svg", **kwargs: Any) -> None:
        super().__init__(*args, format=format, **kwargs)

    def __repr__(self) -> str:
        return "<viz.Drawing>"  # without an address, so that a notebook which is run again shows the same

    def pipe(
        self,
        format: str | None = None,
        *args: Any,
        quiet: bool = True,
        engine: str | None = None,
        encoding: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """Return the rendered drawing, as graphviz's method does, without warnings about fonts.

        The program gets the whole drawing at once, so that one which refuses it early can still say why; its
        message is in the CalledProcessError.
        """
        source = self.source.encode(self.encoding)
        with _some_dot():
            rendered = graphviz.pipe(
                engine or self.engine, format or self.format, source, *args, quiet=quiet, **kwargs
            )
        if (format or self.format) == "svg":
            rendered = with_widths(rendered.decode("utf-8")).encode("utf-8")
        return rendered if encoding is None else rendered.decode(encoding)

    def _repr_mimebundle_(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return the drawing as SVG, and as PNG for where a notebook is not trusted with SVG."""
        png = base64.b64encode(self.copy().pipe(format="png")).decode()
        return {"image/svg+xml": self.pipe(format="svg", encoding="utf-8"), "image/png": png}

    def render(self, *args: Any, quiet: bool = True, **kwargs: Any) -> Any:
        """Render into a file, as graphviz's method does, without warnings about fonts."""
        with _some_dot():
            return super().render(*args, quiet=quiet, **kwargs)

    def view(self, *args: Any, quiet: bool = True, **kwargs: Any) -> Any:
        """Open the rendered drawing, as graphviz's method does, without warnings about fonts."""
        return super().view(*args, quiet=quiet, **kwargs)

    def unflatten(self, *args: Any, **kwargs: Any) -> graphviz.Source:
        """Return a less flat layout, as graphviz's method does.

        Raises RuntimeError where the system's Graphviz, whose program it calls, is not installed.
        """
        try:
            return super().unflatten(*args, **kwargs)
        except graphviz.ExecutableNotFound:
            raise RuntimeError(
                f"unflatten is a program of the system's Graphviz, and {PURE} has none: install Graphviz"
            ) from None


@contextlib.contextmanager
def _some_dot() -> Iterator[None]:
    """Let graphviz call a program that is installed, while the block lasts.

    Raises RuntimeError where there is none, or where it cannot write the format.
    """
    default = dot_command.DOT_BINARY
    if not shutil.which(str(default)):
        pure = shutil.which(PURE, path=sysconfig.get_path("scripts")) or shutil.which(PURE)
        if pure is None:
            raise RuntimeError(f"a drawing needs Graphviz: pip install {PURE}, or install the system's dot")
        dot_command.DOT_BINARY = Path(pure)
    try:
        yield
    except graphviz.CalledProcessError as error:
        message = error.stderr.decode() if isinstance(error.stderr, bytes) else str(error.stderr)
        if message.startswith("Format: "):
            raise RuntimeError(
                f"{Path(dot_command.DOT_BINARY).stem} cannot write it. {message.strip()}"
            ) from None
        raise
    finally:
        dot_command.DOT_BINARY = default


def draw(
    root: Tensor | Value,
    names: Mapping[str, Any] | None = None,
    model: Module | None = None,
    *,
    depth: int | None = None,
    direction: Literal["LR", "RL", "TB", "BT"] | None = None,
    show: Collection[str] = SHOWN,
    backward: bool | Sequence[Tensor] = False,
    repeats: bool = True,
    limit: int | None = LIMIT,
) -> Drawing:
    """Draw the graph that `root`, a Tensor or Value, was computed by: values, and the operations between
    them.

    names: the names of Tensors and Modules, such as `locals()`; model: a Module whose paths need no prefix.
    Both are described at `graph.extract`, and so is `backward`, which draws the backward pass beside the
    forward one. depth: how many levels of Modules to open: 0 draws each as one node; None opens all.
    direction: of the arrows, from left to right ("LR") or otherwise; None for left to right where the longest
    way has few steps, else from top to bottom. show: "data", the numbers of a value where they
    are few; "grad", the gradient of `root` with respect to it, and the content of its `.grad` where it
    differs; "stats", mean ± deviation, extremes and a histogram of the numbers where they are many. repeats:
    whether layers that follow one another, alike but for their weights, are drawn once, as "× N". limit: the
    most nodes to draw; of a larger graph parts are drawn folded, with a note that says so. None for no limit.

    Raises TypeError where the root is neither, ValueError for another direction, show or depth, or where
    there is no backward pass, and RuntimeError where backward() has freed the graph.
    """
    if direction not in (None, *DIRECTIONS):
        raise ValueError(f"direction is one of {', '.join(DIRECTIONS)}, not {direction!r}")
    if isinstance(show, str) or not set(show) <= set(SHOWN):
        raise ValueError(f"show is a tuple of some of {', '.join(SHOWN)}, not {show!r}")
    if depth is not None and depth < 0:
        raise ValueError(f"depth is 0 or more, not {depth}")
    graph = extract(root, names, model, gradients="grad" in show, backward=backward)
    size = 2 * len(graph.steps) + sum(value.maker is None for value in graph.values)
    large = limit is not None and size > limit
    top = fold(graph, repeats=repeats, long=large)
    groups = opened(top, depth, limit)
    picture = Picture(graph, top, groups)
    while limit and large and picture.edges > EDGES * limit:
        limit //= 2
        groups = opened(top, depth, limit)
        picture = Picture(graph, top, groups)
    notes = [graph.note] if graph.note else []
    if large and (depth is None or groups < opened(top, depth, None)):
        notes.append(
            f"{len(graph.steps):,} operations, folded to {picture.nodes:,} nodes: limit=None shows all"
        )
    drawing = Drawing("graph")
    picture.write(drawing, direction or ("LR" if _depth(graph) <= DEEP else "TB"), show, notes)
    return drawing


def _depth(graph: Graph) -> int:
    """Return the number of steps on the longest way."""
    depths: dict[Step, int] = {}
    for step in graph.steps:
        makers = (getattr(value, "maker", None) for value in step.inputs)
        depths[step] = 1 + max((depths[maker] for maker in makers if maker), default=0)
    return max(depths.values(), default=0)


def save(what: graphviz.Digraph | Tensor | Value, path: str | Path, **options: Any) -> Path:
    """Write a drawing, or that of a Tensor or Value with the options of `draw`, in the format of the suffix.

    .svg, .png (at 144 dots per inch), .dot (the source), or .html (a page that holds the SVG, and needs no
    network). Returns the path. Raises ValueError for another suffix, before anything is drawn, and OSError
    where the file cannot be written; one that was there before is then unchanged.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise ValueError(f"{path.name} has to end in {', '.join(FORMATS[:-1])} or {FORMATS[-1]}")
    drawing = what if isinstance(what, graphviz.Digraph) else draw(what, **options)
    if suffix == ".dot":
        content = drawing.source.encode()
    else:
        if suffix == ".png":
            drawing = drawing.copy()
            drawing.attr(dpi="144")
        with _some_dot():  # also for a Digraph that is no Drawing
            content = drawing.pipe(format="png" if suffix == ".png" else "svg", quiet=True)
    if suffix == ".html":
        svg = content.decode()
        content = PAGE.format(title=html.escape(printable(path.stem)), svg=svg[svg.index("<svg") :]).encode()
    write(path, content)
    return path
