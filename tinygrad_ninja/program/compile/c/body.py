"""The inside of a loop: variables as C expressions at an index."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .... import ops
from ....ops import Category, Operation
from ...instructions import Instruction, Var
from ..lowering.entries import RESHAPES
from ..recording.checks import divides
from ..refusals import uncompiled
from .buffers import Address, Buffer, Place, contiguous, loops
from .plan import Storage
from .scalars import c_type, common, converted, cost, expression, literal, power

Index = tuple[str, ...]

_NOBODY = Buffer("", np.dtype(np.int8), (), ())


class Body:
    """Lines of C that compute variables at indices, each value once.

    loads: which elements were read, by buffer. A stored value that is read later is taken from the register.
    copies: the names of rows on the stack, for what is read there. traps: whether something is computed that
    is only safe for some numbers, such as a division of integers. work: about how many simple instructions
    are computed.
    """

    def __init__(self, storage: Storage, copies: dict[tuple[Buffer, Place], str] | None = None) -> None:
        self.storage = storage
        self.lines: list[str] = []
        self.loads: dict[Buffer, set[Place]] = {}
        self.stored: dict[tuple[Buffer, Place], str] = {}
        self.copies = copies or {}
        self.traps = False
        self.work = 0
        self._computed_names: dict[tuple[Var, Index], str] = {}

    def at(self, address: Address, index: Index) -> Place:
        """Return the place of an element in its buffer."""
        parts = zip(index, address.shape, address.strides, strict=True)
        terms = tuple((i, step) for i, n, step in parts if i != "0" and n != 1 and step)
        return Place(address.offset, terms)

    def number(self, index: Index, shape: tuple[int, ...]) -> Place:
        """Return the number of an element in a shape whose rows lie one after the other."""
        return self.at(Address(_NOBODY, 0, shape, contiguous(shape)), index)

    def load(self, address: Address, index: Index) -> str:
        """Return the C expression that reads an element, or the name under which it was just stored."""
        place = self.at(address, index)
        known = self.stored.get((address.buffer, place))
        if known is not None:
            return known
        self.loads.setdefault(address.buffer, set()).add(place)
        return f"{self.copies.get((address.buffer, place), address.buffer.name)}[{place}]"

    def store(self, address: Address, index: Index, text: str) -> None:
        """Add the line that stores a value to an element."""
        place = self.at(address, index)
        self.lines.append(f"{address.buffer.name}[{place}] = {text};")
        self.stored[address.buffer, place] = text

    def value(self, x: Any, index: Index, dtype: np.dtype[Any]) -> str:
        """Return an operand at an index, in a dtype."""
        if not isinstance(x, Var):
            return literal(x, dtype)
        if x.constant:
            return literal(x.number, dtype)
        return converted(self.element(x, index), x.dtype, dtype)

    def element(self, var: Var, index: Index) -> str:
        """Return the element of a variable at an index: what loads it, or the name of what was computed."""
        if var.constant:
            return literal(var.number, var.dtype)
        address = self.storage.address(var)
        if address is not None:
            return self.load(address, index)
        if (var, index) not in self._computed_names:
            text = self.computed(self.storage.by[var], index)
            self._computed_names[var, index] = self.named(var, text)
        return self._computed_names[var, index]

    def variables(self) -> list[Var]:
        """Return the variables that are computed and not loaded, in order."""
        return [var for var, _ in self._computed_names]

    def named(self, var: Var, text: str) -> str:
        """Return the value as a constant of its own; what is a name or a number already stays as it is."""
        if text.isidentifier() or text.replace(".", "").isdigit():
            return text
        name = f"v{len(self.lines)}"
        note = f"  /* {var.name} */" if var.name else ""
        self.lines.append(f"const {c_type(var.dtype)} {name} = {text};{note}")
        return name

    def broadcast(self, x: Any, index: Index, dtype: np.dtype[Any]) -> str:
        """Return an operand at an index into the shape that it is broadcast to."""
        if not isinstance(x, Var):
            return self.value(x, index, dtype)
        mine = index[len(index) - len(x.shape) :]
        return self.value(x, tuple("0" if n == 1 else i for i, n in zip(mine, x.shape, strict=True)), dtype)

    def computed(self, instruction: Instruction, index: Index) -> str:
        """Return the expression of an instruction's output at an index. Raise UnsupportedError, which names
        the operation, where there is none."""
        self.work += cost(instruction.operation, instruction.inputs)
        if instruction.operation in _WRITTEN:
            return _WRITTEN[instruction.operation](self, instruction, index)
        if instruction.operation.category is not Category.ELEMENTWISE or instruction.operation.c is None:
            raise uncompiled(instruction)
        return self._elementwise(instruction, index)

    # -- elementwise -----------------------------------------------------------------------------------------

    def _elementwise(self, instruction: Instruction, index: Index) -> str:
        operation, inputs, out = instruction.operation, instruction.inputs, instruction.output.dtype
        d = common([x.dtype if isinstance(x, Var) else x for x in inputs])
        if operation.floating and d.kind != "f":
            d = out
        self.traps |= divides(operation, d)
        args = [self.broadcast(x, index, d) for x in inputs]
        assert operation.c is not None
        if operation.c.repeats:
            args = [self.name(text, d) for text in args]
        text = expression(operation, args, d, self._parameters(instruction, index, d))
        if operation.predicate:
            return text
        narrow = out.kind != "b" and out.itemsize < 4
        return f"({c_type(out)}){text}" if narrow or d != out else text

    def _parameters(self, instruction: Instruction, index: Index, d: np.dtype[Any]) -> dict[str, str]:
        """Return the expressions of the parameters that are arrays, which are broadcast too, or numbers."""
        texts = {}
        for name, x in zip(instruction.operation.parameters, instruction.parameters, strict=True):
            if isinstance(x, Var):
                texts[name] = self.broadcast(x, index, x.dtype)
            elif isinstance(x, int | float | np.generic):
                texts[name] = literal(x, d)
        return texts

    def _cast(self, instruction: Instruction, index: Index) -> str:
        (x,), out = instruction.inputs, instruction.output.dtype
        source = x.dtype if isinstance(x, Var) else np.dtype(type(x))
        return converted(self.broadcast(x, index, source), source, out)

    def _where(self, instruction: Instruction, index: Index) -> str:
        condition = self.broadcast(instruction.parameters[0], index, np.dtype(bool))
        out = instruction.output.dtype
        args = [self._chosen(self.broadcast(x, index, out), out) for x in instruction.inputs]
        return expression(instruction.operation, args, out, {"condition": condition})

    def _power(self, instruction: Instruction, index: Index) -> str:
        x, exponent = instruction.inputs
        if isinstance(exponent, Var):
            return self._elementwise(instruction, index)
        d = common([x.dtype if isinstance(x, Var) else x, exponent])
        base = self.name(self.broadcast(x, index, d), d)
        return power(base, exponent, d) or expression(instruction.operation, [base, literal(exponent, d)], d)

    # -- elements by their places ----------------------------------------------------------------------------

    def _lower_triangle(self, instruction: Instruction, index: Index) -> str:
        return self._masked(instruction, index, "<=")

    def _upper_triangle(self, instruction: Instruction, index: Index) -> str:
        return self._masked(instruction, index, ">=")

    def _masked(self, instruction: Instruction, index: Index, sign: str) -> str:
        inside = f"{index[-1]} - {index[-2]} {sign} {instruction.parameters[0]}"
        out = instruction.output.dtype
        return f"({inside} ? {self._chosen(self.broadcast(instruction.inputs[0], index, out), out)} : 0)"

    def _scatter(self, instruction: Instruction, index: Index) -> str:
        """Return the element of a matrix of zeros with a single value in each row."""
        (row, column), (shape, key) = index, instruction.parameters
        wanted = self.wrapped(key[1], (row,), shape[1])
        out = instruction.output.dtype
        value = self._chosen(self.broadcast(instruction.inputs[0], (row,), out), out)
        return f"({column} == {wanted} ? {value} : 0)"

    def _scatter_along(self, instruction: Instruction, index: Index) -> str:
        """Return the element of zeros with a single value in each line along the axis."""
        shape, axis, where = instruction.parameters
        cut = tuple("0" if i == axis else counter for i, counter in enumerate(index))
        wanted = self.wrapped(where, cut, shape[axis])
        out = instruction.output.dtype
        value = self._chosen(self.value(instruction.inputs[0], cut, out), out)
        return f"({index[axis]} == {wanted} ? {value} : 0)"

    def _gather(self, instruction: Instruction, index: Index) -> str:
        x, (axis, where) = _array(instruction), instruction.parameters
        there = self.wrapped(where, index, x.shape[axis])
        return self.element(x, tuple(there if i == axis else counter for i, counter in enumerate(index)))

    def _index(self, instruction: Instruction, index: Index) -> str:
        x = _array(instruction)
        return self.element(x, self.place(instruction.parameters[0], x.shape, index))

    def _permute(self, instruction: Instruction, index: Index) -> str:
        source = [""] * len(index)
        for axis, counter in zip(instruction.parameters[0], index, strict=True):
            source[axis] = counter
        return self.element(_array(instruction), tuple(source))

    def _expand(self, instruction: Instruction, index: Index) -> str:
        return self.broadcast(_array(instruction), index, instruction.output.dtype)

    def _flip(self, instruction: Instruction, index: Index) -> str:
        x, (axes,) = _array(instruction), instruction.parameters
        return self.element(
            x, tuple(f"({x.shape[i] - 1} - {at})" if i in axes else at for i, at in enumerate(index))
        )

    def _reshape(self, instruction: Instruction, index: Index) -> str:
        x, shape = _array(instruction), instruction.output.shape
        if loops(x.shape) != loops(shape):
            return self.element(x, self._renumbered(x.shape, shape, index))
        moving = iter(counter for counter, n in zip(index, shape, strict=True) if n != 1)
        return self.element(x, tuple("0" if n == 1 else next(moving) for n in x.shape))

    def _renumbered(self, shape: tuple[int, ...], seen: tuple[int, ...], index: Index) -> Index:
        """Return the index of an element in an array of `shape`, where it has `index` in the shape `seen`."""
        number = self.number(index, seen)
        steps = contiguous(shape)
        return tuple(
            "0" if n == 1 else f"(({number}) / {step} % {n})" for n, step in zip(shape, steps, strict=True)
        )

    def name(self, text: str, dtype: np.dtype[Any]) -> str:
        """Return a name for an expression, which is of that dtype."""
        return self.named(Var(np.zeros((), dtype)), text)

    def _chosen(self, text: str, dtype: np.dtype[Any]) -> str:
        """Return a name for a value that is chosen under a condition, so that it is read whether it is chosen
        or not: gcc does not vectorize a loop in which memory is read under a condition."""
        return self.name(text, dtype)

    # -- indices ---------------------------------------------------------------------------------------------

    def wrapped(self, where: Any, index: Index, n: int) -> str:
        """Return an index that is read from memory, was checked before, and may count from the end."""
        text = self.name(f"(int32_t){self.value(where, index, np.dtype(np.int64))}", np.dtype(np.int32))
        never = where in self.storage.positive or not isinstance(where, Var)
        return text if never else f"({text} < 0 ? {text} + {n} : {text})"

    def place(self, key: tuple[Any, ...], shape: tuple[int, ...], index: Index) -> Index:
        """Return the index in an array of `shape` of element `index` of x[key]."""
        arrays = [item for item in key if isinstance(item, Var)]
        if not arrays:
            return self._basic(key, shape, index)
        items = [*key, *[slice(None)] * (len(shape) - len(key))]
        ndim = max(len(array.shape) for array in arrays)
        at = [i for i, item in enumerate(items) if isinstance(item, Var)]
        together = at == list(range(at[0], at[-1] + 1))
        first = at[0] if together else 0
        chosen, rest = index[first : first + ndim], iter((*index[:first], *index[first + ndim :]))
        source = []
        for item, n in zip(items, shape, strict=True):
            if isinstance(item, Var):
                mine = chosen[ndim - len(item.shape) :]
                mine = tuple(
                    "0" if size == 1 else counter for counter, size in zip(mine, item.shape, strict=True)
                )
                source.append(self.wrapped(item, mine, n))
            else:
                source.append(next(rest))
        return tuple(source)

    def _basic(self, key: tuple[Any, ...], shape: tuple[int, ...], index: Index) -> Index:
        """Return the same for a key of integers, slices and None, with `...` at the end."""
        left = list(index)
        source: list[str] = []
        for item in key:
            if item is None:
                left.pop(0)
            elif item is not Ellipsis:
                n = shape[len(source)]
                if isinstance(item, slice):
                    start, _, step = item.indices(n)
                    counter = left.pop(0)
                    source.append(counter if (start, step) == (0, 1) else f"({start} + {counter} * {step})")
                else:
                    source.append(str(item % n))
        return (*source, *left)


def _array(instruction: Instruction) -> Var:
    """Return the array whose elements an instruction chooses."""
    x = instruction.inputs[0]
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
"""The operations whose C is not a template; `Storage` says which of them are computed at each point."""
