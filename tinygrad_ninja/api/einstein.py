"""Products summed over named dimensions, as in Einstein's notation: "ij,jk->ik" is a product of matrices."""

from __future__ import annotations

import itertools
import math
import string
from typing import Any

from ..engine.tensor import Tensor
from .matrices import diagonal, matmul
from .register import function
from .reshaping import permute, reshape

_LETTERS = string.ascii_uppercase + string.ascii_lowercase


def _labels(term: str, ndim: int, place: int) -> list[Any]:
    """Return the label of each dimension of an operand: a letter, or for the dimensions of an ellipsis their
    numbers from behind."""
    before, dots, after = term.partition("...")
    if "." in before or "." in after:
        raise RuntimeError(f"einsum(): found '.' for operand {place} that is not part of any ellipsis")
    for letter in before + after:
        if letter not in _LETTERS:
            raise RuntimeError(
                f"einsum(): invalid subscript given at index {place}, subscripts must be in [a-zA-Z]"
            )
    covered = ndim - len(before) - len(after)
    if covered < 0 or (covered and not dots):
        raise RuntimeError(
            f"einsum(): the number of subscripts in the equation ({len(before) + len(after)}) does not match "
            f"the number of dimensions ({ndim}) for operand {place}"
        )
    return [*before, *range(-covered, 0), *after]


def _parse(equation: str, operands: list[Tensor]) -> tuple[list[list[Any]], list[Any]]:
    """Return the labels of each operand, and those of the result: where the equation does not say, the
    dimensions of ellipses, and then the letters that occur once, in the order of the alphabet."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(operands):
        raise RuntimeError(
            f"einsum(): there are {len(operands)} operands, but the equation has terms for {len(terms)}"
        )
    inputs = [_labels(term, x.ndim, i) for i, (term, x) in enumerate(zip(terms, operands, strict=True))]
    everywhere = [label for labels in inputs for label in labels]
    covered = sorted({label for label in everywhere if isinstance(label, int)})
    if not arrow:
        letters = sorted(label for label in everywhere if isinstance(label, str))
        return inputs, [*covered, *(letter for letter in letters if letters.count(letter) == 1)]
    output = _labels(right, len(right.replace("...", "")) + (len(covered) if "..." in right else 0), -1)
    for label in output:
        if output.count(label) > 1:
            raise RuntimeError(f"einsum(): output subscript {label} appears more than once in the output")
        if label not in everywhere:
            raise RuntimeError(
                f"einsum(): output subscript {label} does not appear in the equation for any input operand"
            )
    return inputs, output


def _arranged(x: Tensor, labels: list[Any], order: list[Any]) -> Tensor:
    """Return an operand with a dimension for each label of the order, of size 1 where it lacks it; a label
    that it has twice stands for the diagonal."""
    labels = [*labels]
    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            first, second = (i for i in [k for k, other in enumerate(labels) if other == label][:2])
            if x.shape[first] != x.shape[second]:
                raise RuntimeError(
                    f"einsum(): subscript {label} is repeated for an operand but the sizes don't match, "
                    f"{x.shape[second]} != {x.shape[first]}"
                )
            x = diagonal(x, 0, first, second)
            labels = [other for k, other in enumerate(labels) if k not in (first, second)] + [label]
    present = [label for label in order if label in labels]
    x = permute(x, [labels.index(label) for label in present])
    sizes = dict(zip(present, x.shape, strict=True))
    return reshape(x, [sizes.get(label, 1) for label in order])


def _product(a: Tensor, b: Tensor, summed: list[int]) -> Tensor:
    """Return a · b, broadcast and summed over some dimensions, which are kept with size 1, as one batch of
    products of matrices."""
    alone = [[i for i in summed if x.shape[i] > 1 and y.shape[i] == 1] for x, y in ((a, b), (b, a))]
    a = a.sum(alone[0], True) if alone[0] else a
    b = b.sum(alone[1], True) if alone[1] else b
    together = [i for i in summed if a.shape[i] > 1 or a.shape[i] == b.shape[i] == 0]
    if not together:
        return a * b
    kept = [i for i in range(a.ndim) if i not in summed]
    batch = [i for i in kept if a.shape[i] == b.shape[i]]
    rows = [i for i in kept if i not in batch and b.shape[i] == 1]
    columns = [i for i in kept if i not in batch and a.shape[i] == 1]

    def sizes(x: Tensor, dims: list[int]) -> list[int]:
        return [x.shape[i] for i in dims]

    rest = [i for i in summed if i not in together]
    left = permute(a, [*batch, *rows, *together, *columns, *rest])
    right = permute(b, [*batch, *together, *columns, *rows, *rest])
    n, k, m = math.prod(sizes(a, rows)), math.prod(sizes(a, together)), math.prod(sizes(b, columns))
    out = matmul(reshape(left, [*sizes(a, batch), n, k]), reshape(right, [*sizes(b, batch), k, m]))
    order = [*batch, *rows, *columns, *summed]
    out = reshape(out, [*sizes(a, batch), *sizes(a, rows), *sizes(b, columns), *[1] * len(summed)])
    return permute(out, [order.index(i) for i in range(a.ndim)])


def _from_lists(arguments: tuple[Any, ...]) -> tuple[str, list[Tensor]]:
    """Return the equation, and the operands, of a call with a list of numbers behind each operand, and
    perhaps one of the result."""

    def letters(numbers: Any) -> str:
        for number in numbers:
            if number is not Ellipsis and not 0 <= number < len(_LETTERS):
                raise ValueError(f"einsum(): the sublists hold numbers from 0 to {len(_LETTERS) - 1}")
        return "".join("..." if number is Ellipsis else _LETTERS[number] for number in numbers)

    pairs = len(arguments) // 2
    operands = [*arguments[0 : 2 * pairs : 2]]
    equation = ",".join(letters(numbers) for numbers in arguments[1 : 2 * pairs : 2])
    return equation + (f"->{letters(arguments[-1])}" if len(arguments) % 2 else ""), operands


@function
def einsum(*arguments: Any) -> Tensor:
    """Return the product of the operands, summed over the labels that the result lacks.

    einsum("bij,bjk->bik", x, y) labels the dimensions of each operand, and of the result, by letters; "..."
    stands for any number of dimensions, which are broadcast, and a letter that an operand has twice for its
    diagonal. Without "->" the result has the letters that occur once, in the order of the alphabet. Numbers
    may stand for letters: einsum(x, [0, 1], y, [1, 2], [0, 2]). The operands are multiplied from the left to
    the right. Raises RuntimeError for sizes or labels that do not fit, ValueError without operands, TypeError
    for operands that are no Tensors.
    """
    if not arguments:
        raise ValueError("einsum(): must specify the equation string and at least one operand")
    if isinstance(arguments[0], str):
        equation, operands = arguments[0], [*arguments[1:]]
        if len(operands) == 1 and isinstance(operands[0], (tuple, list)):
            operands = [*operands[0]]
    else:
        equation, operands = _from_lists(arguments)
    if not operands:
        raise ValueError("einsum(): must provide at least one operand")
    for operand in operands:
        if not isinstance(operand, Tensor):
            raise TypeError(f"einsum(): operands must be Tensors, not {type(operand).__name__}")
    inputs, output = _parse(equation, operands)
    summed = [label for label in dict.fromkeys(itertools.chain(*inputs)) if label not in output]
    order = [*output, *summed]
    arranged = [_arranged(x, labels, order) for x, labels in zip(operands, inputs, strict=True)]
    for i, label in enumerate(order):
        lengths = sorted({x.shape[i] for x in arranged} - {1})
        if len(lengths) > 1:
            raise RuntimeError(
                f"einsum(): subscript {label} has size {lengths[1]} for an operand, which does not broadcast "
                f"with previously seen size {lengths[0]}"
            )
    out = arranged[0]
    last = {label: max(i for i, labels in enumerate(inputs) if label in labels) for label in summed}
    for place, x in enumerate(arranged):
        done = [order.index(label) for label in summed if last[label] == place]
        if place:
            out = _product(out, x, done)
        elif done:
            out = out.sum(done, True)
    return reshape(out, tuple(out.shape)[: len(output)])
