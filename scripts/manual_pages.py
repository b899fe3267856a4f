"""The code of the manual's pages: each page is one program, and shows what it prints.

    python scripts/manual_pages.py [PAGE ...]

runs the pages, by default all of `docs/`, and writes what they print under the blocks that print it. The
tests compare it with what they print now.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"

BLOCK = re.compile(
    r"^```python\n(?P<code>.*?)^```\n(?:\n```text\n(?P<printed>.*?)^```\n)?", re.MULTILINE | re.DOTALL
)
"""A block of Python, and the block of text below it that it prints."""

_END = "\0end of a block\n"


def pages() -> list[Path]:
    """Return the pages with blocks of Python."""
    return [path for path in sorted(DOCS.rglob("*.md")) if BLOCK.search(path.read_text(encoding="utf-8"))]


def program(page: Path, end: str = "") -> str:
    """Return the code of a page as one program, which prints `end` after each block."""
    blocks = [match["code"] for match in BLOCK.finditer(page.read_text(encoding="utf-8"))]
    return "\n".join(f"{code}\nprint(end={end!r})\n" for code in blocks)


def printed(page: Path, folder: str | Path) -> list[str]:
    """Run a page in a folder, and return what each of its blocks prints; CalledProcessError if one fails."""
    result = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{program(page, _END)}"],
        cwd=folder,
        check=True,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        timeout=120,
    )
    return result.stdout.split(_END)[:-1]


def said(page: Path) -> list[str]:
    """Return what a page says that each of its blocks prints."""
    return [match["printed"] or "" for match in BLOCK.finditer(page.read_text(encoding="utf-8"))]


def rewrite(page: Path) -> None:
    """Write what the blocks of a page print under them."""
    with tempfile.TemporaryDirectory() as folder:
        texts = iter(printed(page, folder))

    def block(match: re.Match[str]) -> str:
        text = next(texts)
        return f"```python\n{match['code']}```\n" + (f"\n```text\n{text.rstrip()}\n```\n" if text else "")

    page.write_text(BLOCK.sub(block, page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]) if sys.argv[1:] else pages():
        rewrite(path)
        print(path)
