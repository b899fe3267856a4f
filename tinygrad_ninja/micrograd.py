"""micrograd's interface on this engine: `Value`, and neurons, layers and networks of Values.

    from tinygrad_ninja.micrograd import MLP, Layer, Neuron, Value

replaces micrograd's two import lines, those from `micrograd.engine` and `micrograd.nn`.
"""

from .nn.neurons import (
    MLP,
    Layer,
    Module,
    Neuron,
    Value,
)

__all__ = [
    "MLP",
    "Layer",
    "Module",
    "Neuron",
    "Value",
]
