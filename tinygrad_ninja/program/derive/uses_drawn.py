"""A drawing in letters of where a value goes, and of where its gradient comes from."""

from __future__ import annotations

from collections.abc import Sequence

from .record import gradient_name


def drawing(name: str, uses: Sequence[tuple[str, str]]) -> list[str]:
    """Return the lines of the drawing. uses: what is done with the value, and the value that comes of it."""
    wide = max(len(how) for how, _ in uses)
    forth = [f" {how} {'─' * (wide - len(how))}─▶ {out}" for how, out in uses]
    back = [f" {gradient_name(out)}" for _, out in uses]
    return [*_fork(name, forth, "─"), "", *_fork(gradient_name(name), back, "◀")]


def _fork(stem: str, branches: list[str], tip: str) -> list[str]:
    """Return a drawing of a stem that divides into branches. tip: what stands before each branch."""
    if len(branches) == 1:
        return [f"{stem} {'─' if tip == '─' else '◀─'}{branches[0]}"]
    blank = " " * len(stem)
    marks = ["┬", *["├"] * (len(branches) - 2), "└"]
    heads = [f"{stem} {'─' if tip == '─' else '◀'}", *[f"{blank}  "] * (len(branches) - 1)]
    return [f"{head}{mark}─{branch}" for head, mark, branch in zip(heads, marks, branches, strict=True)]
