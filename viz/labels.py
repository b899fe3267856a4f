"""The labels of a drawing, in the HTML-like language of DOT (https://graphviz.org/doc/info/shapes.html#html).

Every text from outside passes through `text`, so that a name is drawn as it is written.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np

from .fold import Group
from .graph import Step, Value
from .numbers import FEW, Summary, numbers, rows, short, summary
from .step_code import without_operands

DATA, GRAD, QUIET = "#004c7f", "#a33c00", "#595959"
"""Dark blue and dark orange, which the colour-blind can distinguish, and grey; each at least 5:1 on white."""

BAR_HEIGHT, BAR_WIDTH = 22, 5  # points

_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")  # what XML cannot hold


def printable(content: object) -> str:
    """Return the text in one line, with a replacement for each character that XML cannot hold."""
    return _UNPRINTABLE.sub("\ufffd", re.sub(r"\s", " ", str(content)))


def text(content: object, most: int = 60) -> str:
    """Return the text escaped for DOT's HTML-like labels, and cut at `most` letters."""
    plain = printable(content)
    shown = html.escape(plain if len(plain) <= most else plain[: most - 1] + "…")
    return shown.replace("\\", "\\\\")  # a backslash is an escape character here too


def _font(content: str, colour: str, size: int = 9) -> str:
    return f'<FONT COLOR="{colour}" POINT-SIZE="{size}">{content}</FONT>'


def _lines(lines: Sequence[str]) -> str:
    """Return the lines below each other, flush left."""
    return "".join(f'{line}<BR ALIGN="LEFT"/>' for line in lines) if len(lines) > 1 else lines[0]


def _table(body: Iterable[str], padding: int = 0) -> str:
    """Return a table of rows, each of which holds its cells."""
    return (
        f'<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="{padding}">'
        + "".join(f"<TR>{row}</TR>" for row in body)
        + "</TABLE>"
    )


def shape_text(shape: tuple[int, ...]) -> str:
    """Return the shape as "32×64"; "" for a single number."""
    return "×".join(map(str, shape))


def value_label(value: Value, show: Collection[str]) -> str:
    """Return the label of a value: name, shape and type, and a row each for its numbers and its gradient, as
    `show` says."""
    name = f"<B>{text(value.name)}</B>  " if value.name else ""
    description = text(f"{shape_text(value.shape)} {value.dtype}".strip())
    body = [f'<TD COLSPAN="3" ALIGN="LEFT">{name}{_font(description, QUIET)}</TD>']
    if "data" in show or "stats" in show:
        body += _row("data", DATA, value.array, show)
    if "grad" in show:
        gradient = value.held if value.gradient is None else value.gradient
        if gradient is not None:
            body += _row("grad", GRAD, gradient, show)
        if value.held is not None and not _alike(value.held, gradient):
            body += _row(".grad", GRAD, value.held, show)
    return f"<{_table(body, padding=2)}>"


def _alike(a: Any, b: Any) -> bool:
    return a is b or np.allclose(numbers(a), numbers(b), rtol=1e-5, atol=0, equal_nan=True)


def _row(title: str, colour: str, array: Any, show: Collection[str]) -> list[str]:
    """Return the row of a value's label for an array: its numbers, or their summary, or nothing."""
    array_numbers = numbers(array)
    few = 0 < array_numbers.size <= FEW
    statistics = None if few or "stats" not in show else summary(array_numbers)
    if few and (title != "data" or "data" in show):
        matrix = _table((_numbers_row(row, colour) for row in rows(array_numbers)), padding=1)
        cells = f'<TD COLSPAN="2" ALIGN="LEFT">{matrix}</TD>'
    elif statistics is not None:
        lines = [f"{short(statistics.mean)} ± {short(statistics.deviation)}"]
        lines.append(f"{short(statistics.minimum)} … {short(statistics.maximum)}")
        if statistics.odd:
            lines.append(f"{statistics.odd:,} inf or nan")
        cells = f'<TD ALIGN="LEFT">{_font(_lines(lines), colour)}</TD><TD>{_bars(statistics, colour)}</TD>'
    else:
        return []
    return [f'<TD ALIGN="LEFT">{_font(title, colour)}</TD>{cells}']


def _numbers_row(row: Sequence[float], colour: str) -> str:
    return "".join(f'<TD ALIGN="RIGHT">{_font(text(f" {short(number)}"), colour)}</TD>' for number in row)


def _bars(statistics: Summary, colour: str) -> str:
    """Return a histogram of coloured cells: few fonts have the letters that look like bars."""
    heights = np.ceil(BAR_HEIGHT * statistics.histogram / statistics.histogram.max()).astype(int)
    columns = []
    for height in heights.tolist():
        parts = [(BAR_HEIGHT - height, ""), (height, f' BGCOLOR="{colour}"')]
        cells = (
            f'<TD FIXEDSIZE="TRUE" WIDTH="{BAR_WIDTH}" HEIGHT="{part_height}"{fill}></TD>'
            for part_height, fill in parts
            if part_height
        )
        columns.append(f"<TD>{_table(cells)}</TD>")
    return _table(["".join(columns)])


def step_label(step: Step) -> str:
    """Return the label of a step: the operation, and in grey its arguments."""
    operation, opening, arguments = without_operands(step).partition("(")
    body = [f"<TD><B>{text(operation)}</B></TD>"]
    if arguments:
        body.append(f"<TD>{_font(text(opening + arguments), QUIET)}</TD>")
    return f"<{_table(body)}>"


def group_title(group: Group) -> str:
    """Return the title of a group, as "layers.0: Linear × 3"."""
    times = f"× {group.times:,}" if group.times > 1 else ""
    return " ".join(filter(None, (": ".join(filter(None, (group.name, group.title))), times)))


def group_label(group: Group) -> str:
    """Return the label of a folded group: its title, and how much it contains."""
    contents = list(group.contents())
    steps = sum(isinstance(item, Step) for item in contents)
    parameters = sum(
        math.prod(item.shape)
        for item in contents
        if isinstance(item, Value) and item.kind == "leaf" and item.owned
    )
    amounts = [f"{steps:,} operation{'s' * (steps != 1)}"]
    if parameters:
        amounts.append(f"{parameters:,} parameter{'s' * (parameters != 1)}")
    if group.times > 1:
        amounts[-1] += " each"
    title, amount = f"<B>{text(group_title(group))}</B>", ", ".join(amounts)
    return f"<{_table(f'<TD>{cell}</TD>' for cell in (title, _font(amount, QUIET)))}>"
