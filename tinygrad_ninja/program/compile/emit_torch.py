"""A recorded step as torch code: straight-line, in the reader's names, one function that writes its results
into memory that it is given.

Operations are written by their own forward functions, in the language that `derive` writes too. What goes
wrong is not raised in between, which a GPU could not do: `wrong` says what did, and then nothing is changed.
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
from ..expressions import Code, call, code
from ..instructions import Instruction, Var
from ..languages import Torch
from .checks import Check, divisor_checks, index_checks
from .lower import reads
from .plan import is_onehot, is_range
from .tape import UnsupportedError

torch: Any = import_module("torch")

INLINE = 56
"""A value without a name that is used once is written where it is used, up to so many letters."""
ENTRY = "step"
ITSELF = "§"
"""The name of a variable, in the lines that change it."""


class Lines(Torch):
    """torch's tensors on one device."""

    def __init__(self, device: str) -> None:
        self.device = device

    def has(self, function: str) -> bool:
        """Return whether the torch that runs it has the function."""
        return hasattr(torch, function)

    def full(self, like: str, shape: tuple[int, ...], dtype: Any, number: Any) -> Code:
        return call("torch.full", shape, self.number(number), dtype=self.dtype(dtype), device=self.device)

    def diag_embed(self, x: Code, offset: int) -> Code:
        return call("torch.diag_embed", x, offset)

    def pow(self, a: Any, b: Any) -> Any:
        # torch itself takes roots for such powers, its compiler only where it is told.
        if isinstance(a, Code) and b == 0.5:
            return self.sqrt(a)
        if isinstance(a, Code) and b == -0.5:
            return a.method("rsqrt")
        return super().pow(a, b)

    def sign(self, x: Code) -> Code:
        return call("torch.where", x == x, call("torch.sign", x), x)  # of NaN torch says 0

    def arange(self, n: int) -> Code:
        made = call("torch.arange", n, device=self.device)
        made.shape = (n,)
        return made


class Emitter:
    """Makes torch code of primitive instructions.

    inputs: the names of what no instruction makes; fixed: those among them that never change. ranges: (low,
    high) of integers that are known to be in [low, high). Afterwards `complaints` holds what each value of
    `wrong` but 0 says, `boxed` the parameters that want a vector of one in the place of a single number, and
    `swaps` is whether a store holds what another one replaces.
    """

    def __init__(
        self,
        inputs: dict[Var, str],
        fixed: set[Var],
        ranges: dict[Var, tuple[float, float]],
        device: str,
    ) -> None:
        self.language = Lines(device)
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
        self._uses: Counter[Var] = Counter()
        self._source = self._said = ""

    def emit(
        self, instructions: list[Instruction], checks: list[Check], stores: list[tuple[str, Var]]
    ) -> str:
        """The source of the function. Its parameters are the inputs that it uses, and then the names of
        `stores`, where variables are written at the end."""
        self._uses = Counter(var for each in instructions for var in reads(each))
        self._uses.update(var for _, var in stores)
        # torch's compiler takes a single double on the CPU for a Python number: what it is given is lost.
        self.boxed = {name for name, var in stores if not var.shape}
        looked: dict[Var, list[Check]] = {}
        for check in checks:
            looked.setdefault(check.var, []).append(check)
            self._uses[check.var] += 1
        for var in [each for each in looked if each in self._inputs]:
            self._look(looked.pop(var))
        for each in instructions:
            self._write(each)
            self._look(looked.get(each.output, ()))
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
        """The lines that write results: after all of them are made, since they are made of what is
        written."""
        replaced = {name for name, _ in stores}
        made = []
        for name, var in stores:
            value = code(self.value(var))
            if self._inputs.get(source.get(var, var)) in replaced:  # it shows what is written over
                value, self.swaps = self.language.copy(value), True
            if self.complaints:
                value = call("torch.where", Code("wrong == 0"), value, Code(name))
            if not value.text.isidentifier():
                new = self._unlike(f"{name}_new")
                self._body.append(f"{new} = {value}")
                value = Code(new)
            made.append(f"{name}.copy_({value})")
        return made

    # -- values ----------------------------------------------------------------------------------------------

    def value(self, x: Any) -> Any:
        """A variable, or a number, as code; anything else as it is."""
        if not isinstance(x, Var):
            return self.language.number(x) if isinstance(x, float) and not math.isfinite(x) else x
        if x.constant:
            return self.language.full("", x.shape, x.dtype, self._number(x))
        if x.dtype == np.int64 and len(x.shape) == 1 and is_range(x, x.shape[0], self.fixed):
            return self.language.arange(x.shape[0])
        if x not in self._codes:
            self._used.add(x)
            name = self._inputs[x]
            self._codes[x] = Code(f"{name}[0]" if name in self.boxed else name, shape=x.shape)
        return self._codes[x]

    def _parameter(self, x: Any) -> Any:
        if isinstance(x, tuple):
            return tuple(map(self._parameter, x))
        if isinstance(x, np.dtype) or (isinstance(x, type) and issubclass(x, np.generic)):
            return self.language.dtype(x)
        return self.value(x)

    def _operands(self, made: Instruction) -> list[Any]:
        """The inputs; one that is a single number is written as such, where neither the shape nor the dtype
        depends on it."""
        inputs = [x.item() if isinstance(x, np.generic) else x for x in made.inputs]
        if not made.operation.broadcasts:
            return [self.value(x) for x in inputs]
        values = []
        for i, x in enumerate(inputs):
            number = self._number(x)
            others = [each for each in reads(made) if each is not x and self._number(each) is None]
            if number is not None and any(each.dtype == x.dtype for each in others):  # type: ignore[union-attr]
                same = np.broadcast_shapes(*(each.shape for each in others)) == made.output.shape
                if same and not (i == 0 and made.operation in _FIRST_IS_TENSOR):
                    values.append(self.language.number(number))
                    continue
            values.append(self.value(x))
        return values

    def _number(self, x: Any) -> int | float | None:
        """The one number that a variable always is, as short as its dtype allows."""
        if not isinstance(x, Var) or not (x.constant or (x in self.fixed and not x.shape)):
            return None
        return float(str(x.value.flat[0])) if x.dtype.kind == "f" else x.number

    def _name(self, var: Var) -> str:
        """A name that nothing else has: the reader's, if there is one."""
        return self._unlike(var.name or f"t{len(self._taken)}")

    def _unlike(self, name: str) -> str:
        while name in self._taken or keyword.iskeyword(name):
            name += "_"
        self._taken.add(name)
        return name

    def _say(self, *lines: str) -> None:
        """Lines of the body, under the reader's line that they are for."""
        if self._source != self._said:
            self._body.append(f"# {self._source}")
            self._said = self._source
        self._body += lines

    def _let(self, var: Var, made: Code, lines: Iterable[str] = ()) -> None:
        """Give a variable its value: a line of its own, or the expression where it is used."""
        lines = list(lines)
        made.shape = var.shape
        if not lines and not var.name and self._uses[var] == 1 and len(made.text) <= INLINE:
            self._codes[var] = made
            return
        name = self._name(var)
        self._say(f"{name} = {made}", *(line.replace(ITSELF, name) for line in lines))
        self._codes[var] = Code(name, shape=var.shape)

    # -- instructions ----------------------------------------------------------------------------------------

    def _write(self, made: Instruction) -> None:
        self._source = made.source or self._source
        self._pass_range(made)
        special = _SPECIAL.get(made.operation)
        if special is not None:
            special(self, made)
            return
        operands, parameters = self._operands(made), tuple(map(self._parameter, made.parameters))
        for check in divisor_checks(made):
            operands[1] = self._divisor(check)
        try:
            expression = self.language.expression(made, operands, parameters)
        except NotImplementedError as error:
            where, name = made.source or "the step", made.operation.name
            raise UnsupportedError(f"{where}: the operation {name} is not compiled: {error}") from error
        self._let(made.output, expression)

    def _write_index(self, made: Instruction) -> None:
        x, key = self.value(made.inputs[0]), self._safe_key(made, made.parameters[0])
        self._let(made.output, x[key])

    def _write_gather(self, made: Instruction) -> None:
        (check,) = index_checks(made)
        x = self.value(made.inputs[0])
        self._let(made.output, self.language.gather(x, made.parameters[0], self._safe(check)))

    def _write_put(self, made: Instruction) -> None:
        x, value = map(self.value, made.inputs)
        if made.parameters == ((Ellipsis,),) and isinstance(value, Code):  # all of it
            shape = made.output.shape
            self._let(made.output, value if value.shape == shape else self.language.expand(value, shape))
            return
        key = self._safe_key(made, made.parameters[0])
        self._let(made.output, self.language.copy(x), [f"{Code(ITSELF)[key]} = {code(value)}"])

    def _write_scatter(self, made: Instruction) -> None:
        values, (shape, key) = made.inputs[0], made.parameters
        empty = self.language.full("", shape, made.output.dtype, 0)
        if not any(isinstance(each, Var) for each in key):
            self._let(made.output, empty, [f"{Code(ITSELF)[key]} = {code(self.value(values))}"])
            return
        places = self._safe_key(made, key)
        written = self.value(values)
        if is_onehot(made, self.fixed):
            columns = self._below(places[1], key[1], shape[1])
            hits = columns[:, None] == self.language.arange(shape[1])
            number = self._number(values)
            value = written[:, None] if number is None else number
            self._let(made.output, self._where_else_0(hits, value, made.output))
            return
        if len(key) == 1:
            rows = self._below(places[0], key[0], shape[0]).method("flatten")
            flat = self.language.reshape(written, (math.prod(key[0].shape), *shape[1:]))
            self._let(made.output, empty.method("index_add", 0, rows, flat))
            return
        several = ", ".join("None" if isinstance(each, slice) else str(each) for each in places)
        self._let(made.output, call("torch.ops.aten.index_put", empty, Code(f"[{several}]"), written, True))

    def _write_scatter_along(self, made: Instruction) -> None:
        values, (shape, axis, _) = made.inputs[0], made.parameters
        (check,) = index_checks(made)
        index = self._safe(check)
        if is_onehot(made, self.fixed):
            around = tuple(slice(None) if i == axis else None for i in range(len(shape)))
            every = self.language.arange(shape[axis])
            hits = index == (every[around] if len(shape) > 1 else every)
            self._let(made.output, self._where_else_0(hits, self.value(values), made.output))
            return
        empty = self.language.full("", shape, made.output.dtype, 0)
        self._let(made.output, empty.method("scatter_add", axis, index, self.value(values)))

    def _where_else_0(self, hits: Any, value: Any, output: Var) -> Any:
        if not isinstance(value, Code):
            return hits.method("to", self.language.dtype(output.dtype)) * value
        return call("torch.where", hits, value, 0.0 if output.dtype.kind == "f" else 0)

    # -- what may go wrong -----------------------------------------------------------------------------------

    def _safe_key(self, made: Instruction, key: tuple[Any, ...]) -> tuple[Any, ...]:
        """The key, in which every index can be used without harm."""
        safe = {each.var: self._safe(each) for each in index_checks(made)}
        return tuple(safe[each] if isinstance(each, Var) else each for each in key)

    def _safe(self, check: Check) -> Any:
        """A variable, none of whose elements is out of the range of the check."""
        low, high = self.ranges.get(check.var, (-math.inf, math.inf))
        if (check.low <= low and high <= check.high) or not math.prod(check.var.shape):
            return self.value(check.var)
        key = check.var, check.low, check.high
        if key not in self._checked:
            x = self._named(check.var)
            self._refuse((x < check.low) | (x >= check.high), check.error, check.message)
            self._checked[key] = x.method(ops.comparison.clamp.name, check.low, max(check.high - 1, 0))
        return self._checked[key]

    def _divisor(self, check: Check) -> Any:
        low, high = self.ranges.get(check.var, (-math.inf, math.inf))
        if low > 0 or high <= 0:
            return self.value(check.var)
        divisor = self._named(check.var)
        self._refuse(divisor == 0, check.error, check.message)
        return call("torch.where", divisor == 0, 1, divisor)

    def _look(self, checks: Iterable[Check]) -> None:
        for each in checks:
            self._codes[each.var] = self._safe(each)
            self.ranges.setdefault(each.var, (each.low, each.high))

    def _refuse(self, condition: Code, error: type[Exception], message: str) -> None:
        """If it holds anywhere, `wrong` says so, unless something was wrong before."""
        self.complaints.append((error, message))
        anywhere = self.language.any(condition, None, False)
        self._say(f"wrong += ((wrong == 0) & {anywhere}) * {len(self.complaints)}")

    def _named(self, var: Var) -> Any:
        """The variable under a name."""
        made = self.value(var)
        if not made.text.isidentifier():
            name = self._name(var)
            self._say(f"{name} = {made}")
            made = self._codes[var] = Code(name, shape=var.shape)
        return made

    def _below(self, places: Any, var: Var, n: int) -> Any:
        """Indices without negative ones."""
        low, _ = self.ranges.get(var, (-math.inf, math.inf))
        return places if low >= 0 else places % n

    def _pass_range(self, made: Instruction) -> None:
        """What an operation that moves integers does to their range."""
        operation, x = made.operation, made.inputs[0]
        if operation in (ops.reduction.argmax, ops.reduction.argmin):
            assert isinstance(x, Var)
            n = math.prod(x.shape) if made.parameters[0] is None else x.shape[made.parameters[0]]
            self.ranges[made.output] = 0, n
        elif moves(operation) and made.output.dtype.kind in "iu":
            found = [
                (each.number, each.number + 1) if isinstance(each, Var) and each.constant
                else (each, each + 1) if not isinstance(each, Var)
                else self.ranges.get(each, (-math.inf, math.inf))
                for each in made.inputs
            ]  # fmt: skip
            self.ranges.setdefault(made.output, (min(a for a, _ in found), max(b for _, b in found)))


_FIRST_IS_TENSOR = (ops.comparison.maximum, ops.comparison.minimum)
_SPECIAL: dict[Operation, Callable[[Emitter, Instruction], None]] = {
    ops.indexing.index: Emitter._write_index,
    ops.indexing.gather: Emitter._write_gather,
    ops.indexing.put: Emitter._write_put,
    ops.indexing.scatter: Emitter._write_scatter,
    ops.indexing.scatter_along: Emitter._write_scatter_along,
}
"""What is not written as its forward function says, since an index may be out of bounds."""


def moves(operation: Operation) -> bool:
    """Return whether what it makes are elements of its inputs."""
    return (
        operation.category in (Category.MOVEMENT, Category.GATHER, Category.JOIN)
        or operation is ops.comparison.where
    )


def elements_of(instructions: list[Instruction], chosen: Callable[[Operation], bool]) -> dict[Var, Var]:
    """Return for each variable that such operations, which move elements, made of one other, that one."""
    found: dict[Var, Var] = {}
    for made in instructions:
        x = made.inputs[-1]
        overwritten = made.operation is ops.indexing.put and made.parameters == ((Ellipsis,),)
        moved = chosen(made.operation) and len(made.inputs) == 1
        if isinstance(x, Var) and (moved or overwritten):
            found[made.output] = found.get(x, x)
    return found
