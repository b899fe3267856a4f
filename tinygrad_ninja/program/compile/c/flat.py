"""Nested loops as one, where all that they read and write lies row after row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from .c_code import Affine, Apply, Element, Expression, Load, Named, Pointer, Statement, Store


class _NotFlatError(Exception):
    """Two loops count something that a single one does not."""


def flat(sizes: tuple[int, ...], stores: list[Statement]) -> tuple[tuple[int, ...], list[Statement]]:
    """Return the sizes of the loops around these stores, and the stores, with each loop joined to the one
    inside it where a step of the outer one leads to where the inner one ends: a short row would be computed
    element by element, or leave a rest."""
    level = 0
    while level < len(sizes) - 1:
        try:
            stores = _replaced(stores, _joined(level, sizes))
        except _NotFlatError:
            level += 1
        else:
            sizes = (*sizes[:level], sizes[level] * sizes[level + 1], *sizes[level + 2 :])
    return sizes, stores


def _joined(level: int, sizes: tuple[int, ...]) -> Callable[[Affine], Affine]:
    """Return a function that gives an index over the loops in which a level and the next one are one. It
    raises _NotFlatError where there is no such index."""
    outer, inner = f"i{level}", f"i{level + 1}"
    names: dict[Expression, Expression] = {f"i{old}": f"i{old - 1}" for old in range(level + 1, len(sizes))}

    def joined(index: Affine) -> Affine:
        steps = dict(index.terms)
        if steps.get(outer, 0) != steps.get(inner, 0) * sizes[level + 1]:
            raise _NotFlatError
        terms = ((counter, step) for counter, step in index.terms if counter != outer)
        return Affine(index.offset, tuple((names.get(counter, counter), step) for counter, step in terms))

    return joined


def _replaced(stores: list[Statement], change: Callable[[Affine], Affine]) -> list[Statement]:
    """Return the statements with each index changed. What is computed once still is."""
    named: dict[Named, Named] = {}

    def replaced(x: Any) -> Any:
        if isinstance(x, Named):
            if x not in named:
                named[x] = replace(x, value=replaced(x.value))
            return named[x]
        if isinstance(x, Apply):
            return Apply(x.template, {name: replaced(part) for name, part in x.parts.items()})
        if isinstance(x, Affine):
            return change(Affine(x.offset, tuple((replaced(counter), step) for counter, step in x.terms)))
        if isinstance(x, Store):
            return replace(x, place=replaced(x.place), value=replaced(x.value))
        return replace(x, place=replaced(x.place)) if isinstance(x, Load | Element | Pointer) else x

    return [replaced(store) for store in stores]
