"""Formulas with indices: what each element of a value is computed from.

The instructions are those of the formulas without indices. A dimension of size 1 has no index.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from math import prod
from typing import Any

import numpy as np

from ...ops import Category, Operation, elementwise, indexing, linalg, reduction, shape
from ...ops.reduction import size
from ..dialects import Kind
from ..entries import RESHAPES
from ..instructions import Instruction, Var, axes_of, extreme
from ..passes import readable
from ..trace import Tape, Traced, lower
from .formula import ARITHMETIC, Formulas, composed_formula, is_of_each
from .mathematics import (
    ATOM,
    EQUALS,
    Math,
    bracket,
    frac,
    math,
    name,
    over_all,
    place,
    row,
    sup,
    with_index,
    within,
)
from .record import is_range

LETTERS = "ijklmpqrst"


class NoIndexFormError(Exception):
    """An operation of the expression has no form with indices here."""


Index = tuple[Any, ...]
"""For each dimension a piece of mathematics, or None where its size is 1."""


class Indexed:
    """Writes elements of values. formulas: what says which instructions may be written out, and which names
    there are, and writes the numbers. without: a value of which only what its element is multiplied by is
    written; `left_out` is that element's index afterwards."""

    def __init__(self, formulas: Formulas, without: Var | None = None) -> None:
        self._without = without
        self.left_out: Index = ()
        self._makers = dict(formulas.makers)
        self._called = formulas.called
        self._sizes = formulas.sizes
        used = {var.name for var in formulas.makers if var.name} | set(formulas.names.values())
        self._free = [letter for letter in LETTERS if letter not in used]
        self._letters: Iterator[str] = iter(())
        self._joined: dict[Any, list[tuple[Any, int]]] = {}  # what an index of joined dimensions is made of

    def index(self, var: Var, first: int = 0) -> Index:
        """Return the indices of any element of a value. first: the number of the first letter to use."""
        letters = iter(self._free[first:])
        return tuple(self._letter(letters) if n != 1 else None for n in var.shape)

    def equation(self, called: str, parts: Sequence[Var], index: Index, number: int = 0) -> Math:
        """Return "called = …" with the element of the parts at the index, added up. number: that of the
        share of which it is, if there are several. Raise NoIndexFormError where there is none."""
        used = {i.parts[0] for i in index if i is not None and i.kind is Kind.NAME}
        self._letters = iter([letter for letter in self._free if letter not in used])
        total = functools.reduce(operator.add, [self.element(part, index, True) for part in parts])
        left = self.named(called, index)
        return row(sup(left, math(number).at(ATOM + 1)) if number else left, EQUALS, total)

    def named(self, called: str, index: Index) -> Math:
        """Return a name with its indices."""
        return with_index(name(called), [i for i in index if i is not None])

    def as_letter(self, i: Math | None) -> Math | None:
        """Return an index if it is a letter, or none at all; else the next letter that the equation lacks."""
        plain = i is None or (i.kind is Kind.NAME and i.parts[0] in self._free)
        return i if plain else self._letter(self._letters)

    @staticmethod
    def _letter(letters: Iterator[str]) -> Math:
        letter = next(letters, "")
        if not letter:
            raise NoIndexFormError("there are no letters left")
        return name(letter)

    def element(self, x: Any, index: Index, top: bool = False) -> Math:
        """Return the element of a variable at an index, or a number."""
        if not isinstance(x, Var):
            return self._sizes.code(x) if isinstance(x, int | float) else math(x)
        if x.constant:
            piece: Math = self._sizes.code(x.number, x.dtype.type)
            return piece
        index = aligned(index, x)
        if x is self._without:
            self.left_out = index
            return math(1)
        called = self._called(x)
        step = self._makers.get(x)
        if is_range(x) and not called:
            return place(index[0])
        if step is None or (called and not top):
            if not called:
                raise NoIndexFormError("a value without a name")
            return self.named(called, index)
        return self._applied(step, index)

    def _applied(self, step: Instruction, index: Index) -> Math:
        """Return the element of what an instruction computes."""
        operation = step.operation
        write = _WAYS.get(operation)
        if write is not None:
            return write(self, step, index)
        if operation.formula is not None and operation.category is Category.REDUCTION:
            return self._reduced(step, index)
        if not is_of_each(operation) or operation.named:
            return self._applied(self._defined(step), index)
        plain = operation.operator not in ARITHMETIC  # an exponent is written in its own way
        operands: list[Any] = [
            x if plain and not isinstance(x, Var) else self.element(x, index) for x in step.inputs
        ]
        if operation is elementwise.mul:
            return times(*map(math, operands))
        parameters = [self.element(x, index) if isinstance(x, Var) else x for x in step.parameters]
        return composed_formula(operation, operands, parameters)

    def _defined(self, step: Instruction) -> Instruction:
        """Return the last of the instructions by which an operation is defined; those before it may be
        written out. Raise NoIndexFormError where it is none of others."""
        parts = readable(lower(step, _WithoutShift()), {step.output, *step.reads()}, ())
        if parts[-1].operation is step.operation:
            raise NoIndexFormError(step.operation.name)
        self._makers.update((part.output, part) for part in parts)
        return parts[-1]

    def _new(self, n: int) -> Math | None:
        return self._letter(self._letters) if n != 1 else None

    # -- operations that read other places -----------------------------------------------------------------

    def _reduced(self, step: Instruction, index: Index) -> Math:
        """Return a sum, or the like, with the indices that it goes over below its sign."""
        (x,), (axis, keepdims) = step.inputs, step.parameters
        assert step.operation.formula is not None
        n = len(x.shape)
        axes = range(n) if axis is None else [i % n for i in axis]
        rest = iter([i for d, i in enumerate(index) if d not in axes] if keepdims else index)
        over = {d: self._through(self._divided(x, d)) for d in axes}
        whole = tuple(self._joint(over[d]) if d in axes else next(rest) for d in range(n))
        below = [i for d in axes for i, _ in over[d]]
        return self._added_up(step.operation.formula, below, self.element(x, whole))

    def _mean(self, step: Instruction, index: Index) -> Math:
        (x,), (axis, _) = step.inputs, step.parameters
        total = self._reduced(replace(step, operation=reduction.sum), index)
        return times(frac(math(1), self._sizes.code(size(x, axis))), total)

    def _matmul(self, step: Instruction, index: Index) -> Math:
        a, b = step.inputs
        if len(a.shape) < 2 or len(b.shape) < 2:
            raise NoIndexFormError("a product with a vector")
        left, right = self._divided(a, len(a.shape) - 1), self._divided(b, len(b.shape) - 2)
        over = self._through(max(left, right, key=len))
        *batch, i, j = index
        inner = self._joint(over)
        product = times(self.element(a, (*batch, i, inner)), self.element(b, (*batch, inner, j)))
        return self._added_up((r"\sum", "∑"), [i for i, _ in over], product)

    def _added_up(self, sign: tuple[str, str], below: Sequence[Math], x: Math) -> Math:
        """Return a sum of elements, or the like, over the indices below its sign; only its one term with what
        is left out, if something is."""
        return x if self._without else over_all(sign, below, x)

    def _divided(self, x: Var, dim: int) -> list[int]:
        """Return the sizes of the dimensions that a dimension was joined from by a reshape; else its own."""
        step = self._unnamed(x)
        if step is None or self._without:
            return [x.shape[dim]]
        if step.operation is shape.permute:
            (before,) = step.reads()
            return self._divided(before, step.parameters[0][dim] % len(x.shape))
        if step.operation in RESHAPES:
            (before,) = step.reads()
            for old, new in _groups(before.shape, x.shape):
                sizes = [before.shape[d] for d in old if before.shape[d] != 1]
                if [d for d in new if x.shape[d] != 1] == [dim] and len(sizes) > 1:
                    return sizes
        same = [y for y in step.reads() if is_of_each(step.operation) and y.shape == x.shape]
        return max([[x.shape[dim]], *(self._divided(y, dim) for y in same)], key=len)

    def _through(self, sizes: Sequence[int]) -> list[tuple[Any, int]]:
        """Return a letter for each dimension that is not of size 1, with its size."""
        return [(i, n) for n in sizes if (i := self._new(n)) is not None]

    def _unnamed(self, x: Any) -> Instruction | None:
        """Return the instruction of a value that is written out."""
        return None if not isinstance(x, Var) or self._called(x) else self._makers.get(x)

    def _joint(self, given: Sequence[tuple[Any, int]]) -> Any:
        """Return the index of a dimension that is joined from others. given: their indices and sizes."""
        if not given:
            return None
        joint, _ = given[0]
        for i, n in given[1:]:
            joint = math(n) * joint.at(ATOM) + i
        self._joined[joint.form] = list(given)
        return joint

    def _permuted(self, step: Instruction, index: Index) -> Math:
        before = dict(zip(axes_of(step), index, strict=True))
        return self.element(step.inputs[0], tuple(before[axis] for axis in sorted(before)))

    def _reshaped(self, step: Instruction, index: Index) -> Math:
        """Return an element of the same numbers in another shape: dimensions are joined, or divided."""
        (x,) = step.inputs
        before: list[Any] = []
        for old, new in _groups(x.shape, step.output.shape):
            given = [(index[d], step.output.shape[d]) for d in new if step.output.shape[d] != 1]
            wanted = [x.shape[d] for d in old]
            large = [n for n in wanted if n != 1]
            if len(given) == 1 and len(large) == 1:
                places = [given[0][0]]
            elif len(large) == 1:
                places = [self._joint(given)]
            elif len(given) == 1 and [n for _, n in self._joined.get(given[0][0].form, ())] == large:
                places = [i for i, _ in self._joined[given[0][0].form]]
            elif not large:
                places = []
            else:
                raise NoIndexFormError("a dimension that is divided")
            left = iter(places)
            before += [next(left) if n != 1 else None for n in wanted]
        return self.element(x, tuple(before))

    def _read(self, step: Instruction, index: Index) -> Math:
        """Return an element that is read by a key: by arrays of indices, or by slices."""
        (x,), (key,) = step.inputs, step.parameters
        arrays = [item for item in key if isinstance(item, Var)]
        n = max((len(item.shape) for item in arrays), default=0)
        if not all(isinstance(item, Var) for item in key[: len(arrays)]):
            raise NoIndexFormError("a key of arrays and slices in another order")
        rest = iter(index[n:])
        before: list[Any] = []
        for item in (item for item in key if item is not Ellipsis):
            if isinstance(item, Var):
                before.append(self.element(item, index[:n]))
            elif item is None:
                next(rest)
            elif isinstance(item, slice):
                if item.step not in (None, 1) or (item.start or 0) < 0:
                    raise NoIndexFormError("a slice with steps")
                i = place(next(rest))
                before.append(i + math(item.start) if item.start else i)
            else:
                before.append(math(item))
        return self.element(x, (*before, *rest))

    def _scattered(self, step: Instruction, index: Index) -> Math:
        """Return a sum over all places whose key names the element."""
        (x,), (_, key) = step.inputs, step.parameters
        arrays = [item for item in key if isinstance(item, Var)]
        if not arrays:
            return self._placed(step, index)
        if len(arrays) != len([item for item in key if item is not Ellipsis]):
            raise NoIndexFormError("a key with slices")
        if len(arrays) == 2 and is_range(arrays[0]) and not arrays[0].name:
            at = bracket(self.element(arrays[1], index[:1]), index[1])
            return times(at, self.element(x, index[:1]))
        places = tuple(self._new(n) for n in arrays[0].shape)
        conditions = [
            row(self.element(item, places), EQUALS, place(i)) for item, i in zip(arrays, index, strict=False)
        ]
        below = [i for i in places if i is not None]
        element = self.element(x, (*places, *index[len(arrays) :]))
        return over_all((r"\sum", "∑"), below, element, tuple(conditions))

    def _placed(self, step: Instruction, index: Index) -> Math:
        """Return an element that is there where the whole numbers and the slices of a key say, else 0."""
        (x,), (sizes, key) = step.inputs, step.parameters
        key = key[:-1] if key[-1:] == (Ellipsis,) else key
        rest, conditions = [], []
        for item, i, n in zip(key, index, sizes, strict=False):
            if isinstance(item, int):
                conditions.append(bracket(place(i), math(item)))
                continue
            start, stop, step_by = item.indices(n) if isinstance(item, slice) else (0, 0, 0)
            if step_by != 1 or (i is None and (start, stop) != (0, n)):
                raise NoIndexFormError("a key with steps")
            rest.append(i - math(start) if start else i)
            if (start, stop) != (0, n):
                conditions.append(within(start, i, stop))
        value = self.element(x, (*rest, *index[len(key) :]))
        for condition in conditions:
            value = condition * value
        return value

    def _placed_along(self, step: Instruction, index: Index) -> Math:
        """Return an element that is there where the largest, or the smallest, stands, else 0."""
        (x,), (_, axis, key) = step.inputs, step.parameters
        search = self._makers.get(key)
        if search is None or search.operation not in (reduction.argmax, reduction.argmin):
            raise NoIndexFormError("an index that was not searched for")
        (searched,), axis = search.inputs, axis % len(index)
        letter = self._new(searched.shape[axis])
        along = (*index[:axis], letter, *index[axis + 1 :])
        sign = rf"\operatorname{{{search.operation.name}}}", search.operation.name
        best = over_all(sign, [letter] if letter is not None else [], self.element(searched, along))
        at = (*index[:axis], None, *index[axis + 1 :])
        return bracket(best, index[axis]) * self.element(x, at)

    def _gathered(self, step: Instruction, index: Index) -> Math:
        """Return the largest or the smallest along a dimension."""
        entry = extreme(step, self._makers)
        if entry is None:
            raise NoIndexFormError(step.operation.name)
        axis = step.parameters[0] % len(index)
        return self._reduced(replace(step, operation=entry, parameters=((axis,), True)), index)


class _WithoutShift(Tape):
    """A tape that leaves out what is subtracted so that no power of e overflows: the largest."""

    def apply(self, operation: Operation, inputs: tuple[Any, ...], parameters: tuple[Any, ...]) -> Traced:
        if operation is reduction.amax:
            return self.constant(np.zeros_like(self.value(operation, inputs, parameters)))
        return super().apply(operation, inputs, parameters)


_WAYS: dict[Operation, Callable[[Indexed, Instruction, Index], Math]] = {
    linalg.matmul: Indexed._matmul,
    reduction.mean: Indexed._mean,
    shape.permute: Indexed._permuted,
    **dict.fromkeys(
        (shape.expand, shape.clone, shape.to_device),
        lambda indexed, step, index: indexed.element(step.inputs[0], index),
    ),
    **dict.fromkeys(RESHAPES, Indexed._reshaped),
    indexing.index: Indexed._read,
    indexing.slice: Indexed._read,
    indexing.scatter: Indexed._scattered,
    indexing.scatter_along: Indexed._placed_along,
    indexing.gather: Indexed._gathered,
}


def aligned(index: Index, x: Var) -> Index:
    """Return the indices of the last dimensions, as many as a value has, as far as they are not of size 1."""
    last = index[len(index) - len(x.shape) :]
    return tuple(None if n == 1 else i for i, n in zip(last, x.shape, strict=True))


def times(a: Math, b: Math) -> Math:
    """Return a product, without a factor that is 1."""
    return b if a.is_one else a if b.is_one else a * b


def _groups(old: Sequence[int], new: Sequence[int]) -> Iterator[tuple[list[int], list[int]]]:
    """Yield the dimensions of two shapes that hold the same numbers, in order. Raise NoIndexFormError where
    there are no numbers, which may be divided in any way."""
    if 0 in old:
        raise NoIndexFormError("no numbers")
    before, after = iter(range(len(old))), iter(range(len(new)))
    while True:
        left, right = [*islice(before, 1)], [*islice(after, 1)]
        if not left and not right:
            return
        while (a := prod(old[d] for d in left)) != (b := prod(new[d] for d in right)):
            dims, rest = (left, before) if a < b else (right, after)
            dims.append(next(rest))
        yield left, right
