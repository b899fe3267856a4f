"""The colours that plots share with the page, whose style sheet is their one source."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

SHEET = Path(__file__).parent / "web" / "static" / "page.css"


@cache
def page_colour(name: str) -> str:
    """Return the page's colour of this name, on a light ground, as "#rrggbb". Raises KeyError for another
    name."""
    light = SHEET.read_text("utf-8").partition("@media")[0]
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", light))[name]
