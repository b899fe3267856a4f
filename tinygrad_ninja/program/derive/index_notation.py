"""Pieces of formulas with indices: what stands below a name or a sum, and a bracket that is 1 or 0."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..dialects import Bracket, Kind
from .mathematics import EQUALS, Math, listed, math, op, over, row, sub


def with_index(x: Math, index: Sequence[Math]) -> Math:
    """Return a name with its indices below."""
    if not index:
        return x
    short = all(i.kind is Kind.NUMBER or (i.kind is Kind.NAME and len(i.parts[0]) == 1) for i in index)
    return sub(x, row(*index) if short else row(listed(index)))


def over_all(
    sign: tuple[str, str], below: Sequence[Math], x: Math, conditions: tuple[Math, ...] = ()
) -> Math:
    """Return a sum, or the like, over indices, under conditions if there are any."""
    if not below:
        return x
    under = [*below, op(r"\,:\,", ":"), listed(conditions)] if conditions else below
    return over(sign, row(*under), x)


def bracket(a: Math, b: Any) -> Math:
    """Return 1 where a is b, and 0 elsewhere, as Iverson writes it."""
    return row(a, EQUALS, math(0) if b is None else b).fenced(Bracket.SQUARE)


def within(start: int, i: Math, stop: int) -> Math:
    """Return 1 where an index is in a range, and 0 elsewhere."""
    first = (math(start), op(r"\leq", "≤")) if start else ()
    return row(*first, i, op("<"), math(stop)).fenced(Bracket.SQUARE)
