"""Plots of a training run, as matplotlib figures of their own: nothing here touches pyplot's global state."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from tinygrad_ninja import Tensor

from .colours import page_colour
from .numbers import numbers, summary

SOFTWARE = "tinygrad_ninja"


def loss_curve(
    losses: Sequence[float] | NDArray[np.floating],
    block: int | None = None,
    dev_losses: Mapping[int, float] | None = None,
) -> Figure:
    """Draw the loss over the steps, smoothed as in the lecture, by the mean of log10(loss) over blocks of
    steps, on a logarithmic axis.

    losses: the loss of each step's batch, in nats, at least one; block: steps per point, by default 1,000,
    and fewer in a run under 100,000 steps, so that about a hundred points are left. The last block may be
    shorter. dev_losses: the loss on the dev words after some of the steps, drawn beside it. Raises ValueError
    for no losses or a block below 1.
    """
    values = np.asarray(losses, dtype=np.float64)
    if block is None:
        block = min(1000, math.ceil(len(values) / 100))
    if not len(values) or block < 1:
        raise ValueError(f"no curve of {len(values)} losses in blocks of {block}")
    starts = np.arange(0, len(values), block)
    ends = np.append(starts[1:], len(values))
    # A float32 loss of 0 only means "below the resolution", which has a logarithm.
    logs = np.log10(np.maximum(values, np.finfo(np.float32).eps))
    means = np.add.reduceat(logs, starts) / (ends - starts)

    smoothing = f", mean of {block:,} steps" if block > 1 else ""
    figure, axes = _figure(f"Training loss{smoothing}", "step", "loss (nats)")
    axes.set_yscale("log")
    for which in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        which("{x:g}")
    axes.plot((starts + ends - 1) / 2, 10**means, linewidth=1.2, marker="." if len(means) == 1 else None)
    if dev_losses:
        axes.lines[0].set_label("train")
        axes.plot(list(dev_losses), list(dev_losses.values()), linewidth=1.2, marker=".", label="dev")
        axes.legend()
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.margins(x=0.01)
    return figure


def lr_curve(
    rates: NDArray[np.floating], losses: NDArray[np.floating], smoothed: NDArray[np.floating]
) -> Figure:
    """Draw the loss of each step of a learning-rate search over its rate, on a logarithmic axis.

    rates, losses and smoothed are of one length; the losses, in nats, are dots, the smoothed ones a line.
    """
    figure, axes = _figure("Loss at growing learning rates", "learning rate", "loss (nats)")
    axes.set_xscale("log")
    axes.plot(rates, losses, linestyle="none", marker=".", markersize=2, alpha=0.4, label="batch")
    axes.plot(rates, smoothed, linewidth=1.5, label="smoothed")
    # An exploding loss would not fit into any picture.
    axes.set_ylim(0.95 * losses.min(), 1.1 * smoothed[: len(smoothed) // 2].max())
    axes.legend()
    return figure


def activation_histograms(layers: Mapping[str, Any], bound: float = 0.97) -> Figure:
    """Draw the distribution of the outputs of each layer, with the share of them that is saturated.

    layers: the outputs of the layers for a batch by their names, Tensors or arrays of any shape. An output is
    saturated where it is beyond ±bound: there tanh is flat, and almost no gradient passes. Raises ValueError
    for no layers.
    """

    def describe(array: NDArray[Any]) -> str:
        """Return the text that follows a layer's statistics in the legend."""
        return f", saturated {np.mean(np.abs(array) > bound):.1%}"

    figure = _histograms(layers, describe, "Activations", "output")
    axes = figure.axes[0]
    for limit in (-bound, bound):
        axes.axvline(limit, color="grey", linestyle=":", linewidth=1)
    return figure


def gradient_histograms(layers: Mapping[str, Any], title: str = "Gradients") -> Figure:
    """Draw the distribution of the gradients of each layer: of its outputs, or of its weights, as `title`
    says.

    layers: the gradients by the layers' names, Tensors or arrays of any shape. Raises ValueError for no
    layers.
    """
    return _histograms(layers, lambda _: "", title, "gradient of the loss")


def _histograms(
    layers: Mapping[str, Any], describe: Callable[[NDArray[Any]], str], title: str, quantity: str
) -> Figure:
    if not layers:
        raise ValueError(f"no {title.lower()}: give at least one layer")
    figure, axes = _figure(title, quantity, "density")
    for colour, (name, layer) in zip(_colours(len(layers)), layers.items(), strict=True):
        array = _numbers(layer)
        stats = summary(array, bins=60)
        if stats is None:
            axes.plot([], [], color=colour, label=f"{_plain(name)}: no finite numbers")
            continue
        label = f"{_plain(name)}: mean {stats.mean:+.2g}, deviation {stats.deviation:.2g}{describe(array)}"
        if stats.minimum == stats.maximum:  # all equal: the density would be infinite
            axes.axvline(stats.mean, color=colour, linewidth=1.2, label=label)
            continue
        edges = np.linspace(stats.minimum, stats.maximum, len(stats.histogram) + 1)
        density = stats.histogram / stats.histogram.sum() / np.diff(edges)
        axes.plot((edges[:-1] + edges[1:]) / 2, density, color=colour, linewidth=1.2, label=label)
    axes.set_ylim(bottom=0)
    figure.legend(loc="outside lower center", fontsize="small", ncols=1 if len(layers) < 8 else 2)
    return figure


def update_ratios(ratios: Mapping[str, Sequence[float]], every: int = 1) -> Figure:
    """Draw the relative size of the updates of each parameter, over the steps, on a scale of powers of ten.

    ratios: by the parameters' names, for every `every`th step the standard deviation of the update over that
    of the parameter, see `update_ratio`; 0, of an update that changes nothing, is left out. About a
    thousandth, the dashed line, is usual for a rate that is neither slow nor unstable. Raises ValueError for
    no parameters.
    """
    if not ratios:
        raise ValueError("no ratios: give those of at least one parameter")
    figure, axes = _figure("Updates beside parameters", "step", "log10 of update / parameter (deviations)")
    for colour, (name, values) in zip(_colours(len(ratios)), ratios.items(), strict=True):
        array = np.asarray(values, dtype=np.float64)
        logs = np.log10(array, out=np.full(array.shape, np.nan), where=array > 0)
        axes.plot(np.arange(len(array)) * every, logs, color=colour, linewidth=1, label=_plain(name))
    axes.axhline(-3, color="black", linestyle="--", linewidth=1)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    figure.legend(loc="outside right upper", fontsize="small")
    return figure


def update_ratio(parameter: Tensor, lr: float) -> float:
    """Return the standard deviation of an update by gradient descent, lr times the gradient, over the
    parameter's.

    It is NaN for a parameter that has no gradient, or no spread.
    """
    if parameter.grad is None:
        return math.nan
    spread = float(_numbers(parameter).std())
    return lr * float(_numbers(parameter.grad).std()) / spread if spread else math.nan


def dlogits_heatmap(dlogits: Any, letters: Sequence[str] | None = None) -> Figure:
    """Draw the gradient of the loss with respect to the logits, in the page's colours of negative and
    positive numbers: a step of descent pulls up a logit whose gradient is negative, and pushes down the
    others.

    dlogits: (n, vocabulary), a Tensor or an array; letters: the label of each column. For cross-entropy it is
    (softmax - one-hot) / n, so every row sums to zero. Raises ValueError for another shape.
    """
    array = _matrix(dlogits, "dlogits", letters)
    figure, axes = _figure("Gradient of the logits", "next letter" if letters else "logit", "example")
    largest = float(np.abs(array).max()) or 1.0
    colours = [page_colour(name) for name in ("negative", "zero", "positive")]
    scale = LinearSegmentedColormap.from_list("page", colours, N=257)  # odd: zero has its own
    image = axes.imshow(array, cmap=scale, vmin=-largest, vmax=largest, interpolation="none")
    axes.set_aspect("auto")
    figure.colorbar(image, label="gradient: a step of descent goes the other way")
    _letter_ticks(axes.xaxis, letters)
    axes.grid(visible=False)
    return figure


def embedding_scatter(embedding: Any, letters: Sequence[str], dims: tuple[int, int] = (0, 1)) -> Figure:
    """Draw the letters where two dimensions of the embedding put them.

    embedding: (vocabulary, dimensions), a Tensor or an array; letters: one for each row. Raises ValueError
    for another shape, another number of letters, or a dimension that does not exist.
    """
    array = _matrix(np.transpose(_numbers(embedding)), "embedding transposed", letters)
    if not all(0 <= dim < len(array) for dim in dims):
        raise ValueError(f"an embedding of {len(array)} dimensions has no dimensions {dims}")
    figure, axes = _figure("Embedding of the letters", f"dimension {dims[0]}", f"dimension {dims[1]}", (7, 7))
    x, y = array[list(dims)]
    axes.scatter(x, y, s=220, color="#9ecae1")
    for across, up, letter in zip(x, y, letters, strict=True):
        axes.text(across, up, letter, ha="center", va="center", fontsize=11, parse_math=False)
    return figure


def bigram_matrix(counts: Any, letters: Sequence[str]) -> Figure:
    """Draw how often each letter follows each other one: the darker, the more, with the counts as numbers.

    counts: (vocabulary, vocabulary), rows the first letter and columns the second, a Tensor or an array of
    integers; letters: one for each. Raises ValueError for another shape.
    """
    array = _matrix(counts, "counts", letters)
    if len(array) != len(letters):
        raise ValueError(f"counts of {len(letters)} letters are a square matrix, not {array.shape}")
    side = max(4.0, 0.55 * len(letters))
    figure, axes = _figure("Pairs of letters", "second letter", "first letter", (side, side))
    axes.imshow(array, cmap="Blues", interpolation="none")
    half = array.max() / 2
    for row, column in np.ndindex(*array.shape):
        axes.text(
            column,
            row,
            f"{letters[row]}{letters[column]}\n{array[row, column]:,}",
            ha="center",
            va="center",
            fontsize=6,
            parse_math=False,
            color="white" if array[row, column] > half else "black",
        )
    _letter_ticks(axes.xaxis, letters)
    _letter_ticks(axes.yaxis, letters)
    axes.grid(visible=False)
    return figure


def to_png(figure: Figure) -> bytes:
    """Return the figure as a PNG file, drawn without a display."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150, metadata={"Software": SOFTWARE})
    return buffer.getvalue()


def is_ours(png: Path) -> bool:
    """Return whether the file was written by `to_png`, which names its software. Raises OSError."""
    with png.open("rb") as file:
        return f"Software\0{SOFTWARE}".encode() in file.read(1024)


# -- shared helpers ------------------------------------------------------------------------------------------


def _figure(title: str, x: str, y: str, size: tuple[float, float] = (8, 4.5)) -> tuple[Figure, Axes]:
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot(title=title, xlabel=x, ylabel=y)
    axes.grid(alpha=0.3)
    return figure, axes


def _colours(count: int) -> list[Any]:
    """Return colours from dark to light in the order of the layers: a scale that the colour-blind can
    read."""
    return [colormaps["viridis"](position) for position in np.linspace(0, 0.9, count)]


def _plain(name: str) -> str:
    """Return the name escaped for a legend: matplotlib reads the text between two "$" as a formula."""
    return name.replace("$", r"\$")


def _numbers(data: Any) -> NDArray[Any]:
    return numbers(data.array) if isinstance(data, Tensor) else np.asarray(data)


def _matrix(data: Any, name: str, letters: Sequence[str] | None) -> NDArray[Any]:
    array = _numbers(data)
    if array.ndim != 2 or not array.size or (letters is not None and array.shape[1] != len(letters)):
        expected = f"{len(letters)} columns, one a letter" if letters is not None else "two dimensions"
        raise ValueError(f"{name} of shape {array.shape}: a matrix with {expected} is needed")
    return array


def _letter_ticks(axis: Axis, letters: Sequence[str] | None) -> None:
    if letters is not None:
        axis.set_ticks(np.arange(len(letters)), letters, fontsize=8, parse_math=False)
