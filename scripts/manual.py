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
from latex2mathml.converter import convert
from manual_pages import DOCS, ROOT, program
from mkdocs.exceptions import PluginError
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File
from mkdocs.structure.toc import get_toc
from name_tables import counted, tables
from public_names import PublicName, function_areas
from public_names import members as members_of
from public_names import methods as methods_of

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

HEADING = re.compile(r'<h([1-3]) id="([^"]+)">(.*?)<a class="anchor-link"', re.DOTALL)

FETCHING = re.compile(
    r'<script (?:src=""|type="text/x-mathjax-config"|type="module")>.*?</script>', re.DOTALL
)
"""What nbconvert adds to a notebook's page to fetch MathJax and Mermaid, which no notebook needs."""

ELSEWHERE = re.compile(
    r"\bimport\([\"'`]https?://[^\"'`]*|"
    r"<(?:script|img|iframe|source|embed)\b[^>]*\bsrc=[\"']?(?:https?:)?//[^\"'>\s]*"
    r"|<link\b(?=[^>]*\brel=[\"']?(?:stylesheet|preload|preconnect|icon))[^>]*\bhref=[\"']?(?:https?:)?//[^>]*"
)


UNSET = re.compile(r"\$<math|</math>\$|\$[^$<\n]*[\\^_][^$<\n]*\$")
"""A formula that was not set, or one of whose signs was left."""


def run(*command: str | Path) -> None:
    """Run a program of the project in the folder of what is made; PluginError with its words if it fails."""
    result = subprocess.run([sys.executable, *command], cwd=WORK.name, capture_output=True, encoding="utf-8")
    if result.returncode:
        raise PluginError(f"{' '.join(map(str, command))}:\n{result.stdout}{result.stderr}")


@event_priority(100)  # before the plugin of the notebooks looks for them
def on_files(files: Any, config: Any) -> Any:
    """Add what is made, and what lies elsewhere in the project, to the manual's files."""
    sys.path.append(str(ROOT / "scripts"))  # for `manual_reference`, which griffe loads by its path
    DOCUMENTED.clear()  # `mkdocs serve` builds again and again
    work = Path(WORK.name)
    shutil.rmtree(work)
    work.mkdir()
    run(ROOT / "examples" / "gallery.py", work / "gallery")
    run("-m", "tinygrad_ninja", "draw", "--model", "lecture", "--out", work / "gallery" / "lecture.html")
    run("-m", "tinygrad_ninja", "derive", "--model", "lecture", "--explain", "--out", work / "lecture.md")
    for page in DRAWN_BY_PAGES:
        run("-c", program(DOCS / page))
    for folder, pattern in COPIED.items():
        (work / folder).mkdir(parents=True)
        for path in (ROOT / "examples").glob(pattern):
            shutil.copy(path, work / folder)
    for path in work.rglob("*.*"):
        name = path.relative_to(work).as_posix()
        files.append(File(name, WORK.name, config.site_dir, config.use_directory_urls))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put what is computed in the places of the markers."""
    DOCUMENTED.update(re.findall(r"^::: (\S+)", markdown, re.MULTILINE))
    return MARKER.sub(lambda marker: MAKERS[marker["what"]](marker["argument"]), markdown)


def source(path: str) -> str:
    """Return the source of a function or class of the engine as a block of code, under its file's name."""
    value = resolve_name(path)
    file = Path(str(inspect.getsourcefile(value))).relative_to(ROOT)
    return f'```python title="{file.as_posix()}"\n{inspect.getsource(value)}```'


def functions(_: None) -> str:
    """Return the reference of the package's functions, by area."""
    return "\n".join(area(title, names) for title, names in function_areas().items())


def area(title: str, names: dict[str, list[str]]) -> str:
    """Return an area of the reference: its functions, each with its other names."""
    parts = [f"## {title}\n"]
    for name, others in names.items():
        parts.append(f"::: tinygrad_ninja.{name}\n")
        if others:
            parts.append(f"Also called {', '.join(f'`{other}`' for other in others)}.\n")
    return "\n".join(parts)


def members(module: str) -> str:
    """Return the reference of a module's public names; of those that stand elsewhere, links."""
    return "\n".join(map(entry, members_of(module)))


def methods(_: None) -> str:
    """Return the reference of Tensor's attributes and of the methods that are no functions of the package."""
    return "\n".join(map(entry, methods_of()))


def entry(name: PublicName) -> str:
    """Return the reference of a name, or a link to it where it has one already."""
    if name.definition in DOCUMENTED or name.definition.count(".") == 1:  # a function of the package
        return f"- [`{name.name}`][{name.definition}]\n"
    DOCUMENTED.add(name.definition)
    return f"::: {name.definition}\n"


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
    latex = re.sub(r"\\tag\{(.*?)\}", r"\\qquad\\text{(\1)}", html.unescape(latex).strip())
    latex = re.sub(
        r"\\(ln|log|tanh|exp|max) (?![\\ ]*(?:left)?\()", r"\\\1 \\, ", latex
    )  # MathML has no space there
    return str(convert(latex, display=display))


def on_page_content(content: str, page: Any, **_: Any) -> str:
    """Write the formulas of a page, or of a notebook's cells, as MathML; list a notebook's sections."""
    if page.file.src_uri.endswith(".ipynb"):  # the plugin's own list lacks names in code
        page.toc = get_toc(sections(content))
        content = FETCHING.sub("", content)
    content = re.sub(
        r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>',
        lambda formula: mathml(formula[3], "inline" if formula[2] == "(" else "block"),
        content,
        flags=re.DOTALL,
    )
    return re.sub(
        r"(?<=jp-RenderedMarkdown)[^>]*>.*?(?<!</pre>)</div>",  # not that of a block of code
        lambda cell: "".join(_formulas(cell[0])),
        content,
        flags=re.DOTALL,
    )


def sections(content: str) -> list[dict[str, Any]]:
    """Return the headings of a notebook's page, each with those below it, as mkdocs lists them."""
    top: dict[str, Any] = {"level": 0, "children": []}
    path = [top]
    for level, place, title in HEADING.findall(content):
        heading = {"level": int(level), "id": place, "name": re.sub("<.*?>", "", title), "children": []}
        while path[-1]["level"] >= heading["level"]:
            path.pop()
        path[-1]["children"].append(heading)
        path.append(heading)
    headings: list[dict[str, Any]] = top["children"]
    return headings


def _formulas(cell: str) -> Iterator[str]:
    for part in re.split(r"(<pre\b.*?</pre>|<code\b.*?</code>)", cell, flags=re.DOTALL):
        if part.startswith(("<pre", "<code")):
            yield part
            continue
        yield re.sub(
            r"\$\$(.+?)\$\$|\$([^$]+?)\$",
            lambda formula: mathml(formula[1], "block") if formula[1] else mathml(formula[2], "inline"),
            part,
            flags=re.DOTALL,
        )


def on_post_build(config: Any) -> None:
    """Check that no page loads anything from another host, or shows the source of a formula."""
    for page in Path(config.site_dir).rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        if match := ELSEWHERE.search(text):
            raise PluginError(f"{page} would load from another host: {match[0]}")
        if match := UNSET.search(re.sub(r"<(pre|code|script)\b.*?</\1>", "", text, flags=re.DOTALL)):
            raise PluginError(f"{page} shows the source of a formula: {match[0]}")
