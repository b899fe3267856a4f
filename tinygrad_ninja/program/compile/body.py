"""The inside of a loop: variables as C expressions at an index."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ... import ops
from ...ops import Category, Operation
from ..instructions import Instruction, Var
from .checks import divides
from .entries import RESHAPES
from .plan import Address, Buffer, Place, Storage, contiguous, loops, uncompiled
from .scalars import c_type, common, converted, expression, literal, power

Index = tuple[str, ...]

_NOBODY = Buffer("", np.dtype(np.int8), (), ())


class Body:
    """Lines of C that compute variables at indices, each value once.

    loads: which elements were read, by buffer. Where a value is stored, those after it take it from the
    register. copies: the names of rows on the stack, for what is read there. traps: whether something is
    computed that may only be computed of the right numbers, such as a division of integers.
    """

    def __init__(self, storage: Storage, copies: dict[tuple[Buffer, Place], str] | None = None) -> None:
        self.storage = storage
        self.lines: list[str] = []
        self.loads: dict[Buffer, set[Place]] = {}
        self.stored: dict[tuple[Buffer, Place], str] = {}
        self.copies = copies or {}
        self.traps = False
        self._made: dict[tuple[Var, Index], str] = {}

    def at(self, address: Address, index: Index) -> Place:
        """The number of an element in its buffer."""
        parts = zip(index, address.shape, address.strides, strict=True)
        terms = tuple((i, step) for i, n, step in parts if i != "0" and n != 1 and step)
        return Place(address.offset, terms)

    def load(self, address: Address, index: Index) -> str:
        place = self.at(address, index)
        known = self.stored.get((address.buffer, place))
        if known is not None:
            return known
        self.loads.setdefault(address.buffer, set()).add(place)
        return f"{self.copies.get((address.buffer, place), address.buffer.name)}[{place}]"

    def store(self, address: Address, index: Index, text: str) -> None:
        place = self.at(address, index)
        self.lines.append(f"{address.buffer.name}[{place}] = {text};")
        self.stored[address.buffer, place] = text

    def value(self, x: Any, index: Index, dtype: np.dtype[Any]) -> str:
        """An operand at an index, in a dtype."""
        if not isinstance(x, Var):
            return literal(x, dtype)
        if x.constant:
            return literal(x.number, dtype)
        return converted(self.element(x, index), x.dtype, dtype)

    def element(self, var: Var, index: Index) -> str:
        """The element of a variable at an index: what loads it, or the name of what was computed."""
        if var.constant:
            return literal(var.number, var.dtype)
        address = self.storage.address(var)
        if address is not None:
            return self.load(address, index)
        if (var, index) not in self._made:
            text = self.computed(self.storage.by[var], index)
            self._made[var, index] = self.named(var, text)
        return self._made[var, index]

    def variables(self) -> list[Var]:
        """What is computed and not loaded, in order."""
        return [var for var, _ in self._made]

    def named(self, var: Var, text: str) -> str:
        """The value as a constant of its own; what is a name or a number already stays as it is."""
        if text.isidentifier() or text.replace(".", "").isdigit():
            return text
        name = f"v{len(self.lines)}"
        note = f"  /* {var.name} */" if var.name else ""
        self.lines.append(f"const {c_type(var.dtype)} {name} = {text};{note}")
        return name

    def broadcast(self, x: Any, index: Index, dtype: np.dtype[Any]) -> str:
        """An operand that is broadcast to the shape that the index is of."""
        if not isinstance(x, Var):
            return self.value(x, index, dtype)
        mine = index[len(index) - len(x.shape) :]
        return self.value(x, tuple("0" if n == 1 else i for i, n in zip(mine, x.shape, strict=True)), dtype)

    def computed(self, made: Instruction, index: Index) -> str:
        """Return the expression of an instruction's output at an index. UnsupportedError, which names the
        operation, where there is none."""
        if made.operation in _WRITTEN:
            return _WRITTEN[made.operation](self, made, index)
        if made.operation.category is not Category.ELEMENTWISE or made.operation.c is None:
            raise uncompiled(made)
        return self._elementwise(made, index)

    # -- elementwise -----------------------------------------------------------------------------------------

    def _elementwise(self, made: Instruction, index: Index) -> str:
        operation, inputs, out = made.operation, made.inputs, made.output.dtype
        d = common([x.dtype if isinstance(x, Var) else x for x in inputs])
        if operation.floating and d.kind != "f":
            d = out
        self.traps |= divides(operation, d)
        args = [self.broadcast(x, index, d) for x in inputs]
        assert operation.c is not None
        if operation.c.repeats:
            args = [self.name(text, d) for text in args]
        text = expression(operation, args, d, self._parameters(made, index, d))
        if operation.predicate:
            return text
        narrow = out.kind != "b" and out.itemsize < 4
        return f"({c_type(out)}){text}" if narrow or d != out else text

    def _parameters(self, made: Instruction, index: Index, d: np.dtype[Any]) -> dict[str, str]:
        """Return the expressions of the parameters that are arrays, which are broadcast too, or numbers."""
        texts = {}
        for name, x in zip(made.operation.parameters, made.parameters, strict=True):
            if isinstance(x, Var):
                texts[name] = self.broadcast(x, index, x.dtype)
            elif isinstance(x, int | float | np.generic):
                texts[name] = literal(x, d)
        return texts

    def _cast(self, made: Instruction, index: Index) -> str:
        (x,), out = made.inputs, made.output.dtype
        source = x.dtype if isinstance(x, Var) else np.dtype(type(x))
        return converted(self.broadcast(x, index, source), source, out)

    def _where(self, made: Instruction, index: Index) -> str:
        condition = self.broadcast(made.parameters[0], index, np.dtype(bool))
        out = made.output.dtype
        args = [self.broadcast(x, index, out) for x in made.inputs]
        return expression(made.operation, args, out, {"condition": condition})

    def _power(self, made: Instruction, index: Index) -> str:
        x, exponent = made.inputs
        if isinstance(exponent, Var):
            return self._elementwise(made, index)
        d = common([x.dtype if isinstance(x, Var) else x, exponent])
        base = self.name(self.broadcast(x, index, d), d)
        return power(base, exponent, d) or expression(made.operation, [base, literal(exponent, d)], d)

    # -- elements by their places ----------------------------------------------------------------------------

    def _lower_triangle(self, made: Instruction, index: Index) -> str:
        return self._masked(made, index, "<=")

    def _upper_triangle(self, made: Instruction, index: Index) -> str:
        return self._masked(made, index, ">=")

    def _masked(self, made: Instruction, index: Index, sign: str) -> str:
        inside = f"{index[-1]} - {index[-2]} {sign} {made.parameters[0]}"
        return f"({inside} ? {self.broadcast(made.inputs[0], index, made.output.dtype)} : 0)"

    def _scatter(self, made: Instruction, index: Index) -> str:
        """Return the element of a matrix of zeros with a single value in each row."""
        (row, column), (shape, key) = index, made.parameters
        wanted = self.wrapped(key[1], (row,), shape[1])
        return f"({column} == {wanted} ? {self.broadcast(made.inputs[0], (row,), made.output.dtype)} : 0)"

    def _scatter_along(self, made: Instruction, index: Index) -> str:
        """Return the element of zeros with a single value in each line along the axis."""
        shape, axis, where = made.parameters
        cut = tuple("0" if i == axis else counter for i, counter in enumerate(index))
        wanted = self.wrapped(where, cut, shape[axis])
        return f"({index[axis]} == {wanted} ? {self.value(made.inputs[0], cut, made.output.dtype)} : 0)"

    def _gather(self, made: Instruction, index: Index) -> str:
        x, (axis, where) = _array(made), made.parameters
        there = self.wrapped(where, index, x.shape[axis])
        return self.element(x, tuple(there if i == axis else counter for i, counter in enumerate(index)))

    def _index(self, made: Instruction, index: Index) -> str:
        x = _array(made)
        return self.element(x, self.place(made.parameters[0], x.shape, index))

    def _permute(self, made: Instruction, index: Index) -> str:
        source = [""] * len(index)
        for axis, counter in zip(made.parameters[0], index, strict=True):
            source[axis] = counter
        return self.element(_array(made), tuple(source))

    def _expand(self, made: Instruction, index: Index) -> str:
        return self.broadcast(_array(made), index, made.output.dtype)

    def _flip(self, made: Instruction, index: Index) -> str:
        x, (axes,) = _array(made), made.parameters
        return self.element(
            x, tuple(f"({x.shape[i] - 1} - {at})" if i in axes else at for i, at in enumerate(index))
        )

    def _reshape(self, made: Instruction, index: Index) -> str:
        x, shape = _array(made), made.output.shape
        if loops(x.shape) != loops(shape):
            return self.element(x, self._renumbered(x.shape, shape, index))
        moving = iter(counter for counter, n in zip(index, shape, strict=True) if n != 1)
        return self.element(x, tuple("0" if n == 1 else next(moving) for n in x.shape))

    def _renumbered(self, shape: tuple[int, ...], seen: tuple[int, ...], index: Index) -> Index:
        """The index into an array of `shape` of the element that has `index` where it is seen in another
        shape."""
        number = self.at(Address(_NOBODY, 0, seen, contiguous(seen)), index)
        steps = contiguous(shape)
        return tuple(
            "0" if n == 1 else f"(({number}) / {step} % {n})" for n, step in zip(shape, steps, strict=True)
        )

    def name(self, text: str, dtype: np.dtype[Any]) -> str:
        """A name for an expression of that dtype."""
        return self.named(Var(np.zeros((), dtype)), text)

    # -- indices ---------------------------------------------------------------------------------------------

    def wrapped(self, where: Any, index: Index, n: int) -> str:
        """An index that may count from the end, read from memory and checked before."""
        text = self.name(f"(int32_t){self.value(where, index, np.dtype(np.int64))}", np.dtype(np.int32))
        never = where in self.storage.positive or not isinstance(where, Var)
        return text if never else f"({text} < 0 ? {text} + {n} : {text})"

    def place(self, key: tuple[Any, ...], shape: tuple[int, ...], index: Index) -> Index:
        """Where in an array of `shape` x[key] has its element `index`."""
        arrays = [each for each in key if isinstance(each, Var)]
        if not arrays:
            return self._basic(key, shape, index)
        items = [*key, *[slice(None)] * (len(shape) - len(key))]
        ndim = max(len(each.shape) for each in arrays)
        at = [i for i, each in enumerate(items) if isinstance(each, Var)]
        together = at == list(range(at[0], at[-1] + 1))
        first = at[0] if together else 0
        chosen, rest = index[first : first + ndim], iter((*index[:first], *index[first + ndim :]))
        found = []
        for item, n in zip(items, shape, strict=True):
            if isinstance(item, Var):
                mine = chosen[ndim - len(item.shape) :]
                mine = tuple("0" if size == 1 else each for each, size in zip(mine, item.shape, strict=True))
                found.append(self.wrapped(item, mine, n))
            else:
                found.append(next(rest))
        return tuple(found)

    def _basic(self, key: tuple[Any, ...], shape: tuple[int, ...], index: Index) -> Index:
        """By integers, slices and None, and `...` at the end."""
        left = list(index)
        found: list[str] = []
        for item in key:
            if item is None:
                left.pop(0)
            elif item is not Ellipsis:
                n = shape[len(found)]
                if isinstance(item, slice):
                    start, _, step = item.indices(n)
                    each = left.pop(0)
                    found.append(each if (start, step) == (0, 1) else f"({start} + {each} * {step})")
                else:
                    found.append(str(item % n))
        return (*found, *left)


def _array(made: Instruction) -> Var:
    """Return the array whose elements an instruction chooses."""
    x = made.inputs[0]
    assert isinstance(x, Var)
    return x


_WRITTEN: dict[Operation, Callable[[Body, Instruction, Index], str]] = {
    ops.elementwise.cast: Body._cast,
    ops.comparison.where: Body._where,
    ops.elementwise.pow: Body._power,
    ops.shape.tril: Body._lower_triangle,
    ops.shape.triu: Body._upper_triangle,
    ops.indexing.scatter: Body._scatter,
    ops.indexing.scatter_along: Body._scatter_along,
    ops.indexing.gather: Body._gather,
    ops.indexing.index: Body._index,
    ops.shape.permute: Body._permute,
    ops.shape.expand: Body._expand,
    ops.shape.flip: Body._flip,
    **dict.fromkeys(RESHAPES, Body._reshape),
}
"""What C is not a template of the operands; see `Storage` for which of these are computed at each point."""
