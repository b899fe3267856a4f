"""A recorded step as torch code: straight-line, in the reader's names, one function that writes its results
into memory that it is given.

Operations are written by their own forward functions, in the language that `derive` writes too. Errors are
not raised in between, which a GPU could not do: `wrong` says what went wrong, and then nothing is changed.
"""

from __future__ import annotations

import keyword
import math
from collections import Counter
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

import numpy as np

from ... import ops
from ...ops import Category, Operation
from ..comments import python_comment
from ..dialects import Bracket
from ..expressions import Code, assigned, call, code, listed, named
from ..instructions import Instruction, Var, known_number
from .c.plan import is_onehot, is_range
from .lowering.lower import reduced_size, shown
from .recording.checks import Check, by_variable, divisor_checks, index_checks
from .refusals import UnsupportedError
from .torch_language import TorchOnDevice

torch: Any = import_module("torch")

INLINE = 56
"""The most characters of a value without a name that is written where it is used, if that is once."""
ENTRY = "step"
WRONG: Any = named("wrong")


class Emitter:
    """Writes torch code for primitive instructions.

    inputs: the names of the variables that no instruction makes; fixed: those among them that never change.
    ranges: (low, high) of integers that are known to be in [low, high). Afterwards `complaints` holds the
    error of each value of `wrong` but 0, `boxed` the parameters that take a vector of one element in place of
    a single number, and `swaps` is whether a store reads what another one replaces.
    """

    def __init__(
        self,
        inputs: dict[Var, str],
        fixed: set[Var],
        ranges: dict[Var, tuple[float, float]],
        device: str,
    ) -> None:
        self.language = TorchOnDevice(device)
        self.fixed, self.ranges = fixed, dict(ranges)
        self.complaints: list[tuple[type[Exception], str]] = []
        self.boxed: set[str] = set()
        self.swaps = False
        self._used: set[Var] = set()
        self._inputs = inputs
        self._codes: dict[Var, Code] = {}
        self._checked: dict[tuple[Var, int, int], Code] = {}
        self._taken = {*inputs.values(), "torch", "wrong", ENTRY}
        self._body: list[str] = []
        self._uses = Counter[Var]()
        self._source = self._last_source = ""

    def emit(
        self, instructions: list[Instruction], checks: list[Check], stores: list[tuple[str, Var]]
    ) -> str:
        """Return the source of the function. Its parameters are the inputs that it uses, and then the names
        of `stores`, to which variables are written at the end."""
        read = [var for instruction in instructions for var in instruction.reads()]
        self._uses.update([*read, *(var for _, var in stores), *(check.var for check in checks)])
        # torch's compiler takes a single double on the CPU for a Python number: what is written is lost.
        self.boxed = {name for name, var in stores if not var.shape}
        self._look(check for check in checks if check.var in self._inputs)
        looked_at = by_variable(checks)
        for instruction in instructions:
            self._write(instruction)
            self._look(looked_at[instruction.output])
        stored = self._write_out(elements_of(instructions, moves), stores)
        parameters = [name for var, name in self._inputs.items() if var in self._used]
        parameters = list(dict.fromkeys([*parameters, *(name for name, _ in stores)]))
        body = [*self._body, *stored] or ["pass"]
        if self.complaints:
            parameters.append("wrong")
            body.insert(0, "wrong.zero_()")
        head = f"def {ENTRY}({', '.join(parameters)}):"
        return "\n".join([head, *(f"    {line}" for line in body)]) + "\n"

    def _write_out(self, source: dict[Var, Var], stores: list[tuple[str, Var]]) -> list[str]:
        """Return the lines that write the results: at the end, since the results are computed from what they
        replace."""
        replaced = {name for name, _ in stores}
        lines = []
        for name, var in stores:
            value = code(self.value(var))
            if self._inputs.get(source.get(var, var)) in replaced:  # a view of what is overwritten
                value, self.swaps = self.language.copy(value), True
            if self.complaints:
                value = call("torch.where", WRONG == 0, value, named(name))
            if not str(value).isidentifier():
                new = named(self._unlike(f"{name}_new"))
                self._body.append(str(assigned(new, "=", value)))
                value = new
            lines.append(str(named(name).method("copy_", value)))
        return lines

    # -- values ----------------------------------------------------------------------------------------------

    def value(self, x: Any) -> Any:
        """Return a variable, or a number, as code; anything else unchanged."""
        if not isinstance(x, Var):
            return self.language.number(x) if isinstance(x, float) and not math.isfinite(x) else x
        if x.constant:
            return self.language.full("", x.shape, x.dtype, self._number(x))
        if x.dtype == np.int64 and len(x.shape) == 1 and is_range(x, x.shape[0], self.fixed):
            return self.language.arange(x.shape[0])
        if x not in self._codes:
            self._used.add(x)
            name = self._inputs[x]
            self._codes[x] = named(f"{name}[0]" if name in self.boxed else name, x.shape)
        return self._codes[x]

    def _parameter(self, x: Any) -> Any:
        """Return a parameter with its variables and dtypes as code."""
        if isinstance(x, tuple):
            return tuple(map(self._parameter, x))
        if isinstance(x, np.dtype) or (isinstance(x, type) and issubclass(x, np.generic)):
            return self.language.dtype(x)
        return self.value(x)

    def _operands(self, instruction: Instruction) -> list[Any]:
        """Return the inputs as code; one that is a single number is written as that number, where neither the
        shape nor the dtype of the result depends on it."""
        operation, operands = instruction.operation, list[Any]()
        arrays = [x for x in instruction.reads() if self._number(x) is None]
        shapes = (x.shape for x in arrays)
        shaped = operation.broadcasts and np.broadcast_shapes(*shapes) == instruction.output.shape
        for x in instruction.inputs:
            number = self._number(x) if shaped else None
            typed = number is not None and any(array.dtype == x.dtype for array in arrays)
            if typed and (operands or operation not in _FIRST_IS_TENSOR):
                operands.append(self.language.number(number))
            else:
                operands.append(self.value(x.item() if isinstance(x, np.generic) else x))
        return operands

    def _number(self, x: Any) -> int | float | None:
        """Return the one number that all elements of a variable always are, as short as its dtype allows;
        else None."""
        if not isinstance(x, Var) or not (x.constant or (x in self.fixed and not x.shape)):
            return None
        return float(str(x.value.flat[0])) if x.dtype.kind == "f" else x.number

    def _name(self, var: Var) -> str:
        """Return a new name for a variable: the reader's, if there is one."""
        return self._unlike(var.name or f"t{len(self._taken)}")

    def _unlike(self, name: str) -> str:
        """Return the name, with underscores added until nothing else has it."""
        while name in self._taken or keyword.iskeyword(name):
            name += "_"
        self._taken.add(name)
        return name

    def _say(self, *lines: Code) -> None:
        """Add lines to the body, under a comment with the reader's line that they are for."""
        if self._source != self._last_source:
            self._body.append(python_comment(self._source))
            self._last_source = self._source
        self._body += map(str, lines)

    def _let(self, var: Var, expression: Code, change: Callable[[Code], Code] | None = None) -> None:
        """Give a variable its value: in a line of its own, or as the expression to write where it is used.
        change: gives the line that changes it then."""
        if change is None and not var.name and self._uses[var] == 1 and len(str(expression)) <= INLINE:
            self._codes[var] = expression.shaped(var.shape)
            return
        name = self._codes[var] = named(self._name(var), var.shape)
        self._say(assigned(name, "=", expression), *([change(name)] if change is not None else []))

    # -- instructions ----------------------------------------------------------------------------------------

    def _write(self, instruction: Instruction) -> None:
        """Write an instruction."""
        self._source = instruction.source or self._source
        self._pass_range(instruction)
        special = _SPECIAL.get(instruction.operation)
        if special is not None:
            special(self, instruction)
            return
        operands, parameters = self._operands(instruction), self._parameter(instruction.parameters)
        for check in divisor_checks(instruction):
            operands[1] = self._divisor(check)
        try:
            expression = self.language.expression(instruction, operands, parameters)
        except NotImplementedError as error:
            where, name = instruction.source or "the step", instruction.operation.name
            raise UnsupportedError(f"{where}: the operation {name} is not compiled: {error}") from error
        self._let(instruction.output, expression)

    def _write_index(self, instruction: Instruction) -> None:
        x, key = self.value(instruction.inputs[0]), self._safe_key(instruction, instruction.parameters[0])
        self._let(instruction.output, x[key])

    def _write_gather(self, instruction: Instruction) -> None:
        (check,) = index_checks(instruction)
        x = self.value(instruction.inputs[0])
        self._let(instruction.output, self.language.gather(x, instruction.parameters[0], self._safe(check)))

    def _write_put(self, instruction: Instruction) -> None:
        x, value = map(self.value, instruction.inputs)
        if instruction.parameters == ((Ellipsis,),) and isinstance(value, Code):  # the whole array
            shape = instruction.output.shape
            self._let(
                instruction.output, value if value.shape == shape else self.language.expand(value, shape)
            )
            return
        key = self._safe_key(instruction, instruction.parameters[0])
        self._let(instruction.output, self.language.copy(x), lambda out: assigned(out[key], "=", value))

    def _write_put_view(self, instruction: Instruction) -> None:
        (x, value), (chain,) = map(self.value, instruction.inputs), instruction.parameters

        def change(seen: Code) -> Code:
            for i, (entry, parameters) in enumerate(chain, 1):
                seen = entry.forward(self.language, seen, *parameters)
                seen = seen.shaped(shown(instruction, chain[:i]).shape)
            return seen.method("copy_" if isinstance(value, Code) else "fill_", value)

        rows = x.method(ops.shape.clone.name, memory_format=named("torch.contiguous_format"))
        self._let(instruction.output, rows, change)

    def _write_scatter(self, instruction: Instruction) -> None:
        values, (shape, key) = instruction.inputs[0], instruction.parameters
        empty = self.language.full("", shape, instruction.output.dtype, 0)
        if not any(isinstance(item, Var) for item in key):
            self._let(instruction.output, empty, lambda out: assigned(out[key], "=", self.value(values)))
            return
        places = self._safe_key(instruction, key)
        written = self.value(values)
        if is_onehot(instruction, self.fixed):
            columns = self._below(places[1], key[1], shape[1])
            hits = columns[:, None] == self.language.arange(shape[1])
            number = self._number(values)
            value = written[:, None] if number is None else number
            self._let(instruction.output, self._where_else_0(hits, value, instruction.output))
            return
        if len(key) == 1:
            rows = self._below(places[0], key[0], shape[0]).method("flatten")
            flat = self.language.reshape(written, (math.prod(key[0].shape), *shape[1:]))
            self._let(instruction.output, empty.method("index_add", 0, rows, flat))
            return
        several = listed(*(None if isinstance(item, slice) else item for item in places))
        indices = several.fenced(Bracket.SQUARE)
        self._let(instruction.output, call("torch.ops.aten.index_put", empty, indices, written, True))

    def _write_scatter_along(self, instruction: Instruction) -> None:
        values, (shape, axis, _) = instruction.inputs[0], instruction.parameters
        (check,) = index_checks(instruction)
        index = self._safe(check)
        if is_onehot(instruction, self.fixed):
            around = tuple(slice(None) if i == axis else None for i in range(len(shape)))
            every = self.language.arange(shape[axis])
            hits = index == (every[around] if len(shape) > 1 else every)
            self._let(instruction.output, self._where_else_0(hits, self.value(values), instruction.output))
            return
        empty = self.language.full("", shape, instruction.output.dtype, 0)
        self._let(instruction.output, empty.method("scatter_add", axis, index, self.value(values)))

    def _where_else_0(self, hits: Any, value: Any, output: Var) -> Any:
        """Return the code of `value` at the hits, and 0 elsewhere."""
        if not isinstance(value, Code):
            return hits.method("to", self.language.dtype(output.dtype)) * value
        return call("torch.where", hits, value, 0.0 if output.dtype.kind == "f" else 0)

    # -- what may go wrong -----------------------------------------------------------------------------------

    def _safe_key(self, instruction: Instruction, key: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the key as code, in which every index can be used safely."""
        safe = {check.var: self._safe(check) for check in index_checks(instruction)}
        return tuple(safe[item] if isinstance(item, Var) else item for item in key)

    def _safe(self, check: Check) -> Any:
        """Return a variable as code, with every element brought into the range of the check."""
        if check.is_known(self.ranges) or not math.prod(check.var.shape):
            return self.value(check.var)
        key = check.var, check.low, check.high
        if key not in self._checked:
            x = self._named(check.var)
            self._refuse((x < check.low) | (x >= check.high), check.error, check.message)
            self._checked[key] = x.method(ops.comparison.clamp.name, check.low, max(check.high - 1, 0))
        return self._checked[key]

    def _divisor(self, check: Check) -> Any:
        """Return a divisor as code, with 1 in place of 0."""
        low, high = self._range(check.var)
        if low > 0 or high <= 0:
            return self.value(check.var)
        divisor = self._named(check.var)
        self._refuse(divisor == 0, check.error, check.message)
        return call("torch.where", divisor == 0, 1, divisor)

    def _look(self, checks: Iterable[Check]) -> None:
        """Check variables as soon as they are computed."""
        for check in checks:
            self._codes[check.var] = self._safe(check)
            self.ranges.setdefault(check.var, (check.low, check.high))

    def _refuse(self, condition: Code, error: type[Exception], message: str) -> None:
        """Add the line that sets `wrong` if the condition holds anywhere, unless something was wrong
        before."""
        self.complaints.append((error, message))
        anywhere = self.language.any(condition, None, False)
        self._say(assigned(WRONG, "+=", ((WRONG == 0) & anywhere) * len(self.complaints)))

    def _named(self, var: Var) -> Any:
        """Return the variable as code that is a name."""
        value = self.value(var)
        if not str(value).isidentifier():
            name = self._codes[var] = named(self._name(var), var.shape)
            self._say(assigned(name, "=", value))
            return name
        return value

    def _below(self, places: Any, var: Var, n: int) -> Any:
        """Return indices as code without negative ones."""
        return places if self._range(var)[0] >= 0 else places % n

    def _range(self, x: Any) -> tuple[float, float]:
        """Return (low, high) where an integer operand is known to be in [low, high)."""
        number = known_number(x)
        return self.ranges.get(x, (-math.inf, math.inf)) if number is None else (number, number + 1)

    def _pass_range(self, instruction: Instruction) -> None:
        """Derive the range of an instruction's output, if it moves or finds integers."""
        operation = instruction.operation
        if operation in (ops.reduction.argmax, ops.reduction.argmin):
            self.ranges[instruction.output] = 0, reduced_size(instruction)
        elif moves(operation) and instruction.output.dtype.kind in "iu":
            lows, highs = zip(*map(self._range, instruction.inputs), strict=True)
            self.ranges.setdefault(instruction.output, (min(lows), max(highs)))


_FIRST_IS_TENSOR = (ops.comparison.maximum, ops.comparison.minimum)
_SPECIAL: dict[Operation, Callable[[Emitter, Instruction], None]] = {
    ops.indexing.index: Emitter._write_index,
    ops.indexing.gather: Emitter._write_gather,
    ops.indexing.put: Emitter._write_put,
    ops.indexing.put_view: Emitter._write_put_view,
    ops.indexing.scatter: Emitter._write_scatter,
    ops.indexing.scatter_along: Emitter._write_scatter_along,
}
"""The operations that are not written as their forward functions say, since an index may be out of bounds."""


def moves(operation: Operation) -> bool:
    """Return whether an operation's result consists of elements of its inputs."""
    return (
        operation.category in (Category.MOVEMENT, Category.GATHER, Category.JOIN)
        or operation is ops.comparison.where
    )


def elements_of(instructions: list[Instruction], chosen: Callable[[Operation], bool]) -> dict[Var, Var]:
    """Return, for each variable whose elements were only moved from one other variable, that variable.
    chosen: the operations that count as moving."""
    sources: dict[Var, Var] = {}
    for instruction in instructions:
        x = instruction.inputs[-1]
        overwritten = instruction.operation is ops.indexing.put and instruction.parameters == ((Ellipsis,),)
        moved = chosen(instruction.operation) and len(instruction.inputs) == 1
        if isinstance(x, Var) and (moved or overwritten):
            sources[instruction.output] = sources.get(x, x)
    return sources
