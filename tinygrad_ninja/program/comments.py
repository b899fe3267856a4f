"""Comments in generated code. What they quote, such as the name of the reader's file, ends no comment."""

from __future__ import annotations

from ..engine.callers import visible


def c_comment(text: str) -> str:
    """Return a comment of C, in one line."""
    return f"/* {visible(text).replace('*/', '* /')} */"


def python_comment(text: str) -> str:
    """Return a comment of Python, in one line."""
    return f"# {visible(text)}"
