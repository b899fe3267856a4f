"""A derivation as lines of Python: the forward pass, and under each forward line the lines that answer it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator, Sequence
from typing import Any

import numpy as np

from ...ops import Operation, comparison, elementwise, indexing, shape
from ..expressions import Code, assigned, call, named
from ..instructions import Instruction, Number, Var, extreme, known_number, needed, reached, repeats
from ..languages import Language
from ..passes import lowered, readable
from .backward_lines import LIGHT, STEPWISE, Backward, Line, Share, is_zero, weigh
from .new_names import Called, names_of
from .record import is_range
from .sizes import Sizes, divisors, usable, whole
from .statements import Statement
from .wording import each_cell_once, effect

_SUMS, _PRODUCTS = {elementwise.add, elementwise.sub}, {elementwise.mul, elementwise.div}
_SCATTERING = {indexing.scatter, indexing.scatter_along}

CHAIN = 2
"""The fewest views, one of the other, that are given a name rather than written again."""


class Writer:
    """Writes the lines of one derivation in one language: `lines` of the forward pass, and their answers.

    numbers: the reader's names of whole numbers; those that were used are in `sizes.used` afterwards. wide:
    the inputs may be doubles that nothing is to round: each dtype is written as an argument of `kind`.
    """

    def __init__(
        self,
        language: Language,
        lines: list[Line],
        backward: Backward,
        numbers: dict[str, int],
        wide: bool = False,
    ) -> None:
        self._wide = wide
        self.lines = lines
        self.backward = backward
        forward = [instruction for line in lines for instruction in line.instructions]
        steps = (*forward, *backward.program.instructions)
        self._reached = reached(forward, backward.gradients)
        variables = {var for step in steps for var in (step.output, *step.reads())}
        names = {var.name for var in (*variables, *backward.gradients.values()) if var.name}
        sizes = usable({name: n for name, n in numbers.items() if name not in names}, forward)
        names.update(sizes.values())
        self.language: Any = language.beside({*language.taken, *names})
        self.sizes = Sizes(sizes, self.language.number, named, divisors(forward))
        self.written = written = self._presented(steps, {step.output for step in forward})
        self.makers = {instruction.output: instruction for instruction in written}
        self._shares = Counter(share.of for line in backward.lines for share in line.shares)
        self.helpers: dict[Var, str] = {}
        self.helpers = self._name_helpers(written, names)
        self._ready: set[Var] = set()
        self._pending: list[Statement] = []
        self._like: tuple[str, tuple[int, ...]] = "", ()  # the name of a value of the shape that is meant

    def begin(self) -> None:
        """Begin a new text, in which no part has been computed yet."""
        self._ready.clear()

    def forward(self, line: Line) -> list[Statement]:
        """Return the statements that compute the value of a line."""
        self._like = "", ()
        return self._after_helpers(self._steps(line.var, named(line.var.name)))

    def answer(self, line: Line) -> list[Statement]:
        """Return the statements that answer a line."""
        return [statement for share in line.shares for statement in self.share(share)]

    def share(self, share: Share) -> list[Statement]:
        """Return the statements that add a share to its gradient, or begin it."""
        if is_zero(share.contribution) and not share.first:
            return []
        x, name, why = share.of, named(share.total.name), effect(share)
        self._like = x.name, x.shape
        notes = [] if why is None else [why.note]
        if share.first:
            code = self._steps(share.contribution, name, self._shares[x] > 1)
        else:
            code = self._add(share.contribution, name)
            notes = [f"{x.name} is used again: its share is added", *notes]
        return self._after_helpers(code, notes)

    def _after_helpers(self, code: list[Code], notes: Sequence[str] = ()) -> list[Statement]:
        """Return lines as a statement, after the statements that they need."""
        statements, self._pending = [*self._pending, Statement(code, notes)], []
        return statements

    # -- statements ------------------------------------------------------------------------------------------

    def _steps(self, var: Var, name: Code, own: bool = False, top: bool = True) -> list[Code]:
        """Return the statements that assign a variable to `name`. own: in memory of its own, because it will
        be added to. top: write the expression even of a variable that has a name."""
        maker = self.makers.get(var)
        if maker is None or (not top and (var.name or var in self.helpers)):
            value = self._full(var, var.number) if var.constant else self.expr(var)
            return [assigned(name, "=", self.language.copy(value) if own and not var.constant else value)]
        operation = maker.operation
        x, *rest = maker.inputs
        if operation in STEPWISE:
            return self._stepwise(maker, name)
        if operation in _SUMS and self._scattered(rest[0]):
            return [*self._steps(x, name, True, False), *self._into(rest[0], name, operation.operator)]
        if operation in _PRODUCTS and self._in_steps(x):
            return [*self._steps(x, name, True, False), self._scale(name, operation, rest[0])]
        expression = self.expr(x) if operation is shape.clone else self._expression(maker)
        if own and self._shares_memory(var):
            expression = self.language.copy(expression)
        return [assigned(name, "=", expression)]

    def _add(self, var: Var, name: Code) -> list[Code]:
        """Return the statements that add a variable to `name`."""
        if self._scattered(var):
            return self._into(var, name, "+")
        maker = self.makers.get(var)
        x: Any = var
        if maker is not None and (maker.operation is shape.clone or repeats(maker)):
            *_, x = maker.inputs[0], *self._before_repeated(maker.inputs[0])
        negated = maker if x is var else self._written_out(x)
        if negated is not None and negated.operation is elementwise.neg:
            return [assigned(name, "-=", self.expr(negated.inputs[0]))]
        return [assigned(name, "+=", self.expr(x))]

    def _stepwise(self, maker: Instruction, name: Code) -> list[Code]:
        """Return the statements of an operation that takes several statements."""
        if maker.operation in _SCATTERING:
            zeros = assigned(name, "=", self._full(maker.output, 0))
            return [zeros, *self._into(maker.output, name, "")]
        x, value = maker.inputs
        (place,) = maker.parameters
        copied = assigned(name, "=", self._whole(x) if x.constant else self.language.copy(self.expr(x)))
        if maker.operation is indexing.put:
            return [copied, assigned(name[self._parameter(place, True)], "=", self.expr(value))]
        part = name.shaped(maker.output.shape)
        for operation, parameters in place:
            if operation.parameters == ["key"]:
                part = part.item(parameters[0], view=True)
            else:
                part = operation.forward(self.language, part, *parameters)
        return [copied, assigned(part[...], "=", self.expr(value))]

    def _into(self, var: Var, name: Code, sign: str) -> list[Code]:
        """Return the statements that write what is scattered into `name`: they add, subtract, or set it."""
        maker = self.makers[var]
        values = maker.inputs[0]
        if maker.operation is indexing.scatter and each_cell_once(maker.parameters[1]):
            place = name[self._parameter(maker.parameters[1], True)]
            return [assigned(place, f"{sign}=", self._short(values))]
        whole = self._whole(values)
        whole = -whole if sign == "-" else whole
        if maker.operation is indexing.scatter:
            return [self.language.add_at(name, self._parameter(maker.parameters[1]), whole)]
        return [self.language.add_along(name, maker.parameters[1], self.expr(maker.parameters[2]), whole)]

    def _scale(self, name: Code, operation: Operation, x: Var | Number) -> Code:
        """Return the line that multiplies or divides `name`, by a whole number where there is one."""
        number = known_number(x) if operation is elementwise.mul else None
        if number and 1 / number == round(1 / number):
            operation, x = elementwise.div, round(1 / number)
        return assigned(name, f"{operation.operator}=", self._short(x))

    def _written_out(self, x: Any) -> Instruction | None:
        """Return the instruction of a value that has no name, and so is written where it is read."""
        named = isinstance(x, Var) and (x.name or x in self.helpers)
        return None if named else self.makers.get(x)

    def _scattered(self, x: Any) -> bool:
        """Return whether a variable is scattered values without a name."""
        maker = self._written_out(x)
        return maker is not None and maker.operation in _SCATTERING

    def _shares_memory(self, x: Any) -> bool:
        """Return whether the expression of a variable shows the memory of something that has a name, or
        repeats its own."""
        maker = self.makers.get(x)
        if maker is None or maker.operation is shape.expand:
            return True
        source = maker.inputs[0]
        cast = maker.operation is elementwise.cast
        same = cast and isinstance(source, Var) and source.dtype == maker.output.dtype
        if not (same or maker.operation.view or maker.operation is shape.clone):
            return False
        return bool(getattr(source, "name", "")) or self._shares_memory(source)

    def _in_steps(self, x: Any) -> bool:
        """Return whether a variable is computed in several statements, and not in an expression."""
        maker = self._written_out(x)
        return maker is not None and (
            maker.operation in STEPWISE
            or (maker.operation in _SUMS and self._scattered(maker.inputs[1]))
            or (maker.operation in _PRODUCTS and self._in_steps(maker.inputs[0]))
        )

    # -- expressions -----------------------------------------------------------------------------------------

    def expr(self, x: Any) -> Code:
        """Return a variable, or a number, as it stands in an expression."""
        if not isinstance(x, Var):
            return self.sizes.code(x)
        name = x.name or self.helpers.get(x, "")
        if name and x in self.helpers and x not in self._ready:
            self._ready.add(x)
            self._pending.append(Statement(self._steps(x, named(name))))
        if name and not x.constant:
            return named(name, x.shape)
        if x.constant:
            return self.sizes.code(x.number, x.dtype.type)
        if x not in self.makers:
            assert is_range(x), "an input without a name"
            return call(f"{self.language.prefix}.arange", self.sizes.code(len(x.value))).shaped(x.shape)
        return self._expression(self.makers[x])

    def _short(self, x: Any) -> Code:
        """Return the same as `expr`, for a rule that applies it to floating point numbers: a whole number
        needs no point there."""
        number = known_number(x)
        whole = isinstance(number, float) and number.is_integer()
        return self.sizes.code(int(number)) if whole else self.expr(x)

    def _expression(self, maker: Instruction) -> Code:
        """Return the expression that computes an instruction's output."""
        operation = maker.operation
        if (which := extreme(maker, self.makers)) is not None:
            x = self.expr(maker.inputs[0])
            value: Code = self.language.extreme(which.standard, x, maker.parameters[0])
            return value
        values = {
            name: self._parameter(x, name == "key")
            for name, x in zip(operation.parameters, maker.parameters, strict=True)
        }
        name, like = self._like
        if name and like and values.get("shape") == like:
            values["shape"] = named(name).attribute("shape")
        if not operation.broadcasts:
            self._like = "", ()  # what goes in has such a shape by chance only
        operands = self._operands(maker)
        self._like = name, like
        written: Code = self.language.expression(maker, operands, tuple(values.values()))
        return written.shaped(maker.output.shape)

    def _operands(self, maker: Instruction) -> list[Any]:
        """Return the inputs as code. One that was only repeated to meet the others is left for them to
        broadcast; a constant is a number, if the shape does not depend on it. A value that a gradient
        reaches, but not from here, is detached."""
        operation = maker.operation
        codes = self._meeting(maker) if operation.broadcasts else [self._whole(x) for x in maker.inputs]
        for i, x in enumerate(maker.inputs) if maker.answers is None and operation.sources else ():
            if not maker.flows[i] and x in self._reached:
                codes[i] = self.language.detached(codes[i])
        return codes

    def _meeting(self, maker: Instruction) -> list[Any]:
        """Return the inputs of an operation that broadcasts them, as code."""
        operation = maker.operation
        used: list[Any] = list(maker.inputs)
        others = [x.shape for x in maker.parameters if isinstance(x, Var)]

        def together(inputs: list[Any]) -> tuple[int, ...]:
            return np.broadcast_shapes(
                *others, *(x.shape for x in inputs if isinstance(x, Var) and not x.constant)
            )

        for i in range(len(used)):
            for before in self._before_repeated(used[i]):
                if together([*used[:i], before, *used[i + 1 :]]) == maker.output.shape:
                    used[i] = before
        floats = any(isinstance(x, Var) and not x.constant and x.dtype.kind == "f" for x in used)
        short = floats and maker.answers is not None and operation.operator
        codes = [self._short(x) if short else self.expr(x) for x in used]
        if together(used) != maker.output.shape:
            codes = [self._whole(x) for x in used]
        variables = [x for x in used if isinstance(x, Var) and not x.constant]
        if operation is comparison.where and not variables:  # nothing else decides the dtype
            i = next((i for i, x in enumerate(used) if isinstance(x, Var)), 0)
            codes[i] = self._full(Var(np.empty((), maker.output.dtype)), known_number(used[i]))
        if operation is elementwise.div and (below := whole(used[-1])) is not None:
            codes[-1] = self.sizes.code(below)
        return codes

    def _before_repeated(self, x: Any) -> Iterator[Any]:
        """Yield the unnamed values from which a variable was repeated, one behind the other."""
        while (maker := self._written_out(x)) is not None and repeats(maker):
            x = maker.inputs[0]
            yield x

    def _whole(self, x: Any) -> Code:
        """Return the same as `expr`, but a constant as an array of its shape."""
        return self._full(x, x.number) if isinstance(x, Var) and x.constant else self.expr(x)

    def _full(self, x: Var, number: Number) -> Code:
        """Return the code of an array in which every element is this number."""
        name, shape = self._like
        value = number if number in (0, 1) else self.sizes.code(number, x.dtype.type)
        like, dtype = name if shape == x.shape else "", self._dtype(x.dtype)
        array: Code = self.language.full(like, x.shape, dtype, value)
        return array.shaped(x.shape)

    def _parameter(self, x: Any, key: bool = False) -> Any:
        """Return a parameter with its variables as code. key: it is in brackets, where `range` will do."""
        if isinstance(x, tuple):
            return tuple(self._parameter(item, key) for item in x)
        if isinstance(x, np.dtype | type):
            return self._dtype(x)
        if not isinstance(x, Var):
            return self.language.number(x) if isinstance(x, float) and not np.isfinite(x) else x
        if key and not x.name and x not in self.makers:
            rows = "range" if self.language.own("range") == "range" else f"{self.language.prefix}.arange"
            return call(rows, self.sizes.code(len(x.value))).shaped(x.shape)
        return self.expr(x)

    def _dtype(self, dtype: Any) -> Code:
        """Return a dtype as code."""
        written: Code = self.language.dtype(dtype)
        floating = np.issubdtype(dtype, np.floating)
        return call(self.language.own("kind"), written) if self._wide and floating else written

    # -- lowering and helpers --------------------------------------------------------------------------------

    def _presented(self, steps: Sequence[Instruction], fixed: Container[Var]) -> list[Instruction]:
        """Return the instructions of both passes as they are written: in the operations that the language
        has, as a person would write them, and nothing twice. fixed: the values of the forward pass."""
        shares = [share for line in self.backward.lines for share in line.shares]
        ends = [line.var for line in self.lines] + [share.contribution for share in shares]
        kept = {*ends, *(var for step in steps for var in (step.output, *step.reads()) if var.name)}
        steps = readable(lowered(steps, self._known), kept, fixed)
        return needed(steps, [*ends, *(share.total for share in shares)])

    def _known(self, step: Instruction) -> bool:
        """Return whether the language has a function for the instruction."""
        codes = [named("x", x.shape) if isinstance(x, Var) else x for x in step.inputs]
        return step.operation in STEPWISE or self.language.written(step, codes, step.parameters) is not None

    def _name_helpers(self, written: list[Instruction], taken: set[str]) -> dict[Var, str]:
        """Return new names for the values that have none and should: those that several expressions need,
        where they are not quickly written again, and those that cannot stand in an expression."""
        uses = Counter(var for instruction in written for var in instruction.reads())
        in_statements = self._in_statements()
        stems: dict[Var, Called] = {}
        heavy: dict[Var, int] = {}
        views: dict[Var, tuple[str, int]] = {}  # what a chain of these begins with, and how many there are
        for instruction in written:
            var, stepwise = instruction.output, instruction.operation in STEPWISE
            heavy[var] = weigh(instruction, heavy)
            if var.name or var.constant:
                continue
            x = next(instruction.reads(), var)
            base, length = views.get(x, (x.name, 0))
            if instruction.operation.view:
                views[var] = base, length + 1
            long = instruction.operation.view and base and length + 1 >= CHAIN
            worth_it = long or stepwise or heavy[var] > LIGHT or (var.hint and var.dtype.kind == "f")
            if (uses[var] > 1 and worth_it) or (stepwise and var not in in_statements):
                views.pop(var, None)
                heavy[var] = 0
                own = Called(var.module, var.hint or instruction.operation.name, bool(var.hint))
                stems[var] = Called(base, "reshaped") if long and not var.hint else own
        return names_of(stems, taken)

    def _in_statements(self) -> set[Any]:
        """Return the values that a line may write in statements of its own: what it begins with, and what it
        adds to that."""
        shares = [share for line in self.backward.lines for share in line.shares]
        begun = [line.var for line in self.lines]
        begun += [share.contribution for share in shares if share.first]
        found: set[Any] = {share.contribution for share in shares if self._scattered(share.contribution)}
        while begun:
            if (maker := self.makers.get(begun.pop())) is None:
                continue
            found.add(maker.output)
            before, *added = maker.inputs
            if maker.operation in _SUMS:
                found.update(added)
            if maker.operation in _SUMS | _PRODUCTS and isinstance(before, Var) and not before.name:
                begun.append(before)
        return found
