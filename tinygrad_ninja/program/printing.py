"""A derivation as lines of Python: the forward pass, and under each forward line the lines that answer it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, cast

import numpy as np

from ..ops import Operation, comparison, elementwise, indexing, shape
from .backward import LIGHT, STEPWISE, Backward, Line, Share, is_zero, weigh
from .expressions import Code, code, key_text
from .instructions import Instruction, Number, Var, extreme, reached, repeats
from .languages import Language
from .record import is_range, unused
from .sizes import Sizes, usable
from .statements import Statement, each_cell_once, notes
from .trace import lower

_SUMS, _PRODUCTS = {elementwise.add, elementwise.sub}, {elementwise.mul, elementwise.div}
_SCATTERING = {indexing.scatter, indexing.scatter_along}


class Writer:
    """Writes the lines of one derivation in one language: `lines` of the forward pass, and their answers.

    numbers: the reader's names of whole numbers; those that were used are in `sizes.used` afterwards. wide:
    the inputs may be doubles, and then nothing is to round them: a dtype is what `kind` makes of it.
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
        forward = [each for line in lines for each in line.instructions]
        steps = (*forward, *backward.program.instructions)
        self._forward = set(forward)
        self._reached = reached(forward, backward.gradients)
        variables = {var for each in steps for var in (each.output, *each.reads())}
        names = {var.name for var in (*variables, *backward.gradients.values()) if var.name}
        sizes = usable({name: n for name, n in numbers.items() if name not in names}, forward)
        names.update(sizes.values())
        self.language: Any = language.beside({*language.taken, *names})
        self.sizes = Sizes(self.language, sizes)
        written = [one for each in steps for one in self._lowered(each)]
        self._makers = {each.output: each for each in written}
        self._shares = Counter(share.of for line in backward.lines for share in line.shares)
        self._helpers: dict[Var, str] = {}
        self._helpers = self._name_helpers(written, names)
        self._ready: set[Var] = set()
        self._pending: list[Statement] = []
        self._like: tuple[str, tuple[int, ...]] = ("", ())

    def forward(self, line: Line) -> list[Statement]:
        """The statements that make the value of a line."""
        return self._with_helpers("", (), lambda: self._steps(line.var, line.var.name))

    def answer(self, line: Line) -> list[Statement]:
        """The statements that answer a line."""
        return [one for share in line.shares for one in self.share(share)]

    def share(self, share: Share) -> list[Statement]:
        """The statements that add a share to its gradient, or begin it."""
        name, first = share.total.name, share.total is share.contribution
        if is_zero(share.contribution) and not first:
            return []
        made = self._with_helpers(
            share.of.name,
            share.of.shape,
            lambda: (
                self._steps(share.contribution, name, self._shares[share.of] > 1)
                if first
                else self._add(share.contribution, name)
            ),
        )
        made[-1].notes = notes(share, first)
        return made

    def _with_helpers(
        self, like: str, shape: tuple[int, ...], write: Callable[[], list[str]]
    ) -> list[Statement]:
        """What `write` gives, after the statements for what it needs. like: what has the shape `shape`."""
        self._like = like, shape
        lines = write()
        made, self._pending = [*self._pending, Statement(lines)], []
        return made

    # -- statements ------------------------------------------------------------------------------------------

    def _steps(self, var: Var, name: str, own: bool = False, top: bool = True) -> list[str]:
        """The lines that make `name` of a variable. own: in memory of its own, which will be added to. top:
        not of its name, if it has one."""
        maker = self._makers.get(var)
        if maker is None or (not top and (var.name or var in self._helpers)):
            made = self._full(var, var.number) if var.constant else self.expr(var)
            return [f"{name} = {self.language.copy(made) if own and not var.constant else made}"]
        operation = maker.operation
        x, *rest = cast(tuple[Any, ...], maker.inputs)
        if operation in STEPWISE:
            return self._stepwise(maker, name)
        if operation in _SUMS and self._scattered(rest[0]):
            return [*self._steps(x, name, True, False), *self._into(rest[0], name, operation.operator)]
        if operation in _PRODUCTS and isinstance(x, Var) and self._in_steps(x):
            return [*self._steps(x, name, True, False), self._scale(name, operation, rest[0])]
        expression = self.expr(x) if operation is shape.clone else self._expression(maker)
        if own and self._shares_memory(var):
            expression = self.language.copy(expression)
        return [f"{name} = {expression}"]

    def _add(self, var: Var, name: str) -> list[str]:
        """The lines that add a variable to `name`."""
        if self._scattered(var):
            return self._into(var, name, "+")
        maker = self._makers.get(var)
        x: Any = var
        if maker is not None and (maker.operation is shape.clone or repeats(maker)):
            *_, x = maker.inputs[0], *self._before_repeated(maker.inputs[0])
        elif maker is not None and maker.operation is elementwise.neg:
            return [f"{name} -= {self.expr(maker.inputs[0])}"]
        return [f"{name} += {self.expr(x)}"]

    def _stepwise(self, maker: Instruction, name: str) -> list[str]:
        if maker.operation in _SCATTERING:
            made = f"{name} = {self._full(maker.output, 0)}"
            return [made, *self._into(maker.output, name, "")]
        x, value = cast(tuple[Any, ...], maker.inputs)
        (place,) = maker.parameters
        copied = f"{name} = {self._whole(x) if x.constant else self.language.copy(self.expr(x))}"
        if maker.operation is indexing.put:
            return [copied, f"{Code(name)[self._parameter(place, True)]} = {self.expr(value)}"]
        part = Code(name, shape=maker.output.shape)
        for operation, parameters in place:
            if operation.parameters == ["key"]:
                part = Code(f"{part}[{key_text(parameters[0], view=True)}]")
            else:
                part = operation.forward(self.language, part, *parameters)
        return [copied, f"{part}[...] = {self.expr(value)}"]

    def _into(self, var: Var, name: str, sign: str) -> list[str]:
        """The line that writes what is scattered into `name`: adds it, takes it off, or sets it."""
        maker = self._makers[var]
        values = maker.inputs[0]
        if maker.operation is indexing.scatter and each_cell_once(maker.parameters[1]):
            return [f"{Code(name)[self._parameter(maker.parameters[1], True)]} {sign}= {self.expr(values)}"]
        whole = self._whole(values)
        whole = -whole if sign == "-" else whole
        if maker.operation is indexing.scatter:
            return [self.language.add_at(name, self._parameter(maker.parameters[1]), whole)]
        return [self.language.add_along(name, maker.parameters[1], self.expr(maker.parameters[2]), whole)]

    def _scale(self, name: str, operation: Operation, x: Var | Number) -> str:
        number = x.number if isinstance(x, Var) and x.constant else x
        of_number = operation is elementwise.mul and not isinstance(number, Var) and number
        if of_number and 1 / of_number == round(1 / of_number):
            operation, x = elementwise.div, round(1 / of_number)
        return f"{name} {operation.operator}= {self.expr(x)}"

    def _scattered(self, x: Any) -> bool:
        maker = self._makers.get(x)
        return maker is not None and maker.operation in _SCATTERING and not x.name and x not in self._helpers

    def _shares_memory(self, x: Any) -> bool:
        """Whether the expression for it shows the memory of something that has a name, or repeats its own."""
        maker = self._makers.get(x)
        if maker is None or maker.operation is shape.expand:
            return True
        source = maker.inputs[0]
        cast = maker.operation is elementwise.cast
        same = cast and isinstance(source, Var) and source.dtype == maker.output.dtype
        if not (same or maker.operation.view or maker.operation is shape.clone):
            return False
        return bool(getattr(source, "name", "")) or self._shares_memory(source)

    def _in_steps(self, x: Var) -> bool:
        """Whether it is made in several steps, and not in an expression."""
        maker = self._makers.get(x)
        if maker is None or x.name or x in self._helpers:
            return False
        operation, inputs = maker.operation, maker.inputs
        return (
            operation in STEPWISE
            or (operation in _SUMS and self._scattered(inputs[1]))
            or (operation in _PRODUCTS and isinstance(inputs[0], Var) and self._in_steps(inputs[0]))
        )

    # -- expressions -----------------------------------------------------------------------------------------

    def expr(self, x: Any) -> Code:
        """A variable, or a number, where it stands in an expression."""
        if not isinstance(x, Var):
            return self.sizes.code(x)
        name = x.name or self._helpers.get(x, "")
        if name and x in self._helpers and x not in self._ready:
            self._ready.add(x)
            self._pending.append(Statement(self._steps(x, name)))
        if name and not x.constant:
            return Code(name, shape=x.shape)
        if x.constant:
            return self.sizes.code(x.number, x.dtype.type)
        if x not in self._makers:
            assert is_range(x), "an input without a name"
            return Code(f"{self.language.prefix}.arange({self.sizes.code(len(x.value))})", shape=x.shape)
        return self._expression(self._makers[x])

    def _expression(self, maker: Instruction) -> Code:
        operation = maker.operation
        if operation is indexing.gather and (which := extreme(maker, self._makers)):
            x = self.expr(maker.inputs[0])
            found: Code = self.language.extreme(which.standard, x, maker.parameters[0])
            return found
        values = {
            name: self._parameter(x, name == "key")
            for name, x in zip(operation.parameters, maker.parameters, strict=True)
        }
        name, like = self._like
        if name and like and values.get("shape") == like:
            values["shape"] = Code(f"{name}.shape")
        if operation is shape.permute and (unpermuted := self._unpermuted(maker)):
            return unpermuted
        if operation is elementwise.mul and (below := self._below(maker.inputs[1])) is not None:
            return self._expression(
                replace(maker, operation=elementwise.div, inputs=(maker.inputs[0], below))
            )
        operands = self._operands(maker)
        if operation is elementwise.mul and _negates(maker):
            return -code(operands[1])
        made = self.language.expression(maker, operands, tuple(values.values()))
        made.shape = maker.output.shape
        return made

    def _below(self, x: Any) -> Any:
        """What it is one over, where that is how it is made and it has no name."""
        maker = None if isinstance(x, Var) and (x.name or x in self._helpers) else self._makers.get(x)
        one_over = maker is not None and maker.operation is elementwise.div and maker.inputs[0] == 1
        return maker.inputs[1] if maker is not None and one_over else None

    def _unpermuted(self, maker: Instruction) -> Code | None:
        """What was permuted before, where this permutes it back."""
        (x,), (axes,) = maker.inputs, maker.parameters
        before = self._makers.get(cast(Var, x))
        if cast(Var, x).name or before is None or before.operation is not shape.permute:
            return None
        (first,) = before.parameters
        back = tuple(first[i] for i in axes) == tuple(range(len(axes)))
        return self.expr(before.inputs[0]) if back else None

    def _operands(self, maker: Instruction) -> list[Any]:
        """The inputs. One that was only repeated to meet the others is left for them to broadcast; one that
        is a constant is a number, if the shape does not depend on it. What a gradient reaches, but not from
        here, is detached."""
        operation = maker.operation
        codes = self._meeting(maker) if operation.broadcasts else [self._whole(x) for x in maker.inputs]
        for i, x in enumerate(maker.inputs) if maker in self._forward and operation.sources else ():
            if not maker.flows[i] and x in self._reached:
                codes[i] = self.language.detached(codes[i])
        return codes

    def _meeting(self, maker: Instruction) -> list[Any]:
        """The inputs of an operation that broadcasts them."""
        operation = maker.operation
        used: list[Any] = list(maker.inputs)
        others = [each.shape for each in maker.parameters if isinstance(each, Var)]

        def together(inputs: list[Any]) -> tuple[int, ...]:
            return np.broadcast_shapes(
                *others, *(x.shape for x in inputs if isinstance(x, Var) and not x.constant)
            )

        for i in range(len(used)):
            for before in self._before_repeated(used[i]):
                if together([*used[:i], before, *used[i + 1 :]]) == maker.output.shape:
                    used[i] = before
        codes = [self.expr(x) for x in used]
        if together(used) != maker.output.shape:
            codes = [self._whole(x) for x in used]
        told = [x for x in used if isinstance(x, Var) and not x.constant]
        if operation is comparison.where and not told:  # nothing else says the dtype
            i = next((i for i, x in enumerate(used) if isinstance(x, Var)), 0)
            number = used[i].number if isinstance(used[i], Var) else used[i]
            codes[i] = self._full(Var(np.empty((), maker.output.dtype)), number)
        return codes

    def _before_repeated(self, x: Any) -> Iterator[Any]:
        """What it was before it was repeated, and what that was, as long as these have no name."""
        while not (isinstance(x, Var) and (x.name or x in self._helpers)):
            maker = self._makers.get(x)
            if maker is None or not repeats(maker):
                return
            x = maker.inputs[0]
            yield x

    def _whole(self, x: Any) -> Code:
        """As `expr`, but a constant is an array of its shape."""
        return self._full(x, x.number) if isinstance(x, Var) and x.constant else self.expr(x)

    def _full(self, x: Var, number: Number) -> Code:
        name, shape = self._like
        made = self.language.full(name if shape == x.shape else "", x.shape, self._dtype(x.dtype), number)
        made.shape = x.shape
        return made

    def _parameter(self, x: Any, key: bool = False) -> Any:
        """A parameter with its variables as code. key: it stands between brackets, where `range` will do."""
        if isinstance(x, tuple):
            return tuple(self._parameter(each, key) for each in x)
        if isinstance(x, np.dtype | type):
            return self._dtype(x)
        if isinstance(x, Operation) or not isinstance(x, Var):
            return self.language.number(x) if isinstance(x, float) and not np.isfinite(x) else x
        if key and not x.name and x not in self._makers:
            rows = "range" if self.language.own("range") == "range" else f"{self.language.prefix}.arange"
            return Code(f"{rows}({self.sizes.code(len(x.value))})", shape=x.shape)
        return self.expr(x)

    def _dtype(self, dtype: Any) -> Code:
        made: Code = self.language.dtype(dtype)
        floating = np.issubdtype(dtype, np.floating)
        return Code(f"{self.language.own('kind')}({made})") if self._wide and floating else made

    # -- what is written how ---------------------------------------------------------------------------------

    def _lowered(self, instruction: Instruction) -> list[Instruction]:
        """The instruction, in simpler operations where the language has no function for it."""
        if instruction.operation in STEPWISE:
            return [instruction]
        codes = [Code("x", shape=x.shape) if isinstance(x, Var) else x for x in instruction.inputs]
        if self.language.written(instruction, codes, instruction.parameters) is not None:
            return [instruction]
        simpler = lower(instruction)
        return (
            simpler if simpler == [instruction] else [one for each in simpler for one in self._lowered(each)]
        )

    def _name_helpers(self, written: list[Instruction], taken: set[str]) -> dict[Var, str]:
        """Names for what is needed more than once, or can't stand in an expression, and has none."""
        uses = Counter(var for each in written for var in each.reads())
        at_top: set[Var] = set()

        def top(x: Any) -> None:
            maker = self._makers.get(x)
            if maker is None:
                return
            at_top.add(x)
            if maker.operation in _SUMS and isinstance(maker.inputs[1], Var):
                at_top.add(maker.inputs[1])
            if maker.operation in _SUMS | _PRODUCTS and not getattr(maker.inputs[0], "name", "x"):
                top(maker.inputs[0])

        for line in self.lines:
            top(line.var)
        for line in self.backward.lines:
            for share in line.shares:
                if share.total is share.contribution:
                    top(share.contribution)
                elif self._scattered(share.contribution):
                    at_top.add(share.contribution)
        helpers: dict[Var, str] = {}
        heavy: dict[Var, int] = {}
        for each in written:
            var = each.output
            heavy[var] = weigh(each, heavy)
            stepwise = each.operation in STEPWISE
            if var.name or var.constant or var in [line.var for line in self.lines]:
                continue
            if (uses[var] > 1 and (heavy[var] > LIGHT or stepwise)) or (stepwise and var not in at_top):
                helpers[var] = unused(each.operation.name, taken)
                heavy[var] = 0
        return helpers


def _negates(maker: Instruction) -> bool:
    """Whether a product is that of -1 and something of its shape."""
    minus, x = maker.inputs
    number = minus.number if isinstance(minus, Var) and minus.constant else minus
    return number == -1 and isinstance(x, Var) and x.shape == maker.output.shape
