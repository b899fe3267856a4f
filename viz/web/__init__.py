"""The graph as a page for the browser: one file, in which the reader walks through the backward pass.

Python computes the content of the page (`content`, `arrays`, `formulas`) and writes it (`writing`); the
browser runs the plain JavaScript in `static`, which is copied into the page.
"""

from .writing import is_ours, page

__all__ = ["is_ours", "page"]
