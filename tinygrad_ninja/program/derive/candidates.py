"""The values and the parameters in a program to which a chain may be applied: each is chosen by its name."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from types import SimpleNamespace
from typing import Any

from ...ops import Operation, elementwise, indexing, linalg
from ...ops.reduction import kept
from ..instructions import Program, Var
from .nearby import is_onehot
from .record import is_range

NEAR = 16
"""The most instructions that a normalization has, however it is written."""

Candidate = tuple[tuple[Any, ...], tuple[Any, ...]]
"""Inputs and parameters."""


class Shapes:
    """What occurs in a program: its values, the inputs among them, and the parameters of its instructions; an
    axis together with the shapes that are read along it."""

    def __init__(self, program: Program) -> None:
        steps = program.instructions
        given = [step.given for step in steps]
        along = [(x.shape, step.given.get("axis")) for step in steps for x in step.reads()]
        axes = [(n, axis if isinstance(axis, tuple) else (axis,)) for n, axis in along if axis is not None]
        keys = [p["key"] for p in given if all(isinstance(index, Var) for index in p.get("key", [None]))]
        moving = (indexing.gather, indexing.scatter_along)
        indices = [step.parameters[-1] for step in steps if step.operation in moving]
        sums = [step for step in steps if step.operation is elementwise.add]
        self.values = [var for var in program.variables() if var.dtype.kind == "f"]
        self.inputs = [var for var in program.inputs if var.dtype.kind == "f"]
        self.axes = dict.fromkeys(axes)
        self.keys = dict.fromkeys(key for key in keys if len(key) == 2)
        self.indices = dict.fromkeys(index for index in indices if isinstance(index, Var))
        self.numbers = dict.fromkeys(x for step in sums for x in step.inputs if isinstance(x, float))
        self.products = [step.inputs for step in steps if step.operation is linalg.matmul]
        self._first = {var: i for i, step in reversed(list(enumerate(steps))) for var in step.reads()}

    def near(self, x: Var) -> list[Var]:
        """Return the inputs that are first read within a few instructions of a value, as the parameters of
        one layer are."""
        place = self._first.get(x, -NEAR)
        return [
            var for var in self.inputs if var is not x and abs(self._first.get(var, -NEAR) - place) <= NEAR
        ]


def _rows(shapes: Shapes, logits: Var, target: Var) -> Iterable[Var]:
    """Yield the indices that take one cell of each row, together with the target: for an index that repeats a
    row the mean would be another."""
    for rows, other in shapes.keys:
        each_row = other is target and is_range(rows) and rows.shape == target.shape == logits.shape[:1]
        if each_row and _are_classes(target, logits):
            yield rows


def _are_classes(index: Var, logits: Var) -> bool:
    """Return whether all numbers of an index are those of columns."""
    return bool(((index.value >= 0) & (index.value < logits.shape[1])).all())


def _is_broadcast(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    """Return whether an array of a shape is broadcast to another shape, or has it."""
    return len(shape) <= len(to) and all(n in (1, m) for n, m in zip(shape[::-1], to[::-1], strict=False))


CHOICES = SimpleNamespace(
    x=lambda shapes: shapes.values,
    logits=lambda shapes: [x for x in shapes.values if len(x.shape) == 2],
    weight=lambda shapes, x: [weight for weight in shapes.near(x) if _is_broadcast(weight.shape, x.shape)],
    bias=lambda shapes, x, weight: [
        bias for bias in shapes.near(x) if bias is not weight and bias.shape == weight.shape
    ],
    axis=lambda shapes, x, *_: [
        axis for shape, axis in shapes.axes if shape == x.shape and all(-1 < i < len(shape) for i in axis)
    ],
    eps=lambda shapes, *_: [0.0, *shapes.numbers],
    correction=lambda *_: [1, 0],
    target=lambda shapes, logits: dict.fromkeys(target for _, target in shapes.keys),
    rows=_rows,
    index=lambda shapes, logits: [
        i for i in shapes.indices if i.shape == (logits.shape[0], 1) and _are_classes(i, logits)
    ],
    onehot=lambda shapes, x: [
        y for y in shapes.inputs if y is not x and y.shape == x.shape and is_onehot(y.value)
    ],
)
"""What may be an input or a parameter of this name, of what occurs, and of what was chosen before."""


def by_name(shapes: Shapes, operation: Operation) -> Iterable[Candidate]:
    """Return the inputs and the parameters to which an operation may be applied, chosen by their names."""
    chosen: list[tuple[Any, ...]] = [()]
    for name in (*operation.inputs, *operation.parameters):
        chosen = [(*before, x) for before in chosen for x in getattr(CHOICES, name)(shapes, *before)]
    n = len(operation.inputs)
    return ((given[:n], given[n:]) for given in chosen)


def layers(shapes: Shapes, operation: Operation) -> Iterable[Candidate]:
    """Yield the candidates for a linear layer, whose weight need be no input."""
    for (x, weight), bias in product(shapes.products, shapes.inputs):
        fits = len(weight.shape) > 1 and bias.shape[-1:] == (bias.value.size,) == weight.shape[-1:]
        if fits and x is not bias is not weight:
            yield (x, weight, bias), ()


def constant_along(shapes: Shapes, operation: Operation) -> Iterable[Candidate]:
    """Yield the candidates for a normalization whose weight is one number along the axis."""
    for inputs, parameters in by_name(shapes, operation):
        (x, weight, _), (axis, *_) = inputs, parameters
        if _is_broadcast(weight.shape, kept(x.shape, axis)):
            yield inputs, parameters
