"""The graph as a page for the browser: one file, in which the backward pass is walked through.

Python says what is in the page (`content`, `arrays`, `formulas`) and writes it (`writing`); what the browser
runs is in `static`, plain JavaScript that is put into the page as it is.
"""

from .writing import is_ours, page

__all__ = ["is_ours", "page"]
