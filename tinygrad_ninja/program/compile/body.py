"""The inside of a loop: variables as C expressions at an index."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..instructions import Instruction, Var
from .checks import divides
from .plan import Address, Buffer, Place, Storage, contiguous, loops
from .scalars import ELEMENTWISE, c_type, common, converted, expression, literal, power, raised

Index = tuple[str, ...]
_COMPARISONS = {"eq", "ne", "lt", "le", "gt", "ge", "isnan", "isinf", "isfinite", "logical_not"}

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
        """The expression of an instruction's output at an index."""
        name, inputs, parameters = made.operation.name, made.inputs, made.parameters
        if name in ELEMENTWISE:
            return self._elementwise(made, index)
        x = inputs[0]
        shape = made.output.shape
        if name in ("tril", "triu"):
            sign = "<=" if name == "tril" else ">="
            inside = f"{index[-1]} - {index[-2]} {sign} {parameters[0]}"
            return f"({inside} ? {self.broadcast(x, index, made.output.dtype)} : 0)"
        if name == "scatter":  # a single cell in each row
            row, column = index
            wanted = self.wrapped(parameters[1][1], (row,), shape[1])
            return f"({column} == {wanted} ? {self.broadcast(x, (row,), made.output.dtype)} : 0)"
        if name == "scatter_along":
            _, axis, where = parameters
            cut = tuple("0" if i == axis else each for i, each in enumerate(index))
            wanted = self.wrapped(where, cut, shape[axis])
            return f"({index[axis]} == {wanted} ? {self.value(x, cut, made.output.dtype)} : 0)"
        assert isinstance(x, Var)
        if name == "gather":
            axis, where = parameters
            there = self.wrapped(where, index, x.shape[axis])
            return self.element(x, tuple(there if i == axis else each for i, each in enumerate(index)))
        if name == "index":
            return self.element(x, self.place(parameters[0], x.shape, index))
        if name == "permute":
            source = [""] * len(index)
            for axis, each in zip(parameters[0], index, strict=True):
                source[axis] = each
            return self.element(x, tuple(source))
        if name == "expand":
            return self.broadcast(x, index, made.output.dtype)
        if name == "flip":
            return self.element(
                x,
                tuple(f"({x.shape[i] - 1} - {e})" if i in parameters[0] else e for i, e in enumerate(index)),
            )
        assert name in ("reshape", "unsqueeze", "squeeze"), name
        if loops(x.shape) != loops(shape):
            return self.element(x, self._renumbered(x.shape, shape, index))
        moving = iter(each for each, n in zip(index, shape, strict=True) if n != 1)
        return self.element(x, tuple("0" if n == 1 else next(moving) for n in x.shape))

    def _renumbered(self, shape: tuple[int, ...], seen: tuple[int, ...], index: Index) -> Index:
        """The index into an array of `shape` of the element that has `index` where it is seen in another
        shape."""
        number = self.at(Address(_NOBODY, 0, seen, contiguous(seen)), index)
        steps = contiguous(shape)
        return tuple(
            "0" if n == 1 else f"(({number}) / {step} % {n})" for n, step in zip(shape, steps, strict=True)
        )

    def _elementwise(self, made: Instruction, index: Index) -> str:
        name, inputs, out = made.operation.name, made.inputs, made.output.dtype
        if name == "cast":
            source = inputs[0].dtype if isinstance(inputs[0], Var) else np.dtype(type(inputs[0]))
            return converted(self.broadcast(inputs[0], index, source), source, out)
        if name == "where":
            condition = self.broadcast(made.parameters[0], index, np.dtype(bool))
            a, b = (self.broadcast(each, index, out) for each in inputs)
            return f"({condition} ? {a} : {b})"
        d = common([each.dtype if isinstance(each, Var) else each for each in inputs])
        self.traps |= divides(name, d)
        if name == "pow" and not isinstance(inputs[1], Var):
            x = self.name(self.broadcast(inputs[0], index, d), d)
            return power(x, inputs[1], d) or raised(x, literal(inputs[1], d), d)
        args = [self.broadcast(each, index, d) for each in inputs]
        if name in (
            "maximum",
            "minimum",
            "sign",
            "abs",
            "isnan",
            "one_minus_square",
        ):  # they name their operands often
            args = [self.name(each, d) for each in args]
        if name == "pow":
            return raised(args[0], args[1], d)
        text = expression(name, args, d, made.parameters)
        narrow = out.kind != "b" and out.itemsize < 4 and name not in _COMPARISONS
        return f"({c_type(out)}){text}" if narrow or (d != out and name not in _COMPARISONS) else text

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
