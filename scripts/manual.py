"""Hooks with which mkdocs builds the manual: the pages and pictures that are made while it is built.

    pip install -e ".[docs]" && mkdocs build --strict

Pages that show pictures of their own are run, the notebooks are those of `examples/`, the gallery is drawn by
`examples/gallery.py`, and the tables of names are computed. LaTeX becomes MathML. A page that would load
anything from another host is an error.
"""

from __future__ import annotations

import html
import inspect
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import click
from function_areas import function_areas
from latex2mathml.converter import convert
from manual_pages import DOCS, ROOT, program
from mkdocs.exceptions import PluginError
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File
from name_tables import counted, tables

from tinygrad_ninja import Tensor
from tinygrad_ninja.api import OFFERED
from tinygrad_ninja.cli import ninja

WORK = tempfile.TemporaryDirectory()
"""Where what is made lies until the manual is written."""

DOCUMENTED: set[str] = set()
"""What has its place in the reference."""

DRAWN_BY_PAGES = ("tutorial.md", "from-micrograd.md")
"""The pages whose code writes pictures that they show."""

COPIED = {"notebooks": "*.ipynb", "examples/gallery": "gallery/*.png"}
"""What stands in the manual as it is in `examples/`: the manual's folder, and the files."""

MARKER = re.compile(r"^<!-- (?P<what>\w+)(?: (?P<argument>[\w.:]+))? -->$", re.MULTILINE)
"""Where something computed goes into a page."""

ELSEWHERE = re.compile(
    r"<(?:script|img|iframe|source|embed)\b[^>]*\bsrc=[\"']?(?:https?:)?//[^\"'>\s]*"
    r"|<link\b(?=[^>]*\brel=[\"']?(?:stylesheet|preload|preconnect|icon))[^>]*\bhref=[\"']?(?:https?:)?//[^>]*"
)


def run(*command: str | Path) -> None:
    """Run a program of the project in the folder of what is made; PluginError with its words if it fails."""
    result = subprocess.run([sys.executable, *command], cwd=WORK.name, capture_output=True, encoding="utf-8")
    if result.returncode:
        raise PluginError(f"{' '.join(map(str, command))}:\n{result.stdout}{result.stderr}")


@event_priority(100)  # before the plugin of the notebooks looks for them
def on_files(files: Any, config: Any) -> Any:
    """Add what is made, and what lies elsewhere in the project, to the manual's files."""
    made = Path(WORK.name)
    run(ROOT / "examples" / "gallery.py", made / "gallery")
    run("-m", "tinygrad_ninja", "draw", "--model", "lecture", "--out", made / "gallery" / "lecture.html")
    run("-m", "tinygrad_ninja", "derive", "--model", "lecture", "--explain", "--out", made / "lecture.md")
    for page in DRAWN_BY_PAGES:
        run("-c", program(DOCS / page))
    for folder, pattern in COPIED.items():
        (made / folder).mkdir(parents=True)
        for path in (ROOT / "examples").glob(pattern):
            shutil.copy(path, made / folder)
    for path in made.rglob("*.*"):
        name = path.relative_to(made).as_posix()
        files.append(File(name, WORK.name, config.site_dir, config.use_directory_urls))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put what is computed in the places of the markers."""
    return MARKER.sub(lambda marker: MAKERS[marker["what"]](marker["argument"]), markdown)


def source(path: str) -> str:
    """Return the source of a function or class of the engine as a block of code, under its file's name."""
    value = resolve_name(path)
    file = Path(str(inspect.getsourcefile(value))).relative_to(ROOT)
    return f'```python title="{file.as_posix()}"\n{inspect.getsource(value)}```'


def functions(_: None) -> str:
    """Return the reference of the package's functions, by area."""
    return "\n".join(reference(title, names) for title, names in function_areas().items())


def members(path: str) -> str:
    """Return the reference of a module's public names; of those that stand elsewhere, links."""
    module = resolve_name(path)
    return "\n".join(entry(name, getattr(module, name)) for name in public(module))


def public(module: Any) -> list[str]:
    """Return the public names of a module that are no modules; those defined in it, where it lists none."""
    names = getattr(module, "__all__", None) or [
        name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__
    ]
    return [name for name in names if name[0] != "_" and not inspect.ismodule(getattr(module, name))]


def entry(name: str, value: Any) -> str:
    """Return the reference of a function or class, or a link to it where it has one already."""
    offered = any(name in names for names in function_areas().values()) and OFFERED[name] is value
    path = f"tinygrad_ninja.{name}" if offered else f"{value.__module__}.{value.__qualname__}"
    if offered or path in DOCUMENTED:
        return f"- [`{name}`][{path}]\n"
    DOCUMENTED.add(path)
    return f"::: {path}\n"


def methods(_: None) -> str:
    """Return the reference of Tensor's attributes and of the methods that are no functions of the package."""
    names = [name for name in dir(Tensor) if name[0] != "_" and name not in OFFERED]
    return "\n".join(f"::: tinygrad_ninja.engine.tensor.Tensor.{name}\n" for name in names)


def reference(title: str, names: dict[str, list[str]]) -> str:
    """Return an area of the reference: its functions, each with its other names."""
    parts = [f"## {title}\n"]
    for name, others in names.items():
        parts.append(f"::: tinygrad_ninja.{name}\n")
        if others:
            parts.append(f"Also called {', '.join(f'`{other}`' for other in others)}.\n")
    return "\n".join(parts)


def help_texts(_: None) -> str:
    """Return what `--help` prints for each command of `ninja`."""
    context = click.Context(ninja, info_name="ninja")
    texts = []
    for name in ninja.list_commands(context):
        command = ninja.get_command(context, name)
        assert command
        text = command.get_help(click.Context(command, parent=context, info_name=name, terminal_width=100))
        texts.append(f"## ninja {name}\n\n```text\n{text}\n```\n")
    return "\n".join(texts)


MAKERS: dict[str, Callable[[Any], str]] = {
    "source": source,
    "functions": functions,
    "methods": methods,
    "members": members,
    "counts": lambda _: counted(),
    "names": lambda _: tables(),
    "help": help_texts,
}


def mathml(latex: str, display: str) -> str:
    """Return a formula as MathML, which browsers show without a script."""
    return str(convert(html.unescape(latex).strip(), display=display))


def on_page_content(content: str, **_: Any) -> str:
    """Write the formulas of a page, or of a notebook's cells, as MathML."""
    content = re.sub(
        r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>',
        lambda found: mathml(found[3], "inline" if found[2] == "(" else "block"),
        content,
        flags=re.DOTALL,
    )
    return re.sub(
        r"(?<=jp-RenderedMarkdown)[^>]*>.*?</div>",
        lambda cell: "".join(_formulas(cell[0])),
        content,
        flags=re.DOTALL,
    )


def _formulas(cell: str) -> Iterator[str]:
    for part in re.split(r"(<pre\b.*?</pre>|<code\b.*?</code>)", cell, flags=re.DOTALL):
        if part.startswith(("<pre", "<code")):
            yield part
            continue
        yield re.sub(
            r"\$\$(.+?)\$\$|\$([^$]+?)\$",
            lambda found: mathml(found[1], "block") if found[1] else mathml(found[2], "inline"),
            part,
            flags=re.DOTALL,
        )


def on_post_build(config: Any) -> None:
    """Check that no page loads anything from another host."""
    for page in Path(config.site_dir).rglob("*.html"):
        if found := ELSEWHERE.search(page.read_text(encoding="utf-8")):
            raise PluginError(f"{page} would load from another host: {found[0]}")
