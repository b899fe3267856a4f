"""All plots of a training run at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tinygrad_ninja import Tensor
from tinygrad_ninja.nn import Module
from tinygrad_ninja.ops import Operation
from tinygrad_ninja.ops.elementwise import relu, sigmoid, tanh
from tinygrad_ninja.ops.indexing import index
from tinygrad_ninja.ops.losses import cross_entropy

from . import plots
from .graph import Graph, Step, Value, extract
from .numbers import numbers

ACTIVATIONS = frozenset((tanh, sigmoid, relu))


def training_plots(
    loss: Tensor,
    model: Module,
    *,
    losses: Sequence[float],
    dev_losses: Mapping[int, float] | None = None,
    ratios: Mapping[str, Sequence[float]] | None = None,
    every: int = 1,
    letters: Sequence[str] | None = None,
    counts: Any = None,
) -> dict[str, Figure]:
    """Return the figures that can be drawn from the arguments, by names that are fit for files.

    loss: that of a batch, computed by `model`, before any backward: from its graph come the activations with
    their gradients, the gradients of the parameters, dlogits, and the embedding (the parameter with a row for
    each of the `letters` in which the model looks letters up). losses, dev_losses: as in `plots.loss_curve`;
    ratios, every: as in `plots.update_ratios`; counts: as in `plots.bigram_matrix`. Raises RuntimeError where
    backward() has freed the graph.
    """
    graph = extract(loss, model=model)
    figures = {"loss": plots.loss_curve(losses, dev_losses=dev_losses)}
    layers = _layers(graph)
    if layers:
        figures["activations"] = plots.activation_histograms(
            {name: _joined([value.array for value in values]) for name, values in layers.items()}
        )
        gradients = {
            name: _joined([value.gradient for value in values])
            for name, values in layers.items()
            if all(value.gradient is not None for value in values)
        }
        figures["activation-gradients"] = plots.gradient_histograms(gradients, "Gradients of the activations")
    parameters = [value for value in graph.values if value.kind == "leaf" and value.owned]
    weights = {value.name: value for value in parameters if len(value.shape) > 1}
    if weights:
        figures["weight-gradients"] = plots.gradient_histograms(
            _gradients(weights), "Gradients of the weights"
        )
    if ratios:
        figures["updates"] = plots.update_ratios(ratios, every)
    for logits in _first_inputs(graph, cross_entropy):
        if logits.gradient is not None:
            figures["dlogits"] = plots.dlogits_heatmap(logits.gradient, letters)
    for table in _first_inputs(graph, index):
        if letters and table.name in weights and table.shape == (len(letters), table.shape[-1]):
            figures["embedding"] = plots.embedding_scatter(table.array, letters)
    if letters and counts is not None:
        figures["bigrams"] = plots.bigram_matrix(counts, letters)
    return figures


def _layers(graph: Graph) -> dict[str, list[Value]]:
    """Return the outputs of the activations, numbered by their layers: those that a module gives at several
    calls, as the cell of a recurrent network does, are of one layer."""
    calls = Counter(call.path for call in graph.calls)
    layers: dict[Hashable, list[Step]] = {}
    for step in graph.steps:
        if step.operation in ACTIVATIONS:
            path = _path(graph, step)
            repeated = calls[path] > 1
            layers.setdefault((path, step.operation) if repeated else step, []).append(step)
    names = [_path(graph, steps[0]) or steps[0].operation.name for steps in layers.values()]
    for i, steps in enumerate(layers.values()):
        if len(steps) > 1:
            names[i] += f", {steps[0].operation.name} × {len(steps)}"
    return {
        f"{i} {name}": [step.output for step in steps]
        for i, (name, steps) in enumerate(zip(names, layers.values(), strict=True), 1)
    }


def _path(graph: Graph, step: Step) -> str:
    """Return the path of the innermost module that the step belongs to, "" where it has none."""
    paths = [call.path for call in graph.calls if call.first < step.order < call.last]
    return paths[-1] if paths else ""


def _joined(arrays: list[Any]) -> Any:
    """Return all the numbers of the arrays."""
    return np.concatenate([numbers(array).reshape(-1) for array in arrays])


def _first_inputs(graph: Graph, operation: Operation) -> list[Value]:
    """Return the first input of every step of the operation, where it is no plain number."""
    inputs = [step.inputs[0] for step in graph.steps if step.operation is operation]
    return [value for value in inputs if isinstance(value, Value)]


def _gradients(values: Mapping[str, Value]) -> dict[str, Any]:
    return {name: value.gradient for name, value in values.items() if value.gradient is not None}
