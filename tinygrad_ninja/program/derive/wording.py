"""Numbers and series in words, and why a gradient has a sum, a repeat or a transpose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ...arrays.numpy_indexing import repeats_no_cell
from ...ops import indexing, reduction
from ..instructions import Var
from .backward_lines import Share
from .record import is_range

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


def why_transposed(place: int) -> str:
    """Return a sentence about the transpose in the gradient of a factor of a product of matrices."""
    rows, columns = "along the rows of", "down the columns of"
    here, there = (rows, f"{columns} its right") if place == 0 else (columns, f"{rows} its left")
    return (
        f"The sum goes {here} the other factor, where a product of matrices goes {there} factor: hence the "
        f"transpose. "
    )


class Effect(NamedTuple):
    """Why there is a sum in a share, or a repeat. note: as a note in the code; reason: as sentences on a
    page."""

    note: str
    reason: str


def effect(share: Share) -> Effect | None:
    """Return why there is a sum in a share, or a repeat; None where there is no such thing."""
    operation, x = share.by.operation, share.of
    if operation.broadcasts and x.shape != share.by.output.shape:
        return summed(x, share.by.output)
    if operation in (reduction.sum, reduction.mean):
        return Effect(
            f"each element went into the {operation.name}: the gradient goes to all of them",
            f"Why the repeat: each number of `{x.name}` went into a {operation.name} with the others, so the "
            f"one gradient of the result is handed to all of them: a sum forward is a broadcast backward.",
        )
    if operation is indexing.index and not each_cell_once(share.by.parameters[0]):
        return Effect(
            "what is read several times collects all gradients",
            "Why it is added and not assigned: an index may name one row several times; then this row was "
            "used several times, and it collects all of their gradients.",
        )
    return None


def broadcast_axes(x: Var, out: Var) -> list[int]:
    """Return the dimensions along which a value is repeated where it is broadcast to the shape of another."""
    extra = len(out.shape) - len(x.shape)
    return [i for i, n in enumerate(out.shape) if i < extra or (n != 1 and x.shape[i - extra] == 1)]


def summed(x: Var, out: Var) -> Effect:
    """Return why there is a sum over what was broadcast."""
    axes = broadcast_axes(x, out)
    dims = f"dim{'s' * (len(axes) != 1)} {', '.join(map(str, axes))}"
    return Effect(
        f"{x.name} {x.shape} was broadcast to {out.shape}: summed over {dims}",
        f"Why the sum: `{x.name}` has shape {x.shape} and meets a value of shape {out.shape}, so each of its "
        f"numbers was used {out.value.size // max(x.value.size, 1)} times. What is used several times "
        f"collects the gradient of every use: broadcasting forward is a sum backward.",
    )


def each_cell_once(key: tuple[Any, ...]) -> bool:
    """Return whether a key names no cell twice, going by its arrays that are written as a range."""
    return repeats_no_cell(key, lambda index: is_range(index) and not index.name)
