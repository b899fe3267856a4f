"""micrograd's interface on this engine: `Value`, and neurons, layers and networks of Values.

    from tinygrad_ninja.micrograd import MLP, Layer, Neuron, Value

replaces micrograd's two import lines, those from `micrograd.engine` and `micrograd.nn`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from ..engine.value import Value
from ..ops.elementwise import relu, sigmoid, tanh

__all__ = ["MLP", "Layer", "Module", "Neuron", "Value"]


class Module:
    """The base of neurons, layers and networks: an object with parameters."""

    def parameters(self) -> list[Value]:
        """Return the Values to train: neuron by neuron, the weights and then the bias."""
        return []

    def zero_grad(self) -> None:
        """Set the gradients of all parameters to 0."""
        for parameter in self.parameters():
            parameter.grad = 0.0


ACTIVATIONS = {relu.name: "ReLU", sigmoid.name: "Sigmoid", tanh.name: "Tanh"}
"""The activations, methods of Value, and how they are printed."""


class Neuron(Module):
    """w · x + b, followed by the activation unless it is linear.

    nin: the number of inputs; their weights are drawn by Python's `random.uniform(-1, 1)`, and the bias is 0.
    nonlin: whether the activation follows. activation: "relu", "sigmoid" or "tanh"; ValueError for another.
    """

    def __init__(self, nin: int, nonlin: bool = True, activation: str = relu.name) -> None:
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation is one of {', '.join(ACTIVATIONS)}, not {activation!r}")
        self.activation = activation
        self.w = [Value(random.uniform(-1, 1)) for _ in range(nin)]
        self.b = Value(0.0)
        self.nonlin = nonlin

    def __call__(self, x: Sequence[Value | float]) -> Value:
        """Return the neuron's Value for `nin` Values or numbers; ValueError where there are more or fewer."""
        if len(x) != len(self.w):
            raise ValueError(f"a neuron of {len(self.w)} inputs was given {len(x)}")
        total = self.b
        for weight, number in zip(self.w, x, strict=True):
            total = total + weight * number
        return getattr(total, self.activation)() if self.nonlin else total

    def parameters(self) -> list[Value]:
        """Return the weights and then the bias."""
        return [*self.w, self.b]

    def __repr__(self) -> str:
        return f"{ACTIVATIONS[self.activation] if self.nonlin else 'Linear'}Neuron({len(self.w)})"


class Layer(Module):
    """`nout` neurons, each of which sees all `nin` inputs; nonlin and activation as in `Neuron`."""

    def __init__(self, nin: int, nout: int, nonlin: bool = True, activation: str = relu.name) -> None:
        self.neurons = [Neuron(nin, nonlin, activation) for _ in range(nout)]

    def __call__(self, x: Sequence[Value | float]) -> Any:
        """Return the list of the neurons' Values for `x`; for a single neuron the Value itself."""
        outputs = [neuron(x) for neuron in self.neurons]
        return outputs if len(outputs) != 1 else outputs[0]

    def parameters(self) -> list[Value]:
        """Return the parameters of all neurons, in order."""
        return [parameter for neuron in self.neurons for parameter in neuron.parameters()]

    def __repr__(self) -> str:
        return f"Layer of [{', '.join(map(repr, self.neurons))}]"


class MLP(Module):
    """Layers of neurons, one after the other: of `nin` inputs, with the sizes `nouts`; the last layer is
    linear, the others have the activation, as in `Neuron`."""

    def __init__(self, nin: int, nouts: Sequence[int], activation: str = relu.name) -> None:
        sizes = zip([nin, *nouts], nouts, strict=False)
        self.layers = [
            Layer(*size, nonlin=i < len(nouts), activation=activation) for i, size in enumerate(sizes, 1)
        ]

    def __call__(self, x: Sequence[Value | float]) -> Any:
        """Return the output of the last layer for `x`: a list of Values, or a single one."""
        outputs: Any = x
        for layer in self.layers:
            outputs = layer([outputs] if isinstance(outputs, Value) else outputs)
        return outputs

    def parameters(self) -> list[Value]:
        """Return the parameters of all layers, in order."""
        return [parameter for layer in self.layers for parameter in layer.parameters()]

    def __repr__(self) -> str:
        return f"MLP of [{', '.join(map(repr, self.layers))}]"
