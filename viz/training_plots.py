"""All plots of a training run at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from tinygrad_ninja import Tensor
from tinygrad_ninja.nn import Module
from tinygrad_ninja.ops import Operation
from tinygrad_ninja.ops.elementwise import relu, sigmoid, tanh
from tinygrad_ninja.ops.indexing import index
from tinygrad_ninja.ops.losses import cross_entropy

from . import plots
from .graph import Graph, Step, Value, extract

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
    active = [step for step in graph.steps if step.operation in ACTIVATIONS]
    layers = {f"{i} {_place(graph, step)}": step.output for i, step in enumerate(active, 1)}
    if layers:
        figures["activations"] = plots.activation_histograms(
            {name: value.array for name, value in layers.items()}
        )
        figures["activation-gradients"] = plots.gradient_histograms(
            _gradients(layers), "Gradients of the activations"
        )
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


def _place(graph: Graph, step: Step) -> str:
    """Return the path of the innermost module that the step belongs to, or where it has none, the
    operation."""
    paths = [call.path for call in graph.calls if call.first < step.order < call.last]
    return (paths and paths[-1]) or step.operation.name


def _first_inputs(graph: Graph, operation: Operation) -> list[Value]:
    """Return the first input of every step of the operation, where it is no plain number."""
    inputs = [step.inputs[0] for step in graph.steps if step.operation is operation]
    return [value for value in inputs if isinstance(value, Value)]


def _gradients(values: Mapping[str, Value]) -> dict[str, Any]:
    return {name: value.gradient for name, value in values.items() if value.gradient is not None}
