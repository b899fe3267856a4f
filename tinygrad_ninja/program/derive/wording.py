"""Numbers, series and reasons, in words."""

from __future__ import annotations

from collections.abc import Sequence

from ...ops import linalg
from ..instructions import Instruction
from .backward_lines import Share

NUMBERS = (
    *("no", "one", "two", "three", "four", "five", "six"),
    *("seven", "eight", "nine", "ten", "eleven", "twelve"),
)


def count(n: int) -> str:
    """Return a number in words, if it is small."""
    return NUMBERS[n] if n < len(NUMBERS) else str(n)


def times(n: int) -> str:
    """Return how often in words."""
    return {1: "once", 2: "twice"}.get(n, f"{count(n)} times")


def series(parts: Sequence[str]) -> str:
    """Return several things in one sentence: a, b and c."""
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last


def why_transposed(path: list[Instruction], place: int) -> str:
    """Return a sentence about the transpose in the gradient of a factor of a product of matrices."""
    if path[0].operation is not linalg.matmul:
        return ""
    if place == 0:
        return (
            "The sum goes along the rows of the other factor, where a product of matrices goes down the "
            "columns of its right factor: hence the transpose. "
        )
    return (
        "The sum goes down the columns of the other factor, where a product of matrices goes along the rows "
        "of its left factor: hence the transpose. "
    )


def reason(note: str, share: Share) -> str:
    """Return a note of the code as one or two sentences."""
    x, out = share.of, share.by.output
    if "broadcast" in note:
        return (
            f"Why the sum: `{x.name}` has shape {x.shape} and meets a value of shape {out.shape}, so each "
            f"of its numbers was used {out.value.size // max(x.value.size, 1)} times. What is used several "
            f"times collects the gradient of every use: broadcasting forward is a sum backward."
        )
    if "each element" in note:
        return (
            f"Why the repeat: each number of `{x.name}` went into a {share.by.operation.name} with the "
            f"others, so the one gradient of the result is handed to all of them: a sum forward is a "
            f"broadcast backward."
        )
    return (
        "Why it is added and not assigned: an index may name one row several times; then this row was used "
        "several times, and it collects all of their gradients."
    )
