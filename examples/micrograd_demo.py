"""micrograd's demo: a network of 337 Values learns to distinguish two half-moons.

    python examples/micrograd_demo.py [--steps STEPS]

Only the import of MLP and Value names this engine: with micrograd's two in its place the losses are the same.
"""

import argparse
import random
from typing import Any

import numpy as np

from tinygrad_ninja.micrograd import MLP, Value

STEPS = 100


def make_moons(n: int, noise: float) -> tuple[Any, Any]:
    """Return the points, (n, 2), and their classes, (n,), 0 or 1, as scikit-learn's function of that name
    does.

    They are drawn from NumPy's global generator.
    """
    upper, lower = np.linspace(0, np.pi, n // 2), np.linspace(0, np.pi, n - n // 2)
    X = np.concatenate(
        [
            np.column_stack([np.cos(upper), np.sin(upper)]),
            np.column_stack([1 - np.cos(lower), 1 - np.sin(lower) - 0.5]),
        ]
    )
    y = np.repeat([0, 1], [len(upper), len(lower)])
    order = np.arange(n)
    np.random.shuffle(order)
    return X[order] + np.random.normal(scale=noise, size=X.shape), y[order]


def start(mlp: Any = MLP) -> tuple[Any, Any, Any]:
    """Return the model, the points, and their classes as -1 or 1, all drawn from the seed 1337."""
    np.random.seed(1337)
    random.seed(1337)
    X, y = make_moons(100, noise=0.1)
    return mlp(2, [16, 16, 1]), X, y * 2 - 1


def loss(model: Any, X: Any, y: Any, value: Any = Value) -> tuple[Any, float]:
    """Return the max-margin loss of all points with L2 regularization, and the share of them classified
    correctly."""
    scores = [model([value(number) for number in row]) for row in X]
    margins = [(1 + -label * score).relu() for label, score in zip(y, scores, strict=True)]
    weights = sum(p * p for p in model.parameters())
    correct = [(label > 0) == (score.data > 0) for label, score in zip(y, scores, strict=True)]
    return sum(margins) * (1.0 / len(margins)) + 1e-4 * weights, sum(correct) / len(correct)


def train_step(model: Any, X: Any, y: Any, step: int, value: Any = Value) -> tuple[Any, float]:
    """Return the loss and accuracy before a step of gradient descent, at a rate that falls to 0.1 in 100
    steps."""
    total, accuracy = loss(model, X, y, value)
    model.zero_grad()
    total.backward()
    rate = max(0.1, 1.0 - 0.9 * step / STEPS)
    for p in model.parameters():
        p.data -= rate * p.grad
    return total, accuracy


def main() -> None:
    """Train the network, and print the loss and accuracy of every step."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=STEPS, help=f"default {STEPS}")
    steps = parser.parse_args().steps
    model, X, y = start()
    print(model)
    print(len(model.parameters()), "parameters")
    for step in range(steps):
        total, accuracy = train_step(model, X, y, step)
        print(f"step {step} loss {total.data}, accuracy {accuracy:.0%}")


if __name__ == "__main__":
    main()
