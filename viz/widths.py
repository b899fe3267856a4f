"""The widths of the texts of a drawing, written into its SVG.

The layout knows the widths of Arial's letters. A browser that has another font would draw texts wider, into
each other; told how wide they are to be, it sets them closer. The widths are those of Helvetica, which Arial
shares, in the metric files that matplotlib brings along.
"""

from __future__ import annotations

import html
import re
from functools import cache
from pathlib import Path

import matplotlib

TEXT = re.compile(r'<text ([^>]*?font-size="([0-9.]+)"[^>]*)>([^<]+)</text>')
LINE = re.compile(r"^C (\d+) ; WX (\d+)", re.MULTILINE)
USUAL = 584
"""The width of signs such as × and −, which have no code in the files, in thousandths of the size."""


@cache
def _widths(bold: bool) -> dict[str, int]:
    """Return the widths of the letters, in thousandths of the size."""
    name = f"Helvetica{'-Bold' if bold else ''}.afm"
    text = (Path(matplotlib.get_data_path()) / "fonts" / "pdfcorefonts" / name).read_text("latin-1")
    return {chr(int(code)): int(width) for code, width in LINE.findall(text)}


def with_widths(svg: str) -> str:
    """Return the SVG with the length that each text is to have."""

    def told(match: re.Match[str]) -> str:
        """Return a text with its length."""
        attributes, size, content = match.groups()
        shown, widths = html.unescape(content).strip(), _widths("bold" in attributes)
        length = sum(widths.get(letter, USUAL) for letter in shown) * float(size) / 1000
        if not length:
            return match[0]
        return (
            f'<text {attributes} textLength="{length:.1f}" lengthAdjust="spacingAndGlyphs">{content}</text>'
        )

    return TEXT.sub(told, svg)
