"""What is computed at a point of a loop: variables as expressions at an index."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from .... import ops
from ....ops import Category, Operation
from ...entries import FIRST_EQUAL, RESHAPES
from ...instructions import Instruction, Var
from ..recording.checks import Check, divides
from ..refusals import uncompiled
from .buffers import Layout, contiguous, indices, splits
from .c_code import ZERO, Affine, Apply, Expression, Index, Literal, Load, Named, combined, counter
from .folds import NOWHERE
from .plan import Kernel
from .scalars import c_type, cast, common, converted, cost, expression, literal, power, suffix


class Body:
    """The variables of a step as C expressions, each of them made once for an index."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._elements: dict[tuple[Var, Index], Expression] = {}

    def value(self, x: Any, index: Index, dtype: np.dtype[Any]) -> Expression:
        """Return an operand at an index, in a dtype."""
        if not isinstance(x, Var):
            return literal(x, dtype)
        if x.constant:
            return literal(x.number, dtype)
        return converted(self.element(x, index), x.dtype, dtype)

    def element(self, var: Var, index: Index) -> Expression:
        """Return the element of a variable at an index: what loads it, or computes it."""
        if var.constant:
            return literal(var.number, var.dtype)
        address = self.layout.address(var)
        if address is not None:
            return Load(address.buffer, address.at(index))
        return self.computed(var, index)

    def computed(self, var: Var, index: Index) -> Expression:
        """Return the element of a variable as it is computed, whether it is kept in memory or not."""
        if (var, index) not in self._elements:
            instruction = self.layout.by[var]
            work, traps = cost(instruction.operation, instruction.inputs), self._traps(instruction)
            value = self._computed(instruction, index)
            self._elements[var, index] = named(value, var.dtype, var, work, traps)
        return self._elements[var, index]

    def broadcast(self, x: Any, index: Index, dtype: np.dtype[Any]) -> Expression:
        """Return an operand at an index into the shape that it is broadcast to."""
        if not isinstance(x, Var):
            return self.value(x, index, dtype)
        mine = index[len(index) - len(x.shape) :]
        return self.value(x, tuple(ZERO if n == 1 else i for i, n in zip(mine, x.shape, strict=True)), dtype)

    def _computed(self, instruction: Instruction, index: Index) -> Expression:
        """Return the expression of an instruction's output at an index. Raise UnsupportedError, which names
        the operation, where there is none."""
        if instruction.operation in _WRITTEN:
            return _WRITTEN[instruction.operation](self, instruction, index)
        if instruction.operation.category is not Category.ELEMENTWISE or instruction.operation.c is None:
            raise uncompiled(instruction)
        return self._elementwise(instruction, index)

    # -- kernels ---------------------------------------------------------------------------------------------

    def point(self, kernel: Kernel) -> Expression:
        """Return the value that a kernel computes at each point of its domain."""
        index, var = indices(kernel.domain), kernel.var
        if isinstance(kernel.kind, Check):
            return named(self.value(var, index, np.dtype(np.int64)), np.dtype(np.int64))
        if isinstance(kernel.kind, Instruction):
            return self._operand(kernel.kind, index)
        if kernel.instruction is not None:
            return self.computed(var, index)
        return named(self.element(var, index), var.dtype, var)

    def _operand(self, instruction: Instruction, index: Index) -> Expression:
        """Return what the loops of an instruction reduce, add or put at a point."""
        operation, source, to = instruction.operation, instruction.inputs[0], instruction.output.dtype
        if operation is FIRST_EQUAL:
            return self._search(instruction, index)
        if operation is ops.indexing.put:
            return self.broadcast(instruction.inputs[1], index, to)
        dtype = source.dtype if isinstance(source, Var) else to
        value = self.broadcast(source, index, dtype)
        if operation.predicate:
            return named(Apply("({value} != 0)", {"value": value}), np.dtype(bool))
        return named(converted(value, dtype, to), to)

    def _search(self, instruction: Instruction, index: Index) -> Expression:
        """Return the number of an element that equals the best, or is NaN, and of others a larger one."""
        x, (_, best), axis = _array(instruction), instruction.inputs, instruction.parameters[0]
        at = tuple(ZERO if axis is None or i == axis else along for i, along in enumerate(index))
        parts = {
            "v": named(self.element(x, index), x.dtype),
            "best": self.value(best, at, x.dtype),
            "place": index[axis] if axis is not None else flat_index(index, x.shape),
            "nowhere": NOWHERE,
        }
        return named(Apply("({v} == {best} || {v} != {v} ? {place} : {nowhere})", parts), np.dtype(np.int32))

    # -- elementwise -----------------------------------------------------------------------------------------

    def _traps(self, instruction: Instruction) -> bool:
        """Return whether the processor may stop at what an instruction computes."""
        return instruction.operation.category is Category.ELEMENTWISE and divides(
            instruction.operation, _meeting(instruction)
        )

    def _elementwise(self, instruction: Instruction, index: Index) -> Expression:
        operation, out, d = instruction.operation, instruction.output.dtype, _meeting(instruction)
        args = [self.broadcast(x, index, d) for x in instruction.inputs]
        assert operation.c is not None
        if operation.c.repeats:
            args = [named(x, d) for x in args]
        result = expression(operation, args, d, self._parameters(instruction, index, d))
        if operation.predicate:
            return result
        narrow = out.kind != "b" and out.itemsize < 4
        return cast(c_type(out), result) if narrow or d != out else result

    def _parameters(self, instruction: Instruction, index: Index, d: np.dtype[Any]) -> dict[str, Expression]:
        """Return the expressions of the parameters that are arrays, which are broadcast too, or numbers."""
        parts: dict[str, Expression] = {}
        for name, x in zip(instruction.operation.parameters, instruction.parameters, strict=True):
            if isinstance(x, Var):
                parts[name] = self.broadcast(x, index, x.dtype)
            elif isinstance(x, (int, float, np.generic)):
                parts[name] = literal(x, d)
        return parts

    def _cast(self, instruction: Instruction, index: Index) -> Expression:
        (x,), out = instruction.inputs, instruction.output.dtype
        source = x.dtype if isinstance(x, Var) else np.dtype(type(x))
        return converted(self.broadcast(x, index, source), source, out)

    def _where(self, instruction: Instruction, index: Index) -> Expression:
        condition = self.broadcast(instruction.parameters[0], index, np.dtype(bool))
        out = instruction.output.dtype
        args = [chosen(self.broadcast(x, index, out), out) for x in instruction.inputs]
        if isinstance(condition, Load) and out.kind == "f" and out.itemsize >= 4:
            parts = {"condition": condition, **dict(zip(instruction.operation.inputs, args, strict=True))}
            return Apply(f"select_{suffix(out)}({{condition}}, {{a}}, {{b}})", parts)
        return expression(instruction.operation, args, out, {"condition": condition})

    def _power(self, instruction: Instruction, index: Index) -> Expression:
        x, exponent = instruction.inputs
        if isinstance(exponent, Var):
            return self._elementwise(instruction, index)
        d = common([x.dtype if isinstance(x, Var) else x, exponent])
        base = named(self.broadcast(x, index, d), d)
        return power(base, exponent, d) or expression(instruction.operation, [base, literal(exponent, d)], d)

    # -- elements by their places ----------------------------------------------------------------------------

    def _masked(self, instruction: Instruction, index: Index, sign: str) -> Expression:
        out = instruction.output.dtype
        distance = combined(0, ((index[-1], 1), (index[-2], -1)))
        value = chosen(self.broadcast(instruction.inputs[0], index, out), out)
        template = f"({{distance}} {sign} {instruction.parameters[0]} ? {{value}} : 0)"
        return Apply(template, {"distance": distance, "value": value})

    def _scatter(self, instruction: Instruction, index: Index) -> Expression:
        """Return the element of a matrix of zeros with a single value in each row."""
        (row, column), (shape, key) = index, instruction.parameters
        return self._single(instruction, column, self.wrapped(key[1], (row,), shape[1]), (row,))

    def _scatter_along(self, instruction: Instruction, index: Index) -> Expression:
        """Return the element of zeros with a single value in each line along the axis."""
        shape, axis, where = instruction.parameters
        cut = (*index[:axis], ZERO, *index[axis + 1 :])
        return self._single(instruction, index[axis], self.wrapped(where, cut, shape[axis]), cut)

    def _single(self, instruction: Instruction, here: Affine, wanted: Affine, index: Index) -> Expression:
        """Return the input's value at an index where it is wanted, and elsewhere 0."""
        out = instruction.output.dtype
        value = chosen(self.broadcast(instruction.inputs[0], index, out), out)
        return Apply("({here} == {wanted} ? {value} : 0)", {"here": here, "wanted": wanted, "value": value})

    def _gather(self, instruction: Instruction, index: Index) -> Expression:
        x, (axis, where) = _array(instruction), instruction.parameters
        there = self.wrapped(where, index, x.shape[axis])
        return self.element(x, (*index[:axis], there, *index[axis + 1 :]))

    def _index(self, instruction: Instruction, index: Index) -> Expression:
        x = _array(instruction)
        return self.element(x, self.place(instruction.parameters[0], x.shape, index))

    def _permute(self, instruction: Instruction, index: Index) -> Expression:
        source = [ZERO] * len(index)
        for axis, along in zip(instruction.parameters[0], index, strict=True):
            source[axis] = along
        return self.element(_array(instruction), tuple(source))

    def _expand(self, instruction: Instruction, index: Index) -> Expression:
        return self.broadcast(_array(instruction), index, instruction.output.dtype)

    def _flip(self, instruction: Instruction, index: Index) -> Expression:
        x, (axes,) = _array(instruction), instruction.parameters
        back = [combined(n - 1, ((along, -1),)) for n, along in zip(x.shape, index, strict=True)]
        return self.element(x, tuple(back[i] if i in axes else along for i, along in enumerate(index)))

    def _reshape(self, instruction: Instruction, index: Index) -> Expression:
        x, shape = _array(instruction), instruction.output.shape
        parts = splits(x.shape, shape)
        if parts is None:
            return self.element(x, _renumbered(x.shape, shape, index))
        return self.element(x, tuple(flat_index(index[part], shape[part]) for part in parts))

    # -- indices ---------------------------------------------------------------------------------------------

    def wrapped(self, where: Any, index: Index, n: int) -> Affine:
        """Return an index that is read from memory, at an index into the shape that it is broadcast to. It
        was checked before, and may count from the end."""
        read = named(cast("int32_t", self.broadcast(where, index, np.dtype(np.int64))), np.dtype(np.int32))
        if where in self.layout.positive or not isinstance(where, Var):
            return counter(read)
        return counter(Apply("({read} < 0 ? {read} + {n} : {read})", {"read": read, "n": n}))

    def place(self, key: tuple[Any, ...], shape: tuple[int, ...], index: Index) -> Index:
        """Return the index in an array of `shape` of element `index` of x[key]."""
        arrays = [item for item in key if isinstance(item, Var)]
        if not arrays:
            return _basic(key, shape, index)
        items = [*key, *[slice(None)] * (len(shape) - len(key))]
        ndim = max(len(array.shape) for array in arrays)
        at = [i for i, item in enumerate(items) if isinstance(item, Var)]
        together = at == list(range(at[0], at[-1] + 1))
        first = at[0] if together else 0
        picked, rest = index[first : first + ndim], iter((*index[:first], *index[first + ndim :]))
        source = []
        for item, n in zip(items, shape, strict=True):
            source.append(self.wrapped(item, picked, n) if isinstance(item, Var) else next(rest))
        return tuple(source)


def named(
    x: Expression, dtype: np.dtype[Any], var: Var | None = None, work: int = 0, traps: bool = False
) -> Expression:
    """Return a value under a name of its own; what has one, or is a number, stays as it is."""
    return x if isinstance(x, (Named, Literal)) else Named(x, dtype, var, work, traps)


def chosen(x: Expression, dtype: np.dtype[Any]) -> Expression:
    """Return a name for a value that is chosen under a condition, so that it is read whether it is chosen
    or not: gcc does not vectorize a loop in which memory is read under a condition."""
    return named(x, dtype)


def _meeting(instruction: Instruction) -> np.dtype[Any]:
    """Return the dtype in which the inputs of an elementwise operation meet."""
    d = common([x.dtype if isinstance(x, Var) else x for x in instruction.inputs])
    out = instruction.output.dtype
    return out if instruction.operation.floating and d.kind != "f" else d


def _array(instruction: Instruction) -> Var:
    """Return the array whose elements an instruction chooses."""
    x: Var = instruction.inputs[0]
    return x


def flat_index(index: Index, shape: tuple[int, ...]) -> Affine:
    """Return the index of an element in a shape as one number: its rows lie one after the other."""
    return combined(0, zip(index, contiguous(shape), strict=True))


def _renumbered(shape: tuple[int, ...], seen: tuple[int, ...], index: Index) -> Index:
    """Return the index of an element in an array of `shape`, where it has `index` in the shape `seen`."""
    number = flat_index(index, seen)
    template = "(({number}) / {step} % {n})"
    steps = zip(shape, contiguous(shape), strict=True)
    return tuple(
        ZERO if n == 1 else counter(Apply(template, {"number": number, "step": step, "n": n}))
        for n, step in steps
    )


def _basic(key: tuple[Any, ...], shape: tuple[int, ...], index: Index) -> Index:
    """Return the index in an array of `shape` of element `index` of x[key], for a key of integers, slices and
    None, with `...` at the end."""
    left = list(index)
    source: list[Affine] = []
    for item in key:
        if item is None:
            left.pop(0)
        elif item is not Ellipsis:
            n = shape[len(source)]
            if isinstance(item, slice):
                start, _, step = item.indices(n)
                source.append(combined(start, ((left.pop(0), step),)))
            else:
                source.append(Affine(item % n))
    return (*source, *left)


_WRITTEN: dict[Operation, Callable[[Body, Instruction, Index], Expression]] = {
    ops.elementwise.cast: Body._cast,
    ops.comparison.where: Body._where,
    ops.elementwise.pow: Body._power,
    ops.shape.tril: partial(Body._masked, sign="<="),
    ops.shape.triu: partial(Body._masked, sign=">="),
    ops.indexing.scatter: Body._scatter,
    ops.indexing.scatter_along: Body._scatter_along,
    ops.indexing.gather: Body._gather,
    ops.indexing.index: Body._index,
    ops.shape.permute: Body._permute,
    ops.shape.expand: Body._expand,
    ops.shape.flip: Body._flip,
    **dict.fromkeys(RESHAPES, Body._reshape),
}
"""The operations whose C is not a template; `Storage` says which of them are computed at each point."""
