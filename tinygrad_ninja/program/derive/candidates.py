"""The values and the parameters in a program that may be the inputs of a chain."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

from ...ops import elementwise, indexing, linalg
from ...ops.reduction import size
from ..instructions import Program, Var
from .record import is_range

NEAR = 16
"""The most instructions that a normalization has, however it is written."""


class Shapes:
    """What occurs in a program: its values, the inputs among them, and the parameters of its instructions.
    first: the number of the instruction that reads a value first."""

    def __init__(self, program: Program) -> None:
        steps = program.instructions
        given = [step.given for step in steps]
        axes = [parameters["axis"] for parameters in given if parameters.get("axis") is not None]
        keys = [p["key"] for p in given if all(isinstance(index, Var) for index in p.get("key", [None]))]
        along = (indexing.gather, indexing.scatter_along)
        indices = [step.parameters[-1] for step in steps if step.operation in along]
        sums = [step for step in steps if step.operation is elementwise.add]
        matmuls = [step for step in steps if step.operation is linalg.matmul]
        self.values = [var for var in program.variables() if var.dtype.kind == "f"]
        self.inputs = [var for var in program.inputs if var.dtype.kind == "f"]
        self.axes = _unique([axis if isinstance(axis, tuple) else (axis,) for axis in axes])
        self.keys = _unique(keys)
        self.indices = _unique([index for index in indices if isinstance(index, Var)])
        self.numbers = _unique([x for step in sums for x in step.inputs if isinstance(x, float)])
        self.products: list[tuple[Any, ...]] = [step.inputs for step in matmuls]
        self.first = {var: i for i, step in reversed(list(enumerate(steps))) for var in step.reads()}

    def together(self, *values: Var) -> bool:
        """Return whether the values are first read within a few instructions, as the parameters of one layer
        are."""
        places = [self.first.get(value, -NEAR) for value in values]
        return max(places) - min(places) <= NEAR


def _unique(elements: list[Any]) -> list[Any]:
    """Return the elements without repetitions."""
    return list(dict.fromkeys(elements))


def each_value(shapes: Shapes) -> Iterator[Any]:
    """Yield every value."""
    for x in shapes.values:
        yield (x,), ()


def along_axes(shapes: Shapes) -> Iterator[Any]:
    """Yield every value with every axis that it has."""
    for x, axis in itertools.product(shapes.values, shapes.axes):
        if all(-1 < i < len(x.shape) for i in axis):
            yield (x,), (axis,)


def rows_and_targets(shapes: Shapes) -> Iterator[Any]:
    """Yield matrices with an index that takes one cell of each row: for an index that repeats a row the mean
    would be another."""
    for x, key in itertools.product(shapes.values, shapes.keys):
        if len(key) != 2 or len(x.shape) != 2:
            continue
        rows, target = key
        each_row = is_range(rows) and rows.shape == target.shape == x.shape[:1]
        if each_row and ((target.value >= 0) & (target.value < x.shape[1])).all():
            yield (x,), (target, rows)


def gathered(shapes: Shapes) -> Iterator[Any]:
    """Yield matrices with an index that gathers one cell of each row."""
    for x, index in itertools.product(shapes.values, shapes.indices):
        if len(x.shape) == 2 and index.shape == (x.shape[0], 1):
            yield (x,), (index,)


def with_onehot(shapes: Shapes) -> Iterator[Any]:
    """Yield matrices with a one-hot matrix of the same shape among the inputs."""
    for x, onehot in itertools.product(shapes.values, shapes.inputs):
        if x is not onehot and len(x.shape) == 2 and x.shape == onehot.shape and _is_onehot(onehot.value):
            yield (x, onehot), ()


def _is_onehot(value: Any) -> bool:
    """Return whether a matrix has a single 1 in each row, and else 0."""
    return bool(((value == 0) | (value == 1)).all() and (value.sum(1) == 1).all())


def _several(shapes: Shapes) -> Iterator[Any]:
    """Return values along axes with more than one element."""
    return ((x, axis) for (x,), (axis,) in along_axes(shapes) if size(x, axis) > 1)


def normalized(gained: Callable[[Var, Var, tuple[int, ...]], bool]) -> Any:
    """Return the candidates for a normalization with a gain and a bias among the inputs. gained: which
    weights may be the gain."""

    def candidates(shapes: Shapes) -> Iterator[Any]:
        for x, axis in _several(shapes):
            near = [
                parameter
                for parameter in shapes.inputs
                if parameter is not x and shapes.together(x, parameter)
            ]
            pairs = [
                (weight, bias)
                for weight, bias in itertools.permutations(near, 2)
                if weight.shape == bias.shape and gained(x, weight, axis)
            ]
            for (weight, bias), eps, correction in itertools.product(pairs, [0.0, *shapes.numbers], [1, 0]):
                yield (x, weight, bias), (axis, eps, correction)

    return candidates


def alone(shapes: Shapes) -> Iterator[Any]:
    """Yield the candidates for a normalization without gain and bias."""
    for x, axis in _several(shapes):
        for eps, correction in itertools.product([0.0, *shapes.numbers], [1, 0]):
            yield (x,), (axis, eps, correction)


def layers(shapes: Shapes) -> Iterator[Any]:
    """Yield the candidates for a linear layer."""
    for (x, weight), bias in itertools.product(shapes.products, shapes.inputs):
        if (
            bias.shape
            and bias.shape[-1] == bias.value.size == weight.shape[-1]
            and x is not bias is not weight
        ):
            yield (x, weight, bias), ()


def _aligned(x: Var, weight: Var) -> tuple[int, ...]:
    """Return the weight's shape with as many dimensions as x has; empty where it does not broadcast to x."""
    shape = (1,) * (len(x.shape) - len(weight.shape)) + weight.shape
    fits = len(shape) == len(x.shape) and all(n in (1, m) for n, m in zip(shape, x.shape, strict=True))
    return shape if fits else ()


def constant_along(x: Var, weight: Var, axis: tuple[int, ...]) -> bool:
    """Return whether the weight is one number along the axis."""
    shape = _aligned(x, weight)
    return bool(shape) and all(shape[i] == 1 for i in axis)


def varies_along(x: Var, weight: Var, axis: tuple[int, ...]) -> bool:
    """Return whether the weight has a number for each element along the axis."""
    shape = _aligned(x, weight)
    return bool(shape) and all(shape[i] == x.shape[i] for i in axis)
