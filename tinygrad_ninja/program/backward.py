"""The backward pass of a recorded forward pass, line by line as a person would write it.

The forward pass is first cut into lines: a value that has a name ends one, and what has none, and is used
once, is written into the line that uses it. Then each line, the last first, is answered: its rules turn its
gradient into a share for each value that it reads, in the order in which it reads them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from ..kinds import kind_of
from ..ops import Operation, comparison, elementwise, indexing, shape
from .decided import HOLD
from .instructions import Instruction, Program, Var, repeats, substitute
from .record import RESERVED, Forward, gradient_name, unused
from .trace import XP, Tape, Traced, plain

STEPWISE = frozenset((indexing.put, indexing.put_view, indexing.scatter, indexing.scatter_along))
"""What takes more than an expression to write: first an array, and then what is written into it."""

LIGHT = 2
"""So many arithmetic operations are rather written again than given a name."""


@dataclass(eq=False)
class Share:
    """What one use of a value adds to its gradient.

    of: the value; by: the forward instruction that used it, as input number `place`; contribution: the share
    itself; total: the gradient with this share added, the same variable where it is the first.
    """

    of: Var
    by: Instruction
    place: int
    contribution: Var
    total: Var


@dataclass(eq=False)
class Line:
    """A line of the forward pass: the instructions written in it, of which the last makes its value, and the
    shares that answer it."""

    instructions: list[Instruction]
    shares: list[Share] = field(default_factory=list)

    @property
    def var(self) -> Var:
        return self.instructions[-1].output


@dataclass
class Backward:
    """lines: those of the forward pass, in its order; program: the backward instructions; gradients: of each
    value that has one, by the value; inner: the same for the values that are written into a line."""

    lines: list[Line]
    program: Program
    gradients: dict[Var, Var]
    inner: dict[Var, Var]


class RuleTape(Tape):
    """A tape for rules, which writes down what a person would.

    What a rule does in a single point only, where one value is exactly another (the slope of a root at 0), is
    left out where no recorded value is there. And what is done alike to each of repeated values is done to
    the values, before they are repeated.
    """

    def __init__(self) -> None:
        super().__init__()
        self._makers: dict[Var, Instruction] = {}

    def apply(self, operation: Operation, inputs: tuple[Any, ...], parameters: tuple[Any, ...]) -> Traced:
        shapes = [np.shape(each) for each in inputs]
        if operation is comparison.where and (known := self._known_beforehand(*parameters)) is not None:
            taken, value = inputs[0 if known else 1], self.value(operation, inputs, parameters)
            if not isinstance(taken, Traced):
                return self.constant(value)
            taken = taken if taken.dtype == value.dtype else XP.astype(taken, value.dtype)
            return cast(Traced, taken if taken.shape == value.shape else XP.broadcast_to(taken, value.shape))
        if operation in (shape.expand, shape.reshape) and parameters == (shapes[0],):
            return cast(Traced, inputs[0])
        if operation is indexing.scatter and all(map(_reads_all, parameters[1])):
            return self.apply(shape.reshape, inputs, parameters[:1])
        alone = operation.broadcasts and len(inputs) == 2 and not parameters
        if alone and (found := self._before_repeated(inputs)):
            made_of_fewer = self.apply(operation, found, parameters)
            return cast(Traced, XP.broadcast_to(made_of_fewer, np.broadcast_shapes(*shapes)))
        result = super().apply(operation, inputs, parameters)
        if self.instructions:
            self._makers[self.instructions[-1].output] = self.instructions[-1]
        return result

    def made_of(self, var: Var, known: set[Var]) -> set[Var]:
        """The variable and those that its expression reads, without those that are known."""
        found: set[Var] = set()
        stack = [var]
        while stack:
            last = stack.pop()
            if last not in found and last not in known:
                found.add(last)
                stack += self._makers[last].reads() if last in self._makers else ()
        return found

    def _known_beforehand(self, condition: Any) -> bool | None:
        """What a condition is for all elements, whatever the inputs of the program are; or that it asks for
        a single point, at which no recorded value is. None where it depends."""
        var = self.variable(condition)
        if not isinstance(var, Var):
            return bool(var)
        made = self._makers.get(var)
        if made is not None and made.operation is comparison.eq and not plain(condition).any():
            return False
        return bool(var.number) if var.constant else None

    def _before_repeated(self, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """One repeated input as it was before, and the other as the number that it is; empty for others."""
        for x, other in (inputs, inputs[::-1]):
            repeated, constant = self._makers.get(self.variable(x)), self.variable(other)
            number = constant.number if isinstance(constant, Var) and constant.constant else constant
            if repeated is not None and repeats(repeated) and not isinstance(number, Var):
                before = self.operand(repeated.inputs[0])
                return (before, number) if x is inputs[0] else (number, before)
        return ()


def is_zero(var: Var) -> bool:
    """Whether it is 0 throughout, whatever the inputs of the program are."""
    return var.constant and not var.number


def _reads_all(item: Any) -> bool:
    """Whether an item of an index leaves nothing out, and brings nothing into another order."""
    return item is None or item is Ellipsis or (isinstance(item, slice) and item == slice(None))


def rules_of(instruction: Instruction) -> Sequence[Callable[[Any, tuple[Any, ...]], Any]]:
    """The rule of each input of an instruction: of the gradient and (output, *inputs, *parameters)."""
    operation, n = instruction.operation, len(instruction.inputs)
    if not operation.variadic:
        return operation.rules
    (rule,) = operation.sources.values()

    def at(place: int) -> Callable[[Any, tuple[Any, ...]], Any]:
        return lambda dout, values: rule(
            kind_of(dout), dout, values[1 : n + 1], *values[n + 1 :], position=place
        )

    return [at(place) for place in range(n)]


def apply_rule(tape: Tape, instruction: Instruction, place: int, dout: Traced) -> Traced:
    """The rule of one input of an instruction, on arrays that write to `tape` what is computed."""
    tape.answers = instruction
    tape.forget()
    values = (instruction.output, *instruction.inputs, *instruction.parameters)
    share = rules_of(instruction)[place](dout, substitute(values, tape.operand))
    tape.answers = None
    return share if isinstance(share, Traced) else tape.constant(np.asarray(share))


def backward(forward: Forward, sparing: bool = False) -> Backward:
    """Answer every line of the forward pass.

    A value without a name gets a line of its own, and a name, where several instructions read it, or its
    gradient, and that is too much to be written twice; where `sparing`, only where several read it.
    Raises ValueError where the name of a gradient is also the name of another value.
    """
    theirs = {*RESERVED, *(var.name for var in forward.program.variables() if var.name)}
    given: set[Var] = set()
    taken = theirs
    while True:
        lines = _lines(forward.program)
        answered = _answer(forward.loss, lines)
        if sparing:
            unnamed = [line.instructions[-1] for line in lines if not line.var.name]
        else:
            unnamed = _worth_a_name(lines, answered)
        if not unnamed:
            break
        given.update(each.output for each in unnamed)
        taken = set(theirs)
        for each in forward.program.instructions:
            if each.output in given:
                each.output.name = unused(each.operation.name, taken)
    for var, gradient in answered.gradients.items():
        if gradient.name in taken:
            raise ValueError(
                f"the name {gradient.name} is given to two tensors: a value of the forward pass, and the "
                f"gradient of {var.name}; call one of the two something else"
            )
    return answered


# -- the lines -----------------------------------------------------------------------------------------------


def _lines(program: Program) -> list[Line]:
    """The forward pass cut into lines."""
    uses = Counter(var for each in program.instructions for var in each.reads())
    waiting: dict[Var, list[Instruction]] = {}  # what is to be written into the line that reads it
    lines = []
    for each in program.instructions:
        within = [one for var in dict.fromkeys(each.reads()) for one in waiting.pop(var, ())]
        within.append(each)
        once = uses[each.output] == 1 and each.operation not in STEPWISE
        if once and not each.output.name and each.output not in program.outputs:
            waiting[each.output] = within
        else:
            lines.append(Line(within))
    return lines


def _read_outside(line: Line) -> list[Var]:
    """The values that the line reads, as often as a gradient comes back from it."""
    inside = {each.output for each in line.instructions}
    reads = [pair for each in line.instructions for pair in zip(each.inputs, each.flows, strict=True)]
    return [var for var, flow in reads if flow and isinstance(var, Var) and var not in inside]


def _uses_in_order(line: Line) -> list[tuple[Instruction, int]]:
    """The inputs of the line's instructions as they are read from left to right: (instruction, place)."""
    makers = {each.output: each for each in line.instructions}
    order: list[tuple[Instruction, int]] = []

    def read(instruction: Instruction) -> None:
        for place, var in enumerate(instruction.inputs):
            order.append((instruction, place))
            if var in makers:
                read(makers[var])

    read(line.instructions[-1])
    return order


# -- the answers ---------------------------------------------------------------------------------------------


def _answer(loss: Var, lines: list[Line]) -> Backward:
    tape = RuleTape()
    inside_lines: dict[Var, Var] = {}
    gradients: dict[Var, Traced] = {loss: tape.constant(np.ones_like(loss.value))}
    owned = {var for line in lines for each in line.instructions for var in (each.output, *each.reads())}
    uses = Counter(var for line in lines for var in _read_outside(line))

    def own(share: Traced) -> Traced:
        """A share as a variable of its own, since it is going to have a name."""
        var = tape.variable(share)
        if var.constant:
            share = tape.constant(var.value)
        elif var in owned:
            share = tape.apply(shape.clone, (share,), (False,))
        owned.add(tape.variable(share))
        return share

    for line in reversed(lines):
        if line.var not in gradients:
            continue
        inside = {each.output for each in line.instructions}
        inner = {line.var: gradients[line.var]}
        found = {}
        for each in reversed(line.instructions):
            dout = inner.pop(each.output, None)
            for place, var in enumerate(each.inputs):
                if dout is None or not each.flows[place]:
                    continue
                assert isinstance(var, Var)
                share = apply_rule(tape, each, place, dout)
                if var in inside:
                    inner[var] = share
                    inside_lines[var] = tape.variable(share)
                else:
                    found[each, place] = var, share
        before: set[Var] = set()  # what the shares so far are made of
        for each, place in _uses_in_order(line):
            if (each, place) not in found:
                continue
            var, share = found[each, place]
            if uses[var] > 1 or tape.variable(share) in before:
                # The name is a sum's that is not yet whole, or not yet there: nothing else may go by it.
                owned.update(inside_lines.values())
            before |= tape.made_of(tape.variable(share), owned)
            tape.answers = each
            total = share = own(share)
            if var in gradients and is_zero(tape.variable(share)):
                total = gradients[var]
            elif var in gradients:
                # Without what is known of sums, by which the share itself would not be in the program.
                total = own(Tape.apply(tape, elementwise.add, (gradients[var], share), ()))
            tape.answers = None
            gradients[var] = total
            line.shares.append(Share(var, each, place, tape.variable(share), tape.variable(total)))
    made = {var: tape.variable(each) for var, each in gradients.items()}
    for line in lines:
        for added in line.shares:
            added.total.name = gradient_name(added.of.name)
    made[loss].name = gradient_name(loss.name)
    return Backward(lines, Program(tape.instructions, list(made.values())).needed(), made, inside_lines)


# -- what is worth a name ------------------------------------------------------------------------------------


def _weight(instruction: Instruction) -> int:
    """How much of an expression an operation is: 1 for arithmetic, 0 for a view; more than LIGHT for what
    nobody computes twice."""
    operation = instruction.operation
    if operation.view or operation in (shape.clone, HOLD):
        return 0
    return 1 if operation.broadcasts or operation.light else LIGHT + 1


def weigh(instruction: Instruction, found: dict[Var, int]) -> int:
    """The weight of the expression that stands for an instruction's output, where those of what it reads are
    `found`, and what has a name weighs nothing."""
    return _weight(instruction) + sum(found.get(var, 0) for var in instruction.reads() if not var.name)


def _worth_a_name(lines: list[Line], answered: Backward) -> list[Instruction]:
    """The instructions of the forward pass whose values lack a name that they should have."""
    forward = [each for line in lines for each in line.instructions]
    heavy: dict[Var, int] = {}
    for each in (*forward, *answered.program.instructions):
        heavy[each.output] = weigh(each, heavy)
    read = Counter(var for each in answered.program.instructions for var in each.reads())
    read.update(share.contribution for line in lines for share in line.shares)
    makers = {each.output: each.operation for each in answered.program.instructions}
    ends = {line.var for line in lines}

    def lacks(var: Var) -> bool:
        gradient = answered.inner.get(var, var)  # which no backward instruction makes
        return (
            var in ends
            or (read[var] > 0 and heavy[var] > LIGHT)
            or (gradient in makers and not gradient.name and read[gradient] > 1 and heavy[gradient] > 1)
            or makers.get(gradient) in STEPWISE
        )

    # Of several values with one and the same gradient, the last is enough.
    found = {
        answered.inner.get(each.output, each.output): each
        for each in forward
        if not each.output.name and lacks(each.output)
    }
    # What is heavy only for what stands in it may be light once that has a name.
    chosen, waiting = [], set[Var]()
    for each in forward:
        var, wanted = each.output, each in found.values()
        above = not waiting.isdisjoint(each.reads())
        if wanted and (var in ends or not above):
            chosen.append(each)
        if not var.name and (above or wanted):
            waiting.add(var)
    return chosen
