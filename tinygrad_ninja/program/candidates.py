"""What a chain may be a chain of: the values and the parameters in a program that are worth a try."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ..ops import elementwise, indexing, linalg
from ..ops.reduction import size
from .instructions import Program, Var, flatten
from .record import is_range

NEAR = 16
"""So many instructions a normalization has at most, however it is written."""


@dataclass(frozen=True)
class Shapes:
    """What occurs in a program: its values, the inputs among them, and what its instructions are called with.
    first: the instruction that reads a value first, by its number."""

    values: list[Var]
    inputs: list[Var]
    axes: list[tuple[int, ...]]
    keys: list[tuple[Any, ...]]
    indices: list[Var]
    numbers: list[float]
    products: list[tuple[Any, Any]]
    first: dict[Var, int]

    @classmethod
    def of(cls, program: Program) -> Shapes:
        """What occurs in a program."""
        steps = program.instructions
        values = [var for var in program.variables() if var.dtype.kind == "f"]
        named = [dict(zip(each.operation.parameters, each.parameters, strict=True)) for each in steps]
        axes = [
            p["axis"] if isinstance(p["axis"], tuple) else (p["axis"],)
            for p in named
            if p.get("axis") is not None
        ]
        keys = [p["key"] for p in named if all(isinstance(each, Var) for each in p.get("key", [None]))]
        along = (indexing.gather, indexing.scatter_along)
        last = [each.parameters[-1] for each in steps if each.operation in along]
        indices = [index for index in last if isinstance(index, Var)]
        numbers = [
            x
            for each in steps
            if each.operation is elementwise.add
            for x in flatten(each.inputs)
            if isinstance(x, float)
        ]
        products = [(each.inputs[0], each.inputs[1]) for each in steps if each.operation is linalg.matmul]
        inputs = [var for var in program.inputs if var.dtype.kind == "f"]
        first = {var: i for i, each in reversed(list(enumerate(steps))) for var in each.reads()}
        return cls(
            values, inputs, _unique(axes), _unique(keys), _unique(indices), _unique(numbers), products, first
        )

    def together(self, *values: Var) -> bool:
        """Whether they are read within a few instructions, as the parameters of one layer are."""
        places = [self.first.get(each, -NEAR) for each in values]
        return max(places) - min(places) <= NEAR


def _unique(found: list[Any]) -> list[Any]:
    return list(dict.fromkeys(found))


def each_value(found: Shapes) -> Iterator[Any]:
    for x in found.values:
        yield (x,), ()


def along_axes(found: Shapes) -> Iterator[Any]:
    for x, axis in itertools.product(found.values, found.axes):
        if all(-1 < i < len(x.shape) for i in axis):
            yield (x,), (axis,)


def rows_and_targets(found: Shapes) -> Iterator[Any]:
    """A cell of each row, once: of an index that repeats a row, the mean is another."""
    for x, key in itertools.product(found.values, found.keys):
        if len(key) != 2 or len(x.shape) != 2:
            continue
        rows, target = key
        each_row = is_range(rows) and rows.shape == target.shape == x.shape[:1]
        if each_row and ((target.value >= 0) & (target.value < x.shape[1])).all():
            yield (x,), (target, rows)


def gathered(found: Shapes) -> Iterator[Any]:
    for x, index in itertools.product(found.values, found.indices):
        if len(x.shape) == 2 and index.shape == (x.shape[0], 1):
            yield (x,), (index,)


def with_onehot(found: Shapes) -> Iterator[Any]:
    for x, onehot in itertools.product(found.values, found.inputs):
        if x is not onehot and len(x.shape) == 2 and x.shape == onehot.shape and _is_onehot(onehot.value):
            yield (x, onehot), ()


def _is_onehot(value: Any) -> bool:
    return bool(((value == 0) | (value == 1)).all() and (value.sum(1) == 1).all())


def _several(found: Shapes) -> Iterator[Any]:
    """Values along axes on which there is more than one element."""
    return ((x, axis) for (x,), (axis,) in along_axes(found) if size(x, axis) > 1)


def normalized(gained: Callable[[Var, Var, tuple[int, ...]], bool]) -> Any:
    """With a gain and a bias among the inputs, or without them."""

    def candidates(found: Shapes) -> Iterator[Any]:
        for x, axis in _several(found):
            near = [each for each in found.inputs if each is not x and found.together(x, each)]
            pairs = [
                (weight, bias)
                for weight, bias in itertools.permutations(near, 2)
                if weight.shape == bias.shape and gained(x, weight, axis)
            ]
            for (weight, bias), eps, correction in itertools.product(pairs, [0.0, *found.numbers], [1, 0]):
                yield (x, weight, bias), (axis, eps, correction)

    return candidates


def alone(found: Shapes) -> Iterator[Any]:
    for x, axis in _several(found):
        for eps, correction in itertools.product([0.0, *found.numbers], [1, 0]):
            yield (x,), (axis, eps, correction)


def layers(found: Shapes) -> Iterator[Any]:
    for (x, weight), bias in itertools.product(found.products, found.inputs):
        if (
            bias.shape
            and bias.shape[-1] == bias.value.size == weight.shape[-1]
            and x is not bias is not weight
        ):
            yield (x, weight, bias), ()


def _aligned(x: Var, weight: Var) -> tuple[int, ...]:
    """The weight's shape with as many dimensions as x has; empty where it does not broadcast to x."""
    shape = (1,) * (len(x.shape) - len(weight.shape)) + weight.shape
    fits = len(shape) == len(x.shape) and all(n in (1, m) for n, m in zip(shape, x.shape, strict=True))
    return shape if fits else ()


def constant_along(x: Var, weight: Var, axis: tuple[int, ...]) -> bool:
    """Whether the weight is one number along the axis."""
    shape = _aligned(x, weight)
    return bool(shape) and all(shape[i] == 1 for i in axis)


def varies_along(x: Var, weight: Var, axis: tuple[int, ...]) -> bool:
    shape = _aligned(x, weight)
    return bool(shape) and all(shape[i] == x.shape[i] for i in axis)
