"""The labels of a drawing, in the HTML-like language of DOT (https://graphviz.org/doc/info/shapes.html#html).

Every text that comes from outside passes `text`, so that a name is drawn as it is written.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from tinygrad_ninja.ops import elementwise

from .fold import Group
from .graph import Step, Value
from .numbers import FEW, Summary, numbers, rows, short, summary

DATA, GRAD, QUIET = "#004c7f", "#a33c00", "#595959"
"""Dark blue and dark orange, which the colour-blind tell apart, and grey; each 5:1 or more on white."""

BAR_HEIGHT, BAR_WIDTH = 22, 5  # points

_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")  # what XML cannot hold


def printable(anything: object) -> str:
    """The text in one line, with a replacement character for each that XML cannot hold."""
    return _UNPRINTABLE.sub("\ufffd", re.sub(r"\s", " ", str(anything)))


def text(anything: object, most: int = 60) -> str:
    """As DOT's HTML-like labels want it, and no longer than `most` letters."""
    plain = printable(anything)
    shown = html.escape(plain if len(plain) <= most else plain[: most - 1] + "…")
    return shown.replace("\\", "\\\\")  # here too one gives a meaning to what follows


def _font(content: str, colour: str, size: int = 9) -> str:
    return f'<FONT COLOR="{colour}" POINT-SIZE="{size}">{content}</FONT>'


def _lines(lines: Sequence[str]) -> str:
    """Under each other, flush left."""
    return "".join(f'{line}<BR ALIGN="LEFT"/>' for line in lines) if len(lines) > 1 else lines[0]


def _table(body: Iterable[str], padding: int = 0) -> str:
    """Of rows, each of which holds its cells."""
    return (
        f'<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="{padding}">'
        + "".join(f"<TR>{row}</TR>" for row in body)
        + "</TABLE>"
    )


def shape_text(shape: tuple[int, ...]) -> str:
    """As "32×64"; "" for a single number."""
    return "×".join(map(str, shape))


def value_label(value: Value, show: Collection[str]) -> str:
    """Name, shape and type, and a row each for its numbers and for its gradient, as `show` says."""
    name = f"<B>{text(value.name)}</B>  " if value.name else ""
    told = text(f"{shape_text(value.shape)} {value.dtype}".strip())
    body = [f'<TD COLSPAN="3" ALIGN="LEFT">{name}{_font(told, QUIET)}</TD>']
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
    """The row of a value's label for an array: its numbers, or their summary, or none at all."""
    found = numbers(array)
    few = 0 < found.size <= FEW
    known = None if few or "stats" not in show else summary(found)
    if few and (title != "data" or "data" in show):
        matrix = _table((_numbers_row(row, colour) for row in rows(found)), padding=1)
        cells = f'<TD COLSPAN="2" ALIGN="LEFT">{matrix}</TD>'
    elif known is not None:
        lines = [f"{short(known.mean)} ± {short(known.deviation)}"]
        lines.append(f"{short(known.minimum)} … {short(known.maximum)}")
        if known.odd:
            lines.append(f"{known.odd:,} inf or nan")
        cells = f'<TD ALIGN="LEFT">{_font(_lines(lines), colour)}</TD><TD>{_bars(known, colour)}</TD>'
    else:
        return []
    return [f'<TD ALIGN="LEFT">{_font(title, colour)}</TD>{cells}']


def _numbers_row(row: Sequence[float], colour: str) -> str:
    return "".join(f'<TD ALIGN="RIGHT">{_font(text(f" {short(each)}"), colour)}</TD>' for each in row)


def _bars(known: Summary, colour: str) -> str:
    """A histogram, of coloured cells: few fonts have the letters that look like bars."""
    heights = np.ceil(BAR_HEIGHT * known.histogram / known.histogram.max()).astype(int)
    columns = []
    for height in heights.tolist():
        parts = [(BAR_HEIGHT - height, ""), (height, f' BGCOLOR="{colour}"')]
        cells = (
            f'<TD FIXEDSIZE="TRUE" WIDTH="{BAR_WIDTH}" HEIGHT="{each}"{fill}></TD>'
            for each, fill in parts
            if each
        )
        columns.append(f"<TD>{_table(cells)}</TD>")
    return _table(["".join(columns)])


def step_text(step: Step) -> tuple[str, str]:
    """What is done, as "× 0.5" or "sum": the operation, with the plain numbers that it was given; and its
    parameters, as "axis 0"."""
    operation = step.operation
    given = ["" if isinstance(each, Value) else short(each) for each in step.inputs]
    if operation is elementwise.rsub:
        operation, given = elementwise.sub, given[::-1]
    given.insert(bool(operation.drawn), operation.drawn or operation.name)
    reads = iter(step.reads)
    told = [_parameter(key, each, reads) for key, each in step.parameters.items()]
    return " ".join(filter(None, given)), " ".join(filter(None, told))


def step_label(step: Step) -> str:
    """What is done, and in grey its parameters."""
    what, parameters = step_text(step)
    body = [f"<TD><B>{text(what)}</B></TD>"]
    if parameters:
        body.append(f"<TD>{_font(text(parameters), QUIET)}</TD>")
    return f"<{_table(body)}>"


def _parameter(name: str, given: Any, reads: Iterator[Value]) -> str:
    """A parameter of an operation in a few letters; "" for one that says nothing here."""
    if given is None or given is False or name == "chain":
        return ""
    if given is True:
        return name
    if name in ("key", "index"):
        parts = given if isinstance(given, tuple) else (given,)
        if parts and parts[-1] is Ellipsis:
            parts = parts[:-1]
        return "[" + ", ".join(_index(part, reads) for part in parts) + "]"
    if getattr(given, "ndim", 0):
        return next(reads).name
    if name == "shape":
        return shape_text(given) or "scalar"
    return f"{name} {', '.join(map(str, given)) if isinstance(given, tuple) else given}"


def _index(part: Any, reads: Iterator[Value]) -> str:
    """A part of an index, as it is written in Python; of an array without a name, the shape and type."""
    if getattr(part, "ndim", 0):
        value = next(reads)
        return value.name or f"{shape_text(value.shape)} {value.dtype}"
    if isinstance(part, slice):
        ends = ["" if each is None else str(each) for each in (part.start, part.stop, part.step)]
        return ":".join(ends[:2] if part.step is None else ends)
    return "…" if part is Ellipsis else str(part)


def group_title(group: Group) -> str:
    """As "layers.0: Linear × 3"."""
    times = f"× {group.times:,}" if group.times > 1 else ""
    return " ".join(filter(None, (": ".join(filter(None, (group.name, group.title))), times)))


def group_label(group: Group) -> str:
    """Of a group that is shut: its title, and how much is in it."""
    contents = list(group.contents())
    steps = sum(isinstance(each, Step) for each in contents)
    learnt = sum(
        math.prod(each.shape) for each in contents if isinstance(each, Value) and each.kind == "leaf"
    )
    told = [f"{steps:,} operation{'s' * (steps != 1)}"]
    if learnt:
        told.append(f"{learnt:,} parameter{'s' * (learnt != 1)}")
    if group.times > 1:
        told[-1] += " each"
    title, amount = f"<B>{text(group_title(group))}</B>", ", ".join(told)
    return f"<{_table(f'<TD>{each}</TD>' for each in (title, _font(amount, QUIET)))}>"
