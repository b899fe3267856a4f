"""Chains of operations whose gradient is known from pen and paper.

A chain is an operation like those of the table, with a forward formula and rules; and the other ways in which
people write it. It is recognised by computing it: where its formula, run on the terms of a value in the
reader's code, gives the term of another value there, that other one is this chain of the first.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ..kinds import sum_to
from ..ops import TABLE, Operation
from ..ops.reduction import size
from .instructions import Program, Var, flatten

Way = Callable[..., Any]

NEAR = 16
"""So many instructions a normalization has at most, however it is written."""


@dataclass(frozen=True)
class Chain:
    """operation: what the chain amounts to; title: what a reader calls it; ways: how it may be written, each
    a function of (xp, *inputs, *parameters); candidates: what it may be a chain of, (inputs, parameters) for
    a program."""

    operation: Operation
    title: str
    ways: tuple[Way, ...]
    candidates: Callable[[Shapes], Iterator[tuple[tuple[Any, ...], tuple[Any, ...]]]]


@dataclass(frozen=True)
class Shapes:
    """What occurs in a program: its values, the inputs among them, and what its instructions are called with.
    first: the instruction that reads a value first, by its number."""

    values: list[Var]
    inputs: list[Var]
    axes: list[tuple[int, ...]]
    keys: list[tuple[Any, ...]]
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
        numbers = [
            x
            for each in steps
            if each.operation.name == "add"
            for x in flatten(each.inputs)
            if isinstance(x, float)
        ]
        products = [(each.inputs[0], each.inputs[1]) for each in steps if each.operation.name == "matmul"]
        inputs = [var for var in program.inputs if var.dtype.kind == "f"]
        first = {var: i for i, each in reversed(list(enumerate(steps))) for var in each.reads()}
        return cls(values, inputs, _unique(axes), _unique(keys), _unique(numbers), products, first)

    def together(self, *values: Var) -> bool:
        """Whether they are read within a few instructions, as the parameters of one layer are."""
        places = [self.first.get(each, -NEAR) for each in values]
        return max(places) - min(places) <= NEAR


def _unique(found: list[Any]) -> list[Any]:
    return list(dict.fromkeys(found))


# -- who may be a chain of what ------------------------------------------------------------------------------


def _each_value(found: Shapes) -> Iterator[Any]:
    for x in found.values:
        yield (x,), ()


def _along_axes(found: Shapes) -> Iterator[Any]:
    for x, axis in itertools.product(found.values, found.axes):
        if all(-1 < i < len(x.shape) for i in axis):
            yield (x,), (axis,)


def _rows_and_targets(found: Shapes) -> Iterator[Any]:
    for x, key in itertools.product(found.values, found.keys):
        if len(key) == 2 == len(x.shape) and all(
            isinstance(each, Var) and len(each.shape) == 1 for each in key
        ):
            yield (x,), (key[1], key[0])


def _normalized_values(gained: Callable[[Var, Var, tuple[int, ...]], bool]) -> Any:
    """With a gain and a bias among the inputs, or without them."""

    def candidates(found: Shapes) -> Iterator[Any]:
        for (x,), (axis,) in _along_axes(found):
            near = [each for each in found.inputs if each is not x and found.together(x, each)]
            pairs = [
                (weight, bias)
                for weight, bias in itertools.permutations(near, 2)
                if weight.shape == bias.shape and gained(x, weight, axis)
            ]
            for (weight, bias), eps, correction in itertools.product(pairs, [0.0, *found.numbers], [1, 0]):
                yield (x, weight, bias), (axis, eps, correction)

    return candidates


def _alone(found: Shapes) -> Iterator[Any]:
    for (x,), (axis,) in _along_axes(found):
        for eps, correction in itertools.product([0.0, *found.numbers], [1, 0]):
            yield (x,), (axis, eps, correction)


def _layers(found: Shapes) -> Iterator[Any]:
    for (x, weight), bias in itertools.product(found.products, found.inputs):
        if (
            bias.shape
            and bias.shape[-1] == bias.value.size == weight.shape[-1]
            and x is not bias is not weight
        ):
            yield (x, weight, bias), ()


# -- normalization -------------------------------------------------------------------------------------------


def _standardized(xp: Any, x: Any, axis: tuple[int, ...], eps: float, correction: float) -> tuple[Any, Any]:
    """(x - mean) / √(variance + eps), the variance over n - correction; and the factor 1 / √(variance +
    eps)."""
    n = size(x, axis)
    difference = x - xp.sum(x, axis, True) / n
    inverse_std = xp.pow(xp.sum(difference * difference, axis, True) / (n - correction) + eps, -0.5)
    return difference * inverse_std, inverse_std


def _one_line(xp: Any, dout: Any, scale: Any, xhat: Any, axis: tuple[int, ...], correction: float) -> Any:
    """scale / n · (n dout - Σ dout - n / (n - correction) · x̂ Σ dout x̂)"""
    n = size(xhat, axis)
    corrected = n / (n - correction) * xhat if correction else xhat
    return scale / n * (n * dout - xp.sum(dout, axis, True) - corrected * xp.sum(dout * xhat, axis, True))


def _batch_x(xp: Any, dout: Any, x: Any, weight: Any, axis: Any, eps: float, correction: float) -> Any:
    xhat, inverse_std = _standardized(xp, x, axis, eps, correction)
    return _one_line(xp, dout, weight * inverse_std, xhat, axis, correction)


def _layer_x(xp: Any, dout: Any, x: Any, weight: Any, axis: Any, eps: float, correction: float) -> Any:
    """The gain differs along the axis, and so belongs to each dout."""
    xhat, inverse_std = _standardized(xp, x, axis, eps, correction)
    return _one_line(xp, dout * weight, inverse_std, xhat, axis, correction)


def _plain_x(xp: Any, dout: Any, x: Any, axis: Any, eps: float, correction: float) -> Any:
    xhat, inverse_std = _standardized(xp, x, axis, eps, correction)
    return _one_line(xp, dout, inverse_std, xhat, axis, correction)


def _weight(xp: Any, dout: Any, x: Any, weight_like: Any, axis: Any, eps: float, correction: float) -> Any:
    return sum_to(dout * _standardized(xp, x, axis, eps, correction)[0], weight_like)


def _bias(dout: Any, bias_like: Any) -> Any:
    return sum_to(dout, bias_like)


def batch_normalization(
    xp: Any, x: Any, weight: Any, bias: Any, /, axis: tuple[int, ...], eps: float, correction: float
) -> Any:
    """out = weight · x̂ + bias, with x̂ = (x - mean) / √(var + eps) along axis, the variance over n -
    correction.

    dx = weight / √(var + eps) / n · (n dout - Σ dout - n / (n - correction) · x̂ Σ dout x̂).
    """
    return weight * _standardized(xp, x, axis, eps, correction)[0] + bias


def layer_normalization(
    xp: Any, x: Any, weight: Any, bias: Any, /, axis: tuple[int, ...], eps: float, correction: float
) -> Any:
    """As batch normalization, with a weight that varies along the axis: in dx, dout · weight takes dout's
    place, and weight is gone from the factor in front."""
    return weight * _standardized(xp, x, axis, eps, correction)[0] + bias


def normalization(xp: Any, x: Any, /, axis: tuple[int, ...], eps: float, correction: float) -> Any:
    """As batch normalization, without weight and bias."""
    return _standardized(xp, x, axis, eps, correction)[0]


def linear_layer(xp: Any, x: Any, weight: Any, bias: Any, /) -> Any:
    """out = x @ weight + bias;  dx = dout @ weightᵀ, dweight = xᵀ @ dout, dbias = Σ dout."""
    return xp.matmul(x, weight) + bias


def _aligned(x: Var, weight: Var) -> tuple[int, ...]:
    """The weight's shape with as many dimensions as x has; empty where it does not broadcast to x."""
    shape = (1,) * (len(x.shape) - len(weight.shape)) + weight.shape
    fits = len(shape) == len(x.shape) and all(n in (1, m) for n, m in zip(shape, x.shape, strict=True))
    return shape if fits else ()


def _constant_along(x: Var, weight: Var, axis: tuple[int, ...]) -> bool:
    """Whether the weight is one number along the axis."""
    shape = _aligned(x, weight)
    return bool(shape) and all(shape[i] == 1 for i in axis)


def _varies_along(x: Var, weight: Var, axis: tuple[int, ...]) -> bool:
    shape = _aligned(x, weight)
    return bool(shape) and all(shape[i] == x.shape[i] for i in axis)


# -- softmax, and how it may be written ----------------------------------------------------------------------


def _exps(xp: Any, z: Any, axis: Any) -> Any:
    return xp.exp(z) / xp.sum(xp.exp(z), axis, True)


def _shifted(xp: Any, x: Any, axis: Any) -> Any:
    return x - xp.max(x, axis, True)


def _shifted_by_one(xp: Any, x: Any, axis: Any) -> Any:
    """The largest of all, taken off every row."""
    return x - xp.max(x, None, False)


def _unshifted(xp: Any, x: Any, axis: Any) -> Any:
    return x


_SHIFTS = (_unshifted, _shifted, _shifted_by_one)
_SOFTMAX = tuple(lambda xp, x, axis, z=z: _exps(xp, z(xp, x, axis), axis) for z in _SHIFTS)
_LOG_SOFTMAX = tuple(lambda xp, x, axis, p=p: xp.log(p(xp, x, axis)) for p in _SOFTMAX)


def _mean(xp: Any, x: Any) -> Any:
    return xp.sum(x, None, False) / size(x, None)


_CROSS_ENTROPY = (
    *(lambda xp, x, y, rows, lp=lp: -_mean(xp, xp.index(lp(xp, x, (1,)), (rows, y))) for lp in _LOG_SOFTMAX),
    *(lambda xp, x, y, rows, p=p: -_mean(xp, xp.log(xp.index(p(xp, x, (1,)), (rows, y)))) for p in _SOFTMAX),
)


CHAINS = (
    Chain(TABLE["cross_entropy"], "softmax with cross-entropy", _CROSS_ENTROPY, _rows_and_targets),
    Chain(
        Operation(batch_normalization, {"x": _batch_x, "weight": _weight, "bias": _bias}),
        "batch normalization",
        (batch_normalization,),
        _normalized_values(_constant_along),
    ),
    Chain(
        Operation(layer_normalization, {"x": _layer_x, "weight": _weight, "bias": _bias}),
        "layer normalization",
        (layer_normalization,),
        _normalized_values(_varies_along),
    ),
    Chain(Operation(normalization, {"x": _plain_x}), "normalization", (normalization,), _alone),
    Chain(TABLE["log_softmax"], "log-softmax", _LOG_SOFTMAX, _along_axes),
    Chain(TABLE["softmax"], "softmax", _SOFTMAX, _along_axes),
    Chain(
        TABLE["sigmoid"],
        "sigmoid",
        (lambda xp, x: 1 / (1 + xp.exp(-x)), lambda xp, x: xp.exp(x) / (1 + xp.exp(x))),
        _each_value,
    ),
    Chain(
        TABLE["tanh"],
        "tanh",
        (
            lambda xp, x: (xp.exp(2 * x) - 1) / (xp.exp(2 * x) + 1),
            lambda xp, x: (1 - xp.exp(-2 * x)) / (1 + xp.exp(-2 * x)),
            lambda xp, x: (xp.exp(x) - xp.exp(-x)) / (xp.exp(x) + xp.exp(-x)),
            lambda xp, x: 2 / (1 + xp.exp(-2 * x)) - 1,
        ),
        _each_value,
    ),
    Chain(
        Operation(
            linear_layer,
            {
                "x": lambda xp, dout, weight: xp.matmul(dout, weight.mT),
                "weight": lambda xp, dout, x: xp.matmul(x.mT, dout),
                "bias": _bias,
            },
        ),
        "linear layer",
        (linear_layer,),
        _layers,
    ),
)
"""The longest first: where two end in the same value, it is taken."""
