"""The graph as a page for the browser: one file, in which the reader walks through the backward pass.

Python computes the content of the page (`content`, `arrays`, `formulas`) and writes it (`writing`); the
browser runs the plain JavaScript in `static`, which is copied into the page.
"""

from .film import Film
from .writing import is_ours, page

__all__ = ["Film", "is_ours", "page"]
