"""Plots of a training, as matplotlib figures of their own: nothing here touches pyplot's global state."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

SOFTWARE = "tinygrad_ninja"


def loss_curve(losses: Sequence[float] | NDArray[np.floating], block: int | None = None) -> Figure:
    """The loss over the steps, smoothed as in the lecture: the mean of log10(loss) over blocks of steps.

    losses: the loss of each step's batch, in nats, one or more; block: steps a point, by default 1,000, and
    fewer in a training under 100,000 steps, so that about a hundred points are left. The last block may be
    shorter. Raises ValueError for no losses or a block below 1.
    """
    values = np.asarray(losses, dtype=np.float64)
    if block is None:
        block = min(1000, math.ceil(len(values) / 100))
    if not len(values) or block < 1:
        raise ValueError(f"no curve of {len(values)} losses in blocks of {block}")
    starts = np.arange(0, len(values), block)
    ends = np.append(starts[1:], len(values))
    # A float32 loss of 0 says no more than "below the resolution", which has a logarithm.
    logs = np.log10(np.maximum(values, np.finfo(np.float32).eps))
    means = np.add.reduceat(logs, starts) / (ends - starts)

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot(xlabel="step", ylabel="log10 of the loss (nats)")
    axes.plot((starts + ends - 1) / 2, means, linewidth=1.2, marker="." if len(means) == 1 else None)
    axes.set_title("Training loss" + (f", mean of {block:,} steps" if block > 1 else ""))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.margins(x=0.01)
    axes.grid(alpha=0.3)
    return figure


def to_png(figure: Figure) -> bytes:
    """The figure as a PNG file, drawn without a display."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150, metadata={"Software": SOFTWARE})
    return buffer.getvalue()


def is_ours(png: Path) -> bool:
    """Whether the file was made by `to_png`, which names its software. Raises OSError."""
    with png.open("rb") as file:
        return f"Software\0{SOFTWARE}".encode() in file.read(1024)
